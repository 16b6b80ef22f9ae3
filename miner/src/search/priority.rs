//! How urgent mining threads are.

/// Puts the calling thread behind all that is more urgent. On Linux niceness is a thread's own.
#[cfg(target_os = "linux")]
pub(super) fn give_way() {
    const LOWEST: i32 = 19;
    // Fails nowhere for a lower priority; if it did, mining would merely be as urgent as the rest.
    let _ = rustix::process::nice(LOWEST);
}

#[cfg(not(target_os = "linux"))]
pub(super) fn give_way() {}
