//! Why and when a node stops.

use tokio::sync::watch;

/// Why a node stops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// Someone asked for it: a signal, `stop`, the end of standard input.
    Asked(&'static str),
    /// It cannot go on.
    Failed(String),
}

/// The switch that stops a node. The first reason counts. Clones are the same switch.
#[derive(Clone, Debug)]
pub struct StopSwitch {
    reason: watch::Sender<Option<StopReason>>,
}

impl StopSwitch {
    /// A switch that nobody has pressed.
    pub fn new() -> StopSwitch {
        StopSwitch {
            reason: watch::Sender::new(None),
        }
    }

    /// Stops the node.
    pub fn press(&self, reason: StopReason) {
        self.reason.send_if_modified(|known| {
            let first = known.is_none();
            if first {
                *known = Some(reason);
            }
            first
        });
    }

    /// Why the node stops, `None` while it does not.
    pub fn reason(&self) -> Option<StopReason> {
        self.reason.borrow().clone()
    }

    /// Whether the node stops.
    pub fn is_pressed(&self) -> bool {
        self.reason.borrow().is_some()
    }

    /// Waits until the node stops.
    pub async fn pressed(&self) -> StopReason {
        let mut reason = self.reason.subscribe();
        match reason.wait_for(Option::is_some).await {
            Ok(reason) => reason
                .clone()
                .unwrap_or(StopReason::Asked("nothing is left")),
            Err(_) => StopReason::Asked("nothing is left"),
        }
    }
}

impl Default for StopSwitch {
    fn default() -> StopSwitch {
        StopSwitch::new()
    }
}
