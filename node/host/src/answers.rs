//! [`Answers`]: blocks for peers, opened beside the core. To decode and check a body takes ten times as long as to read it: nobody
//! waits for that but who asked. It is done on one thread, which is as urgent as the rest of the node: on a busy machine peers would get
//! next to nothing from a nicer one.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use node_core::Input;
use p2p::AnswerToken;
use p2p::swarm::Command;
use p2p::sync::StoredBlocks;

use crate::{Message, NodeHandle};

/// Answers that are to be opened, one after the other. How many there may be is for the swarm to say, which hands on no more questions
/// than their answers have room (`p2p::budget::Serving`).
#[derive(Debug, Default)]
pub(crate) struct Answers {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<(AnswerToken, StoredBlocks)>,
    /// A thread works on them.
    is_busy: bool,
    /// The last one.
    thread: Option<JoinHandle<()>>,
}

impl Answers {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an answer. Gives whether a thread is to be sent for it.
    fn push(&self, token: AnswerToken, blocks: StoredBlocks) -> bool {
        let mut state = self.lock();
        state.waiting.push_back((token, blocks));
        !std::mem::replace(&mut state.is_busy, true)
    }

    /// The next one; with the last the thread that asks is free.
    fn next(&self) -> Option<(AnswerToken, StoredBlocks)> {
        let mut state = self.lock();
        let next = state.waiting.pop_front();
        state.is_busy = next.is_some();
        next
    }
}

impl NodeHandle {
    /// Waits until no answer is worked on, once the node was told to stop: what a thread holds of the chain is let go.
    pub(crate) fn end_answers(&self) {
        let thread = self.inner.answers.lock().thread.take();
        if let Some(thread) = thread {
            // Its panic is on standard error already.
            let _ = thread.join();
        }
    }

    /// Answers a peer when the blocks are opened.
    pub(crate) fn answer_blocks(&self, token: AnswerToken, blocks: StoredBlocks) {
        if self.inner.answers.push(token, blocks) {
            let shift = Shift {
                node: self.clone(),
                is_over: false,
            };
            let thread = std::thread::Builder::new().name("answers".to_owned());
            match thread.spawn(move || shift.work()) {
                Ok(thread) => self.inner.answers.lock().thread = Some(thread),
                Err(error) => {
                    tracing::error!(target: "net", %error, "cannot start a thread");
                }
            }
        }
    }
}

/// A thread's work on answers, until there are none. If it ends otherwise (a panic, no thread), the next answer begins another.
struct Shift {
    node: NodeHandle,
    is_over: bool,
}

impl Shift {
    fn work(mut self) {
        while let Some((token, blocks)) = self.node.inner.answers.next() {
            if self.node.stop().is_pressed() {
                return;
            }
            let opened = blocks.open();
            if let Some(hash) = opened.damaged {
                let damaged = Message::Input(Input::BlockDamaged { hash });
                self.node.tell_chain_thread(damaged);
            }
            let response = Some(opened.response);
            self.node.command(Command::Answer { token, response });
        }
        self.is_over = true;
    }
}

impl Drop for Shift {
    fn drop(&mut self) {
        if !self.is_over {
            self.node.inner.answers.lock().is_busy = false;
        }
    }
}
