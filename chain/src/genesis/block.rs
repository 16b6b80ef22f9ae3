//! Block 0 from its description.

use bitcoin::absolute::LockTime;
use bitcoin::block::{Header, Version};
use bitcoin::hashes::Hash;
use bitcoin::script::{Builder, PushBytesBuf};
use bitcoin::transaction::Version as TxVersion;
use bitcoin::{
    Amount, Block, BlockHash, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxMerkleNode,
    TxOut, Txid, Witness,
};

use super::error::GenesisError;
use super::file::{Allocation, GenesisSection};
use crate::address::{AddressError, parse_address};
use crate::script::is_spendable_kind;

/// Bytes of the message: enough that the coinbase is not 64 bytes long, and few enough for one plain push.
const MESSAGE_BYTES: std::ops::RangeInclusive<usize> = 4..=75;

/// The block that `section` and `allocations` describe, with the nonce and merkle root that `section` claims.
pub(super) fn build(
    section: &GenesisSection,
    allocations: &[Allocation],
) -> Result<Block, GenesisError> {
    let mut txdata = vec![coinbase(&section.message)?];
    if !allocations.is_empty() {
        txdata.push(allocation_transaction(allocations)?);
    }
    let header = Header {
        version: Version::from_consensus(section.version),
        prev_blockhash: BlockHash::all_zeros(),
        merkle_root: section.merkle_root,
        time: section.time,
        bits: section.bits.0,
        nonce: section.nonce,
    };
    Ok(Block { header, txdata })
}

/// The root of the transactions.
pub(super) fn merkle_root(block: &Block) -> TxMerkleNode {
    block.compute_merkle_root().expect("block 0 has a coinbase")
}

/// Block 0's coinbase: the message, and an output that nobody can spend.
fn coinbase(message: &str) -> Result<Transaction, GenesisError> {
    let wrong = |got: String| {
        let (min, max) = (MESSAGE_BYTES.start(), MESSAGE_BYTES.end());
        GenesisError::new(
            "genesis.message",
            format!("got {got}, expected {min} to {max} bytes"),
        )
    };
    if !MESSAGE_BYTES.contains(&message.len()) {
        return Err(wrong(format!("{} bytes", message.len())));
    }
    let message = PushBytesBuf::try_from(message.as_bytes().to_vec())
        .map_err(|error| wrong(error.to_string()))?;
    let script_sig = Builder::new().push_slice(message).into_script();
    let output = TxOut {
        value: Amount::ZERO,
        script_pubkey: ScriptBuf::from_bytes(vec![0x6a]),
    };
    Ok(transaction(OutPoint::null(), script_sig, vec![output]))
}

/// The coins that exist from the start. The input names outpoint 0 of the zero id: a coinbase's would be the last outpoint, so wallets
/// do not take these outputs for immature ones.
fn allocation_transaction(allocations: &[Allocation]) -> Result<Transaction, GenesisError> {
    let outputs: Result<Vec<TxOut>, GenesisError> = allocations
        .iter()
        .enumerate()
        .map(|(index, allocation)| output(index, allocation))
        .collect();
    let nothing = OutPoint {
        txid: Txid::all_zeros(),
        vout: 0,
    };
    Ok(transaction(nothing, ScriptBuf::new(), outputs?))
}

fn output(index: usize, allocation: &Allocation) -> Result<TxOut, GenesisError> {
    let wrong = |problem: String| {
        let problem = format!("got {:?}: {problem}", allocation.address);
        GenesisError::new(format!("allocations[{index}].address"), problem)
    };
    let address = parse_address(&allocation.address).map_err(|error| match error {
        AddressError::Malformed(error) => wrong(error.to_string()),
        AddressError::OtherNetwork => wrong("expected an address of regtest, bcrt1...".to_owned()),
    })?;
    let script_pubkey = address.script_pubkey();
    if !is_spendable_kind(&script_pubkey) {
        return Err(wrong(
            "expected P2TR (bcrt1p...) or P2WPKH (bcrt1q...)".to_owned(),
        ));
    }
    Ok(TxOut {
        value: Amount::from_sat(allocation.amount_sat),
        script_pubkey,
    })
}

fn transaction(spends: OutPoint, script_sig: ScriptBuf, output: Vec<TxOut>) -> Transaction {
    let input = TxIn {
        previous_output: spends,
        script_sig,
        sequence: Sequence::MAX,
        witness: Witness::new(),
    };
    Transaction {
        version: TxVersion::TWO,
        lock_time: LockTime::ZERO,
        input: vec![input],
        output,
    }
}
