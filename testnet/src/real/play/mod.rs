//! Plays a scenario on real processes: the same file that the simulator reads, with real time, sockets and proof of work.
//!
//! [`schedule`] translates the file, [`Player`] does what it says, [`outcome`] looks at what came of it.

mod fates;
pub mod outcome;
mod payers;
pub mod schedule;

use std::time::{Duration, Instant};

use super::{LabError, NetworkOptions, NodeState, Supervisor};
use crate::report::observe::{self, Agreement};
use crate::scenario::{Action, Scenario};
use outcome::Outcome;
use payers::Payers;
pub use schedule::Schedule;

/// How long nodes may take to come to rest when no more blocks are found.
const REST: Duration = Duration::from_secs(30);

/// What a network must be for a schedule.
pub fn options(
    program: impl Into<std::path::PathBuf>,
    scenario: &Scenario,
    schedule: &Schedule,
    seed: u64,
) -> NetworkOptions {
    NetworkOptions {
        miners: schedule.miners.clone(),
        topology: scenario.topology,
        links: crate::link::LinkSettings::both(scenario.link),
        spacing_s: schedule.spacing_s,
        accounts: schedule.payments.map_or(1, |plan| plan.accounts),
        down: scenario.down.clone(),
        seed,
        ..NetworkOptions::new(program, scenario.nodes)
    }
}

/// Plays one schedule on one running network.
pub struct Player<'a> {
    supervisor: &'a Supervisor,
    schedule: &'a Schedule,
    began: Instant,
    payers: Option<Payers>,
    crashes: u32,
}

impl<'a> Player<'a> {
    /// A player for a network that was started with [`options`] of the same schedule.
    pub fn new(supervisor: &'a Supervisor, schedule: &'a Schedule, seed: u64) -> Player<'a> {
        Player {
            supervisor,
            schedule,
            began: Instant::now(),
            payers: schedule.payments.map(|plan| Payers::new(plan, seed)),
            crashes: 0,
        }
    }

    /// Does all steps at their times, `tell`s each, and looks at what came of it.
    ///
    /// # Errors
    ///
    /// [`LabError`] when a step cannot be done or a node does not answer in the end. Nodes that do not agree are no error: the
    /// outcome says so.
    pub fn play(
        mut self,
        scenario: &Scenario,
        mut tell: impl FnMut(&str),
    ) -> Result<Outcome, LabError> {
        self.began = Instant::now();
        for (at, action) in &self.schedule.steps {
            self.pay_until(*at);
            tell(&describe(action));
            self.act(action)?;
        }
        self.pay_until(self.schedule.last_step());
        let agreement = self.watch_while_paying()?;
        if let Some(agreement) = &agreement {
            tell(&format!("one tip {} ms after the last step", agreement.ms));
        }
        tell("the miners stop; the nodes are asked what came of it");
        self.come_to_rest()?;
        outcome::look(
            self.supervisor,
            self.schedule,
            scenario,
            self.into_facts(agreement),
        )
    }

    fn into_facts(self, agreement: Option<Agreement>) -> outcome::Facts {
        outcome::Facts {
            wall: self.began.elapsed(),
            one_tip_ms: agreement.map(|agreement| agreement.ms),
            refused_payments: self.payers.map_or(0, |payers| payers.refused()),
            crashes: self.crashes,
        }
    }

    /// Lets time pass, with the payments that are due in it.
    fn pay_until(&mut self, end: Duration) {
        loop {
            let due = self.payers.as_ref().and_then(Payers::next_due);
            match (due.filter(|due| *due <= end), &mut self.payers) {
                (Some(due), Some(payers)) => {
                    sleep_until(self.began + due);
                    payers.pay(self.supervisor);
                }
                _ => return sleep_until(self.began + end),
            }
        }
    }

    /// From the last step to the end: payments go on, and the instant is caught at which all nodes agree.
    fn watch_while_paying(&mut self) -> Result<Option<Agreement>, LabError> {
        let since = Instant::now();
        let probes = self.supervisor.network().probes();
        let before = observe::tips(&probes)?;
        let patience = self.schedule.patience;
        let end = self.schedule.duration.max(self.schedule.last_step());
        std::thread::scope(|scope| {
            let watching =
                scope.spawn(|| observe::wait_for_one_tip(&probes, &before, since, patience));
            self.pay_until(end);
            match watching.join().expect("watching tips does not panic") {
                Ok(agreement) => Ok(Some(agreement)),
                Err(LabError::TooSlow { .. }) => Ok(None),
                Err(error) => Err(error),
            }
        })
    }

    /// Stops all miners and waits until the last blocks have arrived everywhere, or will not.
    fn come_to_rest(&self) -> Result<(), LabError> {
        let up = self.up();
        for node in &up {
            self.supervisor.network().set_mining(*node, 0)?;
        }
        let probes = self.supervisor.network().probes();
        let now = observe::tips(&probes)?;
        match observe::wait_for_one_tip(&probes, &now, Instant::now(), REST) {
            // Whether they agree is for the outcome to say.
            Ok(_) | Err(LabError::TooSlow { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn up(&self) -> Vec<usize> {
        let mut network = self.supervisor.network();
        let nodes = network.nodes.iter_mut();
        nodes
            .filter_map(|slot| (slot.state() == NodeState::Up).then_some(slot.index))
            .collect()
    }

    /// Does one step. A fault of a node that has that fault already changes nothing, as in the simulator.
    fn act(&mut self, action: &Action) -> Result<(), LabError> {
        let mut network = self.supervisor.network();
        match action {
            Action::Partition(groups) => {
                network.partition(groups, false)?;
            }
            Action::Heal => {
                network.open_links();
            }
            Action::Crash(node) => {
                if network.state(*node)? != NodeState::Down {
                    network.kill(*node)?;
                    self.crashes += 1;
                }
            }
            Action::Restart(node) => {
                if network.state(*node)? == NodeState::Down {
                    network.restart(*node)?;
                }
            }
            Action::Pause(node) => {
                if network.state(*node)? == NodeState::Up {
                    network.set_paused(*node, true)?;
                }
            }
            Action::Resume(node) => {
                if network.state(*node)? == NodeState::Paused {
                    network.set_paused(*node, false)?;
                }
            }
            Action::Link {
                between: (a, b),
                lane,
                one_way,
            } => {
                network.change_link(*a, *b, schedule::replace_lane(lane), *one_way)?;
            }
            Action::Sever((a, b)) => network.sever(*a, *b)?,
            Action::Mining { node, share } => {
                network.plan_mining(*node, self.schedule.rate(*share))?;
            }
            // The schedule has left them out, and said so.
            Action::GossipLoss(_) | Action::Clock { .. } => {}
        }
        Ok(())
    }
}

fn sleep_until(instant: Instant) {
    std::thread::sleep(instant.saturating_duration_since(Instant::now()));
}

/// One line about a step.
fn describe(action: &Action) -> String {
    let name = action.name();
    match action {
        Action::Partition(groups) => format!("{name} {groups}"),
        Action::Heal => name.to_owned(),
        Action::Crash(node)
        | Action::Restart(node)
        | Action::Pause(node)
        | Action::Resume(node) => {
            format!("{name} node {node}")
        }
        Action::Link {
            between: (a, b),
            lane,
            one_way,
        } => {
            let way = if *one_way { "to" } else { "and" };
            let lane = serde_json::json!(lane);
            format!("{name} {a} {way} {b}: {lane}")
        }
        Action::Sever((a, b)) => format!("{name} {a} and {b}"),
        Action::GossipLoss(share) => format!("{name} {share}"),
        Action::Clock { node, offset_s } => format!("{name} node {node} by {offset_s} s"),
        Action::Mining { node, share } => format!("{name} node {node}: weight {share}"),
    }
}
