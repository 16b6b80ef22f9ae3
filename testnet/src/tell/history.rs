//! Histories made by hand, for tests: who found what, who heard of it, what was cut and healed.
//!
//! Blocks have short names in hexadecimal, as `a1`; payments any name. Times are seconds.

use std::collections::BTreeMap;

use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, OutPoint, Txid};

use crate::plan::{FaultKind, Plan};
use crate::record::{
    Block, Builder, End, Engine, Exit, Genesis, Line, Position, Record, Start, Transaction,
};

/// Satoshi that a block of a history gives, and work that it has.
pub(crate) const REWARD_SAT: u64 = 5_000;
pub(crate) const WORK: u64 = 2;

pub(crate) struct History {
    builder: Builder,
    t: u64,
    nodes: usize,
    faults: usize,
    tips: Vec<Option<String>>,
    /// Parent and height of each block.
    blocks: BTreeMap<String, (String, u32)>,
    txids: BTreeMap<String, Txid>,
}

impl History {
    /// Nodes that are all up on the genesis block, which is called `0`.
    pub(crate) fn of(nodes: usize) -> History {
        History::with_plan(Plan {
            name: "by hand".to_owned(),
            nodes,
            ..Plan::default()
        })
    }

    pub(crate) fn with_plan(plan: Plan) -> History {
        let nodes = plan.nodes;
        let faults = plan.faults.len();
        let down = plan.down.clone();
        let mut history = History {
            builder: Builder::default(),
            t: 0,
            nodes,
            faults,
            tips: vec![None; nodes],
            blocks: BTreeMap::from([("0".to_owned(), (String::new(), 0))]),
            txids: BTreeMap::new(),
        };
        history.line(Line::Start(Box::new(Start {
            plan,
            engine: Engine::Sim,
            seed: 1,
            version: "0".to_owned(),
            program: None,
            speed: 1.0,
            left_out: Vec::new(),
            genesis: Genesis {
                hash: block_hash("0"),
                coins_sat: 1_000,
                subsidy_sat: REWARD_SAT,
                halving_blocks: None,
            },
        })));
        for node in (0..nodes).filter(|node| !down.contains(node)) {
            history.up(node, "0");
        }
        history
    }

    pub(crate) fn line(&mut self, line: Line) {
        self.builder.add(line).unwrap();
    }

    /// What follows happens at this second.
    pub(crate) fn at(&mut self, second: u64) -> &mut History {
        self.at_ms(second * 1_000)
    }

    pub(crate) fn at_ms(&mut self, ms: u64) -> &mut History {
        self.t = ms * 1_000;
        self
    }

    /// A node finds a block on its tip.
    pub(crate) fn finds(&mut self, node: usize, name: &str) -> &mut History {
        self.finds_with(node, name, &[])
    }

    /// The same, with payments in it.
    pub(crate) fn finds_with(
        &mut self,
        node: usize,
        name: &str,
        payments: &[&str],
    ) -> &mut History {
        let parent = self.tips[node].clone().unwrap();
        self.block(Some(node), name, &parent, payments, WORK);
        self.goes(node, name)
    }

    /// A block becomes known, that no node is on yet.
    pub(crate) fn block(
        &mut self,
        found_by: Option<usize>,
        name: &str,
        parent: &str,
        payments: &[&str],
        work: u64,
    ) {
        let height = self.blocks[parent].1 + 1;
        let coinbase = self.transaction(&format!("reward of {name}"), &[], true);
        let payments = payments.iter().map(|payment| self.txids[*payment]);
        let block = Block {
            t: self.t,
            hash: block_hash(name),
            parent: block_hash(parent),
            height,
            work,
            found_by,
            reward_sat: REWARD_SAT,
            coinbase,
            payments: payments.collect(),
        };
        self.line(Line::Block(block));
        self.blocks
            .insert(name.to_owned(), (parent.to_owned(), height));
    }

    /// A node's active chain becomes the one that ends in this block.
    pub(crate) fn goes(&mut self, node: usize, name: &str) -> &mut History {
        let t = self.t;
        let mut at = self.tips[node].clone().unwrap();
        let new: Vec<String> = self.chain(name);
        while !new.contains(&at) {
            let hash = block_hash(&at);
            self.line(Line::Disconnected { t, node, hash });
            at = self.blocks[&at].0.clone();
        }
        let known = new.iter().position(|block| *block == at).unwrap();
        for block in new[..known].iter().rev() {
            let hash = block_hash(block);
            self.line(Line::Connected { t, node, hash });
        }
        self.tips[node] = Some(name.to_owned());
        self
    }

    /// Several nodes do.
    pub(crate) fn go(
        &mut self,
        nodes: impl IntoIterator<Item = usize>,
        name: &str,
    ) -> &mut History {
        for node in nodes {
            self.goes(node, name);
        }
        self
    }

    fn chain(&self, tip: &str) -> Vec<String> {
        let parent =
            |name: &String| Some(self.blocks[name].0.clone()).filter(|name| !name.is_empty());
        std::iter::successors(Some(tip.to_owned()), parent).collect()
    }

    /// A fault begins.
    pub(crate) fn begins(&mut self, what: FaultKind) -> usize {
        let (t, fault) = (self.t, self.faults);
        self.faults += 1;
        self.line(Line::Begun {
            t,
            fault,
            what: Some(what),
        });
        fault
    }

    pub(crate) fn ends(&mut self, fault: usize) -> &mut History {
        let t = self.t;
        self.line(Line::Ended { t, fault });
        self
    }

    /// The network falls into groups.
    pub(crate) fn splits(&mut self, groups: &str) -> usize {
        let groups = groups.parse().unwrap();
        self.begins(FaultKind::Partition {
            groups,
            silent: false,
        })
    }

    pub(crate) fn freezes(&mut self, node: usize) -> usize {
        self.begins(FaultKind::Pause { node })
    }

    pub(crate) fn down(&mut self, node: usize, how: Exit) -> &mut History {
        let t = self.t;
        self.tips[node] = None;
        self.line(Line::Down { t, node, how });
        self
    }

    pub(crate) fn up(&mut self, node: usize, tip: &str) -> &mut History {
        let t = self.t;
        self.tips[node] = Some(tip.to_owned());
        let tip = block_hash(tip);
        self.line(Line::Up { t, node, tip });
        self
    }

    /// There is a payment. What it spends are coins of genesis, as `coin 1`, or other payments, or `reward of a1`.
    pub(crate) fn payment(&mut self, name: &str, spends: &[&str]) -> &mut History {
        self.transaction(name, spends, false);
        self
    }

    /// It is handed to a node, which takes it.
    pub(crate) fn hands(&mut self, node: usize, name: &str) -> &mut History {
        self.hands_with(node, name, None)
    }

    pub(crate) fn hands_with(
        &mut self,
        node: usize,
        name: &str,
        refused: Option<&str>,
    ) -> &mut History {
        let line = Line::Handed {
            t: self.t,
            node,
            txid: self.txids[name],
            by: None,
            refused: refused.map(str::to_owned),
        };
        self.line(line);
        self
    }

    fn transaction(&mut self, name: &str, spends: &[&str], coinbase: bool) -> Txid {
        let txid = txid(name);
        let coin = |name: &&str| OutPoint::new(self::txid(name), 0);
        let spends = spends.iter().map(coin).collect();
        self.txids.insert(name.to_owned(), txid);
        self.line(Line::Transaction(Transaction {
            txid,
            spends,
            outputs_sat: vec![if coinbase { REWARD_SAT } else { 100 }],
            coinbase,
        }));
        txid
    }

    /// All nodes that are up tell their mempools: only this.
    pub(crate) fn mempools(&mut self, payments: &[&str]) -> &mut History {
        for node in 0..self.nodes {
            if self.tips[node].is_some() {
                self.mempool(node, payments, &[]);
            }
        }
        self
    }

    pub(crate) fn mempool(
        &mut self,
        node: usize,
        payments: &[&str],
        aside: &[&str],
    ) -> &mut History {
        let named = |names: &[&str]| names.iter().map(|name| self.txids[*name]).collect();
        let line = Line::Mempool {
            t: self.t,
            node,
            txids: named(payments),
            aside: named(aside),
        };
        self.line(line);
        self
    }

    /// The run is over.
    pub(crate) fn end(&mut self, second: u64) -> Record {
        self.at(second);
        let end = End {
            t: self.t,
            failed: None,
            lines: self.builder.lines(),
            events: None,
        };
        self.line(Line::End(end));
        std::mem::take(&mut self.builder).finish().unwrap()
    }

    pub(crate) fn place(&self, name: &str) -> Position {
        let height = self.blocks[name].1;
        let hash = block_hash(name);
        Position { height, hash }
    }

    /// A text with names in place of hashes and ids.
    pub(crate) fn named(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, txid) in &self.txids {
            text = text.replace(&txid.to_string(), name);
        }
        for name in self.blocks.keys() {
            let hash = block_hash(name).to_string();
            text = text.replace(&hash, name);
            text = text.replace(&hash[56..], name);
        }
        text
    }
}

pub(crate) fn block_hash(name: &str) -> BlockHash {
    let number = u32::from_str_radix(name, 16).unwrap();
    let mut bytes = [7; 32];
    bytes[..4].copy_from_slice(&number.to_le_bytes());
    BlockHash::from_byte_array(bytes)
}

pub(crate) fn txid(name: &str) -> Txid {
    Txid::hash(name.as_bytes())
}
