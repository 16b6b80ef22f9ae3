//! Where to listen: addresses as told, looked up and found to be free.

use std::io;
use std::net::{SocketAddr, TcpListener};

use super::address::{self, Family, Place};
use super::{SwarmError, reason};

/// The socket addresses for `listen`, each of them free a moment ago.
///
/// The library opens its listening sockets so that several programs could share a port (`SO_REUSEPORT`); then two nodes would
/// take turns at answering. So each port is tried first in the plain way, which fails if anyone listens there.
///
/// # Errors
///
/// For an address that is not one, that is not of this machine, or that is taken.
pub(super) async fn resolve_free(listen: &[String]) -> Result<Vec<SocketAddr>, SwarmError> {
    let mut sockets = Vec::new();
    for text in listen {
        let socket = resolve(text).await.map_err(SwarmError::new)?;
        check_free(socket).map_err(|error| unusable(text, &error))?;
        sockets.push(socket);
    }
    Ok(sockets)
}

/// The error for an address that cannot be listened on.
pub(super) fn unusable(address: &str, error: &io::Error) -> SwarmError {
    let error = reason::unwrapped(error);
    let problem = match error.kind() {
        io::ErrorKind::AddrInUse => "address in use: another program or node listens there; choose another --listen, or port 0 for a free one".to_owned(),
        io::ErrorKind::AddrNotAvailable => "this machine does not have that address; choose another --listen, such as /ip4/127.0.0.1/tcp/0".to_owned(),
        io::ErrorKind::PermissionDenied => "not permitted; choose another --listen with a port of 1024 or above".to_owned(),
        _ => format!("{error}; choose another --listen"),
    };
    SwarmError::new(format!("cannot listen on {address}: {problem}"))
}

async fn resolve(text: &str) -> Result<SocketAddr, String> {
    match address::parse(text)?.place {
        Place::Socket(socket) => Ok(socket),
        Place::Name { host, port, family } => look_up(&host, port, family)
            .await
            .map(|found| found[0])
            .map_err(|problem| {
                format!("cannot listen on {text}: {problem}; choose another --listen")
            }),
    }
}

/// The addresses of a name, IPv4 first; at least one.
///
/// # Errors
///
/// In words, when there is none.
pub(super) async fn look_up(
    host: &str,
    port: u16,
    family: Family,
) -> Result<Vec<SocketAddr>, String> {
    let found = tokio::net::lookup_host((host, port))
        .await
        .map_err(|error| format!("the name {host} cannot be looked up: {error}"))?;
    let mut found: Vec<_> = found.filter(|address| family.has(address)).collect();
    found.sort_by_key(SocketAddr::is_ipv6);
    found.dedup();
    if found.is_empty() {
        return Err(format!("the name {host} has no address of the wanted kind"));
    }
    Ok(found)
}

fn check_free(socket: SocketAddr) -> io::Result<()> {
    if socket.port() == 0 {
        Ok(())
    } else {
        TcpListener::bind(socket).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_is_told_with_a_remedy() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let error = resolve_free(&[address]).await.unwrap_err().to_string();
        assert!(error.contains("address in use"), "{error}");
        assert!(
            error.contains("choose another --listen, or port 0"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn names_are_looked_up() {
        let found = resolve_free(&["localhost:0".to_owned()]).await.unwrap();
        assert!(found[0].ip().is_loopback());
    }

    #[tokio::test]
    async fn an_address_of_another_machine_is_told_with_a_remedy() {
        let error = resolve_free(&["/ip4/192.0.2.1/tcp/9333".to_owned()])
            .await
            .unwrap_err();
        assert!(
            error.to_string().contains("does not have that address"),
            "{error}"
        );
    }
}
