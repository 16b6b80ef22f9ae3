//! [`RpcError`]: why a call has no result.

use std::path::PathBuf;

/// Why a call has no result. Each message that concerns the user's set-up ends with a remedy.
#[derive(Debug, thiserror::Error)]
pub enum RpcError {
    /// The node refused or failed the call.
    #[error("{message} (code {code})")]
    Rpc {
        /// Bitcoin Core's error code, as -5 for "not found".
        code: i64,
        /// In words.
        message: String,
    },
    /// Nobody answers there.
    #[error(
        "cannot connect to {url}: {problem}; is the node running, and is this its RPC address?"
    )]
    Connect {
        /// Where.
        url: String,
        /// What the system said.
        problem: String,
    },
    /// The connection ended before the answer came: the call may have been carried out.
    #[error(
        "the connection to {url} ended before the answer came ({problem}); whether the call was carried out is not known"
    )]
    Lost {
        /// Where.
        url: String,
        /// What the system said.
        problem: String,
    },
    /// No answer in time.
    #[error(
        "no answer from {url} within {seconds} s; the node may be busy: try again, or wait longer"
    )]
    Timeout {
        /// Where.
        url: String,
        /// How long was waited.
        seconds: u64,
    },
    /// The cookie file is not there or cannot be read.
    #[error(
        "cannot read the cookie file {path}: {problem}; start the node, or name its data directory or cookie file"
    )]
    Cookie {
        /// The file.
        path: PathBuf,
        /// What the system said.
        problem: String,
    },
    /// The node does not know us.
    #[error(
        "{url} refused the user or password; give the node's cookie file, or its RPC user and password"
    )]
    Unauthorized {
        /// Where.
        url: String,
    },
    /// An answer that is not JSON-RPC.
    #[error("{url} answered HTTP {status}: {body}; is this the RPC address of a node?")]
    Http {
        /// Where.
        url: String,
        /// HTTP status code.
        status: u16,
        /// The start of the body.
        body: String,
    },
    /// The node serves another network than its caller wants.
    #[error(
        "the node at {url} has the genesis {found}, the wallet belongs to {expected}; name the wallet's node with --rpc"
    )]
    OtherNetwork {
        /// Where.
        url: String,
        /// Hash of its block 0.
        found: String,
        /// Hash of the wanted one.
        expected: String,
    },
    /// The address is not one.
    #[error("{url} is not an RPC address; write it as http://127.0.0.1:18443")]
    Url {
        /// As given.
        url: String,
    },
}

impl RpcError {
    /// The node's error code, if it was the node that refused.
    pub fn code(&self) -> Option<i64> {
        match self {
            RpcError::Rpc { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// Whether the call may have been carried out although no answer came.
    pub fn leaves_it_open(&self) -> bool {
        match self {
            RpcError::Lost { .. } | RpcError::Timeout { .. } | RpcError::Http { .. } => true,
            RpcError::Rpc { .. }
            | RpcError::Connect { .. }
            | RpcError::Cookie { .. }
            | RpcError::Unauthorized { .. }
            | RpcError::OtherNetwork { .. }
            | RpcError::Url { .. } => false,
        }
    }

    /// Whether a later try may succeed: nobody there yet, no cookie yet, or the node still warms up (-28).
    pub fn may_pass_with_time(&self) -> bool {
        match self {
            RpcError::Connect { .. }
            | RpcError::Lost { .. }
            | RpcError::Timeout { .. }
            | RpcError::Cookie { .. } => true,
            RpcError::Rpc { code, .. } => *code == -28,
            RpcError::Http { status, .. } => *status == 503,
            RpcError::Unauthorized { .. }
            | RpcError::OtherNetwork { .. }
            | RpcError::Url { .. } => false,
        }
    }
}
