//! The words at rest: Argon2id turns a passphrase into a key, XChaCha20-Poly1305 encrypts with it.

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use rand::Rng as _;
use serde::{Deserialize, Serialize};

/// Argon2 memory in KiB: 64 MiB, twice the minimum of OWASP's advice.
const ARGON_MEMORY_KIB: u32 = 64 * 1024;
const ARGON_PASSES: u32 = 3;

/// A secret as it stands in the wallet file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Vault {
    /// In clear, because its owner asked for that. The file has mode 0600.
    Clear {
        /// The secret.
        secret: String,
    },
    /// Encrypted with a passphrase.
    Argon2idXchacha20poly1305 {
        /// Argon2 memory in KiB.
        memory_kib: u32,
        /// Argon2 passes.
        passes: u32,
        /// 16 bytes, base64.
        salt: String,
        /// 24 bytes, base64.
        nonce: String,
        /// The secret with its tag, base64.
        sealed: String,
    },
}

/// Why a vault was not opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VaultError {
    #[error(
        "wrong passphrase (or a damaged wallet file); try again, or restore the wallet from its words"
    )]
    WrongPassphrase,
    #[error("the wallet file's secret is damaged ({0}); restore the wallet from its words")]
    Damaged(String),
}

impl Vault {
    /// Seals `secret`; an empty passphrase keeps it in clear. `context` (the wallet's network and account) cannot be
    /// exchanged without the vault refusing to open.
    pub(crate) fn seal(secret: &str, passphrase: &str, context: &str) -> Vault {
        if passphrase.is_empty() {
            return Vault::Clear {
                secret: secret.to_owned(),
            };
        }
        let mut salt = [0u8; 16];
        let mut nonce = [0u8; 24];
        rand::rng().fill_bytes(&mut salt);
        rand::rng().fill_bytes(&mut nonce);
        let key = derive(passphrase, &salt, ARGON_MEMORY_KIB, ARGON_PASSES)
            .expect("the built-in parameters are valid");
        let sealed = XChaCha20Poly1305::new(&key)
            .encrypt(
                &XNonce::from(nonce),
                Payload {
                    msg: secret.as_bytes(),
                    aad: context.as_bytes(),
                },
            )
            .expect("a few hundred bytes are within the cipher's limit");
        Vault::Argon2idXchacha20poly1305 {
            memory_kib: ARGON_MEMORY_KIB,
            passes: ARGON_PASSES,
            salt: BASE64.encode(salt),
            nonce: BASE64.encode(nonce),
            sealed: BASE64.encode(sealed),
        }
    }

    /// Whether opening needs a passphrase.
    pub(crate) fn is_encrypted(&self) -> bool {
        !matches!(self, Vault::Clear { .. })
    }

    /// Opens the vault.
    pub(crate) fn open(&self, passphrase: &str, context: &str) -> Result<String, VaultError> {
        let (memory_kib, passes, salt, nonce, sealed) = match self {
            Vault::Clear { secret } => return Ok(secret.clone()),
            Vault::Argon2idXchacha20poly1305 {
                memory_kib,
                passes,
                salt,
                nonce,
                sealed,
            } => (*memory_kib, *passes, salt, nonce, sealed),
        };
        // The numbers come from a file: refuse what would eat the machine.
        if memory_kib > 4 * 1024 * 1024 || passes > 64 {
            return Err(VaultError::Damaged(format!(
                "argon2 memory {memory_kib} KiB, passes {passes}"
            )));
        }
        let decode = |name: &str, text: &str| {
            BASE64
                .decode(text)
                .map_err(|error| VaultError::Damaged(format!("{name}: {error}")))
        };
        let salt = decode("salt", salt)?;
        let nonce: [u8; 24] = decode("nonce", nonce)?
            .try_into()
            .map_err(|_| VaultError::Damaged("nonce: not 24 bytes".to_owned()))?;
        let sealed = decode("sealed", sealed)?;
        let key = derive(passphrase, &salt, memory_kib, passes)
            .map_err(|error| VaultError::Damaged(error.to_string()))?;
        let plain = XChaCha20Poly1305::new(&key)
            .decrypt(
                &XNonce::from(nonce),
                Payload {
                    msg: &sealed,
                    aad: context.as_bytes(),
                },
            )
            .map_err(|_| VaultError::WrongPassphrase)?;
        String::from_utf8(plain).map_err(|error| VaultError::Damaged(error.to_string()))
    }
}

fn derive(
    passphrase: &str,
    salt: &[u8],
    memory_kib: u32,
    passes: u32,
) -> Result<Key, argon2::Error> {
    let params = Params::new(memory_kib, passes, 1, Some(32))?;
    let mut key = [0u8; 32];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password_into(
        passphrase.as_bytes(),
        salt,
        &mut key,
    )?;
    Ok(Key::from(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_secret_opens_only_with_its_passphrase_and_context() {
        let vault = Vault::seal("abandon ability", "correct horse", "genesis");
        let text = serde_json::to_string(&vault).expect("json");
        assert!(!text.contains("abandon"));
        let read: Vault = serde_json::from_str(&text).expect("json");
        assert_eq!(
            read.open("correct horse", "genesis").expect("opens"),
            "abandon ability"
        );
        assert!(matches!(
            read.open("wrong", "genesis"),
            Err(VaultError::WrongPassphrase)
        ));
        assert!(matches!(
            read.open("correct horse", "other"),
            Err(VaultError::WrongPassphrase)
        ));
    }

    #[test]
    fn hostile_parameters_are_refused_before_they_are_used() {
        let vault = Vault::Argon2idXchacha20poly1305 {
            memory_kib: u32::MAX,
            passes: 1,
            salt: BASE64.encode([0; 16]),
            nonce: BASE64.encode([0; 24]),
            sealed: BASE64.encode([0; 16]),
        };
        assert!(matches!(vault.open("x", ""), Err(VaultError::Damaged(_))));
    }
}
