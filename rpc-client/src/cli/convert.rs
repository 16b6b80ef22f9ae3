//! From words to JSON parameters.
//!
//! As in `bitcoin-cli`, a table says which parameters are JSON; all others are strings, so that a hash of digits only stays
//! what it is. Parameters of methods that the table does not know are JSON if they parse as such, and strings if not.

use serde_json::{Map, Value};

/// For each method: names of its parameters in order; those with a `*` are JSON.
const METHODS: &[(&str, &str)] = &[
    ("addnode", "node command v2transport*"),
    ("combinerawtransaction", "txs*"),
    ("createmultisig", "nrequired* keys* address_type"),
    (
        "createrawtransaction",
        "inputs* outputs* locktime* replaceable* version*",
    ),
    ("decoderawtransaction", "hexstring iswitness*"),
    ("decodescript", "hexstring"),
    ("deriveaddresses", "descriptor range*"),
    ("disconnectnode", "address nodeid*"),
    ("dumptxoutset", "path type options*"),
    (
        "echo",
        "arg0* arg1* arg2* arg3* arg4* arg5* arg6* arg7* arg8* arg9*",
    ),
    ("estimatesmartfee", "conf_target* estimate_mode"),
    ("generateblock", "output transactions* submit*"),
    ("generatetoaddress", "nblocks* address maxtries*"),
    ("generatetodescriptor", "num_blocks* descriptor maxtries*"),
    ("getaddednodeinfo", "node"),
    ("getblock", "blockhash verbosity*"),
    ("getblockfilter", "blockhash filtertype"),
    ("getblockfrompeer", "blockhash peer_id*"),
    ("getblockhash", "height*"),
    ("getblockheader", "blockhash verbose*"),
    ("getblockstats", "hash_or_height* stats*"),
    ("getblocktemplate", "template_request*"),
    ("getchaintxstats", "nblocks* blockhash"),
    ("getcoinhashes", "hash_or_height* ranges*"),
    ("getdeploymentinfo", "blockhash"),
    ("getmempoolancestors", "txid verbose*"),
    ("getmempooldescendants", "txid verbose*"),
    ("getmempoolentry", "txid"),
    ("getnetworkhashps", "nblocks* height*"),
    ("getnodeaddresses", "count* network"),
    ("getrawmempool", "verbose* mempool_sequence*"),
    ("getrawtransaction", "txid verbosity* blockhash"),
    ("gettxout", "txid n* include_mempool* hash_or_height*"),
    ("gettxoutproof", "txids* blockhash"),
    ("gettxoutsetinfo", "hash_type hash_or_height* use_index*"),
    ("gettxspendingprevout", "outputs*"),
    ("help", "command"),
    ("importmempool", "filepath options*"),
    ("invalidateblock", "blockhash"),
    ("listcoins", "hash_or_height* from to"),
    ("loadtxoutset", "path txoutset_hash base_hash"),
    ("logging", "include* exclude*"),
    ("preciousblock", "blockhash"),
    ("prioritisetransaction", "txid dummy* fee_delta*"),
    ("pruneblockchain", "height*"),
    ("reconsiderblock", "blockhash"),
    (
        "scanblocks",
        "action scanobjects* start_height* stop_height* filtertype options*",
    ),
    ("scantxoutset", "action scanobjects*"),
    ("sendrawtransaction", "hexstring maxfeerate* maxburnamount*"),
    ("setban", "subnet command bantime* absolute*"),
    ("setmocktime", "timestamp*"),
    ("setnetworkactive", "state*"),
    (
        "signrawtransactionwithkey",
        "hexstring privkeys* prevtxs* sighashtype",
    ),
    ("stop", "wait*"),
    ("submitblock", "hexdata dummy"),
    ("submitheader", "hexdata"),
    ("submitpackage", "package* maxfeerate* maxburnamount*"),
    ("testmempoolaccept", "rawtxs* maxfeerate*"),
    ("validateaddress", "address"),
    ("verifychain", "checklevel* nblocks*"),
    ("verifymessage", "address signature message"),
    ("verifytxoutproof", "proof"),
    ("waitforblock", "blockhash timeout*"),
    ("waitforblockheight", "height* timeout*"),
    ("waitfornewblock", "timeout* current_tip"),
];

/// How a parameter's text is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    Json,
    Text,
    JsonIfItParses,
}

/// Parameters by position.
///
/// # Errors
///
/// A sentence about the parameter that should be JSON and is not.
pub(super) fn positional(method: &str, words: &[String]) -> Result<Value, String> {
    words
        .iter()
        .enumerate()
        .map(|(index, word)| read(word, reading_at(method, index)))
        .collect::<Result<Vec<Value>, String>>()
        .map(Value::Array)
}

/// Parameters as `name=value`; words without `=` go by position, into `args` as Bitcoin Core wants it.
///
/// # Errors
///
/// As [`positional`].
pub(super) fn named(method: &str, words: &[String]) -> Result<Value, String> {
    let mut params = Map::new();
    let mut by_position = Vec::new();
    for word in words {
        match word.split_once('=') {
            Some((name, text)) => {
                params.insert(name.to_owned(), read(text, reading_of(method, name))?);
            }
            None => by_position.push(read(word, reading_at(method, by_position.len()))?),
        }
    }
    if !by_position.is_empty() {
        params.insert("args".to_owned(), Value::Array(by_position));
    }
    Ok(Value::Object(params))
}

fn read(text: &str, reading: Reading) -> Result<Value, String> {
    let parsed = || serde_json::from_str::<Value>(text);
    match reading {
        Reading::Text => Ok(Value::from(text)),
        Reading::JsonIfItParses => Ok(parsed().unwrap_or_else(|_| Value::from(text))),
        // A block hash or a word such as "best" where a number may stand as well.
        Reading::Json => match parsed() {
            Ok(value) => Ok(value),
            Err(_) if text.chars().all(|c| c.is_ascii_alphanumeric()) => Ok(Value::from(text)),
            Err(_) => Err(format!("Error parsing JSON: {text}")),
        },
    }
}

fn parameters(method: &str) -> Option<impl Iterator<Item = &'static str>> {
    METHODS
        .iter()
        .find(|(name, _)| *name == method)
        .map(|(_, names)| names.split(' '))
}

fn reading_at(method: &str, index: usize) -> Reading {
    match parameters(method) {
        None => Reading::JsonIfItParses,
        Some(mut names) => match names.nth(index) {
            Some(name) if name.ends_with('*') => Reading::Json,
            _ => Reading::Text,
        },
    }
}

fn reading_of(method: &str, name: &str) -> Reading {
    match parameters(method) {
        None => Reading::JsonIfItParses,
        Some(mut names) => match names.any(|known| known.strip_suffix('*') == Some(name)) {
            true => Reading::Json,
            false => Reading::Text,
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn words(list: &[&str]) -> Vec<String> {
        list.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn a_hash_of_digits_stays_a_string_and_numbers_become_numbers() {
        let digits = "1".repeat(64);
        assert_eq!(
            positional("getblock", &words(&[&digits, "2"])),
            Ok(json!([digits, 2]))
        );
        assert_eq!(positional("getblockhash", &words(&["5"])), Ok(json!([5])));
        assert_eq!(
            positional("getblockstats", &words(&["00ff", r#"["txs"]"#])),
            Ok(json!(["00ff", ["txs"]]))
        );
        assert_eq!(
            positional("unknown", &words(&["5", "a", "true"])),
            Ok(json!([5, "a", true]))
        );
    }

    #[test]
    fn named_parameters_follow_the_same_table() {
        assert_eq!(
            named("getblock", &words(&["blockhash=12", "verbosity=0"])),
            Ok(json!({"blockhash": "12", "verbosity": 0}))
        );
        assert_eq!(
            named("getblock", &words(&["12", "verbosity=0"])),
            Ok(json!({"args": ["12"], "verbosity": 0}))
        );
    }

    #[test]
    fn broken_json_is_told() {
        let error = positional("createrawtransaction", &words(&["[{"])).expect_err("broken");
        assert_eq!(error, "Error parsing JSON: [{");
    }

    #[test]
    fn the_table_is_sorted_so_that_a_missing_method_is_seen() {
        assert!(METHODS.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }
}
