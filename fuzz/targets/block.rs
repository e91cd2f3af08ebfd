//! Text to a request: what is read is what was written, and only its signed lines decide.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mailsudo::protocol::{MAX_DECODED, Request, Unreadable, is_unsafe};
use mailsudo_fuzz::key;

fuzz_target!(|text: &str| {
    let read = Request::read(&[text]);
    if !text.contains('\r') {
        let crlf = text.replace('\n', "\r\n");
        assert_eq!(outcome(&Request::read(&[&crlf])), outcome(&read), "line ends decide nothing");
    }
    let twice = Request::read(&[text, text]);
    match &read {
        Err(Unreadable::NotARequest) => assert_eq!(twice.err(), Some(Unreadable::NotARequest)),
        _ => assert_eq!(twice.err(), Some(Unreadable::Ambiguous)),
    }
    let Ok(request) = read else {
        return;
    };
    let signed = String::from_utf8(request.signed_lines().to_vec()).expect("ASCII");
    assert!(signed.is_ascii() && signed.starts_with("mailsudo: 1\n"));
    let mac = text.lines().filter(|line| line.to_ascii_lowercase().contains("mac")).find_map(|line| {
        let again = Request::read(&[&format!("{signed}{line}\n")]).ok()?;
        (again.id() == request.id() && again.signed_lines() == signed.as_bytes()).then_some(())
    });
    assert!(mac.is_some(), "the lines that the mac covers are the request");
    let _ = request.is_signed_by(&key());
    if let Ok(arguments) = request.arguments() {
        for (_, value) in &arguments {
            assert!(value.len() <= MAX_DECODED && !value.chars().any(is_unsafe));
        }
    }
});

fn outcome(read: &Result<Request, Unreadable>) -> Result<&[u8], &Unreadable> {
    read.as_ref().map(Request::signed_lines)
}
