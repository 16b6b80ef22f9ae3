//! Links between nodes: one description of what a link does, carried out on real bytes by [`proxy`] and in virtual time by
//! [`model`].

pub mod model;
pub mod proxy;
pub mod settings;

pub use proxy::LinkProxy;
pub use settings::{Flow, Lane, LinkSettings};
