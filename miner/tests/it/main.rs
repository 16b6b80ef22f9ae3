//! Tests of the miner as others use it.

mod external;
mod kernels;
mod node;
mod search;
