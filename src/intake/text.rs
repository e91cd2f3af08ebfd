//! Which texts of a message count (reader's rule 2). In: a parsed message. Out: its inline `text/plain` leaves, or,
//! where none of these has a start line, its inline `text/html` leaves as text. Nothing inside `message/*` counts.

use mail_parser::{Message, MessagePart, MimeHeaders, PartType};

use super::html;
use crate::protocol::has_start_line;

/// The texts in the order in which they stand.
pub(super) fn texts(message: &Message<'_>) -> Vec<String> {
    let plain = plain(message);
    if plain.iter().any(|text| has_start_line(text)) {
        return plain;
    }
    let rich = rich(message);
    if rich.is_empty() { plain } else { rich }
}

/// The plain texts, then the HTML ones.
pub(super) fn all(message: &Message<'_>) -> Vec<String> {
    [plain(message), rich(message)].concat()
}

/// The plain texts as one, and the HTML ones as one.
pub(super) fn joined(message: &Message<'_>) -> Vec<String> {
    [plain(message), rich(message)].into_iter().filter(|texts| !texts.is_empty()).map(|texts| texts.concat()).collect()
}

fn plain(message: &Message<'_>) -> Vec<String> {
    leaves(message).filter_map(plain_text).map(str::to_owned).collect()
}

fn rich(message: &Message<'_>) -> Vec<String> {
    leaves(message).filter_map(html_text).map(html::to_text).collect()
}

/// The inline parts. `parts` holds this message's own only: a nested message keeps its parts to itself.
fn leaves<'m, 'x>(message: &'m Message<'x>) -> impl Iterator<Item = &'m MessagePart<'x>> {
    message.parts.iter().filter(|part| is_inline(part))
}

fn plain_text<'m>(part: &'m MessagePart<'_>) -> Option<&'m str> {
    match &part.body {
        PartType::Text(text) if has_type(part, "plain", true) => Some(text),
        _ => None,
    }
}

fn html_text<'m>(part: &'m MessagePart<'_>) -> Option<&'m str> {
    match &part.body {
        PartType::Html(text) if has_type(part, "html", false) => Some(text),
        _ => None,
    }
}

/// Whether the part says it is `text/SUBTYPE`; saying nothing means `text/plain` (RFC 2045 section 5.2).
fn has_type(part: &MessagePart<'_>, subtype: &str, silence: bool) -> bool {
    part.content_type().map_or(silence, |found| {
        found.ctype().eq_ignore_ascii_case("text")
            && found.subtype().is_some_and(|name| name.eq_ignore_ascii_case(subtype))
    })
}

/// Anything but `inline` is an attachment (RFC 2183 section 2.8: so are unknown dispositions).
fn is_inline(part: &MessagePart<'_>) -> bool {
    part.content_disposition().is_none_or(|found| found.ctype().eq_ignore_ascii_case("inline"))
}
