//! Figures about blocks: `getblockstats`, `getchaintxstats`.

use bitcoin::consensus::encode::serialize;
use bitcoin::{Amount, BlockHash, TxOut};
use chain::tree::HeaderInfo;
use chain::{CheckedBlock, Coin, Height};
use serde_json::{Map, Value, json};

use super::args::Args;
use super::blockchain::{by_hash_or_height, known_header, read_body_and_spent, tip_info};
use super::call::Handler::Read;
use super::call::{Call, Kind, Likeness, optional, required};
use super::error::Failure;
use super::model::block::take;
use super::model::transaction::fee;
use super::reply::Reply;
use super::reply::reply;
use crate::Api;

/// What Bitcoin Core counts for an entry of the UTXO set beside the output: outpoint, height and coinbase flag.
const PER_UTXO_OVERHEAD: i64 = 41;

/// The calls of this file.
pub(super) const CALLS: &[Call] = &[
    Call {
        name: "getblockstats",
        params: &[
            required("hash_or_height", Kind::Any, "the block"),
            optional(
                "stats",
                Kind::Array,
                "names of the figures wanted; all by default",
            ),
        ],
        help: "Gives figures about a block's transactions: sizes, fees, outputs. Amounts are in satoshis.",
        likeness: Likeness::Core,
        handler: Read(get_block_stats),
    },
    Call {
        name: "getchaintxstats",
        params: &[
            optional(
                "nblocks",
                Kind::Number,
                "blocks to look at; a month of them by default",
            ),
            optional(
                "blockhash",
                Kind::Text,
                "the last of them; the tip by default",
            ),
        ],
        help: "Gives the number of transactions in the chain and their rate.",
        likeness: Likeness::Core,
        handler: Read(get_chain_stats),
    },
];

fn get_block_stats(node: &Api, args: &Args) -> Result<Reply, Failure> {
    let (info, mediantime, subsidy) = node.read(|core| {
        let chain = core.chain();
        let info = by_hash_or_height(chain, args.value(0))?;
        let mediantime = chain.tree().median_time_past(info.id);
        Ok::<_, Failure>((info, mediantime, chain.params().subsidy_at(info.height)))
    })?;
    let (body, spent) = read_body_and_spent(node, &info)?;
    if spent.is_none() && info.height.0 > 0 {
        return Err(Failure::misc(
            "Can't read undo data from disk: the block was never connected",
        ));
    }
    let mut figures = block_figures(&info, &body, spent.as_deref());
    figures.insert("blockhash".into(), json!(info.hash));
    figures.insert("height".into(), json!(info.height));
    figures.insert("mediantime".into(), json!(mediantime));
    figures.insert("subsidy".into(), json!(subsidy.to_sat()));
    figures.insert("time".into(), json!(info.header.time));
    let wanted = args.list(1)?;
    if wanted.is_empty() {
        return reply(&figures);
    }
    let mut chosen = Map::new();
    for name in wanted {
        let name = name
            .as_str()
            .ok_or_else(|| Failure::wrong_type("stats must be strings"))?;
        let figure = figures
            .get(name)
            .ok_or_else(|| Failure::invalid(format!("Invalid selected statistic '{name}'")))?;
        chosen.insert(name.to_owned(), figure.clone());
    }
    reply(&chosen)
}

/// Sums over a block, as in Bitcoin Core's `getblockstats`.
#[derive(Default)]
struct Sums {
    inputs: usize,
    outputs: usize,
    unspent: i64,
    total_out: u64,
    total_size: usize,
    total_weight: u64,
    total_fee: u64,
    utxo_size: i64,
    utxo_size_actual: i64,
    segwit: usize,
    segwit_size: usize,
    segwit_weight: u64,
    fees: Vec<u64>,
    sizes: Vec<u64>,
    /// Satoshis per virtual byte, and weight.
    rates: Vec<(u64, u64)>,
}

fn utxo_size(output: &TxOut) -> i64 {
    i64::try_from(serialize(output).len()).unwrap_or(i64::MAX) + PER_UTXO_OVERHEAD
}

fn block_figures(
    info: &HeaderInfo,
    body: &CheckedBlock,
    spent: Option<&[Coin]>,
) -> Map<String, Value> {
    let mut sums = Sums::default();
    let mut coins = spent;
    for transaction in &body.block().txdata {
        sums.outputs += transaction.output.len();
        let total_out: Amount = transaction.output.iter().map(|output| output.value).sum();
        for output in &transaction.output {
            let size = utxo_size(output);
            sums.utxo_size += size;
            if info.height != Height::GENESIS && !output.script_pubkey.is_op_return() {
                sums.unspent += 1;
                sums.utxo_size_actual += size;
            }
        }
        if transaction.is_coinbase() {
            continue;
        }
        let (size, weight) = (transaction.total_size(), transaction.weight().to_wu());
        sums.inputs += transaction.input.len();
        sums.total_out += total_out.to_sat();
        sums.total_size += size;
        sums.sizes.push(u64::try_from(size).unwrap_or(u64::MAX));
        sums.total_weight += weight;
        if transaction
            .input
            .iter()
            .any(|input| !input.witness.is_empty())
        {
            sums.segwit += 1;
            sums.segwit_size += size;
            sums.segwit_weight += weight;
        }
        let Some(coins) = take(&mut coins, transaction.input.len()) else {
            continue;
        };
        for coin in coins {
            sums.utxo_size -= utxo_size(&coin.output);
            sums.utxo_size_actual -= utxo_size(&coin.output);
        }
        let fee = fee(transaction, coins).unwrap_or(Amount::ZERO).to_sat();
        sums.total_fee += fee;
        sums.fees.push(fee);
        sums.rates.push((fee * 4 / weight.max(1), weight));
    }
    sums.figures(body.block().txdata.len())
}

impl Sums {
    fn figures(mut self, transactions: usize) -> Map<String, Value> {
        let others = u64::try_from(transactions.saturating_sub(1)).unwrap_or(0);
        let size = u64::try_from(self.total_size).unwrap_or(u64::MAX);
        let average = |sum: u64| sum.checked_div(others).unwrap_or(0);
        let least = |list: &[u64]| list.iter().min().copied().unwrap_or(0);
        let most = |list: &[u64]| list.iter().max().copied().unwrap_or(0);
        let only_rates: Vec<u64> = self.rates.iter().map(|(rate, _)| *rate).collect();
        let inputs = i64::try_from(self.inputs).unwrap_or(i64::MAX);
        let outputs = i64::try_from(self.outputs).unwrap_or(i64::MAX);
        let rate = (self.total_fee * 4)
            .checked_div(self.total_weight)
            .unwrap_or(0);
        let figures = json!({
            "avgfee": average(self.total_fee),
            "avgfeerate": rate,
            "avgtxsize": average(size),
            "feerate_percentiles": percentiles(&mut self.rates, self.total_weight),
            "ins": self.inputs,
            "maxfee": most(&self.fees),
            "maxfeerate": most(&only_rates),
            "maxtxsize": most(&self.sizes),
            "medianfee": median(&mut self.fees),
            "mediantxsize": median(&mut self.sizes),
            "minfee": least(&self.fees),
            "minfeerate": least(&only_rates),
            "mintxsize": least(&self.sizes),
            "outs": self.outputs,
            "swtotal_size": self.segwit_size,
            "swtotal_weight": self.segwit_weight,
            "swtxs": self.segwit,
            "total_out": self.total_out,
            "total_size": self.total_size,
            "total_weight": self.total_weight,
            "totalfee": self.total_fee,
            "txs": transactions,
            "utxo_increase": outputs - inputs,
            "utxo_increase_actual": self.unspent - inputs,
            "utxo_size_inc": self.utxo_size,
            "utxo_size_inc_actual": self.utxo_size_actual,
        });
        match figures {
            Value::Object(map) => map,
            _ => Map::new(),
        }
    }
}

/// The middle, or the mean of the two in the middle, rounded down.
fn median(list: &mut [u64]) -> u64 {
    list.sort_unstable();
    let middle = list.len() / 2;
    match list.len() {
        0 => 0,
        n if n % 2 == 0 => u64::midpoint(list[middle - 1], list[middle]),
        _ => list[middle],
    }
}

/// Rates below which 10, 25, 50, 75 and 90 percent of the weight lie.
fn percentiles(rates: &mut [(u64, u64)], total_weight: u64) -> [u64; 5] {
    rates.sort_unstable();
    let mut found = [rates.last().map_or(0, |(rate, _)| *rate); 5];
    let mut next = 0;
    let mut sum = 0;
    for (rate, weight) in rates {
        sum += *weight * 100;
        while let Some(share) = [10, 25, 50, 75, 90].get(next)
            && sum >= total_weight * share
        {
            found[next] = *rate;
            next += 1;
        }
    }
    found
}

fn get_chain_stats(node: &Api, args: &Args) -> Result<Reply, Failure> {
    let hash: Option<BlockHash> = args.opt_hash(1)?;
    let given = args.opt_int(0)?;
    node.read(|core| {
        let chain = core.chain();
        let last = match &hash {
            Some(hash) => known_header(chain, hash)?,
            None => tip_info(chain),
        };
        if !chain.is_active(&last.hash) {
            return Err(Failure::invalid("Block is not in main chain"));
        }
        let month = 30 * 86_400 / i64::from(chain.params().pow.spacing_s.max(1));
        let most = i64::from(last.height.0.saturating_sub(1));
        let blocks = match given {
            None => month.min(most).max(0),
            Some(blocks) if blocks < 0 || (blocks > 0 && blocks >= i64::from(last.height.0)) => {
                let text = "Invalid block count: should be between 0 and the block's height - 1";
                return Err(Failure::invalid(text));
            }
            Some(blocks) => blocks,
        };
        let first_height = last.height.0 - u32::try_from(blocks).unwrap_or(0);
        let (mut all, mut in_window) = (0_u64, 0_u64);
        for height in 0..=last.height.0 {
            let count = chain
                .at_height(Height(height))
                .map_or(0, |info| info.tx_count);
            all += u64::from(count);
            if height > first_height {
                in_window += u64::from(count);
            }
        }
        // Below a snapshot nobody counted.
        let uncounted = chain.snapshot_base().map(|base| base.height.0);
        let mut shown = json!({
            "time": last.header.time,
            "window_final_block_hash": last.hash,
            "window_final_block_height": last.height,
            "window_block_count": blocks,
        });
        if uncounted.is_none() {
            shown["txcount"] = all.into();
        }
        let first = chain.at_height(Height(first_height));
        if let Some(first) = first.filter(|_| blocks > 0) {
            let mtp = |info: &HeaderInfo| i64::from(chain.tree().median_time_past(info.id).0);
            let interval = mtp(&last) - mtp(&first);
            shown["window_interval"] = interval.into();
            let counted = uncounted.is_none_or(|base| first_height >= base);
            if counted {
                shown["window_tx_count"] = in_window.into();
            }
            if interval > 0 && counted {
                #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
                let rate = in_window as f64 / interval as f64;
                shown["txrate"] = rate.into();
            }
        }
        reply(&shown)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_round_down() {
        assert_eq!(median(&mut []), 0);
        assert_eq!(median(&mut [3, 1, 2]), 2);
        assert_eq!(median(&mut [4, 1]), 2);
    }

    #[test]
    fn percentiles_go_by_weight() {
        // Bitcoin Core's test: one fifth of the weight each.
        let mut rates: Vec<(u64, u64)> = (1..=5).map(|rate| (rate, 10)).collect();
        assert_eq!(percentiles(&mut rates, 50), [1, 2, 3, 4, 5]);
        assert_eq!(percentiles(&mut [], 0), [0; 5]);
        assert_eq!(percentiles(&mut [(7, 4)], 4), [7; 5]);
    }
}
