//! The faucet: which coins pay, how much at once, how often.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bitcoin::{Amount, OutPoint, Script, ScriptBuf, Transaction, Txid};
use chain::address::parse_address;
use http_server::read_body;
use rpc_client::amount_from;
use serde_json::{Value, json};

use super::{Refusal, Shared, working};
use crate::pay::{self, KnownCoin, Payment, parse_amount};
use crate::real::{Network, Probe};

/// The most that one request is given.
const MAX_PAYMENT: Amount = Amount::from_int_btc(50);
/// What a request is given that names no amount.
const DEFAULT_PAYMENT: Amount = Amount::from_int_btc(1);
/// More than any fee of the faucet: coins are taken until they cover amount and this.
const FEE_ROOM: Amount = Amount::from_sat(20_000);
/// Payments that may come at once, and then in a second.
const BURST: u32 = 200;
const PER_SECOND: u32 = 50;
/// Largest request, in bytes.
const MAX_BODY_BYTES: usize = 4 << 10;

/// An account that pays whoever asks.
pub(super) struct Faucet {
    account: u32,
    /// What it may hold, the next to be spent first. A coin that a node holds for spent goes to the end: it may come back when the
    /// network heals.
    coins: VecDeque<KnownCoin>,
    pace: Pace,
}

/// A payment of the faucet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Given {
    pub(super) txid: Txid,
    pub(super) vout: u32,
}

impl Faucet {
    /// The faucet of a network that was started with one.
    pub(super) fn of_last_account(network: &Network) -> Faucet {
        let account = (network.accounts.list().len() as u32).saturating_sub(1);
        // The large ones came last; the small ones of every account are spent in between.
        let coins = network.purse.coins(account).iter().rev().copied();
        Faucet {
            account,
            coins: coins.collect(),
            pace: Pace::default(),
        }
    }

    pub(super) fn account(&self) -> u32 {
        self.account
    }

    fn give(
        &mut self,
        network: &mut Network,
        node: &Probe,
        to: &Script,
        amount: Amount,
    ) -> Result<Given, Refusal> {
        let coins = self.take_unspent(node, amount)?;
        let sent = self.send(network, node, &coins, to, amount);
        let spent: &[_] = match &sent {
            Ok(transaction) => &transaction.input,
            Err(_) => &[],
        };
        let is_spent = |coin: &KnownCoin| spent.iter().any(|i| i.previous_output == coin.outpoint);
        self.coins
            .extend(coins.iter().filter(|coin| !is_spent(coin)));
        let transaction = sent?;
        let txid = transaction.compute_txid();
        if let Some(change) = transaction.output.get(1) {
            self.coins.push_back(KnownCoin {
                outpoint: OutPoint { txid, vout: 1 },
                value: change.value,
            });
        }
        network.purse.note(&network.accounts, &transaction);
        Ok(Given { txid, vout: 0 })
    }

    /// Takes coins that `node` holds for unspent, until they cover `amount`.
    fn take_unspent(&mut self, node: &Probe, amount: Amount) -> Result<Vec<KnownCoin>, Refusal> {
        let mut taken = Vec::new();
        let mut sum = Amount::ZERO;
        for _ in 0..self.coins.len() {
            let Some(coin) = self.coins.pop_front() else {
                break;
            };
            match node.is_unspent(&coin.outpoint) {
                Ok(true) => {
                    sum += coin.value;
                    taken.push(coin);
                }
                Ok(false) => self.coins.push_back(coin),
                Err(error) => {
                    self.coins.push_back(coin);
                    self.coins.extend(taken);
                    return Err(error.into());
                }
            }
            if sum >= amount + FEE_ROOM {
                return Ok(taken);
            }
        }
        self.coins.extend(taken);
        Err(Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            format!(
                "the faucet has {sum} left; send some back to account {}, or start the testnet again",
                self.account
            ),
        ))
    }

    fn send(
        &self,
        network: &Network,
        node: &Probe,
        coins: &[KnownCoin],
        to: &Script,
        amount: Amount,
    ) -> Result<Transaction, Refusal> {
        let account = network.accounts.get(self.account);
        let account = account.ok_or_else(|| Refusal::internal("the faucet has no account"))?;
        let payment = Payment {
            to: to.to_owned(),
            amount,
        };
        let transaction = pay::build(&network.accounts, account, coins, &payment)
            .map_err(|error| Refusal::bad(error.to_string()))?;
        let hex = bitcoin::consensus::encode::serialize_hex(&transaction);
        match node.ask("sendrawtransaction", json!([hex])) {
            Ok(_) => Ok(transaction),
            Err(error) => Err(Refusal::new(
                StatusCode::SERVICE_UNAVAILABLE,
                format!("the node does not take the payment ({error}); mine a block and ask again"),
            )),
        }
    }
}

impl Shared {
    /// Pays `amount` to `to` if that can be spent here, and if it is not too much or too often.
    pub(super) fn give(&self, to: &Script, amount: Amount) -> Result<Given, Refusal> {
        check_kind(to)?;
        if amount > MAX_PAYMENT {
            return Err(Refusal::bad(format!(
                "{amount} is more than the faucet gives at once, {MAX_PAYMENT}; ask for less, or use `mend testnet pay`"
            )));
        }
        let mut faucet = self.faucet();
        faucet.pace.take(self.began.elapsed()).map_err(|wait| {
            Refusal::new(
                StatusCode::TOO_MANY_REQUESTS,
                format!("too many payments; ask again in {} ms", wait.as_millis()),
            )
        })?;
        let node = self.node()?;
        faucet.give(&mut self.supervisor.network(), &node, to, amount)
    }
}

/// Refuses to burn coins.
fn check_kind(script: &Script) -> Result<(), Refusal> {
    if chain::script::is_spendable_kind(script) {
        return Ok(());
    }
    Err(Refusal::bad(
        "only P2TR (bcrt1p...) and P2WPKH (bcrt1q...) can be spent on this network; give an address of these kinds",
    ))
}

/// An address of this kind of network.
pub(super) fn script_of(address: &str) -> Result<ScriptBuf, Refusal> {
    let refused = |problem: String| {
        Refusal::bad(format!(
            "{address:?} is no address of this network ({problem}); use bcrt1..."
        ))
    };
    parse_address(address)
        .map(|address| address.script_pubkey())
        .map_err(|error| refused(error.to_string()))
}

/// How often: up to [`BURST`] at once, and [`PER_SECOND`] in the long run.
#[derive(Debug)]
struct Pace {
    left: u32,
    counted_at: Duration,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace {
            left: BURST,
            counted_at: Duration::ZERO,
        }
    }
}

impl Pace {
    /// Takes a place at `now`, or tells how long to wait for one. `now` only grows.
    fn take(&mut self, now: Duration) -> Result<(), Duration> {
        let each = Duration::from_secs(1) / PER_SECOND;
        let came = now.saturating_sub(self.counted_at).as_micros() / each.as_micros();
        let came = u32::try_from(came).unwrap_or(u32::MAX);
        self.counted_at += each * came.min(u32::MAX / PER_SECOND);
        self.left = self.left.saturating_add(came).min(BURST);
        if self.left == 0 {
            return Err(each.saturating_sub(now.saturating_sub(self.counted_at)));
        }
        self.left -= 1;
        Ok(())
    }
}

/// `POST /faucet`: `{"address": "bcrt1...", "amount": 0.5}`, in BTC, or with a unit as `"1500 sat"`.
pub(super) async fn handler(State(shared): State<Arc<Shared>>, body: Body) -> Response {
    let body = match read_body(body, MAX_BODY_BYTES).await {
        Ok(body) => body,
        Err(refusal) => return refusal,
    };
    let given = match wish_of(&body) {
        Ok((address, amount)) => {
            working(shared, move |shared| {
                let given = shared.give(&script_of(&address)?, amount)?;
                Ok(json!({
                    "txId": given.txid,
                    "vout": given.vout,
                    "address": address,
                    "amount_sat": amount.to_sat(),
                }))
            })
            .await
        }
        Err(refusal) => Err(refusal),
    };
    match given {
        Ok(given) => {
            let kind = [(header::CONTENT_TYPE, "application/json")];
            (kind, given.to_string()).into_response()
        }
        Err(refusal) => refusal.into_json(),
    }
}

fn wish_of(body: &[u8]) -> Result<(String, Amount), Refusal> {
    const EXAMPLE: &str = r#"send {"address": "bcrt1...", "amount": 0.5}"#;
    let wish: Value = serde_json::from_slice(body)
        .map_err(|error| Refusal::bad(format!("not JSON ({error}); {EXAMPLE}")))?;
    let address = wish["address"]
        .as_str()
        .ok_or_else(|| Refusal::bad(format!("no address; {EXAMPLE}")))?;
    let amount = match &wish["amount"] {
        Value::Null => Ok(DEFAULT_PAYMENT),
        Value::String(text) => parse_amount(text).map_err(Refusal::bad),
        number => amount_from(number)
            .ok_or_else(|| Refusal::bad(format!("{number} is no amount in BTC; {EXAMPLE}"))),
    };
    Ok((address.to_owned(), amount?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_given_and_then_a_steady_pace() {
        let mut pace = Pace::default();
        let at = Duration::from_millis;
        for _ in 0..BURST {
            assert_eq!(pace.take(at(1_000)), Ok(()));
        }
        let wait = pace.take(at(1_000)).expect_err("too many");
        assert_eq!(wait, at(20));
        assert_eq!(pace.take(at(1_020)), Ok(()));
        assert_eq!(pace.take(at(1_030)), Err(at(10)));
        // What was not used is not saved up beyond the burst.
        for _ in 0..BURST {
            assert_eq!(pace.take(at(90_000_000)), Ok(()));
        }
        assert!(pace.take(at(90_000_000)).is_err());
    }

    #[test]
    fn wishes_are_read_exactly_or_refused_with_an_example() {
        let (address, amount) = wish_of(br#"{"address": "x", "amount": 0.1}"#).expect("read");
        assert_eq!((address.as_str(), amount.to_sat()), ("x", 10_000_000));
        let sat = wish_of(br#"{"address": "x", "amount": "1500 sat"}"#).expect("read");
        assert_eq!(sat.1.to_sat(), 1_500);
        let default = wish_of(br#"{"address": "x"}"#).expect("read");
        assert_eq!(default.1, DEFAULT_PAYMENT);
        for bad in [
            "",
            "{",
            "[]",
            r#"{"address": 5}"#,
            r#"{"address": "x", "amount": -1}"#,
            r#"{"address": "x", "amount": 0.000000001}"#,
            r#"{"address": "x", "amount": 1e99}"#,
            r#"{"address": "x", "amount": [1]}"#,
            r#"{"address": "x", "amount": "much"}"#,
        ] {
            let refusal = wish_of(bad.as_bytes()).expect_err(bad);
            assert_eq!(refusal.status, StatusCode::BAD_REQUEST, "{bad}");
        }
    }

    #[test]
    fn coins_that_nobody_could_spend_are_not_given() {
        let legacy = script_of("mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn").expect("an address");
        let refusal = check_kind(&legacy).expect_err("P2PKH");
        assert!(refusal.text.contains("bcrt1p"), "{}", refusal.text);
        let segwit = script_of("bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080").expect("valid");
        assert_eq!(check_kind(&segwit), Ok(()));
        assert!(script_of("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4").is_err());
        assert!(script_of("nonsense").is_err());
    }
}
