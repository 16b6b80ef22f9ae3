//! The node that a wallet asks: any with Bitcoin Core's RPC. Several can be named; the next one is asked when one fails.

use std::cell::Cell;
use std::path::PathBuf;

use anyhow::Context;
use bdk_bitcoind_rpc::bitcoincore_rpc::{self, RpcApi, jsonrpc};
use bitcoin::{BlockHash, Transaction};
use clap::Args;
use rpc_client::place::{self, DEFAULT_URL, PlaceArgs};
use rpc_client::{Auth, Client, RpcError};
use serde_json::{Value, json};

/// Where the nodes are.
#[derive(Args, Clone, Debug)]
pub(crate) struct NodeArgs {
    /// Where the node is
    #[command(flatten)]
    place: PlaceArgs,
    /// RPC address of the node; give it more than once for nodes to fall back on [default: as the node wrote into its folder, else http://127.0.0.1:18443]
    #[arg(long = "rpc", value_name = "URL", global = true, env = "MEND_RPC")]
    rpc: Vec<String>,
    /// Cookie file of the node (one for each --rpc, in order)
    #[arg(long, value_name = "FILE", global = true, env = "MEND_COOKIE")]
    cookie_file: Vec<PathBuf>,
    /// RPC user, when no cookie is used
    #[arg(long = "rpcuser", value_name = "NAME", global = true)]
    user: Option<String>,
    /// RPC password
    #[arg(long = "rpcpassword", value_name = "WORD", global = true)]
    password: Option<String>,
}

impl NodeArgs {
    /// Whether anything was said about where the node is.
    pub(crate) fn is_named(&self) -> bool {
        !self.rpc.is_empty() || !self.cookie_file.is_empty() || self.place != PlaceArgs::default()
    }
}

/// One or more nodes, asked in order until one answers.
pub(crate) struct Node {
    endpoints: Vec<(String, Client)>,
    /// The one that answered last: asked first.
    current: Cell<usize>,
    /// The network that every node must be of, by its genesis hash, once that is known.
    network: Cell<Option<BlockHash>>,
    /// The node that was found to be of it. Another one is looked at before it is asked anything else.
    checked: Cell<Option<usize>>,
}

impl Node {
    /// Makes the clients. Nothing is asked yet.
    pub(crate) fn new(args: &NodeArgs) -> anyhow::Result<Node> {
        let mut endpoints = Vec::new();
        let folder = args.place.folder();
        let mut urls = args.rpc.clone();
        if urls.is_empty() {
            urls.push(place::published_url(&folder).unwrap_or_else(|| DEFAULT_URL.to_owned()));
        }
        for (index, url) in urls.iter().enumerate() {
            let auth = match (
                &args.user,
                args.cookie_file.get(index).or(args.cookie_file.last()),
            ) {
                (Some(user), _) => Auth::UserPass(
                    user.clone(),
                    args.password
                        .clone()
                        .context("--rpcuser needs --rpcpassword")?,
                ),
                (None, Some(path)) => Auth::Cookie(path.clone()),
                (None, None) => Auth::Cookie(place::cookie_file(&folder)),
            };
            endpoints.push((url.clone(), Client::new(url, auth)));
        }
        Ok(Node {
            endpoints,
            current: Cell::new(0),
            network: Cell::new(None),
            checked: Cell::new(None),
        })
    }

    /// Calls the node that answered last, then the others, once each. An error that a node answered is final; a node of another
    /// network counts as one that does not answer.
    pub(crate) fn ask(&self, method: &str, params: &Value) -> Result<Value, RpcError> {
        self.ask_each(method, params, |_| {})
    }

    /// As [`Node::ask`]; `passed_over` is told why a node gave no answer.
    fn ask_each(
        &self,
        method: &str,
        params: &Value,
        mut passed_over: impl FnMut(&RpcError),
    ) -> Result<Value, RpcError> {
        let count = self.endpoints.len();
        let mut last = None;
        for step in 0..count {
            let index = (self.current.get() + step) % count;
            let asked = self
                .check_endpoint(index)
                .and_then(|()| self.endpoints[index].1.call(method, params.clone()));
            match asked {
                Err(error) if !is_answer(&error) => {
                    passed_over(&error);
                    last = Some(error);
                }
                answered => {
                    self.current.set(index);
                    return answered;
                }
            }
        }
        Err(last.expect("there is at least one endpoint"))
    }

    /// The network's genesis hash.
    pub(crate) fn genesis(&self) -> anyhow::Result<BlockHash> {
        let value = self.ask("getblockhash", &json!([0]))?;
        serde_json::from_value(value).context("the node's answer to getblockhash is not a hash")
    }

    /// From now on only nodes of this network are asked; fails when there is none.
    pub(crate) fn check_network(&self, expected: BlockHash) -> anyhow::Result<()> {
        self.network.set(Some(expected));
        self.genesis().map(drop)
    }

    fn check_endpoint(&self, index: usize) -> Result<(), RpcError> {
        let Some(expected) = self.network.get() else {
            return Ok(());
        };
        if self.checked.get() == Some(index) {
            return Ok(());
        }
        let (url, client) = &self.endpoints[index];
        let found = client.call("getblockhash", json!([0]))?;
        let found = found.as_str().unwrap_or("unknown");
        if found != expected.to_string() {
            return Err(RpcError::OtherNetwork {
                url: url.clone(),
                found: found.to_owned(),
                expected: expected.to_string(),
            });
        }
        self.checked.set(Some(index));
        Ok(())
    }

    /// Sends a transaction to the node that answered last, else to the others.
    pub(crate) fn broadcast(&self, transaction: &Transaction) -> Sent {
        let hex = bitcoin::consensus::encode::serialize_hex(transaction);
        let mut open = None;
        let sent = self.ask_each("sendrawtransaction", &json!([hex]), |error| {
            if error.leaves_it_open() {
                open.get_or_insert_with(|| error.to_string());
            }
        });
        match (sent, open) {
            (Ok(_), _) => Sent::Taken,
            // One that took it may have told the others, which then refuse it.
            (Err(_), Some(problem)) => Sent::Unknown(problem),
            (Err(error), None) => Sent::Refused(error),
        }
    }
}

/// What came of sending a transaction.
pub(crate) enum Sent {
    /// A node has it.
    Taken,
    /// No node has it.
    Refused(RpcError),
    /// A node may have it: there was no answer, for this reason.
    Unknown(String),
}

/// Whether a node answered at all, be it with an error.
fn is_answer(error: &RpcError) -> bool {
    matches!(error, RpcError::Rpc { .. })
}

/// What BDK's emitter needs of a node.
impl RpcApi for Node {
    fn call<T: for<'a> serde::de::Deserialize<'a>>(
        &self,
        method: &str,
        args: &[Value],
    ) -> bitcoincore_rpc::Result<T> {
        let result =
            self.ask(method, &Value::Array(args.to_vec()))
                .map_err(|error| match error {
                    RpcError::Rpc { code, message } => bitcoincore_rpc::Error::JsonRpc(
                        jsonrpc::Error::Rpc(jsonrpc::error::RpcError {
                            code: i32::try_from(code).unwrap_or(i32::MIN),
                            message,
                            data: None,
                        }),
                    ),
                    other => bitcoincore_rpc::Error::ReturnedError(other.to_string()),
                })?;
        Ok(serde_json::from_value(result)?)
    }
}
