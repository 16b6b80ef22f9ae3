//! Random faults made from a seed, written out as plain faults: what fails can then be cut down fault by fault.

use std::collections::BTreeSet;

use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, RngExt};

use super::random::interval_us;
use super::{Fault, FaultKind};
use crate::link::{Flow, Lane};
use crate::scenario::Groups;
use crate::scenario::chaos::{Chaos, Churn, Kind};

/// Clocks go wrong by up to three hours: beyond the two that a block's time may lie ahead.
const MOST_OFFSET_S: i64 = 3 * 3_600;

/// The faults of one seed for a network with these links, each with its end, in order of time. `lane` is what a link does that
/// has no fault.
pub(super) fn faults(
    chaos: &Chaos,
    nodes: usize,
    links: &[(usize, usize)],
    lane: Lane,
    rng: &mut impl Rng,
) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut at = 0;
    // A node that is down or frozen, and a network that is split, get no second fault of the same kind.
    let mut busy: Vec<(u64, Subject)> = Vec::new();
    let (every, until) = (chaos.every.0, chaos.until.0);
    loop {
        at += rng.random_range(every / 2..=every.saturating_mul(3) / 2);
        if at >= until {
            break;
        }
        busy.retain(|(end, _)| *end > at);
        let end = rng.random_range(at..=at + chaos.lasting.0).min(until);
        let Some(&kind) = chaos.kinds.choose(rng) else {
            break;
        };
        let Some((subject, what)) = fault(kind, nodes, links, lane, rng) else {
            continue;
        };
        if busy.iter().any(|(_, other)| *other == subject) {
            continue;
        }
        busy.push((end, subject));
        faults.push(Fault {
            at_us: at,
            until_us: (kind != Kind::Sever).then_some(end.max(at + 1)),
            what,
        });
    }
    faults
}

/// Nodes that leave and come back, each by itself, at exponential times.
pub(super) fn churn(churn: &Churn, nodes: usize, rng: &mut impl Rng) -> Vec<Fault> {
    let mut faults = Vec::new();
    let all: Vec<usize> = (0..nodes).collect();
    for &node in churn.nodes.as_ref().unwrap_or(&all) {
        let mut at = churn.from.0;
        loop {
            at = at.saturating_add(interval_us(churn.up.0, rng).max(1));
            if at >= churn.until.0 {
                break;
            }
            let back = at.saturating_add(interval_us(churn.down.0, rng).max(1));
            let what = match churn.crash_share > 0.0 && rng.random::<f64>() < churn.crash_share {
                true => FaultKind::Kill { node },
                false => FaultKind::Stop { node },
            };
            faults.push(Fault {
                at_us: at,
                until_us: Some(back.min(churn.until.0)),
                what,
            });
            at = back;
        }
    }
    faults
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

fn fault(
    kind: Kind,
    nodes: usize,
    links: &[(usize, usize)],
    plain: Lane,
    rng: &mut impl Rng,
) -> Option<(Subject, FaultKind)> {
    let node = rng.random_range(0..nodes);
    let between = *links.choose(rng)?;
    let link = |lane: Lane, one_way: bool| {
        let subject = Subject::Link(between.0, between.1);
        (
            subject,
            FaultKind::Link {
                between,
                lane,
                one_way,
            },
        )
    };
    Some(match kind {
        Kind::Partition => {
            let groups = random_halves(nodes, rng)?;
            let silent = false;
            (Subject::Network, FaultKind::Partition { groups, silent })
        }
        Kind::Crash => (Subject::Node(node), FaultKind::Kill { node }),
        Kind::Pause => (Subject::Node(node), FaultKind::Pause { node }),
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
                ..plain
            },
            rng.random_bool(0.5),
        ),
        Kind::Sever => (
            Subject::Link(between.0, between.1),
            FaultKind::Sever { between },
        ),
        Kind::GossipLoss => (Subject::Gossip, FaultKind::GossipLoss { share: 0.5 }),
        Kind::Clock => {
            let offset_s = rng.random_range(-MOST_OFFSET_S..=MOST_OFFSET_S);
            (Subject::Clock(node), FaultKind::Clock { node, offset_s })
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
    use super::super::random::{Concern, stream};
    use super::*;
    use crate::scenario::Span;

    fn chaos() -> Chaos {
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

    fn of_seed(seed: u64) -> Vec<Fault> {
        let links = [(0, 1), (1, 2), (2, 3), (3, 0)];
        let rng = &mut stream(seed, Concern::Chaos);
        faults(&chaos(), 4, &links, Lane::delayed(50), rng)
    }

    #[test]
    fn the_same_seed_gives_the_same_faults() {
        assert_eq!(of_seed(5), of_seed(5));
        assert_ne!(of_seed(5), of_seed(6));
    }

    #[test]
    fn every_fault_ends_in_time_and_none_of_a_kind_overlaps_another() {
        for seed in 0..50 {
            let all = of_seed(seed);
            assert!(all.len() > 10);
            for (index, fault) in all.iter().enumerate() {
                let sever = matches!(fault.what, FaultKind::Sever { .. });
                assert_eq!(fault.until_us.is_none(), sever, "{fault:?}");
                let until = fault.until_us.unwrap_or(fault.at_us + 1);
                assert!(fault.at_us < until && until <= chaos().until.0);
                let same_node = |other: &&Fault| match (&other.what, &fault.what) {
                    (
                        FaultKind::Kill { node: a } | FaultKind::Pause { node: a },
                        FaultKind::Kill { node: b } | FaultKind::Pause { node: b },
                    ) => a == b,
                    (FaultKind::Partition { .. }, FaultKind::Partition { .. }) => true,
                    _ => false,
                };
                let earlier = all[..index].iter().filter(same_node);
                for other in earlier {
                    assert!(
                        other.until_us.unwrap() <= fault.at_us,
                        "{other:?} {fault:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn nodes_come_and_go_by_themselves() {
        let plan = Churn {
            up: Span::from_secs(600),
            down: Span::from_secs(60),
            from: Span::from_secs(100),
            until: Span::from_secs(7_200),
            nodes: Some(vec![1, 3]),
            crash_share: 0.5,
        };
        let all = churn(&plan, 4, &mut stream(1, Concern::Churn));
        assert!(all.len() > 8, "{all:?}");
        let of = |name: &str| all.iter().filter(|fault| fault.what.name() == name).count();
        assert!(of("kill") > 1 && of("stop") > 1);
        for fault in &all {
            let (FaultKind::Kill { node } | FaultKind::Stop { node }) = fault.what else {
                panic!("{fault:?}");
            };
            assert!(node == 1 || node == 3);
            assert!(fault.at_us >= 100_000_000 && fault.until_us.unwrap() <= 7_200_000_000);
        }
    }
}
