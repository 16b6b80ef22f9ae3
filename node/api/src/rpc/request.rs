//! From the bytes of an HTTP body to requests, and from results to the bytes of a reply.
//!
//! Version 1 and 2 of JSON-RPC differ as in Bitcoin Core: version 1 always has both `result` and `error`, and an error decides the
//! HTTP status; version 2 has one of them, status 200, and no reply at all to a request without `id`.

use axum::body::Bytes;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::error::{Failure, code};
use super::reply::Reply;
use super::strict;
use crate::limits::{MAX_BATCH, SMALL_BODY_BYTES};

/// One request, taken apart.
#[derive(Debug, PartialEq)]
pub struct Request {
    /// Which dialect the reply has.
    pub version: Version,
    /// Echoed in the reply; `None` where it was absent.
    pub id: Option<Value>,
    /// The call.
    pub method: String,
    /// An array, an object, or null.
    pub params: Value,
}

/// A dialect of JSON-RPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// As Bitcoin always spoke it.
    One,
    /// 2.0.
    Two,
}

/// What an HTTP body asks.
#[derive(Debug)]
pub enum Asked {
    /// One request, or what is wrong with it.
    Single(Result<Request, Refused>),
    /// Several.
    Batch(Vec<Result<Request, Refused>>),
}

/// A request that is none, with as much of it as the reply needs.
#[derive(Debug, PartialEq)]
pub struct Refused {
    /// Which dialect the reply has.
    pub version: Version,
    /// Echoed in the reply.
    pub id: Option<Value>,
    /// What is wrong.
    pub failure: Failure,
}

impl Refused {
    fn new(failure: Failure) -> Refused {
        Refused {
            version: Version::One,
            id: None,
            failure,
        }
    }
}

/// Reads an HTTP body.
pub fn parse(body: &[u8]) -> Asked {
    match strict::from_slice(body) {
        Err(strict::Problem::Repeated(key)) => {
            let text = format!("Invalid parameter, duplicate key: {key}");
            Asked::Single(Err(Refused::new(Failure::new(
                code::INVALID_PARAMETER,
                text,
            ))))
        }
        Ok(Value::Array(list)) if list.len() > MAX_BATCH => {
            let text = format!(
                "a batch has at most {MAX_BATCH} requests, got {}",
                list.len()
            );
            Asked::Single(Err(Refused::new(Failure::new(code::INVALID_REQUEST, text))))
        }
        Ok(Value::Array(list)) => Asked::Batch(list.into_iter().map(parse_one).collect()),
        Ok(value @ Value::Object(_)) => Asked::Single(parse_one(value)),
        Ok(_) => Asked::Single(Err(Refused::new(Failure::new(
            code::PARSE,
            "Top-level object parse error",
        )))),
        Err(strict::Problem::NotJson) => {
            Asked::Single(Err(Refused::new(Failure::new(code::PARSE, "Parse error"))))
        }
    }
}

/// As [`parse`], away from the threads that serve connections when the body is large.
pub async fn parse_off_worker(body: Bytes) -> Asked {
    if body.len() <= SMALL_BODY_BYTES {
        return parse(&body);
    }
    let parsed = tokio::task::spawn_blocking(move || parse(&body)).await;
    parsed.unwrap_or_else(|_| Asked::Batch(Vec::new()))
}

fn parse_one(value: Value) -> Result<Request, Refused> {
    let Value::Object(mut object) = value else {
        return Err(Refused::new(Failure::new(
            code::INVALID_REQUEST,
            "Invalid Request object",
        )));
    };
    // First what the reply needs, so that an error has the right form.
    let id = object.remove("id");
    let mut version = Version::One;
    let refuse = |version, id: Option<Value>, message: &str| Refused {
        version,
        id,
        failure: Failure::new(code::INVALID_REQUEST, message),
    };
    match object.get("jsonrpc") {
        None => {}
        Some(Value::Null) => {}
        Some(Value::String(text)) if text == "1.0" => {}
        Some(Value::String(text)) if text == "2.0" => version = Version::Two,
        Some(Value::String(_)) => {
            return Err(refuse(version, id, "JSON-RPC version not supported"));
        }
        Some(_) => return Err(refuse(version, id, "jsonrpc field must be a string")),
    }
    let method = match object.remove("method") {
        Some(Value::String(method)) => method,
        Some(_) => return Err(refuse(version, id, "Method must be a string")),
        None => return Err(refuse(version, id, "Missing method")),
    };
    let params = match object.remove("params") {
        None => Value::Null,
        Some(params @ (Value::Array(_) | Value::Object(_) | Value::Null)) => params,
        Some(_) => return Err(refuse(version, id, "Params must be an array or object")),
    };
    Ok(Request {
        version,
        id,
        method,
        params,
    })
}

/// The JSON of one reply.
pub fn reply_json(version: Version, id: Option<&Value>, result: &Result<Reply, Failure>) -> String {
    #[derive(Serialize)]
    struct One<'a> {
        result: Option<&'a RawValue>,
        error: Option<&'a Failure>,
        id: Option<&'a Value>,
    }
    #[derive(Serialize)]
    struct Two<'a> {
        jsonrpc: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        result: Option<&'a RawValue>,
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<&'a Failure>,
        id: Option<&'a Value>,
    }
    let (result, error) = match result {
        Ok(reply) => (Some(&**reply), None),
        Err(failure) => (None, Some(failure)),
    };
    let json = match version {
        Version::One => serde_json::to_string(&One { result, error, id }),
        Version::Two => serde_json::to_string(&Two {
            jsonrpc: "2.0",
            result,
            error,
            id,
        }),
    };
    json.expect("strings, numbers and raw JSON can be written")
}

/// The HTTP status of a single reply.
pub fn http_status(version: Version, result: &Result<Reply, Failure>) -> u16 {
    match (version, result) {
        (_, Ok(_)) | (Version::Two, Err(_)) => 200,
        (Version::One, Err(failure)) => match failure.code {
            code::METHOD_NOT_FOUND => 404,
            code::INVALID_REQUEST => 400,
            _ => 500,
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn single(body: &str) -> Result<Request, Refused> {
        match parse(body.as_bytes()) {
            Asked::Single(request) => request,
            Asked::Batch(_) => panic!("a batch"),
        }
    }

    #[test]
    fn requests_of_both_versions_are_taken_apart() {
        let request = single(r#"{"method":"a","params":[1],"id":0}"#).expect("valid");
        assert_eq!(request.version, Version::One);
        assert_eq!((request.id, request.params), (Some(json!(0)), json!([1])));
        let request = single(r#"{"jsonrpc":"2.0","method":"a"}"#).expect("valid");
        assert_eq!((request.version, request.id), (Version::Two, None));
    }

    #[test]
    fn what_is_wrong_is_said_as_bitcoin_core_does() {
        for (body, code, message) in [
            ("{", -32700, "Parse error"),
            ("5", -32700, "Top-level object parse error"),
            (r#"{"id":1}"#, -32600, "Missing method"),
            (r#"{"method":5}"#, -32600, "Method must be a string"),
            (
                r#"{"method":"a","params":5}"#,
                -32600,
                "Params must be an array or object",
            ),
            (
                r#"{"method":"a","jsonrpc":"3.0"}"#,
                -32600,
                "JSON-RPC version not supported",
            ),
            (
                r#"{"method":"a","jsonrpc":2}"#,
                -32600,
                "jsonrpc field must be a string",
            ),
        ] {
            let refused = single(body).expect_err(body);
            assert_eq!(refused.failure, Failure::new(code, message), "{body}");
        }
        let deep = "[".repeat(100_000);
        assert!(single(&deep).is_err());
    }

    #[test]
    fn replies_have_both_members_in_version_one_only() {
        let null = Ok(RawValue::from_string("null".into()).expect("JSON"));
        assert_eq!(
            reply_json(Version::One, Some(&json!(0)), &null),
            r#"{"result":null,"error":null,"id":0}"#
        );
        assert_eq!(
            reply_json(Version::Two, Some(&json!("x")), &null),
            r#"{"jsonrpc":"2.0","result":null,"id":"x"}"#
        );
        let failed = Err(Failure::new(code::METHOD_NOT_FOUND, "Method not found"));
        assert_eq!(
            reply_json(Version::One, None, &failed),
            r#"{"result":null,"error":{"code":-32601,"message":"Method not found"},"id":null}"#
        );
        assert_eq!(http_status(Version::One, &failed), 404);
        assert_eq!(http_status(Version::Two, &failed), 200);
    }
}
