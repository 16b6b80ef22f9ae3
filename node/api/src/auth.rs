//! Who may call: the cookie, `--rpcuser`, `--rpcauth` and `--rpcwhitelist`.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};

/// A user name that has shown its password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User(String);

/// Who may call what.
#[derive(Debug, Default)]
pub struct Users {
    entries: Vec<Entry>,
    /// What a user may call.
    whitelist: BTreeMap<String, BTreeSet<String>>,
    /// Whether a user without an entry may call nothing; if it is not said, as soon as anybody has one.
    whitelist_binds_all: Option<bool>,
}

/// A user with the salted hash of its password.
#[derive(Debug)]
struct Entry {
    name: String,
    salt: Vec<u8>,
    hash: [u8; 32],
}

/// Why an option about users is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsersError {
    /// `--rpcauth` has another form.
    #[error(
        "--rpcauth {given} is not USER:SALT$HASH with a hash of 64 hex digits; make one with Bitcoin Core's rpcauth.py"
    )]
    Rpcauth {
        /// As given.
        given: String,
    },
    /// `--rpcwhitelist` has another form.
    #[error("--rpcwhitelist {given} is not USER:CALL,CALL,...")]
    Whitelist {
        /// As given.
        given: String,
    },
}

impl Users {
    /// Lets `name` in with `password`. `salt` is anything that an outsider does not know.
    pub fn add_password(&mut self, name: &str, password: &str, salt: &[u8]) {
        self.entries.push(Entry {
            name: name.to_owned(),
            salt: salt.to_vec(),
            hash: keyed_hash(salt, password.as_bytes()),
        });
    }

    /// Lets a user in as an `rpcauth=USER:SALT$HASH` line of Bitcoin Core says.
    ///
    /// # Errors
    ///
    /// [`UsersError::Rpcauth`].
    pub fn add_rpcauth(&mut self, line: &str) -> Result<(), UsersError> {
        let error = || UsersError::Rpcauth {
            given: line.to_owned(),
        };
        let (name, rest) = line.split_once(':').ok_or_else(error)?;
        let (salt, hash) = rest.split_once('$').ok_or_else(error)?;
        let hash = <[u8; 32] as bitcoin::hex::FromHex>::from_hex(hash).map_err(|_| error())?;
        self.entries.push(Entry {
            name: name.to_owned(),
            salt: salt.as_bytes().to_vec(),
            hash,
        });
        Ok(())
    }

    /// Says whether users without a whitelist may call nothing, as Bitcoin Core's `-rpcwhitelistdefault`.
    pub fn bind_all(&mut self, binds_all: bool) {
        self.whitelist_binds_all = Some(binds_all);
    }

    /// Lets a user call only what a `USER:CALL,CALL` line names; of several lines for one user, what all of them name. Users without
    /// one may then call nothing, unless [`Users::bind_all`] says something else. As in Bitcoin Core.
    ///
    /// # Errors
    ///
    /// [`UsersError::Whitelist`].
    pub fn add_whitelist(&mut self, line: &str) -> Result<(), UsersError> {
        let (name, calls) = line.split_once(':').ok_or_else(|| UsersError::Whitelist {
            given: line.to_owned(),
        })?;
        let calls: BTreeSet<String> = calls
            .split(',')
            .map(|call| call.trim().to_owned())
            .filter(|call| !call.is_empty())
            .collect();
        self.whitelist
            .entry(name.to_owned())
            .and_modify(|known| known.retain(|call| calls.contains(call)))
            .or_insert(calls);
        Ok(())
    }

    /// The user that an `Authorization` header proves, `None` if it proves none. Takes the same time whatever is wrong.
    pub fn check(&self, authorization: &str) -> Option<User> {
        let encoded = authorization.strip_prefix("Basic ")?;
        let decoded = STANDARD.decode(encoded.trim()).ok()?;
        let text = String::from_utf8(decoded).ok()?;
        let (name, password) = text.split_once(':')?;
        let mut known = Choice::from(0);
        for entry in &self.entries {
            let same_name = entry.name.as_bytes().ct_eq(name.as_bytes());
            let same_hash = keyed_hash(&entry.salt, password.as_bytes()).ct_eq(&entry.hash);
            known |= same_name & same_hash;
        }
        bool::from(known).then(|| User(name.to_owned()))
    }

    /// Whether `user` may call `method`.
    pub fn may_call(&self, user: &User, method: &str) -> bool {
        let binds_all = self
            .whitelist_binds_all
            .unwrap_or(!self.whitelist.is_empty());
        match self.whitelist.get(&user.0) {
            Some(calls) => calls.contains(method),
            None => !binds_all,
        }
    }
}

fn keyed_hash(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(message);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(credentials: &str) -> String {
        format!("Basic {}", STANDARD.encode(credentials))
    }

    #[test]
    fn only_the_right_password_lets_in() {
        let mut users = Users::default();
        users.add_password("alice", "secret", b"salt");
        assert_eq!(
            users.check(&header("alice:secret")),
            Some(User("alice".into()))
        );
        for wrong in [
            "alice:Secret",
            "alice:",
            "alice",
            "bob:secret",
            ":secret",
            "",
        ] {
            assert_eq!(users.check(&header(wrong)), None, "{wrong}");
        }
        assert_eq!(users.check("Basic !!!"), None);
        assert_eq!(users.check("Bearer abc"), None);
    }

    #[test]
    fn rpcauth_lines_of_bitcoin_core_work() {
        // From Bitcoin Core's test/functional/rpc_users.py.
        let mut users = Users::default();
        users
            .add_rpcauth("rt:93648e835a54c573682c2eb19f882535$7681e9c5b74bdd85e78166031d2058e1069b3ed7ed967c93fc63abba06f31144")
            .expect("valid");
        let password = "cA773lm788buwYe4g4WT+05pKyNruVKjQ25x3n0DQcM=";
        assert!(users.check(&header(&format!("rt:{password}"))).is_some());
        assert!(users.check(&header("rt:wrong")).is_none());
        for wrong in ["rt", "rt:salt", "rt:salt$12", "rt:salt$zz"] {
            assert!(users.add_rpcauth(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_whitelist_binds_its_user_and_those_without_one() {
        let mut users = Users::default();
        users
            .add_whitelist("bob:getblock, getblockcount")
            .expect("valid");
        let (alice, bob) = (User("alice".into()), User("bob".into()));
        assert!(!users.may_call(&alice, "stop"));
        assert!(users.may_call(&bob, "getblockcount"));
        assert!(!users.may_call(&bob, "stop"));
        assert!(users.add_whitelist("bob").is_err());
        users
            .add_whitelist("bob:getblockcount,uptime")
            .expect("valid");
        assert!(users.may_call(&bob, "getblockcount"), "both lines name it");
        assert!(!users.may_call(&bob, "getblock") && !users.may_call(&bob, "uptime"));
        users.bind_all(false);
        assert!(users.may_call(&alice, "stop") && !users.may_call(&bob, "stop"));
        let mut nobody = Users::default();
        assert!(
            nobody.may_call(&alice, "stop"),
            "without any whitelist all may"
        );
        nobody.bind_all(true);
        assert!(!nobody.may_call(&alice, "stop"));
    }
}
