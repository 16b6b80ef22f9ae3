//! What the interfaces may be asked at once, each limit with its reason.
//!
//! An operator who shows a password is always let in: what anybody may ask has places of its own (streams, public answers),
//! connections that have shown no password give way to newcomers, and calls that touch neither chain nor disk wait for nothing.

use std::time::Duration;

/// Connections at once. Beyond that the oldest one that has shown no password gives way to a newcomer.
pub(crate) const MAX_CONNECTIONS: usize = 512;
/// Connections while the chain is being opened, when every answer is the same.
pub(crate) const MAX_WARM_UP_CONNECTIONS: usize = 64;
/// Streams of events at once; more get 503. A stream lasts, and costs a task and a batch of events.
pub(crate) const MAX_STREAMS: usize = 128;
/// Answers without a password (REST, metrics) that are worked on or wait for it; more get 503.
pub(crate) const MAX_PUBLIC_ANSWERS: usize = 32;
/// Calls worked on or in the queue; more get 503. As in Bitcoin Core they come from holders of a password only.
pub(crate) const WORK_QUEUE: usize = 256;
/// Calls that move the chain at once. What only looks something up has threads of its own: `node_host::Background`.
pub(crate) const WRITERS: usize = 8;
/// Calls that wait at once (long polls, `wait...`); more get 503.
pub(crate) const MAX_WAITING: usize = 128;
/// Largest body: Bitcoin Core's 32 MiB. A block of the largest weight is 8 MB in hex.
pub(crate) const MAX_BODY_BYTES: usize = 32 << 20;
/// Bodies up to this are read at once, and on the threads that serve connections.
pub(crate) const SMALL_BODY_BYTES: usize = 64 << 10;
/// Larger bodies that are read or worked on at once: 256 MiB in all. Others wait.
pub(crate) const LARGE_BODIES: usize = 8;
/// Most requests in one batch.
pub(crate) const MAX_BATCH: usize = 10_000;
/// Bytes of the replies to one batch, after which its further requests are refused.
pub(crate) const MAX_BATCH_REPLY_BYTES: usize = 128 << 20;
/// How long a wrong password is kept waiting, as in Bitcoin Core.
pub(crate) const WRONG_PASSWORD_PAUSE: Duration = Duration::from_millis(250);
