//! The wait at the start: after a crash, blocks are stored whose coins are not, and the tip that is told must not stand below them.

use std::time::Duration;

use crate::NodeHandle;

/// How long until it is looked again, if the tip does not move.
const PAUSE: Duration = Duration::from_millis(100);

impl NodeHandle {
    /// Waits until the stored blocks are connected, or the node stops. What takes long is not waited for: a deep change between two
    /// chains and healing go on beside a node that answers. Call within a runtime.
    pub async fn stored_blocks_connected(&self) {
        let mut tip = self.tip();
        while !self.stop().is_pressed() {
            let node = self.clone();
            let catches_up = move || node.read(|core| core.is_catching_up());
            if !self.background().short(catches_up).await.unwrap_or(false) {
                return;
            }
            let _ = tokio::time::timeout(PAUSE, tip.changed()).await;
        }
    }
}
