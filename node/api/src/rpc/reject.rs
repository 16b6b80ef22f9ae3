//! Why a block is refused, in BIP 22's words.

use chain::AcceptError;

/// BIP 22's word for why a block was not taken.
pub(super) fn reject_reason(error: &AcceptError) -> String {
    match error {
        AcceptError::Rule(rule) => rule.reject_reason().into_owned(),
        AcceptError::UnknownParent { .. } => "inconclusive-not-best-prevblk".to_owned(),
        AcceptError::KnownInvalid { .. } => "duplicate-invalid".to_owned(),
        AcceptError::InvalidParent { .. } => "bad-prevblk".to_owned(),
        AcceptError::Store(error) => error.to_string(),
    }
}
