//! [`Refusal`]: why a request has no answer.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use rpc_client::RpcError;
use serde_json::json;

use crate::real::LabError;

/// Why a request has no answer: a status, and a line for people.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) text: String,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, text: impl Into<String>) -> Refusal {
        Refusal {
            status,
            text: text.into(),
        }
    }

    pub(super) fn bad(text: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::BAD_REQUEST, text)
    }

    pub(super) fn internal(text: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, text)
    }

    /// For those who asked in JSON.
    pub(super) fn into_json(self) -> Response {
        let kind = [(header::CONTENT_TYPE, "application/json")];
        (self.status, kind, json!({"error": self.text}).to_string()).into_response()
    }
}

impl IntoResponse for Refusal {
    /// Plain text: regtest-client makes it the message of its error.
    fn into_response(self) -> Response {
        let kind = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
        (self.status, kind, self.text).into_response()
    }
}

impl From<RpcError> for Refusal {
    fn from(error: RpcError) -> Refusal {
        let status = match &error {
            RpcError::Rpc { code: -5, .. } => StatusCode::NOT_FOUND,
            RpcError::Rpc { code, .. } if *code > -32_000 => StatusCode::BAD_REQUEST,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        let text = match error {
            RpcError::Rpc { message, .. } => message,
            other => other.to_string(),
        };
        Refusal { status, text }
    }
}

impl From<LabError> for Refusal {
    fn from(error: LabError) -> Refusal {
        let status = match error {
            LabError::Pay(_) | LabError::Refused(_) => StatusCode::BAD_REQUEST,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        Refusal::new(status, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_node_says_decides_the_status() {
        let refused = |code| {
            Refusal::from(RpcError::Rpc {
                code,
                message: "said".to_owned(),
            })
        };
        assert_eq!(refused(-5).status, StatusCode::NOT_FOUND);
        assert_eq!(refused(-26), Refusal::bad("said"));
        assert_eq!(refused(-32_603).status, StatusCode::SERVICE_UNAVAILABLE);
        let down = Refusal::from(LabError::AllDown);
        assert_eq!(down.status, StatusCode::SERVICE_UNAVAILABLE);
    }
}
