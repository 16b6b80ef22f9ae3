//! What an experiment is made of, for both engines: [`Scenario`] is read from TOML and checked before anything runs.

pub mod action;
pub mod changes;
pub mod chaos;
mod check;
pub mod file;
pub mod groups;
pub mod place;
pub mod topology;

pub use action::Action;
pub use changes::Change;
pub use file::{Scenario, ScenarioError};
pub use groups::Groups;
pub use place::FileError;
pub use terminal::Span;
pub use topology::Topology;
