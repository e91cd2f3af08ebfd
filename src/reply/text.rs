//! Makes output readable in a mail. In: any text. Out: the same text, with invisible characters made visible.

use crate::protocol::{is_unsafe, without_marks};

/// `text` with LF line ends and tabs kept and every other control, bidi or zero-width character shown: C0 as `^X`, as
/// cat(1) does with `-v`, others as `<U+202E>`. A CR before an LF is dropped.
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '\n' | '\t' => shown.push(c),
            '\r' if characters.peek() == Some(&'\n') => {}
            '\0'..='\u{1f}' | '\u{7f}' => {
                shown.push('^');
                shown.push(char::from(u8::try_from(u32::from(c)).unwrap_or(b'?') ^ 0x40));
            }
            c if is_unsafe(c) => shown.push_str(&format!("<U+{:04X}>", u32::from(c))),
            c => shown.push(c),
        }
    }
    shown
}

/// How wide quoted text is, in columns, so that no mail program wraps it into something that looks like the gateway's
/// own.
const QUOTED: usize = 68;

/// Text of others, each line marked, and none wider than 70 columns.
pub fn quoted(text: &str) -> String {
    let mut marked = String::new();
    for line in visible(text).lines() {
        marked.push('|');
        let mut width = 0;
        for c in line.chars() {
            width += columns(c);
            if width > QUOTED {
                marked.push_str("\n|");
                width = columns(c);
            }
            if width == columns(c) {
                marked.push(' ');
            }
            marked.push(c);
        }
        marked.push('\n');
    }
    marked
}

/// The most columns that a character takes.
fn columns(c: char) -> usize {
    match c {
        '\t' => 8,
        c if c.is_ascii() => 1,
        _ => 2,
    }
}

/// The first `most` characters of `text`, with an ellipsis where something is missing.
pub(super) fn shorten(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
    }
}

/// The command and its arguments as a user writes them; `arguments` are `name=value`, one on a line.
pub(super) fn title(command: &str, arguments: &str) -> String {
    let mut title = command.to_owned();
    for argument in without_marks(arguments).lines() {
        title.push_str(&format!(" {}", visible(argument)));
    }
    title
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen_is_shown() {
        assert_eq!(visible("a\tb\r\nc\rd"), "a\tb\nc^Md");
        assert_eq!(visible("\u{1b}[31m\u{7f}\0"), "^[[31m^?^@");
        assert_eq!(visible("a\u{202e}b\u{9b}"), "a<U+202E>b<U+009B>");
    }

    #[test]
    fn quoted_text_is_marked_on_each_line_and_never_wide() {
        let long = "x".repeat(2 * QUOTED + 1);
        assert!(quoted(&format!("{long}\n\nmailsudo-notice: 1")).lines().all(|line| line.starts_with('|')));
        assert_eq!(quoted("a b\n\nc"), "| a b\n|\n| c\n");
        for (text, lines) in
            [(long.as_str(), 3), (&"\t".repeat(17), 3), (&"\u{6f22}".repeat(35), 2), (&"x".repeat(QUOTED), 1)]
        {
            assert_eq!(quoted(text).lines().count(), lines, "{text}");
            assert_eq!(quoted(text).replace(['|', ' ', '\n'], ""), text);
        }
    }

    #[test]
    fn shortening_keeps_whole_characters() {
        assert_eq!(shorten("äöü", 3), "äöü");
        assert_eq!(shorten("äöüx", 3), "äöü…");
    }
}
