//! What calls give: JSON text.

use serde_json::value::RawValue;

use super::error::Failure;

/// What a call gives: JSON text.
pub type Reply = Box<RawValue>;

/// A result as JSON text.
///
/// # Errors
///
/// When it cannot be written as JSON, which is the node's own fault.
pub fn reply(result: &impl serde::Serialize) -> Result<Reply, Failure> {
    serde_json::value::to_raw_value(result)
        .map_err(|error| Failure::internal(format!("result cannot be written: {error}")))
}

/// The result null.
///
/// # Errors
///
/// Never; it has the form of a call's result.
pub fn null() -> Result<Reply, Failure> {
    Ok(RawValue::NULL.to_owned())
}
