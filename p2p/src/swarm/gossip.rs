//! Gossip: two topics, anonymous messages known by their content, and a verdict of ours before anything is forwarded.

use std::collections::BTreeMap;
use std::time::Duration;

use bitcoin::hashes::{Hash, HashEngine, sha256};
use chain::NetworkDigest;
use libp2p::PeerId;
use libp2p::gossipsub::{
    self, IdentTopic, IdentityTransform, MessageAuthenticity, MessageId, TopicHash, ValidationMode,
    Version, WhitelistSubscriptionFilter,
};

use super::SwarmError;
use super::names::short_name;
use crate::sync::GossipId;
use crate::wire::Gossip;
use crate::wire::limits::{
    MAX_ANNOUNCEMENT_BYTES, MAX_TRANSACTION_BYTES, MAX_UNSENT_GOSSIP, MAX_VERDICTS, VERDICT_TIMEOUT,
};

/// Gossipsub that knows our two topics only: a peer cannot fill memory with subscriptions to others.
pub(super) type Gossipsub = gossipsub::Behaviour<IdentityTransform, WhitelistSubscriptionFilter>;

/// The mesh is looked after this often. Joining does not wait for it: a peer is grafted as soon as it subscribes.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// The first look after the start.
const FIRST_HEARTBEAT: Duration = Duration::from_millis(200);
/// Heartbeats that a message is kept for its verdict and for peers that missed it: a little more than [`VERDICT_TIMEOUT`].
const HISTORY_HEARTBEATS: usize = VERDICT_TIMEOUT.as_secs() as usize + 2;
/// The same content is not passed on twice within this time.
const DUPLICATE_TIME: Duration = Duration::from_secs(60);
/// A peer that was pruned from a full mesh may be grafted again after this time: soon, since a healed network regroups.
const PRUNE_BACKOFF: Duration = Duration::from_secs(5);
/// Gossip that waits longer to be sent is given up. The number that waits is bounded, so that who is slow loses nothing before.
const QUEUE_TIME: Duration = Duration::from_secs(30);
/// What protobuf and the topic name add to a message, at most.
const ENVELOPE_BYTES: usize = 256;
/// The library compares its limit with everything it has buffered, which can be a message and a read of the next one.
const READ_AHEAD_BYTES: usize = 16 * 1024;

/// The two topics of a network.
#[derive(Clone, Debug)]
pub(super) struct Topics {
    blocks: TopicHash,
    transactions: TopicHash,
}

impl Topics {
    pub(super) fn new(network: &NetworkDigest) -> Topics {
        let name = short_name(network);
        Topics {
            blocks: IdentTopic::new(format!("mend/{name}/blocks")).hash(),
            transactions: IdentTopic::new(format!("mend/{name}/transactions")).hash(),
        }
    }

    /// Where a kind of gossip belongs.
    pub(super) fn of(&self, gossip: &Gossip) -> &TopicHash {
        match gossip {
            Gossip::Block(_) | Gossip::Header(_) => &self.blocks,
            Gossip::Transaction(_) | Gossip::Again { .. } => &self.transactions,
        }
    }

    /// What a message says; `None` when it is malformed or under the wrong topic.
    pub(super) fn decode(&self, message: &gossipsub::Message) -> Option<Gossip> {
        Gossip::decode(&message.data)
            .ok()
            .filter(|gossip| self.of(gossip) == &message.topic)
    }

    /// What a message is known by. One that means nothing goes by its bytes, so that it cannot stand in for a good one.
    fn message_id(&self, message: &gossipsub::Message) -> MessageId {
        match self.decode(message) {
            Some(gossip) => MessageId::new(&gossip.content_id()),
            None => {
                let mut engine = sha256::Hash::engine();
                engine.input(b"malformed");
                engine.input(message.topic.as_str().as_bytes());
                engine.input(&message.data);
                MessageId::new(sha256::Hash::from_engine(engine).as_byte_array())
            }
        }
    }
}

/// Gossipsub, subscribed to both topics.
pub(super) fn behaviour(network: &NetworkDigest, topics: &Topics) -> Result<Gossipsub, SwarmError> {
    let ids = topics.clone();
    let config = gossipsub::ConfigBuilder::default()
        .protocol_id(
            format!("/mend/{}/gossip/2", short_name(network)),
            Version::V1_1,
        )
        .validation_mode(ValidationMode::Anonymous)
        .validate_messages()
        .message_id_fn(move |message| ids.message_id(message))
        .max_transmit_size(MAX_TRANSACTION_BYTES + ENVELOPE_BYTES + READ_AHEAD_BYTES)
        .max_transmit_size_for_topic(
            MAX_ANNOUNCEMENT_BYTES + ENVELOPE_BYTES,
            topics.blocks.clone(),
        )
        .max_transmit_size_for_topic(
            MAX_TRANSACTION_BYTES + ENVELOPE_BYTES,
            topics.transactions.clone(),
        )
        .heartbeat_initial_delay(FIRST_HEARTBEAT)
        .heartbeat_interval(HEARTBEAT)
        .history_length(HISTORY_HEARTBEATS)
        .duplicate_cache_time(DUPLICATE_TIME)
        .prune_backoff(PRUNE_BACKOFF)
        .flood_publish(true)
        .connection_handler_queue_len(MAX_UNSENT_GOSSIP)
        .publish_queue_duration(QUEUE_TIME)
        .forward_queue_duration(QUEUE_TIME)
        .build()
        .map_err(|error| SwarmError::new(format!("gossip cannot be set up: {error}")))?;
    let allowed = [topics.blocks.clone(), topics.transactions.clone()]
        .into_iter()
        .collect();
    // No peer scoring: it counts peers of one IP address against each other, and a local network has only one. Who sends
    // rubbish is disconnected by the engine instead.
    let mut gossipsub = Gossipsub::new_with_subscription_filter(
        MessageAuthenticity::Anonymous,
        config,
        WhitelistSubscriptionFilter(allowed),
    )
    .map_err(|error| SwarmError::new(format!("gossip cannot be set up: {error}")))?;
    for topic in [&topics.blocks, &topics.transactions] {
        gossipsub
            .subscribe(&IdentTopic::new(topic.as_str()))
            .map_err(|error| SwarmError::new(format!("gossip cannot be set up: {error}")))?;
    }
    Ok(gossipsub)
}

/// Gossip that waits for its verdict. What a peer may keep waiting is counted where it waits; here only the number is bounded, in
/// case a verdict never comes.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    last: u64,
    waiting: BTreeMap<GossipId, Waiting>,
}

/// One item that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    /// What gossipsub calls it.
    pub(super) message: MessageId,
    /// Who passed it on.
    pub(super) source: PeerId,
    /// Which kind of gossip it is.
    pub(super) kind: &'static str,
    /// Whether it tells of a block.
    pub(super) announces_a_block: bool,
    /// Its bytes.
    pub(super) bytes: usize,
}

impl Verdicts {
    /// Takes an item in.
    pub(super) fn wait(&mut self, item: Waiting) -> GossipId {
        self.last += 1;
        let id = GossipId(self.last);
        self.waiting.insert(id, item);
        if self.waiting.len() > MAX_VERDICTS {
            self.waiting.pop_first();
        }
        id
    }

    /// The item, once: `None` when it is not known or was judged.
    pub(super) fn judged(&mut self, id: GossipId) -> Option<Waiting> {
        self.waiting.remove(&id)
    }
}

#[cfg(test)]
mod tests {
    use bitcoin::{Transaction, absolute, transaction};

    use super::*;

    fn topics() -> Topics {
        Topics::new(&NetworkDigest([1; 32]))
    }

    fn transaction(lock: u32) -> Gossip {
        Gossip::Transaction(std::sync::Arc::new(Transaction {
            version: transaction::Version::TWO,
            lock_time: absolute::LockTime::from_consensus(lock),
            input: vec![bitcoin::TxIn::default()],
            output: vec![],
        }))
    }

    fn message(topic: &TopicHash, data: Vec<u8>) -> gossipsub::Message {
        gossipsub::Message {
            source: None,
            data,
            sequence_number: None,
            topic: topic.clone(),
        }
    }

    #[test]
    fn content_names_a_message_only_under_its_own_topic() {
        let topics = topics();
        let gossip = transaction(1);
        let mut data = Vec::new();
        gossip.encode(&mut data);
        let right = message(&topics.transactions, data.clone());
        let wrong = message(&topics.blocks, data.clone());
        assert_eq!(
            topics.message_id(&right),
            MessageId::new(&gossip.content_id())
        );
        assert_ne!(topics.message_id(&wrong), topics.message_id(&right));
        assert!(topics.decode(&wrong).is_none());
        data.push(0);
        assert_ne!(
            topics.message_id(&message(&topics.transactions, data)),
            topics.message_id(&right)
        );
    }

    #[test]
    fn a_verdict_counts_once_and_those_that_never_come_are_bounded() {
        let item = || Waiting {
            message: MessageId::new(b"x"),
            source: PeerId::random(),
            kind: "transaction",
            announces_a_block: false,
            bytes: 10,
        };
        let mut verdicts = Verdicts::default();
        let id = verdicts.wait(item());
        assert!(verdicts.judged(id).is_some());
        assert_eq!(verdicts.judged(id), None);
        let source = item();
        for _ in 0..=MAX_VERDICTS {
            verdicts.wait(source.clone());
        }
        assert_eq!(verdicts.waiting.len(), MAX_VERDICTS);
    }
}
