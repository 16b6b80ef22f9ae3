//! What a miner may ask of the node, each limit with its reason.

use std::time::Duration;

/// Connections at once. A lab has a handful; each costs a task and a few kilobytes.
pub const MAX_CONNECTIONS: usize = 256;
/// Bytes of one line. The longest honest one, a submission or `mining.configure`, stays below 400.
pub const MAX_LINE_BYTES: usize = 4_096;
/// Jobs of one connection that shares are still taken for: at one every five seconds, more than a minute of them.
pub const MAX_JOBS: usize = 16;
/// Accepted shares that one job remembers, so as to find duplicates. A full job is replaced by a new one.
pub const MAX_SHARES_PER_JOB: usize = 50_000;
/// Lines that are read from one connection each second, in the long run; further ones wait in the miner's socket.
pub const LINES_PER_SECOND: u32 = 500;
/// Lines that may come at once before that counts.
pub const LINES_AT_ONCE: u32 = 1_000;
/// Refusals in a row that end a connection. Late shares do not count: every miner has them.
pub const MAX_REFUSALS_IN_A_ROW: u32 = 100;
/// Names that one connection may mine under: a proxy has a few.
pub const MAX_WORKERS: usize = 16;
/// Bytes of a worker's or a program's name that are kept.
pub const MAX_NAME_BYTES: usize = 128;
/// Time to subscribe and authorize.
pub const LOGIN_TIMEOUT: Duration = Duration::from_secs(60);
/// Time without a share: other lines, such as pings, keep no place. The difficulty follows the miner, so that shares come every
/// few seconds.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(900);
/// Time in which a miner takes what is sent to it.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
