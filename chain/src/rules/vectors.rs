//! Published test vectors, which lie beside the repository.

#![expect(clippy::print_stderr, reason = "a skipped test says so")]

use std::path::PathBuf;

/// The text of a vector file; `None`, and a plain line in the test's output, where the folder is absent.
pub(crate) fn read(path: &str) -> Option<String> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors");
    if !root.is_dir() {
        eprintln!(
            "skipped: the published vectors are not at {}",
            root.display()
        );
        return None;
    }
    let file = root.join(path);
    Some(std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display())))
}
