//! `send`: pay one or more addresses.

use bitcoin::FeeRate;
use clap::Args;
use serde_json::{Value, json};

use super::{open_synced, pay};
use crate::cli::CommonArgs;
use crate::node::Node;

/// What to pay.
#[derive(Args, Debug)]
pub(crate) struct SendArgs {
    #[command(flatten)]
    pub(crate) payments: PaymentArgs,
    /// Show the transaction, but do not send it
    #[arg(long)]
    dry_run: bool,
}

/// Whom to pay, and for which fee.
#[derive(Args, Debug)]
pub(crate) struct PaymentArgs {
    /// Pairs of address and amount: ADDRESS 0.5 [ADDRESS 1500sat ...]; the amount `all` empties the wallet
    #[arg(required = true, value_names = ["ADDRESS", "AMOUNT"])]
    pub(crate) payments: Vec<String>,
    /// Fee rate in satoshi per virtual byte [default: 2, or what the node's full mempool asks for]
    #[arg(long, value_name = "SAT/VB")]
    fee_rate: Option<f64>,
}

/// The fee rate unless something else is said, where the mempool has room.
const DEFAULT_RATE: FeeRate = FeeRate::from_sat_per_vb_u32(2);

impl PaymentArgs {
    /// The rate that was given, looked at before anything else is done.
    pub(super) fn given_rate(&self) -> anyhow::Result<Option<FeeRate>> {
        self.fee_rate.map(pay::parse_fee_rate).transpose()
    }
}

/// The rate of a payment without a given one: the default, or what the node asks for at least.
pub(super) fn usual_rate(node: &Node) -> anyhow::Result<FeeRate> {
    rate_of(&node.ask("getmempoolinfo", &json!([]))?)
}

fn rate_of(info: &Value) -> anyhow::Result<FeeRate> {
    let least = ["mempoolminfee", "minrelaytxfee"].map(|field| {
        // BTC for 1000 virtual bytes: 100,000 of these are one satoshi for one byte.
        pay::parse_fee_rate(info[field].as_f64().unwrap_or(0.0) * 100_000.0)
    });
    let [mempool, relay] = least;
    Ok(DEFAULT_RATE.max(mempool?).max(relay?))
}

pub(crate) fn send(common: &CommonArgs, args: &SendArgs) -> anyhow::Result<()> {
    let payments = pay::parse_payments(&args.payments.payments)?;
    let given = args.payments.given_rate()?;
    let (mut session, node) = open_synced(common)?;
    let fee_rate = given.map_or_else(|| usual_rate(&node), Ok)?;
    let psbt = pay::build(&mut session, &payments, fee_rate)?;
    let signed = pay::sign(common, &session, psbt)?;
    pay::conclude(common, &mut session, &node, &signed, args.dry_run)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_rate_is_never_below_what_the_node_asks_for() {
        for (mempool, relay, rate) in [
            (0.00001, 0.00001, 500),
            (0.0000233, 0.00001, 583),
            (0.00001, 0.00005, 1_250),
        ] {
            let info = json!({"mempoolminfee": mempool, "minrelaytxfee": relay});
            let found = rate_of(&info).expect("a rate");
            assert_eq!(found, FeeRate::from_sat_per_kwu(rate), "{info}");
        }
    }
}
