//! What stops a node from outside: signals, and the end of standard input.

use std::io::Read;
use std::time::Duration;

use node_host::{NodeHandle, StopReason};

/// A signal that comes again so soon is the same request: `timeout` sends its own to the process and to its group.
const SAME_REQUEST: Duration = Duration::from_secs(1);

/// Stops the node on SIGINT or SIGTERM. A second Ctrl-C, not at once, ends the process without writing what is left.
pub(crate) fn watch(node: &NodeHandle) {
    let node = node.clone();
    tokio::spawn(async move {
        let by = next().await;
        node.stop().press(StopReason::Asked(by));
        tokio::time::sleep(SAME_REQUEST).await;
        interrupted().await;
        std::process::exit(130);
    });
}

#[cfg(unix)]
async fn next() -> &'static str {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return interrupted().await;
    };
    tokio::select! {
        by = interrupted() => by,
        _ = terminate.recv() => "SIGTERM",
    }
}

#[cfg(not(unix))]
async fn next() -> &'static str {
    interrupted().await
}

async fn interrupted() -> &'static str {
    match tokio::signal::ctrl_c().await {
        Ok(()) => "SIGINT",
        // Without signals the node still stops by RPC.
        Err(_) => std::future::pending().await,
    }
}

/// Stops the node when standard input ends: a parent that dies takes its nodes with it.
pub(crate) fn watch_stdin(node: &NodeHandle) {
    let node = node.clone();
    let watcher = move || {
        let mut buffer = [0; 1024];
        let mut stdin = std::io::stdin().lock();
        while matches!(stdin.read(&mut buffer), Ok(1..)) {}
        node.stop()
            .press(StopReason::Asked("the end of standard input"));
    };
    let thread = std::thread::Builder::new().name("stdin".to_owned());
    if let Err(error) = thread.spawn(watcher) {
        tracing::warn!(%error, "standard input is not watched");
    }
}
