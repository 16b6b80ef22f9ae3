//! Transactions of peers with many signatures: judged one at a time, each in a call of its own. To check one takes up to a tenth of a
//! second; a host does that before the call, without the core ([`Payments::unchecked_signatures`]), so that nobody waits for it.

use std::collections::VecDeque;
use std::sync::Arc;

use bitcoin::{Transaction, Wtxid};
use chain::{Chain, RuleError, StoreError, Timestamp};
use p2p::PeerNum;

use super::given::{FromPeer, Waiting};
use super::{Payments, Scope};
use crate::mempool::{MempoolError, Surroundings, UncheckedSignatures};

/// With fewer inputs signatures are checked at once: to look coins up a second time would take as long.
const MANY_INPUTS: usize = 8;
/// Bytes of transactions that wait to be judged: ten of the largest. What comes then is not looked at.
const MAX_WAITING_BYTES: usize = 4_000_000;

/// Those that wait, and what was found of the first.
#[derive(Debug, Default)]
pub(super) struct Costly {
    waiting: VecDeque<(Wtxid, Waiting)>,
    bytes: usize,
    bad: Option<(Wtxid, RuleError)>,
}

impl Costly {
    pub(super) fn contains(&self, wtxid: &Wtxid) -> bool {
        self.waiting.iter().any(|(id, _)| id == wtxid)
    }
}

impl Payments {
    /// Whether a transaction is to be judged in a call of its own.
    pub(super) fn is_costly(&self, transaction: &Transaction) -> bool {
        transaction.input.len() >= MANY_INPUTS
            && !self.signatures.contains(&transaction.compute_wtxid())
    }

    /// Keeps a transaction until its turn. `false`: too much waits already.
    pub(in crate::node) fn put_off(&mut self, one: Waiting) -> bool {
        let bytes = one.transaction.total_size();
        if self.costly.bytes + bytes > MAX_WAITING_BYTES {
            return false;
        }
        self.costly.bytes += bytes;
        let wtxid = one.transaction.compute_wtxid();
        self.costly.waiting.push_back((wtxid, one));
        true
    }

    /// Whether one waits to be judged.
    pub(in crate::node) fn has_costly(&self) -> bool {
        !self.costly.waiting.is_empty()
    }

    /// Takes the next one out, to be judged by [`Payments::judge_costly`].
    pub(in crate::node) fn next_costly(&mut self) -> Option<Waiting> {
        let (_, one) = self.costly.waiting.pop_front()?;
        self.costly.bytes -= one.transaction.total_size();
        Some(one)
    }

    /// Takes those out that came from a peer which is not listened to any more.
    pub(in crate::node) fn drop_costly_of(&mut self, peer: PeerNum) -> Vec<Waiting> {
        let all = std::mem::take(&mut self.costly.waiting);
        let (gone, stay): (VecDeque<_>, VecDeque<_>) = all
            .into_iter()
            .partition(|(_, one)| one.sender.peer == peer);
        self.costly.waiting = stay;
        let gone: Vec<Waiting> = gone.into_iter().map(|(_, one)| one).collect();
        let bytes = gone.iter().map(|one| one.transaction.total_size());
        self.costly.bytes -= bytes.sum::<usize>();
        gone
    }

    /// The signatures of the next one, and who gave it. `None`: nothing waits, or it is not good anyway.
    pub(in crate::node) fn unchecked_signatures(
        &self,
        chain: &Chain,
        now: Timestamp,
    ) -> Option<(PeerNum, UncheckedSignatures)> {
        let (_, one) = self.costly.waiting.front()?;
        let world = Surroundings {
            chain,
            signatures: &self.signatures,
            now,
        };
        let transaction = Arc::clone(&one.transaction);
        let signatures = self.pool.unchecked_signatures(transaction, &world)?;
        Some((one.sender.peer, signatures))
    }

    /// Notes that a transaction which waits has a bad signature.
    pub(in crate::node) fn note_bad_signature(&mut self, wtxid: Wtxid, error: RuleError) {
        self.costly.bad = Some((wtxid, error));
    }

    /// Judges one, by what was found of it if that was told.
    ///
    /// # Errors
    ///
    /// When storage fails.
    pub(in crate::node) fn judge_costly(
        &mut self,
        transaction: Arc<Transaction>,
        scope: &mut Scope<'_>,
    ) -> Result<FromPeer, StoreError> {
        match self.costly.bad.take() {
            Some((wtxid, error)) if wtxid == transaction.compute_wtxid() => {
                let error = MempoolError::from(error);
                self.pool.refuse(&transaction, &error);
                Ok(FromPeer::Invalid(error))
            }
            _ => self.judge(transaction, scope),
        }
    }
}
