//! [`Probe`]: one node's RPC, with the calls that the lab needs.

use std::path::PathBuf;
use std::time::Duration;

use bitcoin::consensus::encode::{deserialize_hex, serialize_hex};
use bitcoin::{Amount, Block, BlockHash, OutPoint, Transaction, Txid};
use rpc_client::{Auth, Client, RpcError};
use serde::Deserialize;
use serde_json::{Value, json};

use super::LabError;

/// How long a node on this machine may take for an answer.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Calls in one round trip, at most.
const BATCH: usize = 1_000;
/// How long a call may take that mines blocks.
const PATIENT_TIMEOUT: Duration = Duration::from_secs(300);

/// A node's RPC. Cheap to clone; usable from any thread.
#[derive(Clone, Debug)]
pub struct Probe {
    node: usize,
    client: Client,
}

/// The parts of `getblockchaininfo` that the lab reads.
#[derive(Clone, Debug, Deserialize)]
pub struct ChainInfo {
    /// Height of the tip.
    pub blocks: u32,
    /// The tip.
    #[serde(rename = "bestblockhash")]
    pub tip: BlockHash,
    /// Work of the chain, big-endian hex.
    #[serde(rename = "chainwork")]
    pub work: String,
}

/// The parts of `getblockheader` that the lab reads.
#[derive(Clone, Debug, Deserialize)]
pub struct HeaderInfo {
    /// Its height.
    pub height: u32,
    /// Its parent; none for genesis.
    #[serde(rename = "previousblockhash")]
    pub parent: Option<BlockHash>,
}

/// One entry of `getchaintips`.
#[derive(Clone, Debug, Deserialize)]
pub struct ChainTip {
    /// Its height.
    pub height: u32,
    /// The end of the branch.
    pub hash: BlockHash,
    /// Blocks since it left the active chain.
    #[serde(rename = "branchlen")]
    pub branch_length: u32,
    /// `active`, `valid-fork`, ...
    pub status: String,
}

/// The coins of a node, as `gettxoutsetinfo muhash` tells them.
#[derive(Clone, Debug, Deserialize)]
pub struct CoinsInfo {
    /// At this height.
    pub height: u32,
    /// At this block.
    #[serde(rename = "bestblock")]
    pub tip: BlockHash,
    /// Number of coins.
    #[serde(rename = "txouts")]
    pub coins: u64,
    /// MuHash of all coins.
    pub muhash: String,
    /// Their sum, in BTC.
    pub total_amount: serde_json::Number,
}

impl CoinsInfo {
    /// The sum of all coins.
    pub fn total(&self) -> Option<Amount> {
        Amount::from_str_in(
            &self.total_amount.to_string(),
            bitcoin::Denomination::Bitcoin,
        )
        .ok()
    }
}

impl Probe {
    /// The RPC of node number `node`.
    pub fn new(node: usize, url: &str, cookie: PathBuf) -> Probe {
        Probe {
            node,
            client: Client::new(url, Auth::Cookie(cookie)).with_timeout(CALL_TIMEOUT),
        }
    }

    /// Which node it is.
    pub fn node(&self) -> usize {
        self.node
    }

    /// The same node, with time for calls that mine.
    #[must_use]
    pub fn patient(&self) -> Probe {
        Probe {
            node: self.node,
            client: self.client.clone().with_timeout(PATIENT_TIMEOUT),
        }
    }

    /// Any call.
    ///
    /// # Errors
    ///
    /// [`LabError::Node`] with what the node said.
    pub fn call<T: serde::de::DeserializeOwned>(
        &self,
        method: &str,
        params: Value,
    ) -> Result<T, LabError> {
        let result = self
            .client
            .call(method, params)
            .map_err(|error| self.error(method, &error.to_string()))?;
        serde_json::from_value(result).map_err(|error| self.error(method, &error.to_string()))
    }

    fn error(&self, method: &str, problem: &str) -> LabError {
        LabError::Node {
            node: self.node,
            problem: format!("{method}: {problem}"),
        }
    }

    /// The tip.
    pub fn tip(&self) -> Result<BlockHash, LabError> {
        self.call("getbestblockhash", json!([]))
    }

    /// Tip, height, work.
    pub fn chain(&self) -> Result<ChainInfo, LabError> {
        self.call("getblockchaininfo", json!([]))
    }

    /// The ends of all branches.
    pub fn tips(&self) -> Result<Vec<ChainTip>, LabError> {
        self.call("getchaintips", json!([]))
    }

    /// A header.
    pub fn header(&self, hash: &BlockHash) -> Result<HeaderInfo, LabError> {
        self.call("getblockheader", json!([hash, true]))
    }

    /// A block; `None` when the node has it not.
    pub fn block(&self, hash: &BlockHash) -> Result<Option<Block>, LabError> {
        match self.client.call("getblock", json!([hash, 0])) {
            Ok(Value::String(hex)) => deserialize_hex(&hex)
                .map(Some)
                .map_err(|error| self.error("getblock", &error.to_string())),
            Ok(other) => Err(self.error("getblock", &format!("{other} is not a block"))),
            // Core's codes for a block that is unknown, or known by its header only.
            Err(RpcError::Rpc { code: -5 | -1, .. }) => Ok(None),
            Err(error) => Err(self.error("getblock", &error.to_string())),
        }
    }

    /// Ids of the mempool.
    pub fn mempool(&self) -> Result<Vec<Txid>, LabError> {
        self.call("getrawmempool", json!([]))
    }

    /// All transactions of the mempool that are still there when they are asked for.
    pub fn mempool_transactions(&self) -> Result<Vec<Transaction>, LabError> {
        const METHOD: &str = "getrawtransaction";
        let calls: Vec<(&str, Value)> = self
            .mempool()?
            .iter()
            .map(|txid| (METHOD, json!([txid])))
            .collect();
        let mut found = Vec::with_capacity(calls.len());
        for calls in calls.chunks(BATCH) {
            let answers = self.client.call_batch(calls);
            for answer in answers.map_err(|error| self.error(METHOD, &error.to_string()))? {
                match answer {
                    Ok(hex) => {
                        let decoded = deserialize_hex(hex.as_str().unwrap_or_default());
                        found.push(decoded.map_err(|e| self.error(METHOD, &e.to_string()))?);
                    }
                    // It left meanwhile.
                    Err(RpcError::Rpc { code: -5, .. }) => {}
                    Err(error) => return Err(self.error(METHOD, &error.to_string())),
                }
            }
        }
        Ok(found)
    }

    /// Number of connections.
    pub fn connections(&self) -> Result<usize, LabError> {
        self.call("getconnectioncount", json!([]))
    }

    /// Whether a coin is unspent, in the chain or in the mempool, and not spent in the mempool.
    pub fn is_unspent(&self, coin: &OutPoint) -> Result<bool, LabError> {
        let found: Value = self.call("gettxout", json!([coin.txid, coin.vout, true]))?;
        Ok(!found.is_null())
    }

    /// Any call, with the node's own error.
    pub(super) fn ask(&self, method: &str, params: Value) -> Result<Value, RpcError> {
        self.client.call(method, params)
    }

    /// Hands a transaction to the node.
    pub fn send(&self, transaction: &Transaction) -> Result<Txid, LabError> {
        self.call("sendrawtransaction", json!([serialize_hex(transaction)]))
    }

    /// Mines blocks to an address, at once.
    pub fn generate(&self, count: u32, address: &str) -> Result<Vec<BlockHash>, LabError> {
        self.call("generatetoaddress", json!([count, address]))
    }

    /// Turns the node's own miner on (hashes per second) or off (0).
    pub fn set_mining(&self, rate: u64, address: &str) -> Result<(), LabError> {
        let params = json!({"active": rate > 0, "rate": rate.max(1), "address": address});
        let _: Value = self.call("setmining", params)?;
        Ok(())
    }

    /// Dials at once, whatever the node's own back-off says.
    pub fn dial_now(&self, address: &str) -> Result<(), LabError> {
        let _: Value = self.call("addnode", json!([address, "onetry"]))?;
        Ok(())
    }

    /// Fixes the clock that rules are checked against, in Unix seconds; 0 lets it run again.
    pub fn set_clock(&self, seconds: u32) -> Result<(), LabError> {
        let _: Value = self.call("setmocktime", json!([seconds]))?;
        Ok(())
    }

    /// Number, sum and hash of all coins.
    pub fn coins(&self) -> Result<CoinsInfo, LabError> {
        self.call("gettxoutsetinfo", json!(["muhash"]))
    }
}
