//! Tests of the `mend` binary as real processes.

mod bad_input;
mod cli;
mod data;
mod emitter;
mod process;
mod typed_client;
mod wallet;
mod wallet_trouble;
