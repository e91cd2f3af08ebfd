//! A pattern as a POSIX extended regular expression (regex(7)), as sudo reads it.

use super::node::{Node, Set};

/// Appends the expression for `node`, without anchors.
pub(super) fn print(node: &Node, posix: &mut String) {
    match node {
        Node::Characters(set) => print_set(*set, posix),
        Node::Sequence(nodes) => nodes.iter().for_each(|node| print(node, posix)),
        Node::Choice(nodes) => {
            posix.push('(');
            for (at, node) in nodes.iter().enumerate() {
                if at > 0 {
                    posix.push('|');
                }
                print(node, posix);
            }
            posix.push(')');
        }
        Node::Repeat(node, least, most) => {
            posix.push('(');
            print(node, posix);
            posix.push(')');
            match (least, most) {
                (0, Some(1)) => posix.push('?'),
                (0, None) => posix.push('*'),
                (1, None) => posix.push('+'),
                (least, None) => *posix += &format!("{{{least},}}"),
                (least, Some(most)) => *posix += &format!("{{{least},{most}}}"),
            }
        }
    }
}

/// A set as alternatives of a bracket expression and of what a bracket cannot hold. In a bracket, `]` is first and `-`
/// last, and `^` is never first (regex(7)); `[` is never before `.`, `:` or `=`, as it comes after them. Measured with
/// sudo 1.9.13: `#` and `$` end its own token there, and two of `*`, `+` and `?` side by side are refused even there;
/// so these are alternatives of their own, as `^` is where nothing could go before it.
fn print_set(set: Set, posix: &mut String) {
    let member = |byte: u8| set & 1 << byte != 0;
    let mut alternatives = Vec::new();
    let plain = |byte: &u8| !b"]^[-#$*+?".contains(byte);
    let bulk: Vec<u8> = (b'!'..=b'~').filter(|byte| member(*byte) && plain(byte)).collect();
    let mut bracket = String::new();
    if member(b']') {
        bracket.push(']');
    }
    let (words, signs): (Vec<u8>, Vec<u8>) = bulk.iter().partition(|byte| byte.is_ascii_alphanumeric());
    print_runs(words.into_iter(), &mut bracket);
    bracket.extend(signs.into_iter().map(char::from));
    if member(b'[') {
        bracket.push('[');
    }
    if member(b'^') && !bracket.is_empty() {
        bracket.push('^');
    } else if member(b'^') {
        alternatives.push(r"\^".to_owned());
    }
    if member(b'-') {
        bracket.push('-');
    }
    match bracket.as_bytes() {
        [] => {}
        [lone] if lone.is_ascii_alphanumeric() || *lone == b'-' => alternatives.push(bracket),
        _ => alternatives.push(format!("[{bracket}]")),
    }
    for (byte, text) in [(b'#', "#"), (b'$', r"\$"), (b'*', "[*]"), (b'+', "[+]"), (b'?', "[?]")] {
        if member(byte) {
            alternatives.push(text.to_owned());
        }
    }
    match alternatives.as_slice() {
        [only] => posix.push_str(only),
        several => *posix += &format!("({})", several.join("|")),
    }
}

fn print_runs(bytes: impl Iterator<Item = u8>, posix: &mut String) {
    let mut runs: Vec<(u8, u8)> = Vec::new();
    for byte in bytes {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == byte => *last = byte,
            _ => runs.push((byte, byte)),
        }
    }
    for (first, last) in runs {
        posix.push(char::from(first));
        if last > first + 1 {
            posix.push('-');
        }
        if last > first {
            posix.push(char::from(last));
        }
    }
}
