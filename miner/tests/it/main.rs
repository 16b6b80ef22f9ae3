//! Tests of the miner as others use it.

mod external;
mod node;
mod process;
mod search;
