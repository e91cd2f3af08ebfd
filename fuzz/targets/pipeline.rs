//! A whole mail to `Identified`, the word BLOCK in it replaced by a request that alice has signed: only that request is
//! accepted, or the one that alice has signed in `tests/mail`.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use mailsudo::authenticate::{identify, verify_mac};
use mailsudo::intake::Envelope;
use mailsudo::protocol::Request;
use mailsudo_fuzz::{GATEWAY, key, name, received, unsigned};

static BLOCK: LazyLock<String> =
    LazyLock::new(|| unsigned(vec![(name("one"), "nginx".to_owned())]).sign(&key()).expect("a block"));

const SEED: &str = include_str!("../../tests/mail/no-mime.eml");

fuzz_target!(|bytes: &[u8]| {
    let mail = replace(bytes, b"BLOCK", BLOCK.as_bytes());
    let Ok(message) = received(&mail) else {
        return;
    };
    let Ok(request) = Request::read(&message.texts()) else {
        return;
    };
    // Taken now: they are wiped once the code is checked.
    let lines = request.signed_lines().to_vec();
    let Ok(verified) = verify_mac(vec![request], &GATEWAY) else {
        return;
    };
    let Ok(identified) = identify(verified, &message, &Envelope::default(), &GATEWAY) else {
        return;
    };
    let signed = [&BLOCK, SEED.split_once("\n\n").expect("a body").1];
    let signed = signed.map(|block| block.rsplit_once("mac: ").expect("a mac").0.as_bytes());
    assert!(signed.contains(&lines.as_slice()));
    assert!(identified.request().signed_lines().is_empty());
    assert!(message.from().eq_ignore_ascii_case("alice@example.com"));
});

fn replace(bytes: &[u8], word: &[u8], with: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = bytes;
    while let Some(at) = rest.windows(word.len()).position(|window| window == word) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(with);
        rest = &rest[at + word.len()..];
    }
    out.extend_from_slice(rest);
    out
}
