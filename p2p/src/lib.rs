//! Who has what, and how to get it.
//!
//! [`wire`] says what peers can say to each other and how much of it. [`sync::SyncEngine`] decides, without IO: inputs
//! and the time go in, actions come out. [`budget`] says what peers may make us hold, and who waits. [`swarm`] is the only part that knows libp2p; it carries messages and decides nothing.

pub mod book;
pub mod budget;
pub mod peer;
mod split_mix;
#[cfg(feature = "swarm")]
pub mod swarm;
pub mod sync;
pub mod time;
pub mod wire;

pub use peer::{AnswerToken, Direction, PeerGroup, PeerNum};
pub use split_mix::SplitMix64;
pub use time::Mono;
