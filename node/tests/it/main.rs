//! Integration tests of the node.

mod core_aside;
mod core_mend;
mod core_net;
mod core_node;
mod core_operator;
mod core_packages;
mod core_peers;
mod core_pool;
mod core_support;
mod cpuminer;
mod mining_templates;
mod rpc_calls;
mod rpc_clients;
mod rpc_every_call;
mod rpc_http;
mod rpc_packages;
mod rpc_snapshot;
mod rpc_txindex;
mod stratum_client;
mod stratum_node;
mod stratum_scene;
mod stratum_session;
mod stratum_tcp;
mod support_node;
