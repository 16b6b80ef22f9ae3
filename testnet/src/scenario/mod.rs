//! What an experiment is made of, for both engines.

pub mod groups;
pub mod topology;

pub use groups::Groups;
pub use topology::Topology;
