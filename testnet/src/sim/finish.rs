//! The end of a run: last checks, figures, the end of the record.

use std::collections::BTreeMap;

use bitcoin::BlockHash;
use chain::Chain;

use super::Run;
use super::stats::{MinerFigures, PaymentFigures, Percentiles, Summary};
use super::world::World;
use crate::invariants::{Rule, Violation};
use crate::record::Line;

impl World<'_> {
    /// Makes the last checks and sums up.
    pub(super) fn finish(mut self) -> Run {
        self.tell_traffic();
        self.tell_mempools();
        self.check_coins(usize::MAX);
        let payments = self.settle_payments();
        let summary = self.sum_up(payments);
        self.check_expectations(&summary);
        let (t, events) = (self.now_us, self.queue.count());
        let mut violations = self.watch.into_violations();
        for violation in &violations {
            self.book.line(Line::Violated {
                t: violation.at_us,
                rule: violation.rule.to_string(),
                detail: violation.detail.clone(),
            });
        }
        let ended = self.book.end(t, None, Some(events));
        if let Err(error) = &ended {
            violations.push(Violation {
                at_us: t,
                rule: Rule::RecordIsWhole,
                detail: error.to_string(),
            });
        }
        let (record, record_hash) = match ended {
            Ok((record, hash)) => (Some(record), hash),
            Err(_) => (None, String::new()),
        };
        Run {
            scenario: self.plan.name.clone(),
            seed: self.seed,
            record_hash,
            summary,
            violations,
            record,
        }
    }

    /// When a healing is over, tells what is in mempools then.
    pub(super) fn tell_healed(&mut self) {
        if self.agreed && std::mem::take(&mut self.heals) {
            self.tell_mempools();
        }
    }

    /// Tells what every node that is up has in its mempool, if anybody pays at all.
    pub(super) fn tell_mempools(&mut self) {
        if self.plan.payments.is_empty() {
            return;
        }
        let t = self.now_us;
        for (node, sim) in self.nodes.iter().enumerate() {
            let Some(core) = &sim.core else { continue };
            let mempool = core.mempool();
            let line = Line::Mempool {
                t,
                node,
                txids: mempool.entries().map(|entry| entry.txid).collect(),
                aside: self.payments.set_aside(mempool),
            };
            self.book.line(line);
        }
    }

    /// Compares the coins of the first `most` nodes that are up.
    pub(super) fn check_coins(&mut self, most: usize) {
        let chains = self
            .nodes
            .iter()
            .enumerate()
            .filter_map(|(node, sim)| Some((node, sim.core.as_ref()?.chain())))
            .take(most);
        let coins = self.watch.check_coins(self.now_us, chains);
        if most < usize::MAX {
            return;
        }
        for (node, tip, coins) in coins {
            self.book.line(Line::Coins {
                t: self.now_us,
                node,
                tip,
                muhash: coins.hash.to_string(),
                amount_sat: coins.total.to_sat(),
            });
        }
    }

    /// The chain with the most work of all nodes that are up.
    pub(super) fn best_chain(&self) -> Option<&Chain> {
        let chains = self
            .nodes
            .iter()
            .filter_map(|sim| Some(sim.core.as_ref()?.chain()));
        // The first of equals, so that the result does not depend on how `max_by_key` breaks ties.
        chains.fold(None, |best: Option<&Chain>, chain| match best {
            Some(best) if best.tip().chain_work >= chain.tip().chain_work => Some(best),
            _ => Some(chain),
        })
    }

    fn sum_up(&self, payments: PaymentFigures) -> Summary {
        let best = self.best_chain();
        let found = &self.counters.found;
        let is_stale = |hash: &BlockHash| !best.is_some_and(|chain| chain.is_active(hash));
        let mut miners: BTreeMap<usize, MinerFigures> = BTreeMap::new();
        for (hash, block) in found {
            let figures = miners.entry(block.node).or_default();
            figures.node = block.node;
            figures.found += 1;
            figures.stale += u64::from(is_stale(hash));
        }
        let stale: u64 = miners.values().map(|miner| miner.stale).sum();
        let blocks = found.len() as u64;
        let mut tips: Vec<usize> = self.tips.values().copied().collect();
        tips.sort_unstable_by(|a, b| b.cmp(a));
        let bytes: u64 = self
            .counters
            .traffic
            .iter()
            .map(|(_, kind)| kind.bytes)
            .sum();
        let share = (blocks * self.nodes.len() as u64).max(1);
        Summary {
            seconds: self.plan.duration_us as f64 / 1e6,
            events: self.queue.count(),
            blocks,
            height: best.map_or(0, |chain| chain.tip().height.0),
            stale,
            stale_share: stale as f64 / blocks.max(1) as f64,
            miners: miners.into_values().collect(),
            propagation_ms: Percentiles::of(self.counters.delays_us.clone(), 1e-3),
            reorgs: self.counters.reorgs.clone(),
            one_tip_after_ms: self.watch.agreed_after_us().map(|us| us as f64 / 1e3),
            tips,
            payments,
            sent_away: self.counters.sent_away,
            traffic: self
                .counters
                .traffic
                .iter()
                .map(|(kind, figures)| ((*kind).to_owned(), *figures))
                .collect(),
            torn_writes: self.counters.torn_writes,
            bytes_per_block_and_node: bytes as f64 / share as f64,
            actions: self.counters.actions.clone(),
        }
    }

    fn check_expectations(&mut self, summary: &Summary) {
        let expect = self.plan.expect;
        let at = self.now_us;
        if let Some(limit) = expect.one_tip_within {
            match self.watch.agreed_after_us() {
                Some(us) if us <= limit.0 => {}
                // A run that ends before the time is up proves nothing either way.
                None if self.watch.last_act_us() + limit.0 > at => {
                    let detail =
                        format!("the run ends before {limit} after the last event are over");
                    self.watch.violate(at, Rule::RunsLongEnough, detail);
                }
                Some(us) => {
                    let detail = format!("it took {:.3} s, expected {limit}", us as f64 / 1e6);
                    self.watch.violate(at, Rule::OneTipInTime, detail);
                }
                None => {
                    let detail = format!("no agreement; tips are shared by {:?}", summary.tips);
                    self.watch.violate(at, Rule::OneTipInTime, detail);
                }
            }
            let longest_us = self.watch.divided_for_us(at);
            if longest_us > limit.0 {
                let detail = format!(
                    "after they had agreed, the nodes were divided again for {:.3} s, expected {limit} at most",
                    longest_us as f64 / 1e6
                );
                self.watch.violate(at, Rule::OneTipInTime, detail);
            }
        }
        let deepest = summary.reorgs.keys().next_back().copied().unwrap_or(0);
        if expect
            .reorg_of_at_least
            .is_some_and(|least| deepest < least)
        {
            let detail = format!("the deepest reorg is {deepest} blocks, expected more");
            self.watch.violate(at, Rule::FaultsHappen, detail);
        }
        if expect.reorg_of_at_most.is_some_and(|most| deepest > most) {
            let detail = format!("the deepest reorg is {deepest} blocks, expected fewer");
            self.watch.violate(at, Rule::Expected, detail);
        }
        if let Some((least, most)) = expect.stale_share
            && !(least..=most).contains(&summary.stale_share)
        {
            let share = summary.stale_share;
            let detail = format!("the stale share is {share:.4}, expected {least} to {most}");
            self.watch.violate(at, Rule::Expected, detail);
        }
        if let Some((least, most)) = expect.apart_share {
            let share = self.watch.apart_us(at) as f64 / at.max(1) as f64;
            if !(least..=most).contains(&share) {
                let detail = format!(
                    "nodes were apart for {share:.4} of the time, expected {least} to {most}"
                );
                let rule = match share < least {
                    true => Rule::FaultsHappen,
                    false => Rule::Expected,
                };
                self.watch.violate(at, rule, detail);
            }
        }
        let (taken, planned) = (self.counters.steps, self.steps.len());
        if taken != planned {
            let detail = format!("{taken} of {planned} steps were taken");
            self.watch.violate(at, Rule::FaultsHappen, detail);
        }
    }
}
