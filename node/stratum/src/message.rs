//! The lines of Stratum V1: requests in, answers and notifications out. One JSON object each.

use serde::Serialize;
use serde_json::{Value, json};
use thiserror::Error;

/// What a miner asks.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Request {
    /// Echoed in the answer.
    pub(super) id: Value,
    pub(super) method: String,
    pub(super) params: Vec<Value>,
}

/// Why a request is not carried out.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum Refusal {
    /// It cannot be understood.
    #[error("{0}")]
    Malformed(&'static str),
    /// There is no such method here.
    #[error("unknown method")]
    UnknownMethod,
    /// A submission before `mining.subscribe`.
    #[error("not subscribed: send mining.subscribe first")]
    NotSubscribed,
    /// A worker who may not mine here.
    #[error("{0}")]
    Unauthorized(&'static str),
    /// A share for a job that was never given to this connection, or long ago.
    #[error("job not found")]
    JobNotFound,
    /// A share for a job whose parent is not the tip any more.
    #[error("stale: another block came")]
    Stale,
    /// A share that was accepted before.
    #[error("duplicate share")]
    Duplicate,
    /// A share without enough work.
    #[error("low difficulty: got {got}, need {need}")]
    LowDifficulty {
        /// Its difficulty.
        got: f64,
        /// That of the job.
        need: f64,
    },
    /// A share whose time no block could have.
    #[error("ntime {got:08x} is out of range: {least:08x} to {most:08x}")]
    TimeOutOfRange {
        /// Its time.
        got: u32,
        /// The earliest allowed.
        least: u32,
        /// The latest allowed.
        most: u32,
    },
    /// A share that changed version bits which were not agreed on.
    #[error("version bits {got:08x} lie outside the agreed mask {mask:08x}")]
    VersionOutsideMask {
        /// The bits of the share.
        got: u32,
        /// The bits that may be rolled.
        mask: u32,
    },
}

impl Refusal {
    /// The number that miners know it by.
    #[must_use]
    pub fn code(&self) -> i32 {
        match self {
            Refusal::Malformed(_)
            | Refusal::TimeOutOfRange { .. }
            | Refusal::VersionOutsideMask { .. } => 20,
            Refusal::JobNotFound | Refusal::Stale => 21,
            Refusal::Duplicate => 22,
            Refusal::LowDifficulty { .. } => 23,
            Refusal::Unauthorized(_) => 24,
            Refusal::NotSubscribed => 25,
            Refusal::UnknownMethod => -3,
        }
    }

    /// Whether it only came too late, as shares of honest miners do.
    pub(super) fn is_late(&self) -> bool {
        matches!(self, Refusal::JobNotFound | Refusal::Stale)
    }
}

/// Reads a line.
pub(super) fn parse(line: &[u8]) -> Result<Request, (Value, Refusal)> {
    let Ok(Value::Object(mut members)) = serde_json::from_slice(line) else {
        return Err((
            Value::Null,
            Refusal::Malformed("not a JSON object in a line"),
        ));
    };
    let id = match members.remove("id") {
        None => Value::Null,
        Some(id @ (Value::Null | Value::Number(_) | Value::String(_))) => id,
        Some(_) => {
            return Err((
                Value::Null,
                Refusal::Malformed("id must be a number or text"),
            ));
        }
    };
    let Some(Value::String(method)) = members.remove("method") else {
        return Err((id, Refusal::Malformed("method must be text")));
    };
    let params = match members.remove("params") {
        Some(Value::Array(params)) => params,
        None | Some(Value::Null) => Vec::new(),
        Some(_) => return Err((id, Refusal::Malformed("params must be a list"))),
    };
    Ok(Request { id, method, params })
}

/// The answer that it was done.
pub(super) fn answer(id: &Value, result: impl Serialize) -> String {
    line(&json!({ "id": id, "result": result, "error": null }))
}

/// The answer that it was not.
pub(super) fn refuse(id: &Value, refusal: &Refusal) -> String {
    let error = (refusal.code(), refusal.to_string(), Value::Null);
    line(&json!({ "id": id, "result": null, "error": error }))
}

/// What a miner is told unasked.
pub(super) fn notify(method: &str, params: impl Serialize) -> String {
    line(&json!({ "id": null, "method": method, "params": params }))
}

fn line(value: &Value) -> String {
    format!("{value}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_with_and_without_a_version() {
        let request = parse(br#"{"jsonrpc": "2.0", "id": 7, "method": "mining.x", "params": [1]}"#);
        let expected = Request {
            id: json!(7),
            method: "mining.x".to_owned(),
            params: vec![json!(1)],
        };
        assert_eq!(request, Ok(expected));
        let bare = parse(br#"{"method": "m"}"#).expect("no id and no params");
        assert_eq!((bare.id, bare.params), (Value::Null, vec![]));
    }

    #[test]
    fn what_is_not_a_request_is_refused_with_its_id_where_it_has_one() {
        for (line, id) in [
            (&b"junk"[..], Value::Null),
            (b"", Value::Null),
            (b"[]", Value::Null),
            (b"3", Value::Null),
            (b"\xff\xfe", Value::Null),
            (br#"{"id": {"a": 1}, "method": "m"}"#, Value::Null),
            (br#"{"id": 3}"#, json!(3)),
            (br#"{"id": "x", "method": 5}"#, json!("x")),
            (br#"{"id": 4, "method": "m", "params": {"a": 1}}"#, json!(4)),
        ] {
            let (got, refusal) = parse(line).expect_err("no request");
            assert_eq!((got, refusal.code()), (id, 20));
        }
    }

    #[test]
    fn answers_have_all_three_members() {
        assert_eq!(
            answer(&json!(1), true),
            "{\"id\":1,\"result\":true,\"error\":null}\n"
        );
        let refused = refuse(&json!(4), &Refusal::Duplicate);
        let expected = "{\"id\":4,\"result\":null,\"error\":[22,\"duplicate share\",null]}\n";
        assert_eq!(refused, expected);
    }
}
