//! Connecting and disconnecting blocks on the coins in memory.
//!
//! A run of blocks is connected as a pipeline: while the signatures of some blocks are checked on all cores, this thread looks
//! up and applies the coins of the next ones, and writes what is due for disk. Blocks become the tip in their order, each when
//! its verdict and those of all before it are good; from the first that failed on they are taken back.

use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use super::coins::CacheView;
use super::feed::Feed;
use super::heal::Ground;
use super::window::{Applied, Awaited, First, Verdict, Window};
use super::{BlockPosition, Chain};
use crate::block::CheckedBlock;
use crate::coins::encoding::encode_undo;
use crate::coins::undo_fits;
use crate::probe::Stage;
use crate::rules::block_connected::{
    ConnectContext, ConnectError, ConnectedBlock, check_coins, check_signatures,
};
use crate::rules::error::{RuleError, Standing};
use crate::rules::spend::{self, SignatureCache};
use crate::store::{StoreError, Table};
use crate::tree::NodeId;
use crate::units::Height;

/// Blocks between two looks at how large the coins in memory have grown.
const STRETCH_BLOCKS: usize = 128;

/// Bytes of bodies between two looks at how large the coins in memory have grown.
const STRETCH_BYTES: usize = 8 << 20;

/// Inputs below which handing a block to the pool costs more than it saves.
const SMALL_BLOCK_INPUTS: usize = 8;

/// How a run of blocks ended.
pub(super) enum RunEnd {
    /// So many blocks of the path, and of what was fed after it, were connected; at least one.
    Connected(usize),
    /// A block failed or its body is lost: the best chain has to be chosen anew.
    Stopped,
}

/// Why a run cannot go on.
enum Obstacle {
    /// This block breaks a rule.
    Broken(NodeId, RuleError),
    /// The body of this one is lost.
    Lost(NodeId),
}

/// Blocks that are being connected.
struct Run {
    /// All of them, lowest first; grows while it is fed.
    path: Vec<NodeId>,
    /// How many have had their coins applied.
    applied: usize,
    /// How many of these count.
    kept: usize,
    window: Window,
    /// Blocks and bytes applied since the last look at the size of the coins.
    stretch: (usize, usize),
}

impl Run {
    fn is_applied(&self) -> bool {
        self.applied == self.path.len()
    }

    fn add(&mut self, block: Applied, verdict: Awaited) {
        self.applied += 1;
        self.stretch.0 += 1;
        self.stretch.1 += block.body.total_bytes();
        self.window.push(block, verdict);
    }

    /// Whether it is time for a look at the size of the coins.
    fn ends_stretch(&mut self) -> bool {
        let ends = self.stretch.0 >= STRETCH_BLOCKS || self.stretch.1 > STRETCH_BYTES;
        if ends {
            self.stretch = (0, 0);
        }
        ends
    }
}

/// As [`check_signatures`], on this thread.
fn check_signatures_here(
    body: &CheckedBlock,
    connected: &ConnectedBlock,
    signatures: &SignatureCache,
) -> Result<(), RuleError> {
    let mut rest = connected.undo.as_slice();
    for (index, tx) in body.block().txdata.iter().enumerate().skip(1) {
        let (spent, others) = rest.split_at(tx.input.len());
        rest = others;
        if !signatures.contains(&body.wtxids()[index]) {
            spend::check_coins(tx, body.txids()[index], spent)?;
        }
    }
    Ok(())
}

fn inputs_to_check(body: &CheckedBlock) -> usize {
    let payments = body.block().txdata.iter().skip(1);
    payments.map(|tx| tx.input.len()).sum()
}

/// The verdict on all signatures of a block.
fn verdict(connected: &ConnectedBlock, checked: Result<(), RuleError>) -> Verdict {
    checked.map(|()| encode_undo(&connected.undo))
}

impl Chain {
    /// Connects the first blocks of `path`, the lowest of which is a child of the tip; when all are under way, those that
    /// `feed` adds on top of them.
    pub(super) fn connect_run(
        &mut self,
        path: &[NodeId],
        feed: &mut dyn Feed,
        signatures: &SignatureCache,
        failed: &mut Vec<(BlockPosition, RuleError)>,
    ) -> Result<RunEnd, StoreError> {
        let mut run = Run {
            path: path.to_vec(),
            applied: 0,
            kept: 0,
            window: Window::default(),
            stretch: (0, 0),
        };
        let ended = if self.stays_here(path, feed) {
            self.go_through(&mut run, feed, signatures, None)
        } else {
            rayon::in_place_scope(|scope| self.go_through(&mut run, feed, signatures, Some(scope)))
        };
        // What is left there failed, or follows what failed. If it was storage that failed, what is read until the node stops
        // is true nevertheless.
        self.take_back(run.window);
        match ended? {
            None => Ok(RunEnd::Connected(run.kept)),
            Some(Obstacle::Broken(id, rule)) => {
                match self.second_look(id)? {
                    Ground::Sound => {
                        self.condemn(id, &rule);
                        feed.failed(self.position(id), &rule);
                        failed.push((self.position(id), rule));
                    }
                    Ground::Mended => {}
                    Ground::Unclear => {
                        self.doubtful.insert(id);
                    }
                }
                Ok(RunEnd::Stopped)
            }
            Some(Obstacle::Lost(id)) => {
                self.quarantine(id);
                Ok(RunEnd::Stopped)
            }
        }
    }

    /// Applies and keeps blocks until there are no more, or coins have to be flushed, or there is an obstacle.
    fn go_through<'scope>(
        &mut self,
        run: &mut Run,
        feed: &mut dyn Feed,
        signatures: &'scope SignatureCache,
        pool: Option<&rayon::Scope<'scope>>,
    ) -> Result<Option<Obstacle>, StoreError> {
        let obstacle = self.fill(run, feed, signatures, pool)?;
        let open = if obstacle.is_none() {
            let all = self.flush_with_tip && run.is_applied();
            let last = run.window.last().unwrap_or(self.tip_id());
            self.begin_flush(last, all)?
        } else {
            None
        };
        if let Err(earlier) = self.keep_good(run, true) {
            return Ok(Some(earlier));
        }
        if let Some(open) = open {
            self.finish_flush(open)?;
        }
        Ok(obstacle)
    }

    /// Applies the coins of block after block, leaves their signatures to the pool, and keeps those whose verdicts are in.
    fn fill<'scope>(
        &mut self,
        run: &mut Run,
        feed: &mut dyn Feed,
        signatures: &'scope SignatureCache,
        pool: Option<&rayon::Scope<'scope>>,
    ) -> Result<Option<Obstacle>, StoreError> {
        loop {
            if let Err(obstacle) = self.keep_good(run, false) {
                return Ok(Some(obstacle));
            }
            if run.ends_stretch() && self.coins_are_large() {
                return Ok(None);
            }
            if run.is_applied() && !self.follow(run, feed)? {
                return Ok(None);
            }
            let id = run.path[run.applied];
            let Some(body) = self.body(id)? else {
                return Ok(Some(Obstacle::Lost(id)));
            };
            match self.apply(id, &body, signatures) {
                Ok(connected) => {
                    let block = Applied {
                        id,
                        body,
                        connected: Arc::new(connected),
                    };
                    let verdict = self.check_signatures_of(&block, signatures, pool);
                    run.add(block, verdict);
                }
                Err(ConnectError::Rule(rule)) => return Ok(Some(Obstacle::Broken(id, rule))),
                Err(ConnectError::Coins(error)) => return Err(error),
            }
        }
    }

    /// Lets further blocks in, until one comes that goes on where the run ends. `false`: there is none, or another chain is
    /// better now.
    fn follow(&mut self, run: &mut Run, feed: &mut dyn Feed) -> Result<bool, StoreError> {
        let end = *run.path.last().expect("a run has blocks");
        loop {
            if self.pending_is_large() {
                self.flush_bodies()?;
            }
            if !feed.more(self)? {
                return Ok(false);
            }
            let target = self.next_target();
            if target != end {
                let goes_on = self.tree.is_ancestor(end, target);
                if goes_on {
                    run.path.extend(self.tree.path(end, target));
                }
                return Ok(goes_on);
            }
        }
    }

    /// Keeps the first blocks whose verdicts are in and good; waits for verdicts while the window is full, or for all of them.
    fn keep_good(&mut self, run: &mut Run, all: bool) -> Result<(), Obstacle> {
        loop {
            let wait = all || run.window.is_full();
            match run.window.take_first(wait) {
                First::Good(id, undo) => {
                    self.keep(id, undo);
                    run.kept += 1;
                }
                First::Unknown => return Ok(()),
                First::Broken(id, rule) => return Err(Obstacle::Broken(id, rule)),
            }
        }
    }

    /// Whether no signatures of a run go to the pool.
    ///
    /// A single small block is done sooner here. And one of rayon's own threads (a simulation among many that run in parallel)
    /// must not wait for the pool: it would take up other work meanwhile, a whole simulation perhaps, on the same stack, or wait
    /// for a verdict that only itself could give.
    fn stays_here(&self, path: &[NodeId], feed: &dyn Feed) -> bool {
        let is_small = |id| {
            let body = self.pending.bodies.get(id);
            body.is_some_and(|body| inputs_to_check(body) < SMALL_BLOCK_INPUTS)
        };
        let is_one_small = feed.is_over() && matches!(path, [id] if is_small(id));
        is_one_small || rayon::current_thread_index().is_some()
    }

    /// Checks signatures, or has the pool do so, if there is one.
    fn check_signatures_of<'scope>(
        &self,
        block: &Applied,
        signatures: &'scope SignatureCache,
        pool: Option<&rayon::Scope<'scope>>,
    ) -> Awaited {
        let (body, connected) = (block.body.clone(), block.connected.clone());
        let Some(pool) = pool.filter(|_| !connected.undo.is_empty()) else {
            let checked = self.probes.run(Stage::Signatures, || {
                check_signatures_here(&body, &connected, signatures)
            });
            return Awaited::Known(verdict(&connected, checked));
        };
        let (sender, receiver) = sync_channel(1);
        let probes = self.probes.clone();
        pool.spawn(move |_| {
            let checked = probes.run(Stage::Signatures, || {
                check_signatures(&body, &connected, signatures)
            });
            // Nobody listens any more if an earlier block has failed.
            let _ = sender.send(verdict(&connected, checked));
        });
        Awaited::UnderWay(receiver)
    }

    /// Checks a block on the coins of its parent, all but signatures, and changes the coins.
    fn apply(
        &mut self,
        id: NodeId,
        body: &CheckedBlock,
        signatures: &SignatureCache,
    ) -> Result<ConnectedBlock, ConnectError<StoreError>> {
        let parent = self.tree.parent(id).expect("genesis is never connected");
        let tree = &self.tree;
        let height = tree.height(id);
        let mtp_at = |height: Height| {
            let block = tree
                .ancestor(parent, height)
                .expect("coins come from ancestors");
            tree.median_time_past(block.id)
        };
        let context = ConnectContext {
            height,
            parent_median_time_past: tree.median_time_past(parent),
            mtp_at: &mtp_at,
            params: &self.params,
            signatures,
        };
        let coins = &mut self.coins;
        self.probes.run(Stage::Coins, || {
            let connected = self.store.read(|disk| {
                let cache = &mut *coins;
                check_coins(body, &context, &mut CacheView { cache, disk })
            })?;
            coins.connect_block(body, height);
            Ok(connected)
        })
    }

    /// Takes back the coins of all blocks in the window, last first.
    fn take_back(&mut self, mut window: Window) {
        while let Some(block) = window.take_last() {
            let height = self.tree.height(block.id);
            self.coins
                .disconnect_block(&block.body, height, &block.connected.undo);
        }
    }

    /// All rules hold: the block is the new tip.
    fn keep(&mut self, id: NodeId, undo: Vec<u8>) {
        self.tree.set_connected(id);
        self.tree.set_tip(id);
        self.active.push(id);
        self.pending.touch(id);
        self.pending.add_undo(id, undo);
    }

    /// Draws the consequence of a broken rule.
    fn condemn(&mut self, id: NodeId, rule: &RuleError) {
        match rule.standing() {
            Standing::Never => self.mark_failed(id),
            // Not this body; another may come.
            Standing::OtherBytes | Standing::NotYet => self.quarantine(id),
        }
    }

    /// Disconnects blocks until `fork` is the tip. `false`: a body on the way is lost, and the tip stopped above it.
    ///
    /// What leaves often comes back in other blocks: its signatures are remembered in `signatures`, if given.
    pub(super) fn disconnect_to(
        &mut self,
        fork: NodeId,
        signatures: Option<&SignatureCache>,
    ) -> Result<bool, StoreError> {
        while self.tip_id() != fork {
            let tip = self.tip_id();
            let Some(body) = self.body(tip)? else {
                self.quarantine(tip);
                return Ok(false);
            };
            let undo = self.undo_by_id(tip)?;
            if !undo_fits(&body, &undo) {
                return Err(self.damaged_row(Table::Undo, tip));
            }
            self.coins
                .disconnect_block(&body, self.tree.height(tip), &undo);
            self.active.pop();
            self.tree.set_tip(self.tip_id());
            if let Some(signatures) = signatures {
                body.wtxids()
                    .iter()
                    .skip(1)
                    .for_each(|wtxid| signatures.insert(*wtxid));
            }
        }
        Ok(true)
    }
}
