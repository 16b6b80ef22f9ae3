//! The trace: one JSON line for everything that a figure can be made of, and its hash.

use std::io::Write;

use bitcoin::BlockHash;
use bitcoin::hashes::{Hash, HashEngine, sha256};
use serde::{Deserialize, Serialize};

/// One line. Times are virtual microseconds since the start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "e", rename_all = "kebab-case")]
pub enum Line {
    /// What runs: the first line.
    Start {
        /// Name of the scenario.
        scenario: String,
        /// The seed.
        seed: u64,
        /// Number of nodes.
        nodes: usize,
    },
    /// A miner found a block.
    Found {
        /// When.
        t: u64,
        /// Who.
        node: usize,
        /// The block.
        hash: BlockHash,
        /// Its parent.
        parent: BlockHash,
        /// Its height.
        height: u32,
        /// Expected number of hashes.
        work: u64,
    },
    /// A block joined a node's active chain.
    Connected {
        /// When.
        t: u64,
        /// Whose.
        node: usize,
        /// The block.
        hash: BlockHash,
        /// Its height.
        height: u32,
    },
    /// A block left a node's active chain.
    Disconnected {
        /// When.
        t: u64,
        /// Whose.
        node: usize,
        /// The block.
        hash: BlockHash,
        /// Its height.
        height: u32,
    },
    /// A fault has taken effect.
    Begun {
        /// When.
        t: u64,
        /// Its place in the plan.
        fault: usize,
        /// What it is.
        what: crate::plan::FaultKind,
    },
    /// A fault has been taken back.
    Ended {
        /// When.
        t: u64,
        /// Its place in the plan.
        fault: usize,
    },
    /// A payment was handed to a node.
    Paid {
        /// When.
        t: u64,
        /// To which node.
        node: usize,
        /// Its id.
        txid: bitcoin::Txid,
    },
    /// A node ended a connection.
    SentAway {
        /// When.
        t: u64,
        /// Who.
        node: usize,
        /// Whom.
        peer: usize,
        /// Why.
        reason: String,
    },
    /// The end of a payment.
    Fate {
        /// Its id.
        txid: bitcoin::Txid,
        /// What became of it.
        fate: super::Fate,
    },
    /// Messages of one kind that were sent since the last such line: told before each block that is found, and at the end.
    Traffic {
        /// When.
        t: u64,
        /// Their kind.
        kind: String,
        /// How many.
        messages: u64,
        /// Their bytes, without transport overhead.
        bytes: u64,
    },
    /// A node starts, on what its disk holds.
    Up {
        /// When.
        t: u64,
        /// Who.
        node: usize,
        /// Its tip.
        hash: BlockHash,
        /// The tip's height.
        height: u32,
    },
    /// A node is gone.
    Down {
        /// When.
        t: u64,
        /// Who.
        node: usize,
        /// Writes that are lost or torn on its disk.
        torn: usize,
    },
    /// All nodes that are up were on one tip, and are not any more.
    Divided {
        /// When.
        t: u64,
    },
    /// All nodes that are up came to one tip, after they had not been.
    Agreed {
        /// When.
        t: u64,
        /// The tip.
        hash: BlockHash,
    },
    /// The end, with the number of events.
    End {
        /// When.
        t: u64,
        /// Events that were put into the queue.
        events: u64,
    },
}

/// Writes lines and hashes them.
pub(super) struct Trace<'a> {
    engine: sha256::HashEngine,
    out: Option<&'a mut dyn Write>,
    buffer: Vec<u8>,
}

impl<'a> Trace<'a> {
    pub(super) fn new(out: Option<&'a mut dyn Write>) -> Trace<'a> {
        Trace {
            engine: sha256::Hash::engine(),
            out,
            buffer: Vec::new(),
        }
    }

    pub(super) fn line(&mut self, line: &Line) {
        self.buffer.clear();
        serde_json::to_writer(&mut self.buffer, line).expect("plain data is always JSON");
        self.buffer.push(b'\n');
        self.engine.input(&self.buffer);
        if let Some(out) = &mut self.out {
            // A full disk must not change what is simulated: the hash tells that the file is short.
            let _ = out.write_all(&self.buffer);
        }
    }

    pub(super) fn hash(self) -> String {
        sha256::Hash::from_engine(self.engine).to_string()
    }
}
