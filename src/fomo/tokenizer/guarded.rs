//! Calls of a library that may panic on what a file holds.
//!
//! The last resort: what is known to make it panic is found before, and gets a better message.

use crate::data::beginning;
use std::any::Any;
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

/// Characters of a cause; the library's own quote whole fields of a file.
const LONGEST_CAUSE: usize = 200;

thread_local! {
    /// Whether a panic of this thread will become an error, so that nothing needs to be printed.
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// What `work` returns; its error, or its panic, as the cause for a message. `work` must stay on its thread and leave nothing
/// half done that anyone uses after a failure.
pub fn guarded<T>(work: impl FnOnce() -> Result<T, tokenizers::Error>) -> Result<T, String> {
    static HOOK: Once = Once::new();
    // Once, and for good: exchanging the hook for each call would race with other threads.
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !GUARDED.get() {
                before(info);
            }
        }));
    });
    let outer = GUARDED.replace(true);
    let outcome = panic::catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(outer);
    let outcome = outcome.map_err(|panic| said(panic.as_ref()))?;
    outcome.map_err(|error| beginning(&error.to_string(), LONGEST_CAUSE))
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason given");
    format!("the tokenizers library cannot handle it ({})", beginning(text, LONGEST_CAUSE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_a_short_error() {
        assert_eq!(guarded(|| Ok(5)), Ok(5));
        assert_eq!(guarded::<()>(|| Err("wrong".into())), Err("wrong".to_owned()));
        let long = guarded::<()>(|| panic!("{}", "\0".repeat(1_000_000))).unwrap_err();
        assert!(long.contains("\\0\\0...)") && long.len() < 500, "{long}");
        let inner = guarded(|| {
            assert!(guarded::<()>(|| panic!("inner")).unwrap_err().ends_with("(inner)"));
            assert!(GUARDED.get());
            Ok(())
        });
        assert_eq!((inner, GUARDED.get()), (Ok(()), false));
    }
}
