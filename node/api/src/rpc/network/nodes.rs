//! Nodes by address: added, removed, disconnected.

use p2p::{Direction, PeerNum};
use serde::Serialize;
use serde_json::{Value, json};

use crate::Api;
use crate::rpc::args::Args;
use crate::rpc::error::{Failure, code};
use crate::rpc::reply::Reply;
use crate::rpc::reply::{null, reply};
use node_core::{AddNode, AddNodeError, PeerInfo};
use p2p::book::PeerAddress;

/// A multiaddress, also from HOST:PORT as Bitcoin's scripts write it.
fn multiaddress(text: &str) -> String {
    match PeerAddress::of_form(text) {
        Ok(address) => address.to_string(),
        // Whoever takes it says what is wrong with it.
        Err(_) => text.to_owned(),
    }
}

pub(super) fn add_node(node: &Api, args: &Args) -> Result<Reply, Failure> {
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

pub(super) fn disconnect_node(node: &Api, args: &Args) -> Result<Reply, Failure> {
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
    /// Why there is no connection (Mend's own).
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

pub(super) fn get_added_nodes(node: &Api, args: &Args) -> Result<Reply, Failure> {
    let only = args.opt_text(0)?.map(multiaddress);
    let nodes = node.read(|core| {
        let wanted = core
            .added_nodes()
            .filter(|named| only.as_deref().is_none_or(|only| only == named.address));
        let shown = wanted.map(|named| {
            let peer = named.peer.and_then(|peer| core.peers().get(peer));
            let connection =
                |peer: &PeerInfo| json!({"address": peer.address, "connected": way(peer)});
            AddedNode {
                addednode: named.address,
                connected: peer.is_some(),
                addresses: peer.map(connection).into_iter().collect(),
                error: named.problem,
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
    }
}
