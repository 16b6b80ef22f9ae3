//! One file per command. Only these files print.

pub(crate) mod address;
pub(crate) mod balance;
pub(crate) mod bump;
mod children;
pub(crate) mod create;
pub(crate) mod history;
pub(crate) mod label;
pub(crate) mod list;
mod pay;
pub(crate) mod psbt;
pub(crate) mod recover;
pub(crate) mod risk;
pub(crate) mod send;
pub(crate) mod watch;

use std::io::IsTerminal as _;

use bdk_wallet::Wallet;
use serde_json::Value;
use terminal::PrintError;

use crate::cli::CommonArgs;
use crate::node::Node;
use crate::session::Session;
use crate::sync::{self, Resent};

/// Opens the wallet and its node, which must be of the same network.
fn open(common: &CommonArgs) -> anyhow::Result<(Session, Node)> {
    let mut session = Session::open(&common.path()?)?;
    let node = Node::new(&common.node)?;
    match session.file.genesis {
        Some(genesis) => node.check_network(genesis)?,
        None => session.belong_to(node.genesis()?)?,
    }
    agree(&mut session, &node)?;
    Ok((session, node))
}

/// Forgets the blocks that the node has left.
fn agree(session: &mut Session, node: &Node) -> anyhow::Result<()> {
    let agreed = sync::agreement(&session.wallet, node)?;
    if agreed < session.wallet.latest_checkpoint().height() {
        session.roll_back(agreed)?;
    }
    Ok(())
}

/// Opens the wallet and brings it up to the node's tip; the result is saved.
fn open_synced(common: &CommonArgs) -> anyhow::Result<(Session, Node)> {
    let (mut session, node) = open(common)?;
    let resent = sync_over_reorgs(common, &mut session, &node)?;
    session.save()?;
    for txid in &resent.taken {
        terminal::note(format_args!(
            "note: {txid} had lost its place and was sent again"
        ));
    }
    Ok((session, node))
}

/// Brings an opened wallet up to the node's tip, from the start again when the node changes its chain meanwhile.
fn sync_over_reorgs(
    common: &CommonArgs,
    session: &mut Session,
    node: &Node,
) -> anyhow::Result<Resent> {
    /// A chain that changes more often than this while it is read is not worth reading.
    const TRIES: u32 = 20;
    let mut tries = 1;
    loop {
        match sync_shown(common, &mut session.wallet, node) {
            Err(error) if tries < TRIES && sync::is_of_a_reorg(&error) => tries += 1,
            done => return done,
        }
        agree(session, node)?;
    }
}

/// Brings a wallet up to the node's tip, with a line for people now and then.
fn sync_shown(common: &CommonArgs, wallet: &mut Wallet, node: &Node) -> anyhow::Result<Resent> {
    let shown = std::io::stderr().is_terminal() && !common.json;
    sync::sync(wallet, node, |height| {
        if shown && height.is_multiple_of(500) {
            terminal::note(format_args!("reading blocks: height {height}"));
        }
    })
}

/// Prints JSON, or the text for people.
fn show(common: &CommonArgs, json: &Value, text: &str) -> Result<(), PrintError> {
    if common.json {
        terminal::line(format_args!("{json:#}"))
    } else {
        terminal::line(text)
    }
}
