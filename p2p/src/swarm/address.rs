//! Addresses as people and peers write them: multiaddresses, and plain `host:port`.

use std::net::{IpAddr, SocketAddr};

use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};

use crate::book::{Host, PeerAddress};

/// Whom to dial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// Where.
    pub(super) place: Place,
    /// Who must answer; anyone if `None`.
    pub(super) peer: Option<PeerId>,
}

/// Where a node listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// An IP address and port.
    Socket(SocketAddr),
    /// A name that has to be looked up first.
    Name {
        /// The name.
        host: String,
        /// The port.
        port: u16,
        /// Which of its addresses will do.
        family: Family,
    },
}

/// Which addresses of a name will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// Any.
    Any,
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Whether an address is of this family.
    pub(super) fn has(self, address: &SocketAddr) -> bool {
        match self {
            Family::Any => true,
            Family::V4 => address.is_ipv4(),
            Family::V6 => address.is_ipv6(),
        }
    }
}

/// Looks whether a text is an address of a node as [`SwarmConfig`](super::SwarmConfig) and [`Command`](super::Command) take it.
///
/// # Errors
///
/// In words, with an example.
pub fn check(text: &str) -> Result<(), String> {
    parse(text).map(drop)
}

/// Reads `/ip4/../tcp/..`, `/ip6/../tcp/..` or `/dns../../tcp/..`, with or without `/p2p/..`, or `host:port`.
///
/// # Errors
///
/// In words, with an example.
pub(super) fn parse(text: &str) -> Result<Target, String> {
    read(text).ok_or_else(|| {
        format!(
            "{text:?} is not an address of a node: write /ip4/127.0.0.1/tcp/9333 or 127.0.0.1:9333"
        )
    })
}

fn read(text: &str) -> Option<Target> {
    let PeerAddress { endpoint, peer_id } = PeerAddress::of_form(text).ok()?;
    let peer = peer_id.map(|id| id.parse()).transpose().ok()?;
    let port = endpoint.port;
    let place = match endpoint.host {
        Host::Ip(ip) => Place::Socket((ip, port).into()),
        Host::Name { protocol, name } => Place::Name {
            host: name,
            port,
            family: match protocol.as_str() {
                "dns4" => Family::V4,
                "dns6" => Family::V6,
                _ => Family::Any,
            },
        },
    };
    Some(Target { place, peer })
}

/// A socket address as a multiaddress.
pub(super) fn multiaddr(socket: SocketAddr) -> Multiaddr {
    let host = match socket.ip() {
        IpAddr::V4(ip) => Protocol::Ip4(ip),
        IpAddr::V6(ip) => Protocol::Ip6(ip),
    };
    Multiaddr::empty()
        .with(host)
        .with(Protocol::Tcp(socket.port()))
}

/// The IP address at the head of a multiaddress.
pub(super) fn ip_of(address: &Multiaddr) -> Option<IpAddr> {
    match address.iter().next()? {
        Protocol::Ip4(ip) => Some(ip.into()),
        Protocol::Ip6(ip) => Some(ip.into()),
        _ => None,
    }
}

/// An address that ends in the peer id of whoever listens there; `None` when it names someone else.
pub(super) fn with_peer(address: &Multiaddr, peer: PeerId) -> Option<String> {
    address
        .clone()
        .with_p2p(peer)
        .ok()
        .map(|address| address.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_people_write_them() {
        let peer = PeerId::random();
        let socket = Place::Socket("10.0.0.1:9333".parse().unwrap());
        let name = |family| Place::Name {
            host: "node-1".to_owned(),
            port: 9333,
            family,
        };
        for (text, place, peer) in [
            ("/ip4/10.0.0.1/tcp/9333".to_owned(), socket.clone(), None),
            (
                format!("/ip4/10.0.0.1/tcp/9333/p2p/{peer}"),
                socket.clone(),
                Some(peer),
            ),
            ("10.0.0.1:9333".to_owned(), socket, None),
            (
                "[::1]:9333".to_owned(),
                Place::Socket("[::1]:9333".parse().unwrap()),
                None,
            ),
            (
                "/ip6/::1/tcp/9333".to_owned(),
                Place::Socket("[::1]:9333".parse().unwrap()),
                None,
            ),
            ("node-1:9333".to_owned(), name(Family::Any), None),
            ("/dns/node-1/tcp/9333".to_owned(), name(Family::Any), None),
            ("/dns4/node-1/tcp/9333".to_owned(), name(Family::V4), None),
        ] {
            assert_eq!(parse(&text), Ok(Target { place, peer }), "{text}");
        }
    }

    #[test]
    fn other_addresses_are_refused_with_an_example() {
        for text in [
            "",
            "nonsense",
            ":9333",
            "node:99999",
            "a b:1",
            "/ip4/10.0.0.1",
            "/ip4/10.0.0.1/udp/9333/quic-v1",
            "/ip4/10.0.0.1/tcp/9333/ws",
            "/ip4/10.0.0.1/tcp/9333/p2p/nonsense",
        ] {
            let problem = parse(text).unwrap_err();
            assert!(problem.contains("/ip4/127.0.0.1/tcp/9333"), "{problem}");
        }
    }

    #[test]
    fn an_address_of_someone_else_is_not_given_a_peer_id() {
        let (peer, other) = (PeerId::random(), PeerId::random());
        let plain = multiaddr("127.0.0.1:1".parse().unwrap());
        let full = with_peer(&plain, peer).unwrap();
        assert_eq!(full, format!("/ip4/127.0.0.1/tcp/1/p2p/{peer}"));
        assert_eq!(
            with_peer(&full.parse().unwrap(), peer).as_deref(),
            Some(full.as_str())
        );
        assert_eq!(with_peer(&full.parse().unwrap(), other), None);
    }
}
