//! How much space is left where the data are.

use std::path::Path;

/// Below this, the node takes nothing new that it may refuse: a commit needs room to be made.
const LOW_BYTES: u64 = 100 << 20;

/// Whether the disk is nearly full; false where the system does not tell.
pub(crate) fn is_low(path: &Path) -> bool {
    free_bytes(path).is_some_and(|free| free < LOW_BYTES)
}

#[cfg(unix)]
fn free_bytes(path: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(path).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(not(unix))]
fn free_bytes(_: &Path) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn free_space_is_measured() {
        assert!(free_bytes(&std::env::temp_dir()).is_some());
        assert_eq!(free_bytes(Path::new("/no/such/place")), None);
    }
}
