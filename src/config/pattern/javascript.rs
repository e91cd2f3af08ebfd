//! A pattern as an expression of JavaScript (ECMA-262, with the `u` flag), for the page that users sign with.

use super::node::{Node, Set};

/// Appends the expression for `node`, without anchors.
pub(super) fn print(node: &Node, expression: &mut String) {
    match node {
        Node::Characters(set) => print_set(*set, expression),
        Node::Sequence(nodes) => nodes.iter().for_each(|node| print(node, expression)),
        Node::Choice(nodes) => {
            expression.push_str("(?:");
            for (at, node) in nodes.iter().enumerate() {
                if at > 0 {
                    expression.push('|');
                }
                print(node, expression);
            }
            expression.push(')');
        }
        Node::Repeat(node, least, most) => {
            expression.push_str("(?:");
            print(node, expression);
            let most = most.map(|most| most.to_string()).unwrap_or_default();
            *expression += &format!("){{{least},{most}}}");
        }
    }
}

/// A set as a class of numbered characters, so that no sign has a meaning of its own.
fn print_set(set: Set, expression: &mut String) {
    expression.push('[');
    for byte in (0..128_u8).filter(|byte| set & 1 << byte != 0) {
        *expression += &format!("\\x{byte:02x}");
    }
    expression.push(']');
}
