//! Stratum sessions without IO, against a miner that was written apart.

mod scene;
mod session;
mod stratum_client;
