//! A mail address from the configuration. In: text. Out: an address that is safe in a header field, in an
//! envelope and as an argument to sendmail: printable ASCII, one `@`, no space, quote or bracket, no dash at the start.

use std::fmt;

use serde::Deserialize;

/// `local-part@domain` (RFC 5321 section 4.1.2, the dot-string form); compared without regard to ASCII case.
#[derive(Debug, Clone, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct MailAddress(String);

impl MailAddress {
    /// The address as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part after the `@`.
    pub fn domain(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(_, domain)| domain)
    }

    /// Whether `other`, from a mail, is this address. An internationalised domain in it counts as its A-labels (RFC
    /// 5890).
    pub fn is(&self, other: &str) -> bool {
        if other.is_ascii() {
            return self.0.eq_ignore_ascii_case(other);
        }
        let Some((local, domain)) = other.rsplit_once('@') else {
            return false;
        };
        let labels: Option<Vec<String>> = domain.split('.').map(a_label).collect();
        labels.is_some_and(|labels| self.0.eq_ignore_ascii_case(&format!("{local}@{}", labels.join("."))))
    }
}

/// A label of a domain in ASCII (RFC 3492). Letters are converted to lower case, as browsers and mail programs do.
fn a_label(label: &str) -> Option<String> {
    if label.is_ascii() {
        return Some(label.to_owned());
    }
    idna::punycode::encode_str(&label.to_lowercase()).map(|encoded| format!("xn--{encoded}"))
}

impl PartialEq for MailAddress {
    fn eq(&self, other: &Self) -> bool {
        self.is(&other.0)
    }
}

impl TryFrom<String> for MailAddress {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let fine = |part: &str, extra: &[u8]| {
            !part.is_empty()
                && !part.starts_with(['.', '-'])
                && !part.ends_with('.')
                && !part.contains("..")
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || extra.contains(&byte))
        };
        let atext = b"!#$%&'*+-/=?^_`{|}~.";
        match text.split_once('@') {
            Some((local, domain)) if text.len() <= 254 && fine(local, atext) && fine(domain, b"-.") => Ok(Self(text)),
            _ => Err(format!("`{text}` is not a mail address like alice@example.com")),
        }
    }
}

impl fmt::Display for MailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_internationalised_domain_is_its_a_labels() {
        let address = MailAddress::try_from("alice@xn--mnchen-3ya.example".to_owned()).expect("an address");
        assert!(address.is("alice@m\u{fc}nchen.example") && address.is("alice@M\u{dc}NCHEN.example"));
        assert!(!address.is("alice@munchen.example") && !address.is("\u{e4}lice@m\u{fc}nchen.example"));
    }

    #[test]
    fn only_plain_addresses_are_taken() {
        for good in ["ops@example.com", "a.b+c@x", "o'neil@sub.example.org"] {
            assert!(MailAddress::try_from(good.to_owned()).is_ok(), "{good}");
        }
        for bad in ["", "@", "a@", "@b", "a@b@c", "-f@x", "a b@x", "a@x\n", "<a@x>", "\"a\"@x", "a..b@x", "é@x"] {
            assert!(MailAddress::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
