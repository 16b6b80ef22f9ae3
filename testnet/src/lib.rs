//! The lab: networks of real processes, link faults, experiments.
//!
//! ```text
//! commands -> control -> Supervisor -> Network -> processes (`mend node`), one proxy for each link between them
//!                                  \-> report::observe -> report::heal
//! ```
//!
//! What an experiment is made of ([`scenario`], [`link::LinkSettings`]) does not say which engine runs it.

pub mod accounts;
mod commands;
pub mod invariants;
pub mod link;
pub mod network;
pub mod page;
pub mod pay;
pub mod plan;
pub mod real;
pub mod record;
pub mod report;
pub mod scenario;
pub mod sim;
pub mod tell;

pub use commands::{LabArgs, TestnetArgs, run, run_lab};
