//! Addresses, fees, clocks and other odds.

use chain::Timestamp;
use serde_json::json;

use super::args::{Args, address_from};
use super::call::Handler::Read;
use super::call::{Call, Kind, Likeness, optional, required};
use super::error::Failure;
use super::mempool::rate;
use super::model::descriptor;
use super::reply::Reply;
use super::reply::{null, reply};
use crate::Api;
use node_core::Input;
use node_core::mempool::policy;
use node_host::Message;

/// The calls of this file.
pub(super) const CALLS: &[Call] = &[
    Call {
        name: "estimatesmartfee",
        params: &[
            required(
                "conf_target",
                Kind::Number,
                "blocks to wait at most, 1 to 1008",
            ),
            optional("estimate_mode", Kind::Text, "taken for compatibility"),
        ],
        help: "Gives a fee rate in BTC per 1000 virtual bytes that gets a transaction confirmed. It always answers: with what the mempool \
               asks, or what its best block's worth of transactions pay, and never less than the relay fee.",
        likeness: Likeness::Subset(
            "from the mempool of the moment, not from history; never an error",
        ),
        handler: Read(estimate_fee),
    },
    Call {
        name: "getdescriptorinfo",
        params: &[required(
            "descriptor",
            Kind::Text,
            "a descriptor, with or without checksum",
        )],
        help: "Checks a descriptor and gives its checksum.",
        likeness: Likeness::Subset("addr(), raw() and rawtr() only"),
        handler: Read(get_descriptor_info),
    },
    Call {
        name: "getindexinfo",
        params: &[optional(
            "index_name",
            Kind::Text,
            "one index; all by default",
        )],
        help: "Lists the indexes that are switched on, and how far they are. txindex is the only one there is.",
        likeness: Likeness::Core,
        handler: Read(get_index_info),
    },
    Call {
        name: "getscrubinfo",
        params: &[],
        help: "Tells how far the search for damage to what is stored has come, what it found, and what was healed so far.",
        likeness: Likeness::Ours,
        handler: Read(get_scrub_info),
    },
    Call {
        name: "setmocktime",
        params: &[required(
            "timestamp",
            Kind::Number,
            "Unix seconds, or 0 to let the clock run again",
        )],
        help: "Fixes the clock that rules are checked against. Timeouts go on by the real one.",
        likeness: Likeness::Core,
        handler: Read(set_mock_time),
    },
    Call {
        name: "validateaddress",
        params: &[required("address", Kind::Text, "an address")],
        help: "Tells whether an address is valid on this network, and what it stands for.",
        likeness: Likeness::Subset("error_locations is not given"),
        handler: Read(validate_address),
    },
];

fn estimate_fee(node: &Api, args: &Args) -> Result<Reply, Failure> {
    let target = args.int(0)?;
    if !(1..=1008).contains(&target) {
        return Err(Failure::invalid(
            "Invalid conf_target, must be between 1 and 1008",
        ));
    }
    let mode = args.opt_text(1)?.unwrap_or("unset").to_lowercase();
    if !["unset", "economical", "conservative"].contains(&mode.as_str()) {
        return Err(Failure::invalid(
            "Invalid estimate_mode parameter, must be one of: \"unset\", \"economical\", \"conservative\"",
        ));
    }
    let now = node.now();
    let rate_found = node.read(|core| {
        let floor = core.mempool().min_fee(now.wall).max(policy::MIN_RELAY_FEE);
        let weight: u64 = core.mempool().totals().weight.to_wu();
        let room = core.chain().params().max_block_weight.to_wu();
        let blocks = u64::try_from(target).unwrap_or(1);
        if weight <= room.saturating_mul(blocks) {
            return floor;
        }
        // What just fits into that many blocks, by the rate of each transaction with its parents.
        let mut rates: Vec<_> = core
            .mempool()
            .entries()
            .map(|entry| (entry.ancestors.rate().per_kvb(), entry.weight.to_wu()))
            .collect();
        rates.sort_by(|a, b| b.cmp(a));
        let mut filled = 0;
        for (per_kvb, weight) in rates {
            filled += weight;
            if filled > room.saturating_mul(blocks) {
                return per_kvb.max(floor);
            }
        }
        floor
    });
    #[derive(serde::Serialize)]
    struct Estimate {
        feerate: super::model::Btc,
        blocks: i64,
    }
    reply(&Estimate {
        feerate: rate(rate_found),
        blocks: target,
    })
}

fn get_descriptor_info(_: &Api, args: &Args) -> Result<Reply, Failure> {
    let text = args.text(0)?;
    descriptor::script_of(text)?;
    let body = text.split('#').next().unwrap_or(text);
    let checksum = descriptor::checksum(body).unwrap_or_default();
    reply(&json!({
        "descriptor": format!("{body}#{checksum}"),
        "checksum": checksum,
        "isrange": false,
        "issolvable": body.starts_with("rawtr"),
        "hasprivatekeys": false,
    }))
}

fn get_index_info(node: &Api, args: &Args) -> Result<Reply, Failure> {
    let wanted = args.opt_text(0)?.is_none_or(|name| name == "txindex");
    let Some(indexer) = node.indexer().filter(|_| wanted) else {
        return reply(&json!({}));
    };
    let tip = node.read(|core| core.chain().tip().hash);
    let (height, synced) = indexer.progress(&tip);
    reply(&json!({"txindex": {"synced": synced, "best_block_height": height}}))
}

fn get_scrub_info(node: &Api, _: &Args) -> Result<Reply, Failure> {
    let scrubber = node.scrubber();
    let (progress, table) = scrubber.progress();
    let (healed, waiting, healing) = node.read(|core| {
        let chain = core.chain();
        let waiting = chain.findings().len() + chain.damaged().len();
        let healing = chain.healing_error().map(|error| error.problem);
        (chain.cure_counts(), waiting, healing)
    });
    reply(&json!({
        "enabled": scrubber.rate().is_some(),
        "bytes_per_second": scrubber.rate().unwrap_or(0),
        "table": table.name(),
        "round_bytes": progress.bytes,
        "total_bytes": progress.total_bytes,
        "rounds": progress.rounds,
        "last_round_time": progress.finished_at.map(|time| time.0),
        "found": progress.found,
        "waiting": waiting,
        "healing": healing,
        "healed": {
            "coins": healed.coins,
            "undo": healed.undo,
            "headers": healed.headers,
            "blocks": healed.bodies,
            "databases": healed.databases,
        },
    }))
}

fn set_mock_time(node: &Api, args: &Args) -> Result<Reply, Failure> {
    let time = args.int(0)?;
    let time = u32::try_from(time).map_err(|_| {
        Failure::invalid(format!(
            "Mocktime must be in the range [0, {}], not {time}.",
            u32::MAX
        ))
    })?;
    node.clock().set_mock((time > 0).then_some(Timestamp(time)));
    // What waited for its time may be due, and the miner's template has another time.
    node.tell_chain_thread(Message::Input(Input::Tick));
    null()
}

fn validate_address(_: &Api, args: &Args) -> Result<Reply, Failure> {
    let address = match address_from(args.text(0)?) {
        Ok(address) => address,
        Err(failure) => return reply(&json!({"isvalid": false, "error": failure.message})),
    };
    let script = address.script_pubkey();
    let mut shown = json!({
        "isvalid": true,
        "address": address.to_string(),
        "scriptPubKey": script.to_hex_string(),
        "isscript": script.is_p2sh() || script.is_p2wsh() || script.is_p2tr(),
        "iswitness": script.is_witness_program(),
    });
    if let Some(version) = script.witness_version() {
        shown["witness_version"] = version.to_num().into();
        let program: String = script.as_bytes()[2..]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        shown["witness_program"] = program.into();
    }
    reply(&shown)
}
