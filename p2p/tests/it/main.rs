//! Integration tests of the network crate, a module per subject.

mod wire;
