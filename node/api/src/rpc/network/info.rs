//! What the node is on the network: versions, addresses, bytes.

use std::collections::BTreeMap;

use p2p::swarm::Channel;
use serde::Serialize;
use serde_json::{Value, json};

use crate::Api;
use crate::rpc::args::Args;
use crate::rpc::blockchain::warnings;
use crate::rpc::error::Failure;
use crate::rpc::mempool::rate;
use crate::rpc::model::Btc;
use crate::rpc::reply::Reply;
use crate::rpc::reply::reply;
use node_core::mempool::policy;
use node_host::unix_millis;

/// What tools take for the version of Bitcoin Core: its calls are what they find here.
const CORE_VERSION: u32 = 310_000;

pub(super) fn get_totals(node: &Api, _: &Args) -> Result<Reply, Failure> {
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

pub(super) fn get_info(node: &Api, _: &Args) -> Result<Reply, Failure> {
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

pub(super) fn get_addresses(node: &Api, args: &Args) -> Result<Reply, Failure> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_and_port_are_found_in_multiaddresses() {
        let full = "/ip4/10.0.0.1/tcp/1/p2p/12D3KooW";
        assert_eq!(host_and_port(full), Some(("10.0.0.1", 1)));
        assert_eq!(host_and_port("/dns/x/udp/1"), None);
    }
}
