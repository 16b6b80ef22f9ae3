//! What is told of a run: pure functions of its [`Record`](crate::record::Record). What cannot be computed from the record is not
//! told, and nothing here knows which engine wrote it.

pub mod agreement;
pub mod fate;
pub mod heal;
pub mod ledger;
mod words;

#[cfg(test)]
mod history;

pub use agreement::Agreements;
pub use fate::Fate;
pub use heal::HealReport;
