//! What one connection may take, each limit with its reason.

use std::time::Duration;

/// Largest head of a request, in bytes.
pub(crate) const MAX_HEAD_BYTES: usize = 64 << 10;
/// How long a client may take to send a head, or a body.
pub(crate) const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// How long open connections may take to end when the server stops.
pub(crate) const END_TIMEOUT: Duration = Duration::from_millis(500);
