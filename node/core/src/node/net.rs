//! Carrying out what the sync engine decides: headers and blocks to the chain, results back to the engine, messages out.

use std::collections::VecDeque;

use bitcoin::Block;
use bitcoin::block::Header;
use chain::AcceptError;
use p2p::PeerNum;
use p2p::book::AddressesOf;
use p2p::sync::{Action, BlockOutcome, HeaderProblem, Input as EngineInput};
use p2p::wire::Verdict;

use super::{NodeCore, Output};
use crate::now::Now;

/// Engine inputs that wait for their turn: results are told in the order of the actions.
type Pending = VecDeque<EngineInput>;

/// What was put off so that an announcement is forwarded first: the host acts only when a call returns, and rebuilding and
/// connecting a block takes longer than all else.
#[derive(Debug, Default)]
pub(super) struct Deferred {
    actions: Vec<Action>,
    pending: Pending,
}

impl Deferred {
    /// Whether nothing was put off.
    pub(super) fn is_empty(&self) -> bool {
        self.actions.is_empty() && self.pending.is_empty()
    }
}

impl NodeCore {
    /// Whether a block whose announcement was forwarded waits for the next call.
    #[must_use]
    pub fn is_about_to_rebuild(&self) -> bool {
        !self.deferred.is_empty()
    }

    /// Tells the engine what happened, and carries out what it wants, until it wants nothing more. What was put off by the
    /// last call comes first. A block whose announcement is to be forwarded is put off to the next call.
    pub(super) fn drive(&mut self, now: Now, input: EngineInput, out: &mut Vec<Output>) {
        let Deferred {
            actions,
            mut pending,
        } = std::mem::take(&mut self.deferred);
        for action in actions {
            self.carry_out(now, action, &mut pending, out);
        }
        while let Some(input) = pending.pop_front() {
            for action in self.ask_engine(now, input) {
                self.carry_out(now, action, &mut pending, out);
            }
        }
        self.drive_to_the_next_block(now, input, out);
    }

    /// As [`NodeCore::drive`], but stops before a block once an announcement was accepted.
    fn drive_to_the_next_block(&mut self, now: Now, input: EngineInput, out: &mut Vec<Output>) {
        let mut forwarding = false;
        // After most inputs nothing is pending: no memory is taken for it before there is.
        let mut pending = Pending::new();
        let mut next = Some(input);
        while let Some(input) = next {
            let mut actions = self.ask_engine(now, input).into_iter();
            while let Some(action) = actions.next() {
                if forwarding && takes_long(&action) {
                    let actions = std::iter::once(action).chain(actions).collect();
                    self.deferred = Deferred { actions, pending };
                    return;
                }
                forwarding |= matches!(
                    action,
                    Action::Verdict {
                        verdict: Verdict::Accept,
                        ..
                    }
                );
                self.carry_out(now, action, &mut pending, out);
            }
            next = pending.pop_front();
        }
    }

    fn ask_engine(&mut self, now: Now, input: EngineInput) -> Vec<Action> {
        self.engine
            .handle(now.mono, input, &self.chain, self.payments.pool())
    }

    fn carry_out(
        &mut self,
        now: Now,
        action: Action,
        pending: &mut Pending,
        out: &mut Vec<Output>,
    ) {
        match action {
            Action::Request { peer, id, request } => {
                out.push(Output::Request { peer, id, request });
            }
            Action::AcceptHeaders { peer, headers } => {
                self.accept_headers(now, peer, &headers, pending, out);
            }
            Action::RebuildBlock { hash } => {
                pending.push_back(EngineInput::RebuildBlock { hash });
            }
            Action::AcceptBlock { peer, block } => {
                self.accept_fetched(now, peer, block, pending, out);
            }
            Action::AcceptTransactions { peer, transactions } => {
                self.accept_fetched_transactions(now, peer, transactions, out);
            }
            Action::Verdict { id, verdict } => out.push(Output::Verdict { id, verdict }),
            Action::Punish { peer, reason } => self.connections.punish(now, peer, reason, out),
            Action::Disconnect { peer, reason } => self.connections.give_up(peer, reason, out),
            Action::LearnPeers { peer, addresses } => {
                self.connections
                    .learn(peer, AddressesOf::Others, &addresses);
            }
            Action::WakeAt(due) => self.wake.engine = Some(due),
        }
    }

    fn accept_headers(
        &mut self,
        now: Now,
        peer: PeerNum,
        headers: &[Header],
        pending: &mut Pending,
        out: &mut Vec<Output>,
    ) {
        let mut accepted = 0;
        let mut error = None;
        for header in headers {
            match self.chain.accept_header(header, now.wall) {
                Ok(_) => accepted += 1,
                Err(AcceptError::Store(failure)) => return self.fail(failure, out),
                Err(refusal) => {
                    error = Some(header_problem(refusal));
                    break;
                }
            }
        }
        pending.push_back(EngineInput::HeadersProcessed {
            peer,
            accepted,
            error,
        });
        if self.tell_header_tip(out) {
            self.plan_flush(now, out);
            pending.push_back(EngineInput::ChainChanged);
        }
    }

    fn accept_fetched(
        &mut self,
        now: Now,
        peer: PeerNum,
        block: Block,
        pending: &mut Pending,
        out: &mut Vec<Output>,
    ) {
        let hash = block.block_hash();
        let result = self.take_block(now, block, out);
        let stored = result.is_ok();
        let outcome = match result {
            Ok(_) => BlockOutcome::Accepted,
            Err(AcceptError::Store(failure)) => return self.fail(failure, out),
            Err(refusal) => block_outcome(refusal),
        };
        pending.push_back(EngineInput::BlockProcessed {
            peer,
            hash,
            outcome,
        });
        if stored {
            self.connections.note_block(peer, now);
            self.activate_and_tell(now, pending, out);
        }
    }

    /// Goes on with connecting where the last step ended.
    pub(super) fn continue_activation(&mut self, now: Now, out: &mut Vec<Output>) {
        let mut pending = Pending::new();
        self.activate_and_tell(now, &mut pending, out);
        for input in pending {
            self.drive(now, input, out);
        }
    }

    /// Connects what can be connected, one step, and lets the engine know what came of it.
    fn activate_and_tell(&mut self, now: Now, pending: &mut Pending, out: &mut Vec<Output>) {
        let before = self.chain.tip().hash;
        for (position, rule) in self.activate_step(now, out) {
            // The engine remembers who sent it.
            let peer = PeerNum(u64::MAX);
            let outcome = BlockOutcome::Rule(rule);
            pending.push_back(EngineInput::BlockProcessed {
                peer,
                hash: position.hash,
                outcome,
            });
        }
        if self.chain.tip().hash != before || self.tell_header_tip(out) {
            pending.push_back(EngineInput::ChainChanged);
        }
    }
}

/// Whether an action is about a whole block.
fn takes_long(action: &Action) -> bool {
    matches!(
        action,
        Action::RebuildBlock { .. } | Action::AcceptBlock { .. }
    )
}

fn header_problem(refusal: AcceptError) -> HeaderProblem {
    match refusal {
        AcceptError::Rule(rule) => HeaderProblem::Rule(rule),
        AcceptError::UnknownParent { .. } => HeaderProblem::UnknownParent,
        AcceptError::KnownInvalid { .. }
        | AcceptError::InvalidParent { .. }
        | AcceptError::Store(_) => HeaderProblem::KnownInvalid,
    }
}

fn block_outcome(refusal: AcceptError) -> BlockOutcome {
    match refusal {
        AcceptError::Rule(rule) => BlockOutcome::Rule(rule),
        AcceptError::UnknownParent { .. } => BlockOutcome::UnknownParent,
        AcceptError::KnownInvalid { .. }
        | AcceptError::InvalidParent { .. }
        | AcceptError::Store(_) => BlockOutcome::KnownInvalid,
    }
}
