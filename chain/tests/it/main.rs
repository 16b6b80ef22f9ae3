//! Integration tests of the chain, one module per subject.

mod oracle;
