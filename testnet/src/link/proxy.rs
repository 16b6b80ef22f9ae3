//! A user-space TCP proxy that stands for one dialled link: it needs neither root nor code in the node.
//!
//! The dialling node is told the proxy's address in place of its peer's. Every byte passes two bounded queues, one for each
//! lane, that hold it back as [`LinkSettings`] say. Settings change while connections are open.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

use super::model::LaneClock;
use super::settings::{Flow, Lane, LinkSettings};

/// Bytes that are read at once: a chunk gets one arrival time.
const CHUNK_BYTES: usize = 16 << 10;
/// Chunks that a lane holds back before it stops reading: 4 MiB, 25 ms of 1.3 Gbit/s.
const CHUNKS_IN_FLIGHT: usize = 256;
/// How long connecting to the dialled node may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A running proxy. Dropping it resets its connections and closes its port.
#[derive(Debug)]
pub struct LinkProxy {
    address: SocketAddr,
    settings: watch::Sender<LinkSettings>,
    target: watch::Sender<Option<SocketAddr>>,
    severed: watch::Sender<u64>,
    counters: Arc<Counters>,
    listener: JoinHandle<()>,
}

/// What passed a proxy so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkTraffic {
    /// Connections that were carried.
    pub accepted: u64,
    /// Connections that were refused.
    pub refused: u64,
    /// Connections that are open now.
    pub open: u64,
    /// Bytes from the dialling node to the dialled one.
    pub forward_bytes: u64,
    /// Bytes the other way.
    pub backward_bytes: u64,
}

#[derive(Debug, Default)]
struct Counters {
    accepted: AtomicU64,
    refused: AtomicU64,
    ended: AtomicU64,
    forward_bytes: AtomicU64,
    backward_bytes: AtomicU64,
}

/// Everything a connection needs to know of its proxy.
#[derive(Clone)]
struct Control {
    settings: watch::Receiver<LinkSettings>,
    severed: watch::Receiver<u64>,
    counters: Arc<Counters>,
}

impl LinkProxy {
    /// Listens on a free loopback port. Nothing is carried before [`LinkProxy::set_target`]. `seed` decides jitter and loss.
    ///
    /// # Errors
    ///
    /// When no port can be had.
    pub async fn listen(seed: u64) -> io::Result<LinkProxy> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let settings = watch::Sender::new(LinkSettings::default());
        let target = watch::Sender::new(None);
        let severed = watch::Sender::new(0);
        let counters = Arc::new(Counters::default());
        let control = Control {
            settings: settings.subscribe(),
            severed: severed.subscribe(),
            counters: Arc::clone(&counters),
        };
        let listener = tokio::spawn(accept(listener, target.subscribe(), control, seed));
        Ok(LinkProxy {
            address,
            settings,
            target,
            severed,
            counters,
            listener,
        })
    }

    /// Where the dialling node finds the link.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the dialled node listens; `None` while it is down: connections are refused then.
    pub fn set_target(&self, target: Option<SocketAddr>) {
        self.target.send_replace(target);
    }

    /// What the link does now.
    pub fn settings(&self) -> LinkSettings {
        *self.settings.borrow()
    }

    /// Changes what the link does, for open connections as well.
    pub fn set(&self, settings: LinkSettings) {
        self.settings.send_replace(settings);
    }

    /// Resets every open connection, on both sides.
    pub fn sever(&self) {
        self.severed.send_modify(|count| *count += 1);
    }

    /// What passed so far.
    pub fn traffic(&self) -> LinkTraffic {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (ended, accepted) = (read(&self.counters.ended), read(&self.counters.accepted));
        LinkTraffic {
            accepted,
            refused: read(&self.counters.refused),
            open: accepted.saturating_sub(ended),
            forward_bytes: read(&self.counters.forward_bytes),
            backward_bytes: read(&self.counters.backward_bytes),
        }
    }
}

impl Drop for LinkProxy {
    fn drop(&mut self) {
        self.sever();
        self.listener.abort();
    }
}

async fn accept(
    listener: TcpListener,
    target: watch::Receiver<Option<SocketAddr>>,
    control: Control,
    seed: u64,
) {
    for number in 0u64.. {
        let Ok((near, _)) = listener.accept().await else {
            // Out of file descriptors, most likely: what was accepted goes on, and the rest waits.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let mut control = control.clone();
        // Every cut that comes after this look at the settings counts, also one that comes while we connect.
        control.severed.mark_unchanged();
        let (target, refuse) = (*target.borrow(), control.settings.borrow().refuse);
        match target {
            Some(target) if !refuse => {
                let rng = ChaCha8Rng::seed_from_u64(seed ^ number.rotate_left(32));
                tokio::spawn(connect_and_carry(near, target, control, rng));
            }
            _ => {
                control.counters.refused.fetch_add(1, Ordering::Relaxed);
                reset(near);
            }
        }
    }
}

async fn connect_and_carry(near: TcpStream, target: SocketAddr, control: Control, rng: ChaCha8Rng) {
    let Ok(Ok(far)) = timeout(CONNECT_TIMEOUT, TcpStream::connect(target)).await else {
        control.counters.refused.fetch_add(1, Ordering::Relaxed);
        return reset(near);
    };
    control.counters.accepted.fetch_add(1, Ordering::Relaxed);
    let counters = Arc::clone(&control.counters);
    carry(near, far, control, rng).await;
    counters.ended.fetch_add(1, Ordering::Relaxed);
}

/// Carries one connection until both sides are done or it is severed.
async fn carry(mut near: TcpStream, mut far: TcpStream, control: Control, mut rng: ChaCha8Rng) {
    // Nagle's algorithm would add delays of its own.
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let mut severed = control.severed.clone();
    let finished = {
        let (near_read, near_write) = near.split();
        let (far_read, far_write) = far.split();
        let forward = Pump {
            control: control.clone(),
            lane: |settings| settings.forward,
            carried: |counters| &counters.forward_bytes,
            rng: ChaCha8Rng::from_rng(&mut rng),
        };
        let backward = Pump {
            control,
            lane: |settings| settings.backward,
            carried: |counters| &counters.backward_bytes,
            rng: ChaCha8Rng::from_rng(&mut rng),
        };
        let both = async {
            tokio::try_join!(
                forward.run(near_read, far_write),
                backward.run(far_read, near_write)
            )
        };
        tokio::select! {
            outcome = both => outcome.is_ok(),
            _ = severed.changed() => false,
        }
    };
    if !finished {
        reset(near);
        reset(far);
    }
}

/// Ends a connection so that its other side sees a reset.
fn reset(stream: TcpStream) {
    let _ = stream.set_zero_linger();
}

/// One lane of one connection.
struct Pump {
    control: Control,
    lane: fn(&LinkSettings) -> Lane,
    carried: fn(&Counters) -> &AtomicU64,
    rng: ChaCha8Rng,
}

impl Pump {
    async fn run(mut self, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>) -> io::Result<()> {
        let (queue, mut parcels) = mpsc::channel::<(Instant, Vec<u8>)>(CHUNKS_IN_FLIGHT);
        let mut settings = self.control.settings.clone();
        let (lane, carried) = (self.lane, self.carried);
        let counters = Arc::clone(&self.control.counters);
        let collect = async move {
            let (start, mut clock) = (Instant::now(), LaneClock::default());
            let mut buffer = vec![0; CHUNK_BYTES];
            loop {
                let length = from.read(&mut buffer).await?;
                if length == 0 {
                    return Ok(());
                }
                let lane = lane(&self.control.settings.borrow());
                let now_us = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
                let due_us = clock.stream(now_us, length, &lane, &mut self.rng);
                let due = start + Duration::from_micros(due_us);
                if queue.send((due, buffer[..length].to_vec())).await.is_err() {
                    return Ok(());
                }
            }
        };
        let deliver = async move {
            while let Some((due, bytes)) = parcels.recv().await {
                sleep_until(due).await;
                let is_open = |now: &LinkSettings| lane(now).flow == Flow::Open;
                if settings.wait_for(is_open).await.is_err() {
                    return Err(io::ErrorKind::ConnectionReset.into());
                }
                to.write_all(&bytes).await?;
                carried(&counters).fetch_add(bytes.len() as u64, Ordering::Relaxed);
            }
            // The other side of this lane has said all: pass that on.
            to.shutdown().await
        };
        tokio::try_join!(collect, deliver).map(|_| ())
    }
}
