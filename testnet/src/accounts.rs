//! Funded accounts of a testnet: known to everybody, like those of other local chains. Never use them for real money.

use bip39::Mnemonic;
use bitcoin::bip32::{ChildNumber, DerivationPath, Xpriv};
use bitcoin::key::TapTweak;
use bitcoin::secp256k1::{All, Keypair, Secp256k1};
use bitcoin::{Address, CompressedPublicKey, Network, ScriptBuf};

/// The words that many local chains start from, so that they are recognised as worthless.
pub const WORDS: &str = "test test test test test test test test test test test junk";

/// Coin type of all test networks (SLIP 44).
const COIN_TYPE: u32 = 1;

/// Why words are not taken.
#[derive(Debug, thiserror::Error)]
#[error("the words are not a BIP 39 phrase: {0}; give 12 or 24 words of the English list")]
pub struct WordsError(#[from] bip39::Error);

/// Accounts made from one phrase.
#[derive(Clone)]
pub struct Accounts {
    secp: Secp256k1<All>,
    root: Xpriv,
    words: String,
    list: Vec<Account>,
}

/// One account: a single P2TR key (BIP 86), account 0, receiving chain.
#[derive(Clone)]
pub struct Account {
    /// Its number, from 0.
    pub index: u32,
    /// `m/86'/1'/0'/0/index`.
    pub path: String,
    /// Where it is paid: `bcrt1p...`.
    pub address: Address,
    /// For miners that know no P2TR: the P2WPKH address (BIP 84) of the same number, `bcrt1q...`.
    pub segwit_address: Address,
    /// The key with its BIP 341 tweak: signs for `address`.
    pub(crate) keypair: Keypair,
}

impl Accounts {
    /// The first `count` accounts of `words`.
    ///
    /// # Errors
    ///
    /// [`WordsError`] when they are not a BIP 39 phrase.
    pub fn from_words(words: &str, count: u32) -> Result<Accounts, WordsError> {
        let seed = Mnemonic::parse_normalized(words)?.to_seed_normalized("");
        let secp = Secp256k1::new();
        let root = Xpriv::new_master(Network::Regtest, &seed)
            .expect("64 bytes of seed make a master key, but for odds of 2^-127");
        let list = (0..count)
            .map(|index| account(&secp, &root, index))
            .collect();
        Ok(Accounts {
            secp,
            root,
            words: words.to_owned(),
            list,
        })
    }

    /// The phrase.
    pub fn words(&self) -> &str {
        &self.words
    }

    /// All accounts.
    pub fn list(&self) -> &[Account] {
        &self.list
    }

    /// One account.
    pub fn get(&self, index: u32) -> Option<&Account> {
        self.list.get(index as usize)
    }

    /// Where the miner of a node is paid: apart from the accounts, so that their balances show payments only
    /// (`m/86'/1'/1'/0/node`).
    pub fn payout(&self, node: u32) -> Address {
        let key = derive(&self.secp, &self.root, &path(86, 1, node)).to_keypair(&self.secp);
        Address::p2tr(
            &self.secp,
            key.x_only_public_key().0,
            None,
            Network::Regtest,
        )
    }

    pub(crate) fn secp(&self) -> &Secp256k1<All> {
        &self.secp
    }
}

impl Account {
    /// What its coins are locked to.
    pub fn script(&self) -> ScriptBuf {
        self.address.script_pubkey()
    }
}

fn account(secp: &Secp256k1<All>, root: &Xpriv, index: u32) -> Account {
    let path = path(86, 0, index);
    let keypair = derive(secp, root, &path).to_keypair(secp);
    let (internal_key, _) = keypair.x_only_public_key();
    let segwit_key = derive(secp, root, &self::path(84, 0, index)).to_keypair(secp);
    Account {
        index,
        path: format!("m/{path}"),
        address: Address::p2tr(secp, internal_key, None, Network::Regtest),
        segwit_address: Address::p2wpkh(
            &CompressedPublicKey(segwit_key.public_key()),
            Network::Regtest,
        ),
        keypair: keypair.tap_tweak(secp, None).to_keypair(),
    }
}

fn derive(secp: &Secp256k1<All>, root: &Xpriv, path: &DerivationPath) -> Xpriv {
    root.derive_priv(secp, path)
        .expect("derivation fails with odds of 2^-127 only")
}

/// `purpose'/1'/account'/0/index` (BIP 44).
fn path(purpose: u32, account: u32, index: u32) -> DerivationPath {
    DerivationPath::from(vec![
        ChildNumber::Hardened { index: purpose },
        ChildNumber::Hardened { index: COIN_TYPE },
        ChildNumber::Hardened { index: account },
        ChildNumber::Normal { index: 0 },
        ChildNumber::Normal { index },
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_the_same_on_every_machine() {
        let first = Accounts::from_words(WORDS, 3).unwrap();
        let again = Accounts::from_words(WORDS, 3).unwrap();
        for (a, b) in first.list().iter().zip(again.list()) {
            assert_eq!(a.address, b.address);
        }
        assert_eq!(first.list()[2].path, "m/86'/1'/0'/0/2");
        assert!(first.list()[0].address.to_string().starts_with("bcrt1p"));
        assert!(
            first.list()[0]
                .segwit_address
                .to_string()
                .starts_with("bcrt1q")
        );
    }

    #[test]
    fn derivation_agrees_with_the_bip_84_and_86_example_phrase() {
        // The published examples are on coin type 0; only the purpose differs from ours in kind.
        let words = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about";
        let seed = Mnemonic::parse_normalized(words)
            .unwrap()
            .to_seed_normalized("");
        let secp = Secp256k1::new();
        let root = Xpriv::new_master(Network::Bitcoin, &seed).unwrap();
        let main = |purpose: &str| {
            let path: DerivationPath = format!("{purpose}'/0'/0'/0/0").parse().unwrap();
            derive(&secp, &root, &path).to_keypair(&secp)
        };
        let (key, _) = main("86").x_only_public_key();
        assert_eq!(
            Address::p2tr(&secp, key, None, Network::Bitcoin).to_string(),
            "bc1p5cyxnuxmeuwuvkwfem96lqzszd02n6xdcjrs20cac6yqjjwudpxqkedrcr"
        );
        let key = CompressedPublicKey(main("84").public_key());
        assert_eq!(
            Address::p2wpkh(&key, Network::Bitcoin).to_string(),
            "bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu"
        );
    }

    #[test]
    fn the_signing_key_is_the_key_in_the_address() {
        let accounts = Accounts::from_words(WORDS, 1).unwrap();
        let account = &accounts.list()[0];
        let (key, _) = account.keypair.x_only_public_key();
        assert_eq!(account.script().as_bytes()[2..], key.serialize());
    }

    #[test]
    fn wrong_words_are_refused_with_a_remedy() {
        let error = Accounts::from_words("test junk", 1).err().unwrap();
        assert!(error.to_string().contains("give 12 or 24 words"));
    }
}
