//! HTML to text, for mails that have nothing else. In: any bytes that are labelled as HTML. Out: their text, with
//! block elements and `<br>` as line breaks and no line ever wrapped (reader's rule 2).
//!
//! It works on a stream of tokens, never on a tree: time and memory are linear in the input, and no nesting can make it
//! recurse. It does not check visibility: hidden text counts, so a second start line in it makes the mail ambiguous.

mod references;
mod tokens;

pub use tokens::{HtmlToken, html_tokens};

/// The text of an HTML document.
pub(super) fn to_text(html: &str) -> String {
    let mut output = Output::default();
    html_tokens(html, &mut |token| output.take(token));
    output.text
}

/// Whether the document can show nothing but its text: only elements of [`is_plain`], without attributes, and no
/// comments, which some mail programs read.
pub(super) fn is_bare(html: &str) -> bool {
    let mut is_bare = true;
    html_tokens(html, &mut |token| {
        is_bare &= match token {
            HtmlToken::Start(name) | HtmlToken::End(name) => is_plain(name),
            HtmlToken::Attribute | HtmlToken::Comment => false,
            HtmlToken::Text(_) => true,
        };
    });
    is_bare
}

/// Elements that show nothing but their text.
fn is_plain(name: &str) -> bool {
    matches!(name, "html" | "head" | "body" | "p" | "br" | "div" | "span" | "pre" | "tt" | "code")
}

/// Elements whose content is not what a reader sees.
fn is_silent(name: &str) -> bool {
    matches!(name, "script" | "style" | "title" | "template" | "textarea")
}

/// Elements that have lines of their own (HTML Living Standard, 15.3.3 "Flow content").
#[rustfmt::skip]
fn is_block(name: &str) -> bool {
    matches!(
        name,
        "address" | "article" | "aside" | "blockquote" | "body" | "center" | "dd" | "details" | "dialog" | "dir" | "div"
            | "dl" | "dt" | "fieldset" | "figcaption" | "figure" | "footer" | "form" | "h1" | "h2" | "h3" | "h4" | "h5"
            | "h6" | "header" | "hr" | "li" | "main" | "nav" | "ol" | "p" | "pre" | "section" | "summary" | "table" | "tr"
            | "ul"
    )
}

/// What is written of a document so far. Text may come in pieces.
#[derive(Default)]
struct Output {
    text: String,
    /// How many `<pre>` are open: white space in them is kept.
    preformatted: usize,
    /// The element whose content is not text, while it is open.
    silent: Option<String>,
}

impl Output {
    fn take(&mut self, token: HtmlToken<'_>) {
        match token {
            HtmlToken::Start(name) => self.open(name),
            HtmlToken::End(name) => self.close(name),
            HtmlToken::Text(text) if self.silent.is_none() => self.write(text),
            _ => {}
        }
    }

    fn open(&mut self, name: &str) {
        if self.silent.is_some() {
            return;
        }
        match name {
            "br" => self.text.push('\n'),
            "td" | "th" => self.text.push(' '),
            "pre" => {
                self.break_line();
                self.preformatted += 1;
            }
            _ if is_block(name) => self.break_line(),
            _ if is_silent(name) => self.silent = Some(name.to_owned()),
            _ => {}
        }
    }

    fn close(&mut self, name: &str) {
        if let Some(silent) = &self.silent {
            if silent == name {
                self.silent = None;
            }
            return;
        }
        if name == "pre" {
            self.preformatted = self.preformatted.saturating_sub(1);
        }
        if is_block(name) {
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
            ("a<div>b", "a\nb"),
            ("a <pre> b</pre> c", "a \n b\nc"),
            ("<pre>a<b>b</b>  c<pre>  d</pre>  e</pre>f  g", "ab  c\n  d\n  e\nf g"),
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
