//! `mend testnet mine|mining|pay|accounts`.

use bitcoin::{Amount, BlockHash};
use clap::Args;
use serde_json::{Value, json};

use super::{Context, units};
use crate::pay::{SentPayment, parse_amount};
use crate::real::{Manifest, Order};

/// Mine blocks on a node, at once.
///
/// Example: mend testnet mine 3 5
#[derive(Args, Debug)]
pub(super) struct MineArgs {
    /// The node.
    node: usize,
    /// How many blocks.
    #[arg(default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    count: u32,
}

pub(super) fn mine(context: &Context, args: &MineArgs) -> anyhow::Result<()> {
    let blocks: Vec<BlockHash> = context.order(&Order::Mine {
        node: args.node,
        count: args.count,
    })?;
    context.print(&blocks, |blocks| {
        let lines: Vec<String> = blocks.iter().map(BlockHash::to_string).collect();
        lines.join("\n")
    })?;
    Ok(())
}

/// Turn a node's own miner on or off, or change its speed.
///
/// Example: mend testnet mining 3 200k
#[derive(Args, Debug)]
pub(super) struct MiningArgs {
    /// The node.
    node: usize,
    /// Hashes per second, or off.
    #[arg(value_parser = units::rate)]
    rate: u64,
}

pub(super) fn mining(context: &Context, args: &MiningArgs) -> anyhow::Result<()> {
    let (node, rate) = (args.node, args.rate);
    let _: Value = context.order(&Order::Mining { node, rate })?;
    context.print(&json!({ "node": node, "rate": rate }), |_| match rate {
        0 => format!("Node {node} does not mine."),
        _ => format!("Node {node} mines at {rate} H/s."),
    })?;
    Ok(())
}

/// Send a payment from a funded account.
///
/// Example: mend testnet pay 0 1 2.5
#[derive(Args, Debug)]
pub(super) struct PayArgs {
    /// The account that pays.
    from: u32,
    /// Account number or address.
    to: String,
    /// BTC, or with a unit: 2.5, "1000 sat".
    #[arg(value_parser = parse_amount)]
    amount: Amount,
    /// The node that gets it first; the first that is up if none is named.
    #[arg(long)]
    node: Option<usize>,
}

pub(super) fn pay(context: &Context, args: PayArgs) -> anyhow::Result<()> {
    let sent: SentPayment = context.order(&Order::Pay {
        from: args.from,
        to: args.to,
        amount_sat: args.amount.to_sat(),
        node: args.node,
    })?;
    context.print(&sent, |sent| {
        format!(
            "{}\n{} from account {} to {}, fee {} sat, handed to node {}",
            sent.txid,
            Amount::from_sat(sent.amount_sat),
            sent.from,
            sent.to,
            sent.fee_sat,
            sent.node
        )
    })?;
    Ok(())
}

/// List the funded accounts.
///
/// Example: mend testnet accounts
#[derive(Args, Debug)]
pub(super) struct AccountsArgs {}

pub(super) fn accounts(context: &Context, _args: &AccountsArgs) -> anyhow::Result<()> {
    let manifest = Manifest::read(&context.layout.manifest())?;
    context.print(&manifest.accounts, |accounts| {
        let lines: Vec<String> = accounts
            .iter()
            .map(|account| {
                format!(
                    "({}) {}  {}",
                    account.index, account.address, account.derivation
                )
            })
            .collect();
        format!("{}\nWords: {}", lines.join("\n"), manifest.words)
    })?;
    Ok(())
}
