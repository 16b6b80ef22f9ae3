//! Payments that spend another one: they fall away when it is replaced.

use bdk_wallet::Wallet;
use bdk_wallet::chain::ChainPosition;
use bitcoin::{Amount, FeeRate, Txid, Weight};
use serde_json::{Value, json};

use crate::amount;
use crate::node::Node;

/// What nodes ask for a replacement's own way through the network, in satoshi per virtual byte.
const RELAY_SAT_PER_VB: u64 = 1;

/// What falls away with a payment.
#[derive(Debug, Default)]
pub(super) struct Children {
    /// Ours, with what each pays to others.
    ours: Vec<(Txid, Amount)>,
    /// Those of others, as the node knows them.
    others: Vec<Txid>,
    /// The fees of the payment and of all these, if the node knows them.
    fees: Option<Amount>,
}

/// The unconfirmed payments that spend `txid`, directly or not.
pub(super) fn of(wallet: &Wallet, node: &Node, txid: Txid) -> Children {
    let graph = wallet.tx_graph();
    let waiting = |txid: Txid| {
        wallet
            .get_tx(txid)
            .is_some_and(|tx| matches!(tx.chain_position, ChainPosition::Unconfirmed { .. }))
    };
    let mut ours: Vec<(Txid, Amount)> = graph
        .walk_descendants(txid, |_, child| Some(child))
        .filter(|child| waiting(*child))
        .filter_map(|child| {
            let tx = graph.get_tx(child)?;
            let (_, received) = wallet.sent_and_received(&tx);
            let paid: Amount = tx.output.iter().map(|output| output.value).sum();
            Some((child, paid.checked_sub(received).unwrap_or(Amount::ZERO)))
        })
        .collect();
    ours.sort();
    ours.dedup();
    // A node without it in its mempool knows of no children either.
    let of_node = node.ask("getmempooldescendants", &json!([txid])).ok();
    let others = of_node
        .as_ref()
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|id| id.as_str()?.parse::<Txid>().ok())
        .filter(|id| ours.iter().all(|(our, _)| our != id))
        .collect();
    let entry = node.ask("getmempoolentry", &json!([txid])).ok();
    let fees = entry
        .and_then(|entry| entry["fees"]["descendant"].as_f64())
        .and_then(|btc| Amount::from_btc(btc).ok());
    Children { ours, others, fees }
}

impl Children {
    pub(super) fn is_empty(&self) -> bool {
        self.ours.is_empty() && self.others.is_empty()
    }

    /// Why `txid` is not replaced without a word more.
    pub(super) fn refusal(&self, txid: Txid) -> String {
        format!(
            "replacing {txid} would cancel {}; hurry the last of them instead (`mend wallet bump` or `cpfp`), or give --drop-children",
            self.named()
        )
    }

    /// What people are told when they go on.
    pub(super) fn loss(&self) -> String {
        format!("note: this cancels {}", self.named())
    }

    /// At least this rate pays for everything that falls away, in a replacement of `weight`.
    pub(super) fn rate_above(&self, weight: Weight) -> FeeRate {
        let Some(fees) = self.fees.filter(|_| !self.is_empty()) else {
            return FeeRate::ZERO;
        };
        let vbytes = weight.to_vbytes_ceil().max(1);
        let total = fees.to_sat() + RELAY_SAT_PER_VB * vbytes;
        // In satoshi per 1000 weight units; one more, because signatures may be a byte shorter.
        FeeRate::from_sat_per_kwu((total * 250).div_ceil(vbytes) + 1)
    }

    fn named(&self) -> String {
        let ours = self
            .ours
            .iter()
            .map(|(txid, paid)| format!("{txid} ({} BTC)", amount::show(*paid)));
        let others = self
            .others
            .iter()
            .map(|txid| format!("{txid} (somebody else's)"));
        let all: Vec<String> = ours.chain(others).collect();
        let payments = if all.len() == 1 {
            "payment"
        } else {
            "payments"
        };
        format!("{} {payments} that spend it: {}", all.len(), all.join(", "))
    }
}
