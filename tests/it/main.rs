//! Tests of the `mend` binary as real processes.

mod bad_input;
mod cli;
mod data;
mod process;
