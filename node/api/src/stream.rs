//! `/events`: what happens on the node, as server-sent events, numbered and to be resumed.
//!
//! A listener that was away sends the id it had last (`Last-Event-ID`, as browsers do by themselves, or `?from=` the next
//! one) and gets all that it missed, or 410 when that is not kept any more or the node was started again meanwhile.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use futures::stream::{self, Stream};
use http_server::plain;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Api;
use crate::limits::MAX_STREAMS;
use chain::Cure;
use node_core::events::NodeEvent;
use node_host::{EventId, Gone, NumberedEvent, RunId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Events taken from the log at a time.
const BATCH: usize = 200;
/// A comment is sent this often, so that a dead connection is noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Where to begin.
#[derive(Debug, Deserialize)]
struct Start {
    from: Option<String>,
}

#[derive(Clone)]
struct Streams {
    api: Api,
    places: Arc<Semaphore>,
}

/// The route of the stream, for up to [`MAX_STREAMS`] listeners at once.
pub(crate) fn router(api: Api) -> Router {
    let places = Arc::new(Semaphore::new(MAX_STREAMS));
    Router::new()
        .route("/events", get(handler))
        .with_state(Streams { api, places })
}

async fn handler(
    State(streams): State<Streams>,
    Query(start): Query<Start>,
    headers: HeaderMap,
) -> Response {
    let Ok(place) = streams.places.try_acquire_owned() else {
        let text = "Too many listeners\n";
        return plain(StatusCode::SERVICE_UNAVAILABLE, text);
    };
    let log = streams.api.events();
    let last = headers
        .get("last-event-id")
        .and_then(|value| value.to_str().ok());
    let from = match (last, &start.from) {
        (Some(last), _) => last.parse().map(|last: EventId| EventId {
            number: last.number.saturating_add(1),
            ..last
        }),
        (None, Some(from)) => from.parse(),
        (None, None) => Ok(EventId {
            run: None,
            number: *log.latest().borrow() + 1,
        }),
    };
    let from: EventId = match from {
        Ok(from) => from,
        Err(error) => return (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    };
    if let Err(gone) = log.since(from, 1) {
        return (StatusCode::GONE, Json(not_here(gone))).into_response();
    }
    let alive = KeepAlive::new().interval(KEEP_ALIVE);
    Sse::new(events(streams.api, from.number.max(1), place))
        .keep_alive(alive)
        .into_response()
}

struct Progress {
    node: Api,
    next: u64,
    taken: VecDeque<NumberedEvent>,
    ended: bool,
    _place: OwnedSemaphorePermit,
}

fn events(
    node: Api,
    from: u64,
    place: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Event, Infallible>> {
    let start = Progress {
        node,
        next: from,
        taken: VecDeque::new(),
        ended: false,
        _place: place,
    };
    stream::unfold(start, |mut progress| async move {
        loop {
            if progress.ended {
                return None;
            }
            let log = progress.node.events();
            if let Some(event) = progress.taken.pop_front() {
                progress.next = event.number + 1;
                return Some((Ok(sent(&event, log.run())), progress));
            }
            let mut latest = log.latest();
            let next = EventId {
                run: None,
                number: progress.next,
            };
            match log.since(next, BATCH) {
                // The listener reads more slowly than things happen.
                Err(gone) => {
                    progress.ended = true;
                    let last = Event::default()
                        .event("too-old")
                        .data(not_here(gone).to_string());
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

fn not_here(gone: Gone) -> Value {
    let mut json = json!({"error": gone.to_string()});
    match gone {
        Gone::TooOld { oldest } => json["oldest"] = oldest.into(),
        Gone::OtherRun { run } => json["run"] = run.to_string().into(),
        Gone::Ahead { latest } => json["latest"] = latest.into(),
    }
    json
}

fn sent(event: &NumberedEvent, run: RunId) -> Event {
    let json = event_json(event, run);
    let name = json["event"].as_str().unwrap_or_default().to_owned();
    Event::default()
        .id(json["id"].as_str().unwrap_or_default())
        .event(name)
        .data(json.to_string())
}

/// An event as JSON: `n`, `id`, `at_ms`, `event` and what belongs to it.
pub(crate) fn event_json(event: &NumberedEvent, run: RunId) -> Value {
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
        NodeEvent::Healing { problem } => json!({"event": "healing", "problem": problem}),
        NodeEvent::Healed { cure } => healed_json(cure),
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
    let id = EventId {
        run: Some(run),
        number: event.number,
    };
    json["n"] = event.number.into();
    json["id"] = id.to_string().into();
    json["at_ms"] = event.at_ms.into();
    json
}

fn healed_json(cure: &Cure) -> Value {
    let text = cure.to_string();
    match cure {
        Cure::Coin { outpoint } => {
            json!({"event": "healed", "what": cure.what(), "outpoint": outpoint, "text": text})
        }
        Cure::Undo { block } => {
            json!({"event": "healed", "what": cure.what(), "hash": block.hash, "height": block.height, "text": text})
        }
        Cure::Header { block, marks_known } => json!({
            "event": "healed", "what": cure.what(), "hash": block.hash, "height": block.height,
            "marks_known": marks_known, "text": text,
        }),
        Cure::Database {
            kept,
            bodies,
            lost,
            before,
            after,
            marked,
            ..
        } => json!({
            "event": "healed", "what": cure.what(), "kept": kept, "blocks": bodies, "lost": lost, "marked": marked,
            "height_before": before, "height": after, "text": text,
        }),
    }
}
