//! Whom to dial and when: the peer book decides, within the outbound slots.

use std::time::Duration;

use p2p::book::{
    AddressError, AddressesOf, BookOptions, Complaint, Connected, NamedPeer, PeerAddress, PeerBook,
    Reach,
};
use p2p::wire::limits::MAX_PEER_ADDRESSES;
use p2p::{Mono, PeerNum};

use super::table::PeerInfo;
use crate::now::Now;
use crate::options::CoreOptions;

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
    pub(super) fn take_due(&mut self, now: Mono, missing: usize) -> Vec<String> {
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

    /// A peer told addresses: its own, or others that it knows. Where new ones came from there may be more.
    pub(super) fn learn(&mut self, peer: PeerNum, of: AddressesOf, addresses: &[String]) {
        if self.book_mut().learn(peer, of, addresses) > 0 {
            self.ask_pause = ASK_PAUSE;
        }
    }

    /// Addresses worth telling to a peer at `address`.
    pub(super) fn worth_telling(&self, address: &str) -> Vec<String> {
        match reach_of(address) {
            Some(to) => self.book.to_tell(to, MAX_PEER_ADDRESSES),
            None => Vec::new(),
        }
    }

    /// Which of the `dialled` peers is to be asked for addresses now: in turn, since each was asked once when it came, and may
    /// have known nobody then. With `missing` slots free.
    pub(super) fn take_to_ask(
        &mut self,
        now: Mono,
        missing: usize,
        dialled: impl Iterator<Item = PeerNum>,
    ) -> Option<PeerNum> {
        if missing == 0 || !self.discovers || self.ask_at > now {
            return None;
        }
        let mut first = None;
        let mut next = None;
        for peer in dialled {
            first = first.or(Some(peer));
            if peer > self.last_asked {
                next = Some(peer);
                break;
            }
        }
        let peer = next.or(first)?;
        self.last_asked = peer;
        self.ask_at = now + self.ask_pause;
        self.ask_pause = (self.ask_pause * 2).min(ASK_PAUSE_MAX);
        Some(peer)
    }

    /// When something is due next, with `missing` slots free and `dialled` peers.
    pub(super) fn next_due(&self, missing: usize, dialled: usize) -> Option<Mono> {
        let next = self.asked.and_then(|asked| asked.next);
        let may_ask = self.discovers && missing > 0 && dialled > 0;
        let ask = may_ask.then_some(self.ask_at);
        [next, ask].into_iter().flatten().min()
    }

    /// Adds or removes an address of the operator's.
    ///
    /// # Errors
    ///
    /// [`AddNodeError`].
    pub(super) fn order(&mut self, address: &str, order: AddNode) -> Result<(), AddNodeError> {
        let parsed: PeerAddress = address.parse()?;
        match order {
            AddNode::Add if self.book.is_fixed(&parsed.endpoint) => Err(AddNodeError::AlreadyAdded),
            AddNode::Add => Ok(self.book_mut().add_fixed(address)?),
            AddNode::Remove if !self.book_mut().remove_fixed(address) => {
                Err(AddNodeError::NotAdded)
            }
            AddNode::Remove | AddNode::OneTry => Ok(()),
        }
    }

    /// The operator's addresses, with the peer that each is connected to, or why there is none.
    pub(super) fn named(&self) -> impl Iterator<Item = NamedPeer> {
        self.book.fixed()
    }

    /// Where this node listens.
    pub(super) fn own(&self) -> &[String] {
        &self.own
    }

    /// The book, to be stored.
    pub(super) fn book_json(&self, now: Mono) -> String {
        self.book.to_json(now)
    }

    /// Grows with every change of the book that is worth storing.
    pub(super) fn book_changes(&self) -> u64 {
        self.book.changes()
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

fn reach_of(address: &str) -> Option<Reach> {
    address
        .parse::<PeerAddress>()
        .ok()
        .map(|address| address.reach())
}
