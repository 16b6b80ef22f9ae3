//! The node's core: several cores in fake time.

mod aside;
mod blocks;
mod costly;
mod dialling;
mod mend;
mod modes;
mod net;
mod operator;
mod packages;
mod peers;
mod pool;
mod storage;
mod support;
mod templates;
