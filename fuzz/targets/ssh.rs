//! A public key on the first line and the base64 of a signature below it: both are read in one form only, and the key
//! of the worked example has signed nothing but its example.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use mailsudo::protocol::{Request, SshKey, SshSignature};

static EXAMPLE: LazyLock<serde_json::Value> = LazyLock::new(|| {
    let all: serde_json::Value = serde_json::from_str(include_str!("../../tests/vectors-next.json")).expect("JSON");
    all["ssh"][0].clone()
});

fuzz_target!(|text: &str| {
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    let key = SshKey::parse(first);
    if let Ok(key) = &key {
        assert_eq!(SshKey::parse(&key.to_string()).as_ref(), Ok(key));
        assert!(key.to_string().starts_with(key.kind()) && key.fingerprint().starts_with("SHA256:"));
    }
    let base64: String = rest.lines().collect();
    let Ok(signature) = SshSignature::from_base64(&base64) else {
        return;
    };
    let request = Request::read(&[EXAMPLE["text"].as_str().expect("a text")]).expect("a request");
    let (known, lines) = request.ssh_signature().expect("a signature");
    let example = SshKey::parse(EXAMPLE["public_key"].as_str().expect("a key")).expect("a key");
    assert_eq!(signature.verify(&example, lines).is_ok(), base64 == known);
    let _ = signature.fingerprint();
    if let Ok(key) = &key {
        let holds = signature.verify(key, lines).is_ok();
        assert!(!holds || signature.names(key), "a signature names its key");
    }
});
