//! What a running testnet can be told, as JSON.

use serde::{Deserialize, Serialize};

use crate::link::Flow;
use crate::scenario::Groups;

/// One order to the supervisor. What it answers is said at each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Order {
    /// Tips, heights, work, peers, mempools. Answers [`super::Status`].
    Status,
    /// Cuts the links between groups. Answers the number of links cut.
    Partition {
        /// Who stays together.
        groups: Groups,
        /// Bytes just stop: neither side is told.
        silent: bool,
    },
    /// Opens all cut links and waits for one tip. Answers [`crate::report::HealReport`].
    Heal {
        /// Seconds to wait for one tip.
        wait_s: u64,
    },
    /// Ends a node as a crash would. Answers null.
    Kill {
        /// The node.
        node: usize,
    },
    /// Stops a node cleanly. Answers null.
    Stop {
        /// The node.
        node: usize,
    },
    /// Starts a node that is down (or stops and starts one that is up). Answers null.
    Restart {
        /// The node.
        node: usize,
    },
    /// Freezes a node, or lets it go on. Answers null.
    Pause {
        /// The node.
        node: usize,
        /// Freeze or go on.
        paused: bool,
    },
    /// Changes what a link does. Answers the link's settings.
    Link {
        /// One end.
        a: usize,
        /// The other end.
        b: usize,
        /// What changes.
        change: LaneChange,
        /// Only from `a` to `b`.
        one_way: bool,
    },
    /// Mines blocks at once. Answers their hashes.
    Mine {
        /// Which node.
        node: usize,
        /// How many.
        count: u32,
    },
    /// Turns a node's own miner on or off, or changes its rate. Answers null.
    Mining {
        /// Which node.
        node: usize,
        /// Hashes per second; 0 turns it off.
        rate: u64,
    },
    /// Sends a payment. Answers [`crate::pay::SentPayment`].
    Pay {
        /// Account that pays.
        from: u32,
        /// Account number or address.
        to: String,
        /// Satoshis.
        amount_sat: u64,
        /// The node that gets it; the first that is up if absent.
        node: Option<usize>,
    },
    /// Ends all nodes and the supervisor. Answers null.
    Down,
}

/// A change to one or both lanes of a link: what is absent stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LaneChange {
    /// Starts from a clean lane.
    pub clear: bool,
    /// Milliseconds.
    pub delay_ms: Option<u32>,
    /// Milliseconds.
    pub jitter_ms: Option<u32>,
    /// Kilobits per second.
    pub rate_kbit: Option<u32>,
    /// Share.
    pub loss: Option<f64>,
    /// Open or stalled.
    pub flow: Option<Flow>,
}

impl LaneChange {
    /// The lane with the change.
    #[must_use]
    pub fn applied(self, lane: crate::link::Lane) -> crate::link::Lane {
        let mut lane = if self.clear {
            crate::link::Lane::default()
        } else {
            lane
        };
        lane.delay_ms = self.delay_ms.unwrap_or(lane.delay_ms);
        lane.jitter_ms = self.jitter_ms.unwrap_or(lane.jitter_ms);
        lane.rate_kbit = self.rate_kbit.or(lane.rate_kbit);
        lane.loss = self.loss.unwrap_or(lane.loss);
        lane.flow = self.flow.unwrap_or(lane.flow);
        lane
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::Lane;

    #[test]
    fn orders_survive_the_wire() {
        let order = Order::Partition {
            groups: "0,1/2".parse().unwrap(),
            silent: true,
        };
        let text = serde_json::to_string(&order).unwrap();
        assert_eq!(
            text,
            r#"{"order":"partition","groups":"0,1/2","silent":true}"#
        );
        assert_eq!(serde_json::from_str::<Order>(&text).unwrap(), order);
    }

    #[test]
    fn a_change_touches_only_what_it_names() {
        let change = LaneChange {
            delay_ms: Some(50),
            ..LaneChange::default()
        };
        let slow = Lane {
            rate_kbit: Some(64),
            ..Lane::default()
        };
        let lane = change.applied(slow);
        assert_eq!((lane.delay_ms, lane.rate_kbit), (50, Some(64)));
        let clear = LaneChange {
            clear: true,
            ..LaneChange::default()
        };
        assert_eq!(clear.applied(lane), Lane::default());
    }
}
