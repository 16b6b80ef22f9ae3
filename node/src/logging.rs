//! Logs: to standard error, by part, for people or as JSON.

use std::io::IsTerminal;

use anyhow::anyhow;
use tracing_subscriber::EnvFilter;

/// Starts logging at `level`, unless `RUST_LOG` says something else.
///
/// # Errors
///
/// When the level cannot be read.
pub(crate) fn start(level: &str, json: bool) -> anyhow::Result<()> {
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
        .with_ansi(std::io::stderr().is_terminal());
    let started = if json {
        builder.json().flatten_event(true).try_init()
    } else {
        builder.try_init()
    };
    // Someone else in this process has started logging before: that will do.
    let _ = started;
    Ok(())
}
