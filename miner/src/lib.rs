//! Finding nonces: the kernels that hash, the engine that spreads them over threads, and an external miner.
//!
//! ```text
//! kernel   one header, many nonces, one thread: as fast as this CPU can
//! search   Searcher: one Job on several threads, until found, exhausted or stopped; rate and duty; meter
//! template getblocktemplate reply -> candidate blocks
//! client   `mend mine`: templates by long poll, blocks by submitblock
//! bench    `mend mine --bench`: how fast the kernels are here
//! ```
//!
//! [`Searcher`] is also what `mend node --mine` uses. Only `kernel` contains `unsafe` code; nothing here judges
//! whether a block is valid beyond its proof of work.

mod bench;
mod cli;
mod client;
mod kernel;
mod merkle;
mod meter;
mod pause;
mod search;
mod signals;
mod stop;
mod template;
mod throttle;

pub use cli::{MineArgs, run};
pub use kernel::{ByNameError, SelfTestError, UnknownKernel};
pub use merkle::CoinbasePath;
pub use pause::{Closed, PauseGate};
pub use search::{Job, ROLLING_MASK, SearchError, SearchOptions, SearchOutcome, Searcher};
pub use stop::StopFlag;
