//! Carries out the steps of a plan.

use rand::RngExt;

use node_core::Input;

use super::world::{Event, World};
use crate::invariants::Rule;
use crate::plan::steps::LinkState;
use crate::plan::{FaultKind, Step};
use crate::record::{Exit, Line};

/// The invariants that need no event are looked at this often in a run.
const LOOKS: u64 = 10;
/// Changes that a disk still takes, at most, when a node flushes while its power goes.
const LAST_CHANGES: u32 = 24;

impl World<'_> {
    /// The step with this number comes now.
    pub(super) fn act(&mut self, index: usize) {
        let step = self.steps[index].1;
        self.take_step(step);
    }

    /// Lets a fault begin or end.
    pub(super) fn take_step(&mut self, step: Step) {
        let t = self.now_us;
        match step {
            Step::Begin(fault) => {
                self.lasting.insert(fault);
                let what = self.plan.faults[fault].what.clone();
                let count = self.counters.actions.entry(what.name().to_owned());
                *count.or_default() += 1;
                if self.splits(fault) && std::mem::take(&mut self.heals) {
                    // It is given up.
                    self.tell_mempools();
                }
                self.begin_fault(fault, &what);
                let what = None;
                self.book.line(Line::Begun { t, fault, what });
            }
            Step::End(fault) => {
                self.lasting.remove(&fault);
                let what = self.plan.faults[fault].what.clone();
                self.end_fault(&what);
                self.book.line(Line::Ended { t, fault });
                self.heals |= self.splits(fault);
                self.tell_healed();
            }
        }
        self.counters.steps += 1;
        self.watch.acted();
        if self.agreed {
            self.watch.agreed(t);
        }
        // Who mines how much may be another now.
        self.draw_next_block();
    }

    /// Whether a fault keeps nodes apart: its end is a healing.
    fn splits(&self, fault: usize) -> bool {
        let what = &self.plan.faults[fault].what;
        what.keeps_apart(self.plan.nodes).is_some()
    }

    fn begin_fault(&mut self, fault: usize, what: &FaultKind) {
        match *what {
            FaultKind::Kill { node } => self.crash(node),
            FaultKind::Stop { node } => self.stop(node),
            FaultKind::Start { node } => self.start_again(node),
            FaultKind::Pause { node } => {
                self.nodes[node].paused = self.nodes[node].core.is_some();
            }
            FaultKind::Sever { between } => {
                if let Some(link) = self.wires.link_between(between.0, between.1) {
                    self.sever(link);
                }
            }
            FaultKind::DiskFull { node, .. } => {
                let why = format!("the disk of node {node} cannot be full: it is memory");
                self.watch
                    .violate(self.now_us, Rule::FaultsHappen, why.clone());
                let (t, index) = (self.now_us, fault);
                self.book.line(Line::Failed {
                    t,
                    fault: index,
                    why,
                });
            }
            _ => self.follow(what),
        }
    }

    fn end_fault(&mut self, what: &FaultKind) {
        match *what {
            FaultKind::Kill { node } | FaultKind::Stop { node } => self.start_again(node),
            FaultKind::Pause { node } => self.resume(node),
            _ => self.follow(what),
        }
    }

    /// Makes what a fault is about be as the faults that last now say.
    fn follow(&mut self, what: &FaultKind) {
        match *what {
            FaultKind::Partition { .. } | FaultKind::OneWay { .. } | FaultKind::Eclipse { .. } => {
                for link in 0..self.wires.links.len() {
                    self.follow_link(link);
                }
            }
            FaultKind::Link { between, .. } => {
                if let Some(link) = self.wires.link_between(between.0, between.1) {
                    self.follow_link(link);
                }
            }
            FaultKind::GossipLoss { .. } => self.gossip_loss = self.plan.gossip_loss(&self.lasting),
            FaultKind::Clock { node, .. } => {
                let offset_s = self.plan.clock_offset_s(node, &self.lasting);
                self.nodes[node].clock_offset_s = offset_s;
                // What waited for its time may be due.
                self.feed(node, Input::Tick);
            }
            FaultKind::Mining { node, .. } => {
                self.shares[node] = self.plan.share(node, &self.lasting);
            }
            _ => {}
        }
    }

    fn follow_link(&mut self, link: usize) {
        let LinkState { settings, cut } = self.plan.link_state(link, &self.lasting);
        let now = &mut self.wires.links[link];
        let newly_cut = cut && !now.cut;
        now.cut = cut;
        if *now.settings != settings {
            *self.wires.settings_mut(link) = settings;
            self.release(link);
        }
        if newly_cut {
            self.sever(link);
        }
    }

    fn sever(&mut self, link: usize) {
        for connection in self.wires.connections_of(link) {
            self.end_connection(connection);
        }
    }

    /// What waited on lanes that are open now goes on.
    fn release(&mut self, link: usize) {
        for (connection, sender, held) in self.wires.release(link) {
            if let Some(event) = self.parked.remove(&held.number) {
                self.send(connection, sender, held.bytes, event);
            }
        }
    }

    /// The power is gone, in the middle of a flush as often as not. What was only in memory is lost, and of what was not
    /// synced some.
    fn crash(&mut self, node: usize) {
        if self.nodes[node].core.is_none() {
            return;
        }
        self.payments.node_crashes(node, &self.nodes);
        let sim = &mut self.nodes[node];
        let Some(mut core) = sim.core.take() else {
            return;
        };
        if let Some(disk) = &sim.disk {
            let rng = &mut self.streams.disks;
            if rng.random_bool(0.5) {
                disk.cut_power_after(rng.random_range(0..LAST_CHANGES));
                // It fails, or not: nobody is there to hear of it.
                let _ = core.shutdown();
            }
            disk.cut_power_after(0);
            drop(core);
            self.counters.torn_writes += disk.power_returns(rng);
        }
        self.gone(node, Exit::PowerCut);
    }

    /// A node ends in order.
    fn stop(&mut self, node: usize) {
        if self.nodes[node].core.is_none() {
            return;
        }
        // Mempools live in memory.
        self.payments.node_crashes(node, &self.nodes);
        let Some(mut core) = self.nodes[node].core.take() else {
            return;
        };
        if let Err(error) = core.shutdown() {
            let now_us = self.now_us;
            self.watch.failed(now_us, node, &error.to_string());
        }
        drop(core);
        self.gone(node, Exit::Stopped);
    }

    /// A node has no core any more: with it went its mempool and its connections.
    fn gone(&mut self, node: usize, how: Exit) {
        let t = self.now_us;
        self.book.line(Line::Down { t, node, how });
        let sim = &mut self.nodes[node];
        sim.paused = false;
        sim.inbox.clear();
        sim.wake_us = None;
        sim.undecided.clear();
        self.requests.forget_node(node);
        self.rumours.forget_node(node);
        let open: Vec<u64> = self.wires.neighbours[node]
            .iter()
            .map(|other| other.connection)
            .collect();
        for connection in open {
            self.end_connection(connection);
        }
        self.watch.ended(node);
        self.note_tip(node);
    }

    /// Starts a node unless it is up, or something keeps it down.
    fn start_again(&mut self, node: usize) {
        if self.nodes[node].core.is_some() || self.plan.is_down(node, &self.lasting) {
            return;
        }
        self.start_node(node);
        self.nodes[node].paused = self.plan.is_frozen(node, &self.lasting);
    }

    /// Everything that came while it was frozen comes at once.
    fn resume(&mut self, node: usize) {
        if !self.nodes[node].paused || self.plan.is_frozen(node, &self.lasting) {
            return;
        }
        self.nodes[node].paused = false;
        for input in std::mem::take(&mut self.nodes[node].inbox) {
            self.feed(node, input);
        }
        self.feed(node, Input::Tick);
    }

    /// Looks at the invariants that no event tells of.
    pub(super) fn look(&mut self) {
        self.queue
            .push(self.now_us + self.look_stride_us(), Event::Look);
        // Coins of the first nodes only: each look counts all coins anew.
        self.check_coins(3);
    }

    /// Time between two looks.
    pub(super) fn look_stride_us(&self) -> u64 {
        (self.plan.duration_us / LOOKS).max(1)
    }
}
