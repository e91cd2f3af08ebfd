//! HTML to text, for mails that have nothing else. In: any bytes that are labelled as HTML. Out: their text, with
//! block elements and `<br>` as line breaks and no line ever wrapped (reader's rule 2).
//!
//! It works on html5gum's token stream, never on a tree: time and memory are linear in the input, and no nesting can
//! make it recurse. It does not check visibility: hidden text counts, so a second start line in it makes the mail
//! ambiguous.

use std::convert::Infallible;

use html5gum::Tokenizer;
use html5gum::emitters::callback::{CallbackEmitter, CallbackEvent};

/// The text of an HTML document.
pub(super) fn to_text(html: &str) -> String {
    let mut output = Output::default();
    each_token(html, &mut |token| output.take(token));
    output.text
}

/// Elements that show nothing but their text.
const BARE: [&[u8]; 10] = [b"html", b"head", b"body", b"p", b"br", b"div", b"span", b"pre", b"tt", b"code"];

/// Whether the document can show nothing but its text: only elements of [`BARE`], without attributes, and no comments,
/// which some mail programs read.
pub(super) fn is_bare(html: &str) -> bool {
    let mut is_bare = true;
    each_token(html, &mut |token| {
        is_bare &= match token {
            CallbackEvent::OpenStartTag { name } | CallbackEvent::EndTag { name } => BARE.contains(name),
            CallbackEvent::AttributeName { .. } | CallbackEvent::Comment { .. } => false,
            _ => true,
        };
    });
    is_bare
}

/// Gives each token of the document to `take`. Not generic: the tokenizer is 140 KiB of program for each kind of
/// receiver.
fn each_token(html: &str, take: &mut dyn FnMut(&CallbackEvent<'_>)) {
    let mut emitter = CallbackEmitter::new(|event: CallbackEvent<'_>, _span: html5gum::Span<()>| {
        take(&event);
        None::<Infallible>
    });
    emitter.naively_switch_states(true);
    // The emitter keeps every token, so the tokenizer yields nothing and no error.
    Tokenizer::new_with_emitter(html, emitter).for_each(drop);
}

#[derive(Default)]
struct Output {
    text: String,
    /// How many `<pre>` are open: white space in them is kept.
    preformatted: usize,
    /// The element whose content is not text, while it is open.
    silent: Option<Vec<u8>>,
}

/// Elements whose content is not what a reader sees.
const SILENT: [&[u8]; 5] = [b"script", b"style", b"title", b"template", b"textarea"];

/// Elements that have lines of their own (HTML Living Standard, 15.3.3 "Flow content").
const BLOCKS: [&[u8]; 37] = [
    b"address",
    b"article",
    b"aside",
    b"blockquote",
    b"body",
    b"center",
    b"dd",
    b"details",
    b"dialog",
    b"dir",
    b"div",
    b"dl",
    b"dt",
    b"fieldset",
    b"figcaption",
    b"figure",
    b"footer",
    b"form",
    b"h1",
    b"h2",
    b"h3",
    b"h4",
    b"h5",
    b"h6",
    b"header",
    b"hr",
    b"li",
    b"main",
    b"nav",
    b"ol",
    b"p",
    b"pre",
    b"section",
    b"summary",
    b"table",
    b"tr",
    b"ul",
];

impl Output {
    fn take(&mut self, event: &CallbackEvent<'_>) {
        match event {
            CallbackEvent::OpenStartTag { name } => self.open(name),
            CallbackEvent::EndTag { name } => self.close(name),
            CallbackEvent::String { value } if self.silent.is_none() => {
                self.write(&String::from_utf8_lossy(value));
            }
            _ => {}
        }
    }

    fn open(&mut self, name: &[u8]) {
        if self.silent.is_some() {
            return;
        }
        match name {
            b"br" => self.text.push('\n'),
            b"td" | b"th" => self.text.push(' '),
            b"pre" => {
                self.break_line();
                self.preformatted += 1;
            }
            block if BLOCKS.contains(&block) => self.break_line(),
            silent if SILENT.contains(&silent) => self.silent = Some(silent.to_owned()),
            _ => {}
        }
    }

    fn close(&mut self, name: &[u8]) {
        if let Some(silent) = &self.silent {
            if silent == name {
                self.silent = None;
            }
            return;
        }
        if name == b"pre" {
            self.preformatted = self.preformatted.saturating_sub(1);
        }
        if BLOCKS.contains(&name) {
            self.break_line();
        }
    }

    fn write(&mut self, value: &str) {
        if self.preformatted > 0 {
            self.text.push_str(value);
            return;
        }
        let is_space = |c: char| matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{c}');
        for c in value.chars() {
            if !is_space(c) {
                self.text.push(c);
            } else if !self.text.ends_with(is_space) {
                self.text.push(' ');
            }
        }
    }

    fn break_line(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with('\n') {
            self.text.push('\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn breaks_are_where_a_reader_sees_them() {
        for (html, text) in [
            ("a<br>b<BR/>c", "a\nb\nc"),
            ("<div>a</div><div>b</div>", "a\nb\n"),
            ("<p>a\n b</p>c", "a b\nc"),
            ("<pre>a\nb</pre>", "a\nb\n"),
            ("<table><tr><td>a</td><td>b</td></tr><tr><td>c", " a b\n c"),
            ("a&nbsp;&amp;&lt;b", "a\u{a0}&<b"),
            ("a < b", "a < b"),
            ("<style>x: 1</style>a<script>b</script><!-- c -->", "a"),
            ("<span>a</span><b>b</b>", "ab"),
            ("", ""),
        ] {
            assert_eq!(to_text(html), text, "{html}");
        }
    }

    #[test]
    fn only_what_shows_nothing_but_text_is_bare() {
        for html in
            ["a", "<html><body><p>a<br>b</p></body></html>", "<pre>a &lt; b</pre>", "<!DOCTYPE html><div>a</div>"]
        {
            assert!(is_bare(html), "{html}");
        }
        for html in [
            "<img src=x>",
            "<div style=\"display:none\">a</div>",
            "<style>p::before{content:'x'}</style>",
            "<a href=x>a</a>",
            "<!-- a -->",
            "<p hidden>a</p>",
            "<meta http-equiv=refresh content=x>",
            "<table><tr><td>a",
            "<title>x</title>",
        ] {
            assert!(!is_bare(html), "{html}");
        }
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = "<div>".repeat(100_000);
        assert!(to_text(&format!("{deep}x")).ends_with('x'));
    }
}
