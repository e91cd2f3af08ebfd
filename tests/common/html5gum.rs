//! HTML's tokens by html5gum, which follows the standard state by state, in the form in which mailsudo tells its own.
//! The fuzz target `html` has this file, too.

use std::convert::Infallible;

use html5gum::emitters::callback::{CallbackEmitter, CallbackEvent};
use html5gum::{Span, Tokenizer};
use mailsudo::intake::{HtmlToken, html_tokens};

/// A token that is kept; text that comes in pieces is one.
#[derive(Debug, PartialEq)]
pub(crate) enum Kept {
    Start(String),
    End(String),
    Attribute,
    Comment,
    Text(String),
}

/// A document's tokens by mailsudo.
pub(crate) fn own(html: &str) -> Vec<Kept> {
    let mut tokens = Vec::new();
    html_tokens(html, &mut |token| keep(&mut tokens, token));
    tokens
}

/// A document's tokens by html5gum.
pub(crate) fn standard(html: &str) -> Vec<Kept> {
    let mut tokens = Vec::new();
    let mut emitter = CallbackEmitter::new(|event: CallbackEvent<'_>, _: Span<()>| {
        let text = |bytes| std::str::from_utf8(bytes).expect("a document that is UTF-8 has such tokens");
        match event {
            CallbackEvent::OpenStartTag { name } => keep(&mut tokens, HtmlToken::Start(text(name))),
            CallbackEvent::EndTag { name } => keep(&mut tokens, HtmlToken::End(text(name))),
            CallbackEvent::AttributeName { .. } => keep(&mut tokens, HtmlToken::Attribute),
            CallbackEvent::Comment { .. } => keep(&mut tokens, HtmlToken::Comment),
            CallbackEvent::String { value } => keep(&mut tokens, HtmlToken::Text(text(value))),
            _ => {}
        }
        None::<Infallible>
    });
    emitter.naively_switch_states(true);
    Tokenizer::new_with_emitter(html, emitter).for_each(drop);
    tokens
}

fn keep(tokens: &mut Vec<Kept>, token: HtmlToken<'_>) {
    let kept = match token {
        HtmlToken::Start(name) => Kept::Start(name.to_owned()),
        HtmlToken::End(name) => Kept::End(name.to_owned()),
        HtmlToken::Attribute => Kept::Attribute,
        HtmlToken::Comment => Kept::Comment,
        HtmlToken::Text("") => return,
        HtmlToken::Text(more) => match tokens.last_mut() {
            Some(Kept::Text(text)) => return text.push_str(more),
            _ => Kept::Text(more.to_owned()),
        },
    };
    tokens.push(kept);
}
