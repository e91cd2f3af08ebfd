//! Header fields (RFC 5322 section 2.2). In: the bytes of a header. Out: its fields, and what mail-parser makes of the
//! few that are read. Nothing else is copied, so a million fields need no memory.

use std::borrow::Cow;

use mail_parser::HeaderValue;
use mail_parser::parsers::MessageStream;

use super::structured::Reader;
use crate::limits::HEADER_FIELD;

/// One header field, with its folds.
#[derive(Clone, Copy)]
pub(super) struct Field<'m> {
    name: &'m [u8],
    value: &'m [u8],
}

/// How a field is read.
#[derive(Clone, Copy)]
pub(super) enum Form {
    /// Addresses (RFC 5322 section 3.4).
    Addresses,
    /// A Message-ID (RFC 5322 section 3.6.4).
    Id,
    /// A type with parameters (RFC 2045 section 5.1, RFC 2183).
    Type,
    /// Text with encoded words (RFC 2047).
    Words,
}

impl<'m> Field<'m> {
    /// Whether it has that name.
    pub(super) fn is(&self, name: &str) -> bool {
        self.name.trim_ascii_end().eq_ignore_ascii_case(name.as_bytes())
    }

    /// Whether it has that name, or one that a reader may take for it: with blanks in it.
    pub(super) fn resembles(&self, name: &str) -> bool {
        let bare = self.name.iter().filter(|byte| !byte.is_ascii_whitespace());
        bare.map(u8::to_ascii_lowercase).eq(name.bytes().map(|byte| byte.to_ascii_lowercase()))
    }

    /// Whether its name begins like that.
    pub(super) fn begins(&self, start: &str) -> bool {
        self.name.get(..start.len()).is_some_and(|found| found.eq_ignore_ascii_case(start.as_bytes()))
    }

    /// Whether it is longer than [`HEADER_FIELD`]. Such a field is never read.
    pub(super) fn is_too_long(&self) -> bool {
        self.value.len() > HEADER_FIELD
    }

    /// The raw value, without the blanks around it.
    pub(super) fn text(&self) -> Cow<'m, str> {
        String::from_utf8_lossy(self.value.trim_ascii())
    }

    /// The first word of the value, without comments (RFC 5322 section 3.2.2): `no` of `no (a comment); x=y`. Empty if
    /// there is none.
    pub(super) fn first_word(&self) -> String {
        let text = self.text();
        let mut reader = Reader::of(&text);
        reader.space().and_then(|()| reader.keyword()).unwrap_or_default()
    }

    /// Raw name and value, on one line or several.
    pub(super) fn whole(&self) -> String {
        format!("{}:{}", String::from_utf8_lossy(self.name), String::from_utf8_lossy(self.value.trim_ascii_end()))
    }

    /// The value read as `form`; empty where it cannot be, or is too long.
    pub(super) fn read(&self, form: Form) -> HeaderValue<'static> {
        if self.is_too_long() {
            return HeaderValue::Empty;
        }
        // mail-parser needs the line end that the last line of a message may lack.
        let value = self.value.trim_ascii_end();
        let value = if matches!(form, Form::Type) { unfolded(value) } else { value.to_owned() };
        let line = [value.as_slice(), b"\n"].concat();
        let mut stream = MessageStream::new(&line);
        let read = match form {
            Form::Addresses => stream.parse_address(),
            Form::Id => stream.parse_id(),
            Form::Type => stream.parse_content_type(),
            Form::Words => stream.parse_unstructured(),
        };
        read.into_owned()
    }
}

/// A value with parameters on one line, without a blank after a `=`: mail-parser reads no value that is folded there.
fn unfolded(value: &[u8]) -> Vec<u8> {
    let mut line = Vec::with_capacity(value.len());
    let (mut is_quoted, mut is_escaped) = (false, false);
    for &byte in value {
        match byte {
            b'\r' | b'\n' => continue,
            b' ' | b'\t' if !is_quoted && line.last() == Some(&b'=') => continue,
            b'"' if !is_escaped => is_quoted = !is_quoted,
            _ => {}
        }
        is_escaped = byte == b'\\' && !is_escaped;
        line.push(byte);
    }
    line
}

/// The fields of a header in their order. A line that is not a field is skipped, as mail systems do.
pub(super) fn fields<'m>(header: &'m [u8]) -> impl Iterator<Item = Field<'m>> + use<'m> {
    let mut rest = header;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let (field, after) = rest.split_at_checked(length_of_field(rest))?;
            rest = after;
            if let Some(colon) = field.iter().position(|&byte| byte == b':') {
                let (name, value) = field.split_at_checked(colon)?;
                return Some(Field { name, value: value.get(1..).unwrap_or_default() });
            }
        }
        None
    })
}

/// The length of the first field in `header`: its line, and the lines after it that begin with a blank.
fn length_of_field(header: &[u8]) -> usize {
    let mut length = 0;
    for line in lines(header) {
        if length > 0 && !line.starts_with(b" ") && !line.starts_with(b"\t") {
            break;
        }
        length += line.len();
    }
    length
}

/// Lines with their line ends.
pub(super) fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split_inclusive(|&byte| byte == b'\n')
}
