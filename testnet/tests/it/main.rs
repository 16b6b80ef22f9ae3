//! Integration tests of the lab: real sockets, real processes.
#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod proxy;
mod published;
mod record;
mod shipped;
mod simulation;
