//! [`AddressGroup`]: which addresses are likely to be of one hand.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bitcoin::hashes::{Hash, sha256};

use crate::{Direction, PeerGroup};

/// Addresses that one party can have many of: an IPv4 network of 16 bits, an IPv6 network of 32 bits. On the operator's own
/// networks a group is a single address, and this machine is in no group: testnets of many nodes live there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressGroup(IpAddr);

impl AddressGroup {
    /// The group of an address; `None` on loopback. An IPv4 address in IPv6's clothes counts as what it is.
    #[must_use]
    pub fn of(ip: IpAddr) -> Option<AddressGroup> {
        let ip = ip.to_canonical();
        if ip.is_loopback() {
            return None;
        }
        Some(AddressGroup(match ip {
            ip if is_private(&ip) => ip,
            IpAddr::V4(ip) => {
                let [a, b, ..] = ip.octets();
                Ipv4Addr::new(a, b, 0, 0).into()
            }
            IpAddr::V6(ip) => {
                let [a, b, ..] = ip.segments();
                Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0).into()
            }
        }))
    }
}

impl fmt::Display for AddressGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ip if is_private(&ip) => ip.fmt(f),
            IpAddr::V4(ip) => write!(f, "{ip}/16"),
            IpAddr::V6(ip) => write!(f, "{ip}/32"),
        }
    }
}

impl PeerGroup {
    /// The group of a connection with `address` (a multiaddress, as dialled or seen). Whom we dialled stands for itself: we chose
    /// it. Who dialled us stands for its [`AddressGroup`], and all of this machine for one.
    #[must_use]
    pub fn of(direction: Direction, address: &str) -> PeerGroup {
        let ip = || address.split('/').nth(2)?.parse::<IpAddr>().ok();
        let name = match (direction, ip()) {
            (Direction::Inbound, Some(ip)) => AddressGroup::of(ip)
                .map_or_else(|| "this machine".to_owned(), |group| group.to_string()),
            _ => format!("at {address}"),
        };
        let [a, b, c, d, e, f, g, h, ..] = sha256::Hash::hash(name.as_bytes()).to_byte_array();
        PeerGroup(u64::from_le_bytes([a, b, c, d, e, f, g, h]))
    }
}

/// Whether an address is of a local network.
pub(crate) fn is_private(ip: &IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_network_are_one_group_and_this_machine_is_in_none() {
        let group = |text: &str| {
            let group = AddressGroup::of(text.parse().unwrap());
            group.map(|group| group.to_string())
        };
        for (address, expected) in [
            ("127.0.0.1", None),
            ("127.9.9.9", None),
            ("::1", None),
            ("::ffff:127.0.0.1", None),
            ("8.8.8.8", Some("8.8.0.0/16")),
            ("::ffff:8.8.4.4", Some("8.8.0.0/16")),
            ("10.1.2.3", Some("10.1.2.3")),
            ("::ffff:192.168.1.2", Some("192.168.1.2")),
            ("2001:db8:1::1", Some("2001:db8::/32")),
            ("fd00::7", Some("fd00::7")),
        ] {
            assert_eq!(group(address).as_deref(), expected, "{address}");
        }
    }

    #[test]
    fn who_dialled_us_goes_by_its_network_and_whom_we_dialled_by_its_address() {
        let inbound = |address| PeerGroup::of(Direction::Inbound, address);
        let outbound = |address| PeerGroup::of(Direction::Outbound, address);
        let far = inbound("/ip4/8.8.2.3/tcp/4000");
        assert_eq!(inbound("/ip4/8.8.77.1/tcp/5"), far);
        assert_eq!(inbound("/ip6/::ffff:8.8.2.3/tcp/4000"), far);
        assert_ne!(inbound("/ip4/8.9.2.3/tcp/4000"), far);
        assert_ne!(outbound("/ip4/8.8.2.3/tcp/4000"), far);
        let here = inbound("/ip4/127.0.0.1/tcp/4000");
        assert_eq!(inbound("/ip4/127.0.0.1/tcp/4001"), here);
        let dialled = outbound("/ip4/127.0.0.1/tcp/4000");
        assert_ne!(outbound("/ip4/127.0.0.1/tcp/4001"), dialled);
    }
}
