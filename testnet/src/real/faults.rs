//! Faults: cut, slow, kill, freeze, and the way back.

use super::network::{LinkSlot, Network};
use super::orders::LaneChange;
use super::process::NodeProcess;
use super::{LabError, NodeState};
use crate::link::{Flow, LinkSettings};
use crate::plan::steps::LinkState;
use crate::scenario::Groups;

impl Network {
    /// Cuts every link between groups: its connections end and new ones are refused. With `silent`, bytes just stop. Gives
    /// the number of links that are cut now.
    ///
    /// # Errors
    ///
    /// [`LabError::NoSuchNode`].
    pub fn partition(&mut self, groups: &Groups, silent: bool) -> Result<usize, LabError> {
        self.check_node(groups.highest())?;
        for link in &mut self.links {
            link.cut = groups.separates(link.from, link.to);
            if !link.cut {
                link.proxy.set(link.settings);
            } else if silent {
                let mut settings = link.settings;
                settings.forward.flow = Flow::Stalled;
                settings.backward.flow = Flow::Stalled;
                link.proxy.set(settings);
            } else {
                link.proxy.set(LinkSettings {
                    refuse: true,
                    ..link.settings
                });
                link.proxy.sever();
            }
        }
        self.partition = Some(groups.clone());
        Ok(self.links.iter().filter(|link| link.cut).count())
    }

    /// Opens every cut link. Connections that went stale are reset, and the dialling nodes are told to dial at once instead
    /// of waiting for their back-off: nobody waits for that. Gives the number of links opened.
    pub fn open_links(&mut self) -> usize {
        let mut redial = Vec::new();
        for link in self.links.iter_mut().filter(|link| link.cut) {
            link.cut = false;
            link.proxy.sever();
            link.proxy.set(link.settings);
            redial.push((link.from, link.multiaddress()));
        }
        self.partition = None;
        let opened = redial.len();
        self.dial(redial);
        opened
    }

    /// Makes each link do what it should by a plan. Links that are open again are reset and dialled at once.
    pub(super) fn follow(&mut self, state: impl Fn(usize) -> LinkState, groups: Option<Groups>) {
        let mut redial = Vec::new();
        for (index, link) in self.links.iter_mut().enumerate() {
            let LinkState { settings, cut } = state(index);
            let was_cut = std::mem::replace(&mut link.cut, cut);
            link.settings = settings;
            link.proxy.set(LinkSettings {
                refuse: cut,
                ..settings
            });
            if cut != was_cut {
                link.proxy.sever();
            }
            if was_cut && !cut {
                redial.push((link.from, link.multiaddress()));
            }
        }
        self.partition = groups;
        self.dial(redial);
    }

    /// Tells nodes to dial now. Nobody waits for it: one that is down, frozen or busy dials by itself later.
    fn dial(&self, links: Vec<(usize, String)>) {
        for (from, address) in links {
            if let Some(probe) = self.nodes[from].probe() {
                std::thread::spawn(move || probe.dial_now(&address));
            }
        }
    }

    /// What passed each lane so far: from, to, bytes.
    pub(super) fn carried_by_lane(&self) -> Vec<(usize, usize, u64)> {
        let lanes = self.links.iter().flat_map(|link| {
            let traffic = link.proxy.traffic();
            [
                (link.from, link.to, traffic.forward_bytes),
                (link.to, link.from, traffic.backward_bytes),
            ]
        });
        lanes.collect()
    }

    /// What passed each link so far, both ways together, in bytes.
    pub(super) fn carried(&self) -> Vec<u64> {
        let traffic = self.links.iter().map(|link| link.proxy.traffic());
        traffic
            .map(|traffic| traffic.forward_bytes + traffic.backward_bytes)
            .collect()
    }

    /// Changes what a link does.
    ///
    /// # Errors
    ///
    /// [`LabError::NoSuchLink`], [`LabError::Link`].
    pub fn change_link(
        &mut self,
        a: usize,
        b: usize,
        change: LaneChange,
        one_way: bool,
    ) -> Result<LinkSettings, LabError> {
        let link = self.link_between(a, b)?;
        let mut settings = link.settings;
        let a_dials = link.from == a;
        if a_dials || !one_way {
            settings.forward = change.applied(settings.forward);
        }
        if !a_dials || !one_way {
            settings.backward = change.applied(settings.backward);
        }
        settings.check()?;
        link.settings = settings;
        if !link.cut {
            link.proxy.set(settings);
        }
        Ok(settings)
    }

    /// Ends all connections of a link once; its ends may dial again.
    ///
    /// # Errors
    ///
    /// [`LabError::NoSuchNode`], [`LabError::NoSuchLink`].
    pub fn sever(&mut self, a: usize, b: usize) -> Result<(), LabError> {
        self.link_between(a, b)?.proxy.sever();
        Ok(())
    }

    fn link_between(&mut self, a: usize, b: usize) -> Result<&mut LinkSlot, LabError> {
        self.check_node(a.max(b))?;
        self.links
            .iter_mut()
            .find(|link| (link.from, link.to) == (a, b) || (link.to, link.from) == (a, b))
            .ok_or(LabError::NoSuchLink { a, b })
    }

    /// Ends a node as a crash would.
    ///
    /// # Errors
    ///
    /// [`LabError::NoSuchNode`], [`LabError::Down`].
    pub fn kill(&mut self, node: usize) -> Result<(), LabError> {
        self.take_process(node)?.kill();
        Ok(())
    }

    /// Stops a node cleanly.
    ///
    /// # Errors
    ///
    /// [`LabError::NoSuchNode`], [`LabError::Down`], or [`LabError::TooSlow`] when it had to be killed.
    pub fn stop(&mut self, node: usize) -> Result<(), LabError> {
        stop_process(node, self.take_process(node)?)
    }

    /// Takes a node's process away, whatever becomes of it then: its links reach nobody from now on.
    pub(super) fn take_process(&mut self, node: usize) -> Result<NodeProcess, LabError> {
        self.check_node(node)?;
        let process = self.nodes[node].process.take();
        let process = process.ok_or(LabError::Down { node })?;
        for link in self.links.iter().filter(|link| link.to == node) {
            link.proxy.set_target(None);
        }
        Ok(process)
    }

    /// Starts a node on the data it had; stops it first if it is up.
    ///
    /// # Errors
    ///
    /// [`LabError::NoSuchNode`], [`LabError::Start`].
    pub fn restart(&mut self, node: usize) -> Result<(), LabError> {
        if let Some(process) = self.take_if_up(node)? {
            // Whether it stopped by itself or had to be killed: it starts again.
            let _ = stop_process(node, process);
        }
        let ready = self.launch(node).run();
        self.take_started(node, ready)
    }

    /// The process of a node, taken away; `None` if it has none.
    pub(super) fn take_if_up(&mut self, node: usize) -> Result<Option<NodeProcess>, LabError> {
        match self.state(node)? {
            NodeState::Down => Ok(None),
            NodeState::Up | NodeState::Paused => self.take_process(node).map(Some),
        }
    }

    /// Freezes a node, or lets it go on.
    ///
    /// # Errors
    ///
    /// [`LabError::NoSuchNode`], [`LabError::Down`].
    pub fn set_paused(&mut self, node: usize, paused: bool) -> Result<(), LabError> {
        self.check_node(node)?;
        let slot = &mut self.nodes[node];
        let process = slot.process.as_ref().ok_or(LabError::Down { node })?;
        process
            .set_paused(paused)
            .map_err(|problem| LabError::Node { node, problem })?;
        slot.paused = paused;
        Ok(())
    }

    /// Stops all nodes at the same time.
    pub fn down(&mut self) {
        stop_all(self.take_all());
    }

    /// Takes all processes away.
    pub(super) fn take_all(&mut self) -> Vec<NodeProcess> {
        let nodes = self.nodes.iter_mut();
        nodes.filter_map(|slot| slot.process.take()).collect()
    }
}

/// Stops a process in order, or by force if it takes too long.
pub(super) fn stop_process(node: usize, process: NodeProcess) -> Result<(), LabError> {
    // A frozen process cannot stop by itself.
    let _ = process.set_paused(false);
    if process.stop() {
        return Ok(());
    }
    Err(LabError::TooSlow {
        what: format!("the clean stop of node {node} (it was killed)"),
        seconds: 8,
    })
}

/// Stops processes, all at the same time.
pub(super) fn stop_all(mut processes: Vec<NodeProcess>) {
    for process in &mut processes {
        let _ = process.set_paused(false);
        process.ask_to_stop();
    }
    std::thread::scope(|scope| {
        for process in processes {
            scope.spawn(move || process.wait_or_kill());
        }
    });
}
