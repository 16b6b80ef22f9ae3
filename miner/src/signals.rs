//! What ends `mend mine` from outside.

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::stop::StopFlag;

/// Raises `done` on the first SIGINT or SIGTERM, and ends the process on the second.
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
        runtime.block_on(signals.next());
        std::process::exit(130);
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
