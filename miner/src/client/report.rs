//! What the miner tells: a progress line on a terminal, lines of JSON otherwise.

use std::io::Write;
use std::sync::Mutex;
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
        bits: &'a str,
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
    /// The last error of each kind is told once, not at every retry.
    last_lost: Mutex<String>,
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
            last_lost: Mutex::default(),
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

    fn is_repeated(&self, event: &Event<'_>) -> bool {
        let Ok(mut last) = self.last_lost.lock() else {
            return false;
        };
        match event {
            Event::NodeLost { error, .. } | Event::BadTemplate { error, .. } => {
                let repeated = *last == *error;
                last.clone_from(error);
                repeated
            }
            Event::Template { .. } => {
                last.clear();
                false
            }
            _ => false,
        }
    }

    fn line(&self, line: &str) {
        if let Ok(mut out) = self.out.lock() {
            // A reader that went away is no reason to stop mining.
            let _ = writeln!(out, "{line}");
            let _ = out.flush();
        }
    }

    /// Tells how it goes, again and again until `done`, and then the end.
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

    #[test]
    fn json_has_one_object_a_line_and_no_repeated_errors() {
        let lines = Lines::default();
        let report = Report::new(Style::Json, Box::new(lines.clone()));
        let lost = || Event::NodeLost {
            url: "http://127.0.0.1:1",
            error: "refused".to_owned(),
        };
        report.event(&lost());
        report.event(&lost());
        report.event(&Event::End {
            hashes: 5,
            found: 1,
            stale: 0,
            rejected: 0,
        });
        let text = String::from_utf8(lines.0.lock().expect("one reader").clone()).expect("utf-8");
        assert_eq!(
            text.lines().collect::<Vec<_>>(),
            [
                r#"{"event":"node_lost","url":"http://127.0.0.1:1","error":"refused"}"#,
                r#"{"event":"end","hashes":5,"found":1,"stale":0,"rejected":0}"#,
            ]
        );
    }
}
