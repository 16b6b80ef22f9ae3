//! What libp2p peers of tests share that say whatever a test wants: bytes as they go over a stream, and gossip that is not looked at.
//! Used by the tests of this crate and by those that play hostile peers against real nodes.

use std::future;
use std::io;

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::{StreamProtocol, gossipsub, request_response};

/// Whole streams without meaning: a message comes with its length in front.
#[derive(Clone)]
pub(crate) struct RawCodec {
    /// Whether answers are read.
    pub(crate) reads: bool,
}

impl Default for RawCodec {
    fn default() -> RawCodec {
        RawCodec { reads: true }
    }
}

impl request_response::Codec for RawCodec {
    type Protocol = StreamProtocol;
    type Request = Vec<u8>;
    type Response = Vec<u8>;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        let mut bytes = Vec::new();
        io.read_to_end(&mut bytes).await?;
        Ok(bytes)
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        if !self.reads {
            return future::pending().await;
        }
        let mut bytes = Vec::new();
        io.read_to_end(&mut bytes).await?;
        Ok(bytes)
    }

    async fn write_request<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        bytes: Vec<u8>,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        io.write_all(&bytes).await
    }

    async fn write_response<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        bytes: Vec<u8>,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        io.write_all(&bytes).await
    }
}

/// The protocol of questions and answers, on a network whose digest begins with `name` (16 digits).
pub(crate) fn exchange_protocol(name: &str) -> StreamProtocol {
    StreamProtocol::try_from_owned(format!("/mend/{name}/exchange/1")).expect("a name")
}

/// A topic by its last word.
pub(crate) fn topic(name: &str, last: &str) -> gossipsub::IdentTopic {
    gossipsub::IdentTopic::new(format!("mend/{name}/{last}"))
}

/// Gossip that takes and sends whatever it is given, also what is far too large.
pub(crate) fn gossip(name: &str) -> gossipsub::Behaviour {
    let config = gossipsub::ConfigBuilder::default()
        .protocol_id(format!("/mend/{name}/gossip/2"), gossipsub::Version::V1_1)
        .validation_mode(gossipsub::ValidationMode::Anonymous)
        .max_transmit_size(10_000_000)
        .flood_publish(true)
        // The default is made of an author and a number, which anonymous messages do not have.
        .message_id_fn(|message| gossipsub::MessageId::new(&message.data))
        .build()
        .expect("gossip");
    let anonymous = gossipsub::MessageAuthenticity::Anonymous;
    let mut gossip = gossipsub::Behaviour::new(anonymous, config).expect("gossip");
    for last in ["blocks", "transactions"] {
        gossip.subscribe(&topic(name, last)).expect("a topic");
    }
    gossip
}
