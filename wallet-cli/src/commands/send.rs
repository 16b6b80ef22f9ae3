//! `send`: pay one or more addresses.

use clap::Args;

use super::{open_synced, pay};
use crate::cli::CommonArgs;

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
    /// Fee rate in satoshi per virtual byte
    #[arg(long, default_value_t = 2.0, value_name = "SAT/VB")]
    pub(crate) fee_rate: f64,
}

pub(crate) fn send(common: &CommonArgs, args: &SendArgs) -> anyhow::Result<()> {
    let payments = pay::parse_payments(&args.payments.payments)?;
    let fee_rate = pay::parse_fee_rate(args.payments.fee_rate)?;
    let (mut session, node) = open_synced(common)?;
    let psbt = pay::build(&mut session, &payments, fee_rate)?;
    let signed = pay::sign(common, &session, psbt)?;
    pay::conclude(common, &mut session, &node, &signed, args.dry_run)
}
