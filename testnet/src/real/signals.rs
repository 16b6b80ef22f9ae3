//! Ctrl-C and the system's request to end.

/// Returns when the user or the system wants the process to end.
#[cfg(unix)]
pub(super) async fn end_is_wanted() {
    use tokio::signal::unix::{SignalKind, signal};
    let terminate = signal(SignalKind::terminate());
    let hang_up = signal(SignalKind::hangup());
    match (terminate, hang_up) {
        (Ok(mut terminate), Ok(mut hang_up)) => tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
            _ = hang_up.recv() => {}
        },
        _ => {
            let _ = tokio::signal::ctrl_c().await;
        }
    }
}

/// Returns when the user wants the process to end.
#[cfg(not(unix))]
pub(super) async fn end_is_wanted() {
    let _ = tokio::signal::ctrl_c().await;
}
