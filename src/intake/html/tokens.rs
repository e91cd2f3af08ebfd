//! HTML's tokens, as far as a document's text needs them (HTML Living Standard, section 13.2.5, "Tokenization"). In:
//! any text. Out: its tags, comments and characters, in order.
//!
//! Time is linear in the input, memory is that of the longest name, nothing recurses. The standard's states are not
//! written out one by one: what a state decides is decided by the text around it. That both are the same is proven with
//! html5gum, which has the states (`html_tokens::` in the integration tests, and the fuzz target `html`).

use super::references;

/// A part of an HTML document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HtmlToken<'a> {
    /// A start tag, by its name with small ASCII letters. Of a tag that the document ends in, only one with attributes.
    Start(&'a str),
    /// An end tag, by its name with small ASCII letters.
    End(&'a str),
    /// An attribute of the start tag before, or of the end tag that follows.
    Attribute,
    /// A comment, or what the standard takes for one (`<?...>`, `<![CDATA[...>`, `<!...>`, `</1...>`). A doctype is
    /// none.
    Comment,
    /// Characters, which may go on in the next token.
    Text(&'a str),
}

type Take<'a> = &'a mut dyn FnMut(HtmlToken<'_>);

/// Gives each token of the document to `take`. Not generic, so that it is in the program once.
///
/// Elements whose content is text (`script`, `style`, `textarea` and so on) are known by their names alone, since there
/// is no tree. `noscript` is one of them, as where scripts run.
pub fn html_tokens(html: &str, take: Take<'_>) {
    let mut rest = html;
    while let Some((text, after)) = rest.split_once('<') {
        with_references(text, NulIs::Kept, take);
        rest = markup(after, take);
    }
    with_references(rest, NulIs::Kept, take);
}

/// Reads what stands after a `<`, and returns the rest of the document.
fn markup<'a>(after: &'a str, take: Take<'_>) -> &'a str {
    if let Some(comment) = after.strip_prefix("!--") {
        take(HtmlToken::Comment);
        return after_comment(comment);
    }
    let is_doctype = || after.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("!doctype"));
    match after.as_bytes() {
        [b'/', letter, ..] | [letter, ..] if letter.is_ascii_alphabetic() => return tag(after, take),
        [b'/'] => take(HtmlToken::Text("</")),
        [b'/', b'>', ..] => {}
        [b'!', ..] if is_doctype() => {}
        [b'!' | b'?' | b'/', ..] => take(HtmlToken::Comment),
        _ => {
            take(HtmlToken::Text("<"));
            return after;
        }
    }
    after.split_once('>').map_or("", |(_, rest)| rest)
}

/// What follows the comment that this begins with.
fn after_comment(comment: &str) -> &str {
    let is_end = |&(at, _): &(usize, &str)| {
        let before = comment.get(..at).unwrap_or_default();
        matches!(before, "" | "-") || before.ends_with("--") || before.ends_with("--!")
    };
    let end = comment.match_indices('>').find(is_end);
    end.and_then(|(at, _)| comment.get(at + 1..)).unwrap_or_default()
}

/// Reads a tag, after its `<`, and the content of an element that has only text.
fn tag<'a>(tag: &'a str, take: Take<'_>) -> &'a str {
    let (is_start, tag) = tag.strip_prefix('/').map_or((true, tag), |tag| (false, tag));
    let (name, mut rest) = split_before(tag, |c| is_space(c) || matches!(c, '/' | '>'));
    let name = name.to_ascii_lowercase().replace('\0', "\u{fffd}");
    // A start tag is told before its attributes, and an attribute when it is whole or has a value.
    let (mut is_untold, mut has_untold_attribute) = (is_start, false);
    loop {
        rest = rest.trim_start_matches(|c| is_space(c) || c == '/');
        let is_end = rest.starts_with('>');
        if rest.is_empty() {
            return rest;
        }
        if std::mem::take(&mut is_untold) {
            take(HtmlToken::Start(&name));
        }
        if has_untold_attribute {
            take(HtmlToken::Attribute);
        }
        if is_end {
            break;
        }
        let has_value;
        (has_value, rest) = attribute(rest);
        if has_value {
            take(HtmlToken::Attribute);
        }
        has_untold_attribute = !has_value;
    }
    rest = rest.strip_prefix('>').unwrap_or(rest);
    if is_start {
        return content(&name, rest, take);
    }
    take(HtmlToken::End(&name));
    rest
}

/// Whether the attribute that this begins with has a value that is not empty, and what follows it.
fn attribute(text: &str) -> (bool, &str) {
    // An equals sign may be the first character of its name.
    let mut name = text.chars();
    name.next();
    let (_, rest) = split_before(name.as_str(), |c| is_space(c) || matches!(c, '/' | '>' | '='));
    let rest = rest.trim_start_matches(is_space);
    let Some(value) = rest.strip_prefix('=').map(|value| value.trim_start_matches(is_space)) else {
        return (false, rest);
    };
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
    let (value, rest) = match quote.and_then(|quote| Some((quote, value.strip_prefix(quote)?))) {
        Some((quote, value)) => value.split_once(quote).unwrap_or((value, "")),
        None => split_before(value, |c| is_space(c) || c == '>'),
    };
    (!value.is_empty(), rest)
}

/// Reads the content of an element, up to its end tag, if it has only text.
fn content<'a>(name: &str, rest: &'a str, take: Take<'_>) -> &'a str {
    let end = match name {
        "textarea" | "title" | "style" | "iframe" | "xmp" | "noembed" | "noframe" | "noscript" => end_of(name, rest),
        "script" => end_of_script(rest),
        "plaintext" => None,
        _ => return rest,
    };
    let (text, rest) = end.and_then(|end| rest.split_at_checked(end)).unwrap_or((rest, ""));
    match name {
        "textarea" | "title" => with_references(text, NulIs::Replaced, take),
        _ => characters(text, NulIs::Replaced, take),
    }
    rest
}

/// Where the end tag of this element stands.
fn end_of(name: &str, text: &str) -> Option<usize> {
    let mut ends = text.match_indices("</");
    ends.find_map(|(at, _)| is_tag(text.get(at + 2..)?, name).then_some(at))
}

/// Where the end tag of a script stands: none counts in a script that stands in a comment of the script.
fn end_of_script(text: &str) -> Option<usize> {
    let (mut is_in_comment, mut is_in_inner) = (false, false);
    for (at, sign) in text.match_indices(['<', '>']) {
        let (before, from) = text.split_at_checked(at)?;
        if sign == ">" {
            if before.ends_with("--") {
                (is_in_comment, is_in_inner) = (false, false);
            }
        } else if from.strip_prefix("</").is_some_and(|tag| is_tag(tag, "script")) {
            if !std::mem::take(&mut is_in_inner) {
                return Some(at);
            }
        } else if !is_in_comment {
            is_in_comment = from.starts_with("<!--");
        } else if from.strip_prefix('<').is_some_and(|tag| is_tag(tag, "script")) {
            is_in_inner = true;
        }
    }
    None
}

/// Whether this begins with a tag's name and its end.
fn is_tag(text: &str, name: &str) -> bool {
    let is_named = text.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
    is_named && text.get(name.len()..).is_some_and(|rest| rest.starts_with(|c| is_space(c) || matches!(c, '/' | '>')))
}

/// What becomes of a NUL: it is kept between tags, and U+FFFD in an element that has only text.
#[derive(Clone, Copy, PartialEq)]
enum NulIs {
    Kept,
    Replaced,
}

/// Tells characters, and those that the character references among them mean.
fn with_references(text: &str, nul: NulIs, take: Take<'_>) {
    let mut pieces = text.split('&');
    characters(pieces.next().unwrap_or_default(), nul, take);
    for piece in pieces {
        let mut rest = piece;
        match references::read(piece) {
            Some(((first, second), after)) => {
                rest = after;
                for c in [Some(first), second].into_iter().flatten() {
                    take(HtmlToken::Text(c.encode_utf8(&mut [0; 4])));
                }
            }
            None => take(HtmlToken::Text("&")),
        }
        characters(rest, nul, take);
    }
}

/// Tells characters. A line may end with CR or CR LF (section 13.2.3.5, "Preprocessing the input stream").
fn characters(text: &str, nul: NulIs, take: Take<'_>) {
    let mut lines = text.split('\r');
    let mut tell = |line: &str| {
        for (index, part) in line.split('\0').enumerate() {
            if index > 0 {
                take(HtmlToken::Text(if nul == NulIs::Kept { "\0" } else { "\u{fffd}" }));
            }
            take(HtmlToken::Text(part));
        }
    };
    tell(lines.next().unwrap_or_default());
    for line in lines {
        tell("\n");
        tell(line.strip_prefix('\n').unwrap_or(line));
    }
}

/// What ends a word in a tag. A carriage return is the end of a line.
fn is_space(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\u{c}' | '\r' | ' ')
}

/// Divides a text before the first character that ends it.
fn split_before(text: &str, is_end: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at_checked(text.find(is_end).unwrap_or(text.len())).unwrap_or((text, ""))
}
