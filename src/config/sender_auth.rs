//! What may be required of a sender besides the signature, as the configuration gives it: address ranges of clients,
//! the filter with the trusted results, domains that sign for others. In: text. Out: types that compare as the mail
//! system means them.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::Deserialize;

/// What is required of a sender besides the signature: of every sender (`[intake]`), or of one user.
#[derive(Debug, Clone, Copy)]
pub struct SenderRequirements<'d> {
    /// A SASL login.
    pub sasl: bool,
    /// The accepted logins; `None` accepts any.
    pub logins: Option<&'d [String]>,
    /// A result for the From domain in an Authentication-Results field.
    pub authentication_results: bool,
    /// A client's address in one of these; an empty list accepts any.
    pub clients: &'d [AddressRange],
}

/// A range of IP addresses: `192.0.2.0/24`, `2001:db8::/32`, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct AddressRange(IpNet);

impl AddressRange {
    /// Whether `address` is in it.
    pub fn holds(&self, address: IpAddr) -> bool {
        self.0.contains(&address)
    }

    /// Whether one of the two contains the other. Two ranges that share an address always do.
    pub fn meets(&self, other: &Self) -> bool {
        self.0.contains(&other.0) || other.0.contains(&self.0)
    }

    /// Whether it is of IPv4.
    pub fn is_ipv4(&self) -> bool {
        self.0.addr().is_ipv4()
    }
}

impl TryFrom<String> for AddressRange {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let range = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
        let Some(range) = range else {
            return Err(format!("`{text}` is not a range of addresses like 192.0.2.0/24 or 2001:db8::/32"));
        };
        if range.trunc() != range {
            return Err(format!("`{text}` has bits set after its prefix: write {} or one address", range.trunc()));
        }
        // A client's address is compared in its shortest form, so nothing would ever be in such a range.
        if range.addr().to_canonical() != range.addr() {
            return Err(format!("`{text}` is an IPv4-mapped IPv6 address: write it as IPv4"));
        }
        Ok(Self(range))
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The name under which a filter writes its Authentication-Results (RFC 8601 section 2.5), mostly a host name. Compared
/// without regard to ASCII case.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub struct AuthservId(String);

impl AuthservId {
    /// Whether `other`, from a mail, is this one.
    pub fn is(&self, other: &str) -> bool {
        self.0.eq_ignore_ascii_case(other)
    }
}

impl TryFrom<String> for AuthservId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if !text.is_empty() && text.len() <= 253 && text.bytes().all(fine) {
            Ok(Self(text))
        } else {
            Err(format!("`{text}` is not an authserv-id like mx.example.com"))
        }
    }
}

impl fmt::Display for AuthservId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A domain of at least two labels.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Domain(String);

impl Domain {
    /// Whether `other` is this domain.
    pub fn is(&self, other: &str) -> bool {
        self.0.eq_ignore_ascii_case(other)
    }

    /// Whether `other` is below this domain.
    pub fn is_above(&self, other: &str) -> bool {
        let end = |name: &str| name.len().checked_sub(self.0.len());
        end(other)
            .and_then(|at| other.split_at_checked(at))
            .is_some_and(|(start, end)| start.len() > 1 && start.ends_with('.') && self.is(end))
    }
}

impl TryFrom<String> for Domain {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let label = |label: &str| {
            !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        if text.len() <= 253 && text.contains('.') && text.split('.').all(label) {
            Ok(Self(text))
        } else {
            Err(format!("`{text}` is not a domain like example.com"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> Result<AddressRange, String> {
        AddressRange::try_from(text.to_owned())
    }

    #[test]
    fn a_range_holds_its_own_addresses_only() {
        let holds = |net: &str, address: &str| range(net).expect("a range").holds(address.parse().expect("an address"));
        assert!(holds("192.0.2.0/24", "192.0.2.255") && !holds("192.0.2.0/24", "192.0.3.0"));
        assert!(holds("192.0.2.7", "192.0.2.7") && !holds("192.0.2.7", "192.0.2.8"));
        assert!(holds("2001:db8::/32", "2001:db8:ffff::1") && !holds("2001:db8::/32", "2001:db9::"));
        assert!(holds("0.0.0.0/0", "203.0.113.9") && !holds("0.0.0.0/0", "::1"), "the families are separate");
    }

    #[test]
    fn a_range_that_looks_like_another_is_an_error() {
        for (text, wanted) in [
            ("192.0.2.1/24", "write 192.0.2.0/24"),
            ("2001:db8::1/32", "write 2001:db8::/32"),
            ("::ffff:192.0.2.0/120", "write it as IPv4"),
            ("192.0.2.0/33", "is not a range"),
            ("192.0.2", "is not a range"),
            ("localhost", "is not a range"),
            ("", "is not a range"),
        ] {
            let error = range(text).expect_err(text);
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }

    #[test]
    fn ranges_meet_where_they_share_an_address() {
        let meet = |one: &str, other: &str| {
            let (one, other) = (range(one).expect("a range"), range(other).expect("a range"));
            assert_eq!(one.meets(&other), other.meets(&one));
            one.meets(&other)
        };
        assert!(meet("10.0.0.0/8", "10.1.0.0/16") && meet("10.0.0.0/8", "10.0.0.0/8"));
        assert!(!meet("10.0.0.0/9", "10.128.0.0/9") && !meet("0.0.0.0/0", "::/0"));
    }

    #[test]
    fn a_domain_is_above_whole_labels_only() {
        let domain = Domain::try_from("Example.com".to_owned()).expect("a domain");
        assert!(domain.is("example.COM") && !domain.is("a.example.com"));
        assert!(domain.is_above("a.example.com") && domain.is_above("b.a.EXAMPLE.com"));
        for other in ["example.com", ".example.com", "notexample.com", "example.com.evil.example", "com", "", "é.com"]
        {
            assert!(!domain.is_above(other), "{other}");
        }
        for bad in ["", "com", ".com", "example..com", "example.com.", "ex ample.com", "*.example.com"] {
            assert!(Domain::try_from(bad.to_owned()).is_err(), "{bad}");
        }
        for bad in ["", "a b", "mx.example.com;", "\"mx\"", "é"] {
            assert!(AuthservId::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
