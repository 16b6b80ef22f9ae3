//! What the system says of a process.

use std::fs;
use std::process::Command;

/// Peak resident memory of this process so far, in MiB; 0 where the system does not tell.
pub(crate) fn peak_mib() -> f64 {
    status_kib("VmHWM:") / 1024.0
}

/// Resident memory of this process, in MiB; 0 where the system does not tell.
pub(crate) fn resident_mib() -> f64 {
    status_kib("VmRSS:") / 1024.0
}

fn status_kib(field: &str) -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or(0.0)
}

/// User and system time of this process so far, in seconds; 0 where the system does not tell.
pub(crate) fn cpu_seconds() -> f64 {
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or("");
    let fields = after_name.split_whitespace().skip(11).take(2);
    fields
        .filter_map(|ticks| ticks.parse::<f64>().ok())
        .sum::<f64>()
        / TICKS_PER_SECOND
}

/// Runs this program again with `words`, so that its memory is its own, and gives what it printed.
pub(crate) fn again(words: &[&str]) -> String {
    let program = std::env::current_exe().unwrap();
    let output = Command::new(program).args(words).output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}
