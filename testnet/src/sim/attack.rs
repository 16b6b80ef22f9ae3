//! Double spends by hash power: an attacker mines in secret until its chain is longer, then shows it.
//!
//! The attacker is a node cut off from everybody; showing its chain is healing the cut. So the whole race is run by the
//! shipped code: mining on one's own tip, and a real reorg at the end.

use crate::link::LinkSettings;
use crate::plan::{Fault, FaultKind, Link, Miner, Plan, Step, Strategy};
use crate::scenario::file::Difficulty;
use crate::scenario::{ScenarioError, Span};

use rayon::prelude::*;

use super::setup;
use super::world::World;

/// The merchant, with all honest hash power.
const HONEST: usize = 0;
/// The attacker.
const ATTACKER: usize = 1;
/// The cut, by its place in the plan; the race itself says when it is over.
const CUT: usize = 0;
/// No race takes longer.
const LONGEST: Span = Span::from_secs(10_000_000);
/// The attacker gives up that many blocks behind: with 30% of the power, it would have won from there once in 10^12 tries.
const GIVE_UP: u32 = 35;

/// One try: the attacker has `share` of the hash power and one block mined before it pays; the merchant waits for
/// `confirmations`. True if the merchant's payment was taken back.
///
/// # Errors
///
/// [`ScenarioError`] when the share is not from 0 to 1.
pub fn double_spend(share: f64, confirmations: u32, seed: u64) -> Result<bool, ScenarioError> {
    if !(0.0..=1.0).contains(&share) {
        let problem = format!("is {share}, expected 0 to 1");
        return Err(ScenarioError::new("share", problem));
    }
    let miner = |node, share| Miner {
        node,
        share,
        strategy: Strategy::Honest,
    };
    let plan = Plan {
        name: "double-spend".to_owned(),
        nodes: 2,
        duration_us: LONGEST.0,
        spacing_us: Span::from_secs(60).0,
        links: vec![Link {
            from: ATTACKER,
            to: HONEST,
            settings: LinkSettings::default(),
        }],
        miners: vec![miner(HONEST, 1.0 - share), miner(ATTACKER, share)],
        // What the model assumes.
        difficulty: Difficulty::Fixed,
        faults: vec![Fault {
            at_us: LONGEST.0,
            until_us: None,
            what: FaultKind::Partition {
                groups: "0/1".parse().expect("two groups of one node"),
                silent: false,
            },
        }],
        ..Plan::default()
    };
    let mut world = setup::world(plan, seed, None);
    world.take_step(Step::Begin(CUT));
    world.find_block(ATTACKER);
    let outcome = loop {
        let (honest, attacker) = (world.height(HONEST), world.height(ATTACKER));
        if honest >= confirmations && attacker > honest {
            break true;
        }
        if honest > attacker + GIVE_UP || !world.step(LONGEST.0) {
            break false;
        }
    };
    if !outcome {
        return Ok(false);
    }
    world.take_step(Step::End(CUT));
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
        self.draw_next_block();
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
