//! An Authentication-Results field (RFC 8601 section 2.2). In: one whole field of a header. Out: its authserv-id and
//! its content, or [`Unreadable`]. Any sender may have written it, so it is read in one pass, without recursion, and
//! not at all above [`AUTHENTICATION_RESULTS`].
//!
//! Where filters in use break the grammar, the field is read as every reader would read it: values need not be
//! quoted (OpenDKIM writes `header.b=h+VA/GY`), a semicolon may stand at the end, and a property without its type
//! (Exchange's `action=none`) is ignored.

use super::structured::{Reader, Unreadable};

use crate::limits::AUTHENTICATION_RESULTS;

/// The field's name.
pub(super) const NAME: &str = "Authentication-Results";

/// The content of one field.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Results {
    /// One for each `method=result`.
    pub(super) entries: Vec<Entry>,
}

/// `method=result` with its properties.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    method: String,
    result: String,
    properties: Vec<(String, String)>,
}

impl Entry {
    /// Whether it is the result of `method`.
    pub(super) fn is_of(&self, method: &str) -> bool {
        self.method.eq_ignore_ascii_case(method)
    }

    /// The result's word, in lower case.
    pub(super) fn result(&self) -> String {
        self.result.to_ascii_lowercase()
    }

    /// The one value of the property `name`, such as `header.d`; none where it is missing or given twice.
    pub(super) fn property(&self, name: &str) -> Option<&str> {
        let mut values = self.properties.iter().filter(|(found, _)| found.eq_ignore_ascii_case(name));
        match (values.next(), values.next()) {
            (Some((_, value)), None) => Some(value),
            _ => None,
        }
    }
}

/// The field's authserv-id. The field name must be exact: some readers take `Authentication- Results` for
/// the same field, so a filter that removes forged fields may have missed this one.
pub(super) fn author(field: &str) -> Result<String, Unreadable> {
    open(field).map(|(author, _)| author)
}

/// The results in the field.
pub(super) fn read(field: &str) -> Result<Results, Unreadable> {
    let (_, mut rest) = open(field)?;
    rest.space()?;
    if rest.peek().is_some_and(|c| c.is_ascii_digit()) && rest.word()? != "1" {
        return Err(Unreadable);
    }
    let mut entries = Vec::new();
    loop {
        rest.space()?;
        if rest.is_empty() {
            return Ok(Results { entries });
        }
        rest.take(';')?;
        rest.space()?;
        if !rest.is_empty() {
            entries.extend(entry(&mut rest)?);
        }
    }
}

fn open(field: &str) -> Result<(String, Reader<'_>), Unreadable> {
    if field.len() > AUTHENTICATION_RESULTS {
        return Err(Unreadable);
    }
    let (name, rest) = field.split_at_checked(NAME.len()).ok_or(Unreadable)?;
    let mut reader = Reader::of(rest);
    if !name.eq_ignore_ascii_case(NAME) {
        return Err(Unreadable);
    }
    reader.take(':')?;
    reader.space()?;
    Ok((reader.word()?, reader))
}

/// `method[/version]=result`, then properties; nothing where it is `none` alone.
fn entry(rest: &mut Reader<'_>) -> Result<Option<Entry>, Unreadable> {
    let method = rest.keyword()?;
    rest.space()?;
    if method.eq_ignore_ascii_case("none") && matches!(rest.peek(), None | Some(';')) {
        return Ok(None);
    }
    if rest.skip('/') {
        rest.space()?;
        if rest.keyword()? != "1" {
            return Err(Unreadable);
        }
        rest.space()?;
    }
    rest.take('=')?;
    rest.space()?;
    let mut entry = Entry { method, result: rest.keyword()?, properties: Vec::new() };
    loop {
        // White space must follow a result: `dkim=pass.header` is neither.
        let before = rest.len();
        rest.space()?;
        if matches!(rest.peek(), None | Some(';')) {
            return Ok(Some(entry));
        }
        if rest.len() == before {
            return Err(Unreadable);
        }
        entry.properties.extend(property(rest)?);
    }
}

/// `type.property=value`; nothing where it is `reason=value` or the like.
fn property(rest: &mut Reader<'_>) -> Result<Option<(String, String)>, Unreadable> {
    let first = rest.keyword()?;
    rest.space()?;
    let name = if rest.skip('.') {
        rest.space()?;
        let second = rest.keyword()?;
        rest.space()?;
        Some(format!("{first}.{second}"))
    } else {
        None
    };
    rest.take('=')?;
    rest.space()?;
    let value = rest.word()?;
    Ok(name.map(|name| (name, value)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Each entry as `method=result property=value...`.
    fn told(field: &str) -> Result<Vec<String>, Unreadable> {
        let tell = |entry: &Entry| {
            let properties = entry.properties.iter().map(|(name, value)| format!(" {name}={value}"));
            format!("{}={}{}", entry.method, entry.result, properties.collect::<String>())
        };
        read(field).map(|results| results.entries.iter().map(tell).collect())
    }

    #[test]
    fn fields_of_filters_in_use_are_read() {
        for (field, wanted) in [
            // RFC 8601, appendix B.
            ("Authentication-Results: example.org 1; none", vec![]),
            (
                "Authentication-Results: example.com;\n\tauth=pass (cram-md5) smtp.auth=sender@example.net;\n\tspf=pass smtp.mailfrom=example.net",
                vec!["auth=pass smtp.auth=sender@example.net", "spf=pass smtp.mailfrom=example.net"],
            ),
            (
                "Authentication-Results: foo.example.net (foobar) 1 (baz);\n    dkim (Because I like it) / 1 (One yay) = (wait for it) fail\n      policy (A dot can go here) . (like that) expired\n      (this surprised me) = (as I wasn't expecting it) 1362471462",
                vec!["dkim=fail policy.expired=1362471462"],
            ),
            // OpenDKIM 2.11 and OpenDMARC 1.4, as those of the system tests write them.
            (
                "Authentication-Results: dkim.example.com;\n\tdkim=pass (2048-bit key; unprotected) header.d=users.example header.i=@users.example header.a=rsa-sha256 header.s=mail header.b=h+VAy/GY;\n\tdkim-atps=neutral",
                vec![
                    "dkim=pass header.d=users.example header.i=@users.example header.a=rsa-sha256 header.s=mail header.b=h+VAy/GY",
                    "dkim-atps=neutral",
                ],
            ),
            (
                "Authentication-Results: mx.example.com; dmarc=pass (p=reject dis=none) header.from=users.example",
                vec!["dmarc=pass header.from=users.example"],
            ),
            // rspamd, Exchange, and a mail from a sender who tries to add a result.
            (
                "Authentication-Results: mx.example.com;\r\n\tdmarc=fail reason=\"SPF; not aligned (relaxed)\" header.from=a.example (policy=none);\r\n",
                vec!["dmarc=fail header.from=a.example"],
            ),
            (
                "authentication-results:mx.example.com;spf=pass (sender IP is 192.0.2.1) smtp.mailfrom=a.example;dmarc=pass action=none\n header.from=a.example;compauth=pass reason=100",
                vec!["spf=pass smtp.mailfrom=a.example", "dmarc=pass header.from=a.example", "compauth=pass"],
            ),
            (
                "Authentication-Results: mx.example.com; spf=pass (\"(\\)); dkim=pass header.d=a.example) smtp.mailfrom=\"x; dkim=pass header.d=a.example \\\"\"@evil.example",
                vec!["spf=pass smtp.mailfrom=x; dkim=pass header.d=a.example \"@evil.example"],
            ),
        ] {
            assert_eq!(told(field), Ok(wanted.into_iter().map(str::to_owned).collect()), "{field}");
        }
    }

    #[test]
    fn what_is_no_such_field_is_unreadable() {
        for rest in [
            "",
            ":",
            ": ;",
            " : mx.example.com; none",
            ": (mx.example.com; none",
            ": mx.example.com 2; dkim=pass",
            ": mx.example.com dkim=pass",
            ": mx.example.com; dkim",
            ": mx.example.com; dkim=",
            ": mx.example.com; dkim/2=pass",
            ": mx.example.com; dkim=pass.header.d=a.example",
            ": mx.example.com; dkim=pass header.d",
            ": mx.example.com; dkim=pass header.d=",
            ": mx.example.com; dkim=pass header.d=\"a.example",
            ": mx.example.com; dkim=pass header.d=a.example)",
            ": mx.example.com; dkim=pass header.d=a\u{a0}b",
            ": mx.example.com; dkim=pass header.d=a\u{0}b",
            ": mx.example.com; ; dkim=pass",
        ] {
            assert_eq!(told(&format!("{NAME}{rest}")), Err(Unreadable), "{rest}");
        }
        assert_eq!(told("Authentication- Results: mx.example.com; dkim=pass"), Err(Unreadable));
        assert_eq!(told("Authentication_Results: mx.example.com; dkim=pass"), Err(Unreadable));
        assert_eq!(told(&format!("{NAME}: a; x=y{}", " ".repeat(AUTHENTICATION_RESULTS))), Err(Unreadable));
        assert_eq!(
            told(&format!("{NAME}: {}", "(".repeat(AUTHENTICATION_RESULTS / 2))),
            Err(Unreadable),
            "deep, not recursive"
        );
    }

    #[test]
    fn a_property_said_twice_says_nothing() {
        let results = read("Authentication-Results: a; dkim=PASS header.d=x HEADER.D=y header.s=z").expect("results");
        let entry = &results.entries[0];
        assert!(entry.is_of("DKIM") && entry.result() == "pass");
        assert_eq!((entry.property("header.d"), entry.property("header.s")), (None, Some("z")));
    }

    proptest! {
        /// Quoted text and comments, which a sender may choose, make no entry.
        #[test]
        fn nothing_quoted_or_commented_makes_an_entry(text in "[ -~\t]{0,60}", nested in 0_usize..9) {
            let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
            let comment = text.replace('\\', "\\\\").replace('(', "\\(").replace(')', "\\)");
            let comment = format!("{}{comment}{}", "(".repeat(nested + 1), ")".repeat(nested + 1));
            let field = format!("{NAME}: a {comment}; spf=fail {comment} smtp.mailfrom=\"{quoted}\"@b {comment}; dkim=none");
            prop_assert_eq!(told(&field), Ok(vec![format!("spf=fail smtp.mailfrom={text}@b"), "dkim=none".to_owned()]));
        }

        /// Any text is read or refused, without a panic. What is read is at most as long as the text.
        #[test]
        fn any_text_is_read_or_refused(text in any::<String>(), grammar in "[ad;=./\"()\\\\ \n1]{0,80}") {
            for field in [text.clone(), format!("{NAME}:{text}"), format!("{NAME}: mx;{grammar}"), grammar] {
                if let Ok(entries) = told(&field) {
                    prop_assert!(entries.iter().map(String::len).sum::<usize>() <= 2 * field.len());
                    prop_assert!(author(&field).is_ok());
                }
            }
        }
    }
}
