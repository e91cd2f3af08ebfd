//! Bytes to a message: no input makes it panic, and its texts can be searched for a request.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mailsudo::intake::{readable, shown};
use mailsudo::protocol::{Request, has_start_line};
use mailsudo_fuzz::received;

fuzz_target!(|bytes: &[u8]| {
    let all = readable(bytes);
    let shown = shown(bytes);
    if let Ok(message) = received(bytes) {
        let texts = message.texts();
        assert!(texts.iter().all(|text| all.iter().any(|known| known == text)), "no text from nowhere");
        assert!(shown.is_some(), "what has a From field is a mail");
        assert!(message.message_id().is_none_or(|id| id.bytes().all(|byte| byte.is_ascii_graphic())));
        let starts = texts.iter().any(|text| has_start_line(text));
        assert!(Request::read(&texts).is_err() || starts);
    }
});
