//! Logs: to standard error, by part, for people or as JSON; repeated lines are counted instead of written.

mod directives;
mod repeats;

use std::fmt::Debug;
use std::io::IsTerminal;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Instant;

use anyhow::anyhow;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use repeats::{LeftOut, Repeats, WINDOW};

/// The target of lines that tell what was left out. They are never left out themselves.
const TOLD_BY: &str = "log";

/// Starts logging at `level`, unless `RUST_LOG` says something else.
///
/// # Errors
///
/// When the level cannot be read.
pub(crate) fn start(level: &str, json: bool) -> anyhow::Result<()> {
    directives::check(level)?;
    let directives = match std::env::var("RUST_LOG") {
        Ok(text) if !text.is_empty() => text,
        _ => format!("{level},{}", p2p::swarm::LOG_DIRECTIVES),
    };
    let filter = EnvFilter::try_new(&directives).map_err(|error| {
        anyhow!(
            "{directives} is not a log level ({error}); write it as info, or as info,chain=debug"
        )
    })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // It would be told on standard error as well, and panic: a node runs on when nobody reads its log.
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal());
    let started = if json {
        let lines = builder.json().flatten_event(true).finish();
        lines.with(LimitRepeats).try_init()
    } else {
        builder.finish().with(LimitRepeats).try_init()
    };
    // Someone else in this process has started logging before: that will do.
    let _ = started;
    Ok(())
}

/// Tells what was left out and not told yet; call it last.
pub(crate) fn finish() {
    let left_out = limiter().repeats().finish();
    tell(&left_out);
}

/// A place in the code that logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    target: &'static str,
    file: Option<&'static str>,
    line: Option<u32>,
    level: Level,
}

impl Place {
    fn of(metadata: &Metadata<'static>) -> Place {
        Place {
            target: metadata.target(),
            file: metadata.file(),
            line: metadata.line(),
            level: *metadata.level(),
        }
    }
}

/// The counts of this process, which has one log.
struct Limiter {
    start: Instant,
    repeats: Mutex<Repeats<Place>>,
}

impl Limiter {
    fn repeats(&self) -> std::sync::MutexGuard<'_, Repeats<Place>> {
        // Counts are right whatever panicked.
        self.repeats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the log is of the shell, which has a clock"
)]
fn limiter() -> &'static Limiter {
    static LIMITER: OnceLock<Limiter> = OnceLock::new();
    LIMITER.get_or_init(|| Limiter {
        start: Instant::now(),
        repeats: Mutex::new(Repeats::new()),
    })
}

/// Lets lines of one place through up to the limit of a window. Lines below info, which somebody asked for, are not limited.
struct LimitRepeats;

impl<S: Subscriber> Layer<S> for LimitRepeats {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let place = Place::of(event.metadata());
        if place.level > Level::INFO || place.target == TOLD_BY {
            return true;
        }
        let limiter = limiter();
        let now = limiter.start.elapsed();
        let (left_out, may_write) = {
            let mut repeats = limiter.repeats();
            let left_out = repeats.due(now);
            (
                left_out,
                repeats.may_write(&place, now, || message_of(event)),
            )
        };
        // These are events of their own: the lock is free again.
        tell(&left_out);
        may_write
    }
}

fn tell(left_out: &[LeftOut<Place>]) {
    for LeftOut {
        place,
        lines,
        first,
    } in left_out
    {
        let (part, window_s) = (place.target, WINDOW.as_secs());
        match place.level {
            Level::ERROR => {
                tracing::error!(target: TOLD_BY, part, window_s, "{lines} more like this: {first}")
            }
            Level::WARN => {
                tracing::warn!(target: TOLD_BY, part, window_s, "{lines} more like this: {first}")
            }
            _ => tracing::info!(target: TOLD_BY, part, window_s, "{lines} more like this: {first}"),
        }
    }
}

/// The message of an event, without its fields.
fn message_of(event: &Event<'_>) -> String {
    struct Message(String);
    impl Visit for Message {
        fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
            if field.name() == "message" {
                self.0 = format!("{value:?}");
            }
        }
    }
    let mut message = Message(String::new());
    event.record(&mut message);
    message.0
}
