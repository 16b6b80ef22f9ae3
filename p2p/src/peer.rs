//! How the engine names peers.

use std::net::IpAddr;

use bitcoin::hashes::{Hash, sha256};

/// A connected peer, by a number that is never used again within a run. The swarm maps it to a libp2p identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerNum(pub u64);

/// Connections that may be of one hand, so that whoever comes back under a new identity is known again: equal for peers of one
/// group of addresses. The host chooses it; the engine only compares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerGroup(pub u64);

impl PeerGroup {
    /// The group of a connection with `address` (a multiaddress, as dialled or seen). Whom we dialled stands for itself: we chose
    /// it. Who dialled us stands for its network: /16 of IPv4, /32 of IPv6.
    #[must_use]
    pub fn of(direction: Direction, address: &str) -> PeerGroup {
        let inbound = direction == Direction::Inbound;
        let network = inbound.then(|| network_of(address)).flatten();
        let text = network.as_deref().unwrap_or(address);
        let hash = sha256::Hash::hash(format!("{inbound} {text}").as_bytes());
        let [a, b, c, d, e, f, g, h, ..] = hash.to_byte_array();
        PeerGroup(u64::from_le_bytes([a, b, c, d, e, f, g, h]))
    }
}

fn network_of(address: &str) -> Option<String> {
    let host = address.split('/').nth(2)?;
    let ip: IpAddr = host.parse().ok()?;
    Some(match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            format!("ip4 {a} {b}")
        }
        IpAddr::V6(ip) => {
            let [a, b, ..] = ip.segments();
            format!("ip6 {a} {b}")
        }
    })
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_dialled_us_goes_by_its_network_and_whom_we_dialled_by_its_address() {
        let inbound = |address| PeerGroup::of(Direction::Inbound, address);
        let outbound = |address| PeerGroup::of(Direction::Outbound, address);
        let home = inbound("/ip4/10.1.2.3/tcp/4000");
        assert_eq!(inbound("/ip4/10.1.77.1/tcp/5"), home);
        assert_eq!(inbound("/ip6/::ffff:10.1.2.3/tcp/4000"), home);
        assert_ne!(inbound("/ip4/10.2.2.3/tcp/4000"), home);
        assert_ne!(outbound("/ip4/10.1.2.3/tcp/4000"), home);
        assert_ne!(
            outbound("/ip4/10.1.2.3/tcp/4000"),
            outbound("/ip4/10.1.2.3/tcp/4001")
        );
    }
}
