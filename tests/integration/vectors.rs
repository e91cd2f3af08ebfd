//! Every worked example of the protocol, made by an independent program (`vectors.json`), against a whole gateway.

use crate::common::TestGateway;
use mailsudo::protocol::{Key, Request};
use mailsudo::protocol::{Timestamp, Unreadable};
use serde_json::Value;

fn vectors() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors.json");
    serde_json::from_str(&std::fs::read_to_string(path).expect("the vectors")).expect("JSON")
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_else(|| panic!("{key} in {value}"))
}

/// What the library says of a text, in the vectors' words, as far as no ledger is needed.
#[test]
fn the_library_reads_every_vector_as_its_maker_does() {
    let all = vectors();
    let key = Key::from_hex(text(&all, "hmac_key")).expect("a key");
    let mut count = 0;
    for vector in all["vectors"].as_array().expect("a list") {
        let name = text(vector, "name");
        let found = match Request::read(&[text(vector, "text")]) {
            Err(Unreadable::NotARequest) => "not-a-request",
            Err(Unreadable::Ambiguous) => "ambiguous",
            Err(Unreadable::UnsupportedVersion(_)) => "unsupported-version",
            Err(Unreadable::Malformed { .. }) => "malformed",
            Ok(request) if !request.is_signed_by(&key) => "bad-mac",
            Ok(request) => match request.arguments() {
                Err(_) => "bad-value",
                Ok(arguments) => {
                    if let Some(wanted) = vector["args"].as_array() {
                        let read: Vec<_> = arguments.iter().map(|(n, v)| serde_json::json!([n.as_str(), v])).collect();
                        assert_eq!(&read, wanted, "{name}");
                        assert_eq!(request.command().as_str(), text(vector, "command"), "{name}");
                        assert_eq!(request.id().to_string(), text(vector, "request"), "{name}");
                    }
                    "authentic"
                }
            },
        };
        let verdict = text(vector, "verdict");
        // These need a gateway and a clock: the next test has both.
        let later = ["wrong-gateway", "stale", "future", "bad-code"].contains(&verdict);
        assert_eq!(found, if later { "authentic" } else { verdict }, "{name}");
        count += 1;
    }
    assert_eq!(count, 57, "the file is read whole");
}

/// The same texts as mails, through the whole pipeline, each with a ledger of its own.
#[test]
fn the_gateway_decides_every_vector_as_its_maker_does() {
    let all = vectors();
    let now = Timestamp::parse(text(&all, "now")).expect("a time");
    for vector in all["vectors"].as_array().expect("a list") {
        let name = text(vector, "name");
        let mut test_gateway = TestGateway::new();
        test_gateway.clock.set(now);
        let mail = crate::common::mail("alice@example.com", text(vector, "text"));
        let ended = test_gateway.deliver(&mail);
        let log = ended.log.join("\n");
        let verdict = text(vector, "verdict");
        // The commands here do not include these, which is found out only after the code was right.
        let wanted = match verdict {
            "authentic" => vec!["event=admitted", "reason=not-permitted", "reason=bad-parameter"],
            "bad-mac"
            | "malformed"
            | "bad-value"
            | "bad-code"
            | "wrong-gateway"
            | "stale"
            | "future"
            | "ambiguous"
            | "not-a-request"
            | "unsupported-version" => vec![],
            other => panic!("{name}: unknown verdict {other}"),
        };
        if verdict == "authentic" {
            assert!(wanted.iter().any(|word| log.contains(word)), "{name}: {log}");
        } else {
            assert!(log.contains(&format!("reason={verdict} ")), "{name}: {log}");
        }
        let answered = ["authentic", "bad-value", "bad-code", "stale", "future"].contains(&verdict);
        assert_eq!(ended.replies.len(), usize::from(answered), "{name}");
    }
}
