//! Connections: how many, who gives way when there are too many, and how they end.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use crate::limits::{END_TIMEOUT, MAX_HEAD_BYTES, READ_TIMEOUT};

/// After a failed accept, as when there are too many open files: some will close.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A connection, as its requests see it: an extension of each.
#[derive(Clone, Debug)]
pub struct Connection {
    proven: Arc<AtomicBool>,
    closed: CancellationToken,
}

impl Connection {
    /// It has shown a password: it no longer gives way to newcomers.
    pub fn prove(&self) {
        self.proven.store(true, Ordering::Relaxed);
    }
}

/// The connections that are open.
#[derive(Debug)]
struct Table {
    most: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    open: BTreeMap<u64, Connection>,
}

/// A place in the table, given back when it is dropped.
struct Place {
    table: Arc<Table>,
    number: u64,
    connection: Connection,
}

impl Table {
    fn new(most: usize) -> Arc<Table> {
        Arc::new(Table {
            most,
            state: Mutex::default(),
        })
    }

    /// A place for a newcomer. Where all are taken, the oldest connection that has shown no password is closed for it; where
    /// all have shown one, there is none.
    fn enter(self: &Arc<Table>) -> Option<Place> {
        let mut state = self.lock();
        if state.open.len() >= self.most {
            let unproven = |connection: &Connection| !connection.proven.load(Ordering::Relaxed);
            let oldest = state.open.iter().find(|(_, open)| unproven(open));
            let number = oldest.map(|(number, _)| *number)?;
            if let Some(given_up) = state.open.remove(&number) {
                given_up.closed.cancel();
            }
        }
        let number = state.next;
        state.next += 1;
        let connection = Connection {
            proven: Arc::default(),
            closed: CancellationToken::new(),
        };
        state.open.insert(number, connection.clone());
        Some(Place {
            table: Arc::clone(self),
            number,
            connection,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic happens under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.table.lock().open.remove(&self.number);
    }
}

/// Serves up to `most` connections until `stop` is over. Each request has its [`Connection`] as an extension.
pub async fn serve(
    listener: &TcpListener,
    router: Router,
    most: usize,
    stop: impl Future<Output = ()>,
) {
    let mut stop = std::pin::pin!(stop);
    let end = CancellationToken::new();
    let table = Table::new(most);
    let tasks = TaskTracker::new();
    loop {
        let (stream, _) = tokio::select! {
            accepted = accept(listener) => accepted,
            () = stop.as_mut() => break,
        };
        let Some(place) = table.enter() else {
            continue;
        };
        tasks.spawn(serve_one(stream, router.clone(), place, end.clone()));
    }
    // Those who wait for an answer get one.
    end.cancel();
    tasks.close();
    let _ = tokio::time::timeout(END_TIMEOUT, tasks.wait()).await;
}

/// The next connection. A failure is told and waited out.
async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                tracing::warn!(target: "rpc", %error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve_one(stream: TcpStream, router: Router, place: Place, end: CancellationToken) {
    let _ = stream.set_nodelay(true);
    let connection = place.connection.clone();
    let named = connection.clone();
    let service = router.map_request(move |mut request: Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(named.clone());
        request
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(READ_TIMEOUT)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    let mut served = std::pin::pin!(served);
    tokio::select! {
        _ = served.as_mut() => {}
        () = connection.closed.cancelled() => {}
        () = end.cancelled() => {
            served.as_mut().graceful_shutdown();
            let _ = tokio::time::timeout(END_TIMEOUT, served).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newcomer_takes_the_place_of_the_oldest_that_showed_no_password() {
        let table = Table::new(3);
        let places: Vec<Place> = (0..3).filter_map(|_| table.enter()).collect();
        places[0].connection.prove();
        let newcomer = table.enter().expect("someone gives way");
        let closed = |place: &Place| place.connection.closed.is_cancelled();
        let given_up: Vec<bool> = places.iter().map(closed).collect();
        assert_eq!(given_up, [false, true, false]);
        places[2].connection.prove();
        newcomer.connection.prove();
        assert!(table.enter().is_none(), "all have shown a password");
        drop(newcomer);
        assert!(table.enter().is_some());
    }
}
