//! What a plan does, step by step, and what holds while some of its faults last: decided once, for both engines.

use std::collections::BTreeSet;

use super::{FaultKind, Plan};
use crate::link::{Flow, LinkSettings};

/// One thing to do: the fault is named by its place in the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A fault begins.
    Begin(usize),
    /// It is over.
    End(usize),
}

/// The faults that last now, by their places in the plan: in order of their begins.
pub type Lasting = BTreeSet<usize>;

/// What a link does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LinkState {
    /// Delays, rates, and whether a lane passes anything.
    pub settings: LinkSettings,
    /// Whether connections are reset and refused.
    pub cut: bool,
}

impl Plan {
    /// All steps, in order of time; at one time ends come first.
    pub fn steps(&self) -> Vec<(u64, Step)> {
        let mut steps = Vec::new();
        for (index, fault) in self.faults.iter().enumerate() {
            steps.push((fault.at_us, Step::Begin(index)));
            steps.extend(fault.until_us.map(|until_us| (until_us, Step::End(index))));
        }
        steps.retain(|(at_us, _)| *at_us <= self.duration_us);
        steps.sort_by_key(|(at_us, step)| (*at_us, matches!(step, Step::Begin(_))));
        steps
    }

    /// When the last step is; 0 if there is none.
    pub fn last_step_us(&self) -> u64 {
        self.steps().last().map_or(0, |(at_us, _)| *at_us)
    }

    /// The first fault that keeps nodes apart and is never over.
    pub fn lasting_split(&self) -> Option<usize> {
        self.faults.iter().position(|fault| {
            let ends = fault.until_us.is_some_and(|until| until < self.duration_us);
            !ends && fault.at_us < self.duration_us && fault.what.keeps_apart(self.nodes).is_some()
        })
    }

    /// What a link does while these faults last.
    pub fn link_state(&self, link: usize, lasting: &Lasting) -> LinkState {
        let link = &self.links[link];
        let mut state = LinkState {
            settings: link.settings,
            cut: false,
        };
        let ways = [(link.from, link.to), (link.to, link.from)];
        // First what changes the lanes, so that a cut stays one whatever is done to the link meanwhile.
        for index in lasting {
            if let FaultKind::Link {
                between,
                lane,
                one_way,
            } = self.faults[*index].what
            {
                let lanes = [&mut state.settings.forward, &mut state.settings.backward];
                for (way, own) in ways.iter().zip(lanes) {
                    if *way == between || (!one_way && *way == (between.1, between.0)) {
                        *own = lane;
                    }
                }
            }
        }
        for index in lasting {
            let stalls = |way: &(usize, usize)| match &self.faults[*index].what {
                FaultKind::Partition {
                    groups,
                    silent: true,
                } => groups.separates(way.0, way.1),
                FaultKind::OneWay { from, to } => from.contains(&way.0) && to.contains(&way.1),
                _ => false,
            };
            let lanes = [&mut state.settings.forward, &mut state.settings.backward];
            for (_, lane) in ways.iter().zip(lanes).filter(|(way, _)| stalls(way)) {
                lane.flow = Flow::Stalled;
            }
            state.cut |= match &self.faults[*index].what {
                FaultKind::Partition {
                    groups,
                    silent: false,
                } => groups.separates(link.from, link.to),
                FaultKind::Eclipse { victim, attackers } => ways
                    .iter()
                    .any(|(a, b)| a == victim && !attackers.contains(b)),
                _ => false,
            };
        }
        state
    }

    /// A node's weight among all miners while these faults last.
    pub fn share(&self, node: usize, lasting: &Lasting) -> f64 {
        let last = lasting
            .iter()
            .rev()
            .find_map(|index| match self.faults[*index].what {
                FaultKind::Mining { node: other, share } if other == node => Some(share),
                _ => None,
            });
        let mut miners = self.miners.iter();
        let first = miners.find(|miner| miner.node == node);
        last.unwrap_or(first.map_or(0.0, |miner| miner.share))
    }

    /// The weight of all miners at the start, and of those that begin later if nobody mines then: with it, a block takes its time.
    pub fn full_share(&self) -> f64 {
        let first: f64 = self.miners.iter().map(|miner| miner.share).sum();
        let later = self.faults.iter().filter_map(|fault| match fault.what {
            FaultKind::Mining { share, .. } => Some(share),
            _ => None,
        });
        match first > 0.0 {
            true => first,
            false => later.fold(0.0, f64::max).max(f64::MIN_POSITIVE),
        }
    }

    /// The share of gossip that is lost while these faults last.
    pub fn gossip_loss(&self, lasting: &Lasting) -> f64 {
        let last = lasting
            .iter()
            .rev()
            .find_map(|index| match self.faults[*index].what {
                FaultKind::GossipLoss { share } => Some(share),
                _ => None,
            });
        last.unwrap_or(self.gossip.loss)
    }

    /// How far a node's wall clock is ahead while these faults last, in seconds.
    pub fn clock_offset_s(&self, node: usize, lasting: &Lasting) -> i64 {
        let last = lasting
            .iter()
            .rev()
            .find_map(|index| match self.faults[*index].what {
                FaultKind::Clock {
                    node: other,
                    offset_s,
                } if other == node => Some(offset_s),
                _ => None,
            });
        last.unwrap_or(0)
    }

    /// Whether one of these faults keeps a node down.
    pub fn is_down(&self, node: usize, lasting: &Lasting) -> bool {
        lasting.iter().any(|index| {
            let what = &self.faults[*index].what;
            *what == FaultKind::Kill { node } || *what == FaultKind::Stop { node }
        })
    }

    /// Whether one of these faults freezes a node.
    pub fn is_frozen(&self, node: usize, lasting: &Lasting) -> bool {
        let mut lasting = lasting.iter();
        lasting.any(|index| self.faults[*index].what == FaultKind::Pause { node })
    }
}
