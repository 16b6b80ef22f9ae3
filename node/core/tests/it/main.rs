//! The node's core: several cores in fake time.

mod aside;
mod mend;
mod net;
mod node;
mod operator;
mod packages;
mod peers;
mod pool;
mod support;
