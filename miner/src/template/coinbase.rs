//! The first transaction of a candidate: our own, or the one that the node gave.

use bitcoin::absolute::LockTime;
use bitcoin::consensus::deserialize;
use bitcoin::hex::FromHex;
use bitcoin::script::{Builder, PushBytesBuf, ScriptBuf};
use bitcoin::transaction::Version;
use bitcoin::{Amount, OutPoint, Sequence, Transaction, TxIn, TxOut, Witness};

use super::reply::{GivenCoinbase, TemplateError, TemplateReply, parse};

/// Names the software in the coinbase.
const TAG: &[u8] = b"/mend/";
/// The longest input script of a coinbase that consensus allows, in bytes.
const MAX_SCRIPT_BYTES: usize = 100;
/// The push of an extra nonce.
const EXTRA_NONCE_BYTES: usize = 9;
/// How the script of a witness commitment begins (BIP 141).
const COMMITMENT_START: [u8; 6] = [0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed];

/// Where coinbases come from.
#[derive(Clone, Debug)]
pub(super) enum Coinbase {
    /// We make them.
    Ours {
        height: u64,
        value: Amount,
        commitment: Option<ScriptBuf>,
    },
    /// The node made it, and it pays whom the node likes.
    Given {
        transaction: Box<Transaction>,
        /// Whether an extra nonce may be appended to its script.
        may_grow: bool,
    },
}

impl Coinbase {
    /// One of our own wherever the node lets us.
    pub(super) fn new(reply: &TemplateReply) -> Result<Coinbase, TemplateError> {
        if let Some(value) = reply.coinbasevalue {
            let commitment = reply.default_witness_commitment.as_deref().map(|script| {
                let field = "default_witness_commitment";
                parse(script, field, "a script in hex", |text| {
                    ScriptBuf::from_hex(text).ok()
                })
            });
            return Ok(Coinbase::Ours {
                height: reply.height,
                value: Amount::from_sat(value),
                commitment: commitment.transpose()?,
            });
        }
        match &reply.coinbasetxn {
            Some(given) => Coinbase::given(given, &reply.mutable),
            None => Err(TemplateError::NoCoinbase),
        }
    }

    fn given(given: &GivenCoinbase, mutable: &[String]) -> Result<Coinbase, TemplateError> {
        let expected = "a coinbase in hex";
        let mut transaction = parse(&given.data, "coinbasetxn.data", expected, |text| {
            let bytes = Vec::from_hex(text).ok()?;
            let transaction: Transaction = deserialize(&bytes).ok()?;
            transaction.is_coinbase().then_some(transaction)
        })?;
        let script = transaction.input[0].script_sig.len();
        let allowed = |word: &str| mutable.iter().any(|allowed| allowed == word);
        let may_grow = (allowed("coinbase") || allowed("coinbase/append"))
            && script + EXTRA_NONCE_BYTES <= MAX_SCRIPT_BYTES;
        let commits = transaction.output.iter().any(|output| {
            output
                .script_pubkey
                .as_bytes()
                .starts_with(&COMMITMENT_START)
        });
        if commits && transaction.input[0].witness.is_empty() {
            transaction.input[0].witness.push([0; 32]);
        }
        Ok(Coinbase::Given {
            transaction: Box::new(transaction),
            may_grow,
        })
    }

    /// Whether it pays whom the node likes.
    pub(super) fn is_given(&self) -> bool {
        matches!(self, Coinbase::Given { .. })
    }

    /// Whether different extra nonces give different coinbases.
    pub(super) fn varies(&self) -> bool {
        match self {
            Coinbase::Ours { .. } => true,
            Coinbase::Given { may_grow, .. } => *may_grow,
        }
    }

    /// The coinbase that pays `script_pubkey`, if that is ours to say.
    pub(super) fn build(&self, script_pubkey: &ScriptBuf, extra_nonce: u64) -> Transaction {
        match self {
            Coinbase::Ours {
                height,
                value,
                commitment,
            } => {
                let script = script(*height, extra_nonce);
                build_own(script, *value, script_pubkey, commitment.as_ref())
            }
            Coinbase::Given {
                transaction,
                may_grow,
            } => {
                let mut transaction = Transaction::clone(transaction);
                if *may_grow {
                    let script = transaction.input[0].script_sig.to_bytes();
                    transaction.input[0].script_sig = Builder::from(script)
                        .push_slice(extra_nonce.to_le_bytes())
                        .into_script();
                }
                transaction
            }
        }
    }
}

fn build_own(
    script_sig: ScriptBuf,
    value: Amount,
    script_pubkey: &ScriptBuf,
    commitment: Option<&ScriptBuf>,
) -> Transaction {
    let mut output = vec![TxOut {
        value,
        script_pubkey: script_pubkey.clone(),
    }];
    let mut witness = Witness::new();
    if let Some(commitment) = commitment {
        output.push(TxOut {
            value: Amount::ZERO,
            script_pubkey: commitment.clone(),
        });
        // The witness reserved value of BIP 141, all zero: the commitment was computed with it.
        witness.push([0; 32]);
    }
    Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint::null(),
            script_sig,
            sequence: Sequence::MAX,
            witness,
        }],
        output,
    }
}

/// The height as BIP 34 and Bitcoin Core want it (`OP_1` to `OP_16` for the first blocks), the extra nonce, our tag.
///
/// The extra nonce keeps it above the two bytes that consensus asks for, and all together stay far below 100.
fn script(height: u64, extra_nonce: u64) -> ScriptBuf {
    let tag = PushBytesBuf::try_from(TAG.to_vec()).expect("a few bytes fit a push");
    let height = Builder::new().push_int(i64::try_from(height).unwrap_or(i64::MAX));
    let extra = height.push_slice(extra_nonce.to_le_bytes());
    extra.push_slice(tag).into_script()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heights_are_pushed_as_core_does() {
        for (height, start) in [
            (1, vec![0x51]),
            (16, vec![0x60]),
            (17, vec![1, 17]),
            (128, vec![2, 128, 0]),
            (300, vec![2, 44, 1]),
        ] {
            let script = script(height, u64::MAX);
            assert!(
                script.as_bytes().starts_with(&start),
                "{height}: {script:?}"
            );
            assert!((2..=MAX_SCRIPT_BYTES).contains(&script.len()));
        }
    }
}
