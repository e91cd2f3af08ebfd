//! Everything that a mail program may show of a message: its subject and all of its parts. In: a message. Out: the
//! subject's text, and each part, as the text that it is or as a note that it is something else. It is used to check a
//! reply.

use super::header::Form;
use super::mime::{self, Entity, Part};
use super::{html, text, unclear};

/// What a mail program may show of a message.
#[derive(Debug)]
pub struct Shown {
    /// The decoded text of the only Subject field; `None` where there is none. Several fields are one text.
    pub subject: Option<String>,
    /// Its parts in their order.
    pub parts: Vec<ShownPart>,
    /// A description of each thing that mail programs may read in several ways, or show besides the parts.
    pub unclear: Vec<String>,
}

/// A part that a mail program may show.
#[derive(Debug, PartialEq, Eq)]
pub enum ShownPart {
    /// Plain text, decoded.
    Plain(String),
    /// HTML as text. It `is_bare` where it can show nothing but that text: no style, no image, no link.
    Html {
        /// The text.
        text: String,
        /// Whether it can show nothing else.
        is_bare: bool,
    },
    /// Anything else, described in words.
    Other(&'static str),
}

impl ShownPart {
    /// Its text; `None` where it is none.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Plain(text) | Self::Html { text, .. } => Some(text),
            Self::Other(_) => None,
        }
    }
}

/// What a mail program may show of the message `raw`. `None` if it is not a mail but, for example, pasted text: a mail
/// has a From field.
pub fn shown(raw: &[u8]) -> Option<Shown> {
    let message = Entity::new(raw);
    message.fields().find(|field| field.is("From"))?;
    let subjects: Vec<_> = message
        .fields()
        .filter(|field| field.is("Subject"))
        .map(|field| field.read(Form::Words).as_text().unwrap_or_default().to_owned())
        .collect();
    let subject = (!subjects.is_empty()).then(|| subjects.join(" / "));
    let parts = match mime::parts_of(&message) {
        Ok(parts) => parts.iter().map(shown_part).collect(),
        Err(_) => vec![ShownPart::Other("more parts than a mail may have")],
    };
    Some(Shown { subject, parts, unclear: unclear::describe(raw, &message) })
}

fn shown_part(part: &Part<'_>) -> ShownPart {
    match part {
        Part::Text(leaf) if leaf.is_html => {
            let source = text::decode(leaf);
            ShownPart::Html { text: html::to_text(&source), is_bare: html::is_bare(&source) }
        }
        Part::Text(leaf) => ShownPart::Plain(text::decode(leaf)),
        Part::Other(what) => ShownPart::Other(what),
    }
}
