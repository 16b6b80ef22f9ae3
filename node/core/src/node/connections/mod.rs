//! [`Connections`]: who is connected, who is dialled, who is kept away.
//!
//! | file | concern |
//! |---|---|
//! | `table` | who is connected |
//! | `dialer` | whom to dial and when: the peer book decides, within the outbound slots |
//! | `bans` | who is kept away, and by whose word |
//!
//! *Invariants*: nobody who is kept away is in the table; what the operator named is kept away by his own word only. It knows
//! neither chain nor mempool.

mod bans;
mod dialer;
mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use p2p::book::{AddressesOf, Complaint, Connected, NamedPeer};
use p2p::{Direction, Mono, PeerGroup, PeerNum};

use super::output::Output;
use crate::events::NodeEvent;
use crate::now::Now;
use crate::options::CoreOptions;

pub use bans::{Ban, BannedBy};
pub use dialer::{AddNode, AddNodeError};
pub use table::{PeerInfo, PeerTable};

/// Peers that we dial of ourselves, as Core: inbound peers cannot take these slots.
const OUTBOUND_SLOTS: usize = 8;
/// Most addresses that are kept of what one peer says it listens on.
const MAX_LISTENS: usize = 8;

/// Who is connected, who is dialled, who is kept away.
#[derive(Debug)]
pub(super) struct Connections {
    table: PeerTable,
    dialer: dialer::Dialer,
    bans: bans::BanList,
    /// Who is being sent away for what it did, and is not gone yet.
    parting: BTreeSet<PeerNum>,
    /// Networking is on.
    active: bool,
    /// Our peers may all be on the wrong side: one more is looked for.
    looks_wider: bool,
}

/// A peer as the host tells it.
pub(super) struct NewPeer {
    pub(super) num: PeerNum,
    pub(super) peer_id: String,
    pub(super) address: String,
    pub(super) direction: Direction,
    pub(super) agent: String,
}

impl Connections {
    /// None yet, with the book and the addresses of `options`.
    pub(super) fn new(options: &CoreOptions) -> Connections {
        Connections {
            table: PeerTable::default(),
            dialer: dialer::Dialer::new(options),
            bans: bans::BanList::default(),
            parting: BTreeSet::new(),
            active: true,
            looks_wider: false,
        }
    }

    /// Who is connected.
    pub(super) fn table(&self) -> &PeerTable {
        &self.table
    }

    /// The group of addresses that a peer is charged to.
    pub(super) fn group_of(&self, peer: PeerNum) -> PeerGroup {
        let info = self.table.get(peer);
        info.map(|info| PeerGroup::of(info.direction, &info.address))
            .unwrap_or_default()
    }

    /// A peer was connected. `None`: it is not let in.
    pub(super) fn up(
        &mut self,
        now: Now,
        peer: NewPeer,
        out: &mut Vec<Output>,
    ) -> Option<PeerGroup> {
        let NewPeer {
            num,
            peer_id,
            address,
            direction,
            agent,
        } = peer;
        let is_named = direction == Direction::Outbound && self.dialer.is_named_address(&address);
        let ban = self.bans.reason_against(&peer_id, &address, now.wall);
        // Whom the operator named is kept away by his own word only.
        if let Some(ban) = ban.filter(|ban| !is_named || ban.by == BannedBy::Operator) {
            let reason = format!("it is banned: {}", ban.reason);
            out.push(Output::Disconnect { peer: num, reason });
            self.dialer.refused(now.mono, &address);
            return None;
        }
        let info = PeerInfo {
            num,
            peer_id,
            address,
            direction,
            agent,
            connected_at: now.wall,
            connected_mono: now.mono,
            ping_micros: None,
            min_ping_micros: None,
            listens: Vec::new(),
            last_message: None,
            last_block: None,
            last_transaction: None,
        };
        if self.dialer.connected(now, &info) == Connected::Feeler {
            let reason = "it was only looked whether someone answers there".to_owned();
            out.push(Output::Disconnect { peer: num, reason });
            return None;
        }
        out.push(Output::Event(NodeEvent::PeerUp {
            peer: num,
            address: info.address.clone(),
        }));
        let group = PeerGroup::of(direction, &info.address);
        self.table.insert(info);
        Some(group)
    }

    /// A peer is gone. `false`: it was never let in.
    pub(super) fn down(
        &mut self,
        now: Now,
        peer: PeerNum,
        reason: String,
        out: &mut Vec<Output>,
    ) -> bool {
        self.parting.remove(&peer);
        let Some(info) = self.table.remove(peer) else {
            return false;
        };
        self.dialer.disconnected(now.mono, info.num, &reason);
        out.push(Output::Event(NodeEvent::PeerDown { peer, reason }));
        true
    }

    /// Whether a peer is being sent away for what it did, and is not gone yet.
    pub(super) fn is_parting(&self, peer: PeerNum) -> bool {
        self.parting.contains(&peer)
    }

    /// A peer told where it listens.
    pub(super) fn listens(&mut self, peer: PeerNum, mut addresses: Vec<String>) {
        addresses.truncate(MAX_LISTENS);
        self.learn(peer, AddressesOf::Itself, &addresses);
        self.table.note_listens(peer, addresses);
    }

    /// A peer told addresses: its own, or others that it knows.
    pub(super) fn learn(&mut self, peer: PeerNum, of: AddressesOf, addresses: &[String]) {
        self.dialer.learn(peer, of, addresses);
    }

    /// Addresses worth telling to a peer.
    pub(super) fn addresses_to_tell(&self, peer: PeerNum) -> Vec<String> {
        let info = self.table.get(peer);
        info.map(|info| self.dialer.worth_telling(&info.address))
            .unwrap_or_default()
    }

    /// A peer told or asked something.
    pub(super) fn note_message(&mut self, peer: PeerNum, now: Now) {
        self.table.note_message(peer, now);
    }

    /// A peer gave a block that was new.
    pub(super) fn note_block(&mut self, peer: PeerNum, now: Now) {
        self.table.note_block(peer, now);
    }

    /// A peer gave a transaction that was new.
    pub(super) fn note_transaction(&mut self, peer: PeerNum, now: Now) {
        self.table.note_transaction(peer, now);
    }

    /// A round-trip time was measured.
    pub(super) fn note_ping(&mut self, peer: PeerNum, micros: u64) {
        self.table.note_ping(peer, micros);
    }

    /// A peer is let go for a reason that will not pass soon.
    pub(super) fn give_up(&mut self, peer: PeerNum, reason: String, out: &mut Vec<Output>) {
        self.dialer.gave_up(peer);
        out.push(Output::Disconnect { peer, reason });
    }

    /// A peer broke the protocol or the rules: it is sent away, and kept away for a while. Whom the operator named is never
    /// banned: its address is left alone for some time.
    pub(super) fn punish(
        &mut self,
        now: Now,
        peer: PeerNum,
        reason: String,
        out: &mut Vec<Output>,
    ) {
        let Some(info) = self.table.get(peer) else {
            return;
        };
        let is_named = self.dialer.is_named(peer);
        self.parting.insert(peer);
        self.dialer.gave_up(peer);
        if is_named {
            out.push(Output::Disconnect { peer, reason });
            return;
        }
        let (id, address) = (&info.peer_id, &info.address);
        let freed = self.bans.discourage(id, address, now.wall, &reason);
        out.push(Output::Disconnect { peer, reason });
        bans::refuse(id, out);
        for subject in freed {
            bans::allow_again(&subject, out);
        }
    }

    /// Ends the connection to a peer, as the operator asked. `false`: there is no such peer.
    pub(super) fn disconnect(&self, peer: PeerNum, out: &mut Vec<Output>) -> bool {
        let known = self.table.get(peer).is_some();
        if known {
            let reason = bans::ASKED_FOR.to_owned();
            out.push(Output::Disconnect { peer, reason });
        }
        known
    }

    /// Ends the connections to an address, with or without the peer id at its end. `false`: there is none.
    pub(super) fn disconnect_address(&self, address: &str, out: &mut Vec<Output>) -> bool {
        let all = self.table.iter();
        let mut known = false;
        for peer in all.filter(|peer| is_same_address(&peer.address, address)) {
            known |= self.disconnect(peer.num, out);
        }
        known
    }

    /// Who is kept away, and why; the operator's orders first.
    pub(super) fn bans(&self) -> impl Iterator<Item = (&str, &Ban)> {
        self.bans.iter()
    }

    /// Grows with every change of the bans that is worth storing.
    pub(super) fn ban_changes(&self) -> u64 {
        self.bans.changes()
    }

    /// Puts back bans of an earlier run. Those that have ended since are passed over.
    pub(super) fn restore_bans(
        &mut self,
        now: Now,
        bans: impl IntoIterator<Item = (String, Ban)>,
        out: &mut Vec<Output>,
    ) {
        for (subject, ban) in bans.into_iter().filter(|(_, ban)| ban.until > now.wall) {
            bans::refuse(&subject, out);
            self.bans.restore(subject, ban);
        }
    }

    /// Keeps a peer id or IP address away for `seconds` by the operator's word, and ends its connections.
    pub(super) fn ban(&mut self, now: Now, subject: &str, seconds: u32, out: &mut Vec<Output>) {
        let subject = bans::canonical(subject);
        let ban = Ban {
            created: now.wall,
            until: now.wall.saturating_add_secs(seconds),
            reason: bans::ASKED_FOR.to_owned(),
            by: BannedBy::Operator,
        };
        self.bans.order(&subject, ban);
        bans::refuse(&subject, out);
        for peer in self.table.iter() {
            let ip = bans::ip_of(&peer.address).map(|ip| ip.to_string());
            if peer.peer_id == subject || ip.as_ref() == Some(&subject) {
                self.disconnect(peer.num, out);
            }
        }
    }

    /// Lets a peer id or IP address come again. `false`: it was not kept away.
    pub(super) fn unban(&mut self, subject: &str, out: &mut Vec<Output>) -> bool {
        let subject = bans::canonical(subject);
        let known = self.bans.lift(&subject);
        if known {
            bans::allow_again(&subject, out);
        }
        known
    }

    /// Lets everyone come again.
    pub(super) fn clear_bans(&mut self, out: &mut Vec<Output>) {
        let all: Vec<String> = self.bans.iter().map(|(who, _)| who.to_owned()).collect();
        for subject in all {
            self.unban(&subject, out);
        }
    }

    /// Ends bans that have lasted long enough.
    pub(super) fn end_bans(&mut self, now: Now, out: &mut Vec<Output>) {
        if self.bans.next_due(now).is_none_or(|due| due > now.mono) {
            return;
        }
        for subject in self.bans.take_ended(now.wall) {
            bans::allow_again(&subject, out);
        }
    }

    /// The node listens here.
    pub(super) fn listening(&mut self, address: String) {
        self.dialer.listening(address);
    }

    /// Where the node listens; each address ends in its own peer id.
    pub(super) fn own_addresses(&self) -> &[String] {
        self.dialer.own()
    }

    /// A dial failed. Gives what the operator should hear.
    pub(super) fn dial_failed(
        &mut self,
        now: Now,
        address: &str,
        reason: &str,
        lasting: bool,
    ) -> Option<Complaint> {
        self.dialer.failed(now.mono, address, reason, lasting)
    }

    /// A dial led to a peer that is connected by another way.
    pub(super) fn dial_met(&mut self, address: &str, peer_id: &str) {
        self.dialer.met(address, peer_id);
    }

    /// Adds or removes an address that is dialled whenever there is no connection to it, or dials one once.
    ///
    /// # Errors
    ///
    /// [`AddNodeError`], as Core's `addnode`.
    pub(super) fn add_node(
        &mut self,
        address: &str,
        order: AddNode,
        out: &mut Vec<Output>,
    ) -> Result<(), AddNodeError> {
        self.dialer.order(address, order)?;
        if order == AddNode::OneTry {
            out.push(Output::Dial(address.to_owned()));
        }
        Ok(())
    }

    /// Addresses that were added, with the peer that each is connected to, or why there is none.
    pub(super) fn added_nodes(&self) -> impl Iterator<Item = NamedPeer> {
        self.dialer.named()
    }

    /// The peer book, to be stored.
    pub(super) fn book_json(&self, now: Now) -> String {
        self.dialer.book_json(now.mono)
    }

    /// Grows with every change of the peer book that is worth storing.
    pub(super) fn book_changes(&self) -> u64 {
        self.dialer.book_changes()
    }

    /// Networking on or off: off ends all connections.
    pub(super) fn set_active(&mut self, now: Now, active: bool, out: &mut Vec<Output>) {
        if self.active != active {
            self.active = active;
            out.push(Output::SetActive(active));
            if active {
                self.dialer.retry_all(now.mono);
            }
        }
    }

    /// Whether networking is on.
    pub(super) fn is_active(&self) -> bool {
        self.active
    }

    /// Whether one peer more is looked for: ours may all be on the wrong side.
    pub(super) fn look_wider(&mut self, wider: bool) {
        self.looks_wider = wider;
    }

    /// Dials what is due.
    pub(super) fn dial_due(&mut self, now: Now, out: &mut Vec<Output>) {
        if self.active {
            let missing = self.missing_outbound();
            let due = self.dialer.take_due(now.mono, missing);
            out.extend(due.into_iter().map(Output::Dial));
        }
    }

    /// Whom to ask for addresses now, while slots are free. Not those who dialled us: they would choose whom we meet.
    pub(super) fn take_to_ask(&mut self, now: Now) -> Option<PeerNum> {
        if !self.active {
            return None;
        }
        let missing = self.missing_outbound();
        let all = self.table.iter();
        let dialled = all.filter(|peer| peer.direction == Direction::Outbound);
        self.dialer
            .take_to_ask(now.mono, missing, dialled.map(|peer| peer.num))
    }

    /// When something is due next.
    pub(super) fn next_due(&self, now: Now) -> Option<Mono> {
        let (missing, dialled) = (self.missing_outbound(), self.table.outbound());
        let dial = self.dialer.next_due(missing, dialled);
        let dial = dial.filter(|_| self.active);
        [dial, self.bans.next_due(now)].into_iter().flatten().min()
    }

    fn missing_outbound(&self) -> usize {
        let wanted = OUTBOUND_SLOTS + usize::from(self.looks_wider);
        wanted.saturating_sub(self.table.outbound())
    }
}

/// Whether two multiaddresses are the same place, peer ids aside unless both have one.
fn is_same_address(a: &str, b: &str) -> bool {
    const PEER_ID: &str = "/p2p/";
    match (a.split_once(PEER_ID), b.split_once(PEER_ID)) {
        (Some((a, _)), None) => a == b,
        (None, Some((b, _))) => a == b,
        _ => a == b,
    }
}
