//! What became of every block and payment of an experiment.
//!
//! [`observe`] asks the nodes; [`heal`] makes the report out of the answers alone; the `Display` of [`HealReport`] writes it for people.

pub mod heal;
pub mod observe;
mod text;

pub use heal::{HealReport, Observations, ReportError};
