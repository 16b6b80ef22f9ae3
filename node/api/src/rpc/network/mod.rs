//! Peers, and networking on or off.

mod bans;
mod info;
mod nodes;
mod peers;

use super::args::Args;
use super::call::Handler::Read;
use super::call::{Call, Kind, Likeness, optional, required};
use super::error::Failure;
use super::reply::Reply;
use super::reply::{null, reply};
use crate::Api;

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
        handler: Read(nodes::add_node),
    },
    Call {
        name: "clearbanned",
        params: &[],
        help: "Lets every peer that was kept away come again.",
        likeness: Likeness::Core,
        handler: Read(|node, _| {
            node.act(|core, _, out| core.clear_bans(out));
            node.save_bans();
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
        handler: Read(nodes::disconnect_node),
    },
    Call {
        name: "getaddednodeinfo",
        params: &[optional("node", Kind::Text, "only this one")],
        help: "Lists the nodes that were added, and whether they are connected.",
        likeness: Likeness::Core,
        handler: Read(nodes::get_added_nodes),
    },
    Call {
        name: "getconnectioncount",
        params: &[],
        help: "Gives the number of connected peers.",
        likeness: Likeness::Core,
        handler: Read(|node, _| reply(&node.read(|core| core.peers().len()))),
    },
    Call {
        name: "getnettotals",
        params: &[],
        help: "Gives the bytes that went over the network, in all and by kind of message.",
        likeness: Likeness::Subset("messages is ours"),
        handler: Read(info::get_totals),
    },
    Call {
        name: "getnetworkinfo",
        params: &[],
        help: "Gives the state of networking. The version is that of the Bitcoin Core whose calls are spoken here.",
        likeness: Likeness::Subset("one network; peer_id and listening are ours"),
        handler: Read(info::get_info),
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
        handler: Read(info::get_addresses),
    },
    Call {
        name: "getpeerinfo",
        params: &[],
        help: "Lists the connected peers.",
        likeness: Likeness::Subset(
            "bytes are those of its streams, without encryption, and gossip that is sent counts as *other*; addresses are multiaddresses; peer_id, listens and tip are ours",
        ),
        handler: Read(peers::get_peers),
    },
    Call {
        name: "listbanned",
        params: &[],
        help: "Lists whom the node keeps away: IP addresses and peer ids.",
        likeness: Likeness::Core,
        handler: Read(bans::list_banned),
    },
    Call {
        name: "ping",
        params: &[],
        help: "Does nothing: peers are pinged all the time, and getpeerinfo gives the times.",
        likeness: Likeness::Core,
        handler: Read(|_, _| null()),
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
        handler: Read(bans::set_ban),
    },
    Call {
        name: "setnetworkactive",
        params: &[required("state", Kind::Bool, "true for on, false for off")],
        help: "Turns networking on or off. Off ends all connections and refuses new ones.",
        likeness: Likeness::Core,
        handler: Read(set_active),
    },
];

fn set_active(node: &Api, args: &Args) -> Result<Reply, Failure> {
    let active = args.flag(0, true)?;
    node.act(|core, now, out| core.set_network_active(now, active, out));
    reply(&active)
}
