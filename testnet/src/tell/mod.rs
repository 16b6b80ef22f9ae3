//! What is told of a run: pure functions of its [`Record`](crate::record::Record). What cannot be computed from the record is not
//! told, and nothing here knows which engine wrote it.

pub mod agreement;
pub mod checks;
pub mod compare;
pub mod fate;
pub mod figures;
pub mod heal;
pub mod ledger;
pub mod report;
pub mod tree;
pub(crate) mod words;

#[cfg(test)]
pub(crate) mod history;

pub use agreement::Agreements;
pub use checks::Check;
pub use fate::Fate;
pub use figures::Figures;
pub use heal::HealReport;
pub use report::Report;
pub use tree::Tree;
