//! What became of a payment: one list of answers for heal reports, for the end of a run, and for both engines.

use std::collections::BTreeMap;

use bitcoin::{OutPoint, Txid};
use serde::{Deserialize, Serialize};

use super::ledger::Ledger;
use super::words::{nodes, place};
use crate::record::{BlockId, Handed, Position};

/// What became of a payment by some time. The answers are tried in this order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fate", rename_all = "kebab-case")]
pub enum Fate {
    /// In the final chain, and never in another block.
    Confirmed {
        /// Where.
        at: Position,
    },
    /// In the final chain, which had it before another block with it was taken back.
    OnBothSides {
        /// Where.
        at: Position,
    },
    /// A block with it was taken back; it is in the final chain again.
    ConfirmedAgain {
        /// Where.
        at: Position,
    },
    /// The final chain spends one of its coins another way.
    DoubleSpent {
        /// By this transaction.
        by: Txid,
        /// Confirmed here.
        at: Position,
    },
    /// It spends an output of a transaction that came to nothing.
    ParentLost {
        /// That transaction.
        parent: Txid,
        /// Whether that is the reward of a block that is not in the final chain.
        coinbase: bool,
    },
    /// It waits in mempools.
    InMempool {
        /// Of these nodes.
        nodes: Vec<usize>,
    },
    /// The present chain of these nodes contradicts it, and they keep it for another change.
    SetAside {
        /// These nodes.
        nodes: Vec<usize>,
    },
    /// It is in a block of another chain, which nodes are still on.
    OnBranch {
        /// These nodes.
        nodes: Vec<usize>,
    },
    /// Another payment of one of its coins waits in a mempool.
    Replaced {
        /// That payment.
        by: Txid,
    },
    /// No node took it.
    Refused {
        /// What the first node said.
        why: String,
    },
    /// It was seen at no other nodes than these, and they went down. Mempools live in memory.
    LostWithNode {
        /// These nodes.
        nodes: Vec<usize>,
    },
    /// It is not in the final chain, and what is in mempools was not recorded.
    Unknown,
    /// Nobody has it: a node lost it.
    Gone,
}

impl std::fmt::Display for Fate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Fate::Confirmed { at } => write!(f, "confirmed, {}", place(at)),
            Fate::OnBothSides { at } => write!(f, "the final chain had it too, {}", place(at)),
            Fate::ConfirmedAgain { at } => write!(f, "confirmed again, {}", place(at)),
            Fate::DoubleSpent { by, at } => write!(f, "double-spent by {by}, {}", place(at)),
            Fate::ParentLost {
                parent,
                coinbase: true,
            } => {
                write!(f, "void: it spends the reward {parent} of a lost block")
            }
            Fate::ParentLost { parent, .. } => {
                write!(f, "void: it spends {parent}, which came to nothing")
            }
            Fate::InMempool { nodes: on } => write!(f, "in the mempool of {}", nodes(on)),
            Fate::SetAside { nodes: on } => {
                write!(f, "set aside by {}, whose chain contradicts it", nodes(on))
            }
            Fate::OnBranch { nodes: on } => write!(f, "on another branch, with {}", nodes(on)),
            Fate::Replaced { by } => write!(f, "replaced in mempools by {by}"),
            Fate::Refused { why } => write!(f, "refused: {why}"),
            Fate::LostWithNode { nodes: with } => {
                write!(f, "lost: only {} had it, and went down", nodes(with))
            }
            Fate::Unknown => write!(f, "not in the final chain; mempools were not recorded"),
            Fate::Gone => write!(f, "gone: nobody has it"),
        }
    }
}

/// Kinds of fates, to count them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "as in Fate")]
pub enum FateKind {
    Confirmed,
    OnBothSides,
    ConfirmedAgain,
    DoubleSpent,
    ParentLost,
    InMempool,
    SetAside,
    OnBranch,
    Replaced,
    Refused,
    LostWithNode,
    Unknown,
    Gone,
}

impl Fate {
    /// Its kind.
    pub fn kind(&self) -> FateKind {
        match self {
            Fate::Confirmed { .. } => FateKind::Confirmed,
            Fate::OnBothSides { .. } => FateKind::OnBothSides,
            Fate::ConfirmedAgain { .. } => FateKind::ConfirmedAgain,
            Fate::DoubleSpent { .. } => FateKind::DoubleSpent,
            Fate::ParentLost { .. } => FateKind::ParentLost,
            Fate::InMempool { .. } => FateKind::InMempool,
            Fate::SetAside { .. } => FateKind::SetAside,
            Fate::OnBranch { .. } => FateKind::OnBranch,
            Fate::Replaced { .. } => FateKind::Replaced,
            Fate::Refused { .. } => FateKind::Refused,
            Fate::LostWithNode { .. } => FateKind::LostWithNode,
            Fate::Unknown => FateKind::Unknown,
            Fate::Gone => FateKind::Gone,
        }
    }
}

impl FateKind {
    /// In words, of a number of payments.
    pub fn words(self) -> &'static str {
        match self {
            FateKind::Confirmed => "confirmed",
            FateKind::OnBothSides => "confirmed on both sides",
            FateKind::ConfirmedAgain => "confirmed again",
            FateKind::DoubleSpent => "double-spent",
            FateKind::ParentLost => "void with their parent",
            FateKind::InMempool => "in mempools",
            FateKind::SetAside => "set aside",
            FateKind::OnBranch => "on another branch",
            FateKind::Replaced => "replaced in mempools",
            FateKind::Refused => "refused",
            FateKind::LostWithNode => "lost with the only node that had them",
            FateKind::Unknown => "not known",
            FateKind::Gone => "gone",
        }
    }

    /// Whether the payment is in the final chain.
    pub fn is_confirmed(self) -> bool {
        matches!(
            self,
            FateKind::Confirmed | FateKind::OnBothSides | FateKind::ConfirmedAgain
        )
    }

    /// Whether the payment came to nothing, and what spends its outputs with it.
    pub fn came_to_nothing(self) -> bool {
        matches!(
            self,
            FateKind::DoubleSpent
                | FateKind::ParentLost
                | FateKind::Replaced
                | FateKind::Refused
                | FateKind::LostWithNode
                | FateKind::Gone
        )
    }
}

/// The fates of payments, each worked out once.
pub struct Fates<'a> {
    ledger: &'a Ledger<'a>,
    known: BTreeMap<Txid, Fate>,
    /// Payments whose fate is being worked out: no transaction descends from itself, but a record may say so.
    open: Vec<Txid>,
}

impl<'a> Fates<'a> {
    /// As a ledger has them.
    pub fn new(ledger: &'a Ledger<'a>) -> Fates<'a> {
        Fates {
            ledger,
            known: BTreeMap::new(),
            open: Vec::new(),
        }
    }

    /// The fate of a payment of the record.
    pub fn of(&mut self, txid: Txid) -> Fate {
        if let Some(known) = self.known.get(&txid) {
            return known.clone();
        }
        self.open.push(txid);
        let fate = self.work_out(txid);
        self.open.pop();
        self.known.insert(txid, fate.clone());
        fate
    }

    fn work_out(&mut self, txid: Txid) -> Fate {
        let ledger = self.ledger;
        let coins: &[OutPoint] = match ledger.record.transactions.get(&txid) {
            Some(transaction) => &transaction.spends,
            None => &[],
        };
        if let Some(block) = ledger.confirmed.get(&txid) {
            return ledger.confirmed_fate(txid, *block);
        }
        if let Some(by) = coins.iter().find_map(|coin| ledger.spent.get(coin)) {
            let at = ledger.record.blocks.position(ledger.confirmed[by]);
            return Fate::DoubleSpent { by: *by, at };
        }
        if let Some(fate) = coins.iter().find_map(|coin| self.parent_lost(coin.txid)) {
            return fate;
        }
        ledger.unconfirmed_fate(txid, coins)
    }

    /// If the parent came to nothing, so did the child.
    fn parent_lost(&mut self, parent: Txid) -> Option<Fate> {
        let known = self.ledger.record.transactions.get(&parent)?;
        if self.ledger.confirmed.contains_key(&parent) || self.open.contains(&parent) {
            return None;
        }
        let coinbase = known.coinbase;
        // A reward that no block of the record gives is one of the genesis block.
        let lost = match coinbase {
            true => self.ledger.lost_rewards.contains(&parent),
            false if self.ledger.is_of_genesis(parent) => false,
            false => self.of(parent).kind().came_to_nothing(),
        };
        lost.then_some(Fate::ParentLost { parent, coinbase })
    }
}

impl Ledger<'_> {
    /// The fate of a payment that the final chain has in a block.
    fn confirmed_fate(&self, txid: Txid, block: BlockId) -> Fate {
        let blocks = &self.record.blocks;
        let at = blocks.position(block);
        let others = self.blocks_of.get(&txid).into_iter().flatten();
        let mut others = others.filter(|other| **other != block).peekable();
        if others.peek().is_none() {
            return Fate::Confirmed { at };
        }
        let lost = others.filter_map(|other| self.taken_back(*other)).min();
        match lost {
            Some(lost) if lost < blocks.get(block).t => Fate::ConfirmedAgain { at },
            _ => Fate::OnBothSides { at },
        }
    }

    /// The fate of a payment that nothing in the final chain contradicts.
    fn unconfirmed_fate(&self, txid: Txid, coins: &[OutPoint]) -> Fate {
        if let Some(nodes) = self.waiting.get(&txid) {
            let nodes = nodes.clone();
            return Fate::InMempool { nodes };
        }
        if let Some(nodes) = self.aside.get(&txid) {
            let nodes = nodes.clone();
            return Fate::SetAside { nodes };
        }
        let nodes = self.nodes_on_a_branch_with(txid);
        if !nodes.is_empty() {
            return Fate::OnBranch { nodes };
        }
        let rivals = |coin: &OutPoint| self.spent_in_mempools.get(coin)?.first().copied();
        if let Some(by) = coins.iter().find_map(rivals) {
            return Fate::Replaced { by };
        }
        if let Some(why) = self.refusal(txid) {
            return Fate::Refused { why };
        }
        let nodes = self.lost_holders(txid);
        if !nodes.is_empty() {
            return Fate::LostWithNode { nodes };
        }
        match self.mempools_are_known {
            true => Fate::Gone,
            false => Fate::Unknown,
        }
    }

    fn nodes_on_a_branch_with(&self, txid: Txid) -> Vec<usize> {
        let Some(blocks) = self.blocks_of.get(&txid) else {
            return Vec::new();
        };
        let is_on = |tip: BlockId| {
            let mut blocks = blocks.iter();
            blocks.any(|block| self.record.blocks.is_on_chain(*block, tip))
        };
        let nodes = self.record.nodes.iter().enumerate();
        nodes
            .filter(|(_, history)| history.tip_at(self.to).is_some_and(is_on))
            .map(|(node, _)| node)
            .collect()
    }

    /// What the first node said, if no node took the payment and nobody ever had it.
    fn refusal(&self, txid: Txid) -> Option<String> {
        if self.blocks_of.contains_key(&txid) {
            return None;
        }
        let mut handed = self.handed(txid).peekable();
        let first = handed.peek()?.refused.clone()?;
        handed
            .all(|handed| handed.refused.is_some())
            .then_some(first)
    }

    /// The nodes that had a payment, if it was in no block and all of them went down since; else none.
    fn lost_holders(&self, txid: Txid) -> Vec<usize> {
        if self.blocks_of.contains_key(&txid) {
            return Vec::new();
        }
        let mut had: BTreeMap<usize, u64> = BTreeMap::new();
        for handed in self.handed(txid).filter(|handed| handed.refused.is_none()) {
            had.insert(handed.node, handed.t);
        }
        for (node, told) in &self.record.mempools {
            let told = told.iter().filter(|told| told.t <= self.to);
            let mut with = told.filter(|told| told.txids.contains(&txid));
            if let Some(last) = with.next_back() {
                had.insert(*node, last.t);
            }
        }
        let went_down = |(node, t): (&usize, &u64)| {
            let mut exits = self.record.nodes[*node].exits.iter();
            exits.any(|(exit, _)| t < exit && *exit <= self.to)
        };
        match had.iter().all(went_down) {
            true => had.into_keys().collect(),
            false => Vec::new(),
        }
    }

    fn handed(&self, txid: Txid) -> impl Iterator<Item = &Handed> {
        let handed = self.handed.get(&txid);
        handed.into_iter().flatten().copied()
    }

    /// Whether a payment was there before the first block: nobody handed it in, and no block has it.
    fn is_of_genesis(&self, txid: Txid) -> bool {
        !self.blocks_of.contains_key(&txid) && !self.handed.contains_key(&txid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Exit;
    use crate::tell::figures::payments;
    use crate::tell::history::{History, txid};

    fn fate(net: &mut History, name: &str) -> Fate {
        let ends = payments(&net.end(100));
        let mut ends = ends.into_iter().filter(|(id, _)| *id == txid(name));
        ends.next().unwrap().1
    }

    #[test]
    fn a_payment_that_no_node_took_is_refused_and_so_is_its_child_void() {
        let mut net = History::of(2);
        net.payment("one", &["coin 1"]).payment("child", &["one"]);
        net.at(1)
            .hands_with(0, "one", Some("min relay fee not met"));
        net.hands_with(1, "one", Some("dust"))
            .hands(0, "child")
            .mempools(&[]);
        let parent = txid("one");
        let coinbase = false;
        assert_eq!(
            fate(&mut net, "child"),
            Fate::ParentLost { parent, coinbase }
        );
        let mut net = History::of(2);
        net.payment("one", &["coin 1"])
            .at(1)
            .hands_with(0, "one", Some("dust"))
            .mempools(&[]);
        let why = "dust".to_owned();
        assert_eq!(fate(&mut net, "one"), Fate::Refused { why });
    }

    #[test]
    fn what_was_in_a_mempool_is_lost_with_the_nodes_that_had_it_alone() {
        let mut net = History::of(3);
        net.payment("one", &["coin 1"]).at(1).hands(0, "one");
        net.at(5).mempool(1, &["one"], &[]);
        net.at(10)
            .down(0, Exit::Killed)
            .down(1, Exit::PowerCut)
            .at(11)
            .up(0, "0");
        net.at(20).mempools(&[]);
        let nodes = vec![0, 1];
        assert_eq!(fate(&mut net, "one"), Fate::LostWithNode { nodes });

        // Another node that had it is still there, and has it no more: it lost it.
        let mut net = History::of(3);
        net.payment("one", &["coin 1"])
            .at(1)
            .hands(0, "one")
            .at(5)
            .mempool(2, &["one"], &[]);
        net.at(10).down(0, Exit::Killed).at(20).mempools(&[]);
        assert_eq!(fate(&mut net, "one"), Fate::Gone);
    }

    #[test]
    fn what_the_record_does_not_say_is_not_known() {
        let mut net = History::of(1);
        net.payment("one", &["coin 1"]).at(1).hands(0, "one");
        assert_eq!(fate(&mut net, "one"), Fate::Unknown);
        // A mempool that was told before the node went down says nothing.
        let mut net = History::of(2);
        net.payment("one", &["coin 1"])
            .at(1)
            .hands(0, "one")
            .at(2)
            .mempool(0, &["one"], &[]);
        net.at(3).down(0, Exit::Killed);
        assert_eq!(fate(&mut net, "one").kind(), FateKind::LostWithNode);
    }
}
