//! [`GenesisError`]: which field of a `genesis.json` is wrong.

/// Why a `genesis.json` is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("genesis: {field}: {problem}")]
pub struct GenesisError {
    /// Path of the field, as in `pow.limit`.
    pub field: String,
    /// Got and expected.
    pub problem: String,
}

impl GenesisError {
    pub(crate) fn new(field: impl Into<String>, problem: impl Into<String>) -> GenesisError {
        GenesisError {
            field: field.into(),
            problem: problem.into(),
        }
    }
}
