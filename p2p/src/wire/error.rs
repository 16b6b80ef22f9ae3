//! [`WireError`]: why bytes from a peer are not a message.

/// Why bytes are not a message. Whoever sent them does not speak the protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The first byte names no kind of message.
    #[error("unknown {what} tag {tag}")]
    UnknownTag {
        /// Request, response or gossip.
        what: &'static str,
        /// The byte.
        tag: u8,
    },
    /// The whole message is longer than its kind may be.
    #[error("{what} of {got} bytes, at most {limit} are allowed")]
    TooLong {
        /// Which message.
        what: &'static str,
        /// Its bytes.
        got: usize,
        /// See [`limits`](super::limits).
        limit: usize,
    },
    /// A list has more items than its kind may have, or than bytes follow.
    #[error("{got} {what}, at most {limit} are possible")]
    TooMany {
        /// What the list holds.
        what: &'static str,
        /// The count that was read.
        got: u64,
        /// The limit, or what the rest of the message has room for.
        limit: usize,
    },
    /// The message ends too early.
    #[error("message ends within {what}")]
    Truncated {
        /// What was being read.
        what: &'static str,
    },
    /// Something in it breaks its format.
    #[error("malformed {what}: {problem}")]
    Malformed {
        /// What was being read.
        what: &'static str,
        /// Got and expected.
        problem: String,
    },
    /// Bytes are left over after the message.
    #[error("{bytes} bytes follow the message")]
    Trailing {
        /// How many.
        bytes: usize,
    },
}
