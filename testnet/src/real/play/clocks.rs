//! [`Clocks`]: wall clocks of real nodes that are wrong.
//!
//! A node lets its clock be fixed (`setmocktime`), not shifted: it is fixed anew as time goes on.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::real::{NodeState, Supervisor};

/// How often a clock that is wrong goes on.
const TICK: Duration = Duration::from_millis(500);

/// Clocks that are wrong.
#[derive(Debug, Default)]
pub(super) struct Clocks {
    /// Seconds ahead of the machine's, by node.
    offsets_s: BTreeMap<usize, i64>,
    ticked: Option<Instant>,
}

impl Clocks {
    /// A node's clock is so many seconds ahead from now on; 0: right.
    pub(super) fn set(&mut self, supervisor: &Supervisor, node: usize, offset_s: i64) {
        self.offsets_s.insert(node, offset_s);
        self.tick(supervisor);
        if offset_s == 0 {
            self.offsets_s.remove(&node);
        }
    }

    /// Lets clocks that are wrong go on.
    pub(super) fn keep_wrong(&mut self, supervisor: &Supervisor) {
        let is_due = self.ticked.is_none_or(|ticked| ticked.elapsed() >= TICK);
        if is_due && !self.offsets_s.is_empty() {
            self.tick(supervisor);
        }
    }

    fn tick(&mut self, supervisor: &Supervisor) {
        self.ticked = Some(Instant::now());
        for (node, offset_s) in &self.offsets_s {
            let probe = {
                let mut network = supervisor.network();
                match network.state(*node) {
                    Ok(NodeState::Up) => network.probe(*node),
                    _ => continue,
                }
            };
            let time = match offset_s {
                0 => 0,
                ahead => u32::try_from(machine_s() + ahead).unwrap_or(1),
            };
            // One that ends just now has no clock any more.
            let _ = probe.and_then(|probe| probe.set_clock(time));
        }
    }
}

fn machine_s() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    })
}
