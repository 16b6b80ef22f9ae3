//! The shell of the Stratum endpoint: listens, reads, writes, submits what is found.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bitcoin::{Address, ScriptBuf};
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::feed::{Feed, LatestWork};
use super::job::Found;
use super::limits::{MAX_CONNECTIONS, WRITE_TIMEOUT};
use super::lines::LineReader;
use super::pace::Pace;
use super::session::{Act, Session};
use super::stats::EndpointStats;
use node_core::SubmitError;
use node_host::NodeHandle;

/// How often a session is told that time has passed.
const TICK: Duration = Duration::from_secs(5);
/// After a failed accept, as when there are too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How miners of others are served.
#[derive(Clone, Debug)]
pub struct StratumOptions {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Whom blocks pay whose worker gave no address; `None` for the address of the node's own miner.
    pub address: Option<Address>,
}

/// An opened endpoint.
pub struct Endpoint {
    listener: std::net::TcpListener,
    address: Option<Address>,
    /// Where it listens.
    pub listen: SocketAddr,
}

/// Opens the port.
///
/// # Errors
///
/// When it is taken.
pub fn open(options: StratumOptions) -> anyhow::Result<Endpoint> {
    let wanted = options.listen;
    let listener = std::net::TcpListener::bind(wanted).with_context(|| {
        format!("cannot serve miners on {wanted}; choose another --stratum HOST:PORT, or port 0 for any free one")
    })?;
    listener.set_nonblocking(true)?;
    Ok(Endpoint {
        listen: listener.local_addr()?,
        address: options.address,
        listener,
    })
}

impl Endpoint {
    /// Serves miners until the node stops.
    pub async fn serve(self, node: NodeHandle, stats: Arc<EndpointStats>) -> std::io::Result<()> {
        let listener = TcpListener::from_std(self.listener)?;
        stats.listening(self.listen);
        let feed = Arc::new(Feed::new());
        let feeding = Arc::clone(&feed);
        let feeder = node.clone();
        let feeder = tokio::spawn(async move { feeding.run(feeder).await });
        // Wherever it starts, it comes round again only after four billion connections.
        let mut extra_nonce_1: u32 = rand::random();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = node.stop().pressed() => break,
            };
            let (stream, address) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(target: "stratum", %error, "a connection could not be taken");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            extra_nonce_1 = extra_nonce_1.wrapping_add(1);
            if !stats.enter(extra_nonce_1, address, MAX_CONNECTIONS) {
                tracing::warn!(target: "stratum", %address, "too many miners: connection refused");
                continue;
            }
            let configured = self.address.clone();
            let payout = configured.or_else(|| node.mining().status().settings.address);
            let connection = Connection {
                node: node.clone(),
                stats: Arc::clone(&stats),
                extra_nonce_1,
                address,
                payout: payout.map(|address| address.script_pubkey()),
                work: feed.subscribe(),
            };
            tokio::spawn(connection.live(stream));
        }
        feeder.abort();
        Ok(())
    }
}

/// One miner's connection.
struct Connection {
    node: NodeHandle,
    stats: Arc<EndpointStats>,
    extra_nonce_1: u32,
    address: SocketAddr,
    payout: Option<ScriptBuf>,
    work: watch::Receiver<LatestWork>,
}

/// The statistics know of a connection for as long as this lives, even if its task panics.
struct Entered(Arc<EndpointStats>, u32);

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.leave(self.1);
    }
}

impl Connection {
    async fn live(mut self, stream: TcpStream) {
        let entered = Entered(Arc::clone(&self.stats), self.extra_nonce_1);
        tracing::info!(target: "stratum", address = %self.address, "miner connected");
        let reason = match self.serve(stream).await {
            Ok(reason) => reason.to_owned(),
            Err(error) => error.to_string(),
        };
        drop(entered);
        tracing::info!(target: "stratum", address = %self.address, reason, "miner gone");
    }

    async fn serve(&mut self, stream: TcpStream) -> anyhow::Result<&'static str> {
        // A new job must not wait for the answer to the last packet.
        stream.set_nodelay(true)?;
        let (read, mut write) = stream.into_split();
        let mut lines: LineReader<OwnedReadHalf> = LineReader::new(read);
        let Some(work) = self.first_work().await else {
            return Ok("the node stops");
        };
        let mut now = self.node.now();
        let mut session = Session::new(now, self.extra_nonce_1, self.payout.clone(), work);
        let mut pace = Pace::new(now.mono);
        let mut wait = Duration::ZERO;
        let mut ticks = tokio::time::interval(TICK);
        loop {
            let next_line = async {
                tokio::time::sleep(wait).await;
                lines.next().await
            };
            // In this order, so that a flood of lines cannot hold up the rest.
            let acts = tokio::select! {
                biased;
                _ = self.node.stop().pressed() => return Ok("the node stops"),
                changed = self.work.changed() => {
                    changed?;
                    now = self.node.now();
                    let work = self.work.borrow_and_update().clone();
                    work.map(|work| session.work_changed(now, work)).unwrap_or_default()
                }
                _ = ticks.tick() => {
                    now = self.node.now();
                    session.tick(now)
                }
                line = next_line => {
                    now = self.node.now();
                    wait = pace.line(now.mono);
                    let tip = self.node.tip().borrow().hash;
                    session.handle(now, &tip, &line?)
                }
            };
            let closing = self.carry_out(acts, &mut write).await?;
            self.stats.update(self.extra_nonce_1, &session, now.mono);
            if let Some(reason) = closing {
                return Ok(reason);
            }
        }
    }

    async fn first_work(&mut self) -> Option<Arc<super::Work>> {
        let stopped = self.node.stop().pressed();
        tokio::select! {
            known = self.work.wait_for(Option::is_some) => known.ok()?.clone(),
            _ = stopped => None,
        }
    }

    /// Gives why the connection is to be closed, if it is.
    async fn carry_out(
        &self,
        acts: Vec<Act>,
        write: &mut OwnedWriteHalf,
    ) -> anyhow::Result<Option<&'static str>> {
        let mut text = String::new();
        let mut found = Vec::new();
        let mut closing = None;
        for act in acts {
            match act {
                Act::Send(line) => text.push_str(&line),
                Act::Submit(block) => found.push(block),
                Act::Close(reason) => closing = Some(reason),
            }
        }
        for found in found {
            self.submit(*found).await;
        }
        if !text.is_empty() {
            let written = tokio::time::timeout(WRITE_TIMEOUT, write.write_all(text.as_bytes()));
            written
                .await
                .context("it does not read what is sent to it")??;
        }
        Ok(closing)
    }

    /// Submits a block as `submitblock` does. The session goes on when the tip has changed.
    async fn submit(&self, found: Found) {
        let (node, stats) = (self.node.clone(), Arc::clone(&self.stats));
        let address = self.address;
        let work = move || submit(&node, &stats, &found, address);
        let working = tokio::task::spawn_blocking(work).await;
        if let Err(error) = working {
            tracing::error!(target: "stratum", %error, "a block could not be submitted");
        }
    }
}

fn submit(node: &NodeHandle, stats: &EndpointStats, found: &Found, address: SocketAddr) {
    let block = found.block();
    let hash = block.block_hash();
    match node.submit_block(block) {
        Ok(true) => {
            stats.count_block(|blocks| blocks.active += 1);
            tracing::info!(target: "stratum", %hash, %address, "block found");
        }
        Ok(false) => {
            stats.count_block(|blocks| blocks.stale += 1);
            tracing::info!(target: "stratum", %hash, %address, "block found, too late");
        }
        // Storage failed: the core has told, and the node stops.
        Err(SubmitError::Store(_)) => {}
        Err(error) => {
            stats.count_block(|blocks| blocks.refused += 1);
            tracing::warn!(target: "stratum", %hash, %address, %error, "block of a miner refused");
        }
    }
}
