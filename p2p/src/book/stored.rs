//! The peer book on disk: JSON that people can read.

use chain::Timestamp;
use serde::{Deserialize, Serialize};

/// The version of the format that is written.
pub(super) const FORMAT: u32 = 1;

/// What is kept between runs. Addresses are multiaddresses; times are Unix seconds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredBook {
    pub(super) format: u32,
    pub(super) peers: Vec<StoredPeer>,
    /// The outbound peers of the last run.
    pub(super) anchors: Vec<String>,
}

/// One address.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredPeer {
    pub(super) address: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) last_success: Option<Timestamp>,
    #[serde(default)]
    pub(super) failures: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) source: Option<String>,
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
