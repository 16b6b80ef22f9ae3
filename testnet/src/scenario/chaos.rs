//! Random faults made from a seed, as a list of events: what fails can then be cut down event by event.

use std::collections::BTreeSet;

use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use super::file::ScenarioError;
use super::{Action, Groups, Span};
use crate::link::{Flow, Lane};

/// A plan of random faults. All of them are over at `until`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chaos {
    /// Mean time between two faults.
    pub every: Span,
    /// How long a fault lasts, at most.
    pub lasting: Span,
    /// When everything is whole again.
    pub until: Span,
    /// Which kinds: partition, crash, pause, link, stall, sever, gossip-loss, clock.
    pub kinds: Vec<Kind>,
}

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The network falls into two groups.
    Partition,
    /// A node dies, and starts again later.
    Crash,
    /// A node freezes for a while.
    Pause,
    /// A link becomes slow, lossy, and unsteady.
    Link,
    /// One lane of a link passes nothing for a while.
    Stall,
    /// A link's connections end.
    Sever,
    /// Half of all gossip is lost for a while.
    GossipLoss,
    /// A node's clock goes wrong by up to an hour.
    Clock,
}

impl Chaos {
    pub(super) fn check(&self) -> Result<(), ScenarioError> {
        if self.every.0 == 0 {
            return Err(ScenarioError::new(
                "chaos.every",
                "is 0, expected some time",
            ));
        }
        if self.kinds.is_empty() {
            return Err(ScenarioError::new(
                "chaos.kinds",
                "is empty: no kind of fault",
            ));
        }
        Ok(())
    }

    /// The faults of one seed for a network with these links, each with its end, in order of time.
    pub fn events(
        &self,
        nodes: usize,
        links: &[(usize, usize)],
        rng: &mut impl Rng,
    ) -> Vec<(Span, Action)> {
        let mut events = Vec::new();
        let mut at = 0;
        // A node that is down or frozen, and a network that is split, get no second fault of the same kind.
        let mut busy: Vec<(u64, Subject)> = Vec::new();
        loop {
            at += rng.random_range(self.every.0 / 2..=self.every.0.saturating_mul(3) / 2);
            if at >= self.until.0 {
                break;
            }
            busy.retain(|(end, _)| *end > at);
            let end = rng.random_range(at..=at + self.lasting.0).min(self.until.0);
            let Some(&kind) = self.kinds.choose(rng) else {
                break;
            };
            let Some((subject, begin, finish)) = fault(kind, nodes, links, rng) else {
                continue;
            };
            if busy.iter().any(|(_, other)| *other == subject) {
                continue;
            }
            busy.push((end, subject));
            events.push((Span(at), begin));
            if let Some(finish) = finish {
                events.push((Span(end), finish));
            }
        }
        events.sort_by_key(|(at, _)| *at);
        events
    }
}

/// What a fault is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    Network,
    Gossip,
    Node(usize),
    Clock(usize),
    Link(usize, usize),
}

/// A fault and its end.
fn fault(
    kind: Kind,
    nodes: usize,
    links: &[(usize, usize)],
    rng: &mut impl Rng,
) -> Option<(Subject, Action, Option<Action>)> {
    let node = rng.random_range(0..nodes);
    let between = *links.choose(rng)?;
    let link = |lane: Lane, one_way: bool| {
        let action = |lane| Action::Link {
            between,
            lane,
            one_way,
        };
        let subject = Subject::Link(between.0, between.1);
        (subject, action(lane), Some(action(Lane::default())))
    };
    Some(match kind {
        Kind::Partition => {
            let groups = random_halves(nodes, rng)?;
            let begin = Action::Partition(groups);
            (Subject::Network, begin, Some(Action::Heal))
        }
        Kind::Crash => (
            Subject::Node(node),
            Action::Crash(node),
            Some(Action::Restart(node)),
        ),
        Kind::Pause => (
            Subject::Node(node),
            Action::Pause(node),
            Some(Action::Resume(node)),
        ),
        Kind::Link => link(
            Lane {
                delay_ms: rng.random_range(0..2_000),
                jitter_ms: rng.random_range(0..500),
                rate_kbit: rng.random_bool(0.5).then(|| rng.random_range(16..1_000)),
                loss: f64::from(rng.random_range(0u32..30)) / 100.0,
                duplicate: f64::from(rng.random_range(0u32..20)) / 100.0,
                reorder: f64::from(rng.random_range(0u32..30)) / 100.0,
                flow: Flow::Open,
            },
            false,
        ),
        Kind::Stall => link(
            Lane {
                flow: Flow::Stalled,
                ..Lane::default()
            },
            rng.random_bool(0.5),
        ),
        Kind::Sever => (
            Subject::Link(between.0, between.1),
            Action::Sever(between),
            None,
        ),
        Kind::GossipLoss => (
            Subject::Gossip,
            Action::GossipLoss(0.5),
            Some(Action::GossipLoss(0.0)),
        ),
        Kind::Clock => {
            let offset_s = rng.random_range(-3_600..=3_600);
            let set = |offset_s| Action::Clock { node, offset_s };
            (Subject::Clock(node), set(offset_s), Some(set(0)))
        }
    })
}

/// Two groups of any size, both not empty.
fn random_halves(nodes: usize, rng: &mut impl Rng) -> Option<Groups> {
    if nodes < 2 {
        return None;
    }
    let mut order: Vec<usize> = (0..nodes).collect();
    order.shuffle(rng);
    let (a, b) = order.split_at(rng.random_range(1..nodes));
    let group = |nodes: &[usize]| nodes.iter().copied().collect::<BTreeSet<usize>>();
    Some(Groups::of(vec![group(a), group(b)]))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn plan() -> Chaos {
        Chaos {
            every: Span::from_secs(60),
            lasting: Span::from_secs(300),
            until: Span::from_secs(7_200),
            kinds: vec![
                Kind::Partition,
                Kind::Crash,
                Kind::Pause,
                Kind::Link,
                Kind::Stall,
                Kind::Sever,
                Kind::GossipLoss,
                Kind::Clock,
            ],
        }
    }

    fn events(seed: u64) -> Vec<(Span, Action)> {
        let links = [(0, 1), (1, 2), (2, 3), (3, 0)];
        plan().events(4, &links, &mut ChaCha8Rng::seed_from_u64(seed))
    }

    #[test]
    fn the_same_seed_gives_the_same_faults() {
        assert_eq!(events(5), events(5));
        assert_ne!(events(5), events(6));
    }

    #[test]
    fn every_fault_ends() {
        for seed in 0..50 {
            let (mut split, mut down, mut frozen) = (false, BTreeSet::new(), BTreeSet::new());
            let all = events(seed);
            assert!(all.len() > 20);
            for (at, action) in all {
                assert!(at <= plan().until);
                match action {
                    Action::Partition(_) => split = true,
                    Action::Heal => split = false,
                    Action::Crash(node) => assert!(down.insert(node)),
                    Action::Restart(node) => assert!(down.remove(&node)),
                    Action::Pause(node) => assert!(frozen.insert(node) && !down.contains(&node)),
                    Action::Resume(node) => assert!(frozen.remove(&node)),
                    _ => {}
                }
            }
            assert!(!split && down.is_empty() && frozen.is_empty());
        }
    }
}
