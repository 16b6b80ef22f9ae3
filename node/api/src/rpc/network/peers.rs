//! `getpeerinfo`.

use std::collections::BTreeMap;

use bitcoin::BlockHash;
use chain::Timestamp;
use p2p::Direction;
use p2p::swarm::{KindTraffic, PeerTraffic};
use serde::Serialize;

use crate::Api;
use crate::rpc::args::Args;
use crate::rpc::error::Failure;
use crate::rpc::model::work_hex;
use crate::rpc::reply::Reply;
use crate::rpc::reply::reply;
use node_core::{NodeCore, PeerInfo};

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

/// What is in the streams beside messages of ours: gossip that is sent, identify, ping, and how protocols are agreed on.
const OTHER: &str = "*other*";

impl Peer {
    fn count(&mut self, traffic: &PeerTraffic) {
        self.bytessent = traffic.streams.sent_bytes;
        self.bytesrecv = traffic.streams.received_bytes;
        let by_kind = |bytes: fn(&KindTraffic) -> u64, whole: u64| {
            let counted = traffic.kinds.iter().filter(|kind| bytes(kind) > 0);
            let named = counted.map(|kind| {
                (
                    format!("{}:{}", kind.channel.name(), kind.kind),
                    bytes(kind),
                )
            });
            let mut by_kind: BTreeMap<String, u64> = named.collect();
            let rest = whole.saturating_sub(by_kind.values().sum());
            by_kind.insert(OTHER.to_owned(), rest);
            by_kind
        };
        self.bytessent_per_msg = by_kind(|kind| kind.sent_bytes, self.bytessent);
        self.bytesrecv_per_msg = by_kind(|kind| kind.received_bytes, self.bytesrecv);
    }
}

pub(super) fn get_peers(node: &Api, _: &Args) -> Result<Reply, Failure> {
    let own = node.listening().into_iter().next().unwrap_or_default();
    let mut peers = node.read(|core| {
        let shown = core.peers().iter().map(|peer| shown_peer(core, peer, &own));
        shown.collect::<Vec<Peer>>()
    });
    // Counters of their own: the core is not held for them.
    for peer in &mut peers {
        if let Some(traffic) = node.traffic().peer(&peer.peer_id) {
            peer.count(&traffic);
        }
    }
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
