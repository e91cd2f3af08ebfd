//! Real shapes of mail: `mail/NAME.eml` is alice's request as some mail system delivers it, and the table below has the
//! result. What must verify runs, once; everything else is refused with the reason given, and nothing is guessed.
//!
//! The request is the vector `plain` of `vectors.json`: restart service=nginx, signed at 10:15:00 on 23 November 2026.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "../common/mod.rs"]
mod common;
mod manglings;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use common::TestGateway;

/// The mail, and `ran` or the word of the rule that refuses it.
#[rustfmt::skip]
const MAILS: &[(&str, &str)] = &[
    // Line ends and blanks.
    ("plain", "ran"),
    ("crlf", "ran"),
    ("mixed-line-ends", "ran"),
    ("no-last-line-end", "ran"),
    ("trailing-blanks", "ran"),
    ("indented", "ran"),
    ("double-spaced", "ran"),
    ("tabs-after-the-colon", "ran"),
    ("no-break-spaces", "ran"),
    ("blank-before-the-colon", "ran"), // French typography
    ("keys-capitalised", "ran"), // a phone's keyboard
    ("mac-in-capitals", "ran"),
    ("bare-cr", "not-a-request"), // no line ends at all
    ("joined-lines", "not-a-request"), // a client that fills paragraphs
    ("wrapped-at-78", "ran"),
    ("wrapped-at-60", "malformed"), // nothing is unwrapped
    ("flowed-space-stuffed", "ran"),
    ("flowed-delsp", "ran"),
    ("signature", "ran"),
    // Encodings and charsets.
    ("quoted-printable", "ran"), // soft breaks within lines
    ("quoted-printable-throughout", "ran"),
    ("quoted-printable-by-mistake", "ran"), // `=ng` is no code, and stands as it is
    ("base64", "ran"),
    ("base64-in-one-line", "ran"),
    ("base64-by-mistake", "ran"), // a relay that decoded, and left the field
    ("base64-with-a-footer", "ran"), // a relay that appends text to what is none
    ("base64-with-a-footer-like-base64", "ran"), // the base64 ends with its padding, or its last, shorter line
    ("base64-banner-on-the-start-line", "ran"),
    ("base64-with-a-banner", "ran"),
    ("base64-with-a-banner-like-base64", "ran"),
    ("encoding-with-a-comment", "ran"),
    ("unknown-transfer-encoding", "ran"),
    ("utf-8-bom", "ran"),
    ("utf-7", "ran"), // a line end closes a run of base64 (RFC 2152)
    ("utf-7-by-its-alias", "ran"),
    ("utf-7-throughout", "ran"),
    ("utf-16", "ran"),
    ("charset-folded-after-equals", "ran"),
    ("utf-16le", "ran"),
    ("utf-16-undeclared", "not-a-request"),
    ("iso-8859-1", "ran"), // no-break spaces as single bytes
    ("windows-1252", "ran"),
    ("iso-2022-jp", "ran"),
    ("8-bit-undeclared", "ran"),
    ("unknown-charset", "ran"),
    // HTML only.
    ("html-gmail", "ran"),
    ("html-outlook", "ran"),
    ("html-apple", "ran"),
    ("html-breaks", "ran"),
    ("html-preformatted", "ran"),
    ("html-table", "ran"),
    ("html-entities", "ran"),
    ("html-source-lines", "not-a-request"), // a browser shows one line
    ("html-base64", "ran"),
    ("html-quoted-copy", "ambiguous"), // HTML has no `> `: which one was meant?
    ("html-hidden-copy", "ambiguous"),
    ("html-external-banner", "ran"),
    ("html-without-mime-version", "ran"),
    // Parts.
    ("alternative", "ran"),
    ("alternative-html-first", "ran"),
    ("alternative-plain-is-empty", "ran"), // the HTML counts where no plain text has a block
    ("alternative-plain-is-broken", "malformed"), // the plain text counts, and is not completed from the HTML
    ("alternative-amp", "ran"),
    ("alternative-calendar", "ran"),
    ("calendar-only", "not-a-request"),
    ("related-image", "ran"),
    ("nested-multiparts", "ran"),
    ("boundary-begins-another", "ran"), // `=-x7` and `=-x7b`
    ("boundary-within-a-line", "ran"), // a delimiter is a line of its own
    ("boundary-with-blanks", "ran"),
    ("boundary-folded-after-equals", "ran"),
    ("boundary-missing", "not-a-request"),
    ("boundary-never-comes", "not-a-request"),
    ("multipart-cut-short", "ran"), // the block is whole
    ("in-the-preamble", "not-a-request"),
    ("disclaimer-below", "ran"),
    ("disclaimer-above", "ran"),
    ("disclaimer-as-last-part", "ran"),
    ("disclaimer-as-first-part", "ran"),
    ("disclaimer-as-html-part", "ran"),
    ("html-with-plain-footer", "ran"), // the footer is the only plain text, and has no block
    ("named-part", "ran"), // only a disposition makes an attachment
    ("inline-with-file-name", "ran"),
    ("attachment", "not-a-request"),
    ("unknown-disposition", "not-a-request"),
    ("attached-multipart", "not-a-request"),
    ("two-parts-alike", "ambiguous"),
    ("enriched", "not-a-request"),
    ("tnef-beside-text", "ran"),
    ("tnef-only", "not-a-request"),
    // Signed and encrypted.
    ("pgp-clearsigned", "ran"), // no line of a block begins with a dash
    ("pgp-mime", "ran"),
    ("pgp-encrypted", "not-a-request"),
    ("smime-signed", "ran"),
    ("smime-opaque", "not-a-request"),
    // Forwarded and quoted.
    ("quoted-only", "not-a-request"),
    ("quoted-copy-below", "ran"),
    ("quoted-without-a-blank", "not-a-request"),
    ("forwarded-inline", "ran"), // by alice: it is alice's request, word for word
    ("forwarded-inline-by-another", "foreign-from"),
    ("forwarded-as-attachment", "not-a-request"),
    ("forwarded-in-base64", "not-a-request"),
    ("message-as-body", "not-a-request"),
    ("digest", "not-a-request"), // its parts are messages, whether they say so or not
    ("delivery-report", "automatic"),
    // Mangled.
    ("cut-before-the-mac", "malformed"),
    ("cut-within-the-mac", "malformed"),
    ("ios-literal-br", "not-a-request"),
    ("mailto-beside", "ran"),
    ("mailto-within", "malformed"),
    ("safe-links-beside", "ran"),
    ("safe-links-within", "malformed"),
    ("smart-quotes-beside", "ran"),
    ("smart-dashes-within", "malformed"),
    ("value-capitalised", "malformed"),
    ("full-width-colons", "not-a-request"),
    ("other-digits", "malformed"),
    ("zero-width-space-within", "malformed"),
    ("soft-hyphen-within", "malformed"),
    ("lines-swapped", "malformed"),
    ("line-between", "malformed"),
    ("value-altered", "bad-mac"),
    ("unknown-user", "bad-mac"),
    ("version-2", "unsupported-version"),
    ("block-and-an-unsigned-request", "ambiguous"),
    ("empty", "not-a-request"),
    ("header-only", "not-a-request"),
    // Header.
    ("from-with-comment", "ran"),
    ("from-in-capitals", "ran"),
    ("from-encoded-name", "ran"),
    ("from-folded", "ran"),
    ("from-group", "bad-from"),
    ("from-two-addresses", "bad-from"),
    ("from-twice", "bad-from"),
    ("from-missing", "bad-from"),
    ("from-another", "foreign-from"),
    ("from-utf-8-local-part", "foreign-from"), // SMTPUTF8 (RFC 6531)
    ("from-address-as-name", "foreign-from"),
    ("sender-and-reply-to", "ran"), // the reply goes to alice
    ("subject-encoded", "ran"),
    ("8-bit-header", "ran"),
    ("no-message-id", "ran"),
    ("no-content-type", "ran"),
    ("no-mime", "ran"),
    ("content-type-text", "ran"), // of a mail program from before MIME
    ("content-type-empty", "ran"),
    ("content-type-folded", "ran"),
    ("content-type-twice", "not-a-request"), // programs differ in which one they believe
    ("mbox-line", "ran"),
    ("mailing-list", "automatic"),
    ("auto-forwarded", "automatic"),
    ("auto-replied-with-a-comment", "automatic"),
    ("auto-submitted-no-with-a-comment", "ran"),
    ("auto-submitted-no-with-a-parameter", "ran"),
    ("bulk", "automatic"),
    ("flagged-as-spam", "rejected"),
    ("gateway-reply", "loop"),
];

fn folder() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "mail"].iter().collect()
}

fn read(name: &str) -> Vec<u8> {
    fs::read(folder().join(format!("{name}.eml"))).unwrap_or_else(|error| panic!("{name}.eml: {error}"))
}

/// As SMTP would carry it: every line ended by CR and LF.
fn with_crlf(mail: &[u8]) -> Vec<u8> {
    let mut carried = Vec::new();
    for line in mail.split_inclusive(|&byte| byte == b'\n') {
        match line.strip_suffix(b"\n") {
            Some(text) => carried.extend_from_slice(&[text.strip_suffix(b"\r").unwrap_or(text), b"\r\n"].concat()),
            None => carried.extend_from_slice(line),
        }
    }
    carried
}

fn of_verdict(ran: bool) -> impl Iterator<Item = &'static (&'static str, &'static str)> {
    MAILS.iter().filter(move |(_, verdict)| (*verdict == "ran") == ran)
}

#[test]
fn every_mail_has_its_verdict() {
    let on_disk: BTreeSet<String> = fs::read_dir(folder())
        .expect("tests/mail")
        .filter_map(|entry| entry.expect("an entry").file_name().to_str()?.strip_suffix(".eml").map(str::to_owned))
        .collect();
    let in_table: BTreeSet<String> = MAILS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(on_disk, in_table);
    assert_eq!(MAILS.len(), in_table.len(), "each once");
}

#[test]
fn what_must_verify_runs_once_and_is_answered_to_its_user() {
    for (name, _) in of_verdict(true) {
        let mut test_gateway = TestGateway::new();
        let mail = read(name);
        let ended = test_gateway.deliver_bytes(&mail);
        assert_eq!(ended.deferred, None, "{name}: {ended:?}");
        assert_eq!(test_gateway.runs(), ["nginx --level=3"], "{name}: {ended:?}");
        let reply = ended.reply();
        assert!(reply.contains("\nTo: <alice@example.com>\n"), "{name}: {reply}");
        let again = test_gateway.deliver_bytes(&with_crlf(&mail));
        assert!(again.refused("duplicate"), "{name}: with CRLF it is the same request: {again:?}");
        assert_eq!((test_gateway.runs().len(), again.replies.len()), (1, 0), "{name}");
    }
}

/// One gateway for all of them: whatever the first leaves behind would be seen by the last.
#[test]
fn what_does_not_verify_is_refused_for_its_reason_and_leaves_no_trace() {
    let mut test_gateway = TestGateway::new();
    for (name, reason) in of_verdict(false) {
        let mail = read(name);
        for mail in [with_crlf(&mail), mail] {
            let ended = test_gateway.deliver_bytes(&mail);
            assert!(ended.refused(reason), "{name}: {reason} expected: {ended:?}");
            assert_eq!((ended.deferred, ended.replies.len(), ended.log.len()), (None, 0, 2), "{name}: {ended:?}");
        }
    }
    assert_eq!(test_gateway.runs().len(), 0);
    // Opening it would have made it.
    assert!(!test_gateway.path("ledger/ledger.db").exists(), "no unauthenticated mail opens the ledger");
}
