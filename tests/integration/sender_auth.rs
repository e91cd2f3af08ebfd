//! Sender authentication: login, client and verdicts, for all users and for one, through the whole pipeline. What is
//! refused here gets no reply and leaves no record.

use std::ffi::OsString;

use crate::common::{KEY, TOTP, TestGateway, block, explain, mail};
use mailsudo::system::clock::Clock;

/// A gateway whose `[intake]`, or whose user alice, requires something; and a message of alice's.
struct Case<'c> {
    intake: &'c str,
    alice: &'c str,
    login: Option<&'c str>,
    client: Option<&'c str>,
    header: &'c str,
    from: &'c str,
}

const PLAIN: Case<'_> =
    Case { intake: "", alice: "", login: None, client: None, header: "", from: "alice@example.com" };

impl Case<'_> {
    /// `ran`, the word of the rule that refused it, or the part that deferred it.
    fn verdict(&self) -> String {
        let mut test_gateway = TestGateway::new();
        test_gateway.set(&format!("[intake]\n{}", self.intake));
        let about =
            format!("address = \"alice@example.com\"\nfrom = [\"{}\"]\nroles = [\"web\"]\n{}\n", self.from, self.alice);
        test_gateway.write("users.d/alice.toml", 0o644, &about);
        test_gateway.write("secrets.d/alice.toml", 0o600, &format!("hmac_key = \"{KEY}\"\ntotp = \"{TOTP}\"\n"));
        test_gateway.envelope.sasl_username = self.login.map(OsString::from);
        test_gateway.envelope.client_address = self.client.map(OsString::from);
        let text = block("alice", KEY, test_gateway.clock.now(), "count", &[], None);
        let ended = test_gateway.deliver(&format!("{}{}", self.header, mail(self.from, &text)));
        if test_gateway.runs().len() == 1 {
            return "ran".to_owned();
        }
        assert!(ended.replies.is_empty() && test_gateway.recorded() == (0, 0), "{ended:?}");
        let log = ended.log.join("\n");
        let reason = log.split("reason=").nth(1).and_then(|rest| rest.split_whitespace().next());
        ended.deferred.or(reason).unwrap_or_else(|| panic!("{log}")).to_owned()
    }
}

#[test]
fn a_login_must_be_one_of_the_users() {
    let required = "require_sasl = true";
    let logins = "logins = [\"alice\", \"alice@REALM.EXAMPLE\"]";
    let asked = &format!("{logins}\nrequire_sasl = true");
    for (intake, alice, login, wanted) in [
        ("", "", None, "ran"),
        ("", logins, Some("mallory"), "ran"),
        (required, logins, Some("alice"), "ran"),
        (required, logins, Some("alice@REALM.EXAMPLE"), "ran"),
        (required, logins, Some("alice@realm.example"), "foreign-login"),
        (required, logins, Some("Alice"), "foreign-login"),
        (required, logins, Some("alice "), "foreign-login"),
        (required, logins, Some("mallory"), "foreign-login"),
        (required, logins, Some(""), "no-login"),
        (required, logins, None, "configuration"),
        (required, "", Some("alice"), "foreign-login"),
        (required, "logins = []", Some(""), "no-login"),
        ("", asked, Some("alice"), "ran"),
        ("", asked, Some("mallory"), "foreign-login"),
        ("", asked, Some(""), "no-login"),
        ("", asked, None, "configuration"),
    ] {
        assert_eq!(Case { intake, alice, login, ..PLAIN }.verdict(), wanted, "{intake:?} {alice:?} {login:?}");
    }
}

#[test]
fn a_login_that_is_not_utf_8_is_nobodys() {
    use std::os::unix::ffi::OsStringExt;
    let mut test_gateway = TestGateway::new();
    test_gateway.set("[intake]\nrequire_sasl = true");
    test_gateway.envelope.sasl_username = Some(OsString::from_vec(b"alice\xff".to_vec()));
    let alice = "address = \"alice@example.com\"\nroles = [\"web\"]\nlogins = [\"alice\u{fffd}\"]\n";
    test_gateway.write("users.d/alice.toml", 0o644, alice);
    assert!(test_gateway.deliver(&test_gateway.request("count", &[])).refused("foreign-login"));
}

/// If all users must log in, a message without a login is not even read.
#[test]
fn a_mail_without_a_login_is_not_read() {
    let mut test_gateway = TestGateway::new();
    test_gateway.set("[intake]\nrequire_sasl = true");
    test_gateway.envelope.sasl_username = Some("".into());
    assert!(test_gateway.deliver("").refused("no-login"));
}

#[test]
fn a_client_must_be_in_a_range() {
    let ours = "clients = [\"192.0.2.0/24\", \"2001:db8::/32\"]";
    let home = "clients = [\"192.0.2.7\"]";
    for (intake, alice, client, wanted) in [
        ("", "", Some("unknown"), "ran"),
        ("clients = []", "", None, "ran"),
        (ours, "", Some("192.0.2.255"), "ran"),
        (ours, "", Some("2001:db8::1"), "ran"),
        (ours, "", Some("::ffff:192.0.2.9"), "ran"),
        (ours, "", Some("198.51.100.1"), "foreign-client"),
        (ours, "", Some("2001:db9::1"), "foreign-client"),
        (ours, "", Some("192.0.2.1.example"), "foreign-client"),
        // What Postfix says where it does not know, and of what sendmail(1) submits.
        (ours, "", Some("unknown"), "foreign-client"),
        (ours, "", Some(""), "foreign-client"),
        (ours, "", None, "configuration"),
        ("clients = [\"fe80::/10\"]", "", Some("fe80::1%eth0"), "ran"),
        (ours, home, Some("192.0.2.7"), "ran"),
        (ours, home, Some("192.0.2.8"), "foreign-client"),
        ("", home, Some("192.0.2.8"), "foreign-client"),
        ("", home, None, "configuration"),
    ] {
        assert_eq!(Case { intake, alice, client, ..PLAIN }.verdict(), wanted, "{intake:?} {alice:?} {client:?}");
    }
}

const RESULTS: &str = "authserv_id = \"mx.example.com\"\nrequire_authentication_results = true";

fn verdict_on(header: &str) -> String {
    Case { intake: RESULTS, header, ..PLAIN }.verdict()
}

#[test]
fn a_verdict_must_be_on_the_from_domain() {
    for (results, wanted) in [
        ("dmarc=pass (p=none dis=none) header.from=example.com", "ran"),
        ("DMARC=PASS header.from=Example.COM", "ran"),
        ("dmarc=pass header.from=example.net", "unconfirmed-from"),
        ("dmarc=pass header.from=mail.example.com", "unconfirmed-from"),
        ("dmarc=pass", "unconfirmed-from"),
        ("dmarc=pass header.from=example.com header.from=example.net", "unconfirmed-from"),
        ("dmarc=pass policy.from=example.com", "unconfirmed-from"),
        ("dmarc=fail header.from=example.com", "unconfirmed-from"),
        ("dmarc=reject header.from=example.com", "unconfirmed-from"),
        ("dmarc=none header.from=example.com", "unconfirmed-from"),
        ("dkim=pass (2048-bit key; unprotected) header.d=example.com header.b=h+VAy/GY", "ran"),
        ("dkim=pass header.d=evil.example; dkim=pass header.d=example.com", "ran"),
        ("dkim=fail header.d=example.com; dkim=pass header.d=evil.example", "unconfirmed-from"),
        ("dkim=pass header.d=com", "unconfirmed-from"),
        ("dkim=pass header.d=mail.example.com", "unconfirmed-from"),
        ("dkim=pass header.i=@example.com", "unconfirmed-from"),
        ("dkim=pass (header.d=example.com)", "unconfirmed-from"),
        ("dkim=pass reason=\"header.d=example.com\" header.d=evil.example", "unconfirmed-from"),
        ("spf=pass smtp.mailfrom=example.com", "unconfirmed-from"),
        ("x-dkim=pass header.d=example.com", "unconfirmed-from"),
        ("none", "unconfirmed-from"),
        // DMARC's result decides if there is one.
        ("dkim=pass header.d=example.com; dmarc=fail header.from=example.com", "unconfirmed-from"),
        ("dkim=pass header.d=example.com; dmarc=none header.from=example.com", "ran"),
        ("dkim=pass header.d=example.com; dmarc=permerror header.from=example.com", "ran"),
        ("dmarc=pass header.from=example.com; dmarc=fail header.from=example.com", "ambiguous-results"),
        ("dmarc=pass header.from=example.com; dmarc=pass header.from=example.com", "ambiguous-results"),
        ("dmarc=pass header.from=example.com; (", "unconfirmed-from"),
        ("dmarc=pass header.from=example.com)", "unconfirmed-from"),
    ] {
        assert_eq!(verdict_on(&format!("Authentication-Results: mx.example.com; {results}\n")), wanted, "{results}");
    }
}

#[test]
fn a_verdict_must_be_the_filters_own() {
    let pass = "dkim=pass header.d=example.com";
    for (header, wanted) in [
        (String::new(), "unconfirmed-from"),
        (format!("Authentication-Results: evil.example; {pass}\n"), "unconfirmed-from"),
        (format!("Authentication-Results: mx.example.com.evil.example; {pass}\n"), "unconfirmed-from"),
        (format!("Authentication-Results: MX.example.com; {pass}\n"), "ran"),
        (format!("Authentication-Results:\n\t(a comment) \"mx.example.com\" 1;\n\t{pass}\n"), "ran"),
        (format!("Authentication-Results: mx.example.com 2; {pass}\n"), "unconfirmed-from"),
        (format!("X-Authentication-Results: mx.example.com; {pass}\n"), "unconfirmed-from"),
        (format!("ARC-Authentication-Results: i=1; mx.example.com; {pass}\n"), "unconfirmed-from"),
        // Forged ones below the true one, and above another's.
        (
            format!("Authentication-Results: mx.example.com; {pass}\nAuthentication-Results: evil.example; {pass}\n"),
            "ran",
        ),
        (
            format!("Authentication-Results: evil.example; {pass}\nAuthentication-Results: mx.example.com; {pass}\n"),
            "unconfirmed-from",
        ),
        (
            format!("Authentication-Results: mx.example.com; none\nAuthentication-Results: mx.example.com; {pass}\n"),
            "ambiguous-results",
        ),
        (
            format!(
                "Authentication-Results: mx.example.com; {pass}\nReceived: x\nauthentication-results: (x)MX.EXAMPLE.COM; none\n"
            ),
            "ambiguous-results",
        ),
        // Names that one program reads as the field's and another does not: the border's filter may have left them in.
        (format!("Authentication-Results : mx.example.com; {pass}\n"), "ambiguous-results"),
        (format!("Authentication- Results: mx.example.com; {pass}\n"), "ambiguous-results"),
        (
            format!("Authentication-Results: mx.example.com; {pass}\nAuthentication-Results\t: mx.example.com; none\n"),
            "ambiguous-results",
        ),
        (format!("Authentication-Results: mx.example.com; {pass}\nAuthentication-Results: (\n"), "ambiguous-results"),
    ] {
        assert_eq!(verdict_on(&header), wanted, "{header}");
    }
}

/// In the header of a part, or of a message in the message, where every sender may write one.
#[test]
fn a_verdict_must_be_in_the_messages_own_header() {
    let field = "Authentication-Results: mx.example.com; dkim=pass header.d=example.com\n";
    let mut test_gateway = TestGateway::new();
    test_gateway.set(&format!("[intake]\n{RESULTS}"));
    let part = mail("alice@example.com", &test_gateway.block(test_gateway.clock.now(), "count", &[]));
    let opening = "From: alice@example.com\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n";
    let inside = format!("{opening}\n--b\n{field}{part}\n--b\nContent-Type: message/rfc822\n\n{field}{part}\n--b--\n");
    assert!(test_gateway.deliver(&inside).refused("unconfirmed-from"));
    test_gateway.deliver(&format!("{field}{inside}")).reply();
}

#[test]
fn one_user_alone_may_need_a_verdict() {
    let header = "Authentication-Results: mx.example.com; dmarc=pass header.from=example.com\n";
    let alice = "require_authentication_results = true";
    let known = "authserv_id = \"mx.example.com\"";
    let verdict = |intake, alice, header| Case { intake, alice, header, ..PLAIN }.verdict();
    assert_eq!(verdict(known, "", ""), "ran");
    assert_eq!(verdict(known, alice, ""), "unconfirmed-from");
    assert_eq!(verdict(known, alice, header), "ran");
    assert_eq!(verdict(known, "", "Authentication- Results: (\n"), "ran", "nobody asks");
    assert_eq!(verdict("", alice, header), "configuration");
}

#[test]
fn a_named_domain_signs_for_its_subdomains() {
    let intake = &format!("{RESULTS}\nsign_for_subdomains = [\"example.com\"]");
    let signed_by = |signer: &str, from, intake| {
        let header = &format!("Authentication-Results: mx.example.com; dkim=pass header.d={signer}\n");
        Case { intake, header, from, ..PLAIN }.verdict()
    };
    assert_eq!(signed_by("example.com", "alice@ops.example.com", intake), "ran");
    assert_eq!(signed_by("example.com", "alice@ops.example.com", RESULTS), "unconfirmed-from", "it has to be named");
    assert_eq!(
        signed_by("ops.example.com", "alice@example.com", intake),
        "unconfirmed-from",
        "not for what is above it"
    );
    assert_eq!(
        signed_by("ops.example.com", "alice@www.example.com", intake),
        "unconfirmed-from",
        "not for what is beside it"
    );
    assert_eq!(signed_by("example.com", "alice@notexample.com", intake), "unconfirmed-from");
    assert_eq!(signed_by("example.net", "alice@ops.example.net", intake), "unconfirmed-from");
}

#[test]
fn spam_verdicts_are_read_in_the_forms_in_use() {
    // As docs/sender-authentication.md has it for rspamd.
    let rspamd = r#"reject = { "X-Spam-Flag" = "^YES", "X-Spam-Status" = "^Yes", "X-Spam" = "^Yes", "X-Spamd-Result" = "^default: True", "X-Rspamd-Action" = "^(reject|add header|rewrite subject)" }"#;
    for (header, by_default, with_rspamd) in [
        ("X-Spam-Flag: YES", "rejected", "rejected"),
        ("X-Spam-Status: Yes, score=15.2 required=5.0 tests=BAYES_99", "rejected", "rejected"),
        ("X-Spam-Status: No, score=-1.9 required=5.0", "ran", "ran"),
        // rspamd's milter_headers.
        ("X-Spam-Status: Yes, score=8.10", "rejected", "rejected"),
        ("X-Spam: Yes", "ran", "rejected"),
        ("X-Spamd-Result: default: True [17.00 / 15.00];\n\tBAYES_SPAM(5.10)[100.00%]", "ran", "rejected"),
        ("X-Spamd-Result: default: False [-0.10 / 15.00]", "ran", "ran"),
        ("X-Rspamd-Action: add header", "ran", "rejected"),
        ("X-Rspamd-Action: no action", "ran", "ran"),
        ("X-Spamd-Bar: ++++++++", "ran", "ran"),
    ] {
        let header = &format!("{header}\n");
        assert_eq!(Case { header, ..PLAIN }.verdict(), by_default, "{header}");
        assert_eq!(Case { intake: rspamd, header, ..PLAIN }.verdict(), with_rspamd, "{header}");
    }
}

/// Before the mac or after it: a reply would tell whether the key is right, and a record would block the true sender.
#[test]
fn an_unauthenticated_sender_gets_no_reply_and_uses_nothing_up() {
    let ranges = "clients = [\"192.0.2.0/24\"]";
    for (intake, alice) in [(ranges, ""), ("", ranges)] {
        let mut test_gateway = TestGateway::new();
        test_gateway.set(&format!("[intake]\n{intake}"));
        let about = format!("address = \"alice@example.com\"\nroles = [\"web\"]\n{alice}\n");
        test_gateway.write("users.d/alice.toml", 0o644, &about);
        test_gateway.envelope.client_address = Some("198.51.100.1".into());
        let request = test_gateway.request("count", &[]);
        let refused = test_gateway.deliver(&request);
        assert!(refused.refused("foreign-client") && refused.replies.is_empty(), "{refused:?}");
        assert_eq!(test_gateway.recorded(), (0, 0));
        assert_eq!(refused.log.iter().any(|line| line.contains("user=alice")), intake.is_empty(), "{refused:?}");
        test_gateway.envelope.client_address = Some("192.0.2.1".into());
        test_gateway.deliver(&request).reply();
        assert_eq!(test_gateway.runs().len(), 1);
    }
}

#[test]
fn explain_shows_the_sender_authentication() {
    let mut test_gateway = TestGateway::new();
    test_gateway.set(&format!("[intake]\n{RESULTS}\nrequire_sasl = true\nclients = [\"192.0.2.0/24\"]"));
    let about = "address = \"alice@example.com\"\nroles = [\"web\"]\nlogins = [\"alice\"]\nclients = [\"192.0.2.7\"]\n";
    test_gateway.write("users.d/alice.toml", 0o644, about);
    test_gateway.envelope.sasl_username = Some("alice".into());
    test_gateway.envelope.client_address = Some("192.0.2.7".into());
    // The ledger that explain looks into.
    let field = "Authentication-Results: mx.example.com; dmarc=pass header.from=example.com\n";
    test_gateway.deliver(&format!("{field}{}", test_gateway.request("count", &[]))).reply();
    test_gateway.clock.forward(60);
    let mail = format!("{field}{}", test_gateway.request("count", &[]));

    let (would_run, lines) = explain(&test_gateway, &mail);
    assert!(would_run, "{lines:#?}");
    for line in [
        "login: alice, one of the user's",
        "client: in 192.0.2.0/24",
        "client: in 192.0.2.7/32",
        "verdict: mx.example.com says dmarc=pass for example.com",
    ] {
        assert!(lines.iter().any(|found| found == line), "{line}: {lines:#?}");
    }

    test_gateway.envelope.client_address = Some("192.0.2.8".into());
    let (would_run, lines) = explain(&test_gateway, &mail);
    assert!(!would_run);
    let refused = lines.iter().find(|line| line.starts_with("refused: ")).expect("a refusal");
    assert!(refused.starts_with("refused: foreign-client (the client 192.0.2.8 is in none"), "{refused}");
}
