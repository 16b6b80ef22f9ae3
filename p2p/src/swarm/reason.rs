//! Why a connection was not made, or ended, in words.

use std::error::Error;
use std::io;

use libp2p::core::transport::TransportError;
use libp2p::request_response::OutboundFailure;
use libp2p::swarm::{ConnectionDenied, ConnectionError, DialError, ListenError};
use libp2p::{allow_block_list, connection_limits};

use super::gate::Refused;

/// Why a dial failed.
pub(super) fn of_dial(error: &DialError) -> String {
    match error {
        DialError::LocalPeerId { .. } => "that address is this node itself".to_owned(),
        DialError::NoAddresses => "that address is this node itself, or no address".to_owned(),
        DialError::DialPeerConditionFalse(_) => {
            "already connected to this peer, or dialling it".to_owned()
        }
        DialError::Aborted => "the dial was given up".to_owned(),
        DialError::WrongPeerId { obtained, .. } => {
            format!("another node answers there: {obtained}")
        }
        DialError::Denied { cause } => of_denial(cause),
        DialError::Transport(attempts) => match attempts.first() {
            Some((_, TransportError::Other(error))) => of_io(error),
            Some((_, TransportError::MultiaddrNotSupported(address))) => {
                format!("{address} cannot be dialled: only TCP addresses with a port can")
            }
            None => "no address answered".to_owned(),
        },
    }
}

/// Why an inbound connection was not taken.
pub(super) fn of_listen(error: &ListenError) -> String {
    match error {
        ListenError::Aborted => "given up".to_owned(),
        ListenError::WrongPeerId { obtained, .. } => format!("it says that it is {obtained}"),
        ListenError::LocalPeerId { .. } => "it is this node itself".to_owned(),
        ListenError::Denied { cause } => of_denial(cause),
        ListenError::Transport(TransportError::Other(error)) => of_io(error),
        ListenError::Transport(TransportError::MultiaddrNotSupported(address)) => {
            format!("{address} is not supported")
        }
    }
}

/// Whether a connection was refused for being the second one to its peer.
pub(super) fn is_duplicate(cause: &ConnectionDenied) -> bool {
    cause.downcast_ref::<Refused>() == Some(&Refused::Duplicate)
}

fn of_denial(cause: &ConnectionDenied) -> String {
    if let Some(refused) = cause.downcast_ref::<Refused>() {
        return refused.to_string();
    }
    if cause.downcast_ref::<allow_block_list::Blocked>().is_some() {
        return "the peer is banned; allow it again with setban remove".to_owned();
    }
    match cause.downcast_ref::<connection_limits::Exceeded>() {
        Some(limit) => limit.to_string(),
        None => cause.to_string(),
    }
}

/// Why a connection ended that we did not end.
pub(super) fn of_end(cause: Option<&ConnectionError>) -> String {
    match cause {
        None => "the connection was closed".to_owned(),
        Some(ConnectionError::KeepAliveTimeout) => "the connection was not used".to_owned(),
        Some(ConnectionError::IO(error)) => of_io(error),
    }
}

/// Why a request failed, and whether what came back was malformed.
pub(super) fn of_request(error: &OutboundFailure) -> (String, bool) {
    match error {
        OutboundFailure::DialFailure | OutboundFailure::ConnectionClosed => {
            ("the connection ended".to_owned(), false)
        }
        OutboundFailure::Timeout => ("no answer in time".to_owned(), false),
        OutboundFailure::UnsupportedProtocols => {
            ("the peer does not take requests".to_owned(), false)
        }
        OutboundFailure::Io(error) => match error.kind() {
            io::ErrorKind::InvalidData => (format!("malformed answer: {}", innermost(error)), true),
            io::ErrorKind::UnexpectedEof => ("the peer did not answer".to_owned(), false),
            _ => (of_io(error), false),
        },
    }
}

/// The words of an IO error that mean something to people.
pub(super) fn of_io(error: &io::Error) -> String {
    let error = unwrapped(error);
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused: nothing listens there".to_owned(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            "the connection was cut".to_owned()
        }
        io::ErrorKind::UnexpectedEof => "the peer closed the connection".to_owned(),
        io::ErrorKind::TimedOut => "no answer in time".to_owned(),
        _ => innermost(error).to_string(),
    }
}

/// The IO error inside the IO errors that the library wraps around it.
pub(super) fn unwrapped(error: &io::Error) -> &io::Error {
    match error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<io::Error>())
    {
        Some(inner) => unwrapped(inner),
        None => error,
    }
}

/// The cause of all; the layers above it mostly repeat it.
fn innermost(error: &io::Error) -> &dyn Error {
    let mut cause: &dyn Error = match error.get_ref() {
        Some(inner) => inner,
        None => error,
    };
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_dial_says_so_through_every_layer() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        let wrapped = io::Error::other(io::Error::other(refused));
        assert_eq!(of_io(&wrapped), "connection refused: nothing listens there");
    }

    #[test]
    fn only_undecodable_answers_are_malformed() {
        let malformed = io::Error::new(io::ErrorKind::InvalidData, "unknown tag 9");
        assert_eq!(
            of_request(&OutboundFailure::Io(malformed)),
            ("malformed answer: unknown tag 9".to_owned(), true)
        );
        for error in [
            OutboundFailure::Timeout,
            OutboundFailure::ConnectionClosed,
            OutboundFailure::UnsupportedProtocols,
            OutboundFailure::Io(io::ErrorKind::UnexpectedEof.into()),
            OutboundFailure::Io(io::ErrorKind::ConnectionReset.into()),
        ] {
            assert!(!of_request(&error).1, "{error}");
        }
    }
}
