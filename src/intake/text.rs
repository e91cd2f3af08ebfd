//! Which texts of a message count (reader's rule 2). In: its inline leaves. Out: the `text/plain` ones, or, where none of
//! these has a start line, the `text/html` ones as text; all decoded to Unicode.

use std::borrow::Cow;

use mail_parser::decoders::charsets::map::charset_decoder;
use mail_parser::parsers::MessageStream;

use super::html;
use super::mime::{Encoding, Leaf};
use crate::protocol::has_start_line;

/// The texts in the order in which they stand.
pub(super) fn texts(leaves: &[Leaf<'_>]) -> Vec<String> {
    let plain = plain(leaves);
    if plain.iter().any(|text| has_start_line(text)) {
        return plain;
    }
    let rich = rich(leaves);
    if rich.is_empty() { plain } else { rich }
}

/// The plain texts, then the HTML ones.
pub(super) fn all(leaves: &[Leaf<'_>]) -> Vec<String> {
    [plain(leaves), rich(leaves)].concat()
}

/// The plain texts as one, and the HTML ones as one.
pub(super) fn joined(leaves: &[Leaf<'_>]) -> Vec<String> {
    [plain(leaves), rich(leaves)].into_iter().filter(|texts| !texts.is_empty()).map(|texts| texts.join("\n")).collect()
}

fn plain(leaves: &[Leaf<'_>]) -> Vec<String> {
    leaves.iter().filter(|leaf| !leaf.is_html).map(decode).collect()
}

fn rich(leaves: &[Leaf<'_>]) -> Vec<String> {
    leaves.iter().filter(|leaf| leaf.is_html).map(|leaf| html::to_text(&decode(leaf))).collect()
}

/// A leaf's text. What is not encoded as its header says stands as it is, and an unknown charset counts as UTF-8: a block
/// that is legible all the same is judged by its mac.
fn decode(leaf: &Leaf<'_>) -> String {
    let bytes = match leaf.encoding {
        Encoding::Identity => Cow::Borrowed(leaf.body),
        Encoding::Base64 => decoded(MessageStream::new(leaf.body).decode_base64_mime(&[]), leaf.body),
        Encoding::QuotedPrintable => {
            decoded(MessageStream::new(leaf.body).decode_quoted_printable_mime(&[]), leaf.body)
        }
    };
    match leaf.charset.as_deref().and_then(|charset| charset_decoder(charset.as_bytes())) {
        Some(decoder) => decoder(&bytes),
        None => String::from_utf8_lossy(&bytes).into_owned(),
    }
}

/// mail-parser tells failure by an end that cannot be.
fn decoded<'m>((end, bytes): (usize, Cow<'m, [u8]>), raw: &'m [u8]) -> Cow<'m, [u8]> {
    if end == usize::MAX { Cow::Borrowed(raw) } else { bytes }
}
