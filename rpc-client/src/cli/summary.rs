//! `-getinfo`: the state of a node on one screen.

use serde_json::{Value, json};

use crate::client::Client;
use crate::error::RpcError;

/// Asks a node for its state and puts it into words.
pub(super) fn summary(client: &Client) -> Result<String, RpcError> {
    let mut replies = client
        .call_batch(&[
            ("getblockchaininfo", json!([])),
            ("getnetworkinfo", json!([])),
        ])?
        .into_iter();
    let mut next = || replies.next().unwrap_or(Ok(Value::Null));
    let (chain, network) = (next()?, next()?);
    let progress = chain["verificationprogress"].as_f64().unwrap_or(0.0) * 100.0;
    Ok(format!(
        "Chain: {}\nBlocks: {}\nHeaders: {}\nVerification progress: {progress:.4}%\nDifficulty: {}\n\n\
         Network: in {}, out {}, total {}\nVersion: {} {}\nTime offset (s): {}\n\
         Min tx relay fee rate (BTC/kvB): {}\n\nWarnings: {}",
        plain(&chain["chain"]),
        chain["blocks"],
        chain["headers"],
        chain["difficulty"],
        network["connections_in"],
        network["connections_out"],
        network["connections"],
        network["version"],
        plain(&network["subversion"]),
        network["timeoffset"],
        network["relayfee"],
        warnings(&network["warnings"]),
    ))
}

fn plain(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

fn warnings(value: &Value) -> String {
    let lines: Vec<&str> = match value {
        Value::String(text) if !text.is_empty() => vec![text],
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
        _ => vec![],
    };
    if lines.is_empty() {
        "(none)".to_owned()
    } else {
        lines.join("; ")
    }
}
