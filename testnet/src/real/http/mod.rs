//! The testnet by HTTP, for tests that other people wrote: the routes of bitcoinjs' regtest-server under `/1`, and a faucet.
//!
//! | file | what |
//! |---|---|
//! | `routes` | `/1/...` as regtest-client asks for them |
//! | `faucet` | which coins pay, how much at once, how often |
//! | `unspents` | the coins of an address, confirmed and not |
//! | `refusal` | why there is no answer, as a status and a line |
//!
//! What spends here is P2TR and P2WPKH only: whoever asks for coins on another kind of script is refused, and told so.

mod faucet;
mod refusal;
mod routes;
mod unspents;

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use axum::Router;
use axum::middleware;
use tokio::sync::oneshot;

use super::manifest::HttpEntry;
use super::{LabError, Probe, Supervisor};
use faucet::Faucet;
use refusal::Refusal;

/// Where regtest-client looks unless it is told otherwise.
pub const DEFAULT_ADDRESS: &str = "127.0.0.1:8080";
/// Connections at once.
const MAX_CONNECTIONS: usize = 128;
/// Requests that are worked on at once; more wait.
const WORKERS: usize = 4;
/// How long work that has begun may take when the testnet ends.
const END_TIMEOUT: Duration = Duration::from_secs(2);

/// The HTTP server of a running testnet. It ends when this is dropped.
pub struct Http {
    /// Dropped to end it.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What every request knows.
struct Shared {
    supervisor: Supervisor,
    faucet: Mutex<Faucet>,
    began: Instant,
}

impl Http {
    /// Takes the port, before anything else is started.
    ///
    /// # Errors
    ///
    /// [`LabError::Refused`] when it is taken.
    pub fn listen(address: SocketAddr) -> Result<TcpListener, LabError> {
        TcpListener::bind(address).map_err(|error| {
            LabError::Refused(format!(
                "cannot serve HTTP on {address}: {error}; choose another --http, port 0 for any free one"
            ))
        })
    }

    /// Serves a testnet whose last account is the faucet's, and notes it in `testnet.json`.
    ///
    /// # Errors
    ///
    /// [`LabError::Io`].
    pub fn serve(listener: TcpListener, supervisor: &Supervisor) -> Result<Http, LabError> {
        let io = |error: std::io::Error| LabError::Io {
            what: "the testnet's HTTP".to_owned(),
            problem: error.to_string(),
        };
        let address = listener.local_addr().map_err(io)?;
        listener.set_nonblocking(true).map_err(io)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .max_blocking_threads(WORKERS)
            .enable_all()
            .build()
            .map_err(io)?;
        let faucet = {
            let mut network = supervisor.network();
            let faucet = Faucet::of_last_account(&network);
            network.http = Some(HttpEntry {
                url: format!("http://{address}"),
                faucet_account: faucet.account(),
            });
            faucet
        };
        supervisor.write_manifest()?;
        let shared = Arc::new(Shared {
            supervisor: supervisor.clone(),
            faucet: Mutex::new(faucet),
            began: Instant::now(),
        });
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async {
            let _ = stopped.await;
        };
        let thread = std::thread::Builder::new()
            .name("http".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    match tokio::net::TcpListener::from_std(listener) {
                        Ok(listener) => {
                            let router = router(shared);
                            http_server::serve(&listener, router, MAX_CONNECTIONS, stopped).await;
                        }
                        Err(error) => tracing::error!(%error, "cannot serve HTTP"),
                    }
                });
                runtime.shutdown_timeout(END_TIMEOUT);
            })
            .map_err(io)?;
        Ok(Http {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Http {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic in it was printed already.
            let _ = thread.join();
        }
    }
}

fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .nest("/1", routes::router())
        .route("/faucet", axum::routing::post(faucet::handler))
        .fallback(routes::nothing_here)
        .layer(middleware::from_fn_with_state(
            http_server::AllowedHosts::default(),
            http_server::same_site_only,
        ))
        .with_state(shared)
}

impl Shared {
    /// A node that is up: the first one, so that one test sees one chain.
    fn node(&self) -> Result<Probe, Refusal> {
        let first = self.supervisor.network().probes().into_iter().next();
        first.ok_or_else(|| LabError::AllDown.into())
    }

    fn faucet(&self) -> MutexGuard<'_, Faucet> {
        // A payment that panicked was not sent, or its coins are found spent.
        self.faucet.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Works on a thread that may wait for nodes.
async fn working<R: Send + 'static>(
    shared: Arc<Shared>,
    work: impl FnOnce(&Shared) -> Result<R, Refusal> + Send + 'static,
) -> Result<R, Refusal> {
    let worked = tokio::task::spawn_blocking(move || work(&shared)).await;
    worked.unwrap_or_else(|_| Err(Refusal::internal("internal error, see the testnet's log")))
}
