//! The shell: runs a [`NodeCore`] on threads, tokio and libp2p.
//!
//! One thread (`chain`) feeds the core with what the swarm tells and with the passing of time; RPC calls read and act from
//! blocking threads. What the core wants done is carried out in order while its lock is held, which is cheap: channels only.
#![allow(
    clippy::disallowed_methods,
    reason = "the shell is where clocks and randomness come from"
)]

mod background;
mod chain_thread;
mod chores;
mod clock;
mod data_dir;
mod disk;
mod dispatch;
mod event_log;
mod give_way;
mod indexer;
mod listen;
mod mining;
mod peers;
mod signals;
mod stages;
mod start;
mod stop;
mod submit;
mod timings;

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use p2p::swarm::{Command, Traffic};
use tokio::sync::{mpsc, watch};

use crate::core::{Input, NodeCore, Now, Output};
use crate::rpc::{Activity, FilterHeaders};
use crate::stratum;

pub use background::{Background, WorkLost};
pub use chain_thread::Message;
pub use clock::{Clock, unix_millis};
pub use data_dir::{DataDir, RuntimeFile, write_atomically};
pub use event_log::{EventLog, KEPT_EVENTS, NumberedEvent, TooOld};
pub use indexer::Indexer;
pub use mining::{Mining, MiningSettings, MiningStatus, TipSwitches};
pub use start::{StartOptions, Started, run};
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
    clock: Clock,
    events: EventLog,
    /// The active tip's height and hash, for those who wait for it to change.
    tip: watch::Sender<chain::BlockPosition>,
    commands: mpsc::UnboundedSender<Command>,
    chain_thread: std::sync::mpsc::Sender<Message>,
    wake: chain_thread::Wake,
    stop: StopSwitch,
    mining: Mining,
    stratum: stratum::Books,
    traffic: Arc<Traffic>,
    listening: watch::Sender<Vec<String>>,
    activity: Activity,
    background: Background,
    filter_headers: FilterHeaders,
    timings: Arc<Timings>,
    indexer: Option<Arc<Indexer>>,
    data_dir: DataDir,
}

impl NodeHandle {
    /// Reads the core. Blocks while an input is handled: call from blocking threads only.
    pub fn read<R>(&self, read: impl FnOnce(&NodeCore) -> R) -> R {
        let core = self.read_lock();
        let result = read(&core);
        if core.chain().has_new_damage() {
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
        self.step(&mut self.write_lock(), act)
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
        // It is gone only while the node stops.
        let _ = self.inner.chain_thread.send(message);
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

    /// What miners of others did and do.
    pub fn stratum(&self) -> &stratum::Books {
        &self.inner.stratum
    }

    /// Bytes and messages on the network so far.
    pub fn traffic(&self) -> &Traffic {
        &self.inner.traffic
    }

    /// The switch that stops the node.
    pub fn stop(&self) -> &StopSwitch {
        &self.inner.stop
    }

    /// The multiaddresses on which the node listens, with its peer id.
    pub fn listening(&self) -> Vec<String> {
        self.inner.listening.borrow().clone()
    }

    /// The RPC calls that are being carried out, and how many there were.
    pub fn activity(&self) -> &Activity {
        &self.inner.activity
    }

    /// Threads for what others ask of the node.
    pub fn background(&self) -> &Background {
        &self.inner.background
    }

    /// Filter headers that were made so far.
    pub fn filter_headers(&self) -> &FilterHeaders {
        &self.inner.filter_headers
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
    pub fn frozen_chain(&self) -> Result<chain::Chain, chain::StoreError> {
        self.act(|core, _, out| core.frozen_chain(out))
    }

    /// Saves what is only in memory, for the last time.
    fn shut_down(&self) -> Result<(), chain::StoreError> {
        peers::save(self, &self.read(|core| core.book_json()));
        self.write_lock().shutdown()
    }

    /// The node's folder.
    pub fn data_dir(&self) -> &DataDir {
        &self.inner.data_dir
    }

    fn read_lock(&self) -> RwLockReadGuard<'_, NodeCore> {
        // After a panic the node is stopping; what it still shows is for people, not for decisions.
        let core = self.inner.core.read();
        core.unwrap_or_else(PoisonError::into_inner)
    }

    fn write_lock(&self) -> RwLockWriteGuard<'_, NodeCore> {
        self.inner.core.write().unwrap_or_else(|_| {
            let reason = "an internal error left the state half changed; start the node again";
            self.inner.stop.press(StopReason::Failed(reason.to_owned()));
            panic!("the core panicked before");
        })
    }
}
