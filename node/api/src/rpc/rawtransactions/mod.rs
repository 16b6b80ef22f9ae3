//! Transactions as bytes: making, showing, testing, sending.

pub(super) mod find;
mod legacy;
mod make;
mod packages;
mod submit;

use bitcoin::Transaction;
use bitcoin::hex::FromHex;

use super::args::decoded;
use super::call::Handler::Read;
use super::call::{Call, Kind, Likeness, Param, optional, required};
use super::error::Failure;

const MAX_FEE_RATE: Param = optional(
    "maxfeerate",
    Kind::Any,
    "refuse what pays more than this, in BTC per 1000 virtual bytes; 0.1 by default, 0 for no limit",
);

/// The calls of this file.
pub(super) const CALLS: &[Call] = &[
    Call {
        name: "createrawtransaction",
        params: &[
            required(
                "inputs",
                Kind::Array,
                "objects with txid, vout and perhaps sequence",
            ),
            required(
                "outputs",
                Kind::Any,
                "a list of {address: amount} or {\"data\": hex}; or one object of them",
            ),
            optional(
                "locktime",
                Kind::Number,
                "the lock time; above 0 it also makes inputs non-final",
            ),
            optional(
                "replaceable",
                Kind::Bool,
                "mark as replaceable (BIP 125); true by default",
            ),
            optional("version", Kind::Number, "the version, 1 to 3; 2 by default"),
        ],
        help: "Makes an unsigned transaction and gives its hex.",
        likeness: Likeness::Core,
        handler: Read(make::create),
    },
    Call {
        name: "decoderawtransaction",
        params: &[
            required("hexstring", Kind::Text, "the transaction in hex"),
            optional(
                "iswitness",
                Kind::Bool,
                "whether it has the form with witnesses; both are tried if it is left out",
            ),
        ],
        help: "Shows a transaction that is given in hex.",
        likeness: Likeness::Core,
        handler: Read(make::decode),
    },
    Call {
        name: "decodescript",
        params: &[required("hexstring", Kind::Text, "the script in hex")],
        help: "Shows a script that is given in hex.",
        likeness: Likeness::Subset("p2sh and segwit wrappings are not given"),
        handler: Read(make::decode_script),
    },
    Call {
        name: "getrawtransaction",
        params: &[
            required("txid", Kind::Text, "the transaction's id"),
            optional(
                "verbosity|verbose",
                Kind::Any,
                "0 for hex (default), 1 for an object, 2 with fee and what it spends",
            ),
            optional("blockhash", Kind::Text, "the block to look into"),
        ],
        help: "Gives a transaction of the mempool, or of the named block, or of any block if the node runs with --txindex. Without the index a \
               confirmed transaction is found as long as one of its outputs is unspent, and the genesis transactions always.",
        likeness: Likeness::Core,
        handler: Read(find::get),
    },
    Call {
        name: "sendrawtransaction",
        params: &[
            required("hexstring", Kind::Text, "the transaction in hex"),
            MAX_FEE_RATE,
            optional(
                "maxburnamount",
                Kind::Any,
                "BTC that OP_RETURN outputs may burn at most; 0 by default",
            ),
        ],
        help: "Puts a signed transaction into the mempool and tells it to peers. Gives its id.",
        likeness: Likeness::Core,
        handler: Read(submit::send),
    },
    Call {
        name: "submitpackage",
        params: &[
            required(
                "package",
                Kind::Array,
                "transactions in hex, parents before children",
            ),
            MAX_FEE_RATE,
            optional(
                "maxburnamount",
                Kind::Any,
                "BTC that OP_RETURN outputs may burn at most; 0 by default",
            ),
        ],
        help: "Puts a transaction with all its unconfirmed parents into the mempool: the parents first, the child last. What does not pay \
               enough by itself is judged by the fee rate of all of them together.",
        likeness: Likeness::Subset(
            "what is judged together replaces nothing (no package RBF); peers judge each transaction by itself",
        ),
        handler: Read(packages::submit_package),
    },
    Call {
        name: "testmempoolaccept",
        params: &[
            required(
                "rawtxs",
                Kind::Array,
                "transactions in hex, parents before children",
            ),
            MAX_FEE_RATE,
        ],
        help: "Tells whether the mempool would take transactions, without keeping them. Of several, a later one may spend earlier ones; at the first \
               that is refused nothing is said of the others.",
        likeness: Likeness::Core,
        handler: Read(packages::test_accept),
    },
];

fn transaction_from(hex: &str) -> Result<Transaction, Failure> {
    decoded(
        hex,
        "TX decode failed. Make sure the tx has at least one input.",
    )
}

/// A transaction that is not finished: it may have no inputs yet. Without a word both forms are tried.
fn unfinished_from(hex: &str, with_witnesses: Option<bool>) -> Result<Transaction, Failure> {
    let failed = || Failure::undecodable("TX decode failed");
    let bytes: Vec<u8> = FromHex::from_hex(hex).map_err(|_| failed())?;
    let modern = || bitcoin::consensus::deserialize::<Transaction>(&bytes).ok();
    let found = match with_witnesses {
        Some(true) => modern(),
        Some(false) => legacy::decode(&bytes),
        None => modern().or_else(|| legacy::decode(&bytes)),
    };
    found.ok_or_else(failed)
}
