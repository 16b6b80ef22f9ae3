//! Unconfirmed transactions.

use std::collections::BTreeMap;

use bitcoin::{Amount, OutPoint, Txid, Wtxid};
use serde::Serialize;
use serde_json::{Value, json};

use super::args::{Args, hash_from};
use super::call::Handler::{Read, Scan};
use super::call::{Call, Kind, Likeness, optional, required};
use super::error::Failure;
use super::model::Btc;
use super::reply::Reply;
use super::reply::reply;
use crate::Api;
use node_core::mempool::{Entry, Mempool, SatPerKvb, policy};

const TXID: super::call::Param = required(
    "txid",
    Kind::Text,
    "the transaction's id; it must be in the mempool",
);
const VERBOSE: super::call::Param = optional(
    "verbose",
    Kind::Bool,
    "true for an object by id, false for ids (default)",
);

/// The calls of this file.
pub(super) const CALLS: &[Call] = &[
    Call {
        name: "getmempoolancestors",
        params: &[TXID, VERBOSE],
        help: "Lists what a transaction of the mempool depends on there.",
        likeness: Likeness::Core,
        handler: Read(|node, args| relatives(node, args, Mempool::ancestors)),
    },
    Call {
        name: "getmempooldescendants",
        params: &[TXID, VERBOSE],
        help: "Lists what depends on a transaction of the mempool there.",
        likeness: Likeness::Core,
        handler: Read(|node, args| relatives(node, args, Mempool::descendants)),
    },
    Call {
        name: "getmempoolentry",
        params: &[TXID],
        help: "Gives size, fees and relatives of a transaction of the mempool.",
        likeness: Likeness::Core,
        handler: Read(get_entry),
    },
    Call {
        name: "getmempoolinfo",
        params: &[],
        help: "Gives the mempool's size and limits. Fees are in BTC per 1000 virtual bytes.",
        likeness: Likeness::Core,
        handler: Read(get_info),
    },
    Call {
        name: "getrawmempool",
        params: &[
            optional(
                "verbose",
                Kind::Bool,
                "true for an object by id, false for ids (default)",
            ),
            optional(
                "mempool_sequence",
                Kind::Bool,
                "true to add the mempool's sequence number; not with verbose",
            ),
        ],
        help: "Lists the ids of the mempool's transactions, or all that is known of them.",
        likeness: Likeness::Core,
        handler: Read(get_raw),
    },
    Call {
        name: "gettxspendingprevout",
        params: &[required(
            "outputs",
            Kind::Array,
            "objects with txid and vout",
        )],
        help: "Tells for each output which transaction of the mempool spends it.",
        likeness: Likeness::Core,
        handler: Read(get_spending),
    },
    Call {
        name: "importmempool",
        params: &[
            required(
                "filepath",
                Kind::Text,
                "a mempool.dat of this program or of Bitcoin Core, in the data directory unless the path is absolute",
            ),
            optional(
                "options",
                Kind::Object,
                "use_current_time (true by default): whether the transactions count as having come now. apply_fee_delta_priority and apply_unbroadcast_set are taken, and change nothing",
            ),
        ],
        help: "Takes the transactions of a file into the mempool. What is refused is passed over.",
        likeness: Likeness::Subset(
            "changes of fees and the set of unbroadcast transactions are not kept",
        ),
        handler: Scan(import),
    },
    Call {
        name: "savemempool",
        params: &[],
        help: "Writes the mempool to mempool.dat, which is read again at the start.",
        likeness: Likeness::Core,
        handler: Scan(save),
    },
];

fn import(node: &Api, args: &Args) -> Result<Reply, Failure> {
    let path = node.data_dir().path().join(args.text(0)?);
    let as_new = match &args.value(1)["use_current_time"] {
        Value::Null => true,
        Value::Bool(flag) => *flag,
        _ => {
            return Err(Failure::wrong_type(
                "use_current_time must be true or false",
            ));
        }
    };
    match node.import_mempool(&path, as_new) {
        Ok(_) => reply(&json!({})),
        Err(error) => Err(Failure::misc(format!(
            "Unable to import mempool file: {error}"
        ))),
    }
}

fn save(node: &Api, _: &Args) -> Result<Reply, Failure> {
    if !node.is_mempool_loaded() {
        return Err(Failure::misc("The mempool was not loaded yet"));
    }
    let saved = node.save_mempool();
    let path =
        saved.map_err(|error| Failure::misc(format!("Unable to dump mempool to disk: {error}")))?;
    reply(&json!({"filename": path}))
}

/// A fee rate in BTC per 1000 virtual bytes.
pub(super) fn rate(rate: SatPerKvb) -> Btc {
    Btc::from_sat(rate.0)
}

#[derive(Serialize)]
struct EntryFields {
    vsize: u64,
    weight: u64,
    time: u32,
    height: u32,
    descendantcount: u64,
    descendantsize: u64,
    ancestorcount: u64,
    ancestorsize: u64,
    wtxid: Wtxid,
    fees: Fees,
    depends: Vec<Txid>,
    spentby: Vec<Txid>,
    #[serde(rename = "bip125-replaceable")]
    replaceable: bool,
    unbroadcast: bool,
}

#[derive(Serialize)]
struct Fees {
    base: Btc,
    modified: Btc,
    ancestor: Btc,
    descendant: Btc,
}

impl EntryFields {
    fn new(entry: &Entry) -> EntryFields {
        EntryFields {
            vsize: entry.vsize,
            weight: entry.weight.to_wu(),
            time: entry.time.0,
            height: entry.height.0,
            descendantcount: entry.descendants.count,
            descendantsize: entry.descendants.vsize,
            ancestorcount: entry.ancestors.count,
            ancestorsize: entry.ancestors.vsize,
            wtxid: entry.wtxid,
            fees: Fees {
                base: Btc(entry.fee),
                modified: Btc(entry.fee),
                ancestor: Btc(entry.ancestors.fee),
                descendant: Btc(entry.descendants.fee),
            },
            depends: entry.parents.iter().copied().collect(),
            spentby: entry.children.iter().copied().collect(),
            // The word of BIP 125; whatever it says, every transaction here can be replaced.
            replaceable: entry.transaction.is_explicitly_rbf(),
            unbroadcast: false,
        }
    }
}

fn not_here() -> Failure {
    Failure::not_found("Transaction not in mempool")
}

fn get_entry(node: &Api, args: &Args) -> Result<Reply, Failure> {
    let txid: Txid = args.hash(0)?;
    let entry = node.read(|core| core.mempool().get(&txid).map(EntryFields::new));
    reply(&entry.ok_or_else(not_here)?)
}

fn relatives(
    node: &Api,
    args: &Args,
    of: fn(&Mempool, &Txid) -> std::collections::BTreeSet<Txid>,
) -> Result<Reply, Failure> {
    let txid: Txid = args.hash(0)?;
    let verbose = args.flag(1, false)?;
    node.read(|core| {
        let pool = core.mempool();
        pool.get(&txid).ok_or_else(not_here)?;
        let found = of(pool, &txid);
        if !verbose {
            return reply(&found);
        }
        let entries = found.iter().filter_map(|txid| pool.get(txid));
        reply(&by_id(entries))
    })
}

fn by_id<'a>(entries: impl Iterator<Item = &'a Entry>) -> BTreeMap<String, EntryFields> {
    entries
        .map(|entry| (entry.txid.to_string(), EntryFields::new(entry)))
        .collect()
}

fn get_raw(node: &Api, args: &Args) -> Result<Reply, Failure> {
    let (verbose, with_sequence) = (args.flag(0, false)?, args.flag(1, false)?);
    if verbose && with_sequence {
        let text = "Verbose results cannot contain mempool sequence values.";
        return Err(Failure::invalid(text));
    }
    if verbose {
        let entries = node.read(|core| by_id(core.mempool().entries()));
        return reply(&entries);
    }
    let (ids, sequence) = node.read(|core| {
        let pool = core.mempool();
        let ids: Vec<Txid> = pool.entries().map(|entry| entry.txid).collect();
        (ids, pool.sequence())
    });
    if with_sequence {
        return reply(&json!({"txids": ids, "mempool_sequence": sequence}));
    }
    reply(&ids)
}

#[derive(Serialize)]
struct Info {
    loaded: bool,
    size: usize,
    bytes: u64,
    usage: usize,
    total_fee: Btc,
    maxmempool: usize,
    mempoolminfee: Btc,
    minrelaytxfee: Btc,
    incrementalrelayfee: Btc,
    unbroadcastcount: u32,
    fullrbf: bool,
    permitbaremultisig: bool,
    maxdatacarriersize: usize,
}

fn get_info(node: &Api, _: &Args) -> Result<Reply, Failure> {
    let now = node.now().wall;
    let info = node.read(|core| {
        let pool = core.mempool();
        let total_fee: Amount = pool.total_fee();
        Info {
            loaded: node.is_mempool_loaded(),
            size: pool.len(),
            bytes: pool.totals().vsize,
            usage: pool.memory_bytes(),
            total_fee: Btc(total_fee),
            maxmempool: pool.max_bytes(),
            mempoolminfee: rate(pool.min_fee(now)),
            minrelaytxfee: rate(policy::MIN_RELAY_FEE),
            incrementalrelayfee: rate(policy::INCREMENTAL_RELAY_FEE),
            unbroadcastcount: 0,
            fullrbf: true,
            permitbaremultisig: false,
            maxdatacarriersize: policy::MAX_DATA_CARRIER_BYTES,
        }
    });
    reply(&info)
}

fn get_spending(node: &Api, args: &Args) -> Result<Reply, Failure> {
    #[derive(Serialize)]
    struct Spent {
        txid: Txid,
        vout: u32,
        #[serde(skip_serializing_if = "Option::is_none")]
        spendingtxid: Option<Txid>,
    }
    let outputs = args.list(0)?;
    if outputs.is_empty() {
        return Err(Failure::invalid("Invalid parameter, outputs are missing"));
    }
    let wanted: Vec<OutPoint> = outputs
        .iter()
        .map(outpoint_from)
        .collect::<Result<_, _>>()?;
    let spent = node.read(|core| {
        let spent = wanted.iter().map(|outpoint| Spent {
            txid: outpoint.txid,
            vout: outpoint.vout,
            spendingtxid: core.mempool().spender(outpoint).map(|entry| entry.txid),
        });
        spent.collect::<Vec<Spent>>()
    });
    reply(&spent)
}

/// An object with `txid` and `vout`.
pub(super) fn outpoint_from(value: &Value) -> Result<OutPoint, Failure> {
    let txid = value["txid"]
        .as_str()
        .ok_or_else(|| Failure::wrong_type("Missing txid"))?;
    let vout = value["vout"]
        .as_i64()
        .ok_or_else(|| Failure::invalid("Invalid parameter, missing vout key"))?;
    let vout = u32::try_from(vout)
        .map_err(|_| Failure::invalid("Invalid parameter, vout cannot be negative"))?;
    Ok(OutPoint {
        txid: hash_from(txid, "txid")?,
        vout,
    })
}
