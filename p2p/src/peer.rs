//! How the engine names peers.

/// A connected peer, by a number that is never used again within a run. The swarm maps it to a libp2p identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerNum(pub u64);

/// Connections that may be of one hand, so that whoever comes back under a new identity is known again: equal for peers of one
/// group of addresses. The host chooses it; the engine only compares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerGroup(pub u64);

/// Who dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The peer dialled us.
    Inbound,
    /// We dialled the peer.
    Outbound,
}

/// A request of a peer that waits for our answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AnswerToken(pub u64);
