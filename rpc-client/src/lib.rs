//! A small client for the JSON-RPC of Mend and Bitcoin Core.
//!
//! [`Client`] is blocking and may be shared between threads. [`cli`] is `mend cli`, which has the habits of `bitcoin-cli`.

mod amount;
mod auth;
pub mod cli;
mod client;
pub mod compare;
mod error;
pub mod place;

pub use amount::amount_from;
pub use auth::Auth;
pub use client::Client;
pub use error::RpcError;
