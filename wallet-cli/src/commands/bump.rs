//! `bump` (replace by fee) and `cpfp` (child pays for parent): two ways to hurry a payment.

use anyhow::{Context, bail};
use bdk_wallet::KeychainKind;
use bdk_wallet::error::{BuildFeeBumpError, CreateTxError};
use bitcoin::{Amount, FeeRate, OutPoint, Psbt, Txid};
use clap::Args;
use serde_json::{Value, json};

use super::{children, open_synced, pay};
use crate::cli::CommonArgs;
use crate::ids::Prefix;
use crate::node::Node;
use crate::session::Session;

/// Which payment to hurry.
#[derive(Args, Debug)]
pub(crate) struct BumpArgs {
    /// The payment: its id, or how that begins
    #[arg(value_parser = Prefix::parse)]
    txid: Prefix,
    /// New fee rate in satoshi per virtual byte [default: half as much again]
    #[arg(long, value_name = "SAT/VB")]
    fee_rate: Option<f64>,
    /// Take the fee from what is paid; only for a payment with a single output, as `send ADDRESS all` makes
    #[arg(long)]
    from_payment: bool,
    /// Replace it although payments that spend it fall away by that
    #[arg(long)]
    drop_children: bool,
    /// Show the transaction, but do not send it
    #[arg(long)]
    dry_run: bool,
}

/// Which payment to hurry by spending it.
#[derive(Args, Debug)]
pub(crate) struct CpfpArgs {
    /// A pending payment that pays to this wallet: its id, or how that begins
    #[arg(value_parser = Prefix::parse)]
    txid: Prefix,
    /// Fee rate in satoshi per virtual byte that parent and child shall have together
    #[arg(long, default_value_t = 10.0, value_name = "SAT/VB")]
    fee_rate: f64,
    /// Show the transaction, but do not send it
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn bump(common: &CommonArgs, args: &BumpArgs) -> anyhow::Result<()> {
    let given = args.fee_rate.map(pay::parse_fee_rate).transpose()?;
    let (mut session, node) = open_synced(common)?;
    let psbt = replacement(&mut session, &node, args, given)?;
    let signed = pay::sign(common, &session, psbt)?;
    pay::conclude(common, &mut session, &node, &signed, args.dry_run)
}

fn replacement(
    session: &mut Session,
    node: &Node,
    args: &BumpArgs,
    given: Option<FeeRate>,
) -> anyhow::Result<Psbt> {
    let txid = args.txid.find(&session.wallet)?;
    let Some(old) = session.wallet.get_tx(txid).map(|tx| tx.tx_node.tx.clone()) else {
        bail!("{txid} is not a payment of this wallet; see `mend wallet history`");
    };
    let (sent, _) = session.wallet.sent_and_received(&old);
    if sent == Amount::ZERO {
        bail!(
            "{txid} was paid by somebody else, and only they can replace it; `mend wallet cpfp {txid}` hurries it too"
        );
    }
    let old_rate = session
        .wallet
        .calculate_fee_rate(&old)
        .context("the payment's fee is not known, because others paid for it too")?;
    let children = children::of(&session.wallet, node, txid);
    if !children.is_empty() {
        if !args.drop_children {
            bail!("{}", children.refusal(txid));
        }
        terminal::note(children.loss());
    }
    let mut rate = given.unwrap_or_else(|| half_more(old_rate));
    if given.is_none() {
        // A replacement pays for all that falls away, and for its own way through the network.
        rate = rate.max(children.rate_above(old.weight()));
    }
    let mut builder = session
        .wallet
        .build_fee_bump(txid)
        .map_err(|error| match error {
            BuildFeeBumpError::TransactionConfirmed(_) => {
                anyhow::anyhow!("{txid} is confirmed already; there is nothing to hurry")
            }
            BuildFeeBumpError::IrreplaceableTransaction(_) => anyhow::anyhow!(
                "{txid} was made irreplaceable; `mend wallet cpfp {txid}` hurries it if it pays to you"
            ),
            other => anyhow::anyhow!("cannot replace {txid}: {other}"),
        })?;
    builder.fee_rate(rate);
    if args.from_payment {
        let [output] = old.output.as_slice() else {
            bail!(
                "--from-payment is for payments with a single output, {txid} has {}; leave it away",
                old.output.len()
            );
        };
        builder
            .set_recipients(Vec::new())
            .drain_to(output.script_pubkey.clone());
    }
    builder.finish().map_err(|error| match error {
        CreateTxError::CoinSelection(_) if old.output.len() == 1 && !args.from_payment => {
            anyhow::anyhow!(
                "there are no coins left to pay a higher fee with; `--from-payment` takes it from what is paid"
            )
        }
        error => pay::explain(error),
    })
}

/// Half as much again, and at least one satoshi per virtual byte more, which nodes ask of a replacement.
fn half_more(old: FeeRate) -> FeeRate {
    let old = old.to_sat_per_kwu();
    // One more, because the old rate was rounded down.
    FeeRate::from_sat_per_kwu((old * 3 / 2).max(old + 250) + 1)
}

pub(crate) fn cpfp(common: &CommonArgs, args: &CpfpArgs) -> anyhow::Result<()> {
    let rate = pay::parse_fee_rate(args.fee_rate)?;
    let (mut session, node) = open_synced(common)?;
    let txid = args.txid.find(&session.wallet)?;
    let coins: Vec<OutPoint> = session
        .wallet
        .list_unspent()
        .filter(|coin| coin.outpoint.txid == txid && !coin.chain_position.is_confirmed())
        .map(|coin| coin.outpoint)
        .collect();
    if coins.is_empty() {
        bail!("{txid} has no pending, unspent output of this wallet; see `mend wallet utxos`");
    }
    let parents = Package::ask(&node, txid)?;
    // Built once to see what it would pay for itself alone, then with what its parents lack on top.
    let alone = child(&mut session, &coins, Fee::Rate(rate))?
        .fee()
        .context("cannot compute the fee")?;
    let fee = child_fee(parents, alone, rate);
    if fee <= alone {
        bail!(
            "{txid} has a fee rate of {} already; ask for more with --fee-rate",
            pay::show_rate(parents.rate())
        );
    }
    let psbt = child(&mut session, &coins, Fee::Total(fee))?;
    let signed = pay::sign(common, &session, psbt)?;
    pay::conclude(common, &mut session, &node, &signed, args.dry_run)
}

enum Fee {
    Rate(FeeRate),
    Total(Amount),
}

fn child(session: &mut Session, coins: &[OutPoint], fee: Fee) -> anyhow::Result<Psbt> {
    let script = session
        .wallet
        .next_unused_address(KeychainKind::Internal)
        .script_pubkey();
    let mut builder = session.wallet.build_tx();
    builder
        .add_utxos(coins)
        .context("the payment's outputs cannot be spent")?
        .manually_selected_only()
        .drain_to(script);
    match fee {
        Fee::Rate(rate) => builder.fee_rate(rate),
        Fee::Total(fee) => builder.fee_absolute(fee),
    };
    builder.finish().map_err(pay::explain)
}

/// A transaction and its unconfirmed ancestors.
#[derive(Clone, Copy, Debug)]
struct Package {
    fee: Amount,
    /// Virtual bytes.
    size: u64,
}

impl Package {
    fn ask(node: &Node, txid: Txid) -> anyhow::Result<Package> {
        let entry = node
            .ask("getmempoolentry", &json!([txid]))
            .with_context(|| format!("{txid} is not in the node's mempool"))?;
        // Core's JSON has amounts as numbers with eight digits; reading them as such is exact up to 21 million.
        let fee = entry["fees"]["ancestor"]
            .as_f64()
            .and_then(|btc| Amount::from_btc(btc).ok());
        match (fee, entry["ancestorsize"].as_u64()) {
            (Some(fee), Some(size)) => Ok(Package { fee, size }),
            _ => bail!(
                "the node's answer to getmempoolentry is not understood: {}",
                Value::to_string(&entry)
            ),
        }
    }

    fn rate(self) -> FeeRate {
        FeeRate::from_sat_per_kwu((self.fee.to_sat() * 250).div_ceil(self.size.max(1)))
    }
}

/// What a child pays, which would pay `alone` for itself, so that it and its parents have `rate` together.
fn child_fee(parents: Package, alone: Amount, rate: FeeRate) -> Amount {
    let for_parents = (rate.to_sat_per_kwu() * parents.size).div_ceil(250);
    Amount::from_sat((alone.to_sat() + for_parents).saturating_sub(parents.fee.to_sat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replacement_pays_at_least_one_satoshi_per_byte_more() {
        let rate = |sat_per_vb: u64| FeeRate::from_sat_per_kwu(sat_per_vb * 250);
        assert_eq!(half_more(rate(1)), FeeRate::from_sat_per_kwu(501));
        assert_eq!(half_more(rate(10)), FeeRate::from_sat_per_kwu(3751));
    }

    #[test]
    fn a_child_pays_what_its_parents_lack() {
        let parents = Package {
            fee: Amount::from_sat(200),
            size: 200,
        };
        let rate = FeeRate::from_sat_per_kwu(10 * 250);
        let alone = Amount::from_sat(1_000);
        assert_eq!(child_fee(parents, alone, rate), Amount::from_sat(2_800));
        assert_eq!(pay::show_rate(parents.rate()), "1.00 sat/vB");
    }
}
