//! [`Batch`]: a message of headers, as far as it can be checked without ancestors.

use bitcoin::BlockHash;
use bitcoin::block::Header;
use chain::rules::header::check_proof_of_work;

use super::outbox::Context;
use crate::wire::limits::MAX_HEADERS;

/// A message of headers that are linked and have the work they state.
pub(super) struct Batch {
    pub(super) headers: Vec<Header>,
    pub(super) hashes: Vec<BlockHash>,
}

impl Batch {
    /// What needs no ancestors is checked here, before the chain is bothered.
    pub(super) fn checked(headers: Vec<Header>, cx: &Context<'_>) -> Result<Batch, String> {
        if headers.len() > MAX_HEADERS {
            return Err(format!(
                "sent {} headers, at most {MAX_HEADERS} may come",
                headers.len()
            ));
        }
        let hashes: Vec<BlockHash> = headers.iter().map(Header::block_hash).collect();
        let linked = headers
            .iter()
            .skip(1)
            .zip(&hashes)
            .all(|(h, prev)| h.prev_blockhash == *prev);
        if !linked {
            return Err("sent headers that do not link to each other".to_owned());
        }
        for header in &headers {
            check_proof_of_work(header, cx.params)
                .map_err(|rule| format!("sent a bad header: {rule}"))?;
        }
        Ok(Batch { headers, hashes })
    }

    /// As many as fit: more may follow.
    pub(super) fn is_full(&self) -> bool {
        self.headers.len() == MAX_HEADERS
    }

    pub(super) fn without_first(mut self, known: usize) -> Batch {
        self.headers.drain(..known);
        self.hashes.drain(..known);
        self
    }
}
