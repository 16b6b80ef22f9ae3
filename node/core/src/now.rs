//! [`Now`]: what time it is, told from outside.

use chain::Timestamp;
use p2p::Mono;

/// The two clocks, as the host (or the simulator) passes them in.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For timeouts.
    pub mono: Mono,
    /// For rules.
    pub wall: Timestamp,
}
