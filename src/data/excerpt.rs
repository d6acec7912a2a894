//! Text of a file as a message shows it: short, and without anything that a terminal would obey.

/// Characters of a name, a label or another text of a file that a message shows.
const SHOWN: usize = 40;

/// The beginning of a name or the like, with control characters escaped.
pub(crate) fn excerpt(text: &str) -> String {
    beginning(text, SHOWN)
}

/// The first `most` characters of `text` with control characters escaped; `...` says that there are more.
pub(crate) fn beginning(text: &str, most: usize) -> String {
    let end = text.char_indices().nth(most).map(|(end, _)| end);
    // Quotation marks do no harm.
    let shown = text[..end.unwrap_or(text.len())].escape_debug().to_string().replace("\\\"", "\"").replace("\\'", "'");
    if end.is_some() { shown + "..." } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_short_and_plain_stays_as_it_is() {
        assert_eq!(excerpt("naïve, \"one's\" हिन्दी"), "naïve, \"one's\" हिन्दी");
        assert_eq!(excerpt(&"x".repeat(40)), "x".repeat(40));
    }

    #[test]
    fn what_is_long_ends_in_dots_and_what_a_terminal_would_obey_is_escaped() {
        assert_eq!(excerpt(&"é".repeat(20_000_000)), "é".repeat(40) + "...");
        assert_eq!(excerpt("a\0b\u{1b}[31m\n\u{202e}"), "a\\0b\\u{1b}[31m\\n\\u{202e}");
    }
}
