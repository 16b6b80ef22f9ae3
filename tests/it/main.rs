//! Tests of the `mend` binary as real processes.

mod bad_input;
mod bitcoind;
mod bitrot;
mod cli;
mod compare;
mod data;
mod deep_reorg;
mod emitter;
mod full_disk;
mod kill;
mod kill_under_load;
mod limits;
mod mempool_file;
mod network;
mod nonsense;
mod owner;
mod pipe;
mod process;
mod regtest_http;
mod self_repair;
mod settings;
mod signals;
mod stopping;
mod stratum;
#[path = "../../node/stratum/tests/it/stratum_client.rs"]
mod stratum_client;
#[path = "../../node/tests/it/stratum_tcp.rs"]
mod stratum_tcp;
#[path = "../../benches/support/mod.rs"]
mod support;
mod txindex;
mod typed_client;
mod wallet;
mod wallet_promises;
mod wallet_trouble;
