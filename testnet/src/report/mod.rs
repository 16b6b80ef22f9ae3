//! What became of every block and payment of an experiment.
//!
//! Of simulations: [`figures`](mod@figures), out of the trace alone. Of real networks: [`observe`] asks the nodes; [`heal`] makes the report out of the answers alone; the `Display` of [`HealReport`] writes it for people.

pub mod figures;
pub mod heal;
pub mod observe;
mod text;

pub use figures::{FiguresError, figures};
pub use heal::{HealReport, Observations, ReportError};
