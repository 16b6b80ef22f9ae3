//! The peer book on disk: JSON that people can read.

use chain::Timestamp;
use serde::{Deserialize, Serialize};

use super::address::{Endpoint, PeerAddress};
use super::backoff::Backoff;
use super::known::Entry;

/// The version of the format that is written.
const FORMAT: u32 = 1;

/// What is kept between runs. Addresses are multiaddresses; times are Unix seconds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredBook {
    format: u32,
    peers: Vec<StoredPeer>,
    /// The outbound peers of the last run.
    anchors: Vec<String>,
}

impl StoredBook {
    pub(super) fn parse(text: &str) -> Result<StoredBook, BookError> {
        let stored: StoredBook = serde_json::from_str(text)?;
        if stored.format > FORMAT {
            return Err(BookError::NewerFormat {
                found: stored.format,
            });
        }
        Ok(stored)
    }

    pub(super) fn of<'a>(
        entries: impl Iterator<Item = &'a Entry>,
        anchors: &[Endpoint],
    ) -> StoredBook {
        StoredBook {
            format: FORMAT,
            peers: entries.map(StoredPeer::of).collect(),
            anchors: anchors.iter().map(Endpoint::to_string).collect(),
        }
    }

    pub(super) fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("texts and numbers are always written")
    }

    /// The first addresses, as far as they are still acceptable.
    pub(super) fn entries(&self, most: usize) -> impl Iterator<Item = Entry> {
        self.peers.iter().take(most).filter_map(StoredPeer::entry)
    }

    /// The first anchors, as far as they are still acceptable.
    pub(super) fn anchors(&self, most: usize) -> Vec<Endpoint> {
        let anchors = self.anchors.iter().take(most);
        let anchors = anchors.filter_map(|anchor| anchor.parse::<PeerAddress>().ok());
        anchors.map(|address| address.endpoint).collect()
    }
}

/// One address.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredPeer {
    address: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_success: Option<Timestamp>,
    #[serde(default)]
    failures: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<String>,
}

impl StoredPeer {
    fn of(entry: &Entry) -> StoredPeer {
        StoredPeer {
            address: entry.full_address().to_string(),
            last_success: entry.last_success,
            failures: entry.backoff.failures,
            source: entry.source.clone(),
        }
    }

    fn entry(&self) -> Option<Entry> {
        let address = self.address.parse::<PeerAddress>().ok()?;
        let mut entry = Entry::new(address, self.source.clone());
        entry.last_success = self.last_success;
        entry.backoff = Backoff::remembered(self.failures, self.last_success.is_some());
        Some(entry)
    }
}

/// Why a stored peer book was not read. Harmless: start without it.
#[derive(Debug, thiserror::Error)]
pub enum BookError {
    /// Not JSON of this shape.
    #[error("the peer book cannot be read: {0}; delete it, peers are learnt afresh")]
    Shape(#[from] serde_json::Error),
    /// Written by a newer program.
    #[error(
        "the peer book has format {found}, this program knows {FORMAT}; delete it, peers are learnt afresh"
    )]
    NewerFormat {
        /// Its format.
        found: u32,
    },
}
