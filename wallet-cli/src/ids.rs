//! Ids of transactions as people type them: whole, or how they begin.

use anyhow::bail;
use bdk_wallet::Wallet;
use bitcoin::Txid;

/// The shortest beginning that is looked for.
const SHORTEST: usize = 4;

/// The beginning of an id, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Prefix(String);

impl Prefix {
    /// Takes 4 to 64 hex digits.
    ///
    /// # Errors
    ///
    /// In words, for clap.
    pub(crate) fn parse(text: &str) -> Result<Prefix, String> {
        let digits = text.chars().all(|c| c.is_ascii_hexdigit());
        if !digits || !(SHORTEST..=64).contains(&text.len()) {
            return Err(format!(
                "a transaction id has 64 hex digits; give it whole, or its first {SHORTEST} or more"
            ));
        }
        Ok(Prefix(text.to_ascii_lowercase()))
    }

    /// The transaction of `wallet` that it means. A whole id need not be one of the wallet's.
    ///
    /// # Errors
    ///
    /// When it fits none of the wallet's, or several.
    pub(crate) fn find(&self, wallet: &Wallet) -> anyhow::Result<Txid> {
        if let Ok(txid) = self.0.parse() {
            return Ok(txid);
        }
        let graph = wallet.tx_graph();
        let mut fitting: Vec<Txid> = graph
            .full_txs()
            .map(|node| node.txid)
            .filter(|txid| txid.to_string().starts_with(&self.0))
            .collect();
        match (fitting.pop(), fitting.len()) {
            (Some(txid), 0) => Ok(txid),
            (None, _) => bail!(
                "no payment of this wallet begins with {}; see `mend wallet history`",
                self.0
            ),
            (Some(_), more) => bail!(
                "{} payments begin with {}; give more of it",
                more + 1,
                self.0
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beginnings_and_whole_ids_are_read() {
        assert_eq!(Prefix::parse("ABcd"), Ok(Prefix("abcd".to_owned())));
        assert!(Prefix::parse(&"1f".repeat(32)).is_ok());
        for text in ["", "abc", "xyzw", &"1".repeat(65), "12 4"] {
            assert!(Prefix::parse(text).is_err(), "{text}");
        }
    }
}
