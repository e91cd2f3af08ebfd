//! SSH signatures: every worked example (`tests/vectors-next.json`, `tests/ssh/vectors.json`, both made by other
//! programs), a thousand changed signatures, and what a gateway and its users do with keys.

use std::fs;

use crate::common::ssh::SoftKey;
use crate::common::{KEY, TestGateway, block, explain, mail};
use mailsudo::protocol::{BadSignature, BadSshKey, NAMESPACE, Request, SshKey, SshSignature, Timestamp};
use mailsudo::system::clock::Clock;
use serde_json::Value;
use ssh_key::encoding::base64::{Base64, Encoding};

const FROM: &str = "alice@example.com";

fn vectors(name: &str) -> Value {
    let path = format!("{}/tests/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&fs::read_to_string(path).expect("the vectors")).expect("JSON")
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_else(|| panic!("{key} in {value}"))
}

/// All requests of both files.
fn requests() -> Vec<Value> {
    let (contract, made) = (vectors("vectors-next.json"), vectors("ssh/vectors.json"));
    let list = |value: &Value| value.as_array().expect("a list").clone();
    [list(&contract["ssh"]), list(&made["requests"])].concat()
}

#[test]
fn a_gateway_decides_every_signature_as_its_maker_does() {
    let now = Timestamp::parse("2026-11-23T10:15:05Z").expect("a time");
    let all = requests();
    assert_eq!(all.len(), 106, "the files are read whole");
    for vector in all {
        let name = text(&vector, "name");
        let mut test_gateway = TestGateway::new();
        test_gateway.clock.set(now);
        let others = vector["others"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
        let keys: Vec<_> = std::iter::once(text(&vector, "public_key").to_owned()).chain(others).collect();
        test_gateway.ssh_keys(&keys, vector["user"].as_str().unwrap_or_default());
        let ended = test_gateway.deliver(&mail(FROM, text(&vector, "text")));
        match text(&vector, "verdict") {
            "authentic" => {
                assert!(ended.log.iter().any(|line| line.contains("event=admitted")), "{name}: {ended:?}");
                assert_eq!((test_gateway.recorded(), test_gateway.runs().len()), ((1, 1), 1), "{name}");
            }
            verdict => {
                assert!(ended.refused(verdict), "{name}: {ended:?}");
                assert!(ended.reply().contains("result: refused"), "{name}");
                assert_eq!(
                    (test_gateway.recorded(), test_gateway.runs().len()),
                    ((1, 0), 0),
                    "{name}: no step is used"
                );
            }
        }
        if let Some(id) = vector["request"].as_str() {
            let request = Request::read(&[text(&vector, "text")]).expect("a request");
            assert_eq!(request.id().to_string(), id, "{name}");
        }
    }
}

#[test]
fn every_public_key_is_accepted_or_refused_as_its_maker_says() {
    let all = vectors("ssh/vectors.json");
    let keys = all["keys"].as_array().expect("a list");
    assert_eq!(keys.len(), 59, "the file is read whole");
    for key in keys {
        let (name, given) = (text(key, "name"), text(key, "text"));
        let read = SshKey::parse(given);
        match key["error"].as_str() {
            None => {
                let read = read.unwrap_or_else(|bad| panic!("{name}: {bad}"));
                assert_eq!(read.to_string(), given, "{name}");
                assert_eq!(SshKey::parse(&read.to_string()).as_ref(), Ok(&read), "{name}");
                assert!(read.fingerprint().starts_with("SHA256:") && given.starts_with(read.kind()), "{name}");
                assert_eq!(read.is_fido(), given.starts_with("sk-"), "{name}");
            }
            Some(wanted) => {
                let error = read.expect_err(name).to_string();
                assert!(error.contains(wanted), "{name}: {error}");
                let is_repeated = given.split_whitespace().any(|word| word.len() > 60 && error.contains(word));
                assert!(!is_repeated, "{name}: the error repeats what may be a private key");
            }
        }
    }
}

/// A key as RFC 4253 section 6.6 writes it, from its parts.
fn key(kind: &str, parts: &[&[u8]]) -> Result<SshKey, BadSshKey> {
    let mut blob = Vec::new();
    for part in std::iter::once(kind.as_bytes()).chain(parts.iter().copied()) {
        blob.extend_from_slice(&u32::try_from(part.len()).expect("it is short").to_be_bytes());
        blob.extend_from_slice(part);
    }
    SshKey::parse(&format!("{kind} {}", Base64::encode_string(&blob)))
}

#[test]
fn a_key_at_a_limit_is_accepted_and_one_beyond_it_is_not() {
    let modulus = |bytes: usize| [&[0, 0x80][..], &vec![0x55; bytes - 1]].concat();
    for (exponent, is_accepted) in [(&[1, 0, 1][..], true), (&[1, 0, 0, 1], true), (&[1, 0, 0, 0, 1], false)] {
        assert_eq!(key("ssh-rsa", &[exponent, &modulus(384)]).is_ok(), is_accepted, "{exponent:?}");
    }
    // The base point of P-256 (SEC 2 section 2.4.2), uncompressed and not.
    let x = hex::decode("6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296").expect("hex");
    let y = hex::decode("4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5").expect("hex");
    let fido = |point: &[u8]| key("sk-ecdsa-sha2-nistp256@openssh.com", &[b"nistp256", point, b"ssh:"]);
    assert!(fido(&[&[4], &x[..], &y].concat()).is_ok());
    assert!(fido(&[&[3], &x[..]].concat()).is_err());
}

/// One signature of each type that holds: its key, its base64 and the lines that it signs.
fn one_of_each() -> Vec<(SshKey, String, Vec<u8>)> {
    let mut found: Vec<(SshKey, String, Vec<u8>)> = Vec::new();
    for vector in requests().iter().filter(|vector| text(vector, "verdict") == "authentic") {
        let key = SshKey::parse(text(vector, "public_key")).expect("a key");
        if found.iter().all(|(known, ..)| known.kind() != key.kind()) {
            let request = Request::read(&[text(vector, "text")]).expect("a request");
            let (base64, lines) = request.ssh_signature().expect("a signature");
            found.push((key, base64.to_owned(), lines.to_vec()));
        }
    }
    found
}

/// Numbers that repeat with each run (xorshift).
fn numbers(mut state: u64) -> impl FnMut(usize) -> usize {
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).expect("it is below")
    }
}

#[test]
fn a_thousand_changed_signatures_are_refused() {
    let kinds = one_of_each();
    assert_eq!(kinds.len(), 5);
    let mut number = numbers(20_261_123);
    let mut tried = 0;
    for (key, base64, lines) in &kinds {
        let holds = |base64: &str, lines: &[u8]| {
            SshSignature::from_base64(base64)
                .is_ok_and(|signature| signature.names(key) && signature.verify(key, lines).is_ok())
        };
        assert!(holds(base64, lines), "{}", key.kind());
        for _ in 0..200 {
            let mut changed: Vec<char> = base64.chars().collect();
            let mut changed_lines = lines.clone();
            let at = number(changed.len());
            match number(6) {
                // Another character of base64, one left out, one more, two exchanged, a piece doubled; or the lines.
                0 | 1 => {
                    changed[at] =
                        char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="[number(65)]);
                }
                2 => drop(changed.remove(at)),
                3 => changed.insert(at, 'A'),
                4 => {
                    let piece: Vec<_> = changed.iter().skip(at).take(1 + number(40)).copied().collect();
                    changed.splice(at..at, piece);
                }
                _ => {
                    let at = number(changed_lines.len());
                    changed_lines[at] ^= 1 << number(7);
                }
            }
            let changed: String = changed.into_iter().collect();
            tried += 1;
            if changed != *base64 || changed_lines != *lines {
                assert!(!holds(&changed, &changed_lines), "{}: {changed}", key.kind());
            }
        }
    }
    assert_eq!(tried, 1000);
}

/// Every single bit, where a bit is cheap to try.
#[test]
fn every_bit_of_a_signature_counts() {
    for (key, base64, lines) in one_of_each().iter().filter(|(key, ..)| key.kind().contains("ed25519")) {
        let bytes = Base64::decode_vec(base64).expect("base64");
        for bit in 0..8 * bytes.len() {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let read = SshSignature::from_base64(&Base64::encode_string(&changed));
            let holds = read.is_ok_and(|signature| signature.names(key) && signature.verify(key, lines).is_ok());
            assert!(!holds, "{}: bit {bit}", key.kind());
        }
    }
}

#[test]
fn a_verified_touch_says_what_the_key_says() {
    let mut key = SoftKey::fido(1);
    let listed = SshKey::parse(&key.public()).expect("a key");
    let touch =
        |key: &SoftKey| SshSignature::from_armor(&key.armor("x\n")).expect("a signature").verify(&listed, b"x\n");
    for (flags, counter, is_verified) in [(1, 0, false), (5, 1, true), (0x85, u32::MAX, true)] {
        key.fido = Some((flags, counter));
        let touch = touch(&key).expect("it holds").expect("a FIDO key");
        assert_eq!((touch.is_verified, touch.counter), (is_verified, counter), "{flags}");
    }
    for flags in [0, 4, 0xFE] {
        key.fido = Some((flags, 1));
        assert_eq!(touch(&key), Err(BadSignature::NotPresent), "{flags}");
    }
}

#[test]
fn sig_lines_stand_behind_the_arguments_and_are_base64() {
    let good =
        SoftKey::new(1).block(Timestamp::parse("2026-11-23T10:15:00Z").expect("a time"), "count", &[("a", "b")], None);
    let first = good.lines().find(|line| line.starts_with("sig: ")).expect("a signature").to_owned();
    let read = |text: &str| Request::read(&[text]).map(|request| request.ssh_signature().is_some());
    assert_eq!(read(&good), Ok(true));
    assert!(good.lines().all(|line| line.len() <= 70));
    let lines = |count: usize| "sig: QUJD\n".repeat(count);
    let before_mac = |text: &str| good.replace(&format!("{first}\n"), &format!("{text}{first}\n"));
    assert_eq!(read(&before_mac(&lines(60))), Ok(true), "64 lines");
    let whole = format!("sig: {}\n", "A".repeat(64));
    assert_eq!(read(&before_mac(&whole)), Ok(true));
    for (bad, why) in [
        (before_mac(&lines(61)), "65 lines"),
        (before_mac(&format!("sig: {}\n", "A".repeat(65))), "65 characters"),
        (before_mac("sig: AB-_\n"), "base64url"),
        (before_mac("sig: AB~2D\n"), "an escape"),
        (before_mac("sig:\n"), "nothing"),
        (before_mac("sig: QUJD\narg: c=d\n"), "an argument behind it"),
        (before_mac("sig: QUJD\nmore: d\n"), "a continuation behind it"),
        (good.replace("arg: a=b\n", "sig: QUJD\narg: a=b\n"), "before an argument"),
        (good.replace("command: count\n", "sig: QUJD\ncommand: count\n"), "before the command"),
    ] {
        assert!(read(&bad).is_err(), "{why}");
    }
    let capitals = read(&good.replace("sig:", "Sig :"));
    assert_eq!(capitals, Ok(true), "keys are matched without regard to case");
}

#[test]
fn the_lines_that_are_signed_are_those_before_the_first_sig() {
    let time = Timestamp::parse("2026-11-23T10:15:00Z").expect("a time");
    let good = SoftKey::new(1).block(time, "count", &[("a", "b")], None);
    let (before, _) = good.split_once("sig: ").expect("a signature");
    let odd = good.replace("arg: a=b", "  ARG :\ta=b\r");
    for text in [good.as_str(), odd.as_str()] {
        let request = Request::read(&[text]).expect("a request");
        assert_eq!(request.ssh_signature().expect("a signature").1, before.as_bytes());
    }
    let none = block("alice", KEY, time, "count", &[], None);
    assert!(Request::read(&[&none]).expect("a request").ssh_signature().is_none());
    assert_eq!(NAMESPACE, "mailsudo@v1");
}

/// Base64 has characters that quoted-printable and HTML encode.
#[test]
fn sig_lines_survive_the_encodings_of_mail() {
    let key = SoftKey::new(1);
    let test_gateway = TestGateway::new();
    test_gateway.ssh_keys(&[key.public()], "require_signature = true");
    let block = key.block(test_gateway.clock.now(), "count", &[], None);
    assert!(block.contains('+') && block.contains('/') && block.contains("=\n"), "{block}");
    let html = format!("<p>{}</p>", block.replace('\n', "<br>\n"));
    let lines = |text: &str| -> String {
        let lines: Vec<_> = text.as_bytes().chunks(76).map(String::from_utf8_lossy).collect();
        lines.join(
            "
",
        )
    };
    for (kind, encoding, body) in [
        ("text/plain", "quoted-printable", quoted_printable::encode_to_str(&block)),
        ("text/plain", "base64", lines(&Base64::encode_string(block.as_bytes()))),
        ("text/plain; format=flowed; delsp=yes", "7bit", block.clone()),
        ("text/html", "quoted-printable", quoted_printable::encode_to_str(&html)),
    ] {
        let mail = format!(
            "From: {FROM}\nMIME-Version: 1.0\nContent-Type: {kind}\nContent-Transfer-Encoding: {encoding}\n\n{body}\n"
        );
        let (would_run, lines) = explain(&test_gateway, &mail);
        assert!(
            would_run && lines.iter().any(|line| line.starts_with("signature: right")),
            "{kind} {encoding}: {lines:#?}"
        );
    }
}

#[test]
fn a_key_that_verified_nobody_is_answered_with_what_to_do() {
    let cases = [
        (SoftKey::fido(1), "make it with -O verify-required"),
        (SoftKey::new(1), "a signature by a ssh-ed25519 key cannot show that you gave a PIN"),
    ];
    for (key, words) in cases {
        let mut test_gateway = TestGateway::new();
        test_gateway.ssh_keys(&[key.public()], "require_signature = true\nrequire_verification = true");
        let ended = test_gateway.deliver(&key.mail(test_gateway.clock.now(), "count", &[]));
        assert!(ended.refused("bad-signature"), "{ended:?}");
        let shown = mailsudo::intake::readable(ended.reply().as_bytes()).join("\n").replace('\n', " ");
        assert!(shown.contains(words), "{shown}");
    }
}

#[test]
fn explain_and_the_log_name_the_key() {
    let mut test_gateway = TestGateway::new();
    let mut key = SoftKey::fido(1);
    key.fido = Some((5, 42));
    test_gateway.ssh_keys(&[key.public()], "require_signature = true");
    let mail = key.mail(test_gateway.clock.now(), "count", &[]);
    let (would_run, lines) = explain(&test_gateway, &mail);
    let fingerprint = key.fingerprint();
    let wanted = format!(
        "signature: right, sk-ssh-ed25519@openssh.com {fingerprint}, a key of the user; user present and verified, counter 42"
    );
    assert!(would_run && lines.contains(&wanted), "{lines:#?}");
    let ended = test_gateway.deliver(&mail);
    let admitted = ended.log.iter().find(|line| line.contains("event=admitted")).expect("a line");
    assert!(
        admitted.contains(&format!("ssh_key={fingerprint}"))
            || admitted.contains(&format!("ssh_key=\"{fingerprint}\"")),
        "{admitted}"
    );
}

#[test]
fn previous_keys_sign_until_their_date() {
    let mut test_gateway = TestGateway::new();
    let (old, new) = (SoftKey::new(1), SoftKey::new(2));
    let now = test_gateway.clock.now();
    let rotate = |test_gateway: &TestGateway, until: i64| {
        let until = Timestamp::from_seconds(now.seconds() + until);
        test_gateway
            .ssh_keys(&[new.public()], &format!("[previous]\nssh_keys = [{:?}]\nuntil = {until}", old.public()));
    };
    rotate(&test_gateway, -1);
    let ended = test_gateway.deliver(&old.mail(now, "count", &[]));
    assert!(ended.refused("foreign-signature"), "by its signed time it is too late: {ended:?}");
    assert!(ended.log.iter().any(|line| line.contains(&old.fingerprint())), "the log names the key: {ended:?}");
    rotate(&test_gateway, 30);
    let later = Timestamp::from_seconds(now.seconds() + 30);
    let (would_run, lines) = explain(&test_gateway, &old.mail(later, "count", &[]));
    assert!(would_run && lines.iter().any(|line| line.contains(", a previous key of the user")), "{lines:#?}");
    let ended = test_gateway.deliver(&new.mail(now, "count", &[]));
    assert!(ended.log.iter().any(|line| line.contains("event=admitted")), "{ended:?}");
}

#[test]
fn a_key_that_cannot_be_used_defers_the_users_mail() {
    let mut test_gateway = TestGateway::new();
    let good = SoftKey::new(1).public();
    for (keys, wanted) in [
        (vec!["ssh-dss AAAA".to_owned()], "ssh_keys, key 1: "),
        (vec![good.clone(), format!("{good} again")], "ssh_keys, key 2: the key is given twice"),
    ] {
        test_gateway.ssh_keys(&keys, "");
        let ended = test_gateway.deliver(&test_gateway.request("count", &[]));
        assert_eq!(ended.deferred, Some("configuration"));
        assert!(ended.log.iter().any(|line| line.contains(wanted)), "{ended:?}");
    }
}
