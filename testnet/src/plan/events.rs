//! Events of a file as faults with an end: a heal ends what cut the network, a restart what ended the node, and so on.

use super::{Fault, FaultKind, Link};
use crate::link::Lane;
use crate::scenario::action::EventEntry;
use crate::scenario::{Action, Scenario, ScenarioError, Span};

/// The faults of the file's own events, in order of time.
pub(super) fn faults(scenario: &Scenario, links: &[Link]) -> Result<Vec<Fault>, ScenarioError> {
    let mut events = Vec::new();
    for (index, entry) in scenario.events.iter().enumerate() {
        let action = entry.read(&format!("event[{index}]"))?;
        events.extend(entry.times().map(|at| (at.0, index, action.clone())));
    }
    events.sort_by_key(|(at, _, _)| *at);
    let mut reader = Reader {
        scenario,
        links,
        open: Vec::new(),
        faults: Vec::new(),
    };
    for (at_us, index, action) in events {
        let lasting = scenario.events[index].lasting;
        reader
            .take(at_us, action, lasting)
            .map_err(|problem| ScenarioError::new(format!("event[{index}]"), problem))?;
    }
    Ok(reader.faults)
}

struct Reader<'a> {
    scenario: &'a Scenario,
    links: &'a [Link],
    /// Those among `faults` that a later event may end.
    open: Vec<usize>,
    faults: Vec<Fault>,
}

impl Reader<'_> {
    /// Takes the next event; says what is wrong with it.
    fn take(&mut self, at_us: u64, action: Action, lasting: Option<Span>) -> Result<(), String> {
        let what = match action {
            Action::Heal => {
                return match self.close(at_us, |what| what.keeps_apart(0).is_some()) {
                    true => Ok(()),
                    false => Err("heals at a time when nothing is cut".to_owned()),
                };
            }
            Action::Restart(node) => return self.restart(at_us, node),
            Action::Resume(node) => {
                return match self.close(at_us, |what| *what == FaultKind::Pause { node }) {
                    true => Ok(()),
                    false => Err(format!("resumes node {node}, which is not paused then")),
                };
            }
            Action::Link {
                between,
                lane,
                one_way,
            } => return self.link(at_us, between, lane, one_way, lasting),
            Action::Partition { groups, silent } => {
                self.close(at_us, |what| matches!(what, FaultKind::Partition { .. }));
                FaultKind::Partition { groups, silent }
            }
            Action::OneWay { from, to } => FaultKind::OneWay {
                from: from.into_iter().collect(),
                to: to.into_iter().collect(),
            },
            Action::Eclipse { victim, attackers } => FaultKind::Eclipse {
                victim,
                attackers: attackers.into_iter().collect(),
            },
            Action::Crash(node) => self.down(node, FaultKind::Kill { node })?,
            Action::Stop(node) => self.down(node, FaultKind::Stop { node })?,
            Action::Pause(node) => match self.has_open(|what| *what == FaultKind::Pause { node }) {
                true => return Err(format!("pauses node {node}, which is paused already")),
                false => FaultKind::Pause { node },
            },
            Action::Sever(between) => {
                self.check_link(between)?;
                FaultKind::Sever { between }
            }
            Action::GossipLoss(share) => {
                self.close(at_us, |what| matches!(what, FaultKind::GossipLoss { .. }));
                if share == self.scenario.gossip.loss {
                    return Ok(());
                }
                FaultKind::GossipLoss { share }
            }
            Action::Clock { node, offset_s } => {
                let same = |what: &FaultKind| matches!(what, FaultKind::Clock { node: other, .. } if *other == node);
                self.close(at_us, same);
                if offset_s == 0 {
                    return Ok(());
                }
                FaultKind::Clock { node, offset_s }
            }
            Action::Mining { node, share } => {
                let same = |what: &FaultKind| matches!(what, FaultKind::Mining { node: other, .. } if *other == node);
                self.close(at_us, same);
                if share == share_at_first(self.scenario, node) {
                    return Ok(());
                }
                FaultKind::Mining { node, share }
            }
        };
        self.begin(at_us, what, lasting);
        Ok(())
    }

    fn begin(&mut self, at_us: u64, what: FaultKind, lasting: Option<Span>) {
        let has_end = !matches!(what, FaultKind::Sever { .. } | FaultKind::Start { .. });
        if lasting.is_none() && has_end {
            self.open.push(self.faults.len());
        }
        self.faults.push(Fault {
            at_us,
            until_us: lasting.map(|lasting| at_us.saturating_add(lasting.0)),
            what,
        });
    }

    /// Ends open faults; whether there was one.
    fn close(&mut self, at_us: u64, ends: impl Fn(&FaultKind) -> bool) -> bool {
        let faults = &mut self.faults;
        let before = self.open.len();
        self.open.retain(|index| {
            let fault = &mut faults[*index];
            let ends = ends(&fault.what);
            if ends {
                fault.until_us = Some(at_us);
            }
            !ends
        });
        self.open.len() < before
    }

    fn has_open(&self, is: impl Fn(&FaultKind) -> bool) -> bool {
        self.open.iter().any(|index| is(&self.faults[*index].what))
    }

    fn down(&self, node: usize, what: FaultKind) -> Result<FaultKind, String> {
        let never_started = self.scenario.down.contains(&node) && !self.has_started(node);
        if never_started || self.has_open(|what| is_down(what, node)) {
            return Err(format!("ends node {node}, which is down already"));
        }
        Ok(what)
    }

    fn restart(&mut self, at_us: u64, node: usize) -> Result<(), String> {
        if self.close(at_us, |what| is_down(what, node)) {
            return Ok(());
        }
        if self.scenario.down.contains(&node) && !self.has_started(node) {
            self.begin(at_us, FaultKind::Start { node }, None);
            return Ok(());
        }
        Err(format!("starts node {node}, which is up then"))
    }

    fn has_started(&self, node: usize) -> bool {
        let mut faults = self.faults.iter();
        faults.any(|fault| fault.what == FaultKind::Start { node })
    }

    fn check_link(&self, (a, b): (usize, usize)) -> Result<&Link, String> {
        let joins = |link: &&Link| (link.from, link.to) == (a, b) || (link.to, link.from) == (a, b);
        self.links.iter().find(joins).ok_or_else(|| {
            let topology = self.scenario.topology;
            format!("nodes {a} and {b} have no link with this seed in the topology {topology}")
        })
    }

    fn link(
        &mut self,
        at_us: u64,
        between: (usize, usize),
        lane: Option<Lane>,
        one_way: bool,
        lasting: Option<Span>,
    ) -> Result<(), String> {
        let link = *self.check_link(between)?;
        let ways = ways(between, one_way);
        if lasting.is_none() {
            self.end_ways(at_us, &ways);
        }
        let plain = |way: &(usize, usize)| match way.0 == link.from {
            true => link.settings.forward,
            false => link.settings.backward,
        };
        match lane {
            Some(lane) if ways.iter().any(|way| plain(way) != lane) => {
                let what = FaultKind::Link {
                    between,
                    lane,
                    one_way,
                };
                self.begin(at_us, what, lasting);
                Ok(())
            }
            None if lasting.is_some() => Err("has no lane; it would change nothing".to_owned()),
            _ => Ok(()),
        }
    }

    /// Ends what open faults do to these ways of links; a fault of both ways goes on for the other one.
    fn end_ways(&mut self, at_us: u64, ended: &[(usize, usize)]) {
        let mut rest = Vec::new();
        for index in &self.open {
            let FaultKind::Link {
                between,
                lane,
                one_way,
            } = self.faults[*index].what
            else {
                continue;
            };
            let own = ways(between, one_way);
            if own.len() == 2 && own.iter().any(|way| ended.contains(way)) {
                let left = own.iter().filter(|way| !ended.contains(way));
                rest.extend(left.map(|way| (*way, lane)));
            }
        }
        self.close(at_us, |what| match what {
            FaultKind::Link {
                between, one_way, ..
            } => ways(*between, *one_way)
                .iter()
                .any(|way| ended.contains(way)),
            _ => false,
        });
        for (between, lane) in rest {
            let one_way = true;
            self.begin(
                at_us,
                FaultKind::Link {
                    between,
                    lane,
                    one_way,
                },
                None,
            );
        }
    }
}

fn is_down(what: &FaultKind, node: usize) -> bool {
    *what == FaultKind::Kill { node } || *what == FaultKind::Stop { node }
}

fn ways((a, b): (usize, usize), one_way: bool) -> Vec<(usize, usize)> {
    match one_way {
        true => vec![(a, b)],
        false => vec![(a, b), (b, a)],
    }
}

/// A node's weight among all miners at the start.
fn share_at_first(scenario: &Scenario, node: usize) -> f64 {
    let mut miners = scenario.miners.iter();
    match scenario.miners.is_empty() {
        true => 1.0,
        false => miners
            .find(|miner| miner.node == node)
            .map_or(0.0, |miner| miner.share),
    }
}

/// The event of a file that stands for a fault, its end in it.
pub fn entry_of(fault: &Fault) -> EventEntry {
    let mut entry = EventEntry {
        at: Span(fault.at_us),
        action: fault.what.name().to_owned(),
        lasting: fault.until_us.map(|until| Span(until - fault.at_us)),
        ..EventEntry::default()
    };
    match &fault.what {
        FaultKind::Partition { groups, silent } => {
            entry.groups = Some(groups.clone());
            entry.silent = *silent;
        }
        FaultKind::OneWay { from, to } => {
            entry.from = from.iter().copied().collect();
            entry.to = to.iter().copied().collect();
        }
        FaultKind::Eclipse { victim, attackers } => {
            entry.node = Some(*victim);
            entry.attackers = attackers.iter().copied().collect();
        }
        FaultKind::Kill { node } => {
            entry.action = "crash".to_owned();
            entry.node = Some(*node);
        }
        FaultKind::Start { node } => {
            entry.action = "restart".to_owned();
            entry.node = Some(*node);
        }
        FaultKind::Stop { node } | FaultKind::Pause { node } | FaultKind::DiskFull { node, .. } => {
            entry.node = Some(*node)
        }
        FaultKind::Link {
            between,
            lane,
            one_way,
        } => {
            entry.between = Some(*between);
            entry.lane = Some(*lane);
            entry.one_way = *one_way;
        }
        FaultKind::Sever { between } => entry.between = Some(*between),
        FaultKind::GossipLoss { share } => entry.share = Some(*share),
        FaultKind::Clock { node, offset_s } => {
            entry.node = Some(*node);
            entry.offset_s = Some(*offset_s);
        }
        FaultKind::Mining { node, share } => {
            entry.node = Some(*node);
            entry.share = Some(*share);
        }
    }
    entry
}
