//! [`Codec`]: one message per stream and direction, a little-endian `u32` length and then the message of [`crate::wire`].

use std::io;
use std::sync::Arc;

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::{StreamProtocol, request_response};

use super::counters::{Channel, Way};
use super::meter::{Meter, Parcel};
use super::traffic::Traffic;
use crate::budget::largest_answer;
use crate::wire::limits::{MAX_REQUEST_BYTES, MAX_RESPONSE_BYTES};
use crate::wire::{Request, Response, WireError};

/// Bytes of the length in front of a message.
const PREFIX_BYTES: usize = 4;
/// A message is read in steps of this many bytes, so that memory follows what has arrived and not what was promised.
const READ_STEP_BYTES: usize = 256 * 1024;

/// Reads and writes requests and responses, and counts them.
#[derive(Clone, Debug)]
pub(super) struct Codec {
    traffic: Arc<Traffic>,
    /// The largest answer to what was asked on this stream: the library gives each its own codec.
    largest_answer: usize,
}

impl Codec {
    pub(super) fn new(traffic: Arc<Traffic>) -> Codec {
        Codec {
            traffic,
            largest_answer: MAX_RESPONSE_BYTES,
        }
    }

    fn count_sent(&self, channel: Channel, kind: &str, meter: Option<&Meter>, frame: &[u8]) {
        let bytes = frame.len() - PREFIX_BYTES;
        self.traffic.count(channel, kind, Way::Sent, bytes);
        if let Some(meter) = meter {
            meter.count(channel, kind, Way::Sent, bytes);
        }
    }
}

impl request_response::Codec for Codec {
    type Protocol = StreamProtocol;
    type Request = Parcel<Request>;
    type Response = Parcel<Response>;

    async fn read_request<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
    ) -> io::Result<Parcel<Request>>
    where
        T: AsyncRead + Unpin + Send,
    {
        let bytes = read_frame(io, MAX_REQUEST_BYTES).await?;
        // Nobody would read what comes after it, and the library would keep it until the answer is written.
        read_end(io).await?;
        let request = Request::decode(&bytes).map_err(malformed)?;
        self.traffic
            .count(Channel::Request, request.kind(), Way::Received, bytes.len());
        Ok(Parcel::received(request, bytes.len()))
    }

    async fn read_response<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
    ) -> io::Result<Parcel<Response>>
    where
        T: AsyncRead + Unpin + Send,
    {
        let bytes = read_frame(io, self.largest_answer).await?;
        let response = Response::decode(&bytes).map_err(malformed)?;
        self.traffic.count(
            Channel::Response,
            response.kind(),
            Way::Received,
            bytes.len(),
        );
        Ok(Parcel::received(response, bytes.len()))
    }

    async fn write_request<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        parcel: Parcel<Request>,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        let frame = frame(MAX_REQUEST_BYTES, |out| parcel.message.encode(out))?;
        let kind = parcel.message.kind();
        self.count_sent(Channel::Request, kind, parcel.meter.as_deref(), &frame);
        self.largest_answer = largest_answer(&parcel.message);
        io.write_all(&frame).await
    }

    async fn write_response<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        parcel: Parcel<Response>,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        let frame = frame(MAX_RESPONSE_BYTES, |out| parcel.message.encode(out))?;
        let kind = parcel.message.kind();
        self.count_sent(Channel::Response, kind, parcel.meter.as_deref(), &frame);
        // While the peer takes its time, its answer is in memory once.
        drop(parcel);
        io.write_all(&frame).await
    }
}

/// A message with its length in front. The limit that the reader will apply is applied here first, so that a mistake of ours
/// shows at our side and is not held against us.
fn frame(limit: usize, encode: impl FnOnce(&mut Vec<u8>)) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; PREFIX_BYTES];
    encode(&mut frame);
    let length = frame.len() - PREFIX_BYTES;
    match u32::try_from(length) {
        Ok(prefix) if length <= limit => {
            frame[..PREFIX_BYTES].copy_from_slice(&prefix.to_le_bytes());
            Ok(frame)
        }
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("a message of {length} bytes was to be sent, at most {limit} are allowed"),
        )),
    }
}

/// Reads one message. `UnexpectedEof` when the peer ends the stream early, `InvalidData` when it breaks the limit.
async fn read_frame<T>(io: &mut T, limit: usize) -> io::Result<Vec<u8>>
where
    T: AsyncRead + Unpin + Send,
{
    let mut prefix = [0; PREFIX_BYTES];
    io.read_exact(&mut prefix).await?;
    let length = usize::try_from(u32::from_le_bytes(prefix)).unwrap_or(usize::MAX);
    if length > limit {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("a message of {length} bytes, at most {limit} are allowed"),
        ));
    }
    let mut message = Vec::new();
    while message.len() < length {
        let start = message.len();
        message.resize(length.min(start + READ_STEP_BYTES), 0);
        io.read_exact(&mut message[start..]).await?;
    }
    Ok(message)
}

/// Waits for the end of the stream. `InvalidData` when something else comes.
async fn read_end<T>(io: &mut T) -> io::Result<()>
where
    T: AsyncRead + Unpin + Send,
{
    match io.read(&mut [0]).await? {
        0 => Ok(()),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "more came after the end of a message",
        )),
    }
}

fn malformed(error: WireError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use futures::io::Cursor;

    use super::*;

    #[test]
    fn a_frame_reads_back_as_it_was_written() {
        for length in [
            0,
            1,
            READ_STEP_BYTES - 1,
            READ_STEP_BYTES,
            READ_STEP_BYTES * 2 + 7,
        ] {
            let message: Vec<u8> = (0..length).map(|i| (i % 251) as u8).collect();
            let framed = frame(length, |out| out.extend_from_slice(&message)).unwrap();
            let read = block_on(read_frame(&mut Cursor::new(framed), length)).unwrap();
            assert_eq!(read, message);
        }
    }

    #[test]
    fn a_promise_above_the_limit_is_refused_before_anything_is_read() {
        let error = block_on(read_frame(&mut Cursor::new([0xff; 4]), 1_000)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(error.to_string().contains("at most 1000"), "{error}");
    }

    #[test]
    fn a_frame_that_ends_early_is_not_malformed() {
        let mut framed = frame(100, |out| out.extend_from_slice(&[7; 100])).unwrap();
        framed.truncate(50);
        let error = block_on(read_frame(&mut Cursor::new(framed), 100)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn nothing_above_the_limit_is_sent() {
        let error = frame(10, |out| out.extend_from_slice(&[0; 11])).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
