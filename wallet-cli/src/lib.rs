//! `mend wallet`: keys, payments and history on the command line, over `bdk_wallet`.
//!
//! ```text
//! cli -> commands/* -> session (one opened wallet) -> file (what is on disk) , vault (the encrypted words)
//!                   -> sync -> node (any node with Core's RPC)
//! ```
//!
//! The wallet file holds public descriptors and history; the words are in it only encrypted (or, when the user said so,
//! in clear with mode 0600), and keys exist in memory only while something is signed.

mod amount;
mod cli;
mod commands;
mod file;
mod ids;
mod keys;
mod lost;
mod node;
mod session;
mod sync;
mod vault;

pub use cli::{WalletArgs, run};
