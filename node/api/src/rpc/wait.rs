//! Calls that wait for the chain: `waitfornewblock`, `waitforblock`, `waitforblockheight`.

use std::time::Duration;

use bitcoin::BlockHash;
use chain::{BlockPosition, Height};
use node_host::{EventId, Gone};
use serde::Serialize;
use serde_json::{Value, json};

use super::args::Args;
use super::call::Handler::Wait;
use super::call::{Call, Kind, Likeness, Waiting, optional, required};
use super::error::Failure;
use super::reply::reply;
use crate::Api;
use crate::stream::event_json;

const TIMEOUT: super::call::Param = optional(
    "timeout",
    Kind::Number,
    "milliseconds to wait at most, 0 for ever (default)",
);

/// Events in one answer, unless something else is said.
const DEFAULT_EVENTS: i64 = 1_000;

/// The calls of this file.
pub(super) const CALLS: &[Call] = &[
    Call {
        name: "waitforblock",
        params: &[
            required("blockhash", Kind::Text, "the block's hash"),
            TIMEOUT,
        ],
        help: "Waits until a block is the active tip, or time is over, and gives the tip.",
        likeness: Likeness::Core,
        handler: Wait(wait_for_block),
    },
    Call {
        name: "waitforblockheight",
        params: &[required("height", Kind::Number, "the height"), TIMEOUT],
        help: "Waits until the active tip has at least this height, or time is over, and gives the tip.",
        likeness: Likeness::Core,
        handler: Wait(wait_for_height),
    },
    Call {
        name: "waitforevents",
        params: &[
            optional(
                "from",
                Kind::Any,
                "the first event wanted, as NUMBER or \"RUN-NUMBER\"; 0 for the oldest kept, the next one to come by default",
            ),
            TIMEOUT,
            optional("limit", Kind::Number, "events at most; 1000 by default"),
        ],
        help: "Waits for something to happen, and gives the events from a number on, with the number and the id to ask for next. It fails with -8 when \
               some of them are not kept any more; asked with the run, also when the node was started again. GET /events gives the same as a stream.",
        likeness: Likeness::Ours,
        handler: Wait(wait_for_events),
    },
    Call {
        name: "waitfornewblock",
        params: &[
            TIMEOUT,
            optional(
                "current_tip",
                Kind::Text,
                "wait until the tip differs from this; from the tip now by default",
            ),
        ],
        help: "Waits until the active tip changes, or time is over, and gives the tip.",
        likeness: Likeness::Core,
        handler: Wait(wait_for_new_block),
    },
];

#[derive(Serialize)]
struct Tip {
    hash: BlockHash,
    height: Height,
}

fn wait_for_new_block(node: Api, args: Args) -> Waiting {
    Box::pin(async move {
        let known = args.opt_hash::<BlockHash>(1)?;
        let known = known.unwrap_or_else(|| node.tip().borrow().hash);
        wait(&node, timeout(&args, 0)?, |tip| tip.hash != known).await
    })
}

fn wait_for_block(node: Api, args: Args) -> Waiting {
    Box::pin(async move {
        let hash: BlockHash = args.hash(0)?;
        wait(&node, timeout(&args, 1)?, |tip| tip.hash == hash).await
    })
}

fn wait_for_height(node: Api, args: Args) -> Waiting {
    Box::pin(async move {
        let height = args.int(0)?;
        let reached = |tip: &BlockPosition| i64::from(tip.height.0) >= height;
        wait(&node, timeout(&args, 1)?, reached).await
    })
}

fn timeout(args: &Args, index: usize) -> Result<Option<Duration>, Failure> {
    match args.opt_int(index)? {
        None | Some(0) => Ok(None),
        Some(millis) => u64::try_from(millis)
            .map(|millis| Some(Duration::from_millis(millis)))
            .map_err(|_| Failure::misc("Negative timeout")),
    }
}

async fn wait(
    node: &Api,
    timeout: Option<Duration>,
    reached: impl Fn(&BlockPosition) -> bool,
) -> Result<super::reply::Reply, Failure> {
    let mut tip = node.tip();
    let waiting = tip.wait_for(reached);
    let known = match timeout {
        None => waiting.await.ok().map(|tip| *tip),
        Some(limit) => match tokio::time::timeout(limit, waiting).await {
            Ok(known) => known.ok().map(|tip| *tip),
            Err(_) => None,
        },
    };
    let known = known.unwrap_or_else(|| *node.tip().borrow());
    reply(&Tip {
        hash: known.hash,
        height: known.height,
    })
}

fn wait_for_events(node: Api, args: Args) -> Waiting {
    Box::pin(async move {
        let log = node.events();
        let mut latest = log.latest();
        let from = match args.value(0) {
            Value::Null => EventId {
                run: None,
                number: *latest.borrow() + 1,
            },
            Value::String(text) => {
                let id = text.parse::<EventId>();
                id.map_err(|error| Failure::invalid(error.to_string()))?
            }
            given => EventId {
                run: None,
                number: given.as_u64().ok_or_else(|| {
                    Failure::invalid("from is no number of an event, nor RUN-NUMBER as text")
                })?,
            },
        };
        let limit = args.opt_int(2)?.unwrap_or(DEFAULT_EVENTS);
        let limit = usize::try_from(limit).map_err(|_| Failure::invalid("limit is negative"))?;
        let from = match from.number {
            0 => EventId {
                number: log.oldest(),
                ..from
            },
            _ => from,
        };
        let refused = |gone: Gone| Failure::invalid(gone.to_string());
        log.since(from, 1).map_err(refused)?;
        let come = latest.wait_for(|latest| *latest >= from.number);
        match timeout(&args, 1)? {
            None => drop(come.await),
            // Nothing happened: that is an answer as well.
            Some(limit) => drop(tokio::time::timeout(limit, come).await),
        }
        let events = log.since(from, limit).map_err(refused)?;
        let next = EventId {
            run: Some(log.run()),
            number: events.last().map_or(from.number, |event| event.number + 1),
        };
        let shown = events.iter().map(|event| event_json(event, log.run()));
        let shown: Vec<Value> = shown.collect();
        reply(&json!({"events": shown, "next": next.number, "next_id": next.to_string()}))
    })
}
