//! What became of shares, of one connection and of all.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use p2p::Mono;
use serde::Serialize;

use super::message::Refusal;
use super::session::Session;

/// What became of shares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct ShareCounts {
    /// Good ones.
    pub accepted: u64,
    /// The sum of their difficulties, as they were asked for.
    pub accepted_difficulty: f64,
    /// The highest difficulty of any.
    pub best_difficulty: f64,
    /// For another parent than the tip, or for a job that was forgotten.
    pub stale: u64,
    /// Accepted before.
    pub duplicate: u64,
    /// Without enough work.
    pub low_difficulty: u64,
    /// Of workers that were not authorized, or before subscribing.
    pub unauthorized: u64,
    /// Malformed, or with a time or version that was not allowed.
    pub invalid: u64,
}

impl ShareCounts {
    pub(super) fn accept(&mut self, asked: f64, got: f64) {
        self.accepted += 1;
        self.accepted_difficulty += asked;
        self.best_difficulty = self.best_difficulty.max(got);
    }

    pub(super) fn refuse(&mut self, refusal: &Refusal) {
        let count = match refusal {
            Refusal::JobNotFound | Refusal::Stale => &mut self.stale,
            Refusal::Duplicate => &mut self.duplicate,
            Refusal::LowDifficulty { .. } => &mut self.low_difficulty,
            Refusal::Unauthorized(_) | Refusal::NotSubscribed => &mut self.unauthorized,
            Refusal::Malformed(_)
            | Refusal::UnknownMethod
            | Refusal::TimeOutOfRange { .. }
            | Refusal::VersionOutsideMask { .. } => &mut self.invalid,
        };
        *count += 1;
    }

    /// Shares that were refused, for whatever reason.
    #[must_use]
    pub fn rejected(&self) -> u64 {
        self.stale + self.duplicate + self.low_difficulty + self.unauthorized + self.invalid
    }

    fn add(&mut self, other: &ShareCounts) {
        self.accepted += other.accepted;
        self.accepted_difficulty += other.accepted_difficulty;
        self.best_difficulty = self.best_difficulty.max(other.best_difficulty);
        self.stale += other.stale;
        self.duplicate += other.duplicate;
        self.low_difficulty += other.low_difficulty;
        self.unauthorized += other.unauthorized;
        self.invalid += other.invalid;
    }
}

/// What became of blocks that miners found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BlockCounts {
    /// Joined the active chain.
    pub active: u64,
    /// Came too late.
    pub stale: u64,
    /// Broke a rule: a fault of the node's.
    pub refused: u64,
}

/// One connection, for people.
#[derive(Clone, Debug, Serialize)]
pub struct ConnectionRow {
    /// The miner's address.
    pub address: SocketAddr,
    /// The first part of its extra nonce, in hex.
    pub extranonce1: String,
    /// What its program calls itself.
    pub agent: String,
    /// Its workers.
    pub workers: Vec<String>,
    /// The difficulty that its shares must have; `None` before the first job.
    pub difficulty: Option<f64>,
    /// The version bits that it may roll, in hex.
    pub version_mask: String,
    /// Its speed by the work of its shares in about the last minute.
    pub hashespersecond: f64,
    /// Seconds since it connected.
    pub age: u64,
    /// What became of its shares.
    pub shares: ShareCounts,
}

/// All that is to be known about the Stratum endpoint.
#[derive(Clone, Debug, Serialize)]
pub struct StratumStatus {
    /// Where it listens; `None` when it was not asked for.
    pub listen: Option<SocketAddr>,
    /// Connections so far.
    pub connected: u64,
    /// Connections that were turned away because there were too many.
    pub turned_away: u64,
    /// Shares of all connections, also of those that are gone.
    pub shares: ShareCounts,
    /// Blocks.
    pub blocks: BlockCounts,
    /// Those who are connected.
    pub connections: Vec<ConnectionRow>,
}

/// The books of the endpoint, shared between connections and those who look.
#[derive(Debug, Default)]
pub struct Books {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    listen: Option<SocketAddr>,
    connected: u64,
    turned_away: u64,
    /// Shares of connections that are gone.
    gone: ShareCounts,
    blocks: BlockCounts,
    rows: BTreeMap<u32, ConnectionRow>,
}

impl Books {
    /// What is in them.
    #[must_use]
    pub fn status(&self) -> StratumStatus {
        let inner = self.lock();
        let mut shares = inner.gone;
        for row in inner.rows.values() {
            shares.add(&row.shares);
        }
        StratumStatus {
            listen: inner.listen,
            connected: inner.connected,
            turned_away: inner.turned_away,
            shares,
            blocks: inner.blocks,
            connections: inner.rows.values().cloned().collect(),
        }
    }

    pub(super) fn listening(&self, address: SocketAddr) {
        self.lock().listen = Some(address);
    }

    /// Enters a connection, if there are fewer than `most`.
    pub(super) fn enter(&self, extra_nonce_1: u32, address: SocketAddr, most: usize) -> bool {
        let mut inner = self.lock();
        if inner.rows.len() >= most || inner.rows.contains_key(&extra_nonce_1) {
            inner.turned_away += 1;
            return false;
        }
        inner.connected += 1;
        let row = ConnectionRow {
            address,
            extranonce1: format!("{extra_nonce_1:08x}"),
            agent: String::new(),
            workers: Vec::new(),
            difficulty: None,
            version_mask: String::new(),
            hashespersecond: 0.0,
            age: 0,
            shares: ShareCounts::default(),
        };
        inner.rows.insert(extra_nonce_1, row);
        true
    }

    pub(super) fn update(&self, extra_nonce_1: u32, session: &Session, now: Mono) {
        let mut inner = self.lock();
        let Some(row) = inner.rows.get_mut(&extra_nonce_1) else {
            return;
        };
        row.shares = *session.counts();
        row.difficulty = session.difficulty();
        row.version_mask = format!("{:08x}", session.version_mask());
        row.hashespersecond = session.hashes_per_second(now);
        row.age = session.age(now).as_secs();
        if row.agent != session.agent() {
            session.agent().clone_into(&mut row.agent);
        }
        if row.workers != session.workers() {
            row.workers = session.workers().to_vec();
        }
    }

    pub(super) fn leave(&self, extra_nonce_1: u32) {
        let mut inner = self.lock();
        if let Some(row) = inner.rows.remove(&extra_nonce_1) {
            inner.gone.add(&row.shares);
        }
    }

    pub(super) fn count_block(&self, count: impl FnOnce(&mut BlockCounts)) {
        count(&mut self.lock().blocks);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Counters only: whatever a panic left is good enough to show.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
