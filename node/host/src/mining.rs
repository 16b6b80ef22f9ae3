//! The node's own miner: template, search, submit, again.
//!
//! It pauses while the node syncs, takes up a new tip at once, and looks for new transactions every second. Its dial
//! (on or off, rate, address) can be turned while the node runs. Its threads have the lowest priority and rest while a block is
//! connected, so that blocks and payments are checked as fast as without it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bitcoin::Address;
use chain::Timestamp;
use miner::{Job, PauseGate, ROLLING_MASK, SearchOptions, SearchOutcome, Searcher, StopFlag};

use crate::NodeHandle;
use node_core::{BlockTemplate, ChainAhead, Mode};

/// A template is made anew after this time, since its time and so perhaps its difficulty lag behind.
const TEMPLATE_LIFE: Duration = Duration::from_secs(5);
/// How often a paused miner looks whether it may go on.
const PAUSE: Duration = Duration::from_millis(100);

/// How often it is told, at most, that the chain is ahead of the clock.
const TELL_AHEAD_EVERY: Duration = Duration::from_secs(600);
const CHAIN_AHEAD: &str = "the chain is ahead of this machine's clock";

/// The dial of the miner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MiningSettings {
    /// Whether it mines.
    pub active: bool,
    /// Whom the blocks pay.
    pub address: Option<Address>,
    /// Hashes per second at most; `None` for as many as it can.
    pub rate: Option<u64>,
    /// Threads.
    pub threads: usize,
    /// Mine also while blocks of peers are being fetched.
    pub while_syncing: bool,
}

/// The state of the miner, shared with those who watch and turn it.
#[derive(Debug)]
pub struct Mining {
    state: Mutex<State>,
    changed: Condvar,
    found: AtomicU64,
    stale: AtomicU64,
    hashes_before: AtomicU64,
    /// Closed while blocks are connected.
    pause: PauseGate,
}

/// How long the miner took to search on new tips.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct TipSwitches {
    /// How many there were.
    pub count: u64,
    /// Seconds from the new tip to the first thread that searches on it, summed up.
    pub seconds: f64,
    /// The longest, in seconds.
    pub worst_s: f64,
}

impl TipSwitches {
    fn note(&mut self, took: Duration) {
        let seconds = took.as_secs_f64();
        self.count += 1;
        self.seconds += seconds;
        self.worst_s = self.worst_s.max(seconds);
    }
}

#[derive(Debug)]
struct State {
    settings: MiningSettings,
    started: bool,
    pause: Option<&'static str>,
    /// When it was last told that the chain is ahead of the clock.
    told_ahead: Option<Instant>,
    /// The search that is going on.
    search: Option<Search>,
    /// Hashes per second, lately.
    rate_now: f64,
    /// When the tip changed that is not searched on yet.
    tip_changed: Option<Instant>,
    switches: TipSwitches,
}

#[derive(Debug)]
struct Search {
    stop: StopFlag,
    since: Instant,
    pool_sequence: u64,
    /// The last time for which the template's bits are right.
    max_time: Timestamp,
}

/// What the miner did and does.
#[derive(Clone, Debug, PartialEq)]
pub struct MiningStatus {
    /// The dial.
    pub settings: MiningSettings,
    /// Why it pauses, if it does.
    pub pause: Option<&'static str>,
    /// Blocks found that joined the chain.
    pub found: u64,
    /// Blocks found that were too late or refused.
    pub stale: u64,
    /// Hashes computed.
    pub hashes: u64,
    /// Hashes per second, lately.
    pub hashes_per_second: f64,
    /// How fast new tips were taken up.
    pub switches: TipSwitches,
}

impl State {
    /// Notes how long a change of the tip waited, once a search on the new tip has begun.
    fn note_switch(&mut self) {
        let begun = self
            .search
            .as_ref()
            .and_then(|search| search.stop.begun_at());
        if let (Some(changed), Some(begun)) = (self.tip_changed, begun)
            && begun >= changed
        {
            self.switches.note(begun - changed);
            self.tip_changed = None;
        }
    }
}

impl Mining {
    /// A miner with its dial at `settings`.
    pub fn new(settings: MiningSettings) -> Mining {
        Mining {
            state: Mutex::new(State {
                settings,
                started: false,
                pause: None,
                told_ahead: None,
                search: None,
                rate_now: 0.0,
                tip_changed: None,
                switches: TipSwitches::default(),
            }),
            changed: Condvar::new(),
            found: AtomicU64::new(0),
            stale: AtomicU64::new(0),
            hashes_before: AtomicU64::new(0),
            pause: PauseGate::new(),
        }
    }

    /// Holds the search up while it is closed; the threads stay where they are.
    pub(crate) fn gate(&self) -> PauseGate {
        self.pause.clone()
    }

    /// What it did and does.
    pub fn status(&self) -> MiningStatus {
        let mut state = self.lock();
        state.note_switch();
        MiningStatus {
            settings: state.settings.clone(),
            pause: state.pause,
            found: self.found.load(Ordering::Relaxed),
            stale: self.stale.load(Ordering::Relaxed),
            hashes: self.hashes_before.load(Ordering::Relaxed),
            switches: state.switches,
            hashes_per_second: if state.settings.active {
                state.rate_now
            } else {
                0.0
            },
        }
    }

    /// The active tip changed: what is being searched is stale.
    pub(crate) fn tip_changed(&self) {
        let mut state = self.lock();
        state.note_switch();
        // Before the clock is read: a search that begins later and is stale then knows that it is stopped.
        self.interrupt(&state);
        if state.search.is_some() {
            // Of several changes in a row the first counts: since then the search was stale.
            state.tip_changed.get_or_insert_with(Instant::now);
        }
    }

    /// Wakes the miner to look around, as when the node stops.
    pub fn wake(&self) {
        self.interrupt(&self.lock());
        self.changed.notify_all();
    }

    fn set(&self, settings: MiningSettings) {
        let mut state = self.lock();
        state.settings = settings;
        self.interrupt(&state);
        self.changed.notify_all();
    }

    fn interrupt(&self, state: &State) {
        if let Some(search) = &state.search {
            search.stop.stop();
        }
    }

    fn pause(&self, why: &'static str) {
        let mut state = self.lock();
        state.search = None;
        state.tip_changed = None;
        state.rate_now = 0.0;
        if state.pause != Some(why) {
            tracing::info!(target: "miner", why, "mining pauses");
            state.pause = Some(why);
        }
        // A changed dial ends the wait early.
        let _ = self.changed.wait_timeout(state, PAUSE);
    }

    /// Pauses, and tells once in a while by how much the chain is ahead: the clock lets a block through now and then.
    fn pause_until_clock(&self, ahead: &ChainAhead) {
        {
            let mut state = self.lock();
            let told = state.told_ahead.map(|at| at.elapsed());
            if told.is_none_or(|since| since >= TELL_AHEAD_EVERY) {
                tracing::warn!(target: "miner", "mining pauses: {ahead}");
                state.told_ahead = Some(Instant::now());
            }
            state.pause = Some(CHAIN_AHEAD);
        }
        self.pause(CHAIN_AHEAD);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl NodeHandle {
    /// Turns the miner's dial; a thread for it is started when it is first needed.
    ///
    /// # Errors
    ///
    /// When it is switched on without an address to pay.
    pub fn set_mining(&self, settings: MiningSettings) -> Result<(), &'static str> {
        if settings.active && settings.address.is_none() {
            return Err(
                "mining needs an address to pay; give it as the third parameter, after whether and how fast: setmining true 0 bcrt1q...",
            );
        }
        self.inner.mining.set(settings);
        start_when_wanted(self);
        Ok(())
    }
}

/// Starts the miner's thread if it is to mine and has none.
pub(crate) fn start_when_wanted(node: &NodeHandle) {
    let mut state = node.inner.mining.lock();
    if state.started || !state.settings.active {
        return;
    }
    let node = node.clone();
    let thread = std::thread::Builder::new().name("miner".to_owned());
    match thread.spawn(move || run(&node)) {
        Ok(_) => state.started = true,
        Err(error) => tracing::error!(target: "miner", %error, "no thread for mining"),
    }
}

/// Ends a search whose template is old, whose bits are for an earlier time, or whose mempool has changed.
pub(crate) fn refresh(node: &NodeHandle) {
    if !node.inner.mining.lock().settings.active {
        return;
    }
    // The core's lock is never waited for under the miner's: who changes the tip takes them the other way round.
    let sequence = node.read(|core| core.mempool().sequence());
    let wall = node.now().wall;
    if let Some(search) = &node.inner.mining.lock().search
        && (search.since.elapsed() >= TEMPLATE_LIFE
            || wall > search.max_time
            || search.pool_sequence != sequence)
    {
        search.stop.stop();
    }
}

fn run(node: &NodeHandle) {
    let mut extra_nonce: u64 = rand::random();
    let mut engine: Option<(MiningSettings, Searcher)> = None;
    while let Some((settings, stop)) = next_search(node) {
        let (mode, is_healing) = node.read(|core| (core.mode(), core.chain().is_healing()));
        let healing = is_healing.then_some("stored data are being healed");
        if let Some(why) = reason_to_pause(mode, settings.while_syncing).or(healing) {
            node.inner.mining.pause(why);
            continue;
        }
        let searcher = match engine.take() {
            Some((known, searcher)) if known == settings => searcher,
            _ => match new_searcher(&settings, node.inner.mining.gate()) {
                Ok(searcher) => searcher,
                Err(error) => {
                    tracing::error!(target: "miner", "{error}");
                    node.inner.mining.pause("the miner could not be set up");
                    continue;
                }
            },
        };
        let template = match node.read(|core| core.template(node.now())) {
            Ok(template) => template,
            Err(ahead) => {
                node.inner.mining.pause_until_clock(&ahead);
                continue;
            }
        };
        extra_nonce = extra_nonce.wrapping_add(1);
        search_one(node, &settings, &searcher, &stop, &template, extra_nonce);
        engine = Some((settings, searcher));
    }
}

/// Waits until the dial is on. `None`: the node stops.
fn next_search(node: &NodeHandle) -> Option<(MiningSettings, StopFlag)> {
    let mining = &node.inner.mining;
    let mut state = mining.lock();
    loop {
        if node.stop().is_pressed() {
            return None;
        }
        if state.settings.active {
            // The flag is there before the template is made, so that no new tip is missed in between.
            let stop = StopFlag::new();
            state.note_switch();
            state.search = Some(Search {
                stop: stop.clone(),
                since: Instant::now(),
                pool_sequence: 0,
                max_time: Timestamp(u32::MAX),
            });
            return Some((state.settings.clone(), stop));
        }
        state.search = None;
        state.tip_changed = None;
        state.pause = None;
        state = mining
            .changed
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner);
    }
}

fn reason_to_pause(mode: Mode, while_syncing: bool) -> Option<&'static str> {
    match mode {
        Mode::Starting | Mode::Syncing if !while_syncing => Some("the node is syncing"),
        Mode::DiskLow => Some("the disk is nearly full"),
        Mode::ReadOnly => Some("storage failed"),
        _ => None,
    }
}

fn new_searcher(
    settings: &MiningSettings,
    pause: PauseGate,
) -> Result<Searcher, miner::SearchError> {
    Searcher::new(SearchOptions {
        threads: settings.threads,
        rate: settings.rate,
        background: true,
        pause,
        ..SearchOptions::default()
    })
}

fn search_one(
    node: &NodeHandle,
    settings: &MiningSettings,
    searcher: &Searcher,
    stop: &StopFlag,
    template: &BlockTemplate,
    extra_nonce: u64,
) {
    let Some(address) = &settings.address else {
        return;
    };
    let mining = &node.inner.mining;
    {
        let pool_sequence = node.read(|core| core.mempool().sequence());
        let mut state = mining.lock();
        state.pause = None;
        if let Some(search) = &mut state.search {
            search.pool_sequence = pool_sequence;
            search.max_time = template.max_time;
        }
    }
    let mut block = template.build(&address.script_pubkey(), extra_nonce);
    let job = Job {
        header: block.header,
        target: block.header.target(),
        version_mask: ROLLING_MASK,
    };
    let (start, hashes) = (Instant::now(), searcher.hashes());
    let outcome = searcher.search(&job, stop);
    let done = searcher.hashes().saturating_sub(hashes);
    mining.hashes_before.fetch_add(done, Ordering::Relaxed);
    note_rate(&mut mining.lock().rate_now, done, start.elapsed());
    let SearchOutcome::Found(header) = outcome else {
        return;
    };
    block.header = header;
    let hash = header.block_hash();
    match node.submit_block(block) {
        Ok(true) => {
            mining.found.fetch_add(1, Ordering::Relaxed);
            tracing::info!(target: "miner", height = %template.height, %hash, "block found");
        }
        Ok(false) => {
            mining.stale.fetch_add(1, Ordering::Relaxed);
            tracing::info!(target: "miner", height = %template.height, %hash, "block found, too late");
        }
        Err(error) => {
            mining.stale.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(target: "miner", height = %template.height, %error, "own block refused");
            // Whatever the reason, the next one may meet the same fate: not at the speed of the search.
            mining.pause("the node refused the last block");
        }
    }
}

/// A moving average over about the last second.
#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn note_rate(rate: &mut f64, hashes: u64, elapsed: Duration) {
    let seconds = elapsed.as_secs_f64().max(1e-6);
    let weight = seconds.min(1.0);
    *rate = *rate * (1.0 - weight) + hashes as f64 / seconds * weight;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_pauses_while_syncing_unless_told_otherwise() {
        assert!(reason_to_pause(Mode::Syncing, false).is_some());
        assert!(reason_to_pause(Mode::Syncing, true).is_none());
        assert!(reason_to_pause(Mode::ReadOnly, true).is_some());
        for mode in [Mode::Healthy, Mode::Isolated, Mode::Behind, Mode::Stale] {
            assert!(reason_to_pause(mode, false).is_none());
        }
    }

    #[test]
    fn the_rate_follows_what_is_measured() {
        let mut rate = 0.0;
        for _ in 0..50 {
            note_rate(&mut rate, 100, Duration::from_millis(100));
        }
        assert!((rate - 1_000.0).abs() < 10.0, "{rate}");
    }
}
