//! [`Record`]: all lines in memory, with what makes them easy to ask. [`Builder`] takes the lines one by one, and refuses
//! those that cannot be.

use std::collections::BTreeMap;

use bitcoin::{BlockHash, Txid};

use super::history::{FaultHistory, NodeHistory};
use super::{BlockId, Blocks, End, Line, Problem, Start, Transaction};

/// A payment that was handed to a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handed {
    /// When.
    pub t: u64,
    /// To whom.
    pub node: usize,
    /// Its id.
    pub txid: Txid,
    /// Its place among the planned payments.
    pub by: Option<usize>,
    /// Why the node did not take it.
    pub refused: Option<String>,
}

/// What was sent up to some time since the line before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// When.
    pub t: u64,
    /// Who sent; none: the sum of all nodes.
    pub from: Option<usize>,
    /// To whom; none: the sum of all nodes.
    pub to: Option<usize>,
    /// Kind of the messages.
    pub kind: Option<String>,
    /// How many.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What a node had in its mempool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mempool {
    /// When.
    pub t: u64,
    /// Payments that it would put into a block.
    pub txids: Vec<Txid>,
    /// Payments that it keeps for another change of its chain.
    pub aside: Vec<Txid>,
}

/// A node's coins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coins {
    /// When.
    pub t: u64,
    /// Whose.
    pub node: usize,
    /// The tip that they belong to.
    pub tip: BlockId,
    /// Their MuHash.
    pub muhash: String,
    /// Their sum, in satoshi.
    pub amount_sat: u64,
}

/// All that was recorded of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// What ran.
    pub start: Start,
    /// The tree of blocks.
    pub blocks: Blocks,
    /// All transactions.
    pub transactions: BTreeMap<Txid, Transaction>,
    /// The nodes, by number.
    pub nodes: Vec<NodeHistory>,
    /// The faults, by number: those of the plan first.
    pub faults: Vec<FaultHistory>,
    /// Payments that were handed to nodes, in order.
    pub handed: Vec<Handed>,
    /// Planned payments that could not be made: time, place in the plan, why.
    pub unpaid: Vec<(u64, usize, String)>,
    /// Peers that were sent away: time, who, whom, why.
    pub parted: Vec<(u64, usize, usize, String)>,
    /// What was sent.
    pub traffic: Vec<Traffic>,
    /// Mempools of each node, in order of time.
    pub mempools: BTreeMap<usize, Vec<Mempool>>,
    /// Coins of nodes at the end.
    pub coins: Vec<Coins>,
    /// What must never happen: time, rule, in words.
    pub violated: Vec<(u64, String, String)>,
    /// The last line; none while the run goes on, or if it was broken off.
    pub end: Option<End>,
    /// Time of the latest line.
    pub last_t: u64,
}

impl Record {
    /// When the run was over, or is so far.
    pub fn end_t(&self) -> u64 {
        self.end.as_ref().map_or(self.last_t, |end| end.t)
    }

    /// Whether a fault freezes a node at a time.
    pub fn is_frozen_at(&self, node: usize, t: u64) -> bool {
        let freezes = |fault: &&FaultHistory| matches!(fault.what, crate::plan::FaultKind::Pause { node: frozen } if frozen == node);
        self.faults
            .iter()
            .filter(freezes)
            .any(|fault| fault.lasts_at(t))
    }

    /// The last mempool that was told of a node between two times, both included.
    pub fn last_mempool(&self, node: usize, from: u64, to: u64) -> Option<&Mempool> {
        let told = self.mempools.get(&node)?;
        told.iter().rev().find(|told| (from..=to).contains(&told.t))
    }
}

/// Takes lines, and gives the record.
#[derive(Debug, Default)]
pub struct Builder {
    record: Option<Record>,
    lines: u64,
}

impl Builder {
    /// Takes the next line.
    ///
    /// # Errors
    ///
    /// [`Problem`] when it cannot stand there.
    pub fn add(&mut self, line: Line) -> Result<(), Problem> {
        let lines = self.lines;
        self.lines += 1;
        match (line, &mut self.record) {
            (Line::Start(start), none @ None) => *none = Some(begin(*start)),
            (Line::Start(_), Some(_)) => return Err(Problem::StartTwice),
            (_, None) => return Err(Problem::NoStart),
            (_, Some(record)) if record.end.is_some() => return Err(Problem::AfterEnd),
            (Line::End(end), Some(record)) => {
                if end.lines != lines {
                    return Err(Problem::Lines {
                        got: lines,
                        expected: end.lines,
                    });
                }
                record.last_t = record.last_t.max(end.t);
                record.end = Some(end);
            }
            (line, Some(record)) => record.take(line)?,
        }
        Ok(())
    }

    /// Number of lines so far.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// What is known so far; none before the first line.
    pub fn so_far(&self) -> Option<&Record> {
        self.record.as_ref()
    }

    /// The whole record.
    ///
    /// # Errors
    ///
    /// [`Problem::NoStart`], [`Problem::NoEnd`].
    pub fn finish(self) -> Result<Record, Problem> {
        let record = self.broken_off()?;
        match record.end {
            Some(_) => Ok(record),
            None => Err(Problem::NoEnd),
        }
    }

    /// The record, even if it has no end.
    ///
    /// # Errors
    ///
    /// [`Problem::NoStart`].
    pub fn broken_off(self) -> Result<Record, Problem> {
        let mut record = self.record.ok_or(Problem::NoStart)?;
        for node in &mut record.nodes {
            node.end_reorg();
        }
        Ok(record)
    }
}

fn begin(start: Start) -> Record {
    let speed = start.speed;
    let scaled = move |t: u64| (t as f64 / speed).round() as u64;
    let faults = start.plan.faults.iter().map(|fault| FaultHistory {
        what: fault.what.clone(),
        planned: Some((scaled(fault.at_us), fault.until_us.map(scaled))),
        begun: None,
        ended: None,
        failed: None,
    });
    Record {
        blocks: Blocks::new(start.genesis.hash),
        transactions: BTreeMap::new(),
        nodes: vec![NodeHistory::default(); start.plan.nodes],
        faults: faults.collect(),
        handed: Vec::new(),
        unpaid: Vec::new(),
        parted: Vec::new(),
        traffic: Vec::new(),
        mempools: BTreeMap::new(),
        coins: Vec::new(),
        violated: Vec::new(),
        end: None,
        last_t: 0,
        start,
    }
}

impl Record {
    fn take(&mut self, line: Line) -> Result<(), Problem> {
        match line {
            Line::Transaction(transaction) => {
                let txid = transaction.txid;
                match self.transactions.insert(txid, transaction) {
                    None => Ok(()),
                    Some(_) => Err(Problem::TransactionTwice(txid)),
                }
            }
            Line::Block(block) => {
                self.at(block.t);
                self.known_transaction(&block.coinbase)?;
                for txid in &block.payments {
                    self.known_transaction(txid)?;
                }
                self.blocks.add(block).map(drop)
            }
            Line::Connected { t, node, hash } => self.connected(t, node, hash),
            Line::Disconnected { t, node, hash } => self.disconnected(t, node, hash),
            Line::Up { t, node, tip } => {
                let tip = self.blocks.known(&tip)?;
                match self.node(t, node)? {
                    (history, None) => history.tips.push((t, Some(tip))),
                    (_, Some(_)) => return Err(Problem::NodeIsUp(node)),
                }
                Ok(())
            }
            Line::Down { t, node, how } => {
                match self.node(t, node)? {
                    (_, None) => return Err(Problem::NodeIsDown(node)),
                    (history, Some(_)) => {
                        history.end_reorg();
                        history.tips.push((t, None));
                        history.exits.push((t, how));
                    }
                }
                Ok(())
            }
            Line::Begun { t, fault, what } => self.begun(t, fault, what),
            Line::Ended { t, fault } => {
                self.at(t);
                let history = self.fault(fault)?;
                if history.begun.is_none() || history.ended.is_some() {
                    return Err(Problem::FaultOrder(fault));
                }
                history.ended = Some(t);
                Ok(())
            }
            Line::Failed { t, fault, why } => {
                self.at(t);
                self.fault(fault)?.failed = Some((t, why));
                Ok(())
            }
            line => self.note(line),
        }
    }

    /// Lines that change no node, block or fault.
    fn note(&mut self, line: Line) -> Result<(), Problem> {
        match line {
            Line::Handed {
                t,
                node,
                txid,
                by,
                refused,
            } => {
                self.exists(node)?;
                self.known_transaction(&txid)?;
                if let Some(by) = by {
                    self.planned_payment(by)?;
                }
                self.at(t);
                self.handed.push(Handed {
                    t,
                    node,
                    txid,
                    by,
                    refused,
                });
            }
            Line::Unpaid { t, payment, why } => {
                self.planned_payment(payment)?;
                self.at(t);
                self.unpaid.push((t, payment, why));
            }
            Line::Parted {
                t,
                node,
                peer,
                reason,
            } => {
                self.exists(node)?;
                self.exists(peer)?;
                self.at(t);
                self.parted.push((t, node, peer, reason));
            }
            Line::Traffic {
                t,
                from,
                to,
                kind,
                messages,
                bytes,
            } => {
                for node in from.iter().chain(&to) {
                    self.exists(*node)?;
                }
                self.at(t);
                self.traffic.push(Traffic {
                    t,
                    from,
                    to,
                    kind,
                    messages,
                    bytes,
                });
            }
            Line::Mempool {
                t,
                node,
                txids,
                aside,
            } => {
                self.exists(node)?;
                for txid in txids.iter().chain(&aside) {
                    self.known_transaction(txid)?;
                }
                self.at(t);
                let told = self.mempools.entry(node).or_default();
                told.push(Mempool { t, txids, aside });
            }
            Line::Coins {
                t,
                node,
                tip,
                muhash,
                amount_sat,
            } => {
                self.exists(node)?;
                let tip = self.blocks.known(&tip)?;
                self.at(t);
                self.coins.push(Coins {
                    t,
                    node,
                    tip,
                    muhash,
                    amount_sat,
                });
            }
            Line::Violated { t, rule, detail } => {
                self.at(t);
                self.violated.push((t, rule, detail));
            }
            _ => unreachable!("all other lines are taken before"),
        }
        Ok(())
    }

    fn connected(&mut self, t: u64, node: usize, hash: BlockHash) -> Result<(), Problem> {
        let block = self.blocks.known(&hash)?;
        let parent = self.blocks.get(block).parent;
        let (history, tip) = self.node(t, node)?;
        let tip = tip.ok_or(Problem::NodeIsDown(node))?;
        if tip != parent || block == BlockId::GENESIS {
            return Err(self.not_on_tip(hash, node, tip));
        }
        history.end_reorg();
        history.tips.push((t, Some(block)));
        Ok(())
    }

    fn disconnected(&mut self, t: u64, node: usize, hash: BlockHash) -> Result<(), Problem> {
        let block = self.blocks.known(&hash)?;
        let parent = self.blocks.get(block).parent;
        let (history, tip) = self.node(t, node)?;
        let tip = tip.ok_or(Problem::NodeIsDown(node))?;
        if tip != block || block == BlockId::GENESIS {
            return Err(self.not_on_tip(hash, node, tip));
        }
        history.took_back(t, block);
        history.tips.push((t, Some(parent)));
        Ok(())
    }

    fn begun(
        &mut self,
        t: u64,
        fault: usize,
        what: Option<crate::plan::FaultKind>,
    ) -> Result<(), Problem> {
        self.at(t);
        if let Some(what) = what
            && fault == self.faults.len()
        {
            self.faults.push(FaultHistory {
                what,
                planned: None,
                begun: None,
                ended: None,
                failed: None,
            });
        }
        let history = self.fault(fault)?;
        match history.begun.replace(t) {
            None => Ok(()),
            Some(_) => Err(Problem::FaultOrder(fault)),
        }
    }

    fn at(&mut self, t: u64) {
        self.last_t = self.last_t.max(t);
    }

    fn exists(&self, node: usize) -> Result<(), Problem> {
        match node < self.nodes.len() {
            true => Ok(()),
            false => Err(Problem::UnknownNode {
                got: node,
                nodes: self.nodes.len(),
            }),
        }
    }

    /// A node whose history goes on at a time, and its present tip.
    fn node(
        &mut self,
        t: u64,
        node: usize,
    ) -> Result<(&mut NodeHistory, Option<BlockId>), Problem> {
        self.exists(node)?;
        self.at(t);
        let history = &mut self.nodes[node];
        let (last, tip) = history.tips.last().copied().unwrap_or((0, None));
        match t < last {
            true => Err(Problem::BackInTime { node, t, last }),
            false => Ok((history, tip)),
        }
    }

    fn fault(&mut self, fault: usize) -> Result<&mut FaultHistory, Problem> {
        self.faults
            .get_mut(fault)
            .ok_or(Problem::UnknownFault(fault))
    }

    fn planned_payment(&self, payment: usize) -> Result<(), Problem> {
        match payment < self.start.plan.payments.len() {
            true => Ok(()),
            false => Err(Problem::UnknownPayment(payment)),
        }
    }

    fn known_transaction(&self, txid: &Txid) -> Result<(), Problem> {
        match self.transactions.contains_key(txid) {
            true => Ok(()),
            false => Err(Problem::UnknownTransaction(*txid)),
        }
    }

    fn not_on_tip(&self, hash: BlockHash, node: usize, tip: BlockId) -> Problem {
        let tip = self.blocks.get(tip).hash;
        Problem::NotOnTip { hash, node, tip }
    }
}
