//! `psbt`: make, sign, finalise and send a payment in steps, where the keys are on another machine (BIP 174).

use std::io::Read as _;
use std::path::Path;

use anyhow::{Context, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bdk_wallet::{SignOptions, Wallet};
use bitcoin::{Address, Psbt};
use clap::Subcommand;
use serde_json::json;

use super::send::{PaymentArgs, usual_rate};
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
    let given = args.given_rate()?;
    let (mut session, node) = open_synced(common)?;
    let fee_rate = given.map_or_else(|| usual_rate(&node), Ok)?;
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
    complete(&session.wallet, &mut psbt);
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
    complete(&session.wallet, psbt);
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
    decode(&bytes).context("this is not a PSBT; give base64, a file, or pipe one in")
}

/// Base64, broken into lines or not, or the binary form; nothing may follow it.
fn decode(bytes: &[u8]) -> anyhow::Result<Psbt> {
    let psbt = match std::str::from_utf8(bytes) {
        Ok(text) => {
            let text: String = text.split_whitespace().collect();
            STANDARD.decode(text)?
        }
        Err(_) => bytes.to_vec(),
    };
    let mut rest = psbt.as_slice();
    let read = Psbt::deserialize_from_reader(&mut rest)?;
    if !rest.is_empty() {
        bail!("{} bytes follow its end", rest.len());
    }
    Ok(read)
}

/// Adds what the wallet knows of its own coins: other tools send either the spent output or its whole transaction.
fn complete(wallet: &Wallet, psbt: &mut Psbt) {
    for (input, spending) in psbt.inputs.iter_mut().zip(&psbt.unsigned_tx.input) {
        let spent = spending.previous_output;
        let Some(parent) = wallet.tx_graph().get_tx(spent.txid) else {
            // Unknown here: the whole transaction that came with it still names the output.
            if let Some(parent) = &input.non_witness_utxo
                && parent.compute_txid() == spent.txid
                && input.witness_utxo.is_none()
            {
                input.witness_utxo = parent.output.get(spent.vout as usize).cloned();
            }
            continue;
        };
        if input.witness_utxo.is_none() {
            input.witness_utxo = parent.output.get(spent.vout as usize).cloned();
        }
        if input.non_witness_utxo.is_none() {
            input.non_witness_utxo = Some((*parent).clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitcoin::{OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness};

    fn psbt() -> Psbt {
        Psbt::from_unsigned_tx(Transaction {
            version: bitcoin::transaction::Version::TWO,
            lock_time: bitcoin::absolute::LockTime::ZERO,
            input: vec![TxIn {
                previous_output: OutPoint::null(),
                script_sig: ScriptBuf::new(),
                sequence: Sequence::MAX,
                witness: Witness::new(),
            }],
            output: vec![TxOut {
                value: bitcoin::Amount::from_sat(5),
                script_pubkey: ScriptBuf::new(),
            }],
        })
        .expect("unsigned")
    }

    #[test]
    fn all_forms_of_a_psbt_are_read() {
        let bytes = psbt().serialize();
        let text = STANDARD.encode(&bytes);
        let (first, second) = text.split_at(40);
        for form in [text.clone(), format!("{first}\r\n  {second}\n")] {
            assert_eq!(decode(form.as_bytes()).expect("base64"), psbt());
        }
        assert_eq!(decode(&bytes).expect("binary"), psbt());
    }

    #[test]
    fn nothing_may_follow_a_psbt() {
        let mut bytes = psbt().serialize();
        bytes.push(0);
        for form in [bytes.clone(), STANDARD.encode(&bytes).into_bytes()] {
            let error = decode(&form).expect_err("a byte too many");
            assert!(error.to_string().contains("1 bytes follow"), "{error}");
        }
        assert!(decode(b"cHNidP8=").is_err());
    }
}
