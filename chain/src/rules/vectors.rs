//! Published test vectors, in `tests/vectors` of the repository.

use std::path::PathBuf;

/// The text of a vector file.
pub(crate) fn read(path: &str) -> String {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors");
    let file = root.join(path);
    std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
}
