//! Plays a scenario on real processes: the same plan that the simulator carries out, with real time, sockets and proof of work.
//!
//! [`schedule`] translates the plan, [`Player`] does what it says and records what happens.

mod clocks;
pub mod schedule;
mod silence;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bitcoin::Amount;

use super::{LabError, NetworkOptions, NodeState, Recorder, Supervisor};
use crate::pay::SentPayment;
use crate::plan::steps::Lasting;
use crate::plan::{FaultKind, Step};
use crate::record::{Engine, Exit, Genesis, Line, Record, Start};
use crate::report::observe::{self, Agreement};
use crate::scenario::file::Difficulty;
use clocks::Clocks;
pub use schedule::Schedule;
use silence::Silence;

/// How long nodes may take to come to rest when no more blocks are found.
const REST: Duration = Duration::from_secs(30);
/// How long a process may take to be gone after its connections are.
const DYING: Duration = Duration::from_secs(2);
/// However long nothing is to be done, the nodes are looked at as often as this.
const LOOK: Duration = Duration::from_millis(250);
/// How far ahead of a node's clock a block may be on the built-in network, in seconds.
const MAX_FUTURE_S: i64 = 7_200;

/// What a network must be for a schedule.
pub fn options(
    program: impl Into<std::path::PathBuf>,
    schedule: &Schedule,
    seed: u64,
) -> NetworkOptions {
    let plan = &schedule.plan;
    let fresh = NetworkOptions::new(program, plan.nodes);
    let max_future_s = u32::try_from(schedule.clock_s(MAX_FUTURE_S)).unwrap_or(u32::MAX);
    NetworkOptions {
        miners: schedule.miners.clone(),
        links: plan.links.clone(),
        spacing_s: schedule.spacing_s,
        half_life_blocks: match plan.difficulty {
            Difficulty::Shipped => fresh.half_life_blocks,
            Difficulty::Fixed => None,
        },
        // Clocks go wrong by what the file says over the speed, so what they are measured by does, too.
        max_future_s: Some(max_future_s.max(schedule.spacing_s)),
        accounts: plan.accounts.max(1),
        down: plan.down.clone(),
        seed,
        ..fresh
    }
}

/// Plays one schedule on one running network.
pub struct Player<'a> {
    supervisor: &'a Supervisor,
    schedule: &'a Schedule,
    began: Instant,
    lasting: Lasting,
    clocks: Clocks,
    silence: Silence,
    next_payment: usize,
    /// Payments that a node took, by their place in the plan.
    paid: BTreeMap<usize, SentPayment>,
    recorder: Recorder,
}

impl<'a> Player<'a> {
    /// A player for a network that was started with [`options`] of the same schedule. What happens is recorded in a file.
    ///
    /// # Errors
    ///
    /// [`LabError::Io`] when the file cannot be made.
    pub fn new(
        supervisor: &'a Supervisor,
        schedule: &'a Schedule,
        seed: u64,
        record: &std::path::Path,
    ) -> Result<Player<'a>, LabError> {
        let recorder = begin_record(supervisor, schedule, seed, record)?;
        Ok(Player {
            supervisor,
            schedule,
            began: Instant::now(),
            lasting: Lasting::new(),
            clocks: Clocks::default(),
            silence: Silence::default(),
            next_payment: 0,
            paid: BTreeMap::new(),
            recorder,
        })
    }

    /// Does all steps at their times, `tell`s each, and gives the record.
    ///
    /// # Errors
    ///
    /// [`LabError`] when a step cannot be done, a node ends though nobody asked it to, a fault does not take place, or a node
    /// does not answer in the end: the record has a last line that says so. Nodes that do not agree are no error.
    pub fn play(mut self, tell: impl FnMut(&str)) -> Result<Record, LabError> {
        let played = self.play_to_the_end(tell);
        // A node that is gone explains what others say about it.
        let alive = self.check_alive_after(&played);
        if let Err(LabError::Died { node, how, .. }) = &alive {
            self.recorder.down(*node, Exit::Died(how.clone()));
        }
        let played = alive.and(played).and_then(|()| self.record_end());
        let failed = played.as_ref().err().map(ToString::to_string);
        let recorded = self.recorder.end(failed);
        played.and(recorded)
    }

    /// Whether a node has died. Its connections end a little before its process can be waited for.
    fn check_alive_after<T>(&self, played: &Result<T, LabError>) -> Result<(), LabError> {
        let deadline = Instant::now() + DYING;
        loop {
            self.supervisor.network().check_alive()?;
            if played.is_ok() || Instant::now() > deadline {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Tells what the links carried, and what every node has in the end.
    fn record_end(&mut self) -> Result<(), LabError> {
        self.recorder.rest();
        let t = self.recorder.now();
        let traffic = self.supervisor.network().carried_by_lane();
        for (from, to, bytes) in traffic {
            self.recorder.line(Line::Traffic {
                t,
                from: Some(from),
                to: Some(to),
                kind: None,
                messages: 0,
                bytes,
            });
        }
        let probes = self.supervisor.network().probes();
        for probe in &probes {
            let transactions = probe.mempool_transactions()?;
            let txids = transactions.iter().map(bitcoin::Transaction::compute_txid);
            let (node, txids, aside) = (probe.node(), txids.collect(), Vec::new());
            for transaction in transactions {
                self.recorder.transaction(transaction);
            }
            self.recorder.line(Line::Mempool {
                t,
                node,
                txids,
                aside,
            });
            let coins = probe.coins()?;
            self.recorder.line(Line::Coins {
                t,
                node,
                tip: coins.tip,
                amount_sat: coins.total().unwrap_or_default().to_sat(),
                muhash: coins.muhash,
            });
        }
        Ok(())
    }

    fn play_to_the_end(&mut self, mut tell: impl FnMut(&str)) -> Result<(), LabError> {
        self.began = Instant::now();
        let schedule = self.schedule;
        for (at, step) in &schedule.steps {
            self.pass_until(*at)?;
            tell(&self.describe(*step));
            self.take(*step)?;
        }
        let agreement = self.watch_while_paying()?;
        if let Some(agreement) = &agreement {
            tell(&format!("one tip {} ms after the last step", agreement.ms));
        }
        tell("the miners stop; the nodes are asked what came of it");
        self.come_to_rest()
    }

    /// Lets time pass, with the payments that are due in it, and looks at the nodes now and then.
    fn pass_until(&mut self, end: Duration) -> Result<(), LabError> {
        loop {
            self.look()?;
            let now = self.began.elapsed();
            let due = self.schedule.payments.get(self.next_payment);
            match due.filter(|due| **due <= end) {
                Some(due) if *due <= now => {
                    self.pay(self.next_payment);
                    self.next_payment += 1;
                }
                due => {
                    let next = due.map_or(end, |due| *due);
                    if next <= now {
                        return Ok(());
                    }
                    std::thread::sleep((next - now).min(LOOK));
                }
            }
        }
    }

    /// Whether all is as it should be: nodes that nobody ended live, clocks are wrong as planned, cut links carry nothing.
    fn look(&mut self) -> Result<(), LabError> {
        self.supervisor.network().check_alive()?;
        self.clocks.keep_wrong(self.supervisor);
        self.silence.look(&self.supervisor.network().carried())
    }

    /// From the last step to the end: payments go on, and the instant is caught at which all nodes agree.
    fn watch_while_paying(&mut self) -> Result<Option<Agreement>, LabError> {
        let since = Instant::now();
        let probes = self.supervisor.network().probes();
        let before = observe::tips(&probes)?;
        let patience = self.schedule.patience;
        let end = self.schedule.duration.max(self.began.elapsed());
        std::thread::scope(|scope| {
            let watching =
                scope.spawn(|| observe::wait_for_one_tip(&probes, &before, since, patience));
            let passed = self.pass_until(end);
            let watched = watching.join().expect("watching tips does not panic");
            passed?;
            match watched {
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

    /// Makes the payment with this place in the plan.
    fn pay(&mut self, index: usize) {
        let planned = self.schedule.plan.payments[index];
        let (to, amount) = (planned.to.to_string(), Amount::from_sat(planned.amount_sat));
        let first = planned
            .conflicts_with
            .and_then(|first| self.paid.get(&first));
        let draft = {
            let mut network = self.supervisor.network();
            network.draft(planned.from, &to, amount, Some(planned.node))
        };
        let made = match (planned.conflicts_with, first) {
            (None, _) => draft.map(|draft| (draft.probe.clone(), draft.make())),
            (Some(_), Some(first)) => {
                draft.map(|draft| (draft.probe.clone(), draft.against(first).make()))
            }
            (Some(first), None) => Err(LabError::Refused(format!(
                "payment {first}, whose coins it spends, was not made"
            ))),
        };
        let made = made.and_then(|(probe, made)| made.map(|made| (probe, made)));
        let (probe, (transaction, sent)) = match made {
            Ok(made) => made,
            Err(error) => {
                let (t, why) = (self.recorder.now(), error.to_string());
                let payment = index;
                return self.recorder.line(Line::Unpaid { t, payment, why });
            }
        };
        let taken = probe.send(&transaction);
        self.recorder.transaction(transaction.clone());
        self.recorder.line(Line::Handed {
            t: self.recorder.now(),
            node: planned.node,
            txid: sent.txid,
            by: Some(index),
            refused: taken.as_ref().err().map(ToString::to_string),
        });
        if taken.is_ok() {
            let sent = self.supervisor.network().note_payment((transaction, sent));
            self.paid.insert(index, sent);
        }
    }

    /// Takes one step, and tells it.
    fn take(&mut self, step: Step) -> Result<(), LabError> {
        self.carry_out(step)?;
        let t = self.recorder.now();
        let what = None;
        self.recorder.line(match step {
            Step::Begin(fault) => Line::Begun { t, fault, what },
            Step::End(fault) => Line::Ended { t, fault },
        });
        Ok(())
    }

    fn carry_out(&mut self, step: Step) -> Result<(), LabError> {
        let plan = &self.schedule.plan;
        let (Step::Begin(index) | Step::End(index)) = step;
        let begins = step == Step::Begin(index);
        match begins {
            true => _ = self.lasting.insert(index),
            false => _ = self.lasting.remove(&index),
        }
        let mut network = self.supervisor.network();
        match plan.faults[index].what {
            FaultKind::Partition { .. }
            | FaultKind::OneWay { .. }
            | FaultKind::Eclipse { .. }
            | FaultKind::Link { .. } => {
                let lasting = &self.lasting;
                let groups =
                    lasting
                        .iter()
                        .rev()
                        .find_map(|index| match &plan.faults[*index].what {
                            FaultKind::Partition { groups, .. } => Some(groups.clone()),
                            _ => None,
                        });
                network.follow(|link| plan.link_state(link, lasting), groups);
                let cut = (0..plan.links.len()).map(|link| plan.link_state(link, lasting).cut);
                self.silence.watch(cut.collect());
            }
            FaultKind::Kill { node } if begins => {
                if network.state(node)? != NodeState::Down {
                    network.kill(node)?;
                    self.recorder.down(node, Exit::Killed);
                }
            }
            FaultKind::Stop { node } if begins => {
                if network.state(node)? != NodeState::Down {
                    network.stop(node)?;
                    self.recorder.down(node, Exit::Stopped);
                }
            }
            FaultKind::Kill { node } | FaultKind::Stop { node } | FaultKind::Start { node } => {
                if network.state(node)? == NodeState::Down && !plan.is_down(node, &self.lasting) {
                    network.restart(node)?;
                    self.recorder.up(node, network.probe(node)?);
                    if plan.is_frozen(node, &self.lasting) {
                        network.set_paused(node, true)?;
                    }
                }
            }
            FaultKind::Pause { node } => {
                let is_frozen = plan.is_frozen(node, &self.lasting);
                if network.state(node)? != NodeState::Down {
                    network.set_paused(node, is_frozen)?;
                }
            }
            FaultKind::Sever { between: (a, b) } => network.sever(a, b)?,
            FaultKind::Mining { node, .. } => {
                let share = plan.share(node, &self.lasting);
                network.plan_mining(node, self.schedule.rate(share))?;
            }
            FaultKind::Clock { node, .. } => {
                let offset_s = plan.clock_offset_s(node, &self.lasting);
                let offset_s = self.schedule.clock_s(offset_s);
                drop(network);
                self.clocks.set(self.supervisor, node, offset_s);
            }
            // The schedule has left them out, and said so.
            FaultKind::GossipLoss { .. } | FaultKind::DiskFull { .. } => {}
        }
        Ok(())
    }

    /// One line about a step.
    fn describe(&self, step: Step) -> String {
        let what = |index: usize| &self.schedule.plan.faults[index].what;
        match step {
            Step::Begin(index) => what(index).to_string(),
            Step::End(index) => format!("end of {}", what(index)),
        }
    }
}

/// The record of a schedule on a network that runs, with all its nodes.
fn begin_record(
    supervisor: &Supervisor,
    schedule: &Schedule,
    seed: u64,
    path: &std::path::Path,
) -> Result<Recorder, LabError> {
    let mut network = supervisor.network();
    let params = network.params().clone();
    let start = Start {
        plan: schedule.plan.clone(),
        engine: Engine::Real,
        seed,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        program: None,
        speed: schedule.speed,
        left_out: schedule.left_out.clone(),
        genesis: Genesis::of(&params),
    };
    let payouts = network.payouts();
    let mut recorder = Recorder::begin(path, start, params, payouts)?;
    for probe in network.probes() {
        recorder.up(probe.node(), probe);
    }
    Ok(recorder)
}
