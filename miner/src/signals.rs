//! What ends `mend mine` from outside.

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};

use std::time::Duration;

use crate::stop::StopFlag;

/// A signal that comes again so soon is the same request: `timeout` sends its own to the process and to its group.
const SAME_REQUEST: Duration = Duration::from_secs(1);

/// Raises `done` on the first SIGINT or SIGTERM, and ends the process on one that comes later.
///
/// # Errors
///
/// When the system refuses to tell of signals; they then end the process as if nobody had asked.
pub(crate) fn watch(done: StopFlag) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    // Asked for here and not on the thread, so that none is missed from now on.
    let entered = runtime.enter();
    let mut signals = Signals::new()?;
    drop(entered);
    std::thread::spawn(move || {
        runtime.block_on(signals.next());
        done.stop();
        std::thread::sleep(SAME_REQUEST);
        let entered = runtime.enter();
        // A new watch: it knows nothing of what came so far.
        let later = Signals::new();
        drop(entered);
        if let Ok(mut later) = later {
            runtime.block_on(later.next());
            std::process::exit(130);
        }
    });
    Ok(())
}

#[cfg(unix)]
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        drop(tokio::signal::ctrl_c().await);
    }
}
