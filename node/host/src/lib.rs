//! The shell: runs a [`NodeCore`] on threads and tokio, between a swarm and those who ask.
//!
//! One thread (`chain`) feeds the core with what the swarm tells and with the passing of time; RPC calls read and act from
//! blocking threads. What the core wants done is carried out in order while its lock is held, which is cheap: channels only.
#![allow(
    clippy::disallowed_methods,
    reason = "the shell is where clocks and randomness come from"
)]

mod answers;
mod background;
mod ban_file;
mod catch_up;
mod chain_thread;
mod chores;
mod clock;
mod data_dir;
mod disk;
mod dispatch;
mod event_log;
mod give_way;
mod indexer;
mod mailbox;
mod mempool_file;
mod mining;
mod peers;
mod scrubber;
mod stages;
mod stop;
mod submit;
mod timings;
mod turns;

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread::JoinHandle;

use chain::Chain;
use chain::txindex::TxIndex;
use node_core::{CoreOptions, Input, NodeCore, Now, Output};
use p2p::budget::Full;
use p2p::swarm::{Command, Told, Traffic};
use tokio::sync::{mpsc, watch};

use ban_file::BanFile;
use chain_thread::Wake;
use mempool_file::MempoolFile;
use stages::Stages;
use turns::{Turn, Turns};

pub use background::{Background, WorkLost};
pub use ban_file::BAN_FILE_NAME;
pub use chain_thread::Message;
pub use clock::{Clock, unix_millis};
pub use data_dir::{COOKIE_USER, DataDir, RuntimeFile, write_atomically};
pub use event_log::{EventId, EventLog, Gone, KEPT_EVENTS, NumberedEvent, RunId};
pub use indexer::Indexer;
pub use mempool_file::{ImportMempoolError, ImportedTransactions, MEMPOOL_FILE_NAME};
pub use mining::{Mining, MiningSettings, MiningStatus, TipSwitches};
pub use peers::load as load_peers;
pub use scrubber::Scrubber;
pub use stop::{StopReason, StopSwitch};
pub use timings::{BUCKET_BOUNDS_S, StageTimes, Timings};

/// A seed that nobody can guess, for the core.
#[must_use]
pub fn random_seed() -> u64 {
    rand::random()
}

/// A running node, to be asked and driven from any thread. Cheap to clone.
#[derive(Clone)]
pub struct NodeHandle {
    inner: Arc<Inner>,
}

struct Inner {
    core: RwLock<NodeCore>,
    turns: Turns,
    clock: Clock,
    events: EventLog,
    /// The active tip's height and hash, for those who wait for it to change.
    tip: watch::Sender<chain::BlockPosition>,
    commands: mpsc::UnboundedSender<Command>,
    mailbox: mailbox::Mailbox,
    wake: chain_thread::Wake,
    stop: StopSwitch,
    mining: Mining,
    traffic: Arc<Traffic>,
    listening: watch::Sender<Vec<String>>,
    background: Background,
    answers: answers::Answers,
    timings: Arc<Timings>,
    indexer: Option<Arc<Indexer>>,
    mempool_file: MempoolFile,
    ban_file: BanFile,
    scrubber: Arc<Scrubber>,
    data_dir: DataDir,
}

/// What a node is made of.
pub struct Parts {
    /// What it holds for true.
    pub chain: Chain,
    /// The index of confirmed transactions, if there is one.
    pub index: Option<TxIndex>,
    /// Whether the mempool outlives the node: read at the start, saved on the way and at the end.
    pub persist_mempool: bool,
    /// Bytes that are scrubbed in a second; `None` for no scrubbing.
    pub scrub: Option<u64>,
    /// For the core.
    pub core: CoreOptions,
    /// The dial of its own miner.
    pub mining: MiningSettings,
    /// How far its wall clock is ahead of the machine's, in seconds.
    pub clock_offset_s: i64,
    /// Its folder.
    pub data_dir: DataDir,
}

/// What only the one who started a node holds.
#[derive(Debug)]
pub struct Ends {
    /// What the core wants of the network.
    pub commands: mpsc::UnboundedReceiver<Command>,
    /// Ends by [`Message::Stop`].
    pub chain_thread: JoinHandle<()>,
}

impl NodeHandle {
    /// Makes a node and starts its chain thread. The network and the miner are yet to be started.
    ///
    /// # Errors
    ///
    /// When there can be no thread.
    pub fn start(parts: Parts) -> std::io::Result<(NodeHandle, Ends)> {
        let (command_sender, commands) = mpsc::unbounded_channel();
        let timings = Arc::new(Timings::default());
        let mining = Mining::new(parts.mining);
        let mut chain = parts.chain;
        chain.leave_flushing_to_host();
        chain.set_probe(Arc::new(Stages::new(timings.clone(), mining.gate())));
        let tip = chain.tip();
        let tip = chain::BlockPosition {
            hash: tip.hash,
            height: tip.height,
        };
        let node = NodeHandle {
            inner: Arc::new(Inner {
                core: RwLock::new(NodeCore::new(chain, parts.core)),
                turns: Turns::default(),
                clock: Clock::new(parts.clock_offset_s),
                events: EventLog::new(RunId(rand::random()), KEPT_EVENTS),
                tip: watch::Sender::new(tip),
                commands: command_sender,
                mailbox: mailbox::Mailbox::default(),
                wake: Wake::never(),
                stop: StopSwitch::new(),
                mining,
                traffic: Arc::default(),
                listening: watch::Sender::new(Vec::new()),
                background: Background::default(),
                answers: answers::Answers::default(),
                timings,
                scrubber: Arc::new(Scrubber::new(parts.scrub)),
                indexer: parts.index.map(|index| Arc::new(Indexer::new(index))),
                mempool_file: MempoolFile::new(parts.persist_mempool),
                ban_file: BanFile::default(),
                data_dir: parts.data_dir,
            }),
        };
        node.load_bans();
        let chain_thread = chain_thread::spawn(node.clone())?;
        let ends = Ends {
            commands,
            chain_thread,
        };
        Ok((node, ends))
    }

    /// Passes on what the swarm tells.
    ///
    /// # Errors
    ///
    /// [`Full`] when whoever caused it has as much waiting as it may.
    pub fn swarm_event(&self, told: Told) -> Result<(), Full> {
        self.inner.mailbox.tell(told)
    }

    /// Ends the network part.
    pub fn leave_network(&self) {
        self.command(Command::Shutdown);
    }

    /// Starts the node's own miner, now or when it is first turned on.
    pub fn start_mining(&self) {
        mining::start_when_wanted(self);
    }

    /// Lets the index of transactions follow the chain, if there is one. Call within a runtime.
    pub fn start_indexing(&self) {
        if let Some(indexer) = self.inner.indexer.clone() {
            tokio::spawn(indexer::follow(self.clone(), indexer));
        }
    }

    /// Begins to look for damage in the background, unless that is switched off. Call within a runtime.
    pub fn start_scrubbing(&self) {
        tokio::spawn(scrubber::run(self.clone(), self.scrubber()));
    }

    /// What looks for damage in the background.
    pub fn scrubber(&self) -> Arc<Scrubber> {
        Arc::clone(&self.inner.scrubber)
    }

    /// Reads the core. Blocks while an input is handled: call from blocking threads only.
    pub fn read<R>(&self, read: impl FnOnce(&NodeCore) -> R) -> R {
        let core = self.read_lock();
        let result = read(&core);
        if core.chain().has_findings() {
            // What was just found damaged is fetched again at once, not with the next message from outside.
            self.tell_chain_thread(Message::Input(Input::Tick));
        }
        result
    }

    /// Changes the core and carries out what it wants done, in order. Blocks: call from blocking threads only.
    ///
    /// # Panics
    ///
    /// When an earlier change panicked: the core may be half changed, and the node is about to stop.
    pub fn act<R>(&self, act: impl FnOnce(&mut NodeCore, Now, &mut Vec<Output>) -> R) -> R {
        let (result, moved) = self.act_quietly(act);
        self.rouse_chain_thread(moved);
        result
    }

    /// The chain thread sleeps by the old time to wake, if that was moved.
    fn rouse_chain_thread(&self, moved: bool) {
        if moved {
            self.tell_chain_thread(Message::LookAtTheClock);
        }
    }

    /// As [`NodeHandle::act`], for the chain thread itself. Also tells whether the time to wake was set.
    fn act_quietly<R>(
        &self,
        act: impl FnOnce(&mut NodeCore, Now, &mut Vec<Output>) -> R,
    ) -> (R, bool) {
        let turn = self.turn();
        let done = self.step(&mut self.write_lock(&turn), act);
        let moved = self.write_out(&turn);
        (done.0, done.1 || moved)
    }

    /// One of the steps of a change: what the core wants is carried out before the next.
    fn step<R>(
        &self,
        core: &mut NodeCore,
        act: impl FnOnce(&mut NodeCore, Now, &mut Vec<Output>) -> R,
    ) -> (R, bool) {
        let mut outputs = Vec::new();
        let result = act(core, self.inner.clock.now(), &mut outputs);
        let moved = self.carry_out(core, outputs);
        (result, moved)
    }

    /// The two clocks (wall clock moved by `setmocktime` and `--clock-offset`).
    pub fn now(&self) -> Now {
        self.inner.clock.now()
    }

    /// The clocks themselves.
    pub fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    /// Tells the chain thread something.
    pub fn tell_chain_thread(&self, message: Message) {
        self.inner.mailbox.order(message);
    }

    /// What happened so far.
    pub fn events(&self) -> &EventLog {
        &self.inner.events
    }

    /// The active tip; changes wake its holder.
    pub fn tip(&self) -> watch::Receiver<chain::BlockPosition> {
        self.inner.tip.subscribe()
    }

    /// The node's own miner.
    pub fn mining(&self) -> &Mining {
        &self.inner.mining
    }

    /// Bytes and messages on the network so far.
    pub fn traffic(&self) -> &Arc<Traffic> {
        &self.inner.traffic
    }

    /// Bytes of peers' messages that wait for the core, and what was refused of them so far.
    pub fn inbox_load(&self) -> (usize, p2p::budget::Shed) {
        self.inner.mailbox.load()
    }

    /// The switch that stops the node.
    pub fn stop(&self) -> &StopSwitch {
        &self.inner.stop
    }

    /// As [`NodeHandle::listening`]; changes wake its holder.
    pub fn listening_changes(&self) -> watch::Receiver<Vec<String>> {
        self.inner.listening.subscribe()
    }

    /// The multiaddresses on which the node listens, with its peer id.
    pub fn listening(&self) -> Vec<String> {
        self.inner.listening.borrow().clone()
    }

    /// Threads for what others ask of the node.
    pub fn background(&self) -> &Background {
        &self.inner.background
    }

    /// The transaction index, if there is one.
    pub fn indexer(&self) -> Option<&Indexer> {
        self.inner.indexer.as_deref()
    }

    /// How long blocks took to check, connect and commit.
    pub fn timings(&self) -> &Timings {
        &self.inner.timings
    }

    /// The chain as it is now, to be read without holding the node up: see [`chain::Chain::frozen`]. Call from blocking threads
    /// only, and drop the result before anything is waited for.
    ///
    /// # Errors
    ///
    /// When storage fails, which also stops the node.
    pub fn frozen_chain(&self) -> Result<chain::FrozenChain, chain::StoreError> {
        self.act(|core, _, out| core.frozen_chain(out))
    }

    /// Saves what is only in memory, for the last time. Nobody may change the chain after that.
    ///
    /// # Errors
    ///
    /// When storage fails.
    pub fn shut_down(&self) -> Result<(), chain::StoreError> {
        self.end_answers();
        peers::save(self, &self.read(|core| core.book_json(self.now())));
        self.save_bans();
        self.save_changed_mempool();
        self.write_lock(&self.turn()).shutdown()
    }

    /// The node's folder.
    pub fn data_dir(&self) -> &DataDir {
        &self.inner.data_dir
    }

    fn read_lock(&self) -> RwLockReadGuard<'_, NodeCore> {
        let _asks = self.inner.turns.ask();
        // After a panic the node is stopping; what it still shows is for people, not for decisions.
        let core = self.inner.core.read();
        core.unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until this thread may change the core.
    fn turn(&self) -> Turn<'_> {
        self.inner.turns.wait()
    }

    /// Commits what has grown large or is due, while others read: whoever wants to change something waits for `turn`, not for the
    /// lock. Also tells whether the time to wake was set.
    fn write_out(&self, turn: &Turn<'_>) -> bool {
        let flush = self.read_lock().flush_due();
        let Some(flush) = flush else {
            return false;
        };
        let written = self.read_lock().write_out(flush);
        let note = |core: &mut NodeCore, _, out: &mut Vec<Output>| core.note_written(written, out);
        self.step(&mut self.write_lock(turn), note).1
    }

    /// Nobody else waits for this lock, so those who read come in until it is taken.
    fn write_lock(&self, _turn: &Turn<'_>) -> RwLockWriteGuard<'_, NodeCore> {
        self.inner.core.write().unwrap_or_else(|_| {
            let reason = "an internal error left the state half changed; start the node again";
            self.inner.stop.press(StopReason::Failed(reason.to_owned()));
            panic!("the core panicked before");
        })
    }
}
