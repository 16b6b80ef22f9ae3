//! What must hold of a scenario before it runs, beyond what TOML can say.

use super::file::{Difficulty, MAX_NODES};
use super::{Action, Scenario, ScenarioError};
use crate::link::Lane;

/// Most accounts that pay.
const MAX_ACCOUNTS: u32 = 10_000;

impl Scenario {
    /// Checks everything that TOML cannot.
    ///
    /// # Errors
    ///
    /// [`ScenarioError`] for the first field that makes no sense.
    pub fn check(&self) -> Result<(), ScenarioError> {
        let error = |field: &str, problem: String| Err(ScenarioError::new(field, problem));
        if !(1..=MAX_NODES).contains(&self.nodes) {
            return error(
                "nodes",
                format!("is {}, expected 1 to {MAX_NODES}", self.nodes),
            );
        }
        if self.duration.0 == 0 {
            return error("duration", "is 0, expected some time, as in 1h".to_owned());
        }
        if self.spacing.0 < 1_000 {
            return error(
                "spacing",
                format!("is {}, expected 1ms or more", self.spacing),
            );
        }
        if self.difficulty == Difficulty::Shipped && !self.spacing.0.is_multiple_of(1_000_000) {
            let problem = format!(
                "is {}, expected whole seconds: the difficulty knows no others; set difficulty = \"fixed\" for less",
                self.spacing
            );
            return error("spacing", problem);
        }
        check_lane("link", &self.link)?;
        self.check_regions()?;
        self.check_miners()?;
        if self.gossip.degree == 0 {
            return error("gossip.degree", "is 0, expected 1 or more".to_owned());
        }
        check_share("gossip.loss", self.gossip.loss)?;
        if let Some(payments) = &self.payments {
            if payments.every.0 == 0 {
                return error("payments.every", "is 0, expected some time".to_owned());
            }
            if !(1..=MAX_ACCOUNTS).contains(&payments.accounts) {
                let problem = format!("is {}, expected 1 to {MAX_ACCOUNTS}", payments.accounts);
                return error("payments.accounts", problem);
            }
        }
        for (index, node) in self.down.iter().enumerate() {
            self.check_node(&format!("down[{index}]"), *node)?;
        }
        if let Some(chaos) = &self.chaos {
            chaos.check()?;
        }
        if let Some(churn) = &self.churn {
            churn.check(self.nodes)?;
        }
        self.check_payments()?;
        for (field, bounds) in [
            ("expect.stale_share", self.expect.stale_share),
            ("expect.apart_share", self.expect.apart_share),
        ] {
            if let Some((least, most)) = bounds
                && !(0.0..=most).contains(&least)
            {
                let problem = format!("is {least} to {most}, expected the smaller one first");
                return error(field, problem);
            }
        }
        self.check_events()
    }

    fn check_miners(&self) -> Result<(), ScenarioError> {
        for (index, miner) in self.miners.iter().enumerate() {
            let field = format!("miner[{index}].node");
            self.check_node(&field, miner.node)?;
            check_weight(&format!("miner[{index}].share"), miner.share)?;
            let mut others = self.miners[..index].iter();
            if others.any(|other| other.node == miner.node) {
                let problem = format!("names node {} again; give each node one share", miner.node);
                return Err(ScenarioError::new(field, problem));
            }
        }
        let mined = self.miners.is_empty() || self.miners.iter().any(|miner| miner.share > 0.0);
        if !mined && !self.events.iter().any(|event| event.action == "mining") {
            let problem = "are all 0: nobody mines; give one of them more";
            return Err(ScenarioError::new("miner[0].share", problem));
        }
        Ok(())
    }

    fn check_events(&self) -> Result<(), ScenarioError> {
        for (index, entry) in self.events.iter().enumerate() {
            let field = format!("event[{index}]");
            let action = entry.read(&field)?;
            let last = entry.times().last().unwrap_or(entry.at);
            if last > self.duration {
                let problem = format!("is {last}, after the end at {}", self.duration);
                return Err(ScenarioError::new(format!("{field}.at"), problem));
            }
            self.check_node(&field, action.highest_node())?;
            match &action {
                Action::Link { lane, between, .. } => {
                    self.check_link(&format!("{field}.between"), *between)?;
                    if let Some(lane) = lane {
                        check_lane(&format!("{field}.lane"), lane)?;
                    }
                }
                Action::OneWay { from, to } if from.iter().any(|node| to.contains(node)) => {
                    let problem = "has a node that is in `from`, too";
                    return Err(ScenarioError::new(format!("{field}.to"), problem));
                }
                Action::Eclipse { victim, attackers } if attackers.contains(victim) => {
                    let problem = format!("has the victim, node {victim}, in it");
                    return Err(ScenarioError::new(format!("{field}.attackers"), problem));
                }
                Action::Sever(between) => {
                    self.check_link(&format!("{field}.between"), *between)?;
                }
                Action::GossipLoss(share) => check_share(&format!("{field}.share"), *share)?,
                Action::Mining { share, .. } => check_weight(&format!("{field}.share"), *share)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn check_payments(&self) -> Result<(), ScenarioError> {
        for (index, payment) in self.single_payments.iter().enumerate() {
            let field = |name: &str| format!("payment[{index}].{name}");
            self.check_node(&field("node"), payment.node)?;
            if payment.at > self.duration {
                let problem = format!("is {}, after the end at {}", payment.at, self.duration);
                return Err(ScenarioError::new(field("at"), problem));
            }
            if payment.from.max(payment.to) >= MAX_ACCOUNTS {
                let problem = format!("is an account beyond the last, {}", MAX_ACCOUNTS - 1);
                return Err(ScenarioError::new(field("to"), problem));
            }
            let Some(other) = payment.conflicts_with else {
                continue;
            };
            match self.single_payments[..index].get(other) {
                Some(first) if first.from == payment.from && first.at <= payment.at => {}
                _ => {
                    let problem = format!(
                        "is {other}, expected a payment before this one in the file and in time, of the same account"
                    );
                    return Err(ScenarioError::new(field("conflicts_with"), problem));
                }
            }
        }
        Ok(())
    }

    fn check_regions(&self) -> Result<(), ScenarioError> {
        let Some(regions) = &self.regions else {
            return Ok(());
        };
        let count = regions.shares.len();
        for (index, share) in regions.shares.iter().enumerate() {
            check_weight(&format!("regions.shares[{index}]"), *share)?;
        }
        if count == 0 || regions.shares.iter().sum::<f64>() <= 0.0 {
            return Err(ScenarioError::new("regions.shares", "has no weight at all"));
        }
        let square = regions.delay_ms.len() == count
            && regions.delay_ms.iter().all(|row| row.len() == count);
        if !square {
            let problem = format!("is not {count} rows of {count} delays");
            return Err(ScenarioError::new("regions.delay_ms", problem));
        }
        Ok(())
    }

    /// A link that the topology certainly does not have cannot be changed. In a random one, the seed decides.
    fn check_link(&self, field: &str, (a, b): (usize, usize)) -> Result<(), ScenarioError> {
        if self.topology.may_have_link(self.nodes, a, b) {
            return Ok(());
        }
        let topology = self.topology;
        let problem = format!("nodes {a} and {b} have no link in the topology {topology}");
        Err(ScenarioError::new(field, problem))
    }

    fn check_node(&self, field: &str, node: usize) -> Result<(), ScenarioError> {
        if node < self.nodes {
            return Ok(());
        }
        let problem = format!(
            "names node {node}; there are the nodes 0 to {}",
            self.nodes - 1
        );
        Err(ScenarioError::new(field, problem))
    }
}

fn check_lane(field: &str, lane: &Lane) -> Result<(), ScenarioError> {
    lane.check()
        .map_err(|problem| ScenarioError::new(field, problem.to_string()))
}

fn check_share(field: &str, share: f64) -> Result<(), ScenarioError> {
    if (0.0..=1.0).contains(&share) {
        return Ok(());
    }
    Err(ScenarioError::new(
        field,
        format!("is {share}, expected 0 to 1"),
    ))
}

fn check_weight(field: &str, weight: f64) -> Result<(), ScenarioError> {
    if weight.is_finite() && weight >= 0.0 {
        return Ok(());
    }
    Err(ScenarioError::new(
        field,
        format!("is {weight}, expected 0 or more"),
    ))
}
