//! What is counted for one peer: bytes of its streams, and the messages among them.

use std::io::{self, IoSlice, IoSliceMut};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::{AsyncRead, AsyncWrite};

use super::counters::{Channel, KindCounters, KindTraffic, Way, WireCounters, WireTraffic};

/// Counts for one peer for as long as a connection to it lives.
#[derive(Debug, Default)]
pub(super) struct Meter {
    streams: WireCounters,
    kinds: KindCounters,
}

/// What was exchanged with one peer since it is connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerTraffic {
    /// Bytes of all its streams: messages with their framing, without Yamux and encryption.
    pub streams: WireTraffic,
    /// Every kind of message, in a fixed order. Gossip that is sent is not counted by peer.
    pub kinds: Vec<KindTraffic>,
}

impl Meter {
    pub(super) fn count(&self, channel: Channel, kind: &str, way: Way, bytes: usize) {
        self.kinds.count(channel, kind, way, bytes);
    }

    pub(super) fn read(&self) -> PeerTraffic {
        PeerTraffic {
            streams: self.streams.read(),
            kinds: self.kinds.read().collect(),
        }
    }
}

/// A message with what counts it: on its way out by the codec, on its way in by the driver, which knows the peer.
#[derive(Debug)]
pub(super) struct Parcel<M> {
    pub(super) message: M,
    /// Of a message that came in.
    pub(super) bytes: usize,
    /// Of the peer that a message goes to.
    pub(super) meter: Option<Arc<Meter>>,
}

impl<M> Parcel<M> {
    pub(super) fn received(message: M, bytes: usize) -> Parcel<M> {
        Parcel {
            message,
            bytes,
            meter: None,
        }
    }

    pub(super) fn to_send(message: M, meter: Option<Arc<Meter>>) -> Parcel<M> {
        Parcel {
            message,
            bytes: 0,
            meter,
        }
    }
}

/// A stream that counts what passes.
pub(super) struct Metered<S> {
    stream: S,
    meter: Arc<Meter>,
}

impl<S> Metered<S> {
    pub(super) fn new(stream: S, meter: Arc<Meter>) -> Metered<S> {
        Metered { stream, meter }
    }

    fn counted(&self, way: Way, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = result {
            self.meter.streams.count(way, bytes);
        }
        result
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.counted(Way::Received, result)
    }

    fn poll_read_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_read_vectored(cx, buffers);
        self.counted(Way::Received, result)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.counted(Way::Sent, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, buffers);
        self.counted(Way::Sent, result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use futures::io::Cursor;
    use futures::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[test]
    fn a_stream_counts_what_passes_either_way() {
        let meter = Arc::new(Meter::default());
        let mut stream = Metered::new(Cursor::new(vec![7; 100]), Arc::clone(&meter));
        let mut buffer = [0; 30];
        block_on(stream.read_exact(&mut buffer)).unwrap();
        block_on(stream.write_all(&[1; 12])).unwrap();
        let streams = meter.read().streams;
        assert_eq!((streams.received_bytes, streams.sent_bytes), (30, 12));
    }

    #[test]
    fn messages_are_counted_by_kind() {
        let meter = Meter::default();
        meter.count(Channel::Response, "blocks", Way::Received, 500);
        let kinds = meter.read().kinds;
        let blocks = kinds
            .iter()
            .find(|kind| (kind.channel, kind.kind) == (Channel::Response, "blocks"));
        assert_eq!(blocks.map(|kind| kind.received_bytes), Some(500));
        assert_eq!(kinds.iter().map(|kind| kind.sent_bytes).sum::<u64>(), 0);
    }
}
