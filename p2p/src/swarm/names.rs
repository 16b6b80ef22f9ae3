//! The names of what a node speaks: each carries its network.

use chain::NetworkDigest;
use libp2p::StreamProtocol;

/// What a node says of itself in identify; peers that say something else are of another network.
pub(super) fn protocol_version(network: &NetworkDigest) -> String {
    format!("mend/1/{}", hex(&network.0))
}

/// Eight bytes of the digest in hexadecimal: enough to keep networks apart by accident, short enough to be negotiated on every
/// stream. Peers of a network made to collide still fail [`protocol_version`].
pub(super) fn short_name(network: &NetworkDigest) -> String {
    hex(&network.0[..8])
}

/// The name of the protocol of questions and answers.
pub(super) fn exchange_protocol(network: &NetworkDigest) -> StreamProtocol {
    StreamProtocol::try_from_owned(format!("/mend/{}/exchange/1", short_name(network)))
        .expect("protocol names that start with a slash are valid")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_carries_the_network() {
        let network = NetworkDigest([0xab; 32]);
        assert_eq!(
            protocol_version(&network),
            format!("mend/1/{}", "ab".repeat(32))
        );
        assert_eq!(
            exchange_protocol(&network).as_ref(),
            format!("/mend/{}/exchange/1", "ab".repeat(8))
        );
    }
}
