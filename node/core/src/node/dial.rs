//! Whom to dial and when: the peer book decides, within the outbound slots.

use std::time::Duration;

use p2p::book::{
    AddressError, AddressesOf, BookOptions, Complaint, Connected, NamedPeer, PeerAddress, PeerBook,
    Reach,
};
use p2p::sync::Input as EngineInput;
use p2p::wire::limits::MAX_PEER_ADDRESSES;
use p2p::{Direction, Mono, PeerNum};

use super::{CoreOptions, NodeCore, Output, PeerInfo};
use crate::mode::Mode;
use crate::now::Now;

/// Peers that we dial of ourselves, as Core: inbound peers cannot take these slots.
const OUTBOUND_SLOTS: usize = 8;

/// With outbound slots free, peers are asked for addresses after this, doubling while they know no new ones ...
const ASK_PAUSE: Duration = Duration::from_secs(1);
/// ... up to this.
const ASK_PAUSE_MAX: Duration = Duration::from_secs(1_200);

/// What to do with an address (`addnode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddNode {
    /// Dial it, and again whenever the connection is lost.
    Add,
    /// Do not dial it again; a connection that is there stays.
    Remove,
    /// Dial it once.
    OneTry,
}

/// Why an address was not added or removed.
#[derive(Debug, thiserror::Error)]
pub enum AddNodeError {
    /// It is on the list.
    #[error("the node was added before; nothing to do")]
    AlreadyAdded,
    /// It is not on the list.
    #[error("the node was not added before; see getaddednodeinfo for those that were")]
    NotAdded,
    /// It cannot be dialled.
    #[error(transparent)]
    Address(#[from] AddressError),
}

/// The book, and where we are ourselves.
#[derive(Debug)]
pub(super) struct Dialer {
    book: PeerBook,
    own: Vec<String>,
    /// What the book was last asked: good until something changes.
    asked: Option<Asked>,
    /// Whether addresses are exchanged with other nodes.
    discovers: bool,
    /// When a peer is asked for addresses next, the pause after that, and who was asked last.
    ask_at: Mono,
    ask_pause: Duration,
    last_asked: PeerNum,
}

/// The book's last answer: asking it looks at every address.
#[derive(Clone, Copy, Debug)]
struct Asked {
    missing: usize,
    next: Option<Mono>,
}

impl Dialer {
    /// A book as it was stored, with what the operator gave. Text that cannot be read is passed over: peers are found again.
    /// Addresses that cannot be dialled are left to the host to complain about.
    pub(super) fn new(options: &CoreOptions) -> Dialer {
        let book_options = BookOptions {
            fixed_only: !options.connect.is_empty(),
            no_discovery: options.no_discovery,
            seed: options.seed,
        };
        let stored = options.book.as_deref();
        let mut book = stored
            .and_then(|text| PeerBook::from_json(text, book_options).ok())
            .unwrap_or_else(|| PeerBook::new(book_options));
        for address in options.connect.iter().chain(&options.peers) {
            _ = book.add_fixed(address);
        }
        Dialer {
            book,
            own: Vec::new(),
            asked: None,
            discovers: options.connect.is_empty() && !options.no_discovery,
            ask_at: Mono::ZERO,
            ask_pause: ASK_PAUSE,
            last_asked: PeerNum(0),
        }
    }

    pub(super) fn listening(&mut self, address: String) {
        if let Some(own_id) = address
            .parse::<PeerAddress>()
            .ok()
            .and_then(|own| own.peer_id)
        {
            self.book_mut().set_own_id(&own_id);
        }
        if !self.own.contains(&address) {
            self.own.push(address);
        }
    }

    /// The book, to change: what it said before does not count any more.
    fn book_mut(&mut self) -> &mut PeerBook {
        self.asked = None;
        &mut self.book
    }

    /// Addresses to dial now.
    fn take_due(&mut self, now: Mono, missing: usize) -> Vec<String> {
        let nothing_new =
            |asked: &Asked| asked.missing == missing && asked.next.is_none_or(|next| next > now);
        if self.asked.as_ref().is_some_and(nothing_new) {
            return Vec::new();
        }
        let due = self.book.due(now, missing);
        // What is due and was not given waits for a dial to end, not for a time.
        let next = self.book.next_due(missing).filter(|next| *next > now);
        self.asked = Some(Asked { missing, next });
        due
    }

    pub(super) fn connected(&mut self, now: Now, peer: &PeerInfo) -> Connected {
        self.book_mut().connected(
            peer.num,
            &peer.peer_id,
            &peer.address,
            peer.direction,
            (now.mono, now.wall),
        )
    }

    pub(super) fn disconnected(&mut self, now: Mono, peer: PeerNum, reason: &str) {
        self.book_mut().disconnected(peer, now, reason);
    }

    /// We part from a peer for a reason that will not pass soon.
    pub(super) fn gave_up(&mut self, peer: PeerNum) {
        self.book_mut().gave_up(peer);
    }

    /// A dial failed. Gives what the operator should hear.
    pub(super) fn failed(
        &mut self,
        now: Mono,
        address: &str,
        reason: &str,
        lasting: bool,
    ) -> Option<Complaint> {
        self.book_mut().failed(address, now, reason, lasting)
    }

    /// New addresses came: there may be more where they came from.
    fn learnt(&mut self, new: usize) {
        if new > 0 {
            self.ask_pause = ASK_PAUSE;
        }
    }

    /// A dial led to a peer that is connected by another way.
    pub(super) fn met(&mut self, address: &str, peer_id: &str) {
        self.book_mut().met(address, peer_id);
    }

    /// A dial led to someone who is banned.
    pub(super) fn refused(&mut self, now: Mono, address: &str) {
        self.book_mut().forget(address, now);
    }

    /// Networking is on again: dial at once.
    pub(super) fn retry_all(&mut self, now: Mono) {
        self.book_mut().retry_all(now);
    }

    /// Whether the operator gave this address.
    pub(super) fn is_named_address(&self, address: &str) -> bool {
        let address = address.parse::<PeerAddress>();
        address.is_ok_and(|address| self.book.is_fixed(&address.endpoint))
    }

    /// Whether the operator gave the address of a connected peer.
    pub(super) fn is_named(&self, peer: PeerNum) -> bool {
        self.book.is_named_peer(peer)
    }
}

impl NodeCore {
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
        let parsed: PeerAddress = address.parse()?;
        match order {
            AddNode::Add if self.dialer.book.is_fixed(&parsed.endpoint) => {
                return Err(AddNodeError::AlreadyAdded);
            }
            AddNode::Add => self.dialer.book_mut().add_fixed(address)?,
            AddNode::Remove if !self.dialer.book_mut().remove_fixed(address) => {
                return Err(AddNodeError::NotAdded);
            }
            AddNode::Remove => {}
            AddNode::OneTry => out.push(Output::Dial(address.to_owned())),
        }
        self.settle(now, out);
        Ok(())
    }

    /// Addresses that were added, with the peer that each is connected to, or why there is none.
    pub fn added_nodes(&self) -> impl Iterator<Item = NamedPeer> {
        self.dialer.book.fixed()
    }

    /// Where this node listens; each address ends in its own peer id.
    #[must_use]
    pub fn own_addresses(&self) -> &[String] {
        &self.dialer.own
    }

    /// The peer book, to be stored and given back in [`CoreOptions::book`].
    #[must_use]
    pub fn book_json(&self, now: Now) -> String {
        self.dialer.book.to_json(now.mono)
    }

    /// Grows with every change of the peer book that is worth storing.
    #[must_use]
    pub fn book_changes(&self) -> u64 {
        self.dialer.book.changes()
    }

    /// Dials what is due. A stale tip is a reason to look for one peer more: ours may all be on the wrong side.
    pub(super) fn dial_due(&mut self, now: Now, out: &mut Vec<Output>) {
        if self.network_active {
            let missing = self.missing_outbound();
            let due = self.dialer.take_due(now.mono, missing);
            out.extend(due.into_iter().map(Output::Dial));
            self.ask_for_addresses(now, missing, out);
        }
    }

    /// While slots are free, the peers that we dialled are asked in turn: each was asked once when it came, and may have
    /// known nobody then. Not those who dialled us: they would choose whom we meet.
    fn ask_for_addresses(&mut self, now: Now, missing: usize, out: &mut Vec<Output>) {
        let is_due = missing > 0 && self.dialer.discovers && self.dialer.ask_at <= now.mono;
        if !is_due || !self.deferred.is_empty() {
            return;
        }
        let last = self.dialer.last_asked;
        let dialled = || {
            let all = self.peers.iter();
            all.filter(|peer| peer.direction == Direction::Outbound)
                .map(|peer| peer.num)
        };
        let Some(peer) = dialled()
            .find(|num| *num > last)
            .or_else(|| dialled().next())
        else {
            return;
        };
        self.dialer.last_asked = peer;
        self.dialer.ask_at = now.mono + self.dialer.ask_pause;
        self.dialer.ask_pause = (self.dialer.ask_pause * 2).min(ASK_PAUSE_MAX);
        self.drive(now, EngineInput::AddressesWanted { peer }, out);
    }

    pub(super) fn dial_next_due(&self) -> Option<Mono> {
        let next = self.dialer.asked.and_then(|asked| asked.next);
        let may_ask =
            self.dialer.discovers && self.missing_outbound() > 0 && self.peers.outbound() > 0;
        let ask = may_ask.then_some(self.dialer.ask_at);
        let due = [next, ask].into_iter().flatten().min();
        due.filter(|_| self.network_active)
    }

    fn missing_outbound(&self) -> usize {
        let wanted =
            OUTBOUND_SLOTS + usize::from(matches!(self.mode(), Mode::Stale | Mode::Behind));
        wanted.saturating_sub(self.peers.outbound())
    }

    /// A peer told addresses: its own, or others that it knows.
    pub(super) fn learn_addresses(&mut self, peer: PeerNum, of: AddressesOf, addresses: &[String]) {
        let new = self.dialer.book_mut().learn(peer, of, addresses);
        self.dialer.learnt(new);
    }

    /// Addresses worth telling to a peer.
    pub(super) fn addresses_to_tell(&self, peer: PeerNum) -> Vec<String> {
        let Some(to) = self
            .peers
            .get(peer)
            .and_then(|info| reach_of(&info.address))
        else {
            return Vec::new();
        };
        self.dialer.book.to_tell(to, MAX_PEER_ADDRESSES)
    }
}

fn reach_of(address: &str) -> Option<Reach> {
    address
        .parse::<PeerAddress>()
        .ok()
        .map(|address| address.reach())
}
