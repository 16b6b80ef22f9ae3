//! `GET /health`: whether the node can be relied on now, for probes and load balancers.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use node_core::{Mode, NodeCore};
use serde::Serialize;

use crate::Api;

/// What is told.
#[derive(Debug, Serialize)]
struct Health {
    /// The node's mode, as `getblockchaininfo` has it.
    mode: Mode,
    /// Height of the tip.
    height: u32,
    /// Whether a new database is being made.
    healing: bool,
    /// Connections to peers.
    peers: usize,
}

impl Health {
    fn of(core: &NodeCore) -> Health {
        Health {
            mode: core.mode(),
            height: core.chain().tip().height.0,
            healing: core.chain().is_healing(),
            peers: core.peers().len(),
        }
    }

    /// Whether what the node says is the best that it can know. One without peers may be the only one; one that has not seen a block
    /// for long may be right.
    fn is_good(&self) -> bool {
        let mode_is_good = match self.mode {
            Mode::Healthy | Mode::Isolated | Mode::Stale => true,
            Mode::Starting | Mode::Syncing | Mode::Behind | Mode::DiskLow | Mode::ReadOnly => false,
        };
        mode_is_good && !self.healing
    }
}

/// Answers `GET /health`: 200 or 503, with the reason as JSON.
pub(crate) async fn handler(State(node): State<Api>) -> Response {
    let reader = node.clone();
    let health = node
        .background()
        .public(move || reader.read(Health::of))
        .await;
    match health {
        Ok(health) if health.is_good() => Json(health).into_response(),
        Ok(health) => (StatusCode::SERVICE_UNAVAILABLE, Json(health)).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_knows_of_more_than_it_has_is_not_relied_on() {
        let health = |mode, healing| Health {
            mode,
            height: 1,
            healing,
            peers: 0,
        };
        assert!(health(Mode::Isolated, false).is_good());
        assert!(!health(Mode::Behind, false).is_good());
        assert!(!health(Mode::Healthy, true).is_good());
    }
}
