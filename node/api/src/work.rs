//! [`Workers`]: carries calls out, each kind in its place, and ends those whose caller has hung up.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::Api;
use crate::activity::Running;
use crate::limits::{MAX_WAITING, WRITERS};
use crate::rpc::args::Args;
use crate::rpc::call::Handler;
use crate::rpc::error::{Failure, code};
use crate::rpc::reply::Reply;
use crate::rpc::request::Request;
use crate::rpc::table;

/// Places for calls that have no threads of their own.
#[derive(Debug)]
pub(crate) struct Workers {
    writers: Arc<Semaphore>,
    waiting: Semaphore,
}

/// More calls wait than there are places for.
#[derive(Debug)]
pub(crate) struct Busy;

impl Default for Workers {
    fn default() -> Workers {
        Workers {
            writers: Arc::new(Semaphore::new(WRITERS)),
            waiting: Semaphore::new(MAX_WAITING),
        }
    }
}

/// A call that is counted as running until this is dropped: when its work is done, or when nobody waits for it before it began.
struct Counted {
    api: Api,
    running: Running,
    failed: bool,
}

impl Counted {
    fn begin(api: &Api, name: &'static str) -> Counted {
        Counted {
            api: api.clone(),
            running: api.activity().begin(name, api.clock().mono()),
            failed: true,
        }
    }

    /// Ends it with the result of its work.
    fn end(mut self, result: Result<Reply, Failure>) -> Result<Reply, Failure> {
        self.failed = result.is_err();
        result
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let now = self.api.clock().mono();
        self.api.activity().end(&self.running, self.failed, now);
    }
}

impl Workers {
    /// Carries out one call. Work that has begun on a thread goes on when this is dropped, but [`Api::is_wanted`] tells it so.
    pub(crate) async fn call(
        &self,
        api: &Api,
        request: Request,
    ) -> Result<Result<Reply, Failure>, Busy> {
        let Some(call) = table::find(&request.method) else {
            let unknown = Failure::new(code::METHOD_NOT_FOUND, "Method not found");
            return Ok(Err(unknown));
        };
        let args = match Args::new(call.description(), request.params) {
            Ok(args) => args,
            Err(failure) => return Ok(Err(failure)),
        };
        let hung_up = CancellationToken::new();
        let api = api.for_call(hung_up.clone());
        // Dropped with this future, which is dropped when the caller hangs up.
        let _caller = hung_up.drop_guard();
        let counted = Counted::begin(&api, call.name);
        Ok(match call.handler {
            Handler::Immediate(answer) => counted.end(answer(&api, &args)),
            Handler::Table(show) => counted.end(show(table::GROUPS, &args)),
            Handler::Read(read) => {
                let worker = api.clone();
                let reading = api
                    .background()
                    .short(move || counted.end(read(&worker, &args)));
                reading.await.unwrap_or_else(lost)
            }
            Handler::Scan(scan) => {
                let worker = api.clone();
                let scanning = api
                    .background()
                    .long(move || counted.end(scan(&worker, &args)));
                scanning.await.unwrap_or_else(lost)
            }
            Handler::Write(write) => {
                let place = Arc::clone(&self.writers).acquire_owned().await;
                let writing = tokio::task::spawn_blocking(move || {
                    let result = counted.end(write(&api, &args));
                    drop(place);
                    result
                });
                writing.await.unwrap_or_else(lost)
            }
            Handler::Wait(wait) => {
                let _place = self.waiting.try_acquire().map_err(|_| Busy)?;
                let stop = api.stop().clone();
                counted.end(tokio::select! {
                    result = wait(api, args) => result,
                    _ = stop.pressed() => Err(Failure::misc("Shutting down")),
                })
            }
        })
    }
}

/// What is answered when the work panicked.
fn lost(error: impl std::fmt::Display) -> Result<Reply, Failure> {
    tracing::error!(target: "rpc", %error, "a call was lost");
    Err(Failure::internal("internal error, see the node's log"))
}
