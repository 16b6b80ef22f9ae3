//! [`Failure`]: an error as Bitcoin Core's RPC tells it.

use node_core::ChainAhead;
use serde::Serialize;

/// Why a call failed: a code of Bitcoin Core's `rpc/protocol.h` and a sentence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{message} (code {code})")]
pub struct Failure {
    /// The code.
    pub code: i32,
    /// The sentence.
    pub message: String,
}

/// Codes as in Bitcoin Core's `src/rpc/protocol.h`.
pub mod code {
    /// An exception without a code of its own; also the wrong number of parameters.
    pub const MISC: i32 = -1;
    /// A parameter of the wrong JSON type.
    pub const TYPE: i32 = -3;
    /// An address, key, block or transaction that is not valid or not here.
    pub const INVALID_ADDRESS_OR_KEY: i32 = -5;
    /// A parameter out of range, missing or given twice.
    pub const INVALID_PARAMETER: i32 = -8;
    /// Storage failed.
    pub const DATABASE: i32 = -20;
    /// A block or transaction that cannot be decoded.
    pub const DESERIALIZATION: i32 = -22;
    /// The node was added before.
    pub const NODE_ALREADY_ADDED: i32 = -23;
    /// The node was not added.
    pub const NODE_NOT_ADDED: i32 = -24;
    /// A block or transaction that could not be checked; missing inputs.
    pub const VERIFY: i32 = -25;
    /// A rule or a policy refuses a block or transaction.
    pub const VERIFY_REJECTED: i32 = -26;
    /// The transaction's outputs are in the chain already.
    pub const ALREADY_IN_UTXO_SET: i32 = -27;
    /// The node is still opening its chain.
    pub const IN_WARMUP: i32 = -28;
    /// The peer is not connected.
    pub const NODE_NOT_CONNECTED: i32 = -29;
    /// Not an IP address or peer id.
    pub const INVALID_IP_OR_SUBNET: i32 = -30;
    /// Too much of something.
    pub const LIMIT: i32 = -37;
    /// Not a request.
    pub const INVALID_REQUEST: i32 = -32600;
    /// No such call.
    pub const METHOD_NOT_FOUND: i32 = -32601;
    /// The node's own fault.
    pub const INTERNAL: i32 = -32603;
    /// Not JSON.
    pub const PARSE: i32 = -32700;
}

impl Failure {
    /// A failure with any code.
    pub fn new(code: i32, message: impl Into<String>) -> Failure {
        Failure {
            code,
            message: message.into(),
        }
    }

    /// -1.
    pub fn misc(message: impl Into<String>) -> Failure {
        Failure::new(code::MISC, message)
    }

    /// -5: not valid as an address or key, or not found.
    pub fn not_found(message: impl Into<String>) -> Failure {
        Failure::new(code::INVALID_ADDRESS_OR_KEY, message)
    }

    /// -8: out of range.
    pub fn invalid(message: impl Into<String>) -> Failure {
        Failure::new(code::INVALID_PARAMETER, message)
    }

    /// -3: wrong JSON type.
    pub fn wrong_type(message: impl Into<String>) -> Failure {
        Failure::new(code::TYPE, message)
    }

    /// -22: cannot be decoded.
    pub fn undecodable(message: impl Into<String>) -> Failure {
        Failure::new(code::DESERIALIZATION, message)
    }

    /// -32603: the node's own fault.
    pub fn internal(message: impl Into<String>) -> Failure {
        Failure::new(code::INTERNAL, message)
    }
}

impl From<ChainAhead> for Failure {
    fn from(ahead: ChainAhead) -> Failure {
        Failure::misc(ahead.to_string())
    }
}

impl From<chain::StoreError> for Failure {
    fn from(error: chain::StoreError) -> Failure {
        Failure::new(code::DATABASE, error.to_string())
    }
}
