//! A whole node in this process, through what it serves.

mod cpuminer;
mod mining_templates;
mod rpc_calls;
mod rpc_clients;
mod rpc_every_call;
mod rpc_http;
mod rpc_limits;
mod rpc_packages;
mod rpc_public;
mod rpc_saved;
mod rpc_snapshot;
mod rpc_txindex;
#[path = "../../stratum/tests/it/stratum_client.rs"]
mod stratum_client;
mod stratum_node;
mod stratum_tcp;
mod support_node;
