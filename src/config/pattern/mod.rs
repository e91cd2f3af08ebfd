//! A parameter's pattern: an anchored regular expression that sudo's POSIX expressions and Rust's regular expressions
//! read the same way.
//!
//! In: text. Out: a matcher for mailsudo, and the same language as a POSIX extended expression for sudoers. Only
//! literals, bracket classes, groups, `|` and `? * + {m,n}` are accepted (docs/decisions/0007); what a pattern can
//! match is known exactly, so that "never whitespace", "never empty" and "never a leading dash" are checked on it.

mod javascript;
mod node;
mod posix;

use node::{Node, Set};
use regex_syntax::ast::{self, Ast};

/// A pattern that must match the whole value.
#[derive(Debug, Clone)]
pub struct Pattern {
    source: String,
    regex: regex_lite::Regex,
    /// The same language, or the reason why the two sides may read it differently.
    portable: Result<Node, String>,
}

/// The greatest count in `{m,n}` that POSIX promises (RE_DUP_MAX, regex(7)).
const MAX_COUNT: u32 = 255;

impl Pattern {
    /// Reads a pattern of the form `^...$`.
    ///
    /// # Errors
    ///
    /// It is not a regular expression, or not anchored at both ends.
    pub fn parse(source: &str) -> Result<Self, String> {
        let regex = regex_lite::Regex::new(source)
            .map_err(|error| format!("`{source}` is not a regular expression: {error}"))?;
        let ast = ast::parse::Parser::new()
            .parse(source)
            .map_err(|error| format!("`{source}` is not a regular expression: {}", error.kind()))?;
        let inner = anchored(&ast).ok_or_else(|| {
            format!("`{source}` must begin with ^ and end with $; put alternatives in a group: ^(a|b)$")
        })?;
        let portable = inner.iter().map(node).collect::<Result<_, _>>().map(Node::Sequence);
        Ok(Self { source: source.to_owned(), regex, portable })
    }

    /// The pattern as it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether the whole of `value` matches.
    pub fn matches(&self, value: &str) -> bool {
        self.regex.is_match(value)
    }

    /// Whether sudo can check this pattern too, as `run_via = "sudo"` requires (docs/decisions/0007).
    ///
    /// # Errors
    ///
    /// Why not, and what to write instead.
    pub fn check_for_sudo(&self) -> Result<(), String> {
        let node = self.portable.as_ref().map_err(Clone::clone)?;
        if node.may_be_empty() {
            return Err(format!("`{}` can match an empty value; use + for * or ?", self.source));
        }
        Ok(())
    }

    /// Whether a matching value may begin with `-`.
    pub fn may_begin_with_dash(&self) -> bool {
        match &self.portable {
            Ok(node) => node.first() & 1 << b'-' != 0,
            Err(_) => true,
        }
    }

    /// One of the shortest values that match, where the pattern is portable.
    pub fn sample(&self) -> Option<String> {
        let mut sample = String::new();
        self.portable.as_ref().ok()?.sample(&mut sample);
        Some(sample)
    }

    /// The same language as a POSIX extended regular expression (regex(7)), without anchors.
    ///
    /// # Errors
    ///
    /// Those of [`check_for_sudo`](Self::check_for_sudo).
    pub fn to_posix(&self) -> Result<String, String> {
        self.check_for_sudo()?;
        let mut posix = String::new();
        posix::print(self.portable.as_ref().map_err(Clone::clone)?, &mut posix);
        Ok(format!("({posix})"))
    }

    /// The same language as an expression of JavaScript, without anchors, where the pattern is portable.
    pub fn to_javascript(&self) -> Option<String> {
        let mut expression = String::new();
        javascript::print(self.portable.as_ref().ok()?, &mut expression);
        Some(expression)
    }
}

/// The part between `^` and `$`.
fn anchored(ast: &Ast) -> Option<&[Ast]> {
    let is =
        |ast: &Ast, wanted: &ast::AssertionKind| matches!(ast, Ast::Assertion(assertion) if assertion.kind == *wanted);
    match ast {
        Ast::Concat(concat) => match concat.asts.as_slice() {
            [first, inner @ .., last]
                if is(first, &ast::AssertionKind::StartLine) && is(last, &ast::AssertionKind::EndLine) =>
            {
                Some(inner)
            }
            _ => None,
        },
        _ => None,
    }
}

fn node(ast: &Ast) -> Result<Node, String> {
    let all = |asts: &[Ast]| asts.iter().map(node).collect::<Result<Vec<_>, _>>();
    match ast {
        Ast::Empty(_) => Ok(Node::Sequence(Vec::new())),
        Ast::Literal(literal) => Ok(Node::Characters(one(plain(literal)?)?)),
        Ast::ClassBracketed(class) if !class.negated => Ok(Node::Characters(bracket(&class.kind)?)),
        Ast::ClassBracketed(_) => Err("[^...] matches spaces too; list the allowed characters".to_owned()),
        Ast::Dot(_) => Err(". matches spaces too; list the allowed characters".to_owned()),
        Ast::ClassPerl(_) | Ast::ClassUnicode(_) => {
            Err(r"\d, \w, \s and \p have another meaning in sudo; write [0-9], [a-z] and the like".to_owned())
        }
        Ast::Group(group) => match &group.kind {
            ast::GroupKind::CaptureIndex(_) => node(&group.ast),
            _ => Err("(?...) is not supported by sudo; use a plain group".to_owned()),
        },
        Ast::Alternation(choice) => Ok(Node::Choice(all(&choice.asts)?)),
        Ast::Concat(concat) => Ok(Node::Sequence(all(&concat.asts)?)),
        Ast::Repetition(repetition) if repetition.greedy => {
            let (least, most) = counts(&repetition.op.kind);
            if least.max(most.unwrap_or(0)) > MAX_COUNT {
                return Err(format!("{{m,n}} counts to at most {MAX_COUNT} in sudo"));
            }
            Ok(Node::Repeat(Box::new(node(&repetition.ast)?), least, most))
        }
        Ast::Repetition(_) => Err("lazy repetition is not supported by sudo; leave the ? out".to_owned()),
        Ast::Assertion(_) => Err("^ and $ are allowed only at the ends".to_owned()),
        Ast::Flags(_) => Err("(?...) is not supported by sudo".to_owned()),
    }
}

fn counts(kind: &ast::RepetitionKind) -> (u32, Option<u32>) {
    match kind {
        ast::RepetitionKind::ZeroOrOne => (0, Some(1)),
        ast::RepetitionKind::ZeroOrMore => (0, None),
        ast::RepetitionKind::OneOrMore => (1, None),
        ast::RepetitionKind::Range(ast::RepetitionRange::Exactly(n)) => (*n, Some(*n)),
        ast::RepetitionKind::Range(ast::RepetitionRange::AtLeast(n)) => (*n, None),
        ast::RepetitionKind::Range(ast::RepetitionRange::Bounded(m, n)) => (*m, Some(*n)),
    }
}

fn plain(literal: &ast::Literal) -> Result<char, String> {
    use ast::LiteralKind::{Meta, Superfluous, Verbatim};
    match literal.kind {
        Verbatim | Meta | Superfluous => Ok(literal.c),
        _ => Err(r"\n, \x and their like have another meaning in sudo".to_owned()),
    }
}

/// The bit of a character that a value may hold: printable ASCII, and neither white space nor backslash,
/// which sudoers reads in a special way.
fn one(c: char) -> Result<Set, String> {
    if c.is_ascii_graphic() && c != '\\' {
        Ok(1 << u32::from(c))
    } else {
        Err(format!("{c:?} cannot be matched through sudo; only printable ASCII without \\ and spaces"))
    }
}

fn bracket(set: &ast::ClassSet) -> Result<Set, String> {
    match set {
        ast::ClassSet::Item(item) => bracket_item(item),
        ast::ClassSet::BinaryOp(_) => Err("&&, -- and ~~ in [...] are not supported by sudo".to_owned()),
    }
}

fn bracket_item(item: &ast::ClassSetItem) -> Result<Set, String> {
    match item {
        ast::ClassSetItem::Literal(literal) => one(plain(literal)?),
        ast::ClassSetItem::Range(range) => {
            (plain(&range.start)?..=plain(&range.end)?).try_fold(0, |set, c| Ok(set | one(c)?))
        }
        ast::ClassSetItem::Union(union) => union.items.iter().try_fold(0, |set, item| Ok(set | bracket_item(item)?)),
        _ => Err("only characters and ranges are allowed in [...]".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_anchored() {
        for good in ["^v[0-9]+$", "^(a|b)$", "^a$"] {
            assert!(Pattern::parse(good).is_ok(), "{good}");
        }
        for bad in ["a", "^a", "a$", "^a|b$", "(^a$)", "^(a$", "^[$", "^*$", "^$|^x$"] {
            assert!(Pattern::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn with_run_via_sudo_what_sudo_reads_differently_is_refused() {
        for bad in [
            r"^\d+$",
            r"^\w$",
            "^.$",
            "^[^a]$",
            "^a b$",
            "^[ -~]$",
            "^a*$",
            "^(a|b?)$",
            "^(?i)a$",
            "^(?:a)$",
            "^a+?$",
            r"^\bx$",
            "^ä$",
            r"^a\nb$",
            "^a{256}$",
            r"^\\$",
            "^[[:alpha:]]$",
        ] {
            let pattern = Pattern::parse(bad).expect(bad);
            assert!(pattern.check_for_sudo().is_err(), "{bad}");
            assert!(pattern.to_posix().is_err(), "{bad}");
        }
    }

    #[test]
    fn posix_says_the_same() {
        for (rust, posix) in [
            (r"^v[0-9]+\.[0-9]+$", "(v([0-9])+[.]([0-9])+)"),
            ("^(nginx|php8)$", "((nginx|php8))"),
            ("^[]^a-]{2,3}$", "(([]a^-]){2,3})"),
            (r"^\^$", r"(\^)"),
            (r"^[a-cxyz_.:=\[]$", "([a-cx-z.:=_[])"),
            ("^x{3,}$", "((x){3,})"),
            (r"^[\^-]$", r"((\^|-))"),
            (r"^[a#$]$", r"((a|#|\$))"),
            (r"^[\^a-]$", "([a^-])"),
        ] {
            let pattern = Pattern::parse(rust).expect(rust);
            assert_eq!(pattern.to_posix().as_deref(), Ok(posix), "{rust}");
        }
    }

    #[test]
    fn javascript_says_the_same() {
        for (rust, javascript) in [
            ("^v[0-2]+$", Some(r"[\x76](?:[\x30\x31\x32]){1,}")),
            ("^(a|b.c?)$", None),
            ("^(a|bc?)$", Some(r"(?:[\x61]|[\x62](?:[\x63]){0,1})")),
            ("^[]^-]{2,3}$", Some(r"(?:[\x2d\x5d\x5e]){2,3}")),
        ] {
            let pattern = Pattern::parse(rust).expect(rust);
            assert_eq!(pattern.to_javascript().as_deref(), javascript, "{rust}");
        }
    }

    #[test]
    fn a_leading_dash_is_seen() {
        let dash = |text| Pattern::parse(text).expect(text).may_begin_with_dash();
        assert!(dash("^[a-z-]+$"));
        assert!(dash("^(a?)-x$"));
        assert!(dash(r"^\d$"), "unknown language: assume the worst");
        assert!(!dash("^[a-z][a-z-]*$"));
    }
}
