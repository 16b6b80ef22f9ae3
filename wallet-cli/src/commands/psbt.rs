//! `psbt`: make, sign, finalise and send a payment in steps, where the keys are on another machine (BIP 174).

use std::io::Read as _;
use std::path::Path;

use anyhow::{Context, bail};
use bdk_wallet::SignOptions;
use bitcoin::{Address, Psbt};
use clap::Subcommand;
use serde_json::json;

use super::send::PaymentArgs;
use super::{open_synced, pay, show};
use crate::amount;
use crate::cli::CommonArgs;
use crate::keys::NETWORK;
use crate::session::Session;

/// What to do with a partially signed transaction.
#[derive(Subcommand, Debug)]
pub(crate) enum PsbtCommand {
    /// Make an unsigned payment; works in a watch-only wallet
    Create(PaymentArgs),
    /// Sign the inputs that are this wallet's; needs no node
    Sign {
        /// Base64, a file, or `-` for standard input
        #[arg(default_value = "-")]
        psbt: String,
    },
    /// Turn signatures into a transaction that can be sent; needs no node
    Finalize {
        /// Base64, a file, or `-` for standard input
        #[arg(default_value = "-")]
        psbt: String,
    },
    /// Finalise if needed, and send
    Send {
        /// Base64, a file, or `-` for standard input
        #[arg(default_value = "-")]
        psbt: String,
    },
}

pub(crate) fn psbt(common: &CommonArgs, command: &PsbtCommand) -> anyhow::Result<()> {
    match command {
        PsbtCommand::Create(args) => create(common, args),
        PsbtCommand::Sign { psbt } => sign(common, &read(psbt)?),
        PsbtCommand::Finalize { psbt } => finalize(common, &read(psbt)?),
        PsbtCommand::Send { psbt } => send(common, &read(psbt)?),
    }
}

fn create(common: &CommonArgs, args: &PaymentArgs) -> anyhow::Result<()> {
    let payments = pay::parse_payments(&args.payments)?;
    let fee_rate = pay::parse_fee_rate(args.fee_rate)?;
    let (mut session, _) = open_synced(common)?;
    let psbt = pay::build(&mut session, &payments, fee_rate)?;
    // Its change address leaves the wallet with it.
    session.save()?;
    let fee = psbt.fee().context("cannot compute the fee")?;
    terminal::note(format_args!("fee {} BTC", amount::show(fee)));
    show(
        common,
        &json!({ "psbt": psbt.to_string(), "fee": amount::show(fee), "complete": false }),
        &psbt.to_string(),
    )?;
    Ok(())
}

fn sign(common: &CommonArgs, psbt: &Psbt) -> anyhow::Result<()> {
    let session = Session::open(&common.path()?)?;
    let mut psbt = psbt.clone();
    for line in summary(&session, &psbt) {
        terminal::note(&line);
    }
    let before = psbt.clone();
    let secret = session.secret(&common.passphrase)?;
    // A wallet that reads no chain does not know the coins. A taproot signature commits to what all inputs claim to
    // spend (BIP 341), so that a lie makes it worthless; segwit inputs bring their whole parents as proof.
    let all_taproot = psbt.inputs.iter().all(|input| {
        let spent = input.witness_utxo.as_ref();
        spent.is_some_and(|output| output.script_pubkey.is_p2tr())
    });
    let options = SignOptions {
        trust_witness_utxo: all_taproot,
        try_finalize: false,
        ..SignOptions::default()
    };
    session.sign(&mut psbt, &secret, options)?;
    if psbt == before {
        bail!("nothing to sign: no input of it is this wallet's, or all are signed already");
    }
    show(
        common,
        &json!({ "psbt": psbt.to_string(), "complete": false }),
        &psbt.to_string(),
    )?;
    Ok(())
}

fn finalize(common: &CommonArgs, psbt: &Psbt) -> anyhow::Result<()> {
    let session = Session::open(&common.path()?)?;
    let mut psbt = psbt.clone();
    finish(&session, &mut psbt)?;
    let transaction = psbt
        .clone()
        .extract_tx()
        .context("cannot finish the transaction")?;
    let hex = bitcoin::consensus::encode::serialize_hex(&transaction);
    show(
        common,
        &json!({ "psbt": psbt.to_string(), "hex": hex, "txid": transaction.compute_txid(), "complete": true }),
        &psbt.to_string(),
    )?;
    Ok(())
}

fn send(common: &CommonArgs, psbt: &Psbt) -> anyhow::Result<()> {
    let (mut session, node) = open_synced(common)?;
    let mut psbt = psbt.clone();
    finish(&session, &mut psbt)?;
    let fee = psbt.fee().context("cannot compute the fee")?;
    let transaction = psbt.extract_tx().context("cannot finish the transaction")?;
    let signed = pay::Signed { transaction, fee };
    pay::conclude(common, &mut session, &node, &signed, false)
}

fn finish(session: &Session, psbt: &mut Psbt) -> anyhow::Result<()> {
    let done = session
        .wallet
        .finalize_psbt(psbt, SignOptions::default())
        .context("the PSBT is damaged")?;
    if !done {
        bail!("signatures are missing; sign it first with `mend wallet psbt sign`");
    }
    Ok(())
}

/// What a signer should know before signing.
fn summary(session: &Session, psbt: &Psbt) -> Vec<String> {
    let mut lines = Vec::new();
    for output in &psbt.unsigned_tx.output {
        let place = Address::from_script(&output.script_pubkey, NETWORK).map_or_else(
            |_| output.script_pubkey.to_string(),
            |address| address.to_string(),
        );
        let verb = if session.wallet.is_mine(output.script_pubkey.clone()) {
            "returns"
        } else {
            "pays"
        };
        lines.push(format!(
            "{verb} {} BTC to {place}",
            amount::show(output.value)
        ));
    }
    if let Ok(fee) = psbt.fee() {
        lines.push(format!("fee {} BTC", amount::show(fee)));
    }
    lines
}

/// Reads a PSBT: base64 itself, a file of it (or of the binary form), or standard input.
fn read(given: &str) -> anyhow::Result<Psbt> {
    let mut bytes = Vec::new();
    if given == "-" {
        std::io::stdin()
            .read_to_end(&mut bytes)
            .context("cannot read standard input")?;
    } else if Path::new(given).exists() {
        bytes = std::fs::read(given).with_context(|| format!("cannot read {given}"))?;
    } else {
        bytes.extend(given.as_bytes());
    }
    let psbt = match std::str::from_utf8(&bytes) {
        Ok(text) => text.trim().parse::<Psbt>().map_err(anyhow::Error::new),
        Err(_) => Psbt::deserialize(&bytes).map_err(anyhow::Error::new),
    };
    psbt.context("this is not a PSBT; give base64, a file, or pipe one in")
}
