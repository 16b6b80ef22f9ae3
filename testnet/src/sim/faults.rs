//! Carries out a scenario's actions.

use node_core::Input;

use super::trace::Line;
use super::world::{Event, World};
use crate::invariants::Rule;
use crate::scenario::action::EventEntry;
use crate::scenario::{Action, Groups, Span};

/// The invariants that need no event are looked at this often in a run.
const LOOKS: u64 = 10;

impl World<'_> {
    /// The action with this number comes now.
    pub(super) fn act(&mut self, index: usize) {
        let action = self.actions[index].1.clone();
        self.carry_out_action(action);
    }

    /// Does one thing to the network.
    pub(super) fn carry_out_action(&mut self, action: Action) {
        let t = self.now_us;
        let entry = EventEntry::write(Span(t), &action);
        *self
            .counters
            .actions
            .entry(action.name().to_owned())
            .or_default() += 1;
        self.take_effect(action);
        self.trace.line(&Line::Act { t, action: entry });
        self.watch.acted();
        if self.agreed {
            self.watch.agreed(t);
        }
    }

    fn take_effect(&mut self, action: Action) {
        match action {
            Action::Partition(groups) => self.partition(&groups),
            Action::Heal => self.heal(),
            Action::Crash(node) => self.crash(node),
            Action::Restart(node) => {
                if self.nodes[node].core.is_none() {
                    self.start_node(node);
                }
            }
            Action::Pause(node) => self.nodes[node].paused = self.nodes[node].core.is_some(),
            Action::Resume(node) => self.resume(node),
            Action::Link {
                between,
                lane,
                one_way,
            } => {
                let Some(link) = self.link_between(between) else {
                    return;
                };
                let first_dials = self.wires.links[link].from == between.0;
                let settings = self.wires.settings_mut(link);
                if first_dials || !one_way {
                    settings.forward = lane;
                }
                if !first_dials || !one_way {
                    settings.backward = lane;
                }
                self.release(link);
            }
            Action::Sever(between) => {
                if let Some(link) = self.link_between(between) {
                    self.sever(link);
                }
            }
            Action::GossipLoss(share) => self.gossip_loss = share,
            Action::Clock { node, offset_s } => self.nodes[node].clock_offset_s = offset_s,
            Action::Mining { node, share } => self.shares[node] = share,
        }
    }

    /// The link between two nodes. If there is none, the fault that was asked for cannot happen.
    fn link_between(&mut self, (a, b): (usize, usize)) -> Option<usize> {
        let link = self.wires.link_between(a, b);
        if link.is_none() {
            let detail = format!("nodes {a} and {b} have no link with this seed");
            self.watch.violate(self.now_us, Rule::FaultsHappen, detail);
        }
        link
    }

    fn partition(&mut self, groups: &Groups) {
        for link in 0..self.wires.links.len() {
            let ends = &self.wires.links[link];
            let cut = groups.separates(ends.from, ends.to);
            self.wires.links[link].cut = cut;
            if cut {
                self.sever(link);
            }
        }
    }

    fn heal(&mut self) {
        for link in &mut self.wires.links {
            link.cut = false;
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

    /// The process is gone, with all that was only in its memory.
    fn crash(&mut self, node: usize) {
        if self.nodes[node].core.is_none() {
            return;
        }
        self.payments.node_crashes(node, &self.nodes);
        let t = self.now_us;
        self.trace.line(&Line::Down { t, node });
        let sim = &mut self.nodes[node];
        sim.core = None;
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

    /// Everything that came while it was frozen comes at once.
    fn resume(&mut self, node: usize) {
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
        (self.scenario.duration.0 / LOOKS).max(1)
    }
}
