//! Each mail of the folder as one more mail system changes it (docs/measurements.md#what-mail-systems-do-to-a-text).
//! The golden file `tests/golden/manglings.txt` has every result: `ran`, or the word of the rule that refuses it.
//! `SNAPSHOTS=overwrite cargo test --test mail` takes over the results; read the difference before you commit it.

use std::fmt::Write;

use crate::common::{TestGateway, explain_bytes};
use crate::{MAILS, read, with_crlf};

/// What a mail system does: `None` where it would not do so with this mail.
type Mangling = fn(&[u8]) -> Option<Vec<u8>>;

/// Those that change the whole message, and those that write the text of a plain message anew.
const WHOLE: &[(&str, Mangling)] = &[
    ("crlf", |mail| Some(with_crlf(mail))),
    ("mbox", mbox),
    ("relayed", |mail| Some(relayed(mail))),
    ("footer-at-the-end", |mail| Some(footer(mail))),
];
const TEXT: &[(&str, Mangling)] = &[
    ("quoted-printable", |mail| encoded(mail, "quoted-printable", quoted_printable)),
    ("base64", |mail| encoded(mail, "base64", base64)),
    ("base64-and-a-footer", |mail| encoded(mail, "base64", |body| base64(body) + "\n-- \na footer\n")),
    ("base64-without-padding-and-a-footer", unpadded),
    ("base64-label-only", |mail| encoded(mail, "base64", text)),
    ("flowed", flowed),
    ("wrapped-at-78", |mail| wrapped(mail, 78)),
    ("wrapped-at-60", |mail| wrapped(mail, 60)),
    ("quoted", |mail| lines(mail, |line| format!("> {line}"))),
    ("trailing-spaces", |mail| lines(mail, |line| format!("{line}  "))),
    ("html-lines", |mail| html(mail, "<div>", "</div>\n")),
    ("html-breaks", |mail| html(mail, "", "<br>\n")),
    ("html-one-line", |mail| html(mail, "", " ")),
    ("alternative", alternative),
    ("footer-part", footer_part),
    ("forwarded-attachment", forwarded),
];

/// Refused for what no change of the text on the way can take away: these never run, however they are changed.
const FOR_GOOD: [&str; 8] =
    ["bad-mac", "foreign-from", "bad-from", "automatic", "rejected", "loop", "unsupported-version", "not-mail"];

fn text(body: &[u8]) -> String {
    String::from_utf8_lossy(body).into_owned()
}

/// Header and body of a message that is plain text without an encoding.
fn plain(mail: &[u8]) -> Option<(String, String)> {
    let mail = std::str::from_utf8(mail).ok()?;
    let (header, body) = mail.split_once("\n\n")?;
    let lower = header.to_ascii_lowercase();
    let is_other = |field: &str, value: &str| lower.contains(field) && !lower.contains(value);
    let is_encoded = ["quoted-printable", "base64", "x-uuencode"].iter().any(|word| lower.contains(word));
    (!is_encoded
        && !is_other("content-type:", "content-type: text/plain")
        && !lower.contains("content-disposition")
        && !lower.contains("format=flowed")
        && lower.matches("content-type").count() < 2
        && !mail.contains('\r'))
    .then(|| (header.to_owned(), body.to_owned()))
}

/// The header without the fields of MIME.
fn bare(header: &str) -> String {
    let mut kept = String::new();
    let mut is_mime = false;
    for line in header.lines() {
        if !line.starts_with([' ', '\t']) {
            let lower = line.to_ascii_lowercase();
            is_mime = lower.starts_with("content-") || lower.starts_with("mime-version");
        }
        if !is_mime {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

fn with_type(header: &str, kind: &str, body: &str) -> Vec<u8> {
    format!("{}MIME-Version: 1.0\nContent-Type: {kind}\n\n{body}", bare(header)).into_bytes()
}

fn mbox(mail: &[u8]) -> Option<Vec<u8>> {
    let mail = std::str::from_utf8(mail).ok()?;
    let lines = mail.split_inclusive('\n').map(|line| {
        let is_changed = line.trim_start_matches('>').starts_with("From ");
        if is_changed { format!(">{line}") } else { line.to_owned() }
    });
    Some(format!("From alice@example.com Mon Nov 23 10:15:03 2026\n{}", lines.collect::<String>()).into_bytes())
}

fn relayed(mail: &[u8]) -> Vec<u8> {
    let fields: &[u8] =
        b"Received: from mx.example.org (mx.example.org [192.0.2.1])\n\tby mail.example.com with ESMTPS;\n\
                  \tMon, 23 Nov 2026 10:15:03 +0000\nX-Virus-Scanned: yes\n";
    [fields, mail].concat()
}

/// Base64 whose encoder leaves out the padding, with a footer below it.
fn unpadded(mail: &[u8]) -> Option<Vec<u8>> {
    encoded(mail, "base64", |body| base64(body).trim_end().trim_end_matches('=').to_owned() + "\n-- \na footer\n")
}

fn footer(mail: &[u8]) -> Vec<u8> {
    [mail, b"\n_______________________________________________\nThis mail is confidential.\n"].concat()
}

fn encoded(mail: &[u8], label: &str, encode: impl Fn(&[u8]) -> String) -> Option<Vec<u8>> {
    let (header, body) = plain(mail)?;
    let kind = format!("text/plain; charset=utf-8\nContent-Transfer-Encoding: {label}");
    Some(with_type(&header, &kind, &encode(body.as_bytes())))
}

/// Soft line ends at 40 columns, as no client has them.
fn quoted_printable(body: &[u8]) -> String {
    let mut encoded = String::new();
    let mut column = 0;
    for &byte in body {
        let piece = match byte {
            b'\n' => "\n".to_owned(),
            b' '..=b'~' if byte != b'=' => char::from(byte).to_string(),
            _ => format!("={byte:02X}"),
        };
        if column + piece.len() > 40 && piece != "\n" {
            encoded.push_str("=\n");
            column = 0;
        }
        column = if piece == "\n" { 0 } else { column + piece.len() };
        encoded.push_str(&piece);
    }
    encoded
}

fn base64(body: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut encoded = String::new();
    for (at, chunk) in body.chunks(3).enumerate() {
        let bits = chunk.iter().fold(0_u32, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - chunk.len()));
        for digit in 0..4 {
            let is_there = digit <= chunk.len();
            let index = usize::try_from(bits >> (18 - 6 * digit) & 63).expect("6 bits");
            encoded.push(if is_there { char::from(DIGITS[index]) } else { '=' });
        }
        if at % 19 == 18 {
            encoded.push('\n');
        }
    }
    encoded + "\n"
}

fn lines(mail: &[u8], change: impl Fn(&str) -> String) -> Option<Vec<u8>> {
    let (header, body) = plain(mail)?;
    let body: String = body.lines().map(|line| change(line) + "\n").collect();
    Some(format!("{header}\n\n{body}").into_bytes())
}

fn cut(line: &str, most: usize, end: &str) -> String {
    let characters: Vec<char> = line.chars().collect();
    let pieces: Vec<String> = characters.chunks(most).map(|piece| piece.iter().collect()).collect();
    if pieces.is_empty() { "\n".to_owned() } else { pieces.join(&format!("{end}\n")) + "\n" }
}

fn wrapped(mail: &[u8], most: usize) -> Option<Vec<u8>> {
    let (header, body) = plain(mail)?;
    let body: String = body.lines().map(|line| cut(line, most, "")).collect();
    Some(format!("{header}\n\n{body}").into_bytes())
}

/// RFC 3676: space-stuffed, and long lines with a soft end at a space.
fn flowed(mail: &[u8]) -> Option<Vec<u8>> {
    let (header, body) = plain(mail)?;
    let stuffed = body.lines().map(|line| {
        let is_stuffed = line.starts_with([' ', '>']) || line.starts_with("From ");
        let line = if line == "-- " { line } else { line.trim_end() };
        if is_stuffed { format!(" {line}\n") } else { format!("{line}\n") }
    });
    Some(with_type(&header, "text/plain; charset=utf-8; format=flowed", &stuffed.collect::<String>()))
}

fn html(mail: &[u8], before: &str, after: &str) -> Option<Vec<u8>> {
    let (header, body) = plain(mail)?;
    let escaped = body.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let lines: String = escaped.lines().flat_map(|line| [before, line, after]).collect();
    let page = format!("<html><body>{lines}</body></html>\n");
    Some(with_type(&header, "text/html; charset=utf-8", &page))
}

fn multipart(header: &str, kind: &str, parts: &[(&str, &str)]) -> Vec<u8> {
    let mut body = String::new();
    for (kind, content) in parts {
        let _ = write!(body, "--=_b1\nContent-Type: {kind}\n\n{content}\n");
    }
    with_type(header, &format!("{kind}; boundary=\"=_b1\""), &format!("{body}--=_b1--\n"))
}

fn alternative(mail: &[u8]) -> Option<Vec<u8>> {
    let (header, body) = plain(mail)?;
    let page = String::from_utf8(html(mail, "<p>", "</p>\n")?).ok()?;
    let (_, page) = page.split_once("\n\n")?;
    let parts = [("text/plain; charset=utf-8", body.as_str()), ("text/html; charset=utf-8", page)];
    Some(multipart(&header, "multipart/alternative", &parts))
}

fn footer_part(mail: &[u8]) -> Option<Vec<u8>> {
    let (header, body) = plain(mail)?;
    let parts = [("text/plain; charset=utf-8", body.as_str()), ("text/plain", "A footer of the list.\n")];
    Some(multipart(&header, "multipart/mixed", &parts))
}

fn forwarded(mail: &[u8]) -> Option<Vec<u8>> {
    let (header, _) = plain(mail)?;
    let inner = std::str::from_utf8(mail).ok()?;
    let parts = [("text/plain", "See below.\n"), ("message/rfc822", inner)];
    Some(multipart(&header, "multipart/mixed", &parts))
}

fn verdict(test_gateway: &TestGateway, mail: &[u8]) -> String {
    let (would_run, lines) = explain_bytes(test_gateway, mail);
    let refused = lines.iter().find_map(|line| line.strip_prefix("refused: "));
    match refused {
        None if would_run => "ran".to_owned(),
        None => panic!("neither: {lines:?}"),
        Some(refused) => refused.split(' ').next().unwrap_or_default().to_owned(),
    }
}

#[test]
fn every_mail_through_every_mangling_has_its_verdict() {
    let test_gateway = TestGateway::new();
    let mut table = String::new();
    let mut count = 0;
    for (name, expected) in MAILS {
        let mail = read(name);
        let own = verdict(&test_gateway, &mail);
        assert_eq!(own, *expected, "{name}");
        let _ = writeln!(table, "{name}: {own}");
        for (whole, (mangling, change)) in
            WHOLE.iter().map(|one| (true, one)).chain(TEXT.iter().map(|one| (false, one)))
        {
            let Some(changed) = change(&mail) else { continue };
            let found = verdict(&test_gateway, &changed);
            count += 1;
            if FOR_GOOD.contains(expected) {
                assert_ne!(found, "ran", "{name} {mangling}: {}", text(&changed));
            }
            if whole && ["crlf", "relayed"].contains(mangling) {
                assert_eq!(found, own, "{name} {mangling}: it changes no text");
            }
            // Only what differs is listed; the rest keeps its verdict.
            if found != own {
                let _ = writeln!(table, "    {mangling}: {found}");
            }
        }
    }
    assert!(count > 1000, "{count} mails");
    let _ = writeln!(table, "\n{count} changed mails");
    snapbox::assert_data_eq!(table, snapbox::file!["../golden/manglings.txt"]);
}
