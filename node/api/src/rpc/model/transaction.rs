//! Transactions as Bitcoin Core shows them.

use bitcoin::consensus::encode::serialize_hex;
use bitcoin::hex::DisplayHex;
use bitcoin::{Amount, BlockHash, Script, Transaction, TxIn, TxOut, Txid, Wtxid};
use chain::Coin;
use serde::Serialize;

use super::Btc;
use super::script::{ScriptPubKey, asm};

/// A decoded transaction.
#[derive(Clone, Debug, Serialize)]
pub struct DecodedTransaction {
    txid: Txid,
    hash: Wtxid,
    version: u32,
    size: usize,
    vsize: usize,
    weight: u64,
    locktime: u32,
    vin: Vec<Input>,
    vout: Vec<Output>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fee: Option<Btc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hex: Option<String>,
}

/// A transaction and where it is.
#[derive(Clone, Debug, Serialize)]
pub struct LocatedTransaction {
    /// Present when the caller named the block.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_active_chain: Option<bool>,
    /// The transaction.
    #[serde(flatten)]
    pub transaction: DecodedTransaction,
    /// Where it was found in a block.
    #[serde(flatten)]
    pub place: Option<Place>,
}

/// Where a transaction was found in a block.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Place {
    /// The block.
    pub blockhash: BlockHash,
    /// 0 in a block that is not active.
    pub confirmations: i64,
    /// The block's time, if it is active.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<u32>,
    /// The same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocktime: Option<u32>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
enum Input {
    Coinbase {
        coinbase: String,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        txinwitness: Vec<String>,
        sequence: u32,
    },
    Spend(Box<Spend>),
}

#[derive(Clone, Debug, Serialize)]
struct Spend {
    txid: Txid,
    vout: u32,
    #[serde(rename = "scriptSig")]
    script_sig: ScriptSig,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    txinwitness: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prevout: Option<Previous>,
    sequence: u32,
}

#[derive(Clone, Debug, Serialize)]
struct ScriptSig {
    asm: String,
    hex: String,
}

#[derive(Clone, Debug, Serialize)]
struct Previous {
    generated: bool,
    height: u32,
    value: Btc,
    #[serde(rename = "scriptPubKey")]
    script: ScriptPubKey,
}

#[derive(Clone, Debug, Serialize)]
struct Output {
    value: Btc,
    n: usize,
    #[serde(rename = "scriptPubKey")]
    script: ScriptPubKey,
}

/// What is shown beside the transaction itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Detail<'a> {
    /// The coins that it spends, in input order: gives the fee.
    pub spent: Option<&'a [Coin]>,
    /// Show the coins.
    pub prevouts: bool,
    /// Show the bytes.
    pub hex: bool,
}

impl DecodedTransaction {
    /// How `transaction` is shown.
    pub fn new(transaction: &Transaction, detail: Detail<'_>) -> DecodedTransaction {
        let coins = detail
            .spent
            .filter(|spent| spent.len() == transaction.input.len());
        let inputs = transaction.input.iter().enumerate().map(|(index, input)| {
            let coin = coins.map(|coins| &coins[index]);
            decoded_input(input, coin.filter(|_| detail.prevouts))
        });
        let outputs = transaction.output.iter().enumerate();
        DecodedTransaction {
            txid: transaction.compute_txid(),
            hash: transaction.compute_wtxid(),
            version: transaction.version.0.cast_unsigned(),
            size: transaction.total_size(),
            vsize: transaction.vsize(),
            weight: transaction.weight().to_wu(),
            locktime: transaction.lock_time.to_consensus_u32(),
            vin: inputs.collect(),
            vout: outputs
                .map(|(n, output)| decoded_output(n, output))
                .collect(),
            fee: coins
                .filter(|_| !transaction.is_coinbase())
                .and_then(|coins| fee(transaction, coins))
                .map(Btc),
            hex: detail.hex.then(|| serialize_hex(transaction)),
        }
    }
}

/// What a transaction pays; `None` if its outputs exceed its inputs.
pub fn fee(transaction: &Transaction, spent: &[Coin]) -> Option<Amount> {
    let inputs = sum(spent.iter().map(|coin| coin.output.value))?;
    let outputs = sum(transaction.output.iter().map(|output| output.value))?;
    inputs.checked_sub(outputs)
}

fn sum(mut amounts: impl Iterator<Item = Amount>) -> Option<Amount> {
    amounts.try_fold(Amount::ZERO, Amount::checked_add)
}

fn decoded_input(input: &TxIn, coin: Option<&Coin>) -> Input {
    let txinwitness = input
        .witness
        .iter()
        .map(|item| item.to_lower_hex_string())
        .collect();
    let sequence = input.sequence.to_consensus_u32();
    if input.previous_output.is_null() {
        return Input::Coinbase {
            coinbase: input.script_sig.to_hex_string(),
            txinwitness,
            sequence,
        };
    }
    let script: &Script = &input.script_sig;
    Input::Spend(Box::new(Spend {
        txid: input.previous_output.txid,
        vout: input.previous_output.vout,
        script_sig: ScriptSig {
            asm: asm(script),
            hex: script.to_hex_string(),
        },
        txinwitness,
        prevout: coin.map(|coin| Previous {
            generated: coin.coinbase,
            height: coin.height.0,
            value: Btc(coin.output.value),
            script: ScriptPubKey::new(&coin.output.script_pubkey),
        }),
        sequence,
    }))
}

fn decoded_output(n: usize, output: &TxOut) -> Output {
    Output {
        value: Btc(output.value),
        n,
        script: ScriptPubKey::new(&output.script_pubkey),
    }
}
