//! One file per command. Only these files print.

pub(crate) mod address;
pub(crate) mod balance;
pub(crate) mod create;
pub(crate) mod history;
pub(crate) mod list;
pub(crate) mod send;

use std::io::IsTerminal as _;

use serde_json::Value;

use crate::cli::CommonArgs;
use crate::node::Node;
use crate::session::Session;
use crate::sync;

/// Opens the wallet and brings it up to the node's tip; the result is saved.
fn open_synced(common: &CommonArgs) -> anyhow::Result<(Session, Node)> {
    let mut session = Session::open(&common.path()?)?;
    let node = Node::new(&common.node)?;
    node.check_network(session.file.genesis)?;
    let shown = std::io::stderr().is_terminal() && !common.json;
    sync::sync(&mut session.wallet, &node, |height| {
        if shown && height.is_multiple_of(500) {
            tell(&format!("reading blocks: height {height}"));
        }
    })?;
    session.save()?;
    Ok((session, node))
}

/// Prints JSON, or the text for people.
fn show(common: &CommonArgs, json: &Value, text: &str) {
    #[expect(clippy::print_stdout, reason = "this is what the command is for")]
    if common.json {
        println!("{json:#}");
    } else {
        println!("{text}");
    }
}

/// Tells people something beside the result.
fn tell(text: &str) {
    #[expect(
        clippy::print_stderr,
        reason = "notes for people do not belong into the result"
    )]
    {
        eprintln!("{text}");
    }
}
