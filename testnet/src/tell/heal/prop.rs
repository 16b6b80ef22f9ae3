//! Random histories: whatever happens, the books of every report add up to the record's.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::Txid;
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::plan::FaultKind;
use crate::record::{BlockId, Exit};
use crate::tell::history::History;

const NODES: usize = 5;

/// Something that happens next.
#[derive(Clone, Debug)]
enum Step {
    /// A node finds a block with so many of the payments that its chain does not contradict.
    Find(usize, u8),
    /// A node hears of another's chain, and takes it if it has more work.
    Hear(usize, usize),
    /// There is a payment of one of six coins, of a payment, or of a block's reward.
    Pay(Index),
    Split(u8),
    Freeze(usize),
    /// Some fault that lasts is over.
    End(Index),
    Kill(usize),
    Start(usize),
    Mempool(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let node = || 0..NODES;
    prop_oneof![
        6 => (node(), 0u8..3).prop_map(|(node, payments)| Step::Find(node, payments)),
        8 => (node(), node()).prop_map(|(node, from)| Step::Hear(node, from)),
        3 => any::<Index>().prop_map(Step::Pay),
        2 => (1u8..31).prop_map(Step::Split),
        1 => node().prop_map(Step::Freeze),
        3 => any::<Index>().prop_map(Step::End),
        1 => node().prop_map(Step::Kill),
        1 => node().prop_map(Step::Start),
        1 => node().prop_map(Step::Mempool),
    ]
}

/// Plays steps. Naive on purpose: chains as lists of names.
struct Player {
    net: History,
    chains: Vec<Option<Vec<String>>>,
    frozen: BTreeMap<usize, usize>,
    open: Vec<usize>,
    /// What each payment spends.
    payments: Vec<(String, String)>,
    inside: BTreeMap<String, Vec<String>>,
}

impl Player {
    fn new() -> Player {
        Player {
            net: History::of(NODES),
            chains: vec![Some(Vec::new()); NODES],
            frozen: BTreeMap::new(),
            open: Vec::new(),
            payments: Vec::new(),
            inside: BTreeMap::new(),
        }
    }

    fn play(&mut self, number: usize, step: &Step) {
        self.net.at(1 + number as u64 / 2);
        match *step {
            Step::Find(node, payments) => self.find(node, payments, number),
            Step::Hear(node, from) => {
                if let (Some(mine), Some(theirs)) = (&self.chains[node], &self.chains[from])
                    && theirs.len() > mine.len()
                    && !self.frozen.contains_key(&node)
                {
                    let theirs = theirs.clone();
                    self.net.goes(node, theirs.last().unwrap());
                    self.chains[node] = Some(theirs);
                }
            }
            Step::Pay(index) => {
                let mut coins: Vec<String> = (0..6).map(|coin| format!("coin {coin}")).collect();
                coins.extend(self.payments.iter().map(|(name, _)| name.clone()));
                coins.extend(self.inside.keys().map(|block| format!("reward of {block}")));
                let coin = index.get(&coins).clone();
                let name = format!("payment {}", self.payments.len());
                self.net
                    .payment(&name, &[&coin])
                    .hands(number % NODES, &name);
                self.payments.push((name, coin));
            }
            Step::Split(bits) => {
                let side = |bit: u8| {
                    let nodes = (0..NODES).filter(|node| (bits >> node) & 1 == bit);
                    nodes
                        .map(|node| node.to_string())
                        .collect::<Vec<_>>()
                        .join(",")
                };
                let groups = format!("{}/{}", side(0), side(1));
                let fault = self.net.splits(&groups);
                self.open.push(fault);
            }
            Step::Freeze(node) => {
                if !self.frozen.contains_key(&node) {
                    let fault = self.net.begins(FaultKind::Pause { node });
                    self.frozen.insert(node, fault);
                    self.open.push(fault);
                }
            }
            Step::End(index) => {
                if !self.open.is_empty() {
                    let fault = self.open.remove(index.index(self.open.len()));
                    self.frozen.retain(|_, freezing| *freezing != fault);
                    self.net.ends(fault);
                }
            }
            Step::Kill(node) => {
                if self.chains[node].take().is_some() {
                    self.net.down(node, Exit::Killed);
                }
            }
            Step::Start(node) => {
                if self.chains[node].is_none() {
                    self.net.up(node, "0");
                    self.chains[node] = Some(Vec::new());
                }
            }
            Step::Mempool(node) => {
                if self.chains[node].is_some() {
                    let names: Vec<&str> = self
                        .payments
                        .iter()
                        .map(|(name, _)| name.as_str())
                        .collect();
                    self.net.mempool(node, &names[names.len() / 2..], &[]);
                }
            }
        }
    }

    fn find(&mut self, node: usize, payments: u8, number: usize) {
        let Some(chain) = &mut self.chains[node] else {
            return;
        };
        if self.frozen.contains_key(&node) {
            return;
        }
        let mut done: BTreeSet<String> = BTreeSet::new();
        let mut spent: BTreeSet<String> = (0..6).map(|_| String::new()).collect();
        for block in chain.iter() {
            done.insert(format!("reward of {block}"));
            for name in &self.inside[block] {
                done.insert(name.clone());
                let coin = self.payments.iter().find(|(known, _)| known == name);
                spent.extend(coin.map(|(_, coin)| coin.clone()));
            }
        }
        let mut taken: Vec<String> = Vec::new();
        for (name, coin) in &self.payments {
            let exists = coin.starts_with("coin") || done.contains(coin);
            if taken.len() < payments.into()
                && !done.contains(name)
                && exists
                && !spent.contains(coin)
            {
                taken.push(name.clone());
                done.insert(name.clone());
                spent.insert(coin.clone());
            }
        }
        let block = format!("{:x}", 0x1000 + number);
        let names: Vec<&str> = taken.iter().map(String::as_str).collect();
        self.net.finds_with(node, &block, &names);
        chain.push(block.clone());
        self.inside.insert(block, taken);
    }
}

/// The books of one report, made again in the plainest way.
fn check(record: &Record, report: &HealReport) -> Result<(), TestCaseError> {
    let settled = match report.outcome {
        Outcome::OneTip { after_us, .. } => report.opened_at_us + after_us,
        Outcome::Apart { within_us, .. } => report.opened_at_us + within_us,
    };
    let id = |position: &Position| record.blocks.id(&position.hash).unwrap();
    let chain_of = |tip: BlockId| record.blocks.ancestors(tip).collect::<BTreeSet<_>>();
    let fork = id(&report.fork);
    let last = chain_of(id(&report.final_tip));
    let mut sums = [Sum::default(); 3];
    let mut lost_payments: BTreeSet<Txid> = BTreeSet::new();
    let mut lost_blocks = BTreeSet::new();
    for (block, placed) in record.blocks.iter() {
        if placed.t > settled || block == fork || !chain_of(block).contains(&fork) {
            continue;
        }
        let stayed = last.contains(&block);
        for sum in [0, if stayed { 1 } else { 2 }] {
            sums[sum].blocks += 1;
            sums[sum].work += placed.work;
            sums[sum].payments += placed.payments.len() as u32;
            sums[sum].reward_sat += placed.reward_sat;
        }
        if !stayed {
            lost_payments.extend(&placed.payments);
            lost_blocks.insert(placed.hash);
        }
    }
    let [found, stayed, lost] = sums;
    prop_assert_eq!(
        report.totals,
        Totals {
            found,
            stayed,
            lost
        }
    );
    let told: BTreeSet<_> = report.lost.iter().map(|block| block.at.hash).collect();
    prop_assert_eq!(
        (told, report.lost.len()),
        (lost_blocks.clone(), lost_blocks.len())
    );
    let told: BTreeSet<Txid> = report.payments.iter().map(|payment| payment.txid).collect();
    prop_assert_eq!(
        (&told, report.payments.len()),
        (&lost_payments, lost_payments.len())
    );

    // Sides: every node that is up is on one, and no block is counted for two.
    let mut up: Vec<usize> = report
        .sides
        .iter()
        .flat_map(|side| side.nodes.clone())
        .collect();
    up.sort_unstable();
    let is_up = |node: &usize| record.nodes[*node].tip_at(report.opened_at_us).is_some();
    prop_assert_eq!(up, (0..NODES).filter(is_up).collect::<Vec<_>>());
    let chains: BTreeSet<BlockId> = report
        .sides
        .iter()
        .flat_map(|side| chain_of(id(&side.tip)))
        .collect();
    let own: u32 = report.sides.iter().map(|side| side.own).sum();
    let below = chain_of(fork);
    prop_assert_eq!(own as usize, chains.difference(&below).count());
    let orphaned = report
        .lost
        .iter()
        .filter(|block| block.loss == Loss::Orphaned)
        .count();
    let lost_of_sides = chains
        .iter()
        .filter(|id| !below.contains(id) && !last.contains(id));
    prop_assert_eq!(orphaned, lost_of_sides.count());

    for payment in &report.payments {
        let in_chain = last
            .iter()
            .any(|id| record.blocks.get(*id).payments.contains(&payment.txid));
        prop_assert_eq!(
            in_chain,
            payment.fate.kind().is_confirmed(),
            "{:?}",
            payment
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_books_of_every_report_add_up(steps in proptest::collection::vec(step(), 1..80)) {
        let mut player = Player::new();
        for (number, step) in steps.iter().enumerate() {
            player.play(number, step);
        }
        let record = player.net.end(100);
        let splits = record.faults.iter().filter(|fault| fault.what.keeps_apart(NODES).is_some());
        let ends: BTreeSet<u64> = splits.filter_map(|fault| fault.ended).collect();
        let reports = reports(&record);
        prop_assert_eq!(reports.len(), ends.len());
        for report in &reports {
            check(&record, report)?;
        }
    }
}
