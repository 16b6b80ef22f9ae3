//! Peers that come and go, and what an operator may order about them.

use p2p::PeerNum;
use p2p::book::NamedPeer;
use p2p::sync::Input as EngineInput;

use super::connections::{AddNode, AddNodeError, Ban, NewPeer, PeerTable};
use super::{NodeCore, Output};
use crate::mode::Mode;
use crate::now::Now;

impl NodeCore {
    pub(super) fn peer_up(&mut self, now: Now, peer: NewPeer, out: &mut Vec<Output>) {
        let (num, direction) = (peer.num, peer.direction);
        if let Some(group) = self.connections.up(now, peer, out) {
            let input = EngineInput::PeerUp {
                peer: num,
                direction,
                group,
            };
            self.drive(now, input, out);
        }
    }

    pub(super) fn peer_down(
        &mut self,
        now: Now,
        peer: PeerNum,
        reason: String,
        out: &mut Vec<Output>,
    ) {
        if self.connections.down(now, peer, reason, out) {
            self.drive(now, EngineInput::PeerDown { peer }, out);
        }
    }

    /// A stale tip is a reason to look for one peer more: ours may all be on the wrong side.
    pub(super) fn look_as_wide_as_needed(&mut self) {
        let wider = matches!(self.mode(), Mode::Stale | Mode::Behind);
        self.connections.look_wider(wider);
    }

    pub(super) fn ask_for_addresses(&mut self, now: Now, out: &mut Vec<Output>) {
        if self.deferred.is_empty()
            && let Some(peer) = self.connections.take_to_ask(now)
        {
            self.drive(now, EngineInput::AddressesWanted { peer }, out);
        }
    }

    /// Connected peers.
    #[must_use]
    pub fn peers(&self) -> &PeerTable {
        self.connections.table()
    }

    /// Ends the connection to a peer. `false`: there is no such peer.
    pub fn disconnect_peer(&mut self, peer: PeerNum, out: &mut Vec<Output>) -> bool {
        self.connections.disconnect(peer, out)
    }

    /// Ends the connections to an address, with or without the peer id at its end. `false`: there is none.
    pub fn disconnect_address(&mut self, address: &str, out: &mut Vec<Output>) -> bool {
        self.connections.disconnect_address(address, out)
    }

    /// Who is kept away: peer id or IP address, and why; the operator's orders first.
    pub fn bans(&self) -> impl Iterator<Item = (&str, &Ban)> {
        self.connections.bans()
    }

    /// Grows with every change of the list that is worth storing.
    #[must_use]
    pub fn ban_changes(&self) -> u64 {
        self.connections.ban_changes()
    }

    /// Puts back bans of an earlier run, as [`NodeCore::bans`] gave them. Those that have ended since are passed over.
    pub fn restore_bans(
        &mut self,
        now: Now,
        bans: impl IntoIterator<Item = (String, Ban)>,
        out: &mut Vec<Output>,
    ) {
        self.connections.restore_bans(now, bans, out);
        self.settle(now, out);
    }

    /// Keeps a peer id or IP address away for `seconds` by the operator's word, and ends its connections.
    pub fn ban(&mut self, now: Now, subject: &str, seconds: u32, out: &mut Vec<Output>) {
        self.connections.ban(now, subject, seconds, out);
        self.settle(now, out);
    }

    /// Lets a peer id or IP address come again. `false`: it was not kept away.
    pub fn unban(&mut self, subject: &str, out: &mut Vec<Output>) -> bool {
        self.connections.unban(subject, out)
    }

    /// Lets everyone come again.
    pub fn clear_bans(&mut self, out: &mut Vec<Output>) {
        self.connections.clear_bans(out);
    }

    /// Adds or removes an address that is dialled whenever there is no connection to it, or dials one once.
    ///
    /// # Errors
    ///
    /// [`AddNodeError`], as Core's `addnode`.
    pub fn add_node(
        &mut self,
        now: Now,
        address: &str,
        order: AddNode,
        out: &mut Vec<Output>,
    ) -> Result<(), AddNodeError> {
        self.connections.add_node(address, order, out)?;
        self.settle(now, out);
        Ok(())
    }

    /// Addresses that were added, with the peer that each is connected to, or why there is none.
    pub fn added_nodes(&self) -> impl Iterator<Item = NamedPeer> {
        self.connections.added_nodes()
    }

    /// Where this node listens; each address ends in its own peer id.
    #[must_use]
    pub fn own_addresses(&self) -> &[String] {
        self.connections.own_addresses()
    }

    /// The peer book, to be stored and given back in [`CoreOptions::book`](crate::CoreOptions::book).
    #[must_use]
    pub fn book_json(&self, now: Now) -> String {
        self.connections.book_json(now)
    }

    /// Grows with every change of the peer book that is worth storing.
    #[must_use]
    pub fn book_changes(&self) -> u64 {
        self.connections.book_changes()
    }

    /// Networking on or off: off ends all connections (`setnetworkactive`).
    pub fn set_network_active(&mut self, now: Now, active: bool, out: &mut Vec<Output>) {
        self.connections.set_active(now, active, out);
        self.settle(now, out);
    }

    /// Whether networking is on.
    #[must_use]
    pub fn is_network_active(&self) -> bool {
        self.connections.is_active()
    }
}
