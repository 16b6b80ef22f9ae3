//! [`SpendError`]: why a witness does not unlock an output.

/// Why a witness does not unlock an output. Bitcoin Core's script errors, as far as the two spend types can meet them.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum SpendError {
    /// A signature is wrong or empty, or the witness program reads as false.
    #[error("the signature does not fit the key and what is signed")]
    EvaluatesToFalse,
    /// BIP 141: a native witness program takes no scriptSig.
    #[error("the scriptSig of a witness spend is not empty")]
    ScriptSigNotEmpty,
    /// BIP 141: version 0 programs have 20 or 32 bytes.
    #[error("the version 0 witness program has neither 20 nor 32 bytes")]
    ProgramLength,
    /// P2WPKH takes two items; and a taproot script must be committed to by its output.
    #[error("the witness does not fit the witness program")]
    ProgramMismatch,
    /// P2TR takes at least one item.
    #[error("the witness is empty")]
    WitnessEmpty,
    /// P2WPKH: a witness item of more than 520 bytes.
    #[error("a witness item is longer than 520 bytes")]
    ItemTooLong,
    /// P2WPKH: the key does not have the output's hash.
    #[error("the key does not have the hash that the output demands")]
    WrongKey,
    /// BIP 66.
    #[error("the signature is not strictly DER")]
    NotStrictDer,
    /// BIP 341: 64 or 65 bytes.
    #[error("the schnorr signature has neither 64 nor 65 bytes")]
    SchnorrSize,
    /// BIP 341: an unknown type, an explicit 0x00, or SINGLE without an output beside the input.
    #[error("the schnorr signature has a signature-hash type that is not valid here")]
    SchnorrHashType,
    /// BIP 340.
    #[error("the schnorr signature does not fit the key and what is signed")]
    SchnorrSignature,
    /// BIP 341: 33 bytes and up to 128 hashes.
    #[error("the taproot control block has a wrong length")]
    ControlBlockSize,
    /// What Core would run a script for, and we refuse.
    #[error(transparent)]
    Unsupported(#[from] Unsupported),
}

impl SpendError {
    /// Bitcoin Core's reject reason for a block with such an input.
    #[must_use]
    pub fn block_reject_reason(self) -> &'static str {
        macro_rules! reason {
            ($script_error:literal) => {
                concat!("block-script-verify-flag-failed (", $script_error, ")")
            };
        }
        match self {
            SpendError::EvaluatesToFalse => reason!(
                "Script evaluated without error but finished with a false/empty top stack element"
            ),
            SpendError::ScriptSigNotEmpty => reason!("Witness requires empty scriptSig"),
            SpendError::ProgramLength => reason!("Witness program has incorrect length"),
            SpendError::ProgramMismatch => reason!("Witness program hash mismatch"),
            SpendError::WitnessEmpty => reason!("Witness program was passed an empty witness"),
            SpendError::ItemTooLong => reason!("Push value size limit exceeded"),
            SpendError::WrongKey => reason!("Script failed an OP_EQUALVERIFY operation"),
            SpendError::NotStrictDer => reason!("Non-canonical DER signature"),
            SpendError::SchnorrSize => reason!("Invalid Schnorr signature size"),
            SpendError::SchnorrHashType => reason!("Invalid Schnorr signature hash type"),
            SpendError::SchnorrSignature => reason!("Invalid Schnorr signature"),
            SpendError::ControlBlockSize => reason!("Invalid Taproot control block size"),
            SpendError::Unsupported(_) => reason!("Unsupported spend"),
        }
    }

    /// The part of [`SpendError::block_reject_reason`] between the brackets: Core's name of the script error, to which a
    /// mempool adds its own prefix.
    #[must_use]
    pub fn script_error(self) -> &'static str {
        self.block_reject_reason()
            .split_once(" (")
            .and_then(|(_, inner)| inner.strip_suffix(')'))
            .expect("every reason has brackets")
    }
}

/// What Bitcoin Core would run a script for. We have no script interpreter, so such coins stay where they are.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Unsupported {
    /// An output that is no witness program.
    #[error("only P2TR and P2WPKH outputs can be spent, this is a bare script")]
    Script,
    /// P2WSH, P2A, or a program of a version or length that has no meaning yet.
    #[error(
        "only P2TR and P2WPKH outputs can be spent, this is another witness program of version {version}"
    )]
    WitnessProgram {
        /// Its version, 0 to 16.
        version: u8,
    },
    /// A P2TR output through a script.
    #[error("P2TR outputs can only be spent by key, this is a script path")]
    ScriptPath,
}
