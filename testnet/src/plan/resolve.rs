//! A scenario and a seed, resolved.

use std::collections::BTreeMap;

use rand::Rng;

use super::random::{Concern, by_weight, stream};
use super::{Link, Miner, Plan, Strategy, chaos, events, payments};
use crate::link::LinkSettings;
use crate::scenario::{Scenario, ScenarioError, Topology};

impl Plan {
    /// What a scenario means under a seed: nothing of it is random any more but who finds a block, and when.
    ///
    /// # Errors
    ///
    /// [`ScenarioError`] when the scenario makes no sense, or not with this seed.
    pub fn of(scenario: &Scenario, seed: u64) -> Result<Plan, ScenarioError> {
        scenario.check()?;
        let links = links(scenario, &mut stream(seed, Concern::Setup));
        let mut faults = events::faults(scenario, &links)?;
        let pairs: Vec<(usize, usize)> = links.iter().map(|link| (link.from, link.to)).collect();
        if let Some(plan) = &scenario.chaos {
            let rng = &mut stream(seed, Concern::Chaos);
            faults.extend(chaos::faults(
                plan,
                scenario.nodes,
                &pairs,
                scenario.link,
                rng,
            ));
        }
        if let Some(plan) = &scenario.churn {
            let rng = &mut stream(seed, Concern::Churn);
            faults.extend(chaos::churn(plan, scenario.nodes, rng));
        }
        faults.sort_by_key(|fault| fault.at_us);
        let payments = payments::payments(scenario, &faults, &mut stream(seed, Concern::Payments));
        let mut named = scenario
            .single_payments
            .iter()
            .map(|entry| entry.from.max(entry.to) + 1);
        let plan = Plan {
            name: scenario.name.clone(),
            about: scenario.about.clone(),
            nodes: scenario.nodes,
            duration_us: scenario.duration.0,
            spacing_us: scenario.spacing.0,
            links,
            down: scenario.down.clone(),
            miners: miners(scenario),
            difficulty: scenario.difficulty,
            accounts: named
                .by_ref()
                .chain(scenario.payments.map(|plan| plan.accounts))
                .max()
                .unwrap_or(0),
            gossip: scenario.gossip,
            faults,
            payments,
            expect: scenario.expect,
        };
        plan.check_expectations()?;
        Ok(plan)
    }

    /// A split that is never healed cannot come to one tip.
    fn check_expectations(&self) -> Result<(), ScenarioError> {
        let (Some(_), Some(split)) = (self.expect.one_tip_within, self.lasting_split()) else {
            return Ok(());
        };
        let fault = &self.faults[split];
        let problem = format!(
            "cannot hold: the {} at {} s never ends; heal it before the end, or expect something else",
            fault.what.name(),
            fault.at_us as f64 / 1e6
        );
        Err(ScenarioError::new("expect.one_tip_within", problem))
    }
}

/// The links of a topology under a seed, all alike.
pub fn lay(topology: Topology, nodes: usize, settings: LinkSettings, seed: u64) -> Vec<Link> {
    let pairs = topology.links(nodes, &mut stream(seed, Concern::Setup));
    let link = |(from, to)| Link { from, to, settings };
    pairs.into_iter().map(link).collect()
}

fn links(scenario: &Scenario, rng: &mut impl Rng) -> Vec<Link> {
    let pairs = scenario.topology.links(scenario.nodes, rng);
    let regions: Option<Vec<usize>> = scenario.regions.as_ref().map(|regions| {
        let nodes = 0..scenario.nodes;
        nodes
            .map(|_| by_weight(&regions.shares, rng).unwrap_or(0))
            .collect()
    });
    let links = pairs.into_iter().map(|(from, to)| {
        let mut settings = LinkSettings::both(scenario.link);
        if let (Some(plan), Some(of)) = (&scenario.regions, &regions) {
            settings.forward.delay_ms += plan.delay_ms[of[from]][of[to]];
            settings.backward.delay_ms += plan.delay_ms[of[to]][of[from]];
        }
        Link { from, to, settings }
    });
    links.collect()
}

fn miners(scenario: &Scenario) -> Vec<Miner> {
    let shares: BTreeMap<usize, f64> = match scenario.miners.is_empty() {
        true => (0..scenario.nodes).map(|node| (node, 1.0)).collect(),
        false => scenario
            .miners
            .iter()
            .map(|miner| (miner.node, miner.share))
            .collect(),
    };
    let strategy = Strategy::Honest;
    shares
        .into_iter()
        .map(|(node, share)| Miner {
            node,
            share,
            strategy,
        })
        .collect()
}

#[cfg(test)]
mod tests;
