//! [`Mailbox`]: what the chain thread has to do next, with the bounds and the order of [`p2p::budget::Inbox`].

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use p2p::PeerNum;
use p2p::budget::{Charge, Full, Inbox, Payer, Shed};
use p2p::swarm::{Event, Told};

use crate::chain_thread::{Message, input_of};

/// The queue between the swarm and other threads on one side, and the chain thread on the other.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    inbox: Mutex<Inbox<Message>>,
    came: Condvar,
}

impl Mailbox {
    /// Puts an order of our own before everything that peers cause.
    pub(crate) fn order(&self, message: Message) {
        self.lock().order(message);
        self.came.notify_one();
    }

    /// Takes what the swarm tells.
    ///
    /// # Errors
    ///
    /// [`Full`] when whoever caused it holds as much as it may.
    pub(crate) fn tell(&self, told: Told) -> Result<(), Full> {
        let Told { event, charge } = told;
        let gone = match &event {
            Event::PeerDown { peer, .. } => Some(*peer),
            _ => None,
        };
        let message = Message::Input(input_of(event));
        match charge {
            None => self.order(message),
            Some(charge) => self.push(charge, message)?,
        }
        if let Some(peer) = gone {
            self.lock().left(peer);
        }
        Ok(())
    }

    fn push(&self, charge: Charge, message: Message) -> Result<(), Full> {
        self.lock().push(charge, message)?;
        self.came.notify_one();
        Ok(())
    }

    /// Waits for the next message, with the one who pays for it; `None` when nothing came in time.
    pub(crate) fn wait(&self, patience: Duration) -> Option<(Message, Option<Payer>)> {
        let mut inbox = self.lock();
        if let Some(next) = inbox.pop() {
            return Some(next);
        }
        let waited = self.came.wait_timeout(inbox, patience);
        let (mut inbox, _) = waited.unwrap_or_else(PoisonError::into_inner);
        inbox.pop()
    }

    /// Work for a peer took so long.
    pub(crate) fn spent(&self, payer: &Payer, time: Duration) {
        self.lock().spent(payer, time);
    }

    /// The same, for work that was put off: whoever has gone since pays nothing.
    pub(crate) fn spent_for(&self, peer: PeerNum, time: Duration) {
        self.lock().spent_for(peer, time);
    }

    /// Bytes that wait, and what was refused so far.
    pub(crate) fn load(&self) -> (usize, Shed) {
        let inbox = self.lock();
        (inbox.bytes(), inbox.shed())
    }

    fn lock(&self) -> MutexGuard<'_, Inbox<Message>> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_message_wakes_who_waits_and_patience_ends() {
        let mailbox = Arc::new(Mailbox::default());
        assert!(mailbox.wait(Duration::from_millis(1)).is_none());
        let waiting = Arc::clone(&mailbox);
        let waiter = std::thread::spawn(move || waiting.wait(Duration::from_secs(60)));
        mailbox.order(Message::Stop);
        let (message, payer) = waiter.join().expect("no panic").expect("it came");
        assert!(matches!(message, Message::Stop) && payer.is_none());
    }
}
