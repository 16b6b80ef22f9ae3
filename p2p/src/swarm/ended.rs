//! Streams whose other side has ended them. What it sends on them all the same nobody reads, and Yamux would keep it for as long as
//! the stream lives: a window for each answer that is being made. So a connection on which that happens ends.

use std::io::{self, IoSlice, IoSliceMut};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};

use futures::{AsyncRead, AsyncWrite};

/// The streams of one connection that the other side has ended, and that live.
#[derive(Debug)]
pub(super) struct Ended<S>(Arc<Mutex<Vec<Weak<Mutex<S>>>>>);

/// A stream whose end is noted.
#[derive(Debug)]
pub(super) struct Watched<S> {
    stream: Arc<Mutex<S>>,
    is_ended: bool,
    ended: Ended<S>,
}

impl<S> Default for Ended<S> {
    fn default() -> Ended<S> {
        Ended(Arc::default())
    }
}

impl<S> Clone for Ended<S> {
    fn clone(&self) -> Ended<S> {
        Ended(Arc::clone(&self.0))
    }
}

impl<S: AsyncRead + Unpin> Ended<S> {
    /// A stream of this connection.
    pub(super) fn watch(&self, stream: S) -> Watched<S> {
        Watched {
            stream: Arc::new(Mutex::new(stream)),
            is_ended: false,
            ended: self.clone(),
        }
    }

    /// Fails once something came after the end of a stream; until then `cx` is woken when that happens.
    pub(super) fn check(&self, cx: &mut Context<'_>) -> io::Result<()> {
        let mut result = Ok(());
        lock(&self.0).retain(|stream| {
            let Some(stream) = stream.upgrade() else {
                return false;
            };
            match Pin::new(&mut *lock(&stream)).poll_read(cx, &mut [0]) {
                Poll::Ready(Ok(bytes)) if bytes > 0 => {
                    let problem = "the peer sends on a stream that it has ended";
                    result = Err(io::Error::new(io::ErrorKind::InvalidData, problem));
                    true
                }
                Poll::Ready(Err(_)) => false,
                _ => true,
            }
        });
        result
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<S> Watched<S> {
    fn with<R>(&self, poll: impl FnOnce(Pin<&mut S>) -> R) -> R
    where
        S: Unpin,
    {
        poll(Pin::new(&mut *lock(&self.stream)))
    }

    fn note_end(&mut self, is_end: bool) {
        if is_end && !std::mem::replace(&mut self.is_ended, true) {
            lock(&self.ended.0).push(Arc::downgrade(&self.stream));
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let result = self.with(|stream| stream.poll_read(cx, buffer));
        let is_end = matches!(result, Poll::Ready(Ok(0))) && !buffer.is_empty();
        self.note_end(is_end);
        result
    }

    fn poll_read_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = self.with(|stream| stream.poll_read_vectored(cx, buffers));
        let has_room = buffers.iter().any(|buffer| !buffer.is_empty());
        let is_end = matches!(result, Poll::Ready(Ok(0))) && has_room;
        self.note_end(is_end);
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.with(|stream| stream.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.with(|stream| stream.poll_write_vectored(cx, buffers))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_flush(cx))
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_close(cx))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::task::Waker;

    use futures::AsyncReadExt;
    use futures::executor::block_on;

    use super::*;

    /// What each read of it gives: so many bytes, or the end.
    struct Script(Arc<Mutex<VecDeque<usize>>>);

    impl AsyncRead for Script {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(lock(&self.0).pop_front().unwrap_or(0)))
        }
    }

    fn check(ended: &Ended<Script>) -> bool {
        ended.check(&mut Context::from_waker(Waker::noop())).is_ok()
    }

    #[test]
    fn what_comes_after_the_end_of_a_stream_ends_the_connection() {
        let reads = Arc::new(Mutex::new(VecDeque::from([1, 1, 0, 0])));
        let ended = Ended::default();
        let mut stream = ended.watch(Script(Arc::clone(&reads)));
        assert_eq!(block_on(stream.read(&mut [0; 8])).unwrap(), 1);
        assert!(
            check(&ended),
            "it has not ended: its reader takes what comes"
        );
        assert_eq!(lock(&reads).len(), 3);
        assert_eq!(block_on(stream.read(&mut [0; 8])).unwrap(), 1);
        assert_eq!(block_on(stream.read(&mut [0; 8])).unwrap(), 0);
        assert!(check(&ended));
        lock(&reads).push_back(5);
        lock(&reads).retain(|bytes| *bytes > 0);
        assert!(!check(&ended));
    }

    #[test]
    fn a_stream_that_is_gone_is_forgotten() {
        let ended = Ended::default();
        let mut stream = ended.watch(Script(Arc::default()));
        assert_eq!(block_on(stream.read(&mut [0; 8])).unwrap(), 0);
        assert_eq!(lock(&ended.0).len(), 1);
        drop(stream);
        assert!(check(&ended));
        assert!(lock(&ended.0).is_empty());
    }
}
