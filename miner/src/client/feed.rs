//! [`Feed`]: the newest block template, by long poll (BIP 22), from the first node that answers.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rpc_client::{Client, RpcError};
use serde::Deserialize;
use serde_json::{Value, json};

use super::report::{Event, Report};
use crate::stop::StopFlag;
use crate::template::{Template, TemplateReply};

/// How long a node may hold a long poll. Nodes answer after a minute or so even when nothing changed.
const LONG_POLL_TIMEOUT: Duration = Duration::from_secs(90);
/// How often a node is asked that has no long poll, or answers it at once.
const POLL_PAUSE: Duration = Duration::from_secs(1);
/// An answer to a long poll that came faster and brought nothing new was no long poll.
const INSTANT: Duration = Duration::from_millis(200);
/// Pause after all nodes failed, doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How often a node that is preferred to the present one is tried again, and how long it may take to answer then: meanwhile nobody
/// listens to the present one.
const PREFERRED_RETRY: Duration = Duration::from_secs(10);
const PREFERRED_TIMEOUT: Duration = Duration::from_secs(2);
/// JSON-RPC's "method not found".
const NO_SUCH_METHOD: i64 = -32601;

/// A template on offer.
#[derive(Debug)]
pub(super) struct Offer {
    pub(super) template: Template,
    pub(super) workid: Option<String>,
    /// Index of the node it came from.
    pub(super) source: usize,
    /// Later offers have greater ones, from 1 on.
    pub(super) sequence: u64,
    received: Instant,
    longpollid: Option<String>,
}

/// Keeps the newest template. Clones are the same feed.
#[derive(Clone)]
pub(super) struct Feed {
    shared: Arc<Shared>,
}

struct Shared {
    clients: Vec<Client>,
    done: StopFlag,
    report: Arc<Report>,
    slot: Mutex<Slot>,
    changed: Condvar,
}

#[derive(Default)]
struct Slot {
    newest: Option<Arc<Offer>>,
    /// The search that a newer offer ends.
    search: Option<StopFlag>,
    /// There will be no more offers.
    closed: bool,
    /// Why, if not because all is done.
    fatal: Option<RpcError>,
}

impl Feed {
    /// A feed from `clients`, the most preferred first, until `done`.
    ///
    /// Its thread is not waited for: it may hang in a long poll when all is done.
    pub(super) fn start(clients: Vec<Client>, done: StopFlag, report: Arc<Report>) -> Self {
        let (slot, changed) = Default::default();
        let shared = Arc::new(Shared {
            clients,
            done,
            report,
            slot,
            changed,
        });
        let feed = Self { shared };
        let keeper = feed.clone();
        std::thread::spawn(move || keeper.keep_current());
        feed
    }

    /// The nodes, the most preferred first.
    pub(super) fn clients(&self) -> &[Client] {
        &self.shared.clients
    }

    fn lock(&self) -> MutexGuard<'_, Slot> {
        self.shared
            .slot
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, event: &Event<'_>) {
        if !self.shared.done.is_stopped() {
            self.shared.report.event(event);
        }
    }

    /// The newest offer with a sequence above `after`; waits for it. `None`: all is done.
    ///
    /// # Errors
    ///
    /// When there will be none, as no node ever answers.
    pub(super) fn newest(&self, after: u64) -> Result<Option<Arc<Offer>>, RpcError> {
        let mut slot = self.lock();
        loop {
            if slot.closed {
                return slot.fatal.take().map_or(Ok(None), Err);
            }
            match &slot.newest {
                Some(offer) if offer.sequence > after => return Ok(Some(offer.clone())),
                _ => {}
            }
            slot = self
                .shared
                .changed
                .wait(slot)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits up to `timeout` for an offer newer than `offer`.
    pub(super) fn wait_newer(&self, offer: &Offer, timeout: Duration) {
        let is_newest = |slot: &mut Slot| {
            !slot.closed
                && slot
                    .newest
                    .as_ref()
                    .is_none_or(|newest| newest.sequence <= offer.sequence)
        };
        drop(
            self.shared
                .changed
                .wait_timeout_while(self.lock(), timeout, is_newest),
        );
    }

    /// Raises `stop` as soon as there is a newer offer than `offer`.
    pub(super) fn stop_when_newer(&self, offer: &Offer, stop: &StopFlag) {
        let mut slot = self.lock();
        let newer = slot
            .newest
            .as_ref()
            .is_some_and(|newest| newest.sequence > offer.sequence);
        if newer || slot.closed {
            stop.stop();
        }
        slot.search = Some(stop.clone());
    }

    /// Raises the search's flag when its offer has lived for `life`.
    pub(super) fn end_old_search(&self, life: Duration) {
        let slot = self.lock();
        if let (Some(offer), Some(search)) = (&slot.newest, &slot.search)
            && offer.received.elapsed() >= life
        {
            search.stop();
        }
    }

    /// Asks for a template again when `offer` is old and still the newest.
    pub(super) fn refresh_if_old(&self, offer: &Offer, life: Duration) {
        if offer.received.elapsed() >= life {
            self.refresh(offer.source);
        }
    }

    /// Asks the node `source` for a template at once.
    pub(super) fn refresh(&self, source: usize) {
        match ask(&self.clients()[source], None) {
            Ok(reply) => {
                self.publish(source, &reply);
            }
            // The long poll will find out the same, and look elsewhere.
            Err(error) => self.tell(&Event::lost(self.clients()[source].url(), &error)),
        }
    }

    /// Asks for templates until done: what the feed's thread does.
    fn keep_current(&self) {
        let with = |timeout: Duration| -> Vec<Client> {
            let clients = self.clients().iter();
            clients.map(|c| c.clone().with_timeout(timeout)).collect()
        };
        // Only the most preferred node may hold a long poll for as long as it likes.
        let (mut waiting, trying) = (with(PREFERRED_RETRY), with(PREFERRED_TIMEOUT));
        waiting[0] = self.clients()[0].clone().with_timeout(LONG_POLL_TIMEOUT);
        let (mut at, mut failures, mut longpollid) = (0, 0, None::<String>);
        let mut hopeless = 0;
        let mut preferred_tried = Instant::now();
        while !self.shared.done.is_stopped() {
            if at != 0 && preferred_tried.elapsed() >= PREFERRED_RETRY {
                preferred_tried = Instant::now();
                if let Some(better) = (0..at).find(|&i| ask(&trying[i], None).is_ok()) {
                    (at, longpollid) = (better, None);
                }
            }
            let asked = Instant::now();
            let client = if longpollid.is_some() {
                &waiting[at]
            } else {
                &self.clients()[at]
            };
            match ask(client, longpollid.as_deref()) {
                Ok(reply) => {
                    (failures, hopeless) = (0, 0);
                    let news = self.publish(at, &reply);
                    let held = longpollid.is_some() && asked.elapsed() >= INSTANT;
                    longpollid = reply.longpollid.clone();
                    if longpollid.is_none() || !(news || held) {
                        self.shared.done.sleep(POLL_PAUSE);
                    }
                }
                // Nothing changed for long: not a failure, but look whether the node is still there, or a better one is back.
                Err(RpcError::Timeout { .. }) if longpollid.is_some() => longpollid = None,
                Err(error) => {
                    if self.shared.done.is_stopped() {
                        return;
                    }
                    self.tell(&Event::lost(self.clients()[at].url(), &error));
                    longpollid = None;
                    failures += 1;
                    hopeless = if is_hopeless(&error) { hopeless + 1 } else { 0 };
                    if hopeless >= self.clients().len() {
                        self.give_up(error);
                        return;
                    }
                    at = (at + 1) % self.clients().len();
                    if failures % self.clients().len() == 0 {
                        let pause = pause_after(failures / self.clients().len());
                        self.shared.done.sleep(pause);
                    }
                }
            }
        }
    }

    fn give_up(&self, error: RpcError) {
        self.lock().fatal = Some(error);
        self.close();
    }

    /// Ends the search that is going on, and those that wait for an offer wait no more.
    pub(super) fn close(&self) {
        let mut slot = self.lock();
        slot.closed = true;
        if let Some(search) = &slot.search {
            search.stop();
        }
        self.shared.changed.notify_all();
    }

    /// Offers a reply, unless the newest offer is the same. Whether it was news.
    fn publish(&self, source: usize, reply: &TemplateReply) -> bool {
        let template = match Template::new(reply) {
            Ok(template) => template,
            Err(error) => {
                self.tell(&Event::BadTemplate {
                    url: self.clients()[source].url(),
                    error: error.to_string(),
                });
                return false;
            }
        };
        let mut slot = self.lock();
        let newest = slot.newest.as_deref();
        let same = newest.is_some_and(|newest| {
            newest.source == source
                && newest.longpollid.is_some()
                && newest.longpollid == reply.longpollid
                && newest.template.parent == template.parent
        });
        let sequence = newest.map_or(0, |newest| newest.sequence) + 1;
        self.shared
            .report
            .node_is_well(self.clients()[source].url());
        slot.newest = Some(Arc::new(Offer {
            template,
            workid: reply.workid.clone(),
            source,
            sequence,
            received: Instant::now(),
            longpollid: reply.longpollid.clone(),
        }));
        if let Some(search) = slot.search.take_if(|_| !same) {
            search.stop();
        }
        self.shared.changed.notify_all();
        !same
    }
}

fn ask(client: &Client, longpollid: Option<&str>) -> Result<TemplateReply, RpcError> {
    let mut request = json!({
        "rules": ["segwit"],
        "capabilities": ["coinbasetxn", "coinbasevalue", "longpoll", "workid"],
    });
    if let Some(id) = longpollid {
        request["longpollid"] = json!(id);
    }
    let reply = client.call("getblocktemplate", Value::Array(vec![request]))?;
    TemplateReply::deserialize(&reply).map_err(|problem| RpcError::Rpc {
        code: -1,
        message: format!("getblocktemplate gave no block template: {problem}"),
    })
}

/// Whether asking again is pointless: the login is refused, or it is no node.
fn is_hopeless(error: &RpcError) -> bool {
    match error {
        RpcError::Unauthorized { .. } | RpcError::Url { .. } => true,
        RpcError::Rpc { code, .. } => *code == NO_SUCH_METHOD,
        _ => false,
    }
}

fn pause_after(rounds: usize) -> Duration {
    let doublings = u32::try_from(rounds.saturating_sub(1))
        .unwrap_or(u32::MAX)
        .min(16);
    FIRST_PAUSE
        .saturating_mul(1 << doublings)
        .min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit() {
        let pauses: Vec<_> = [1, 2, 3, 6, 7, 1_000_000]
            .map(|n| pause_after(n).as_millis())
            .into();
        assert_eq!(pauses, [250, 500, 1_000, 8_000, 10_000, 10_000]);
    }

    #[test]
    fn a_refused_login_is_hopeless_and_a_silent_node_is_not() {
        let url = || "http://127.0.0.1:1".to_owned();
        assert!(is_hopeless(&RpcError::Unauthorized { url: url() }));
        assert!(!is_hopeless(&RpcError::Connect {
            url: url(),
            problem: "refused".to_owned()
        }));
        assert!(!is_hopeless(&RpcError::Rpc {
            code: -28,
            message: "warming up".to_owned()
        }));
    }
}
