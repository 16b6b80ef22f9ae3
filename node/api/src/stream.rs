//! `/events`: what happens on the node, as server-sent events, numbered and to be resumed.
//!
//! A listener that was away sends the number it had last (`Last-Event-ID`, as browsers do by themselves, or `?from=` the next
//! one) and gets all that it missed, or 410 when that is not kept any more.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Json, Response};
use futures::stream::{self, Stream};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Api;
use node_core::events::NodeEvent;
use node_host::{NumberedEvent, TooOld};

/// Events taken from the log at a time.
const BATCH: usize = 200;
/// A comment is sent this often, so that a dead connection is noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Where to begin.
#[derive(Debug, Deserialize)]
pub(crate) struct Start {
    from: Option<u64>,
}

/// Answers `GET /events`.
pub(crate) async fn handler(
    State(node): State<Api>,
    Query(start): Query<Start>,
    headers: HeaderMap,
) -> Response {
    let last = headers
        .get("last-event-id")
        .and_then(|value| value.to_str().ok());
    let last: Option<u64> = last.and_then(|text| text.parse().ok());
    let from = match (last, start.from) {
        (Some(last), _) => last.saturating_add(1),
        (None, Some(from)) => from.max(1),
        (None, None) => *node.events().latest().borrow() + 1,
    };
    if let Err(gone) = node.events().since(from, 1) {
        return (StatusCode::GONE, Json(too_old(gone))).into_response();
    }
    let alive = KeepAlive::new().interval(KEEP_ALIVE);
    Sse::new(events(node, from))
        .keep_alive(alive)
        .into_response()
}

struct Progress {
    node: Api,
    next: u64,
    taken: VecDeque<NumberedEvent>,
    ended: bool,
}

fn events(node: Api, from: u64) -> impl Stream<Item = Result<Event, Infallible>> {
    let start = Progress {
        node,
        next: from,
        taken: VecDeque::new(),
        ended: false,
    };
    stream::unfold(start, |mut progress| async move {
        loop {
            if progress.ended {
                return None;
            }
            if let Some(event) = progress.taken.pop_front() {
                progress.next = event.number + 1;
                return Some((Ok(sent(&event)), progress));
            }
            let mut latest = progress.node.events().latest();
            match progress.node.events().since(progress.next, BATCH) {
                // The listener reads more slowly than things happen.
                Err(gone) => {
                    progress.ended = true;
                    let last = Event::default()
                        .event("too-old")
                        .data(too_old(gone).to_string());
                    return Some((Ok(last), progress));
                }
                Ok(events) if events.is_empty() => {
                    let next = progress.next;
                    let more = tokio::select! {
                        more = latest.wait_for(|latest| *latest >= next) => more.is_ok(),
                        _ = progress.node.stop().pressed() => false,
                    };
                    progress.ended = !more;
                }
                Ok(events) => progress.taken = events.into(),
            }
        }
    })
}

fn too_old(gone: TooOld) -> Value {
    json!({"error": gone.to_string(), "oldest": gone.oldest})
}

fn sent(event: &NumberedEvent) -> Event {
    let json = event_json(event);
    let name = json["event"].as_str().unwrap_or_default().to_owned();
    Event::default()
        .id(event.number.to_string())
        .event(name)
        .data(json.to_string())
}

/// An event as JSON: `n`, `at_ms`, `event` and what belongs to it.
pub(crate) fn event_json(event: &NumberedEvent) -> Value {
    let mut json = match &event.event {
        NodeEvent::BlockConnected { hash, height } => {
            json!({"event": "block-connected", "hash": hash, "height": height})
        }
        NodeEvent::BlockDisconnected { hash, height } => {
            json!({"event": "block-disconnected", "hash": hash, "height": height})
        }
        NodeEvent::BlockInvalid {
            hash,
            height,
            reason,
        } => json!({"event": "block-invalid", "hash": hash, "height": height, "reason": reason}),
        NodeEvent::BlockDamaged { hash, height } => {
            json!({"event": "block-damaged", "hash": hash, "height": height})
        }
        NodeEvent::BlockRestored { hash, height } => {
            json!({"event": "block-restored", "hash": hash, "height": height})
        }
        NodeEvent::SnapshotLoaded { hash, height } => {
            json!({"event": "snapshot-loaded", "hash": hash, "height": height})
        }
        NodeEvent::HeaderTip { hash, height } => {
            json!({"event": "header-tip", "hash": hash, "height": height})
        }
        NodeEvent::TransactionAdded { txid } => {
            json!({"event": "transaction-added", "txid": txid})
        }
        NodeEvent::TransactionRemoved { txid, reason } => {
            json!({"event": "transaction-removed", "txid": txid, "reason": reason})
        }
        NodeEvent::PeerUp { peer, address } => {
            json!({"event": "peer-up", "peer": peer.0, "address": address})
        }
        NodeEvent::PeerDown { peer, reason } => {
            json!({"event": "peer-down", "peer": peer.0, "reason": reason})
        }
        NodeEvent::ModeChanged { mode } => json!({"event": "mode-changed", "mode": mode}),
    };
    json["n"] = event.number.into();
    json["at_ms"] = event.at_ms.into();
    json
}
