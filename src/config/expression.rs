//! A regular expression over a header field, from `[intake]`. It is compiled when a message first needs it, since most
//! messages need none.

use serde::Deserialize;

/// An expression of the `regex-lite` crate, searched for anywhere in a field unless anchored.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Expression(String);

impl Expression {
    /// Whether `text` holds a match, in time linear in its length.
    ///
    /// # Errors
    ///
    /// The expression itself is wrong, with the reason.
    pub fn matches(&self, text: &str) -> Result<bool, String> {
        match regex_lite::Regex::new(&self.0) {
            Ok(regex) => Ok(regex.is_match(text)),
            Err(error) => Err(format!("`{}` is not a regular expression: {error}", self.0)),
        }
    }
}

impl From<&str> for Expression {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}
