//! The thread that feeds the core with what the swarm tells and with the passing of time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use bitcoin::Wtxid;
use chain::RuleError;
use p2p::Mono;
use p2p::swarm::Event;

use crate::chores::Chores;
use crate::give_way::giving_way;
use crate::{NodeHandle, StopReason};
use node_core::{Input, NodeCore};

/// What the chain thread is told.
#[derive(Debug)]
pub enum Message {
    /// Something happened outside.
    Input(Input),
    /// The time to wake was set by another thread.
    LookAtTheClock,
    /// Leave.
    Stop,
}

/// When the core wants to be called with a tick.
#[derive(Debug)]
pub(crate) struct Wake {
    /// Microseconds since the start; `u64::MAX` for never.
    at: AtomicU64,
}

impl Wake {
    pub(crate) fn never() -> Wake {
        Wake {
            at: AtomicU64::new(u64::MAX),
        }
    }

    pub(crate) fn set(&self, at: Mono) {
        self.at.store(at.as_micros(), Ordering::Relaxed);
    }

    fn get(&self) -> Option<Mono> {
        match self.at.load(Ordering::Relaxed) {
            u64::MAX => None,
            micros => Some(Mono::from_micros(micros)),
        }
    }

    fn clear(&self) {
        self.at.store(u64::MAX, Ordering::Relaxed);
    }
}

/// Starts the thread. It ends by [`Message::Stop`], and stops the node if it panics.
pub(crate) fn spawn(node: NodeHandle) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name("chain".to_owned())
        .spawn(move || {
            let guard = StopOnPanic(node.clone());
            run(&node);
            drop(guard);
        })
}

fn run(node: &NodeHandle) {
    tick(node);
    let mut chores = Chores::default();
    // Looked at before each message: a stop does not wait behind those that have come already.
    while !node.stop().is_pressed() {
        let now = node.inner.clock.mono();
        if chores.next() <= now {
            chores.work(node, now);
        }
        let next = chores.next();
        let wake = node.inner.wake.get().map_or(next, |at| at.min(next));
        let mailbox = &node.inner.mailbox;
        match mailbox.wait(wake.since(node.inner.clock.mono())) {
            Some((Message::Input(input), payer)) => {
                remember_address(node, &input);
                let started = Instant::now();
                node.act_quietly(|core, now, out| core.handle(now, input, out));
                if let Some(payer) = payer {
                    mailbox.spent(&payer, started.elapsed());
                }
            }
            Some((Message::LookAtTheClock, _)) | None => {}
            Some((Message::Stop, _)) => return,
        }
        // Also under a stream of messages time must pass.
        if node
            .inner
            .wake
            .get()
            .is_some_and(|at| at <= node.inner.clock.mono())
        {
            // What was just said to peers leaves first: on a machine with many nodes their work would stand in its way.
            std::thread::yield_now();
            tick(node);
        }
    }
}

fn tick(node: &NodeHandle) {
    let bad = check_signatures(node);
    node.act_quietly(|core, now, out| {
        // With the core's lock held: a time that another thread was just asked to wake at is not lost.
        node.inner.wake.clear();
        if let Some((wtxid, error)) = bad {
            core.note_bad_signature(wtxid, error);
        }
        if core.is_about_to_rebuild() {
            giving_way(|| core.handle(now, Input::Tick, out));
        } else {
            core.handle(now, Input::Tick, out);
        }
    });
}

/// Checks the many signatures of a transaction that the next tick judges, without the core's lock; whoever gave it pays for the time.
/// Gives what is wrong with them.
fn check_signatures(node: &NodeHandle) -> Option<(Wtxid, RuleError)> {
    let unchecked = |core: &NodeCore| {
        let (peer, signatures) = core.unchecked_signatures(node.now())?;
        Some((peer, signatures, Arc::clone(core.signatures())))
    };
    let (peer, signatures, good) = node.read(unchecked)?;
    let started = Instant::now();
    let checked = signatures.check();
    node.inner.mailbox.spent_for(peer, started.elapsed());
    match checked {
        Ok(()) => {
            good.insert(signatures.wtxid());
            None
        }
        Err(error) => Some((signatures.wtxid(), error)),
    }
}

fn remember_address(node: &NodeHandle, input: &Input) {
    if let Input::Listening { address } = input {
        node.inner.listening.send_if_modified(|known| {
            let new = !known.contains(address);
            if new {
                known.push(address.clone());
            }
            new
        });
    }
}

/// A node whose chain thread is gone does nothing any more: it must not look alive.
struct StopOnPanic(NodeHandle);

impl Drop for StopOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let reason =
                "an internal error ended the chain thread (see above); start the node again";
            self.0
                .inner
                .stop
                .press(StopReason::Failed(reason.to_owned()));
        }
    }
}

/// What the swarm tells, as the core takes it.
pub(crate) fn input_of(event: Event) -> Input {
    match event {
        Event::Listening { address } => Input::Listening { address },
        Event::PeerUp {
            peer,
            peer_id,
            address,
            direction,
            agent,
        } => Input::PeerUp {
            peer,
            peer_id,
            address,
            direction,
            agent,
        },
        Event::PeerDown { peer, reason } => Input::PeerDown { peer, reason },
        Event::PeerListens { peer, addresses } => Input::PeerListens { peer, addresses },
        Event::DialMet { address, peer_id } => Input::DialMet { address, peer_id },
        Event::DialFailed {
            address,
            reason,
            lasting,
        } => {
            tracing::debug!(target: "net", address, reason, "dial failed");
            Input::DialFailed {
                address,
                reason,
                lasting,
            }
        }
        Event::Request {
            peer,
            token,
            request,
        } => Input::Request {
            peer,
            token,
            request,
        },
        Event::Response { peer, id, response } => Input::Response { peer, id, response },
        Event::RequestFailed {
            peer,
            id,
            malformed,
            reason,
        } => {
            tracing::debug!(target: "net", peer = peer.0, malformed, reason, "request failed");
            Input::RequestFailed {
                peer,
                id,
                malformed,
            }
        }
        Event::Gossip { peer, id, gossip } => Input::Gossip { peer, id, gossip },
        Event::MalformedGossip { peer } => Input::MalformedGossip { peer },
        Event::Ping { peer, micros } => Input::Ping { peer, micros },
    }
}
