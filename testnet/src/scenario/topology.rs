//! Who dials whom.

use std::fmt;
use std::str::FromStr;

use rand::seq::SliceRandom;
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

/// A rule that makes links for any number of nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Topology {
    /// Everybody with everybody: any partition leaves each side connected.
    Complete,
    /// A chain of nodes.
    Line,
    /// A closed chain.
    Ring,
    /// Node 0 in the middle.
    Star,
    /// A random connected graph where every node has about that many links.
    Regular(u32),
}

/// What is wrong with the name of a topology.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{got:?} is no topology; choose complete, line, ring, star or regular:N with N from 2 to 64"
)]
pub struct TopologyError {
    /// What stands there.
    pub got: String,
}

impl Topology {
    /// Pairs (who dials, who is dialled); each pair of nodes at most once, never a node with itself.
    pub fn links(self, nodes: usize, rng: &mut impl Rng) -> Vec<(usize, usize)> {
        match self {
            Topology::Complete => complete(nodes),
            Topology::Line => (1..nodes).map(|node| (node, node - 1)).collect(),
            Topology::Ring if nodes < 3 => complete(nodes),
            Topology::Ring => (0..nodes).map(|node| (node, (node + 1) % nodes)).collect(),
            Topology::Star => (1..nodes).map(|node| (node, 0)).collect(),
            Topology::Regular(degree) if nodes <= degree as usize + 1 => complete(nodes),
            Topology::Regular(degree) => regular(nodes, degree as usize, rng),
        }
    }

    /// Whether two nodes may have a link; certain but for random graphs.
    pub fn may_have_link(self, nodes: usize, a: usize, b: usize) -> bool {
        let (low, high) = (a.min(b), a.max(b));
        let apart = high - low;
        match self {
            Topology::Complete | Topology::Regular(_) => apart > 0,
            Topology::Line => apart == 1,
            Topology::Ring => apart == 1 || (apart > 0 && apart == nodes - 1),
            Topology::Star => apart > 0 && low == 0,
        }
    }
}

fn complete(nodes: usize) -> Vec<(usize, usize)> {
    (0..nodes)
        .flat_map(|a| (a + 1..nodes).map(move |b| (b, a)))
        .collect()
}

/// A ring in random order keeps it connected; random chords fill up the degrees.
fn regular(nodes: usize, degree: usize, rng: &mut impl Rng) -> Vec<(usize, usize)> {
    let mut order: Vec<usize> = (0..nodes).collect();
    order.shuffle(rng);
    let mut neighbours = vec![Vec::with_capacity(degree); nodes];
    let mut links = Vec::with_capacity(nodes * degree / 2);
    let mut join = |a: usize, b: usize, neighbours: &mut Vec<Vec<usize>>| {
        neighbours[a].push(b);
        neighbours[b].push(a);
        links.push((a, b));
    };
    for index in 0..nodes {
        join(order[index], order[(index + 1) % nodes], &mut neighbours);
    }
    for a in 0..nodes {
        // A few nodes may stay one link short when nobody free is left: bounded tries.
        let mut tries = 0;
        while neighbours[a].len() < degree && tries < 20 * degree {
            tries += 1;
            let b = rng.random_range(0..nodes);
            if b != a && neighbours[b].len() < degree && !neighbours[a].contains(&b) {
                join(a, b, &mut neighbours);
            }
        }
    }
    links
}

impl FromStr for Topology {
    type Err = TopologyError;

    fn from_str(text: &str) -> Result<Topology, TopologyError> {
        let wrong = || TopologyError {
            got: text.to_owned(),
        };
        match text {
            "complete" => Ok(Topology::Complete),
            "line" => Ok(Topology::Line),
            "ring" => Ok(Topology::Ring),
            "star" => Ok(Topology::Star),
            _ => match text.strip_prefix("regular:").map(str::parse) {
                Some(Ok(degree @ 2..=64)) => Ok(Topology::Regular(degree)),
                _ => Err(wrong()),
            },
        }
    }
}

impl TryFrom<String> for Topology {
    type Error = TopologyError;

    fn try_from(text: String) -> Result<Topology, TopologyError> {
        text.parse()
    }
}

impl From<Topology> for String {
    fn from(topology: Topology) -> String {
        topology.to_string()
    }
}

impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Topology::Complete => f.write_str("complete"),
            Topology::Line => f.write_str("line"),
            Topology::Ring => f.write_str("ring"),
            Topology::Star => f.write_str("star"),
            Topology::Regular(degree) => write!(f, "regular:{degree}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn links(topology: Topology, nodes: usize) -> Vec<(usize, usize)> {
        topology.links(nodes, &mut ChaCha8Rng::seed_from_u64(3))
    }

    fn is_connected(nodes: usize, links: &[(usize, usize)]) -> bool {
        let mut reached = BTreeSet::from([0]);
        loop {
            let before = reached.len();
            for &(a, b) in links {
                if reached.contains(&a) || reached.contains(&b) {
                    reached.extend([a, b]);
                }
            }
            if reached.len() == before {
                return before == nodes;
            }
        }
    }

    #[test]
    fn every_topology_is_connected_and_simple() {
        let kinds = [
            Topology::Complete,
            Topology::Line,
            Topology::Ring,
            Topology::Star,
            Topology::Regular(4),
        ];
        for topology in kinds {
            for nodes in 1..30 {
                let links = links(topology, nodes);
                assert!(is_connected(nodes, &links), "{topology} of {nodes}");
                let pairs: BTreeSet<_> = links.iter().map(|&(a, b)| (a.min(b), a.max(b))).collect();
                assert_eq!(
                    pairs.len(),
                    links.len(),
                    "{topology} of {nodes}: a pair twice"
                );
                assert!(links.iter().all(|(a, b)| a != b));
                for (a, b) in complete(nodes) {
                    let linked = pairs.contains(&(a.min(b), a.max(b)));
                    let may = topology.may_have_link(nodes, a, b);
                    let certain = !matches!(topology, Topology::Regular(_));
                    assert!(may == linked || (may && !certain), "{topology}: {a}, {b}");
                }
                assert!(!topology.may_have_link(nodes, 0, 0));
            }
        }
    }

    #[test]
    fn a_regular_graph_has_nearly_the_degree_asked_for() {
        let links = links(Topology::Regular(8), 1_000);
        assert!((3_950..=4_000).contains(&links.len()), "{}", links.len());
    }

    #[test]
    fn names_are_read_and_written() {
        for name in ["complete", "line", "ring", "star", "regular:8"] {
            assert_eq!(name.parse::<Topology>().unwrap().to_string(), name);
        }
        for name in ["regular:1", "regular:x", "mesh", ""] {
            assert!(name.parse::<Topology>().is_err());
        }
    }
}
