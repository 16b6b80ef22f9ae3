//! Carries out what the core wants done.

use p2p::book::Complaint;
use p2p::swarm::Command;

use crate::{NodeHandle, StopReason};
use node_core::events::NodeEvent;
use node_core::{NodeCore, Output};

impl NodeHandle {
    /// Carries out `outputs` in order. Called while the core's lock is held, so that nobody else's come in between. Tells
    /// whether the time to wake was set.
    pub(crate) fn carry_out(&self, core: &NodeCore, outputs: Vec<Output>) -> bool {
        let mut moved = false;
        let mut tip_changed = false;
        for output in outputs {
            match output {
                Output::Dial(address) => self.command(Command::Dial(address)),
                Output::Disconnect { peer, reason } => {
                    let known = core.peers().get(peer);
                    let peer_id = known.map_or("", |info| info.peer_id.as_str());
                    tracing::info!(target: "net", peer = peer.0, peer_id, reason, "disconnecting");
                    self.command(Command::Disconnect(peer));
                }
                Output::Ban { peer_id, banned } => self.command(Command::Ban { peer_id, banned }),
                Output::SetActive(active) => self.command(Command::SetActive(active)),
                Output::Request { peer, id, request } => {
                    self.command(Command::Request { peer, id, request });
                }
                Output::Answer { token, response } => {
                    self.command(Command::Answer { token, response });
                }
                Output::AnswerBlocks { token, blocks } => self.answer_blocks(token, blocks),
                Output::Publish(gossip) => self.command(Command::Publish(gossip)),
                Output::Verdict { id, verdict } => self.command(Command::Verdict { id, verdict }),
                Output::Complaint(Complaint { address, reason }) => {
                    tracing::warn!(target: "net", address, "not connected to a peer that was ordered: {reason}");
                }
                Output::Event(event) => {
                    tip_changed |= matches!(
                        event,
                        NodeEvent::BlockConnected { .. }
                            | NodeEvent::BlockDisconnected { .. }
                            | NodeEvent::SnapshotLoaded { .. }
                    );
                    log(&event);
                    self.inner.events.push(event);
                }
                Output::WakeAt(at) => {
                    self.inner.wake.set(at);
                    moved = true;
                }
                Output::Fatal(error) => {
                    // Told when the node has stopped, once.
                    let reason = StopReason::Failed(error.to_string());
                    self.inner.stop.press(reason);
                }
            }
        }
        if tip_changed {
            let tip = core.chain().tip();
            self.inner.mining.tip_changed();
            self.inner.tip.send_replace(chain::BlockPosition {
                hash: tip.hash,
                height: tip.height,
            });
        }
        moved
    }

    pub(crate) fn command(&self, command: Command) {
        // The swarm is gone only while the node stops.
        let _ = self.inner.commands.send(command);
    }
}

/// One line for people about what happened.
fn log(event: &NodeEvent) {
    match event {
        NodeEvent::BlockConnected { hash, height } => {
            tracing::info!(target: "chain", %height, %hash, "block connected");
        }
        NodeEvent::BlockDisconnected { hash, height } => {
            tracing::info!(target: "chain", %height, %hash, "block disconnected");
        }
        NodeEvent::BlockInvalid {
            hash,
            height,
            reason,
        } => tracing::warn!(target: "chain", %height, %hash, %reason, "invalid block"),
        NodeEvent::BlockDamaged { hash, height } => {
            tracing::warn!(target: "chain", %height, %hash, "stored block is damaged, fetching it again");
        }
        NodeEvent::BlockRestored { hash, height } => {
            tracing::info!(target: "chain", %height, %hash, "damaged block replaced");
        }
        NodeEvent::Healing { problem } => tracing::warn!(target: "chain", "{problem}"),
        NodeEvent::Healed { cure } => tracing::warn!(target: "chain", "{cure}"),
        NodeEvent::SnapshotLoaded { hash, height } => {
            tracing::warn!(target: "chain", %height, %hash, "coins loaded from a snapshot; the blocks below are not validated");
        }
        NodeEvent::HeaderTip { hash, height } => {
            tracing::debug!(target: "chain", %height, %hash, "header tip");
        }
        NodeEvent::TransactionAdded { txid } => {
            tracing::debug!(target: "mempool", %txid, "transaction added");
        }
        NodeEvent::TransactionRemoved { txid, reason } => {
            tracing::debug!(target: "mempool", %txid, ?reason, "transaction removed");
        }
        NodeEvent::PeerUp { peer, address } => {
            tracing::info!(target: "net", peer = peer.0, address, "peer connected");
        }
        NodeEvent::PeerDown { peer, reason } => {
            tracing::info!(target: "net", peer = peer.0, reason, "peer gone");
        }
        NodeEvent::ModeChanged { mode } => tracing::info!(?mode, "mode changed"),
    }
}
