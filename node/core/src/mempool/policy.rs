//! What is relayed, beyond what is valid: Bitcoin Core's policy, as far as our two kinds of spends can meet it.

use bitcoin::secp256k1::ecdsa;
use bitcoin::{Amount, EcdsaSighashType, Script, Transaction, TxIn, TxOut, Weight};

use super::error::MempoolError;
use super::rate::SatPerKvb;

/// Heaviest transaction that is relayed.
pub const MAX_STANDARD_WEIGHT: Weight = Weight::from_wu(400_000);
/// Fewest bytes without witnesses: one more than a node of the merkle tree.
pub const MIN_STANDARD_STRIPPED_SIZE: usize = 65;
/// Largest transaction version that is relayed.
pub const MAX_STANDARD_VERSION: i32 = 3;
/// Bytes of OP_RETURN scripts in one transaction (`-datacarriersize` of Core 30 and later).
pub const MAX_DATA_CARRIER_BYTES: usize = 100_000;
/// A fifth of what a block may hold.
pub const MAX_STANDARD_SIGOPS_COST: u64 = 16_000;
/// Virtual bytes that one signature operation counts for at least.
const VBYTES_PER_SIGOP: u64 = 20;
/// Least rate that is relayed (`-minrelaytxfee` of Core 30 and later: 0.1 sat/vB).
pub const MIN_RELAY_FEE: SatPerKvb = SatPerKvb(100);
/// What a replacement pays for its own relay, and by how much the floor rises above what was evicted.
pub const INCREMENTAL_RELAY_FEE: SatPerKvb = SatPerKvb(100);
/// An output is dust if spending it at this rate costs more than it is worth.
const DUST_RELAY_FEE: SatPerKvb = SatPerKvb(3_000);
/// Bytes of a witness input as Core counts them for dust: outpoint, lengths, sequence, and a quarter of 107.
const WITNESS_INPUT_VBYTES: u64 = 32 + 4 + 1 + 107 / 4 + 4;
/// The same for an input without a witness.
const OTHER_INPUT_VBYTES: u64 = 32 + 4 + 1 + 107 + 4;
/// The first byte of a taproot annex (BIP 341).
const ANNEX_TAG: u8 = 0x50;

/// Limits on unconfirmed transactions that hang together, the transaction itself included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainLimits {
    /// Most ancestors.
    pub ancestors: u64,
    /// Virtual bytes of ancestors.
    pub ancestor_vsize: u64,
    /// Most descendants of any ancestor.
    pub descendants: u64,
    /// Virtual bytes of descendants of any ancestor.
    pub descendant_vsize: u64,
}

/// Core's limits before version 31, which wallets know.
pub const CHAIN_LIMITS: ChainLimits = ChainLimits {
    ancestors: 25,
    ancestor_vsize: 101_000,
    descendants: 25,
    descendant_vsize: 101_000,
};

/// Limits for what a reorg gives back: chains that a block could hold, and that are still cheap to keep in order.
pub const RETURNED_CHAIN_LIMITS: ChainLimits = ChainLimits {
    ancestors: 500,
    ancestor_vsize: 1_000_000,
    descendants: 500,
    descendant_vsize: 1_000_000,
};

/// Which outputs are relayed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OutputKinds {
    /// Those that can be spent again on this network, and OP_RETURN.
    #[default]
    Spendable,
    /// All that a block may hold: tests that were written for other chains pay to addresses which are dead ends here.
    Any,
}

/// Virtual bytes: a quarter of the weight rounded up, or more where signature operations are dense.
#[must_use]
pub fn virtual_size(weight: Weight, sigops: u64) -> u64 {
    weight
        .to_wu()
        .max(4 * VBYTES_PER_SIGOP * sigops)
        .div_ceil(4)
}

/// Checks the form of a transaction that nothing else is known of, as Core's `IsStandardTx` and in its order.
///
/// # Errors
///
/// The first policy that it does not meet.
pub fn check_form(transaction: &Transaction, kinds: OutputKinds) -> Result<(), MempoolError> {
    let got = transaction.version.0;
    if !(1..=MAX_STANDARD_VERSION).contains(&got) {
        return Err(MempoolError::Version {
            got,
            max: MAX_STANDARD_VERSION,
        });
    }
    let got = transaction.weight();
    if got > MAX_STANDARD_WEIGHT {
        return Err(MempoolError::TooHeavy {
            got,
            limit: MAX_STANDARD_WEIGHT,
        });
    }
    check_outputs(&transaction.output, kinds)?;
    let got = transaction.base_size();
    if got < MIN_STANDARD_STRIPPED_SIZE {
        return Err(MempoolError::TooSmall {
            got,
            min: MIN_STANDARD_STRIPPED_SIZE,
        });
    }
    Ok(())
}

fn check_outputs(outputs: &[TxOut], kinds: OutputKinds) -> Result<(), MempoolError> {
    let mut data = 0;
    for (output, TxOut { script_pubkey, .. }) in outputs.iter().enumerate() {
        if script_pubkey.is_op_return() {
            data += script_pubkey.len();
        } else if kinds == OutputKinds::Spendable
            && !chain::script::is_spendable_kind(script_pubkey)
        {
            return Err(MempoolError::OutputKind { output });
        }
    }
    if data > MAX_DATA_CARRIER_BYTES {
        return Err(MempoolError::DataCarrier {
            got: data,
            limit: MAX_DATA_CARRIER_BYTES,
        });
    }
    for (
        output,
        TxOut {
            value,
            script_pubkey,
        },
    ) in outputs.iter().enumerate()
    {
        let min = dust_limit(script_pubkey);
        if *value < min {
            return Err(MempoolError::Dust {
                output,
                got: *value,
                min,
            });
        }
    }
    Ok(())
}

/// The least that an output of this kind may pay: 330 sat for P2TR, 294 for P2WPKH, 546 for P2PKH, nothing for OP_RETURN.
#[must_use]
pub fn dust_limit(script: &Script) -> Amount {
    if script.is_op_return() {
        return Amount::ZERO;
    }
    let output = TxOut {
        value: Amount::ZERO,
        script_pubkey: script.into(),
    };
    let input = match script.is_witness_program() {
        true => WITNESS_INPUT_VBYTES,
        false => OTHER_INPUT_VBYTES,
    };
    DUST_RELAY_FEE.fee_for(output.size() as u64 + input)
}

/// Checks the form of the inputs, `spent[i]` being the script that input `i` unlocks: no scriptSig, no annex, and for P2WPKH
/// compressed keys and signatures with low S and a defined signature-hash type.
///
/// # Errors
///
/// The first policy that it does not meet.
pub fn check_witnesses<'a>(
    inputs: &[TxIn],
    spent: impl Iterator<Item = &'a Script>,
) -> Result<(), MempoolError> {
    for (index, (input, script)) in inputs.iter().zip(spent).enumerate() {
        if !input.script_sig.is_empty() {
            return Err(MempoolError::ScriptSig { input: index });
        }
        let items = input.witness.len();
        if script.is_p2tr() && items >= 2 {
            let last = input.witness.last().unwrap_or_default();
            if last.first() == Some(&ANNEX_TAG) {
                return Err(MempoolError::Annex { input: index });
            }
        }
        if script.is_p2wpkh()
            && let (Some(signature), Some(key)) = (input.witness.nth(0), input.witness.nth(1))
            && let Err(reason) = check_ecdsa_form(signature, key)
        {
            return Err(MempoolError::NonStandardSignature {
                input: index,
                reason,
            });
        }
    }
    Ok(())
}

/// What consensus takes and relay does not; anything worse is left to the rules.
fn check_ecdsa_form(signature: &[u8], key: &[u8]) -> Result<(), &'static str> {
    let Some((hash_type, der)) = signature.split_last() else {
        return Ok(());
    };
    let Ok(mut parsed) = ecdsa::Signature::from_der(der) else {
        return Ok(());
    };
    let as_given = parsed;
    parsed.normalize_s();
    if parsed != as_given {
        return Err("Non-canonical signature: S value is unnecessarily high");
    }
    if EcdsaSighashType::from_standard(u32::from(*hash_type)).is_err() {
        return Err("Signature hash type missing or not understood");
    }
    let compressed = key.len() == 33 && matches!(key[0], 2 | 3);
    let uncompressed = key.len() == 65 && key[0] == 4;
    if !compressed && !uncompressed {
        return Err("Public key is neither compressed or uncompressed");
    }
    if !compressed {
        return Err("Using non-compressed keys in segwit");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use bitcoin::absolute::LockTime;
    use bitcoin::{ScriptBuf, opcodes, transaction};

    use super::*;

    fn p2tr() -> ScriptBuf {
        let mut script = vec![0x51, 32];
        script.extend([7; 32]);
        ScriptBuf::from_bytes(script)
    }

    fn p2wpkh() -> ScriptBuf {
        let mut script = vec![0, 20];
        script.extend([7; 20]);
        ScriptBuf::from_bytes(script)
    }

    fn paying(value: u64, script_pubkey: ScriptBuf) -> Transaction {
        Transaction {
            version: transaction::Version::TWO,
            lock_time: LockTime::ZERO,
            input: vec![TxIn::default()],
            output: vec![TxOut {
                value: Amount::from_sat(value),
                script_pubkey,
            }],
        }
    }

    fn reason(transaction: &Transaction) -> String {
        check_form(transaction, OutputKinds::Spendable)
            .expect_err("not standard")
            .reject_reason()
            .into_owned()
    }

    #[test]
    fn dust_limits_are_those_that_wallets_know() {
        assert_eq!(dust_limit(&p2tr()), Amount::from_sat(330));
        assert_eq!(dust_limit(&p2wpkh()), Amount::from_sat(294));
        assert!(check_form(&paying(330, p2tr()), OutputKinds::Spendable).is_ok());
        assert_eq!(reason(&paying(329, p2tr())), "dust");
        assert!(check_form(&paying(294, p2wpkh()), OutputKinds::Spendable).is_ok());
        assert_eq!(reason(&paying(293, p2wpkh())), "dust");
    }

    #[test]
    fn outputs_that_nobody_could_spend_are_refused() {
        let p2pkh = [&[0x76, 0xa9, 20][..], &[1; 20], &[0x88, 0xac]].concat();
        let p2pkh = ScriptBuf::from_bytes(p2pkh);
        assert_eq!(reason(&paying(10_000, p2pkh.clone())), "scriptpubkey");
        // Unless that is wished for, and even then not as dust.
        let any = |value| check_form(&paying(value, p2pkh.clone()), OutputKinds::Any);
        assert!(any(546).is_ok());
        let error = any(545).expect_err("dust");
        assert_eq!(error.reject_reason(), "dust");
        assert_eq!(reason(&paying(10_000, ScriptBuf::new())), "scriptpubkey");
    }

    #[test]
    fn data_outputs_are_bounded_by_bytes() {
        let data = |len: usize| {
            let mut script = vec![opcodes::all::OP_RETURN.to_u8()];
            script.resize(len, 1);
            ScriptBuf::from_bytes(script)
        };
        // 100 kB outside the witness weigh 400,000: the weight limit comes first by a few bytes.
        assert!(check_form(&paying(0, data(99_900)), OutputKinds::Spendable).is_ok());
        assert_eq!(reason(&paying(0, data(100_001))), "tx-size");
        let sum = [TxOut {
            value: Amount::ZERO,
            script_pubkey: data(60_000),
        }];
        let error = check_outputs(&[&sum[..], &sum[..]].concat(), OutputKinds::Spendable)
            .expect_err("too much");
        assert_eq!(error.reject_reason(), "datacarrier");
    }

    #[test]
    fn versions_one_to_three_are_relayed() {
        for (version, ok) in [(0, false), (1, true), (3, true), (4, false), (-1, false)] {
            let mut tx = paying(1_000, p2tr());
            tx.version = transaction::Version(version);
            assert_eq!(
                check_form(&tx, OutputKinds::Spendable).is_ok(),
                ok,
                "version {version}"
            );
        }
    }

    #[test]
    fn small_transactions_are_refused() {
        let mut tx = paying(0, ScriptBuf::from_bytes(vec![0x6a, 1, 1]));
        assert_eq!(tx.base_size(), 63);
        assert_eq!(reason(&tx), "tx-size-small");
        tx.output[0].script_pubkey = ScriptBuf::from_bytes(vec![0x6a, 3, 1, 1, 1]);
        assert!(check_form(&tx, OutputKinds::Spendable).is_ok());
    }

    #[test]
    fn dense_signature_operations_count_as_size() {
        assert_eq!(virtual_size(Weight::from_wu(401), 1), 101);
        assert_eq!(virtual_size(Weight::from_wu(400), 10), 200);
    }
}
