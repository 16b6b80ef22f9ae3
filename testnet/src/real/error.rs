//! [`LabError`]: why an order to a testnet failed.

use std::path::Path;

use crate::link::settings::LinkProblem;
use crate::pay::PayError;
use crate::scenario::groups::GroupsError;

/// Why an order to a testnet failed. Each message ends with a remedy where the user can do something.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// There is no such node.
    #[error("there is no node {got}; this testnet has the nodes 0 to {last}")]
    NoSuchNode {
        /// As given.
        got: usize,
        /// The highest number.
        last: usize,
    },
    /// No link joins the two.
    #[error(
        "there is no link between node {a} and node {b}; `mend testnet status` lists the links"
    )]
    NoSuchLink {
        /// One node.
        a: usize,
        /// The other.
        b: usize,
    },
    /// There is no such account.
    #[error("there is no account {got}; this testnet has the accounts 0 to {last}")]
    NoSuchAccount {
        /// As given.
        got: u32,
        /// The highest number.
        last: u32,
    },
    /// The node is not running.
    #[error("node {node} is down; start it by `mend testnet restart {node}`")]
    Down {
        /// The node.
        node: usize,
    },
    /// The node ended, and nobody had asked it to.
    #[error("node {node} died ({how}); its last words: {last_words:?}; its log is {log}")]
    Died {
        /// The node.
        node: usize,
        /// Exit status or signal.
        how: String,
        /// The last line of its log.
        last_words: String,
        /// Path of its log.
        log: String,
    },
    /// What was told of a run makes no sense, or could not be written.
    #[error("the run could not be recorded: {0}")]
    Record(String),
    /// A fault that was ordered did not take place.
    #[error("the fault did not take place: {0}")]
    NoFault(String),
    /// The node is frozen.
    #[error("node {node} is paused; let it go on by `mend testnet resume {node}`")]
    Paused {
        /// The node.
        node: usize,
    },
    /// No node is running.
    #[error("no node is up; start one by `mend testnet restart 0`")]
    AllDown,
    /// The node did not start.
    #[error("node {node} did not start: {problem}; its log is {log}")]
    Start {
        /// The node.
        node: usize,
        /// In words.
        problem: String,
        /// Path of its log.
        log: String,
    },
    /// The node answered with an error, or not at all.
    #[error("node {node}: {problem}")]
    Node {
        /// The node.
        node: usize,
        /// What it said.
        problem: String,
    },
    /// Something did not happen in time.
    #[error(
        "{what} did not happen within {seconds} s; look at `mend testnet status` and `mend testnet logs`"
    )]
    TooSlow {
        /// What was waited for.
        what: String,
        /// How long.
        seconds: u64,
    },
    /// The order makes no sense.
    #[error("{0}")]
    Refused(String),
    /// The payment cannot be made.
    #[error(transparent)]
    Pay(#[from] PayError),
    /// The link settings make no sense.
    #[error(transparent)]
    Link(#[from] LinkProblem),
    /// The partition makes no sense.
    #[error(transparent)]
    Groups(#[from] GroupsError),
    /// A file or socket failed.
    #[error("{what}: {problem}")]
    Io {
        /// Which.
        what: String,
        /// What the system said.
        problem: String,
    },
}

impl LabError {
    pub(crate) fn io(what: &Path, error: &std::io::Error) -> LabError {
        LabError::Io {
            what: what.display().to_string(),
            problem: error.to_string(),
        }
    }
}
