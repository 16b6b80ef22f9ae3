//! Addresses of the kind that all networks here use.

use std::str::FromStr;

use bitcoin::Address;
use bitcoin::address::ParseError;

use crate::params::ADDRESS_NETWORK;

/// Why a text is no address that can be paid here.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// It is none at all, or mistyped.
    #[error("it is not an address: {0}")]
    Malformed(#[from] ParseError),
    /// It is one of another network.
    #[error("it is an address of another network; addresses here begin with bcrt1")]
    OtherNetwork,
}

/// Reads an address.
///
/// # Errors
///
/// [`AddressError`].
pub fn parse_address(text: &str) -> Result<Address, AddressError> {
    let address = Address::from_str(text)?;
    let here = address.require_network(ADDRESS_NETWORK);
    here.map_err(|_| AddressError::OtherNetwork)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_of_regtest() {
        let good = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";
        let parsed = parse_address(good).map(|address| address.to_string());
        assert_eq!(parsed.expect("valid"), good);
        let main = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4";
        assert!(matches!(
            parse_address(main),
            Err(AddressError::OtherNetwork)
        ));
        for wrong in ["", "bcrt1", &good.replace("080", "081")] {
            let error = parse_address(wrong).expect_err("no address");
            assert!(matches!(error, AddressError::Malformed(_)), "{wrong}");
        }
    }
}
