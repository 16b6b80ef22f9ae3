//! [`Pair`]: two nodes that are asked the same, and how often.

use serde_json::{Value, json};

use crate::{Client, RpcError};

/// Whoever answers.
pub trait Ask {
    /// Calls a method by position.
    ///
    /// # Errors
    ///
    /// As [`Client::call`].
    fn ask(&mut self, method: &str, params: Value) -> Result<Value, RpcError>;
}

impl Ask for Client {
    fn ask(&mut self, method: &str, params: Value) -> Result<Value, RpcError> {
        self.call(method, params)
    }
}

/// Why two nodes were not compared.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// One cannot be asked.
    #[error("{node}: {error}")]
    Rpc {
        /// Which.
        node: &'static str,
        /// What it said.
        error: RpcError,
    },
    /// One gives a strange answer.
    #[error("{node}: {method} gave a strange answer; is it a node of this program?")]
    Strange {
        /// Which.
        node: &'static str,
        /// The call.
        method: &'static str,
    },
    /// They are of different networks.
    #[error("the nodes are of different networks: their genesis blocks are {0} and {1}")]
    Networks(String, String),
    /// There is no such node.
    #[error("{0} is neither a URL nor the data directory of a running node")]
    NoNode(String),
}

/// Two nodes, and how often they were asked.
pub(super) struct Pair<'a, A> {
    pub(super) nodes: [&'a mut A; 2],
    pub(super) questions: [u64; 2],
}

pub(super) const NAMES: [&str; 2] = ["the first node", "the second node"];

impl<A: Ask> Pair<'_, A> {
    pub(super) fn one(
        &mut self,
        which: usize,
        method: &str,
        params: Value,
    ) -> Result<Value, CompareError> {
        self.questions[which] += 1;
        let answer = self.nodes[which].ask(method, params);
        answer.map_err(|error| CompareError::Rpc {
            node: NAMES[which],
            error,
        })
    }

    pub(super) fn both(
        &mut self,
        method: &str,
        params: &Value,
    ) -> Result<[Value; 2], CompareError> {
        Ok([
            self.one(0, method, params.clone())?,
            self.one(1, method, params.clone())?,
        ])
    }

    pub(super) fn hashes_at(&mut self, height: u64) -> Result<[String; 2], CompareError> {
        let both = self.both("getblockhash", &json!([height]))?;
        let text = |which: usize| {
            both[which]
                .as_str()
                .map(str::to_owned)
                .ok_or(CompareError::Strange {
                    node: NAMES[which],
                    method: "getblockhash",
                })
        };
        Ok([text(0)?, text(1)?])
    }
}
