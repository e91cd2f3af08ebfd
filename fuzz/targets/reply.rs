//! A reply as it arrives: no text is genuine that the key has not signed, and a signed one is genuine whatever is above
//! its block.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mailsudo::protocol::{
    GatewayName, Key, ReplyBlock, RequestId, RunResult, Timestamp, UserName, Verdict, verify_reply,
};
use mailsudo_fuzz::key;

fuzz_target!(|text: &str| {
    let unknown = Key::from_hex(&"5a".repeat(32)).expect("a key");
    assert_eq!(verify_reply(text, &unknown), Verdict::NotGenuine, "nothing is signed with this key");
    let _ = verify_reply(text, &key());
    let block = ReplyBlock {
        gateway: GatewayName::try_from("berlin").expect("a name"),
        user: UserName::try_from("alice").expect("a name"),
        request: RequestId::from_bytes([7; 32]),
        time: Timestamp::parse("2026-11-23T10:15:04Z").expect("a time"),
        result: RunResult::Exit(0),
        head: None,
    };
    let signed = block.sign(text, &unknown);
    assert_eq!(verify_reply(&format!("{text}\n{signed}"), &unknown), Verdict::Genuine(block.clone()));
    let crlf = format!("{text}\n{signed}").replace('\n', " \r\n");
    assert_eq!(verify_reply(&crlf, &unknown), Verdict::Genuine(block.clone()), "white space decides nothing");
    assert_eq!(verify_reply(&format!("x{text}\n{signed}"), &unknown), Verdict::Altered(block));
});
