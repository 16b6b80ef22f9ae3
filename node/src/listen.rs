//! Choosing ports: an address that was asked for is taken or refused, a default one leads to the next free port.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use anyhow::Context;

/// The RPC port unless something else is said: Bitcoin Core's on regtest.
pub(crate) const DEFAULT_RPC_PORT: u16 = 18443;
/// The port for peers unless something else is said.
pub(crate) const DEFAULT_PEER_PORT: u16 = 18444;
/// How many ports are tried after a default one.
const PORTS_TRIED: u16 = 200;

/// Opens the RPC port: `wanted`, or the first free one from the default on.
///
/// # Errors
///
/// When `wanted` is taken or no port is free.
pub(crate) fn rpc_listener(wanted: Option<SocketAddr>) -> anyhow::Result<TcpListener> {
    let listener = match wanted {
        Some(address) => TcpListener::bind(address).with_context(|| {
            format!("cannot serve RPC on {address}; choose another --rpc HOST:PORT, or port 0 for any free one")
        })?,
        None => first_free(DEFAULT_RPC_PORT)?,
    };
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// The multiaddress for peers when none was asked for: loopback, the first free port from the default on.
///
/// # Errors
///
/// When no port is free.
pub(crate) fn default_peer_address() -> anyhow::Result<String> {
    let port = first_free(DEFAULT_PEER_PORT)?.local_addr()?.port();
    Ok(format!("/ip4/127.0.0.1/tcp/{port}"))
}

fn first_free(from: u16) -> anyhow::Result<TcpListener> {
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    (from..from + PORTS_TRIED)
        .find_map(|port| TcpListener::bind((loopback, port)).ok())
        .with_context(|| {
            let last = from + PORTS_TRIED - 1;
            format!(
                "ports {from} to {last} of 127.0.0.1 are all taken; give one by --rpc or --listen"
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_was_asked_for_is_taken_or_refused() {
        let any = rpc_listener(Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))).expect("free");
        let taken = any.local_addr().expect("bound");
        let error = rpc_listener(Some(taken)).expect_err("taken");
        assert!(error.to_string().contains("--rpc"), "{error}");
    }

    #[test]
    fn defaults_lead_to_the_next_free_port() {
        let first = rpc_listener(None).expect("free");
        let second = rpc_listener(None).expect("free");
        let port = |listener: &TcpListener| listener.local_addr().expect("bound").port();
        assert!(port(&second) > port(&first));
    }
}
