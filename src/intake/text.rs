//! Which texts of a message count (reader's rule 2). In: its inline leaves. Out: the `text/plain` ones, or, where none
//! of these has a start line, the `text/html` ones as text; all decoded to Unicode.

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

/// A leaf's text. A text that is not encoded as its header says is taken unchanged, and an unknown charset counts as
/// UTF-8: the mac decides about a block that is still readable.
pub(super) fn decode(leaf: &Leaf<'_>) -> String {
    match leaf.encoding {
        Encoding::Identity => in_charset(leaf, leaf.body),
        Encoding::QuotedPrintable => {
            let (end, bytes) = MessageStream::new(leaf.body).decode_quoted_printable_mime(&[]);
            in_charset(leaf, if is_failure(end) { leaf.body } else { &bytes })
        }
        Encoding::Base64 => match base64(leaf.body) {
            Some(bytes) => {
                let text = in_charset(leaf, &bytes);
                // A banner of one word may be base64 together with what is below it.
                let parted = (!has_start_line(&text)).then(|| base64_with_more(leaf));
                parted.filter(|parted| has_start_line(parted)).unwrap_or(text)
            }
            None => base64_with_more(leaf),
        },
    }
}

/// A body's bytes, its transfer encoding decoded. A body that is not encoded as its header says is taken unchanged; of
/// base64 with plain lines above or below it, only the base64 counts.
pub(super) fn bytes(encoding: Encoding, body: &[u8]) -> Cow<'_, [u8]> {
    match encoding {
        Encoding::Identity => Cow::Borrowed(body),
        Encoding::QuotedPrintable => {
            let (end, decoded) = MessageStream::new(body).decode_quoted_printable_mime(&[]);
            if is_failure(end) { Cow::Borrowed(body) } else { decoded }
        }
        Encoding::Base64 => base64(body).or_else(|| Base64Run::in_body(body)?.decoded).unwrap_or(Cow::Borrowed(body)),
    }
}

fn base64_with_more(leaf: &Leaf<'_>) -> String {
    let run = Base64Run::in_body(leaf.body);
    match run.as_ref().and_then(|run| Some((run, run.decoded.as_deref()?))) {
        Some((run, bytes)) => {
            let plain = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let text = in_charset(leaf, bytes);
            // The byte order mark was the first character of what the sender wrote (reader's rule 3).
            let text = text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned();
            [plain(&run.above), text, plain(&run.below)].join("\n")
        }
        None => in_charset(leaf, leaf.body),
    }
}

/// Base64 with plain lines above or below it: a banner or a footer that a mail server has added.
struct Base64Run {
    above: Vec<u8>,
    decoded: Option<Cow<'static, [u8]>>,
    below: Vec<u8>,
}

impl Base64Run {
    /// The longest run of base64 lines in a body, if it has one: a word of a banner may look like a line of it. A run
    /// ends with its padding, with a line that is shorter than its first, which may lack its padding, or before one
    /// that is longer.
    fn in_body(body: &[u8]) -> Option<Self> {
        let lines: Vec<&[u8]> = body.split_inclusive(|&byte| byte == b'\n').collect();
        let (mut first, mut end, mut most, mut at) = (0, 0, 0, 0);
        while let Some(rest) = lines.get(at..).filter(|rest| !rest.is_empty()) {
            let (length, size) = run_of(rest);
            if size > most {
                (first, end, most) = (at, at + length, size);
            }
            at += length.max(1);
        }
        if most == 0 {
            return None;
        }
        let run = |from: usize, to: usize| lines.get(from..to).unwrap_or_default().concat();
        let decoded = base64(&run(first, end)).map(|bytes| Cow::Owned(bytes.into_owned()));
        Some(Self { above: run(0, first), decoded, below: run(end, lines.len()) })
    }
}

/// How many of these lines are one run of base64, and its size in bytes.
fn run_of(lines: &[&[u8]]) -> (usize, usize) {
    let width = lines.first().map_or(0, |line| line.trim_ascii().len());
    let (mut length, mut size) = (0, 0);
    for line in lines.iter().map(|line| line.trim_ascii()).take_while(|line| line.len() <= width) {
        let is_cut_short = length > 0 && line.len() < width && line.len() % 4 > 1 && is_digits(line);
        if !is_base64(line) && !is_cut_short {
            break;
        }
        length += 1;
        size += line.len();
        if line.len() < width || line.ends_with(b"=") {
            break;
        }
    }
    (length, size)
}

fn is_base64(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    let digits = line.strip_suffix(b"==").or_else(|| line.strip_suffix(b"=")).unwrap_or(line);
    !digits.is_empty() && line.len().is_multiple_of(4) && is_digits(digits)
}

fn is_digits(line: &[u8]) -> bool {
    line.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(byte))
}

fn base64(body: &[u8]) -> Option<Cow<'_, [u8]>> {
    let size = body.iter().filter(|byte| !byte.is_ascii_whitespace()).count();
    if size % 4 > 1 {
        // mail-parser loses the last bytes where the padding is missing. More of it than is needed changes nothing.
        let padded = [body, b"=="].concat();
        let (end, bytes) = MessageStream::new(&padded).decode_base64_mime(&[]);
        return (!is_failure(end)).then(|| Cow::Owned(bytes.into_owned()));
    }
    let (end, bytes) = MessageStream::new(body).decode_base64_mime(&[]);
    (!is_failure(end)).then_some(bytes)
}

/// Whether a body is encoded as its header says, to the last byte. A mail program that is not as strict as this one
/// shows the rest as it is.
pub(super) fn is_encoded_as(encoding: Encoding, body: &[u8]) -> bool {
    match encoding {
        Encoding::Identity => true,
        Encoding::Base64 => {
            let digits: Vec<u8> = body.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
            digits.is_empty() || is_base64(&digits)
        }
        Encoding::QuotedPrintable => body.split(|&byte| byte == b'\n').all(|line| {
            let line = line.trim_ascii_end();
            let mut escapes = line.strip_suffix(b"=").unwrap_or(line).split(|&byte| byte == b'=').skip(1);
            escapes.all(|escape| escape.get(..2).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)))
        }),
    }
}

/// Whether texts in this charset can be read.
pub(super) fn is_known_charset(name: &str) -> bool {
    let is_utf8 = ["utf-8", "utf8"].iter().any(|utf8| name.eq_ignore_ascii_case(utf8));
    is_utf8 || is_utf7(name) || charset_decoder(name.as_bytes()).is_some()
}

fn is_utf7(charset: &str) -> bool {
    ["utf-7", "unicode-1-1-utf-7", "csUTF7", "csUnicode11UTF7"].iter().any(|name| charset.eq_ignore_ascii_case(name))
}

/// mail-parser reports a failure by an impossible end.
fn is_failure(end: usize) -> bool {
    end == usize::MAX
}

fn in_charset(leaf: &Leaf<'_>, bytes: &[u8]) -> String {
    let charset = leaf.charset.as_deref().unwrap_or_default();
    // mail-parser's own reader loses `+-` and the line end that ends a run.
    if is_utf7(charset) {
        return utf7::decode(bytes);
    }
    match charset_decoder(charset.as_bytes()) {
        Some(decoder) if !charset.is_empty() => decoder(bytes),
        _ => String::from_utf8_lossy(bytes).into_owned(),
    }
}
