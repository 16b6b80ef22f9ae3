//! Double spends by hash power: an attacker mines in secret until its chain is longer, then shows it.
//!
//! The attacker is a node cut off from everybody; showing its chain is healing the cut. So the whole race is run by the
//! shipped code: mining on one's own tip, and a real reorg at the end.

use crate::scenario::file::{GossipPlan, MinerEntry};
use crate::scenario::{Action, Scenario, ScenarioError, Span, Topology};

use rayon::prelude::*;

use super::setup;
use super::world::World;

/// The merchant, with all honest hash power.
const HONEST: usize = 0;
/// The attacker.
const ATTACKER: usize = 1;
/// The attacker gives up that many blocks behind: with 30% of the power, it would have won from there once in 10^12 tries.
const GIVE_UP: u32 = 35;

/// One try: the attacker has `share` of the hash power and one block mined before it pays; the merchant waits for
/// `confirmations`. True if the merchant's payment was taken back.
///
/// # Errors
///
/// [`ScenarioError`] when the share is not from 0 to 1.
pub fn double_spend(share: f64, confirmations: u32, seed: u64) -> Result<bool, ScenarioError> {
    let scenario = Scenario {
        name: "double-spend".to_owned(),
        about: String::new(),
        nodes: 2,
        topology: Topology::Complete,
        duration: Span::from_secs(10_000_000),
        spacing: Span::from_secs(60),
        link: crate::link::Lane::default(),
        regions: None,
        miners: vec![
            MinerEntry {
                node: HONEST,
                share: 1.0 - share,
            },
            MinerEntry {
                node: ATTACKER,
                share,
            },
        ],
        gossip: GossipPlan::default(),
        payments: None,
        down: Vec::new(),
        events: Vec::new(),
        chaos: None,
        expect: crate::scenario::file::Expectations::default(),
    };
    let mut world = setup::world(&scenario, seed, None)?;
    let groups = "0/1".parse().expect("two groups of one node");
    world.carry_out_action(Action::Partition(groups));
    world.find_block(ATTACKER);
    let outcome = loop {
        let (honest, attacker) = (world.height(HONEST), world.height(ATTACKER));
        if honest >= confirmations && attacker > honest {
            break true;
        }
        if honest > attacker + GIVE_UP || !world.step(scenario.duration.0) {
            break false;
        }
    };
    if !outcome {
        return Ok(false);
    }
    world.carry_out_action(Action::Heal);
    Ok(world.is_convinced())
}

/// How many of the tries with these seeds succeed, on all cores.
///
/// # Errors
///
/// As [`double_spend`].
pub fn successes(
    share: f64,
    confirmations: u32,
    seeds: std::ops::Range<u64>,
) -> Result<u64, ScenarioError> {
    let tries = seeds
        .into_par_iter()
        .map(|seed| double_spend(share, confirmations, seed).map(u64::from));
    tries.try_reduce(|| 0, |a, b| Ok(a + b))
}

impl World<'_> {
    fn height(&self, node: usize) -> u32 {
        let core = self.nodes[node].core.as_ref();
        core.map_or(0, |core| core.chain().tip().height.0)
    }

    /// Whether the merchant takes over the attacker's chain, within ten minutes.
    fn is_convinced(&mut self) -> bool {
        self.shares = vec![0.0; 2];
        let until = self.now_us + Span::from_secs(600).0;
        let wanted = self.nodes[ATTACKER].tip;
        while self.nodes[HONEST].tip != wanted {
            if !self.step(until) {
                return false;
            }
        }
        true
    }
}
