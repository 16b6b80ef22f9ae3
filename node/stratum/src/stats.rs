//! [`EndpointStats`]: who is connected, and what became of their shares and blocks.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use p2p::Mono;
use serde::Serialize;

use super::counts::{BlockCounts, ShareCounts};
use super::session::Session;

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

/// What is counted about the endpoint, shared between connections and those who look.
#[derive(Debug, Default)]
pub struct EndpointStats {
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

impl EndpointStats {
    /// As it is now.
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
