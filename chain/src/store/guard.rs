//! Uses of redb that may meet damaged pages.
//!
//! redb believes what it reads: where a page is not what it wrote it may panic. That is the file's fault, and is told as
//! damage; the program goes on, and nothing is printed of a panic that was expected.

use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::sync::Once;

thread_local! {
    /// Whether this thread is inside [`guard`].
    static GUARDED: Cell<bool> = const { Cell::new(false) };
    /// What the last panic inside it said.
    static MESSAGE: RefCell<Option<String>> = const { RefCell::new(None) };
}

static HOOK: Once = Once::new();

/// What redb said when it gave up.
#[derive(Debug)]
pub(crate) struct Panicked(pub(crate) String);

/// Runs a use of redb, and gives its panic as an error. Only calls of redb belong inside: a mistake of our own must not be
/// taken for damage.
pub(crate) fn guard<T>(part: impl FnOnce() -> T) -> Result<T, Panicked> {
    HOOK.call_once(be_quiet_when_guarded);
    let before = GUARDED.replace(true);
    // After a panic the file is either given up or only read, each page of it for itself.
    let result = catch_unwind(AssertUnwindSafe(part));
    GUARDED.set(before);
    result.map_err(|_| {
        let message = MESSAGE.take();
        Panicked(message.unwrap_or_else(|| "redb panicked".to_owned()))
    })
}

/// A panic inside [`guard`] is kept for the one who called it; all others are told as before.
fn be_quiet_when_guarded() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if !GUARDED.get() {
            return before(info);
        }
        let payload = info.payload();
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let said = text.or_else(|| payload.downcast_ref::<&str>().copied());
        let said = said.unwrap_or("no reason was given");
        let line = said.lines().next().unwrap_or_default();
        let message = match info.location() {
            Some(place) => {
                let file = place.file().rsplit(['/', '\\']).next().unwrap_or_default();
                format!("redb: {line}, {file}:{}", place.line())
            }
            None => format!("redb: {line}"),
        };
        MESSAGE.set(Some(message));
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error_that_says_where() {
        let caught = guard(|| panic!("page {}\nof two lines", 7));
        let Panicked(message) = caught.expect_err("it panics");
        assert!(message.starts_with("redb: page 7, guard.rs:"), "{message}");
        assert_eq!(guard(|| 5).expect("no panic"), 5);
    }
}
