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
    /// As many blocks as may be asked at a time do not tell.
    TooFar,
}

/// How many bodies may still be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    bodies: usize,
    bytes: usize,
}

impl Allowance {
    /// What a node may read while its lock is held: some ten milliseconds' work. Whoever sends a block that fails makes it do so.
    pub(crate) const SOME: Allowance = Allowance {
        bodies: 32,
        bytes: 8 << 20,
    };

    pub(super) fn is_used_up(&self) -> bool {
        self.bodies == 0 || self.bytes == 0
    }

    pub(super) fn use_up(&mut self, body: &CheckedBlock) {
        self.bodies = self.bodies.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(body.total_bytes());
    }
}

impl Chain {
    /// What the chain that ends at `top` says of `outpoints`. Goes down from there until all is known or `allowance` is used up: as
    /// far as the oldest of them is old, and through the whole chain for one that was never created.
    pub(crate) fn origins(
        &self,
        top: NodeId,
        outpoints: impl IntoIterator<Item = OutPoint>,
        allowance: &mut Allowance,
    ) -> Result<BTreeMap<OutPoint, Origin>, StoreError> {
        let mut search = Search::new(top, outpoints);
        search.go_on(self, allowance)?;
        Ok(search.end())
    }

    /// The coins that a block spent, in input order, by bodies alone. `None`: a body that would tell is not here, or too far away.
    pub(crate) fn origin_of_undo(
        &self,
        id: NodeId,
        mut allowance: Allowance,
    ) -> Result<Option<Vec<Coin>>, StoreError> {
        let Some(mut search) = self.search_undo(id)? else {
            return Ok(None);
        };
        search.before.go_on(self, &mut allowance)?;
        Ok(search.end())
    }

    /// The search for the coins that a block spent. `None`: its body is not here.
    pub(super) fn search_undo(&self, id: NodeId) -> Result<Option<UndoSearch>, StoreError> {
        let Some(body) = self.body(id)? else {
            return Ok(None);
        };
        let within = created(&body, self.tree.height(id));
        let payments = body.block().txdata.iter().skip(1);
        let spent: Vec<OutPoint> = payments
            .flat_map(|tx| tx.input.iter().map(|input| input.previous_output))
            .collect();
        let before = spent.iter().filter(|spent| !within.contains_key(spent));
        // Genesis spends nothing.
        let below = self.tree.parent(id).unwrap_or(id);
        Ok(Some(UndoSearch {
            before: Search::new(below, before.copied()),
            spent,
            within,
        }))
    }
}

/// The coins that `body` creates, spent in the same block or not.
pub(super) fn created(body: &CheckedBlock, height: Height) -> BTreeMap<OutPoint, PackedCoin> {
    let created = (0..body.txids().len()).flat_map(|index| creations(body, index, height));
    created
        .map(|creation| (creation.outpoint, creation.coin))
        .collect()
}

/// The search for what a block spent.
pub(super) struct UndoSearch {
    /// In input order.
    spent: Vec<OutPoint>,
    /// What the block created itself.
    within: BTreeMap<OutPoint, PackedCoin>,
    pub(super) before: Search,
}

impl UndoSearch {
    /// The coins, in input order. `None`: not all are known.
    pub(super) fn end(self) -> Option<Vec<Coin>> {
        let before = self.before.end();
        let coin = |outpoint| match (self.within.get(outpoint), before.get(outpoint)) {
            (Some(coin), _) | (None, Some(Origin::Unspent(coin))) => Some(coin.unpack()),
            _ => None,
        };
        self.spent.iter().map(coin).collect()
    }
}

/// Outpoints that are looked for in blocks, last block first.
pub(super) struct Search {
    open: BTreeSet<OutPoint>,
    found: BTreeMap<OutPoint, Origin>,
    /// The block that is looked at next.
    next: Option<NodeId>,
    /// What it comes to for those that are not found.
    rest: Option<Origin>,
}

impl Search {
    pub(super) fn new(top: NodeId, outpoints: impl IntoIterator<Item = OutPoint>) -> Search {
        Search {
            open: outpoints.into_iter().collect(),
            found: BTreeMap::new(),
            next: Some(top),
            rest: None,
        }
    }

    /// Goes on downwards until all is known or `allowance` is used up. Gives whether it has come to its end.
    pub(super) fn go_on(
        &mut self,
        chain: &Chain,
        allowance: &mut Allowance,
    ) -> Result<bool, StoreError> {
        while !self.open.is_empty() && self.rest.is_none() {
            let Some(id) = self.next else {
                self.rest = Some(Origin::Absent);
                break;
            };
            if allowance.is_used_up() {
                return Ok(false);
            }
            match chain.body(id)? {
                Some(body) => {
                    allowance.use_up(&body);
                    self.go_through(&body, chain.tree.height(id));
                    self.next = chain.tree.parent(id);
                }
                None if chain.tree.status(id).connected => self.rest = Some(Origin::Unclear),
                None => self.rest = Some(Origin::BelowSnapshot),
            }
        }
        Ok(true)
    }

    /// What was found so far.
    pub(super) fn end(mut self) -> BTreeMap<OutPoint, Origin> {
        let rest = self.rest.unwrap_or(Origin::TooFar);
        for outpoint in self.open {
            self.found.insert(outpoint, rest.clone());
        }
        self.found
    }

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
}
