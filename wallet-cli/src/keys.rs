//! From words to descriptors: BIP 39, then BIP 86 (taproot) or BIP 84 (segwit), coin type 1.

use bdk_wallet::KeychainKind;
use bdk_wallet::miniscript::descriptor::KeyMap;
use bdk_wallet::template::{Bip84, Bip86, DescriptorTemplate};
use bip39::Mnemonic;
use bitcoin::Network;
use bitcoin::bip32::Xpriv;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// Mend's networks share regtest's address prefix and coin type; the genesis hash tells them apart.
pub(crate) const NETWORK: Network = Network::Regtest;

/// Which addresses an account has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum AccountKind {
    /// BIP 86: `bcrt1p...`.
    #[default]
    Taproot,
    /// BIP 84: `bcrt1q...`.
    Segwit,
}

/// Descriptors of receiving and change addresses, with their private keys.
pub(crate) struct AccountKeys {
    /// Public descriptors, receiving and change.
    pub(crate) descriptors: [String; 2],
    /// Private keys of both.
    pub(crate) key_maps: [KeyMap; 2],
}

/// Why words give no keys.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyError {
    #[error("these are not BIP 39 words: {0}; check their spelling and order")]
    Words(#[from] bip39::Error),
    #[error("no keys come of these words: {0}")]
    Derivation(String),
}

/// New words; `count` is 12 or 24.
pub(crate) fn new_words(count: usize) -> Result<Mnemonic, KeyError> {
    Ok(Mnemonic::generate(count)?)
}

/// Reads words, whatever the white space and case.
pub(crate) fn parse_words(text: &str) -> Result<Mnemonic, KeyError> {
    let joined = text
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .to_lowercase();
    Ok(Mnemonic::parse(joined)?)
}

/// The keys of the first account of `words`. `extra` is BIP 39's optional passphrase.
pub(crate) fn account(
    words: &Mnemonic,
    extra: &str,
    kind: AccountKind,
) -> Result<AccountKeys, KeyError> {
    let failed = |error: &dyn std::fmt::Display| KeyError::Derivation(error.to_string());
    let seed = words.to_seed(extra);
    let master = Xpriv::new_master(NETWORK, &seed).map_err(|e| failed(&e))?;
    let build = |keychain| match kind {
        AccountKind::Taproot => Bip86(master, keychain).build(NETWORK.into()),
        AccountKind::Segwit => Bip84(master, keychain).build(NETWORK.into()),
    };
    let (receive, receive_keys, _) = build(KeychainKind::External).map_err(|e| failed(&e))?;
    let (change, change_keys, _) = build(KeychainKind::Internal).map_err(|e| failed(&e))?;
    Ok(AccountKeys {
        descriptors: [receive.to_string(), change.to_string()],
        key_maps: [receive_keys, change_keys],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: &str = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about";

    #[test]
    fn descriptors_are_public_and_name_the_standard_paths() {
        let words = parse_words(WORDS).expect("words");
        let taproot = account(&words, "", AccountKind::Taproot).expect("keys");
        assert!(taproot.descriptors[0].starts_with("tr(["));
        assert!(taproot.descriptors[0].contains("/86'/1'/0']tpub"));
        let segwit = account(&words, "", AccountKind::Segwit).expect("keys");
        assert!(segwit.descriptors[0].contains("/84'/1'/0']tpub"));
        assert!(!format!("{:?}", taproot.descriptors).contains("tprv"));
    }

    #[test]
    fn another_bip39_passphrase_is_another_wallet() {
        let words = parse_words(&WORDS.to_uppercase()).expect("words in any case");
        let plain = account(&words, "", AccountKind::Taproot).expect("keys");
        let extra = account(&words, "x", AccountKind::Taproot).expect("keys");
        assert_ne!(plain.descriptors, extra.descriptors);
    }

    #[test]
    fn a_wrong_word_is_named() {
        let error = parse_words(&WORDS.replace("about", "abuot")).expect_err("unknown word");
        assert!(error.to_string().contains("check their spelling"));
    }
}
