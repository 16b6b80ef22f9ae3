//! Integration tests of the chain, one module per subject.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bitrot;
mod cases;
mod coin_hash;
mod copies;
mod copies_killed;
mod crash;
mod deep_reorg;
mod disk_errors;
mod faulty_disk;
mod files;
mod flush;
mod forks;
mod format;
mod heal;
mod model;
mod open;
mod oracle;
mod rulebook;
mod salvage;
mod scrub;
mod self_repair;
mod snapshot;
mod story;
mod verify;
mod window;
