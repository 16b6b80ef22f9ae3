//! [`PeerAddress`]: the multiaddresses that we dial, parsed and judged.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use crate::budget::{AddressGroup, is_private};
use crate::wire::limits::MAX_ADDRESS_BYTES;

/// Where a node listens: `/ip4/HOST/tcp/PORT`, `/ip6/..` or `/dns/..`, with or without `/p2p/PEER_ID` at the end.
/// `HOST:PORT` is read, too, as people write it. The one reader of addresses: the swarm's dials and listeners use it as well.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerAddress {
    /// Where.
    pub endpoint: Endpoint,
    /// Who, as libp2p writes peer ids.
    pub peer_id: Option<String>,
}

/// Host and TCP port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// IP address or name.
    pub host: Host,
    /// TCP port, never 0.
    pub port: u16,
}

/// The host part of an address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// An IP address.
    Ip(IpAddr),
    /// A name, with the protocol that says how to resolve it: `dns`, `dns4` or `dns6`.
    Name {
        /// The protocol.
        protocol: String,
        /// The name.
        name: String,
    },
}

/// Why an address is not one that can be dialled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not of the form that we dial.
    #[error(
        "{address:?} is not an address; write /ip4/HOST/tcp/PORT, as in /ip4/127.0.0.1/tcp/18444"
    )]
    Form {
        /// What was given.
        address: String,
    },
    /// Nobody can be reached there.
    #[error("{address} cannot be reached: {reason}; give the address that the node listens on")]
    Unroutable {
        /// What was given.
        address: String,
        /// In words.
        reason: &'static str,
    },
}

/// How far an address reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// This machine.
    Loopback,
    /// The local network.
    Private,
    /// Everywhere, as far as the address tells.
    Public,
}

impl PeerAddress {
    /// How far it reaches.
    pub fn reach(&self) -> Reach {
        self.endpoint.reach()
    }
}

impl Endpoint {
    /// How far it reaches.
    pub fn reach(&self) -> Reach {
        match &self.host {
            Host::Ip(ip) if ip.is_loopback() => Reach::Loopback,
            Host::Ip(ip) if is_private(ip) => Reach::Private,
            Host::Ip(_) => Reach::Public,
            Host::Name { name, .. } if name == "localhost" => Reach::Loopback,
            Host::Name { .. } => Reach::Public,
        }
    }

    /// The group of addresses that it is in; `None` on this machine, and for names.
    pub fn group(&self) -> Option<AddressGroup> {
        match &self.host {
            Host::Ip(ip) => AddressGroup::of(*ip),
            Host::Name { .. } => None,
        }
    }
}

impl PeerAddress {
    /// Reads an address by its form alone: one to listen on may have port 0 or stand for all addresses of a machine.
    ///
    /// # Errors
    ///
    /// [`AddressError::Form`].
    pub fn of_form(text: &str) -> Result<PeerAddress, AddressError> {
        let address = match text {
            text if text.len() > MAX_ADDRESS_BYTES => None,
            text if text.starts_with('/') => read_multiaddress(text),
            text => read_plain(text),
        };
        address.ok_or_else(|| AddressError::Form {
            address: text.chars().take(100).collect(),
        })
    }
}

impl FromStr for PeerAddress {
    type Err = AddressError;

    /// Reads an address that can be dialled.
    fn from_str(text: &str) -> Result<PeerAddress, AddressError> {
        let address = PeerAddress::of_form(text)?;
        let reason = match &address.endpoint.host {
            _ if address.endpoint.port == 0 => Some("port 0 stands for no port"),
            Host::Ip(ip) => why_unroutable(ip),
            Host::Name { .. } => None,
        };
        match reason {
            Some(reason) => Err(AddressError::Unroutable {
                address: text.to_owned(),
                reason,
            }),
            None => Ok(address),
        }
    }
}

fn read_multiaddress(text: &str) -> Option<PeerAddress> {
    let mut parts = text.strip_prefix('/')?.split('/');
    let (protocol, host) = (parts.next()?, parts.next()?);
    let host = match protocol {
        "ip4" => Host::Ip(host.parse::<Ipv4Addr>().ok()?.into()),
        // An IPv4 address in IPv6's clothes is an IPv4 address.
        "ip6" => Host::Ip(IpAddr::from(host.parse::<Ipv6Addr>().ok()?).to_canonical()),
        "dns" | "dns4" | "dns6" => named(protocol, host)?,
        _ => return None,
    };
    if parts.next()? != "tcp" {
        return None;
    }
    let port = parts.next()?.parse().ok()?;
    let peer_id = match (parts.next(), parts.next(), parts.next()) {
        (None, ..) => None,
        (Some("p2p"), Some(id), None) if is_peer_id(id) => Some(id.to_owned()),
        _ => return None,
    };
    Some(PeerAddress {
        endpoint: Endpoint { host, port },
        peer_id,
    })
}

/// As people write it: `HOST:PORT`.
fn read_plain(text: &str) -> Option<PeerAddress> {
    let endpoint = match text.parse::<SocketAddr>() {
        Ok(socket) => Endpoint {
            host: Host::Ip(socket.ip().to_canonical()),
            port: socket.port(),
        },
        Err(_) => {
            let (host, port) = text.rsplit_once(':')?;
            Endpoint {
                host: named("dns", host)?,
                port: port.parse().ok()?,
            }
        }
    };
    Some(PeerAddress {
        endpoint,
        peer_id: None,
    })
}

fn named(protocol: &str, name: &str) -> Option<Host> {
    is_name(name).then(|| Host::Name {
        protocol: protocol.to_owned(),
        name: name.to_ascii_lowercase(),
    })
}

fn why_unroutable(ip: &IpAddr) -> Option<&'static str> {
    match ip {
        ip if ip.is_unspecified() => Some("it stands for all addresses of a machine"),
        ip if ip.is_multicast() => Some("it is a multicast address"),
        IpAddr::V4(ip) if ip.is_broadcast() => Some("it is the broadcast address"),
        IpAddr::V6(ip) if ip.is_unicast_link_local() => Some("it is only valid on one link"),
        _ => None,
    }
}

fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    !name.is_empty() && name.len() <= 253 && name.chars().all(allowed)
}

/// Peer ids are base 58, 46 to 64 characters; whether one is right only libp2p can tell.
fn is_peer_id(id: &str) -> bool {
    (40..=70).contains(&id.len()) && id.chars().all(|c| c.is_ascii_alphanumeric())
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Ip(IpAddr::V4(ip)) => write!(f, "/ip4/{ip}/tcp/{}", self.port),
            Host::Ip(IpAddr::V6(ip)) => write!(f, "/ip6/{ip}/tcp/{}", self.port),
            Host::Name { protocol, name } => write!(f, "/{protocol}/{name}/tcp/{}", self.port),
        }
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.peer_id {
            Some(id) => write!(f, "{}/p2p/{id}", self.endpoint),
            None => self.endpoint.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "12D3KooWLbbYx2tV6hFQ3Uq9xFfTn8Zz5tq9Hn5dRk3yWbTc1234";

    #[test]
    fn good_addresses_come_out_as_they_went_in() {
        for text in [
            "/ip4/127.0.0.1/tcp/18444".to_owned(),
            format!("/ip4/10.1.2.3/tcp/1/p2p/{ID}"),
            "/ip6/2001:db8::1/tcp/65535".to_owned(),
            format!("/dns/node.example/tcp/18444/p2p/{ID}"),
        ] {
            let address: PeerAddress = text.parse().expect("well-formed");
            assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn host_and_port_are_read_as_people_write_them() {
        let written = |text: &str| {
            text.parse::<PeerAddress>()
                .expect("well-formed")
                .to_string()
        };
        assert_eq!(written("127.0.0.1:18444"), "/ip4/127.0.0.1/tcp/18444");
        assert_eq!(written("[::1]:18444"), "/ip6/::1/tcp/18444");
        assert_eq!(written("Node-1:18444"), "/dns/node-1/tcp/18444");
    }

    #[test]
    fn other_forms_are_refused_with_an_example() {
        for text in [
            "",
            "127.0.0.1",
            "/ip4/127.0.0.1",
            "/ip4/127.0.0.1/udp/1",
            "/ip4/127.0.0.1/tcp/70000",
            "/ip4/300.0.0.1/tcp/1",
            "/ip4/127.0.0.1/tcp/1/p2p/short",
            "/ip4/127.0.0.1/tcp/1/ws",
            "/dns/../tcp/1/p2p",
            "/dns/a b/tcp/1",
        ] {
            let error = text.parse::<PeerAddress>().expect_err(text);
            assert!(
                matches!(error, AddressError::Form { .. }),
                "{text}: {error}"
            );
            assert!(error.to_string().contains("/ip4/127.0.0.1/tcp/18444"));
        }
    }

    #[test]
    fn case_55_addresses_where_nobody_is_are_refused() {
        for text in [
            "/ip4/0.0.0.0/tcp/1",
            "/ip4/224.0.0.1/tcp/1",
            "/ip4/255.255.255.255/tcp/1",
            "/ip4/127.0.0.1/tcp/0",
            "/ip6/::/tcp/1",
            "/ip6/fe80::1/tcp/1",
        ] {
            let error = text.parse::<PeerAddress>().expect_err(text);
            assert!(
                matches!(error, AddressError::Unroutable { .. }),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn reach_follows_the_host() {
        let reach = |text: &str| text.parse::<PeerAddress>().expect("well-formed").reach();
        assert_eq!(reach("/ip4/127.0.0.9/tcp/1"), Reach::Loopback);
        assert_eq!(reach("/dns/localhost/tcp/1"), Reach::Loopback);
        assert_eq!(reach("/ip4/192.168.0.1/tcp/1"), Reach::Private);
        assert_eq!(reach("/ip6/fd00::1/tcp/1"), Reach::Private);
        assert_eq!(reach("/ip4/8.8.8.8/tcp/1"), Reach::Public);
        assert_eq!(reach("/ip6/::ffff:127.0.0.1/tcp/1"), Reach::Loopback);
        assert_eq!(reach("/ip6/::ffff:10.0.0.1/tcp/1"), Reach::Private);
    }
}
