//! What is read of a request's block at the limits of its rules, and what is said of a block that breaks them.

use mailsudo::protocol::{Key, ParameterName, PayloadDigest, Request, UnsignedRequest};

use crate::common::{KEY, unsigned};

fn key() -> Key {
    Key::from_hex(KEY).expect("a key")
}

fn block() -> String {
    let time = mailsudo::protocol::Timestamp::parse("2026-11-23T10:15:00Z").expect("a time");
    signed(&UnsignedRequest {
        payload: Some(PayloadDigest::of(b"x")),
        ..unsigned("alice", time, "restart", &[("service", "nginx")], Some("556712"))
    })
}

fn signed(request: &UnsignedRequest) -> String {
    request.sign(&key()).expect("a block")
}

/// What is said of a block.
fn said(block: &str) -> String {
    Request::read(&[block]).expect_err("it breaks a rule").to_string()
}

#[test]
fn what_is_wrong_is_said_with_its_line() {
    let (block, digest) = (block(), PayloadDigest::of(b"x"));
    assert!(Request::read(&[&block]).is_ok_and(|request| request.is_signed_by(&key())));
    let arguments =
        "`arg: name=value` (at most 32), `more` after an `arg`, then `payload`, then `sig`, or `mac` is expected here";
    let a_field = "not `key: value` with a value of printable ASCII characters and no space";
    for (line, good, bad, why) in [
        (2, "gateway: berlin", "gateway: Berlin", "`gateway` is expected here, with a gateway's name"),
        (3, "user: alice", "user: -", "`user` is expected here, with a user's name"),
        (4, "time: 2026-11-23T10:15:00Z", "time: now", "`time` is expected here, as in 2026-11-23T10:15:00Z"),
        (5, "totp: 556712", "totp: 55671", "`totp` is expected here, with 6 to 8 digits"),
        (6, "command: restart", "command: -", "`command` is expected here, with a command's name"),
        (7, "arg: service=nginx", "arg: service", arguments),
        (7, "arg: service=nginx", "arg: service=\"", arguments),
        (7, "arg: service=nginx", "more: nginx", arguments),
        (8, "arg: service=nginx", "arg: service=nginx\nmore: \"", arguments),
        (7, "arg: service=nginx", "argument: service", arguments),
        (7, "arg: service=nginx", "a_g: service=nginx", a_field),
        (7, "arg: service=nginx", ": service=nginx", a_field),
        (8, &format!("payload: {digest}"), "payload: x", "a payload is 64 hex digits in lower case"),
        (9, "mac: ", "sig: -\nmac: ", "a sig is 1 to 64 base64 characters, and there are at most 64 of them"),
        (9, "mac: ", "mac: x", "a mac is 64 hex digits"),
    ] {
        let changed = block.replace(good, bad);
        assert_ne!(changed, block, "{good}");
        assert_eq!(said(&changed), format!("line {line} of the block: {why}"), "{bad}");
    }
}

#[test]
fn a_line_has_at_most_998_octets_besides_its_end() {
    let mac = format!("mac: {}", "0".repeat(64));
    for (blanks, fits) in [(998 - mac.len(), true), (999 - mac.len(), false)] {
        for end in ["\n", "\r\n"] {
            let start = block().rsplit_once("mac: ").expect("a mac").0.to_owned();
            let long = format!("{start}mac:{} {}{end}", " ".repeat(blanks), "0".repeat(64));
            assert_eq!(Request::read(&[&long]).is_ok(), fits, "{blanks} {end:?}");
            assert!(fits || said(&long).ends_with(": longer than 998 octets"));
        }
    }
}

#[test]
fn a_writer_folds_after_70_columns_and_not_before() {
    let time = mailsudo::protocol::Timestamp::parse("2026-11-23T10:15:00Z").expect("a time");
    let value = "x".repeat(300);
    let block = signed(&unsigned("alice", time, "restart", &[("v", &value)], Some("556712")));
    let lengths: Vec<_> =
        block.lines().filter(|line| line.starts_with("arg") || line.starts_with("more")).map(str::len).collect();
    assert_eq!(lengths[..4], [70; 4], "{block}");
    let read = Request::read(&[&block]).expect("a request").arguments().expect("arguments");
    assert_eq!(read, [(ParameterName::try_from("v").expect("a name"), value)]);
}

#[test]
fn a_key_and_a_payload_are_known_by_their_digests() {
    // printf 'mailsudo-key-1\n' and the 32 bytes, through sha256sum(1).
    assert_eq!(Key::from_hex(&"ab".repeat(32)).expect("a key").fingerprint(), "3ce73f9c48f56c32");
    let digest = PayloadDigest::of(b"x");
    assert_eq!(hex::encode(digest.as_bytes()), digest.to_string());
    assert_eq!(digest.to_string(), "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881");
}
