//! `send`: pay one or more addresses.

use anyhow::{Context, bail};
use bdk_wallet::error::CreateTxError;
use bitcoin::address::NetworkUnchecked;
use bitcoin::{Address, Amount, FeeRate};
use clap::Args;
use serde_json::json;

use super::{open_synced, show};
use crate::amount;
use crate::cli::CommonArgs;
use crate::keys::NETWORK;

/// What to pay.
#[derive(Args, Debug)]
pub(crate) struct SendArgs {
    /// Pairs of address and amount: ADDRESS 0.5 [ADDRESS 1500sat ...]; the amount `all` empties the wallet
    #[arg(required = true, value_names = ["ADDRESS", "AMOUNT"])]
    payments: Vec<String>,
    /// Fee rate in satoshi per virtual byte
    #[arg(long, default_value_t = 2.0, value_name = "SAT/VB")]
    fee_rate: f64,
    /// Show the transaction, but do not send it
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn send(common: &CommonArgs, args: &SendArgs) -> anyhow::Result<()> {
    let payments = parse_payments(&args.payments)?;
    let fee_rate = parse_fee_rate(args.fee_rate)?;
    let (mut session, node) = open_synced(common)?;
    let secret = session.secret(&common.passphrase)?;

    let mut builder = session.wallet.build_tx();
    builder.fee_rate(fee_rate);
    for payment in &payments {
        match payment.amount {
            Some(amount) => {
                builder.add_recipient(payment.address.script_pubkey(), amount);
            }
            None => {
                builder
                    .drain_wallet()
                    .drain_to(payment.address.script_pubkey());
            }
        }
    }
    let mut psbt = builder.finish().map_err(explain)?;
    if !session.sign(&mut psbt, &secret)? {
        bail!("not every input could be signed; the wallet's words do not fit its coins");
    }
    let fee = psbt.fee().context("cannot compute the fee")?;
    let transaction = psbt.extract_tx().context("cannot finish the transaction")?;
    let txid = transaction.compute_txid();
    let vsize = transaction.vsize();

    if args.dry_run {
        // The change address was not used: it may be given again.
        let hex = bitcoin::consensus::encode::serialize_hex(&transaction);
        show(
            common,
            &json!({ "txid": txid, "fee": amount::show(fee), "vsize": vsize, "hex": hex, "sent": false }),
            &format!(
                "would send {txid}\nfee {} BTC, {vsize} vB\n{hex}",
                amount::show(fee)
            ),
        );
        return Ok(());
    }
    // The change address is saved before the network knows it.
    session.save()?;
    node.broadcast(&transaction)
        .context("the node did not take the transaction; nothing was sent")?;
    let seen_at = std::time::UNIX_EPOCH
        .elapsed()
        .map_or(0, |since| since.as_secs());
    session
        .wallet
        .apply_unconfirmed_txs([(transaction, seen_at)]);
    session.save()?;
    show(
        common,
        &json!({ "txid": txid, "fee": amount::show(fee), "vsize": vsize, "sent": true }),
        &format!("sent {txid}\nfee {} BTC, {vsize} vB", amount::show(fee)),
    );
    Ok(())
}

struct Payment {
    address: Address,
    /// `None`: all there is.
    amount: Option<Amount>,
}

fn parse_payments(words: &[String]) -> anyhow::Result<Vec<Payment>> {
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

fn parse_fee_rate(sat_per_vb: f64) -> anyhow::Result<FeeRate> {
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

fn explain(error: CreateTxError) -> anyhow::Error {
    match error {
        CreateTxError::CoinSelection(short) => anyhow::anyhow!(
            "not enough spendable coins: {} BTC needed with the fee, {} BTC available; see `mend wallet balance`",
            amount::show(short.needed),
            amount::show(short.available)
        ),
        CreateTxError::OutputBelowDustLimit(_) => anyhow::anyhow!(
            "an amount is below the dust limit; nodes would refuse it, send at least 330sat"
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
        let error = parse_payments(&words(&[main, "1"])).err().expect("refused");
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
}
