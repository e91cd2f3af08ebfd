//! What mail programs may read in more than one way, or show besides a message's texts. In: a message. Out: a
//! description of each such thing. It is used to check a reply; a request needs no such check, because its mac decides.
//!
//! MUST: what is not described here shows the same under every reading that the standards allow: a header whose lines
//! are fields (RFC 5322 section 2.2), a type with each parameter once (RFC 2045 section 5.1), delimiters that are no
//! other line's beginning, nothing outside the parts of a multipart, and bodies that are encoded as their header says.

use super::header::{Field, lines};
use super::mime::{self, Delimiter, Entity, Kind};
use super::text;
use crate::limits::MIME_DEPTH;

/// Describes all that is unclear in the message `raw`.
pub(super) fn describe(raw: &[u8], message: &Entity<'_>) -> Vec<String> {
    let mut found = Vec::new();
    let bare_cr = raw.windows(2).any(|pair| matches!(pair, [b'\r', next] if *next != b'\n'));
    if bare_cr || raw.contains(&0) {
        found.push("a carriage return or NUL within a line, which some mail programs take for its end".to_owned());
    }
    entity(message, 0, &mut found);
    found
}

fn entity(entity_: &Entity<'_>, depth: usize, found: &mut Vec<String>) {
    found.extend(lines_that_are_no_field(entity_.header(), depth == 0));
    for field in entity_.fields() {
        if depth > 0 && SHOWN_FIELDS.iter().any(|name| field.is(name)) {
            found.push(format!("a part with a field of its own: {}", field.whole()));
        }
        found.extend(about_field(&field));
    }
    // A part with a field twice is described as such where the parts are listed.
    let Some(content) = entity_.content().filter(|_| depth < MIME_DEPTH) else {
        return;
    };
    match content.kind {
        Kind::Multipart { boundary, .. } => {
            found.extend(outside_the_parts(entity_.body(), &boundary));
            if !matches!(content.encoding, mime::Encoding::Identity) {
                found.push("a multipart that says that it is encoded, which no multipart may be".to_owned());
            }
            for part in mime::parts(entity_.body(), &boundary) {
                entity(&Entity::new(part), depth + 1, found);
            }
        }
        Kind::Unstated | Kind::Plain | Kind::Html => {
            if !text::is_encoded_as(content.encoding, entity_.body()) {
                found.push("a text that is not encoded as its header says".to_owned());
            }
            if !content.charset.as_deref().is_none_or(text::is_known_charset) {
                found.push("a text in an unknown charset".to_owned());
            }
        }
        Kind::Message | Kind::Other => {}
    }
}

/// Fields of a whole message that some mail programs take from a part (RFC 9788).
const SHOWN_FIELDS: [&str; 7] = ["Subject", "From", "Sender", "Reply-To", "To", "Cc", "Date"];

/// Lines of a header that are neither a field nor its continuation: some mail programs end the header there, and show
/// the rest. A mailbox in mbox format has one such line, the first.
fn lines_that_are_no_field(header: &[u8], may_be_in_mbox: bool) -> Option<String> {
    let no_field = lines(header).enumerate().find(|(at, line)| match line.first() {
        Some(b' ' | b'\t') => *at == 0 || line.trim_ascii().is_empty(),
        _ if *at == 0 && may_be_in_mbox && line.starts_with(b"From ") => false,
        _ => {
            let name = line.iter().position(|byte| *byte == b':').and_then(|colon| line.get(..colon));
            !name.is_some_and(|name| !name.is_empty() && name.iter().all(u8::is_ascii_graphic))
        }
    });
    no_field.map(|(_, line)| format!("a line in a header that is no field: {}", String::from_utf8_lossy(line).trim()))
}

/// What a field about content shows by itself, or leaves open.
fn about_field(field: &Field<'_>) -> Option<String> {
    if field.is("Content-Description") {
        return Some(format!("a description of a part: {}", field.text()));
    }
    let is_type = field.is("Content-Type");
    if !is_type && !field.is("Content-Disposition") {
        let is_encoding = field.is("Content-Transfer-Encoding");
        let is_known = !is_encoding || ENCODINGS.iter().any(|name| field.first_word().eq_ignore_ascii_case(name));
        return (!is_known).then(|| format!("a part with an unknown transfer encoding: {}", field.text()));
    }
    let text = field.text();
    let Some(parameters) = parameters(&text, is_type) else {
        return Some(format!("a field that mail programs may read in several ways: {}", field.whole()));
    };
    let name = if is_type { "name" } else { "filename" };
    let (_, value) = parameters.iter().find(|(key, _)| key == name)?;
    Some(format!("a part with a file name: {value}"))
}

/// RFC 2045 section 6.1.
const ENCODINGS: [&str; 5] = ["7bit", "8bit", "binary", "quoted-printable", "base64"];

/// The longest boundary (RFC 2046 section 5.1.1), in characters.
const BOUNDARY: usize = 70;

/// The parameters of a Content-Type or Content-Disposition, if its form leaves nothing open: no comments, no parameter
/// twice, none in parts or with a charset (RFC 2231), nothing but ASCII.
fn parameters(text: &str, is_type: bool) -> Option<Vec<(String, String)>> {
    let mut rest = text.trim_ascii();
    let mut found: Vec<(String, String)> = Vec::new();
    token(&mut rest)?;
    if is_type {
        rest = rest.strip_prefix('/')?;
        token(&mut rest)?;
    }
    loop {
        rest = rest.trim_ascii_start();
        if rest.is_empty() {
            return Some(found);
        }
        rest = rest.strip_prefix(';')?.trim_ascii_start();
        if rest.is_empty() || rest.starts_with(';') {
            continue;
        }
        let key = token(&mut rest)?.to_ascii_lowercase();
        rest = rest.trim_ascii_start().strip_prefix('=')?.trim_ascii_start();
        let value = if rest.starts_with('"') { quoted(&mut rest)? } else { token(&mut rest)?.to_owned() };
        let is_bad_boundary = key == "boundary" && (value.len() > BOUNDARY || value.ends_with(' '));
        if key.contains('*') || is_bad_boundary || found.iter().any(|(other, _)| *other == key) {
            return None;
        }
        found.push((key, value));
    }
}

/// A token (RFC 2045 section 5.1), off the start of `rest`.
fn token<'t>(rest: &mut &'t str) -> Option<&'t str> {
    let is_end = |c: char| !c.is_ascii_graphic() || "()<>@,;:\\\"/[]?=".contains(c);
    let (token, after) = rest.split_at_checked(rest.find(is_end).unwrap_or(rest.len()))?;
    *rest = after;
    (!token.is_empty()).then_some(token)
}

/// A quoted string without quoted characters, which mail programs read differently, off the start of `rest`.
fn quoted(rest: &mut &str) -> Option<String> {
    let (value, after) = rest.strip_prefix('"')?.split_once('"')?;
    *rest = after;
    let is_plain = value.chars().all(|c| (c.is_ascii_graphic() || c == ' ') && c != '\\');
    is_plain.then(|| value.to_owned())
}

/// What stands outside the parts of a multipart, and lines that some mail programs take for a delimiter.
fn outside_the_parts(body: &[u8], boundary: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut outside = Vec::new();
    let mut is_within = false;
    let mut has_ended = false;
    let mut is_similar = false;
    for line in lines(body) {
        match Delimiter::of(line, boundary) {
            Delimiter::Next if !has_ended => is_within = true,
            Delimiter::Closing if !has_ended => (is_within, has_ended) = (false, true),
            Delimiter::No if is_within => {}
            Delimiter::No => outside.extend_from_slice(line),
            _ => is_similar = true,
        }
    }
    let outside = String::from_utf8_lossy(&outside).trim().to_owned();
    if !outside.is_empty() {
        found.push(format!("text outside the parts: {outside}"));
    }
    if is_similar {
        found.push("a line that some mail programs take for a boundary".to_owned());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_that_leaves_nothing_open_is_read() {
        for text in [
            "text/plain",
            "Text/Plain; charset=utf-8",
            "text/plain;\r\n\tcharset=\r\n \"utf-8\"; format=flowed;",
            "multipart/mixed; boundary=\"a b=_'()+,./:?\"",
        ] {
            assert!(parameters(text, true).is_some(), "{text}");
        }
        for text in [
            "",
            "text",
            "text/",
            "text/plain text/html",
            "text/plain, text/html",
            "text/html(plain)",
            "(text/plain) text/html",
            "text/plain; charset",
            "text/plain; charset=utf-8; charset=utf-16",
            "text/plain; charset*=utf-8''x",
            "multipart/mixed; boundary*0=a; boundary*1=b",
            "multipart/mixed; boundary=\"a\\\"b\"",
            "multipart/mixed; boundary=\"a",
            "multipart/mixed; boundary=\"a \"",
            "text/plain; charset=utf-8 html",
        ] {
            assert!(parameters(text, true).is_none(), "{text}");
        }
    }

    #[test]
    fn a_line_that_ends_a_header_for_some_is_found() {
        for header in ["A: b\n", "From x Mon\nA: b\n c\n\td\n", ""] {
            assert_eq!(lines_that_are_no_field(header.as_bytes(), true), None, "{header}");
        }
        for header in
            ["A: b\nFrom x\n", " A: b\n", "A: b\n \n c\n", "A: b\nRun it\n", "A: b\nRun it: now\n", ": b\n", "A : b\n"]
        {
            assert!(lines_that_are_no_field(header.as_bytes(), true).is_some(), "{header}");
        }
        assert!(lines_that_are_no_field(b"From x\n", false).is_some(), "a part is not in a mailbox");
    }
}
