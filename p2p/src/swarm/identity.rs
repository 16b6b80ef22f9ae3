//! The node's identity key: an Ed25519 key in libp2p's protobuf encoding, in a file that only its owner can read.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use libp2p::identity::Keypair;

use super::SwarmError;

/// The key in `file`, which is made if it is not there; a throw-away key without a file.
///
/// # Errors
///
/// When the file cannot be read, written, or holds something else.
pub(super) fn load_or_create(file: Option<&Path>) -> Result<Keypair, SwarmError> {
    let Some(file) = file else {
        return Ok(Keypair::generate_ed25519());
    };
    match fs::read(file) {
        Ok(bytes) => decode(&bytes).map_err(|problem| {
            SwarmError::new(format!(
                "the identity key in {} is damaged ({problem}): restore the file, or remove it to get a new identity",
                file.display()
            ))
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key = Keypair::generate_ed25519();
            save(file, &key).map_err(|error| unusable("write", file, &error))?;
            Ok(key)
        }
        Err(error) => Err(unusable("read", file, &error)),
    }
}

fn unusable(what: &str, file: &Path, error: &io::Error) -> SwarmError {
    SwarmError::new(format!(
        "cannot {what} the identity key {}: {error}; check the folder's owner and permissions",
        file.display()
    ))
}

fn decode(bytes: &[u8]) -> Result<Keypair, String> {
    let key = Keypair::from_protobuf_encoding(bytes).map_err(|error| error.to_string())?;
    key.try_into_ed25519()
        .map(Keypair::from)
        .map_err(|_| "not an Ed25519 key".to_owned())
}

/// Writes the key so that the file is either absent or whole, also after a crash.
fn save(file: &Path, key: &Keypair) -> io::Result<()> {
    let bytes = key.to_protobuf_encoding().map_err(io::Error::other)?;
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    fs::create_dir_all(folder)?;
    let unfinished = unfinished_name(file);
    // Left by a crash, and perhaps with other permissions.
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut out = create_private(&unfinished)?;
    out.write_all(&bytes)?;
    out.sync_all()?;
    fs::rename(&unfinished, file)?;
    sync_folder(folder)
}

fn unfinished_name(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".new");
    PathBuf::from(name)
}

fn create_private(file: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options.open(file)
}

/// Makes the rename durable where folders can be synced.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(folder)?.sync_all()
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("deeper").join("identity");
        let made = load_or_create(Some(&file)).unwrap();
        let kept = load_or_create(Some(&file)).unwrap();
        assert_eq!(made.public(), kept.public());
        assert_eq!(
            fs::read_dir(file.parent().unwrap()).unwrap().count(),
            1,
            "nothing left over"
        );
    }

    #[cfg(unix)]
    #[test]
    fn only_its_owner_can_read_the_key() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("identity");
        fs::write(unfinished_name(&file), "left by a crash").unwrap();
        load_or_create(Some(&file)).unwrap();
        assert_eq!(
            fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }

    #[test]
    fn a_damaged_key_is_told_with_a_remedy_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("identity");
        for damaged in [&b""[..], b"not a key", &[0; 68]] {
            fs::write(&file, damaged).unwrap();
            let error = load_or_create(Some(&file)).unwrap_err().to_string();
            assert!(error.contains("identity is damaged"), "{error}");
            assert!(error.contains("remove it to get a new identity"), "{error}");
            assert_eq!(fs::read(&file).unwrap(), damaged);
        }
    }
}
