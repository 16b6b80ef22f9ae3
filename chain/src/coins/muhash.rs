//! MuHash3072: a hash of a set that can be made in any order, in parallel, and changed by adding and removing elements.
//!
//! As Bitcoin Core's: each element's SHA-256 seeds ChaCha20, whose first 384 bytes are a number; the set is the product of
//! its elements' numbers modulo 2^3072 - 1103717, and its hash is the SHA-256 of that product.

use std::fmt;
use std::str::FromStr;

use bitcoin::hashes::{Hash, sha256};
use bitcoin::hex::FromHex;
use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};

use super::num3072::{BYTES, Num3072};

/// The hash of a set of coins, shown in reversed byte order as Bitcoin Core shows it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SetHash(pub [u8; 32]);

impl fmt::Display for SetHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0.iter().rev() {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// A text is not the hash of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a hash of coins has 64 hexadecimal digits; copy it from dumptxoutset or gettxoutsetinfo")]
pub struct NotASetHash;

impl FromStr for SetHash {
    type Err = NotASetHash;

    /// From the form in which it is shown.
    fn from_str(text: &str) -> Result<SetHash, NotASetHash> {
        let mut bytes = <[u8; 32]>::from_hex(text).map_err(|_| NotASetHash)?;
        bytes.reverse();
        Ok(SetHash(bytes))
    }
}

impl fmt::Debug for SetHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A set on its way to its hash.
#[derive(Clone, Debug)]
pub struct MuHash {
    numerator: Num3072,
    denominator: Num3072,
}

impl Default for MuHash {
    fn default() -> MuHash {
        MuHash {
            numerator: Num3072::ONE,
            denominator: Num3072::ONE,
        }
    }
}

impl MuHash {
    /// Adds an element.
    pub fn insert(&mut self, element: &[u8]) {
        self.numerator = self.numerator.mul(&number_of(element));
    }

    /// Takes an element out. The set must hold it for the hash to mean anything.
    pub fn remove(&mut self, element: &[u8]) {
        self.denominator = self.denominator.mul(&number_of(element));
    }

    /// The union with a set that shares no element.
    #[must_use]
    pub fn union(&self, other: &MuHash) -> MuHash {
        MuHash {
            numerator: self.numerator.mul(&other.numerator),
            denominator: self.denominator.mul(&other.denominator),
        }
    }

    /// The hash of the set.
    pub fn finish(&self) -> SetHash {
        let product = if self.denominator.to_bytes() == Num3072::ONE.to_bytes() {
            self.numerator.clone()
        } else {
            self.numerator.mul(&self.denominator.inverse())
        };
        SetHash(sha256::Hash::hash(&product.to_bytes()).to_byte_array())
    }
}

fn number_of(element: &[u8]) -> Num3072 {
    let key = sha256::Hash::hash(element).to_byte_array();
    let mut stream = [0; BYTES];
    ChaCha20::new(&key.into(), &[0; 12].into()).apply_keystream(&mut stream);
    Num3072::from_bytes(&stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(n: u8) -> [u8; 32] {
        let mut element = [0; 32];
        element[0] = n;
        element
    }

    /// The value that Bitcoin Core's `muhash_tests` expect of {0, 1} with 2 removed, in the order they show it.
    #[test]
    fn equals_the_published_value() {
        let mut set = MuHash::default();
        set.insert(&element(0));
        set.insert(&element(1));
        set.remove(&element(2));
        assert_eq!(
            set.finish().to_string(),
            "10d312b100cbd32ada024a6646e40d3482fcff103668d2625f10002a607d5863"
        );
    }

    #[test]
    fn order_does_not_matter_and_removal_undoes_insertion() {
        let (mut a, mut b) = (MuHash::default(), MuHash::default());
        a.insert(b"one");
        b.insert(b"two");
        let mut c = b.clone();
        c.insert(b"three");
        c.insert(b"one");
        c.remove(b"three");
        assert_eq!(a.union(&b).finish(), c.finish());
        assert_ne!(a.finish(), b.finish());
    }
}
