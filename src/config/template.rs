//! One argument of a command as its file gives it: literal text with `{parameter}` in it.
//! In: text and values. Out: exactly one argument, whatever the values hold. It can never become two.

use serde::Deserialize;

use crate::protocol::ParameterName;

/// An argument with places for parameters (`{{` and `}}` are braces).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Template {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Placeholder(ParameterName),
}

/// A part of a template, for output in another form than literal text.
#[derive(Debug, Clone, Copy)]
pub enum Part<'t> {
    /// Literal text.
    Literal(&'t str),
    /// The place of a parameter.
    Placeholder(&'t ParameterName),
}

impl Template {
    /// The parts from left to right.
    pub fn parts(&self) -> impl Iterator<Item = Part<'_>> {
        self.pieces.iter().map(|piece| match piece {
            Piece::Literal(text) => Part::Literal(text),
            Piece::Placeholder(name) => Part::Placeholder(name),
        })
    }

    /// The parameters that have a place here.
    pub fn placeholders(&self) -> impl Iterator<Item = &ParameterName> {
        self.parts().filter_map(|part| match part {
            Part::Placeholder(name) => Some(name),
            Part::Literal(_) => None,
        })
    }

    /// The literal text alone, for checks.
    pub fn literals(&self) -> impl Iterator<Item = &str> {
        self.parts().filter_map(|part| match part {
            Part::Literal(text) => Some(text),
            Part::Placeholder(_) => None,
        })
    }

    /// The parameter that starts the argument: its value may not begin with `-` (docs/decisions/0006).
    pub fn opening(&self) -> Option<&ParameterName> {
        match self.pieces.first() {
            Some(Piece::Placeholder(name)) => Some(name),
            _ => None,
        }
    }

    /// The argument with `value` of each parameter in its place; `None` where one has no value, or where an
    /// argument that starts with a parameter would begin with `-` and be read as an option.
    pub fn fill<'v>(&self, value: impl Fn(&ParameterName) -> Option<&'v str>) -> Option<String> {
        let mut argument = String::new();
        for part in self.parts() {
            argument.push_str(match part {
                Part::Literal(text) => text,
                Part::Placeholder(name) => value(name)?,
            });
        }
        let would_be_option = self.opening().is_some() && argument.starts_with('-');
        (!would_be_option).then_some(argument)
    }
}

impl TryFrom<String> for Template {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text.chars();
        while let Some(c) = rest.next() {
            match c {
                '{' if rest.as_str().starts_with('{') => {
                    rest.next();
                    literal.push('{');
                }
                '}' if rest.as_str().starts_with('}') => {
                    rest.next();
                    literal.push('}');
                }
                '{' => {
                    let (name, after) = rest.as_str().split_once('}').ok_or_else(|| lone('{', &text))?;
                    let name = ParameterName::try_from(name)
                        .map_err(|bad| format!("{{{name}}} in `{text}`: {bad}; for a brace write {{{{"))?;
                    rest = after.chars();
                    if !literal.is_empty() {
                        pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                    }
                    pieces.push(Piece::Placeholder(name));
                }
                '}' => return Err(lone('}', &text)),
                '\0' => return Err("an argument cannot hold a NUL".to_owned()),
                other => literal.push(other),
            }
        }
        if !literal.is_empty() || pieces.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        Ok(Self { pieces })
    }
}

fn lone(brace: char, text: &str) -> String {
    format!("a lone {brace} in `{text}`: a parameter is {{name}}, a brace is {{{{ or }}}}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn template(text: &str) -> Result<Template, String> {
        Template::try_from(text.to_owned())
    }

    #[test]
    fn braces_are_parameters_or_doubled() {
        let fill = |text: &str, value: &'static str| template(text).ok()?.fill(|_| Some(value));
        assert_eq!(fill("plain", "x").as_deref(), Some("plain"));
        assert_eq!(fill("{a}", "x").as_deref(), Some("x"));
        assert_eq!(fill("--to={a}.{b}", "x").as_deref(), Some("--to=x.x"));
        assert_eq!(fill("{{{a}}}", "x").as_deref(), Some("{x}"));
        assert_eq!(fill("{a}", "-rf"), None, "an option where a value is meant");
        assert_eq!(fill("-{a}", "rf").as_deref(), Some("-rf"), "the sysadmin wrote the dash");
        assert_eq!(fill("", "x").as_deref(), Some(""));
        for bad in ["{", "}", "{a", "a}", "{}", "{A}", "{a b}", "x\0"] {
            assert!(template(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_value_stays_inside_its_argument(value in "\\PC{0,40}") {
            let argument = template("--name={a}").expect("a template").fill(|_| Some(&value));
            prop_assert_eq!(argument, Some(format!("--name={value}")));
        }
    }
}
