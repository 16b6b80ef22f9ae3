//! Requests between nodes, from the question to its answer or its time-out.
//!
//! They are kept together, in the order in which they were asked, and not with the nodes: nearly all are answered long before
//! their time is over, and to see that must not bring the node that asked into the cache again.

use std::collections::VecDeque;

use p2p::AnswerToken;
use p2p::sync::RequestId;

use super::wires::ConnId;

/// A request that is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// Over which connection.
    pub(super) connection: ConnId,
    /// The node that asked.
    pub(super) asker: usize,
    /// What it calls the request.
    pub(super) id: RequestId,
}

/// The time for an answer to the request with this number is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Expiry(pub(super) u64);

/// A request that lies with the node that is to answer it.
struct Pending {
    token: u64,
    connection: ConnId,
    number: u64,
}

/// All requests, by a number that grows with the time of asking.
#[derive(Default)]
pub(super) struct Requests {
    /// `None` once it is settled.
    asked: VecDeque<Option<Asked>>,
    /// The number of the first one in `asked`.
    first: u64,
    /// Few: a node answers at once unless it is frozen.
    pending: Vec<Pending>,
    next_token: u64,
}

impl Requests {
    /// A node asks.
    pub(super) fn open(&mut self, request: Asked) -> u64 {
        self.asked.push_back(Some(request));
        self.first + self.asked.len() as u64 - 1
    }

    /// A request, unless it is settled.
    pub(super) fn get(&self, number: u64) -> Option<&Asked> {
        let index = number.checked_sub(self.first)?;
        self.asked.get(index as usize)?.as_ref()
    }

    /// It is answered, or has failed: `None` if it was so before.
    pub(super) fn settle(&mut self, number: u64) -> Option<Asked> {
        let index = number.checked_sub(self.first)?;
        self.asked.get_mut(index as usize)?.take()
    }

    /// Frees the room of the oldest ones that are settled.
    pub(super) fn forget_settled(&mut self) {
        while let Some(None) = self.asked.front() {
            self.asked.pop_front();
            self.first += 1;
        }
    }

    /// What a node asked over a connection, in the order of asking.
    pub(super) fn of_connection(&self, asker: usize, connection: ConnId) -> Vec<u64> {
        let of_both = |asked: &Asked| asked.asker == asker && asked.connection == connection;
        (self.first..)
            .zip(&self.asked)
            .filter(|(_, asked)| asked.as_ref().is_some_and(of_both))
            .map(|(number, _)| number)
            .collect()
    }

    /// A node that crashed waits for nothing.
    pub(super) fn forget_node(&mut self, asker: usize) {
        for asked in &mut self.asked {
            if asked.is_some_and(|asked| asked.asker == asker) {
                *asked = None;
            }
        }
    }

    /// A request has come to the node that is to answer it: another token for each copy.
    pub(super) fn arrived(&mut self, connection: ConnId, number: u64) -> AnswerToken {
        self.next_token += 1;
        self.pending.push(Pending {
            token: self.next_token,
            connection,
            number,
        });
        AnswerToken(self.next_token)
    }

    /// A node answers: over which connection, and which request.
    pub(super) fn answered(&mut self, token: AnswerToken) -> Option<(ConnId, u64)> {
        let at = self
            .pending
            .iter()
            .rposition(|pending| pending.token == token.0)?;
        let Pending {
            connection, number, ..
        } = self.pending.swap_remove(at);
        Some((connection, number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(asker: usize, connection: ConnId, id: u64) -> Asked {
        Asked {
            connection,
            asker,
            id: RequestId(id),
        }
    }

    #[test]
    fn a_request_is_settled_once() {
        let mut requests = Requests::default();
        let first = requests.open(asked(1, 7, 0));
        let second = requests.open(asked(2, 7, 0));
        assert_eq!(requests.settle(second), Some(asked(2, 7, 0)));
        assert_eq!(requests.settle(second), None);
        // The first is open still, so that nothing is forgotten.
        requests.forget_settled();
        assert_eq!(requests.get(first), Some(&asked(1, 7, 0)));
        requests.settle(first);
        requests.forget_settled();
        assert!(requests.asked.is_empty());
        assert_eq!(requests.get(first), None);
        assert_eq!(requests.settle(second), None);
        let third = requests.open(asked(3, 9, 1));
        assert!(third > second);
        assert_eq!(requests.get(third), Some(&asked(3, 9, 1)));
    }

    #[test]
    fn requests_are_found_by_who_asked_over_what() {
        let mut requests = Requests::default();
        for (asker, connection) in [(1, 7), (2, 7), (1, 8), (1, 7)] {
            requests.open(asked(asker, connection, 0));
        }
        assert_eq!(requests.of_connection(1, 7), [0, 3]);
        requests.settle(0);
        assert_eq!(requests.of_connection(1, 7), [3]);
        requests.forget_node(1);
        assert!(requests.of_connection(1, 7).is_empty());
        assert_eq!(requests.of_connection(2, 7), [1]);
    }

    #[test]
    fn each_copy_of_a_request_is_answered_once() {
        let mut requests = Requests::default();
        let number = requests.open(asked(1, 7, 0));
        let (a, b) = (requests.arrived(7, number), requests.arrived(7, number));
        assert_ne!(a, b);
        assert_eq!(requests.answered(a), Some((7, number)));
        assert_eq!(requests.answered(a), None);
        assert_eq!(requests.answered(b), Some((7, number)));
    }
}
