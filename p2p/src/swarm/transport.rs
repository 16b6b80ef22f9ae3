//! The way bytes go: TCP, counted, then Noise and Yamux; and a connection that ends in bounded time.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{AsyncRead, AsyncWrite};
use libp2p::core::muxing::{StreamMuxer, StreamMuxerBox, StreamMuxerEvent, SubstreamBox};
use libp2p::core::transport::Boxed;
use libp2p::core::transport::timeout::TransportTimeoutError;
use libp2p::core::upgrade::Version;
use libp2p::identity::Keypair;
use libp2p::{PeerId, Transport, noise, tcp, yamux};

use super::SwarmError;
use super::counters::Way;
use super::ended::{Ended, Watched};
use super::handshakes::{Handshakes, Ticket};
use super::meter::{Meter, Metered};
use super::traffic::Traffic;
use crate::wire::limits::{
    HANDSHAKE_TIMEOUT, INBOUND_HANDSHAKE_TIMEOUT, MAX_PENDING_HANDSHAKES,
    MAX_STREAMS_PER_CONNECTION,
};

/// A polite end may take this long. Over a stalled link it never comes, and the connection is dropped instead.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

/// TCP, Noise and Yamux, with a time limit on the handshake.
pub(super) fn build(
    key: &Keypair,
    traffic: Arc<Traffic>,
) -> Result<Boxed<(PeerId, StreamMuxerBox)>, SwarmError> {
    let noise = noise::Config::new(key)
        .map_err(|error| SwarmError::new(format!("encryption cannot be set up: {error}")))?;
    let meters = Arc::clone(&traffic);
    let mut streams = yamux::Config::default();
    streams.set_max_num_streams(MAX_STREAMS_PER_CONNECTION);
    let handshakes = Arc::new(Handshakes::new(MAX_PENDING_HANDSHAKES));
    let begun = Arc::clone(&handshakes);
    let transport = tcp::tokio::Transport::new(tcp::Config::default().nodelay(true))
        .map(move |stream, point| Counted {
            stream,
            traffic: Arc::clone(&traffic),
            handshake: begun.begin(&point),
        })
        .upgrade(Version::V1Lazy)
        .authenticate(noise)
        .multiplex(streams)
        .outbound_timeout(HANDSHAKE_TIMEOUT)
        .inbound_timeout(INBOUND_HANDSHAKE_TIMEOUT);
    let transport = transport.map(move |(peer, muxer), point| {
        handshakes.end(&point);
        let connection = Connection {
            muxer: StreamMuxerBox::new(muxer),
            meter: meters.new_meter(peer),
            ended: Ended::default(),
            deadline: None,
        };
        (peer, StreamMuxerBox::new(connection))
    });
    let transport = transport.map_err(|error| {
        within_time(error, |error| {
            within_time(error, |error| {
                // What TCP said, as it said it; or what came of Noise and Yamux.
                error.either(
                    |below| below.either(|tcp| tcp, io::Error::other),
                    io::Error::other,
                )
            })
        })
    });
    Ok(transport.boxed())
}

/// An error of something with a time limit, as `other` words what is not about time.
fn within_time<E>(error: TransportTimeoutError<E>, other: impl Fn(E) -> io::Error) -> io::Error {
    match error {
        TransportTimeoutError::Timeout => io::ErrorKind::TimedOut.into(),
        TransportTimeoutError::TimerError(error) => error,
        TransportTimeoutError::Other(error) => other(error),
    }
}

/// A byte stream that counts what passes.
struct Counted<S> {
    stream: S,
    traffic: Arc<Traffic>,
    /// Of an inbound connection.
    handshake: Option<Arc<Ticket>>,
}

impl<S> Counted<S> {
    fn counted(&self, way: Way, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = result {
            self.traffic.count_wire(way, bytes);
        }
        result
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if let Some(handshake) = &self.handshake {
            handshake.check(cx)?;
        }
        let result = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.counted(Way::Received, result)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.counted(Way::Sent, result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }
}

/// A connection that counts what its streams carry, that ends when a peer sends what nobody reads, and whose end does not wait for a peer that takes nothing any more.
///
/// Ending a Yamux connection flushes it first. Over a link that is cut without a reset this blocks for minutes, the peer
/// counts as connected, and after healing every fresh connection to it would be refused as a second one.
struct Connection {
    muxer: StreamMuxerBox,
    meter: Arc<Meter>,
    ended: Ended<Metered<SubstreamBox>>,
    deadline: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl StreamMuxer for Connection {
    type Substream = Watched<Metered<SubstreamBox>>;
    type Error = io::Error;

    fn poll_inbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Self::Substream>> {
        let opened = Pin::new(&mut self.muxer).poll_inbound(cx);
        opened.map_ok(|stream| self.watched(stream))
    }

    fn poll_outbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Self::Substream>> {
        let opened = Pin::new(&mut self.muxer).poll_outbound(cx);
        opened.map_ok(|stream| self.watched(stream))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(result) = Pin::new(&mut self.muxer).poll_close(cx) {
            return Poll::Ready(result);
        }
        let deadline = self
            .deadline
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(CLOSE_TIMEOUT)));
        deadline
            .as_mut()
            .poll(cx)
            .map(|()| Err(io::ErrorKind::TimedOut.into()))
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<StreamMuxerEvent>> {
        let result = Pin::new(&mut self.muxer).poll(cx);
        self.ended.check(cx)?;
        result
    }
}

impl Connection {
    fn watched(&self, stream: SubstreamBox) -> Watched<Metered<SubstreamBox>> {
        self.ended
            .watch(Metered::new(stream, Arc::clone(&self.meter)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A muxer that never does anything.
    struct Stalled;

    impl StreamMuxer for Stalled {
        type Substream = futures::io::Cursor<Vec<u8>>;
        type Error = io::Error;

        fn poll_inbound(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<io::Result<Self::Substream>> {
            Poll::Pending
        }

        fn poll_outbound(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<io::Result<Self::Substream>> {
            Poll::Pending
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }

        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<StreamMuxerEvent>> {
            Poll::Pending
        }
    }

    #[tokio::test]
    async fn a_connection_over_a_stalled_link_ends_all_the_same() {
        let mut muxer = Connection {
            muxer: StreamMuxerBox::new(Stalled),
            meter: Arc::default(),
            ended: Ended::default(),
            deadline: None,
        };
        let end = futures::future::poll_fn(|cx| Pin::new(&mut muxer).poll_close(cx));
        let end = tokio::time::timeout(CLOSE_TIMEOUT * 10, end)
            .await
            .expect("ends in time");
        assert_eq!(end.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
