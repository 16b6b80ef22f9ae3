//! What the miner tells: a progress line on a terminal, lines of JSON otherwise.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bitcoin::BlockHash;
use indicatif::{ProgressBar, ProgressStyle};
use rpc_client::RpcError;
use serde::Serialize;

use super::Counts;
use crate::meter::{RateWindow, format_rate};
use crate::search::Searcher;
use crate::stop::StopFlag;

const TERMINAL_INTERVAL: Duration = Duration::from_millis(500);
const JSON_INTERVAL: Duration = Duration::from_secs(10);
const RATE_SPAN: Duration = Duration::from_secs(10);

/// Something that happened.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Event<'a> {
    /// Mining begins.
    Start {
        kernel: &'a str,
        threads: usize,
        address: String,
    },
    /// Work on a new block begins.
    Template {
        url: &'a str,
        height: u64,
        transactions: usize,
        bits: String,
    },
    /// A block of ours, and what became of it.
    Block {
        height: u64,
        hash: BlockHash,
        verdict: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<&'a str>,
    },
    /// A node could not be asked; it is tried again, or another one is.
    NodeLost { url: &'a str, error: String },
    /// A node's template cannot be mined on.
    BadTemplate { url: &'a str, error: String },
    /// A node gives its own coinbase and no value for ours.
    PaysTheNode { url: &'a str },
    /// How it goes.
    Status {
        hashes: u64,
        hashes_per_second: f64,
        found: u64,
        stale: u64,
        rejected: u64,
    },
    /// Mining has ended.
    End {
        hashes: u64,
        found: u64,
        stale: u64,
        rejected: u64,
    },
}

impl<'a> Event<'a> {
    pub(super) fn lost(url: &'a str, error: &RpcError) -> Self {
        Event::NodeLost {
            url,
            error: error.to_string(),
        }
    }

    fn for_people(&self) -> String {
        match self {
            Event::Start {
                kernel,
                threads,
                address,
            } => {
                format!("mining to {address} with kernel {kernel} on {threads} threads")
            }
            Event::Template {
                url,
                height,
                transactions,
                bits,
            } => {
                format!("block {height} from {url}: {transactions} payments, bits {bits}")
            }
            Event::Block {
                height,
                hash,
                verdict,
                reason,
            } => match reason {
                None => format!("block {height} {verdict}: {hash}"),
                Some(reason) => format!("block {height} {verdict} ({reason}): {hash}"),
            },
            Event::NodeLost { error, .. } => format!("{error}; trying again"),
            Event::BadTemplate { url, error } => format!("{url}: {error}"),
            Event::PaysTheNode { url } => {
                format!(
                    "{url} insists on its own coinbase: blocks pay the node's address, not --address"
                )
            }
            Event::Status {
                hashes_per_second,
                found,
                stale,
                rejected,
                ..
            } => {
                let rate = format_rate(*hashes_per_second);
                format!("{rate} | found {found}, stale {stale}, rejected {rejected}")
            }
            Event::End {
                hashes,
                found,
                stale,
                rejected,
            } => {
                format!("{hashes} hashes; found {found}, stale {stale}, rejected {rejected}")
            }
        }
    }
}

/// How to tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// Lines above a progress line.
    Terminal,
    /// A JSON object a line.
    Json,
}

/// Where it is told.
pub(crate) struct Report {
    bar: Option<ProgressBar>,
    out: Mutex<Box<dyn Write + Send>>,
    /// The last error of each node, by its URL: it is told once, not at every retry.
    last_errors: Mutex<BTreeMap<String, String>>,
}

impl Report {
    /// A report to `out`. On a terminal the progress line goes to standard error.
    pub(crate) fn new(style: Style, out: Box<dyn Write + Send>) -> Self {
        let bar = (style == Style::Terminal).then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {msg}") {
                bar.set_style(style);
            }
            bar
        });
        Self {
            bar,
            out: Mutex::new(out),
            last_errors: Mutex::default(),
        }
    }

    /// Tells an event.
    pub(crate) fn event(&self, event: &Event<'_>) {
        if self.is_repeated(event) {
            return;
        }
        match &self.bar {
            Some(bar) => bar.suspend(|| self.line(&event.for_people())),
            None => self.line(&serde_json::to_string(event).unwrap_or_default()),
        }
    }

    /// A node gave a template: its next error is news, whatever it is.
    pub(super) fn node_is_well(&self, url: &str) {
        self.last_errors().remove(url);
    }

    fn is_repeated(&self, event: &Event<'_>) -> bool {
        let (Event::NodeLost { url, error } | Event::BadTemplate { url, error }) = event else {
            return false;
        };
        let last = self.last_errors().insert((*url).to_owned(), error.clone());
        last.as_ref() == Some(error)
    }

    fn last_errors(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.last_errors
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn line(&self, line: &str) {
        if let Ok(mut out) = self.out.lock() {
            // A reader that went away is no reason to stop mining.
            let _ = writeln!(out, "{line}");
            let _ = out.flush();
        }
    }

    /// Tells how it goes, again and again until `done`.
    pub(super) fn keep_current(
        &self,
        searcher: &Searcher,
        counts: &Counts,
        done: &StopFlag,
        mut every_tick: impl FnMut(),
    ) {
        let interval = if self.bar.is_some() {
            TERMINAL_INTERVAL
        } else {
            JSON_INTERVAL
        };
        let mut window = RateWindow::new(RATE_SPAN);
        window.note(Instant::now(), searcher.hashes());
        let mut told = Instant::now();
        while !done.is_stopped() {
            done.sleep(TERMINAL_INTERVAL);
            every_tick();
            let hashes = searcher.hashes();
            let hashes_per_second = window.note(Instant::now(), hashes);
            if told.elapsed() < interval || done.is_stopped() {
                continue;
            }
            told = Instant::now();
            let [found, stale, rejected] = counts.read();
            let status = Event::Status {
                hashes,
                hashes_per_second,
                found,
                stale,
                rejected,
            };
            match &self.bar {
                Some(bar) => {
                    bar.set_message(status.for_people());
                    bar.tick();
                }
                None => self.event(&status),
            }
        }
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// Tells that mining has ended.
    pub(super) fn end(&self, searcher: &Searcher, counts: &Counts) {
        let [found, stale, rejected] = counts.read();
        self.event(&Event::End {
            hashes: searcher.hashes(),
            found,
            stale,
            rejected,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("one writer").write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn told(events: impl FnOnce(&Report)) -> Vec<String> {
        let lines = Lines::default();
        events(&Report::new(Style::Json, Box::new(lines.clone())));
        let text = String::from_utf8(lines.0.lock().expect("one reader").clone());
        text.expect("utf-8").lines().map(str::to_owned).collect()
    }

    fn lost<'a>(url: &'a str, error: &str) -> Event<'a> {
        let error = error.to_owned();
        Event::NodeLost { url, error }
    }

    #[test]
    fn json_has_one_object_a_line_and_no_repeated_errors() {
        let lines = told(|report| {
            report.event(&lost("http://127.0.0.1:1", "refused"));
            report.event(&lost("http://127.0.0.1:1", "refused"));
            report.event(&Event::End {
                hashes: 5,
                found: 1,
                stale: 0,
                rejected: 0,
            });
        });
        assert_eq!(
            lines,
            [
                r#"{"event":"node_lost","url":"http://127.0.0.1:1","error":"refused"}"#,
                r#"{"event":"end","hashes":5,"found":1,"stale":0,"rejected":0}"#,
            ]
        );
    }

    #[test]
    fn each_of_several_dead_nodes_is_told_once_until_it_was_well_again() {
        let lines = told(|report| {
            for _ in 0..5 {
                report.event(&lost("http://a", "refused a"));
                report.event(&lost("http://b", "refused b"));
            }
            report.node_is_well("http://a");
            for _ in 0..5 {
                report.event(&lost("http://a", "refused a"));
                report.event(&lost("http://b", "refused b"));
            }
        });
        assert_eq!(lines.len(), 3, "{lines:#?}");
        assert!(lines[2].contains("refused a"));
    }
}
