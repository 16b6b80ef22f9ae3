//! Connecting blocks: a pipeline.
//!
//! ```text
//! the next block -> its coins are applied -> it waits in the window -> it is the tip
//!    (path, feed)      (this thread)      |   while the pool checks     (kept)
//!                                         |   its signatures
//!                                         +-> a rule is broken: it and all after it are taken back
//! ```
//!
//! Coins are applied in the order of the chain, ahead of the verdicts on signatures; blocks become the tip in the same order, each
//! when its verdict and those of all before it are good. So all cores check signatures while this thread looks up the coins of
//! the next blocks, and writes what is due for disk: that is begun before the last verdicts are in, and committed after them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};

use super::Chain;
use super::activate::Walk;
use super::coins::CacheView;
use super::feed::Feed;
use super::heal::Ground;
use crate::block::CheckedBlock;
use crate::coins::encoding::encode_undo;
use crate::probe::Stage;
use crate::rules::block_connected::{
    ConnectContext, ConnectError, ConnectedBlock, check_coins, check_signatures,
    check_signatures_here,
};
use crate::rules::error::{RuleError, Standing};
use crate::rules::spend::SignatureCache;
use crate::store::StoreError;
use crate::tree::NodeId;
use crate::units::Height;

/// Bytes of bodies whose signatures may be under way at a time, about: more than a second's work for two cores, so that the
/// pool has enough to do while the connecting thread writes. Decoded they take some three times as much memory.
const WINDOW_BYTES: usize = 10 << 20;

/// Blocks whose signatures may be under way at a time.
const WINDOW_BLOCKS: usize = 128;

/// Blocks between two looks at how large the coins in memory have grown.
const STRETCH_BLOCKS: usize = 128;

/// Bytes of bodies between two looks at how large the coins in memory have grown.
const STRETCH_BYTES: usize = 8 << 20;

/// Inputs below which handing a block to the pool costs more than it saves.
const SMALL_BLOCK_INPUTS: usize = 8;

/// What checking a block's signatures gives: its undo data, encoded.
type Verdict = Result<Vec<u8>, RuleError>;

/// A block whose coins are applied and whose signatures are being checked.
struct UnderWay {
    id: NodeId,
    body: Arc<CheckedBlock>,
    connected: Arc<ConnectedBlock>,
    verdict: Receiver<Verdict>,
}

/// Why a run of blocks ends before its path does.
enum Stop {
    /// This block breaks a rule.
    Broken(NodeId, RuleError),
    /// The body of this one is lost.
    Lost(NodeId),
    /// Fatal.
    Store(StoreError),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Stop {
        Stop::Store(error)
    }
}

/// A run of blocks through the pipeline.
struct Run<'a, 'scope> {
    chain: &'a mut Chain,
    signatures: &'scope SignatureCache,
    /// The cores; `None` if signatures are checked on this thread.
    pool: Option<&'a rayon::Scope<'scope>>,
    /// In the order of the chain, all above the tip.
    window: VecDeque<UnderWay>,
    /// Bytes of the bodies in there.
    window_bytes: usize,
    /// Blocks that became the tip.
    kept: usize,
}

impl Chain {
    /// Connects `path`, the lowest block of which is a child of the tip, and the blocks that the walk's feed adds on top. Gives how
    /// many blocks were connected: fewer than the path has if one failed or is lost, or if coins had to be flushed.
    pub(super) fn connect_run(
        &mut self,
        path: Vec<NodeId>,
        walk: &mut Walk<'_>,
    ) -> Result<usize, StoreError> {
        let pooled = !self.stays_on_this_thread(&path, walk.feed);
        let mut run = Run {
            chain: self,
            signatures: walk.signatures,
            pool: None,
            window: VecDeque::new(),
            window_bytes: 0,
            kept: 0,
        };
        let flush_at_end = walk.flush_at_end;
        let ended = if pooled {
            rayon::in_place_scope(|scope| {
                let mut run = Run {
                    pool: Some(scope),
                    ..run
                };
                let ended = run.go(path, walk.feed, flush_at_end);
                (run.kept, ended)
            })
        } else {
            let ended = run.go(path, walk.feed, flush_at_end);
            (run.kept, ended)
        };
        match ended {
            (kept, Ok(())) => Ok(kept),
            (_, Err(Stop::Store(error))) => Err(error),
            (kept, Err(Stop::Lost(id))) => {
                self.quarantine(id);
                Ok(kept)
            }
            (kept, Err(Stop::Broken(id, rule))) => {
                match self.second_look(id)? {
                    Ground::Sound => {
                        self.condemn(id, &rule);
                        let position = self.position(id);
                        walk.feed.failed(position, &rule);
                        walk.failed.push((position, rule));
                    }
                    Ground::Mended => {}
                    Ground::Unclear => {
                        self.doubtful.insert(id);
                    }
                }
                Ok(kept)
            }
        }
    }

    /// Whether no signatures of a run go to the pool.
    ///
    /// A single small block is done sooner here. And one of rayon's own threads (a simulation among many that run in parallel)
    /// must not wait for the pool: it would take up other work meanwhile, a whole simulation perhaps, on the same stack, or wait
    /// for a verdict that only itself could give.
    fn stays_on_this_thread(&self, path: &[NodeId], feed: &dyn Feed) -> bool {
        let inputs = |body: &Arc<CheckedBlock>| -> usize {
            let payments = body.block().txdata.iter().skip(1);
            payments.map(|tx| tx.input.len()).sum()
        };
        let is_small = |id| {
            let body = self.pending.bodies.get(id);
            body.is_some_and(|body| inputs(body) < SMALL_BLOCK_INPUTS)
        };
        let is_one_small = feed.is_over() && matches!(path, [id] if is_small(id));
        is_one_small || rayon::current_thread_index().is_some()
    }

    /// Draws the consequence of a broken rule.
    fn condemn(&mut self, id: NodeId, rule: &RuleError) {
        match rule.standing() {
            Standing::Never => self.mark_failed(id),
            // Not this body; another may come.
            Standing::OtherBytes | Standing::NotYet => self.quarantine(id),
        }
    }

    /// Lets further blocks in, until there are some that go on where the run ends. `None`: there are none, or another chain is
    /// better now.
    fn let_in(
        &mut self,
        end: NodeId,
        feed: &mut dyn Feed,
    ) -> Result<Option<Vec<NodeId>>, StoreError> {
        loop {
            if self.pending_is_large() && !self.is_flushed_by_host() {
                self.try_flush_bodies()?;
            }
            if !feed.more(self)? {
                return Ok(None);
            }
            let target = self.next_target();
            if target != end {
                let goes_on = self.tree.is_ancestor(end, target);
                return Ok(goes_on.then(|| self.tree.path(end, target)));
            }
        }
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
        let cache = &mut self.coins;
        self.probes.run(Stage::Coins, || {
            let connected = self
                .store
                .read(|disk| check_coins(body, &context, &mut CacheView { cache, disk }))?;
            cache.connect_block(body, height);
            Ok(connected)
        })
    }

    /// All rules hold: the block is the new tip.
    fn keep(&mut self, id: NodeId, undo: Vec<u8>) {
        self.tree.set_connected(id);
        self.tree.set_tip(id);
        self.active.push(id);
        self.pending.touch(id);
        self.pending.add_undo(id, undo);
    }
}

impl<'scope> Run<'_, 'scope> {
    /// Connects until there are no more blocks, or coins have to be flushed, or something is wrong. Flushes all if it comes to the
    /// end and `flush_at_end`, and else what has grown large.
    fn go(
        &mut self,
        path: Vec<NodeId>,
        feed: &mut dyn Feed,
        flush_at_end: bool,
    ) -> Result<(), Stop> {
        let ended = self.apply_and_write(path, feed, flush_at_end);
        // What is left there failed, or follows what failed. If it was storage that failed, what is read until the node stops
        // is true nevertheless.
        while let Some(block) = self.window.pop_back() {
            let height = self.chain.tree.height(block.id);
            let undo = &block.connected.undo;
            self.chain.coins.disconnect_block(&block.body, height, undo);
        }
        ended
    }

    fn apply_and_write(
        &mut self,
        path: Vec<NodeId>,
        feed: &mut dyn Feed,
        flush_at_end: bool,
    ) -> Result<(), Stop> {
        let at_end = self.apply_all(path, feed)?;
        let last = self.window.back().map(|block| block.id);
        let last = last.unwrap_or(self.chain.tip_id());
        let open = self.chain.begin_flush(last, at_end && flush_at_end)?;
        self.keep_all()?;
        if let Some(open) = open {
            self.chain.finish_flush(open)?;
        }
        Ok(())
    }

    /// Applies the coins of block after block. Gives whether all are applied; if not, coins have to be flushed.
    fn apply_all(&mut self, path: Vec<NodeId>, feed: &mut dyn Feed) -> Result<bool, Stop> {
        let mut end = *path.last().expect("a run has blocks");
        let mut ahead = VecDeque::from(path);
        let (mut stretch_blocks, mut stretch_bytes) = (0, 0);
        loop {
            self.keep_ready()?;
            if stretch_blocks >= STRETCH_BLOCKS || stretch_bytes > STRETCH_BYTES {
                (stretch_blocks, stretch_bytes) = (0, 0);
                if self.chain.coins_are_large() {
                    return Ok(false);
                }
            }
            if ahead.is_empty() {
                let Some(more) = self.chain.let_in(end, feed)? else {
                    return Ok(true);
                };
                end = *more.last().expect("it goes on");
                ahead.extend(more);
            }
            let Some(id) = ahead.pop_front() else {
                continue;
            };
            match self.apply(id) {
                Ok(bytes) => {
                    stretch_blocks += 1;
                    stretch_bytes += bytes;
                }
                Err(stop @ Stop::Store(_)) => return Err(stop),
                // Those before it may be good; if one is not, that comes first.
                Err(stop) => return self.keep_all().and(Err(stop)),
            }
        }
    }

    /// Applies the coins of a block and has its signatures checked. Gives its bytes.
    fn apply(&mut self, id: NodeId) -> Result<usize, Stop> {
        let body = self.chain.body(id)?.ok_or(Stop::Lost(id))?;
        let connected = match self.chain.apply(id, &body, self.signatures) {
            Ok(connected) => Arc::new(connected),
            Err(ConnectError::Rule(rule)) => return Err(Stop::Broken(id, rule)),
            Err(ConnectError::Coins(error)) => return Err(error.into()),
        };
        let bytes = body.total_bytes();
        self.window_bytes += bytes;
        self.window.push_back(UnderWay {
            id,
            verdict: self.verdict_on(&body, &connected),
            body,
            connected,
        });
        Ok(bytes)
    }

    /// Checks signatures here, or has the pool do so, if there is one.
    fn verdict_on(
        &self,
        body: &Arc<CheckedBlock>,
        connected: &Arc<ConnectedBlock>,
    ) -> Receiver<Verdict> {
        let (sender, receiver) = sync_channel(1);
        let (body, connected) = (Arc::clone(body), Arc::clone(connected));
        let (probes, signatures) = (self.chain.probes.clone(), self.signatures);
        let pool = self.pool.filter(|_| !connected.undo.is_empty());
        let check = if pool.is_some() {
            check_signatures
        } else {
            check_signatures_here
        };
        let work = move || {
            let checked = probes.run(Stage::Signatures, || check(&body, &connected, signatures));
            // Nobody listens any more if an earlier block has failed.
            let _ = sender.send(checked.map(|()| encode_undo(&connected.undo)));
        };
        match pool {
            Some(pool) => pool.spawn(move |_| work()),
            None => work(),
        }
        receiver
    }

    /// Keeps the first blocks whose verdicts are in and good. Waits for verdicts only while the window is full.
    fn keep_ready(&mut self) -> Result<(), Stop> {
        while let Some(first) = self.window.front() {
            let is_full = self.window_bytes > WINDOW_BYTES || self.window.len() >= WINDOW_BLOCKS;
            let verdict = match first.verdict.try_recv() {
                Err(TryRecvError::Empty) if is_full => wait_for(first),
                Err(TryRecvError::Empty) => return Ok(()),
                verdict => verdict.expect(ONLY_A_PANIC),
            };
            self.keep_first(verdict)?;
        }
        Ok(())
    }

    /// Keeps all blocks, if their verdicts are good.
    fn keep_all(&mut self) -> Result<(), Stop> {
        while let Some(first) = self.window.front() {
            let verdict = wait_for(first);
            self.keep_first(verdict)?;
        }
        Ok(())
    }

    /// Makes the first block of the window the tip. One that breaks a rule stays inside, to be taken back with those after it.
    fn keep_first(&mut self, verdict: Verdict) -> Result<(), Stop> {
        let first = self.window.front().expect("the verdict is on it");
        let id = first.id;
        let undo = verdict.map_err(|rule| Stop::Broken(id, rule))?;
        self.window_bytes -= first.body.total_bytes();
        self.window.pop_front();
        self.chain.keep(id, undo);
        self.kept += 1;
        Ok(())
    }
}

const ONLY_A_PANIC: &str = "only a panic ends a check of signatures without a verdict";

fn wait_for(block: &UnderWay) -> Verdict {
    block.verdict.recv().expect(ONLY_A_PANIC)
}
