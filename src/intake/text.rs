//! Which texts of a message count (reader's rule 2). In: its inline leaves. Out: the `text/plain` ones, or, where none of
//! these has a start line, the `text/html` ones as text; all decoded to Unicode.

use std::borrow::Cow;

use mail_parser::decoders::charsets::map::charset_decoder;
use mail_parser::parsers::MessageStream;

use super::mime::{Encoding, Leaf};
use super::{html, utf7};
use crate::protocol::has_start_line;

/// The possible readings of the texts, the likeliest first. There is a second one if a leaf is labelled
/// quoted-printable and may not be: `=be` in it is a byte, or stands for itself. Only the mac can decide.
pub(super) fn readings(leaves: &[Leaf<'_>]) -> Vec<Vec<String>> {
    let decoded = texts(leaves, decode);
    let is_labelled = |leaf: &Leaf<'_>| matches!(leaf.encoding, Encoding::QuotedPrintable) && leaf.body.contains(&b'=');
    if !leaves.iter().any(is_labelled) {
        return vec![decoded];
    }
    let as_it_stands = texts(leaves, |leaf| match leaf.encoding {
        Encoding::QuotedPrintable => in_charset(leaf, leaf.body),
        _ => decode(leaf),
    });
    if as_it_stands.iter().any(|text| has_start_line(text)) { vec![decoded, as_it_stands] } else { vec![decoded] }
}

fn texts(leaves: &[Leaf<'_>], read: impl Fn(&Leaf<'_>) -> String) -> Vec<String> {
    let plain: Vec<_> = leaves.iter().filter(|leaf| !leaf.is_html).map(&read).collect();
    if plain.iter().any(|text| has_start_line(text)) {
        return plain;
    }
    let rich: Vec<_> = leaves.iter().filter(|leaf| leaf.is_html).map(|leaf| html::to_text(&read(leaf))).collect();
    if rich.is_empty() { plain } else { rich }
}

/// The plain texts, then the HTML ones.
pub(super) fn all(leaves: &[Leaf<'_>]) -> Vec<String> {
    let plain = leaves.iter().filter(|leaf| !leaf.is_html).map(decode);
    plain.chain(leaves.iter().filter(|leaf| leaf.is_html).map(|leaf| html::to_text(&decode(leaf)))).collect()
}

/// A leaf's text. A text that is not encoded as its header says is taken unchanged, and an unknown charset counts as UTF-8: the mac
/// decides about a block that is still readable.
pub(super) fn decode(leaf: &Leaf<'_>) -> String {
    match leaf.encoding {
        Encoding::Identity => in_charset(leaf, leaf.body),
        Encoding::QuotedPrintable => {
            let (end, bytes) = MessageStream::new(leaf.body).decode_quoted_printable_mime(&[]);
            in_charset(leaf, if is_failure(end) { leaf.body } else { &bytes })
        }
        Encoding::Base64 => match base64(leaf.body) {
            Some(bytes) => in_charset(leaf, &bytes),
            None => base64_with_more(leaf),
        },
    }
}

/// Base64 with plain lines above or below it: a banner or a footer that a mail server has added. The run of base64 lines
/// ends with its padding, or with a line that is shorter than the first.
fn base64_with_more(leaf: &Leaf<'_>) -> String {
    let lines: Vec<&[u8]> = leaf.body.split_inclusive(|&byte| byte == b'\n').collect();
    let Some(first) = lines.iter().position(|line| is_base64(line)) else {
        return in_charset(leaf, leaf.body);
    };
    let width = lines.get(first).map_or(0, |line| line.trim_ascii().len());
    let mut end = first;
    for line in lines.iter().skip(first).take_while(|line| is_base64(line)) {
        end += 1;
        if line.trim_ascii().len() < width || line.trim_ascii().ends_with(b"=") {
            break;
        }
    }
    let run = |from: usize, to: usize| lines.get(from..to).unwrap_or_default().concat();
    match base64(&run(first, end)) {
        Some(bytes) => {
            let (above, below) = (run(0, first), run(end, lines.len()));
            let plain = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            [plain(&above), in_charset(leaf, &bytes), plain(&below)].join("\n")
        }
        None => in_charset(leaf, leaf.body),
    }
}

fn is_base64(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    let digits = line.strip_suffix(b"==").or_else(|| line.strip_suffix(b"=")).unwrap_or(line);
    !digits.is_empty()
        && line.len().is_multiple_of(4)
        && digits.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(byte))
}

fn base64(body: &[u8]) -> Option<Cow<'_, [u8]>> {
    let (end, bytes) = MessageStream::new(body).decode_base64_mime(&[]);
    (!is_failure(end)).then_some(bytes)
}

/// mail-parser reports a failure by an impossible end.
fn is_failure(end: usize) -> bool {
    end == usize::MAX
}

fn in_charset(leaf: &Leaf<'_>, bytes: &[u8]) -> String {
    let charset = leaf.charset.as_deref().unwrap_or_default();
    // mail-parser's own reader loses `+-` and the line end that ends a run.
    if ["utf-7", "unicode-1-1-utf-7"].iter().any(|name| charset.eq_ignore_ascii_case(name)) {
        return utf7::decode(bytes);
    }
    match charset_decoder(charset.as_bytes()) {
        Some(decoder) if !charset.is_empty() => decoder(bytes),
        _ => String::from_utf8_lossy(bytes).into_owned(),
    }
}
