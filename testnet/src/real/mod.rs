//! Networks of real processes: nodes started from the lab's own executable, linked through proxies that the lab owns.
//!
//! One process, the supervisor, owns nodes and proxies as long as the testnet lives. Commands find it by the files in the
//! testnet's directory and talk to it by JSON lines ([`control`]).

pub mod control;
mod error;
mod faults;
pub mod http;
pub mod layout;
pub mod manifest;
mod network;
mod node;
pub mod orders;
mod payments;
pub mod play;
mod probe;
mod process;
mod recorder;
mod signals;
mod status;
mod supervisor;
mod tap;

pub use error::LabError;
pub use layout::Layout;
pub use manifest::Manifest;
pub use network::{Network, NetworkOptions};
pub use orders::Order;
pub use probe::{CoinsInfo, Probe};
pub(crate) use process::{last_line, own_process_group};
pub use recorder::Recorder;
pub(crate) use status::short;
pub use status::{NodeState, NodeStatus, Status, TipGroup};
pub use supervisor::{Healed, Supervisor};
