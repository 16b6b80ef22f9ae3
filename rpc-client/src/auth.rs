//! [`Auth`]: how a client shows who it is.

use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::error::RpcError;

/// How a client shows who it is.
#[derive(Clone, PartialEq, Eq)]
pub enum Auth {
    /// Not at all.
    None,
    /// By the content of the cookie file that the node writes at each start.
    Cookie(PathBuf),
    /// By user and password.
    UserPass(String, String),
}

impl Auth {
    /// The value of the `Authorization` header, `None` without one.
    ///
    /// # Errors
    ///
    /// [`RpcError::Cookie`] when the cookie cannot be read.
    pub(crate) fn header(&self) -> Result<Option<String>, RpcError> {
        let secret = match self {
            Auth::None => return Ok(None),
            Auth::Cookie(path) => read_cookie(path)?,
            Auth::UserPass(user, password) => format!("{user}:{password}"),
        };
        Ok(Some(format!("Basic {}", STANDARD.encode(secret))))
    }
}

/// The first line of a cookie file: `user:password`.
fn read_cookie(path: &Path) -> Result<String, RpcError> {
    let problem = |problem: String| RpcError::Cookie {
        path: path.to_owned(),
        problem,
    };
    let text = std::fs::read_to_string(path).map_err(|error| problem(error.to_string()))?;
    let line = text.lines().next().unwrap_or_default();
    if line.contains(':') {
        Ok(line.to_owned())
    } else {
        Err(problem("its first line is not user:password".to_owned()))
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Auth::None => f.write_str("None"),
            Auth::Cookie(path) => f.debug_tuple("Cookie").field(path).finish(),
            // A password does not belong into a log.
            Auth::UserPass(user, _) => f.debug_tuple("UserPass").field(user).field(&"..").finish(),
        }
    }
}
