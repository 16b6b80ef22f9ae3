//! Where coins come from: what bodies alone say of them. Bodies prove themselves, so this holds whatever the coins' table says.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::OutPoint;

use super::super::Chain;
use crate::block::CheckedBlock;
use crate::coins::{Coin, PackedCoin, creations};
use crate::store::StoreError;
use crate::tree::NodeId;
use crate::units::Height;

/// What blocks say of an outpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// It was created, and not spent after.
    Unspent(PackedCoin),
    /// It was spent, or never created.
    Absent,
    /// A body that would tell is lost, and comes back.
    Unclear,
    /// Blocks down to a snapshot of coins do not tell, and those below are not here.
    BelowSnapshot,
}

impl Chain {
    /// What the chain that ends at `top` says of `outpoints`. Goes down from there until all is known: as far as the oldest of
    /// them is old, and through the whole chain for one that was never created.
    pub(crate) fn origins(
        &self,
        top: NodeId,
        outpoints: impl IntoIterator<Item = OutPoint>,
    ) -> Result<BTreeMap<OutPoint, Origin>, StoreError> {
        let mut search = Search {
            open: outpoints.into_iter().collect(),
            found: BTreeMap::new(),
        };
        let mut next = Some(top);
        while let Some(id) = next.filter(|_| !search.open.is_empty()) {
            let Some(body) = self.body(id)? else {
                let was_here = self.tree.status(id).connected;
                return Ok(search.end(if was_here {
                    Origin::Unclear
                } else {
                    Origin::BelowSnapshot
                }));
            };
            search.go_through(&body, self.tree.height(id));
            next = self.tree.parent(id);
        }
        Ok(search.end(Origin::Absent))
    }

    /// The coins that a block spent, in input order, by bodies alone. `None`: a body that would tell is not here.
    pub(crate) fn origin_of_undo(&self, id: NodeId) -> Result<Option<Vec<Coin>>, StoreError> {
        let Some(body) = self.body(id)? else {
            return Ok(None);
        };
        let Some(parent) = self.tree.parent(id) else {
            return Ok(Some(Vec::new()));
        };
        let height = self.tree.height(id);
        let within: BTreeMap<OutPoint, PackedCoin> = (0..body.txids().len())
            .flat_map(|index| creations(&body, index, height))
            .map(|creation| (creation.outpoint, creation.coin))
            .collect();
        let payments = body.block().txdata.iter().skip(1);
        let spent: Vec<OutPoint> = payments
            .flat_map(|tx| tx.input.iter().map(|input| input.previous_output))
            .collect();
        let before = spent.iter().filter(|spent| !within.contains_key(spent));
        let before = self.origins(parent, before.copied())?;
        let coin = |outpoint| match (within.get(outpoint), before.get(outpoint)) {
            (Some(coin), _) | (None, Some(Origin::Unspent(coin))) => Some(coin.unpack()),
            _ => None,
        };
        Ok(spent.iter().map(coin).collect())
    }
}

/// Outpoints that are looked for in blocks, last block first.
struct Search {
    open: BTreeSet<OutPoint>,
    found: BTreeMap<OutPoint, Origin>,
}

impl Search {
    fn go_through(&mut self, body: &CheckedBlock, height: Height) {
        for (index, tx) in body.block().txdata.iter().enumerate().rev() {
            for input in &tx.input {
                self.settle(&input.previous_output, Origin::Absent);
            }
            let txid = body.txids()[index];
            let outputs = OutPoint::new(txid, 0)..=OutPoint::new(txid, u32::MAX);
            if self.open.range(outputs.clone()).next().is_none() {
                continue;
            }
            // Genesis' coinbase makes no coin.
            if index > 0 || height > Height::GENESIS {
                for creation in creations(body, index, height) {
                    self.settle(&creation.outpoint, Origin::Unspent(creation.coin));
                }
            }
            // Others that it might have made it did not make.
            let rest: Vec<OutPoint> = self.open.range(outputs).copied().collect();
            for outpoint in rest {
                self.settle(&outpoint, Origin::Absent);
            }
        }
    }

    fn settle(&mut self, outpoint: &OutPoint, origin: Origin) {
        if self.open.remove(outpoint) {
            self.found.insert(*outpoint, origin);
        }
    }

    fn end(mut self, rest: Origin) -> BTreeMap<OutPoint, Origin> {
        for outpoint in self.open {
            self.found.insert(outpoint, rest.clone());
        }
        self.found
    }
}
