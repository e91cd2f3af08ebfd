//! Header protection (RFC 9788): the true header inside, a generic one outside. In: a message. Out: the fields that
//! stay outside, and what is encrypted.
//!
//! `hp="cipher"` and `HP-Outer` are RFC 9788's. `protected-headers="v1"` is its forerunner's
//! (draft-autocrypt-lamps-protected-headers), by which Thunderbird finds the subject.

/// The subject outside (RFC 9788 section 3.2.1, `hcp_baseline`).
const SUBJECT: &str = "[...]";

/// The fields that stay outside, each ended by LF, and the part that is encrypted, its lines ended by CRLF (RFC 3156
/// section 3). `None` where `message` is not one with a header and `Content-Type`.
pub(super) fn split(message: &[u8]) -> Option<(String, Vec<u8>)> {
    let end = message.windows(2).position(|two| two == b"\n\n")?;
    let head = std::str::from_utf8(message.get(..=end)?).ok()?;
    let body = message.get(end + 2..)?;
    let (mut outer, mut inner, mut copies) = (String::new(), String::new(), String::new());
    let mut is_typed = false;
    for field in fields(head) {
        let (name, value) = field.split_once(':')?;
        if name.eq_ignore_ascii_case("MIME-Version") {
            continue;
        }
        if name.eq_ignore_ascii_case("Content-Type") {
            is_typed = true;
            inner.push_str(&format!("{name}:{};\n hp=\"cipher\"; protected-headers=\"v1\"\n", value.trim_end()));
            continue;
        }
        inner.push_str(field);
        if name.to_ascii_lowercase().starts_with("content-") {
            continue;
        }
        let shown =
            if name.eq_ignore_ascii_case("Subject") { format!("{name}: {SUBJECT}\n") } else { field.to_owned() };
        copies.push_str(&format!("HP-Outer: {shown}"));
        outer.push_str(&shown);
    }
    let inner = [inner.as_bytes(), copies.as_bytes(), b"\n", body].concat();
    is_typed.then(|| (outer, with_crlf(&inner)))
}

/// The fields of a header, each with its continuation lines and its LF.
fn fields(head: &str) -> Vec<&str> {
    let mut fields = Vec::new();
    let mut rest = head;
    while !rest.is_empty() {
        let mut end = 0;
        for line in rest.split_inclusive('\n') {
            if end > 0 && !line.starts_with([' ', '\t']) {
                break;
            }
            end += line.len();
        }
        let (field, after) = rest.split_at(end);
        fields.push(field);
        rest = after;
    }
    fields
}

fn with_crlf(text: &[u8]) -> Vec<u8> {
    let mut lines = Vec::with_capacity(text.len() + text.len() / 32);
    for &byte in text {
        if byte == b'\n' {
            lines.push(b'\r');
        }
        lines.push(byte);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subject_is_inside_and_the_rest_is_on_both_sides() {
        let message = "From: a@x\nSubject: =?utf-8?Q?one?=\n =?utf-8?Q?two?=\nDate: now\nMIME-Version: 1.0\n\
                       Content-Type: text/plain; charset=\"utf-8\"\nContent-Transfer-Encoding: 7bit\n\nb\n\nc\n";
        let (outer, inner) = split(message.as_bytes()).expect("a message");
        assert_eq!(outer, "From: a@x\nSubject: [...]\nDate: now\n");
        let inner = String::from_utf8(inner).expect("text").replace("\r\n", "\n");
        assert_eq!(
            inner,
            "From: a@x\nSubject: =?utf-8?Q?one?=\n =?utf-8?Q?two?=\nDate: now\n\
             Content-Type: text/plain; charset=\"utf-8\";\n hp=\"cipher\"; protected-headers=\"v1\"\n\
             Content-Transfer-Encoding: 7bit\n\
             HP-Outer: From: a@x\nHP-Outer: Subject: [...]\nHP-Outer: Date: now\n\nb\n\nc\n"
        );
        assert_eq!(split(b"From: a@x\n\nb\n"), None, "without a type it would not be known how to read it");
        assert_eq!(split(b"no header"), None);
    }
}
