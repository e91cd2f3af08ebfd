//! A message's structure: the leaves of its tree of parts (RFC 2046 section 5.1). In: any bytes. Out: slices of them,
//! with what their headers say of them.
//!
//! mail-parser reads fields, transfer encodings and charsets. The tree is read here, because mail-parser's own walk has
//! no limits: a mail of 256 KiB, messages nested within a base64 part, took 1.2 GB; one of 16 MiB overflowed the stack;
//! parts whose boundary never comes took time in the square of their number. Here a nested message is a leaf that is
//! not read.
//!
//! MUST: time linear in the input for each of at most [`MIME_DEPTH`] levels; memory for nothing but the texts that may
//! count; a field that is given twice, or is too long, is never guessed at.

use super::header::{self, Field, Form, lines};
use crate::error::{Reason, Refusal};
use crate::limits::{MIME_DEPTH, MIME_PARTS};

/// A message, or one part of it: a header and a body.
#[derive(Clone, Copy)]
pub(super) struct Entity<'m> {
    header: &'m [u8],
    body: &'m [u8],
}

impl<'m> Entity<'m> {
    /// Splits `raw` at its first empty line. If there is none, all of it is the header.
    pub(super) fn new(raw: &'m [u8]) -> Self {
        let mut end = 0;
        for line in lines(raw) {
            let start = end;
            end += line.len();
            if matches!(line, b"\n" | b"\r\n") {
                let header = raw.get(..start).unwrap_or_default();
                return Self { header, body: raw.get(end..).unwrap_or_default() };
            }
        }
        Self { header: raw, body: &[] }
    }

    /// Its header, with its line ends.
    pub(super) fn header(&self) -> &'m [u8] {
        self.header
    }

    /// Its body, encoded.
    pub(super) fn body(&self) -> &'m [u8] {
        self.body
    }

    /// Its header fields.
    pub(super) fn fields(&self) -> impl Iterator<Item = Field<'m>> + use<'m> {
        header::fields(self.header)
    }

    /// What its header says of its body. `None` if one of its fields is there twice or is too long to be read: mail
    /// programs differ in how they read that, so it is not guessed at.
    pub(super) fn content(&self) -> Option<Content> {
        let mut content = Content::default();
        let (mut types, mut dispositions, mut encodings, mut is_too_long) = (0, 0, 0, false);
        for field in self.fields().filter(|field| field.begins("Content-")) {
            if field.is("Content-Type") {
                types += 1;
                is_too_long |= field.is_too_long();
                content.read_type(&field);
            } else if field.is("Content-Disposition") {
                dispositions += 1;
                is_too_long |= field.is_too_long();
                let read = field.read(Form::Type);
                // Anything but `inline` is an attachment (RFC 2183 section 2.8: so are unknown dispositions).
                content.is_attachment =
                    !read.as_content_type().is_some_and(|found| found.ctype().eq_ignore_ascii_case("inline"));
            } else if field.is("Content-Transfer-Encoding") {
                encodings += 1;
                content.encoding = Encoding::named(&field.first_word());
            }
        }
        let is_told_once = types.max(dispositions).max(encodings) <= 1;
        (is_told_once && !is_too_long).then_some(content)
    }
}

/// The transfer encoding of a body. An unknown one counts as no encoding.
#[derive(Clone, Copy, Default)]
pub(super) enum Encoding {
    /// The body is not encoded.
    #[default]
    Identity,
    /// RFC 2045 section 6.8.
    Base64,
    /// RFC 2045 section 6.7.
    QuotedPrintable,
}

impl Encoding {
    /// For people.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Identity => "not encoded",
            Self::Base64 => "base64",
            Self::QuotedPrintable => "quoted-printable",
        }
    }

    fn named(name: &str) -> Self {
        if name.eq_ignore_ascii_case("base64") {
            Self::Base64
        } else if name.eq_ignore_ascii_case("quoted-printable") {
            Self::QuotedPrintable
        } else {
            Self::Identity
        }
    }
}

/// What a header says of the body below it.
#[derive(Default)]
pub(super) struct Content {
    pub(super) kind: Kind,
    /// `type/subtype` in lower case; empty where none is stated.
    pub(super) media_type: String,
    /// Whether it says `format=flowed` (RFC 3676).
    pub(super) is_flowed: bool,
    pub(super) charset: Option<String>,
    pub(super) encoding: Encoding,
    is_attachment: bool,
}

/// What a body is, as far as it matters here.
#[derive(Default)]
pub(super) enum Kind {
    /// Not stated, or not readable: plain text (RFC 2045 section 5.2), except in a digest.
    #[default]
    Unstated,
    Plain,
    Html,
    Multipart {
        boundary: String,
        is_digest: bool,
    },
    Message,
    Other,
}

impl Content {
    fn read_type(&mut self, field: &Field<'_>) {
        let read = field.read(Form::Type);
        let Some(read) = read.as_content_type() else {
            return;
        };
        let subtype = read.subtype().unwrap_or_default().to_ascii_lowercase();
        // Where the semicolon is missing, what follows the type is read as a part of it.
        let (subtype, more) = subtype.split_once([' ', '\t']).unwrap_or((&subtype, ""));
        let ctype = read.ctype().to_ascii_lowercase();
        self.kind = match (ctype.as_str(), subtype) {
            ("text", "") => Kind::Unstated,
            ("text", "plain") => Kind::Plain,
            ("text", "html") => Kind::Html,
            ("message", _) => Kind::Message,
            ("multipart", _) => match read.attribute("boundary").map(str::trim_end) {
                Some(boundary) if !boundary.is_empty() => {
                    Kind::Multipart { boundary: boundary.to_owned(), is_digest: subtype == "digest" }
                }
                _ => Kind::Other,
            },
            _ => Kind::Other,
        };
        let charset = read.attribute("charset").or_else(|| more.trim().strip_prefix("charset="));
        self.charset = charset.map(|charset| charset.trim_matches('"').to_owned());
        self.is_flowed = read.attribute("format").is_some_and(|format| format.eq_ignore_ascii_case("flowed"));
        self.media_type = format!("{ctype}/{subtype}");
    }
}

/// An inline text, which may hold a request.
pub(super) struct Leaf<'m> {
    /// Whether it is HTML; otherwise it is plain text.
    pub(super) is_html: bool,
    /// Its transfer encoding.
    pub(super) encoding: Encoding,
    /// The charset that it names.
    pub(super) charset: Option<String>,
    /// Its bytes, encoded.
    pub(super) body: &'m [u8],
}

/// A part of a message that is not a multipart.
pub(super) enum Part<'m> {
    /// An inline text.
    Text(Leaf<'m>),
    /// Something else, described in words.
    Other(&'static str),
}

/// The inline `text/plain` and `text/html` leaves of a message, in their order. Nothing inside `message/*`
/// or inside an attachment counts.
///
/// # Errors
///
/// A refusal if it has more parts than [`MIME_PARTS`], or deeper ones than [`MIME_DEPTH`].
pub(super) fn leaves<'m>(message: &Entity<'m>) -> Result<Vec<Leaf<'m>>, Refusal> {
    let leaf = |part| match part {
        Part::Text(leaf) => Some(leaf),
        Part::Other(_) => None,
    };
    Ok(parts_of(message)?.into_iter().filter_map(leaf).collect())
}

/// All parts of a message, in their order. Nothing inside `message/*` counts.
///
/// # Errors
///
/// A refusal if it has more parts than [`MIME_PARTS`], or deeper ones than [`MIME_DEPTH`].
pub(super) fn parts_of<'m>(message: &Entity<'m>) -> Result<Vec<Part<'m>>, Refusal> {
    let mut walk = Walk { found: Vec::new(), parts: 0 };
    walk.visit(message, false, 0)?;
    Ok(walk.found)
}

struct Walk<'m> {
    found: Vec<Part<'m>>,
    parts: usize,
}

impl<'m> Walk<'m> {
    fn visit(&mut self, entity: &Entity<'m>, in_digest: bool, depth: usize) -> Result<(), Refusal> {
        self.parts += 1;
        if self.parts > MIME_PARTS || depth > MIME_DEPTH {
            let detail = format!("more than {MIME_PARTS} parts, or parts nested more than {MIME_DEPTH} deep");
            return Err(Refusal::new(Reason::TooLarge, detail));
        }
        let Some(content) = entity.content() else {
            self.found.push(Part::Other("a part whose header has a field twice or is too long"));
            return Ok(());
        };
        if content.is_attachment {
            self.found.push(Part::Other("an attachment"));
            return Ok(());
        }
        let Content { kind, charset, encoding, .. } = content;
        let text = |is_html| Part::Text(Leaf { is_html, encoding, charset, body: entity.body });
        self.found.push(match kind {
            Kind::Multipart { boundary, is_digest } => {
                for part in parts(entity.body, &boundary) {
                    self.visit(&Entity::new(part), is_digest, depth + 1)?;
                }
                return Ok(());
            }
            // A digest's parts are messages unless they say otherwise (RFC 2046 section 5.1.5).
            Kind::Unstated if in_digest => Part::Other("a message inside the message"),
            Kind::Message => Part::Other("a message inside the message"),
            Kind::Other => Part::Other("a part that is neither plain text nor HTML"),
            Kind::Unstated | Kind::Plain => text(false),
            Kind::Html => text(true),
        });
        Ok(())
    }
}

/// The parts of a multipart body. The line end before a delimiter belongs to the delimiter. The text before the first
/// delimiter and after the closing one is not a part. A body without the closing one was cut, and its last part ends
/// where the body ends.
pub(super) fn parts<'m, 'b>(body: &'m [u8], boundary: &'b str) -> impl Iterator<Item = &'m [u8]> + use<'m, 'b> {
    let mut rest = cut(body, boundary).and_then(|cut| cut.after);
    std::iter::from_fn(move || {
        let bytes = rest?;
        let (part, after) = cut(bytes, boundary).map_or((bytes, None), |cut| (cut.before, cut.after));
        rest = after;
        Some(part)
    })
}

/// What a line of a multipart body is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Delimiter {
    /// It begins the next part.
    Next,
    /// It ends the last part.
    Closing,
    /// It begins as a delimiter does, and some mail programs take it for one (RFC 2046 section 5.1.1 lets them). Here
    /// it is none.
    Similar,
    /// It is none.
    No,
}

impl Delimiter {
    /// What `line` is under this boundary. A delimiter is a line of its own, with at most blanks after it.
    pub(super) fn of(line: &[u8], boundary: &str) -> Self {
        let tail = line.strip_prefix(b"--").and_then(|line| line.strip_prefix(boundary.as_bytes()));
        match tail.map(<[u8]>::trim_ascii) {
            Some(b"") => Self::Next,
            Some(b"--") => Self::Closing,
            Some(_) => Self::Similar,
            None => Self::No,
        }
    }
}

/// The text before and after a delimiter; nothing counts after a closing one.
struct Cut<'m> {
    before: &'m [u8],
    after: Option<&'m [u8]>,
}

/// Cuts at the first delimiter. No boundary is taken for another one that begins with it.
fn cut<'m>(bytes: &'m [u8], boundary: &str) -> Option<Cut<'m>> {
    let mut end = 0;
    for line in lines(bytes) {
        let start = end;
        end += line.len();
        let after = match Delimiter::of(line, boundary) {
            Delimiter::Next => bytes.get(end..),
            Delimiter::Closing => None,
            Delimiter::Similar | Delimiter::No => continue,
        };
        let before = bytes.get(..start).unwrap_or_default();
        let before = before.strip_suffix(b"\n").map_or(before, |line| line.strip_suffix(b"\r").unwrap_or(line));
        return Some(Cut { before, after });
    }
    None
}
