//! What all paying commands share: reading payments and fee rates, sending, and saying what went wrong.

use anyhow::{Context, bail};
use bdk_wallet::error::CreateTxError;
use bitcoin::address::NetworkUnchecked;
use bitcoin::{Address, Amount, FeeRate, Psbt, Transaction, Txid};
use serde_json::json;

use super::show;
use crate::amount;
use crate::cli::CommonArgs;
use crate::keys::NETWORK;
use crate::node::{Node, Sent};
use crate::session::Session;
use crate::sync::unix_now;

/// One recipient.
#[derive(Debug)]
pub(super) struct Payment {
    pub(super) address: Address,
    /// `None`: all there is.
    pub(super) amount: Option<Amount>,
}

/// Reads ADDRESS AMOUNT pairs.
pub(super) fn parse_payments(words: &[String]) -> anyhow::Result<Vec<Payment>> {
    let mut payments = Vec::new();
    for pair in words.chunks(2) {
        let [address, amount] = pair else {
            bail!(
                "`{}` has no amount; write ADDRESS AMOUNT, or ADDRESS all",
                pair[0]
            );
        };
        let parsed: Address<NetworkUnchecked> = address.parse().map_err(|error| {
            anyhow::anyhow!("`{address}` is not an address ({error}); it should start with bcrt1")
        })?;
        let checked = parsed.require_network(NETWORK).map_err(|_| {
            anyhow::anyhow!(
                "`{address}` belongs to another network; addresses here start with bcrt1"
            )
        })?;
        let amount = match amount.as_str() {
            "all" => None,
            text => Some(amount::parse(text).map_err(anyhow::Error::msg)?),
        };
        if amount == Some(Amount::ZERO) {
            bail!("paying nothing to `{address}` makes no sense; give an amount above zero");
        }
        payments.push(Payment {
            address: checked,
            amount,
        });
    }
    if payments.len() > 1 && payments.iter().any(|payment| payment.amount.is_none()) {
        bail!("`all` goes to one address alone");
    }
    Ok(payments)
}

/// Reads a fee rate in satoshi per virtual byte.
pub(super) fn parse_fee_rate(sat_per_vb: f64) -> anyhow::Result<FeeRate> {
    if !(0.0..=10_000.0).contains(&sat_per_vb) {
        bail!("a fee rate of {sat_per_vb} sat/vB is out of range; use 0 to 10000");
    }
    // Rates are kept in satoshi per 1000 weight units: 1 sat/vB is 250.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be within 0 and 10000"
    )]
    Ok(FeeRate::from_sat_per_kwu((sat_per_vb * 250.0).ceil() as u64))
}

/// A rate as people write it.
pub(super) fn show_rate(rate: FeeRate) -> String {
    let hundredths = (rate.to_sat_per_kwu() * 100).div_ceil(250);
    format!("{}.{:02} sat/vB", hundredths / 100, hundredths % 100)
}

/// Builds an unsigned payment. What it takes from the wallet (a change address) is staged, not saved.
pub(super) fn build(
    session: &mut Session,
    payments: &[Payment],
    fee_rate: FeeRate,
) -> anyhow::Result<Psbt> {
    let mut builder = session.wallet.build_tx();
    builder.fee_rate(fee_rate);
    for payment in payments {
        let script = payment.address.script_pubkey();
        match payment.amount {
            Some(amount) => builder.add_recipient(script, amount),
            None => builder.drain_wallet().drain_to(script),
        };
    }
    builder.finish().map_err(explain)
}

/// A signed payment with its fee.
pub(super) struct Signed {
    pub(super) transaction: Transaction,
    pub(super) fee: Amount,
}

/// Signs a payment of this wallet's own coins.
pub(super) fn sign(
    common: &CommonArgs,
    session: &Session,
    mut psbt: Psbt,
) -> anyhow::Result<Signed> {
    let secret = session.secret(&common.passphrase)?;
    if !session.sign(&mut psbt, &secret, bdk_wallet::SignOptions::default())? {
        bail!("not every input could be signed; the wallet's words do not fit its coins");
    }
    let fee = psbt.fee().context("cannot compute the fee")?;
    let transaction = psbt.extract_tx().context("cannot finish the transaction")?;
    Ok(Signed { transaction, fee })
}

/// Remembers the transaction, then sends it; forgets it again only when it is certain that no node has it.
pub(super) fn broadcast(
    session: &mut Session,
    node: &Node,
    transaction: &Transaction,
) -> anyhow::Result<Txid> {
    // The change address is saved before the network knows it.
    session.save()?;
    let before = session.saved();
    // Later than what it replaces, and than all that spends that, though the clock has whole seconds only: the latest counts.
    let graph = session.wallet.tx_graph();
    let rivals = graph.walk_conflicts(transaction, |_, txid| Some(txid));
    let seen = rivals.filter_map(|rival| graph.get_tx_node(rival)?.last_seen);
    let now = seen.map(|seen| seen + 1).fold(unix_now(), u64::max);
    session
        .wallet
        .apply_unconfirmed_txs([(transaction.clone(), now)]);
    session.save()?;
    let txid = transaction.compute_txid();
    match node.broadcast(transaction) {
        Sent::Taken => Ok(txid),
        Sent::Refused(error) => {
            session.go_back_to(before)?;
            Err(anyhow::Error::new(error)
                .context("the node did not take the transaction; nothing was sent"))
        }
        Sent::Unknown(problem) => bail!(
            "it is not known whether the node took {txid}: {problem}; do not pay again: `mend wallet history` shows it once the node answers, and `mend wallet rebroadcast` sends the same payment again"
        ),
    }
}

/// Sends what was signed, or with `dry_run` only shows it.
pub(super) fn conclude(
    common: &CommonArgs,
    session: &mut Session,
    node: &Node,
    signed: &Signed,
    dry_run: bool,
) -> anyhow::Result<()> {
    let Signed { transaction, fee } = signed;
    let txid = transaction.compute_txid();
    let vsize = transaction.vsize();
    let fee = amount::show(*fee);
    if dry_run {
        // The change address was not used: it may be given again.
        let hex = bitcoin::consensus::encode::serialize_hex(transaction);
        show(
            common,
            &json!({ "txid": txid, "fee": fee, "vsize": vsize, "hex": hex, "sent": false }),
            &format!("would send {txid}\nfee {fee} BTC, {vsize} vB\n{hex}"),
        )?;
        return Ok(());
    }
    broadcast(session, node, transaction)?;
    show(
        common,
        &json!({ "txid": txid, "fee": fee, "vsize": vsize, "sent": true }),
        &format!("sent {txid}\nfee {fee} BTC, {vsize} vB"),
    )?;
    Ok(())
}

/// Says in our words why a payment cannot be built.
pub(super) fn explain(error: CreateTxError) -> anyhow::Error {
    match error {
        CreateTxError::CoinSelection(short) => anyhow::anyhow!(
            "not enough spendable coins: {} BTC needed with the fee, {} BTC available; see `mend wallet balance`",
            amount::show(short.needed),
            amount::show(short.available)
        ),
        CreateTxError::OutputBelowDustLimit(_) => anyhow::anyhow!(
            "an amount is below the dust limit; nodes would refuse it, send at least 330sat"
        ),
        CreateTxError::FeeTooLow { required } => anyhow::anyhow!(
            "the fee is too low to replace the payment; at least {} BTC in all is needed, raise --fee-rate",
            amount::show(required)
        ),
        CreateTxError::FeeRateTooLow { required } => anyhow::anyhow!(
            "the fee rate is too low to replace the payment; use --fee-rate with at least {}",
            show_rate(required)
        ),
        other => anyhow::anyhow!("cannot build the payment: {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(list: &[&str]) -> Vec<String> {
        list.iter().map(|word| (*word).to_owned()).collect()
    }

    const OURS: &str = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";

    #[test]
    fn pairs_are_read() {
        let payments = parse_payments(&words(&[OURS, "0.5", OURS, "7sat"])).expect("payments");
        assert_eq!(payments[0].amount, Some(Amount::from_sat(50_000_000)));
        assert_eq!(payments[1].amount, Some(Amount::from_sat(7)));
    }

    #[test]
    fn an_address_of_another_network_is_named_as_such() {
        let main = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4";
        let error = parse_payments(&words(&[main, "1"])).expect_err("refused");
        assert!(error.to_string().contains("another network"), "{error}");
    }

    #[test]
    fn a_missing_amount_zero_and_nonsense_are_refused() {
        for list in [
            &[OURS][..],
            &[OURS, "0"],
            &["hello", "1"],
            &[OURS, "all", OURS, "1"],
        ] {
            assert!(parse_payments(&words(list)).is_err(), "{list:?}");
        }
        for rate in [f64::NAN, -1.0, 1e9] {
            assert!(parse_fee_rate(rate).is_err());
        }
    }

    #[test]
    fn rates_are_shown_rounded_up() {
        assert_eq!(show_rate(FeeRate::from_sat_per_kwu(251)), "1.01 sat/vB");
        assert_eq!(show_rate(FeeRate::from_sat_per_kwu(500)), "2.00 sat/vB");
    }
}
