//! Peers, and networking on or off.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use bitcoin::BlockHash;
use chain::Timestamp;
use p2p::swarm::Channel;
use p2p::{Direction, PeerNum};
use serde::Serialize;
use serde_json::{Value, json};

use super::args::Args;
use super::blockchain::warnings;
use super::error::{Failure, code};
use super::mempool::rate;
use super::model::{Btc, work_hex};
use super::registry::Handler::Works;
use super::registry::{Call, Kind, Likeness, optional, required};
use super::request::Reply;
use super::server::{null, reply};
use crate::core::{AddNode, AddNodeError, NodeCore, PeerInfo};
use crate::host::{NodeHandle, unix_millis};
use crate::mempool::policy;

/// How long a ban lasts if nothing is said: a day, as in Bitcoin Core.
const DEFAULT_BAN_S: u32 = 86_400;
/// What tools take for the version of Bitcoin Core: its calls are what they find here.
const CORE_VERSION: u32 = 310_000;

/// The calls of this file.
pub(super) const CALLS: &[Call] = &[
    Call {
        name: "addnode",
        params: &[
            required("node", Kind::Text, "a multiaddress or HOST:PORT"),
            required("command", Kind::Text, "add, remove or onetry"),
            optional("v2transport", Kind::Bool, "taken for compatibility"),
        ],
        help: "Adds a node to those that are always dialled again, removes it from them, or dials it once.",
        likeness: Likeness::Core,
        handler: Works(add_node),
    },
    Call {
        name: "clearbanned",
        params: &[],
        help: "Lets every peer that was kept away come again.",
        likeness: Likeness::Core,
        handler: Works(|node, _| {
            node.act(|core, _, out| core.clear_bans(out));
            null()
        }),
    },
    Call {
        name: "disconnectnode",
        params: &[
            optional(
                "address",
                Kind::Text,
                "the peer's address as getpeerinfo gives it",
            ),
            optional(
                "nodeid",
                Kind::Number,
                "the peer's id as getpeerinfo gives it",
            ),
        ],
        help: "Ends the connection to a peer, named by its address or its id.",
        likeness: Likeness::Core,
        handler: Works(disconnect_node),
    },
    Call {
        name: "getaddednodeinfo",
        params: &[optional("node", Kind::Text, "only this one")],
        help: "Lists the nodes that were added, and whether they are connected.",
        likeness: Likeness::Core,
        handler: Works(get_added_nodes),
    },
    Call {
        name: "getconnectioncount",
        params: &[],
        help: "Gives the number of connected peers.",
        likeness: Likeness::Core,
        handler: Works(|node, _| reply(&node.read(|core| core.peers().len()))),
    },
    Call {
        name: "getnettotals",
        params: &[],
        help: "Gives the bytes that went over the network, in all and by kind of message.",
        likeness: Likeness::Subset("messages is ours"),
        handler: Works(get_totals),
    },
    Call {
        name: "getnetworkinfo",
        params: &[],
        help: "Gives the state of networking. The version is that of the Bitcoin Core whose calls are spoken here.",
        likeness: Likeness::Subset("one network; peer_id and listening are ours"),
        handler: Works(get_info),
    },
    Call {
        name: "getnodeaddresses",
        params: &[
            optional(
                "count",
                Kind::Number,
                "how many at most; 1 by default, 0 for all",
            ),
            optional("network", Kind::Text, "taken for compatibility"),
        ],
        help: "Lists addresses on which connected peers listen.",
        likeness: Likeness::Subset("of connected peers only; multiaddress is ours"),
        handler: Works(get_addresses),
    },
    Call {
        name: "getpeerinfo",
        params: &[],
        help: "Lists the connected peers.",
        likeness: Likeness::Subset(
            "bytes are not counted by peer and given as 0; addresses are multiaddresses; peer_id, listens and tip are ours",
        ),
        handler: Works(get_peers),
    },
    Call {
        name: "listbanned",
        params: &[],
        help: "Lists whom the node keeps away: IP addresses and peer ids.",
        likeness: Likeness::Core,
        handler: Works(list_banned),
    },
    Call {
        name: "ping",
        params: &[],
        help: "Does nothing: peers are pinged all the time, and getpeerinfo gives the times.",
        likeness: Likeness::Core,
        handler: Works(|_, _| null()),
    },
    Call {
        name: "setban",
        params: &[
            required("subnet", Kind::Text, "an IP address or a peer id"),
            required("command", Kind::Text, "add or remove"),
            optional(
                "bantime",
                Kind::Number,
                "seconds, or a Unix time if absolute; a day by default",
            ),
            optional("absolute", Kind::Bool, "whether bantime is a Unix time"),
        ],
        help: "Keeps an address or an identity away, or lets it come again.",
        likeness: Likeness::Subset("no subnets but single addresses; peer ids are ours"),
        handler: Works(set_ban),
    },
    Call {
        name: "setnetworkactive",
        params: &[required("state", Kind::Bool, "true for on, false for off")],
        help: "Turns networking on or off. Off ends all connections and refuses new ones.",
        likeness: Likeness::Core,
        handler: Works(set_active),
    },
];

/// A multiaddress, also from HOST:PORT as Bitcoin's scripts write it.
fn multiaddress(text: &str) -> String {
    match text.parse::<SocketAddr>() {
        Ok(SocketAddr::V4(address)) => format!("/ip4/{}/tcp/{}", address.ip(), address.port()),
        Ok(SocketAddr::V6(address)) => format!("/ip6/{}/tcp/{}", address.ip(), address.port()),
        Err(_) => match text.rsplit_once(':') {
            Some((host, port)) if !host.contains('/') && port.parse::<u16>().is_ok() => {
                format!("/dns/{host}/tcp/{port}")
            }
            _ => text.to_owned(),
        },
    }
}

fn add_node(node: &NodeHandle, args: &Args) -> Result<Reply, Failure> {
    let address = multiaddress(args.text(0)?);
    let how = match args.text(1)? {
        "add" => AddNode::Add,
        "remove" => AddNode::Remove,
        "onetry" => AddNode::OneTry,
        other => {
            let text = format!("command must be add, remove or onetry, not {other}");
            return Err(Failure::misc(text));
        }
    };
    let added = node.act(|core, now, out| core.add_node(now, &address, how, out));
    match added {
        Ok(()) => null(),
        Err(error) => Err(add_node_failure(&error)),
    }
}

fn add_node_failure(error: &AddNodeError) -> Failure {
    match error {
        AddNodeError::AlreadyAdded => {
            Failure::new(code::NODE_ALREADY_ADDED, "Error: Node already added")
        }
        AddNodeError::NotAdded => Failure::new(
            code::NODE_NOT_ADDED,
            "Error: Node could not be removed. It has not been added previously.",
        ),
        other => Failure::invalid(other.to_string()),
    }
}

fn disconnect_node(node: &NodeHandle, args: &Args) -> Result<Reply, Failure> {
    let address = args.opt_text(0)?.filter(|text| !text.is_empty());
    let number = args.opt_int(1)?;
    let found = match (address, number) {
        (Some(address), None) => {
            let address = multiaddress(address);
            node.act(|core, _, out| core.disconnect_address(&address, out))
        }
        (None, Some(number)) => {
            let peer = PeerNum(u64::try_from(number).unwrap_or(u64::MAX));
            node.act(|core, _, out| core.disconnect_peer(peer, out))
        }
        _ => {
            let text = "Only one of address and nodeid should be provided.";
            return Err(Failure::new(-32_602, text));
        }
    };
    if found {
        null()
    } else {
        let text = "Node not found in connected nodes";
        Err(Failure::new(code::NODE_NOT_CONNECTED, text))
    }
}

#[derive(Serialize)]
struct AddedNode {
    addednode: String,
    connected: bool,
    addresses: Vec<Value>,
}

fn get_added_nodes(node: &NodeHandle, args: &Args) -> Result<Reply, Failure> {
    let only = args.opt_text(0)?.map(multiaddress);
    let nodes = node.read(|core| {
        let wanted = core
            .added_nodes()
            .filter(|(address, _)| only.as_deref().is_none_or(|only| only == *address));
        let shown = wanted.map(|(address, peer)| {
            let peer = peer.and_then(|peer| core.peers().get(peer));
            let connection =
                |peer: &PeerInfo| json!({"address": peer.address, "connected": way(peer)});
            AddedNode {
                addednode: address.to_owned(),
                connected: peer.is_some(),
                addresses: peer.map(connection).into_iter().collect(),
            }
        });
        shown.collect::<Vec<AddedNode>>()
    });
    if only.is_some() && nodes.is_empty() {
        let text = "Error: Node has not been added.";
        return Err(Failure::new(code::NODE_NOT_ADDED, text));
    }
    reply(&nodes)
}

fn way(peer: &PeerInfo) -> &'static str {
    match peer.direction {
        Direction::Inbound => "inbound",
        Direction::Outbound => "outbound",
    }
}

fn get_totals(node: &NodeHandle, _: &Args) -> Result<Reply, Failure> {
    let traffic = node.traffic();
    let wire = traffic.wire();
    let kinds = traffic.kinds().map(|kind| {
        json!({
            "channel": match kind.channel {
                Channel::Request => "request",
                Channel::Response => "response",
                Channel::Gossip => "gossip",
            },
            "kind": kind.kind,
            "received": kind.received_messages,
            "bytesrecv": kind.received_bytes,
            "sent": kind.sent_messages,
            "bytessent": kind.sent_bytes,
        })
    });
    reply(&json!({
        "totalbytesrecv": wire.received_bytes,
        "totalbytessent": wire.sent_bytes,
        "timemillis": unix_millis(),
        // There is no limit, and so nothing is left of it.
        "uploadtarget": {
            "timeframe": 86_400,
            "target": 0,
            "target_reached": false,
            "serve_historical_blocks": true,
            "bytes_left_in_cycle": 0,
            "time_left_in_cycle": 0,
        },
        "messages": kinds.collect::<Vec<Value>>(),
    }))
}

#[derive(Serialize)]
struct NetworkInfo {
    version: u32,
    subversion: String,
    protocolversion: u32,
    localservices: &'static str,
    localservicesnames: [&'static str; 2],
    localrelay: bool,
    timeoffset: i64,
    connections: usize,
    connections_in: usize,
    connections_out: usize,
    networkactive: bool,
    networks: Vec<Network>,
    relayfee: Btc,
    incrementalfee: Btc,
    localaddresses: Vec<Value>,
    warnings: Vec<String>,
    peer_id: String,
    listening: Vec<String>,
}

#[derive(Serialize)]
struct Network {
    name: &'static str,
    limited: bool,
    reachable: bool,
    proxy: &'static str,
    proxy_randomize_credentials: bool,
}

fn get_info(node: &NodeHandle, _: &Args) -> Result<Reply, Failure> {
    let listening = node.listening();
    let peer_id = listening
        .first()
        .and_then(|address| address.rsplit_once("/p2p/"));
    let peer_id = peer_id.map(|(_, id)| id.to_owned()).unwrap_or_default();
    let networks = ["ipv4", "ipv6"].map(|name| Network {
        name,
        limited: false,
        reachable: true,
        proxy: "",
        proxy_randomize_credentials: false,
    });
    let info = node.read(|core| {
        let connections = core.peers().len();
        let connections_out = core.peers().outbound();
        NetworkInfo {
            version: CORE_VERSION,
            // Tools look for Satoshi to learn which calls to expect.
            subversion: format!("/Satoshi:31.0.0(mend:{})/", env!("CARGO_PKG_VERSION")),
            protocolversion: 70_016,
            // NODE_NETWORK and NODE_WITNESS
            localservices: "0000000000000009",
            localservicesnames: ["NETWORK", "WITNESS"],
            localrelay: true,
            timeoffset: 0,
            connections,
            connections_in: connections - connections_out,
            connections_out,
            networkactive: core.is_network_active(),
            networks: networks.into_iter().collect(),
            relayfee: rate(policy::MIN_RELAY_FEE),
            incrementalfee: rate(policy::INCREMENTAL_RELAY_FEE),
            localaddresses: Vec::new(),
            warnings: warnings(core),
            peer_id,
            listening,
        }
    });
    reply(&info)
}

fn get_addresses(node: &NodeHandle, args: &Args) -> Result<Reply, Failure> {
    let count = args.opt_int(0)?.unwrap_or(1);
    let count =
        usize::try_from(count).map_err(|_| Failure::invalid("Address count out of range"))?;
    let limit = if count == 0 { usize::MAX } else { count };
    let known = node.read(|core| {
        let mut known = BTreeMap::new();
        for peer in core.peers().iter() {
            let seen = peer.last_message.unwrap_or(peer.connected_at);
            known.extend(peer.listens.iter().map(|address| (address.clone(), seen)));
        }
        known
    });
    let shown = known.iter().filter_map(|(multiaddress, seen)| {
        let (host, port) = host_and_port(multiaddress)?;
        Some(json!({
            "time": seen,
            "services": 9,
            "address": host,
            "port": port,
            "network": if host.contains(':') { "ipv6" } else { "ipv4" },
            "multiaddress": multiaddress,
        }))
    });
    reply(&shown.take(limit).collect::<Vec<Value>>())
}

/// Host and TCP port in a multiaddress.
fn host_and_port(multiaddress: &str) -> Option<(&str, u16)> {
    let mut parts = multiaddress.split('/').skip(2);
    let host = parts.next()?;
    let port = parts
        .next()
        .filter(|part| *part == "tcp")
        .and(parts.next())?;
    Some((host, port.parse().ok()?))
}

#[derive(Serialize)]
struct Peer {
    id: u64,
    addr: String,
    addrbind: String,
    network: &'static str,
    services: &'static str,
    servicesnames: [&'static str; 2],
    relaytxes: bool,
    lastsend: u32,
    lastrecv: u32,
    last_transaction: u32,
    last_block: u32,
    bytessent: u64,
    bytesrecv: u64,
    conntime: Timestamp,
    timeoffset: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pingtime: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    minping: Option<f64>,
    version: u32,
    subver: String,
    inbound: bool,
    startingheight: i64,
    bytessent_per_msg: BTreeMap<String, u64>,
    bytesrecv_per_msg: BTreeMap<String, u64>,
    connection_type: &'static str,
    transport_protocol_type: &'static str,
    synced_headers: i64,
    synced_blocks: i64,
    inflight: Vec<u32>,
    peer_id: String,
    listens: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tip: Option<Tip>,
}

#[derive(Serialize)]
struct Tip {
    hash: BlockHash,
    height: u32,
    chainwork: String,
}

fn get_peers(node: &NodeHandle, _: &Args) -> Result<Reply, Failure> {
    let own = node.listening().into_iter().next().unwrap_or_default();
    let peers = node.read(|core| {
        let shown = core.peers().iter().map(|peer| shown_peer(core, peer, &own));
        shown.collect::<Vec<Peer>>()
    });
    reply(&peers)
}

#[expect(clippy::cast_precision_loss, reason = "a time for people")]
fn shown_peer(core: &NodeCore, peer: &PeerInfo, own: &str) -> Peer {
    let sync = core.sync_peer(peer.num);
    let status = sync.as_ref().and_then(|sync| sync.status);
    let seconds = |micros: Option<u64>| micros.map(|micros| micros as f64 / 1e6);
    let time = |time: Option<Timestamp>| time.map_or(0, |time| time.0);
    let outbound = peer.direction == Direction::Outbound;
    let known = status.and_then(|status| core.chain().tree().get(&status.hash));
    let heights = sync.iter().flat_map(|sync| &sync.in_flight);
    let inflight = heights.filter_map(|hash| core.chain().tree().get(hash));
    Peer {
        id: peer.num.0,
        addr: peer.address.clone(),
        addrbind: own.to_owned(),
        network: if peer.address.starts_with("/ip6") {
            "ipv6"
        } else {
            "ipv4"
        },
        services: "0000000000000009",
        servicesnames: ["NETWORK", "WITNESS"],
        relaytxes: true,
        lastsend: time(peer.last_message),
        lastrecv: time(peer.last_message),
        last_transaction: time(peer.last_transaction),
        last_block: time(peer.last_block),
        // Clients want the fields; the bytes are counted for all peers together, in getnettotals.
        bytessent: 0,
        bytesrecv: 0,
        bytessent_per_msg: BTreeMap::new(),
        bytesrecv_per_msg: BTreeMap::new(),
        // Not told by peers, as Bitcoin Core's word for it is.
        startingheight: -1,
        conntime: peer.connected_at,
        timeoffset: 0,
        pingtime: seconds(peer.ping_micros),
        minping: seconds(peer.min_ping_micros),
        version: 70_016,
        subver: peer.agent.clone(),
        inbound: !outbound,
        connection_type: if outbound {
            "outbound-full-relay"
        } else {
            "inbound"
        },
        transport_protocol_type: "noise",
        // What of its chain is known here: -1 while nothing is.
        synced_headers: known.map_or(-1, |info| i64::from(info.height.0)),
        synced_blocks: known
            .filter(|info| info.status.has_body)
            .map_or(-1, |info| i64::from(info.height.0)),
        inflight: inflight.map(|info| info.height.0).collect(),
        peer_id: peer.peer_id.clone(),
        listens: peer.listens.clone(),
        tip: status.map(|status| Tip {
            hash: status.hash,
            height: status.height.0,
            chainwork: work_hex(status.chain_work),
        }),
    }
}

fn list_banned(node: &NodeHandle, _: &Args) -> Result<Reply, Failure> {
    let now = node.now().wall;
    let bans = node.read(|core| {
        let bans = core.bans().map(|(subject, ban)| {
            json!({
                "address": subject,
                "ban_created": ban.created,
                "banned_until": ban.until,
                "ban_duration": ban.until.0.saturating_sub(ban.created.0),
                "time_remaining": ban.until.0.saturating_sub(now.0),
                "ban_reason": ban.reason,
            })
        });
        bans.collect::<Vec<Value>>()
    });
    reply(&bans)
}

fn set_ban(node: &NodeHandle, args: &Args) -> Result<Reply, Failure> {
    let subject = ban_subject(args.text(0)?)?;
    match args.text(1)? {
        "add" => {
            let now = node.now().wall;
            let seconds = ban_seconds(args.opt_int(2)?.unwrap_or(0), args.flag(3, false)?, now)?;
            let known = node.read(|core| core.bans().any(|(known, _)| known == subject));
            if known {
                let text = "Error: IP/Subnet already banned";
                return Err(Failure::new(code::NODE_ALREADY_ADDED, text));
            }
            node.act(|core, now, out| core.ban(now, &subject, seconds, out));
            null()
        }
        "remove" => {
            if node.act(|core, _, out| core.unban(&subject, out)) {
                return null();
            }
            let text =
                "Error: Unban failed. Requested address/subnet was not previously manually banned.";
            Err(Failure::new(code::INVALID_IP_OR_SUBNET, text))
        }
        other => Err(Failure::misc(format!(
            "command must be add or remove, not {other}"
        ))),
    }
}

/// An IP address, perhaps with a mask for it alone, or a peer id.
fn ban_subject(text: &str) -> Result<String, Failure> {
    let alone = text
        .strip_suffix("/32")
        .or_else(|| text.strip_suffix("/128"))
        .unwrap_or(text);
    let is_peer_id = alone.len() > 40 && alone.chars().all(|c| c.is_ascii_alphanumeric());
    if alone.parse::<std::net::IpAddr>().is_ok() || is_peer_id {
        return Ok(alone.to_owned());
    }
    let text = format!("Error: Invalid IP/Subnet: {text} is neither an IP address nor a peer id");
    Err(Failure::new(code::INVALID_IP_OR_SUBNET, text))
}

fn ban_seconds(given: i64, absolute: bool, now: Timestamp) -> Result<u32, Failure> {
    let seconds = match given {
        0 => return Ok(DEFAULT_BAN_S),
        given if absolute => given - i64::from(now.0),
        given => given,
    };
    match u32::try_from(seconds) {
        Ok(seconds) if seconds > 0 => Ok(seconds),
        _ => Err(Failure::invalid(
            "Error: Absolute timestamp is in the past, or bantime is out of range",
        )),
    }
}

fn set_active(node: &NodeHandle, args: &Args) -> Result<Reply, Failure> {
    let active = args.flag(0, true)?;
    node.act(|core, now, out| core.set_network_active(now, active, out));
    reply(&active)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bitcoins_addresses_become_multiaddresses() {
        assert_eq!(multiaddress("127.0.0.1:18444"), "/ip4/127.0.0.1/tcp/18444");
        assert_eq!(multiaddress("[::1]:5"), "/ip6/::1/tcp/5");
        assert_eq!(multiaddress("node.example:5"), "/dns/node.example/tcp/5");
        let full = "/ip4/10.0.0.1/tcp/1/p2p/12D3KooW";
        assert_eq!(multiaddress(full), full);
        assert_eq!(host_and_port(full), Some(("10.0.0.1", 1)));
        assert_eq!(host_and_port("/dns/x/udp/1"), None);
    }

    #[test]
    fn bans_are_for_addresses_and_identities() {
        assert_eq!(ban_subject("10.0.0.1/32").as_deref(), Ok("10.0.0.1"));
        assert!(ban_subject("12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp").is_ok());
        assert_eq!(ban_subject("10.0.0.0/8").expect_err("a net").code, -30);
        let now = Timestamp(1_000);
        assert_eq!(ban_seconds(0, false, now), Ok(86_400));
        assert_eq!(ban_seconds(1_010, true, now), Ok(10));
        assert!(ban_seconds(900, true, now).is_err());
    }
}
