//! OpenPGP by the Stateless OpenPGP interface: `sop encrypt CERTS < DATA`. In: a certificate and a part. Out: the body
//! of a PGP/MIME message (RFC 3156 section 4), with its `Content-Type`.

use std::cell::Cell;
use std::path::Path;
use std::time::Duration;

use super::packets;
use super::tool::{Ended, MORE, Tool};

/// No line of ASCII armor begins like this.
const BOUNDARY: &str = "=-mailsudo-encrypted";

const BEGIN: &str = "-----BEGIN PGP MESSAGE-----";
const END: &str = "-----END PGP MESSAGE-----";

/// Statuses of the interface (section "Failure Modes"), in words for the log.
const FAILURES: [(i32, &str); 7] = [
    (3, "no signature is valid"),
    (17, "the certificate cannot encrypt: it is expired, revoked, or has no key for encryption"),
    (19, "it needs an argument that was not given"),
    (29, "it has no key for this message"),
    (41, "the data is not OpenPGP"),
    (67, "the key is locked with a password"),
    (71, "a file that was given does not exist"),
];

/// Encrypts `part` to `certificate`, whose text is an armored OpenPGP certificate.
pub(super) fn encrypt(program: &Path, certificate: &str, part: &[u8], left: &Cell<Duration>) -> Result<String, String> {
    packets::read(certificate)?;
    let tool = Tool { program, before: &["encrypt", "--"], files: &[("", certificate.as_bytes())], after: &[] };
    let ended = tool.run(part, 2 * part.len() + (64 << 10), left)?;
    succeeded(program, &ended)?;
    let text = String::from_utf8(ended.out).map_err(|_| garbage(program))?.replace("\r\n", "\n");
    if !is_encrypted(&text) {
        return Err(garbage(program));
    }
    Ok(format!(
        "MIME-Version: 1.0\nContent-Type: multipart/encrypted; protocol=\"application/pgp-encrypted\";\n boundary=\"{BOUNDARY}\"\n\n\
         This is an encrypted message (RFC 3156).\n\
         --{BOUNDARY}\nContent-Type: application/pgp-encrypted\nContent-Description: PGP/MIME version identification\n\n\
         Version: 1\n\n\
         --{BOUNDARY}\nContent-Type: application/octet-stream; name=\"encrypted.asc\"\n\
         Content-Description: OpenPGP encrypted message\nContent-Disposition: inline; filename=\"encrypted.asc\"\n\n\
         {}\n\
         --{BOUNDARY}--\n",
        text.trim()
    ))
}

/// The armored message in a body that [`encrypt`] has made.
pub(super) fn data(body: &str) -> Option<Vec<u8>> {
    let begin = body.find(BEGIN)?;
    let end = begin + body.get(begin..)?.find(END)? + END.len();
    body.get(begin..end).map(|armored| format!("{armored}\n").into_bytes())
}

/// The certificate that belongs to the private key `key`, by `sop extract-cert`.
pub(super) fn certificate(program: &Path, key: &[u8], left: &Cell<Duration>) -> Result<String, String> {
    let tool = Tool { program, before: &["extract-cert"], files: &[], after: &[] };
    let ended = tool.run(key, MORE, left)?;
    succeeded(program, &ended)?;
    String::from_utf8(ended.out).map_err(|_| format!("{} printed no certificate", program.display()))
}

/// Statuses that are the data's fault: it cannot be decrypted, or is no OpenPGP.
pub(super) const AT_FAULT: [i32; 2] = [29, 41];

/// Runs `sop decrypt` on `data`. More than `most` bytes of output say that there is more.
pub(super) fn decrypt(
    program: &Path,
    keys: &[&[u8]],
    data: &[u8],
    most: usize,
    left: &Cell<Duration>,
) -> Result<Ended, String> {
    let files: Vec<_> = keys.iter().map(|key| ("", *key)).collect();
    let tool = Tool { program, before: &["decrypt", "--"], files: &files, after: &[] };
    tool.run(data, most.saturating_add(MORE), left)
}

fn garbage(program: &Path) -> String {
    format!("{} ended with status 0, and printed no OpenPGP message", program.display())
}

/// Whether the tool ended with status 0; else its own status in words.
pub(super) fn succeeded(program: &Path, ended: &Ended) -> Result<(), String> {
    let program = program.display();
    let said = &ended.said;
    match ended.status.code() {
        Some(0) => Ok(()),
        Some(code) => {
            let words = FAILURES.iter().find(|(known, _)| *known == code).map(|(_, words)| format!(": {words}"));
            Err(format!("{program}: status {code}{}{said}", words.unwrap_or_default()))
        }
        None => Err(format!("{program}: {}{said}", ended.status)),
    }
}

/// Whether `text` is an armored message (RFC 9580 section 6.2) whose first packet is a session key that is encrypted to
/// a public key (section 5.1).
fn is_encrypted(text: &str) -> bool {
    let Some(inner) = text.trim().strip_prefix(BEGIN).and_then(|text| text.strip_suffix(END)) else {
        return false;
    };
    // Armor headers, then an empty line.
    let Some((head, data)) = inner.split_once("\n\n") else {
        return false;
    };
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=\n".contains(&byte);
    let first = data.get(..8).and_then(|first| mail_parser::decoders::base64::base64_decode(first.as_bytes()));
    head.lines().all(|line| line.is_empty() || line.contains(": "))
        && data.bytes().all(is_base64)
        && first.and_then(|first| first.first().copied()).is_some_and(|byte| matches!(byte, 0xc1 | 0x84..=0x86))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_message_that_is_encrypted_to_a_key_passes() {
        let message = |data: &str| format!("{BEGIN}\n\n{data}\n{END}\n");
        assert!(is_encrypted(&message("wV4D9zwaf1jPj+gSAQdA8b6D\n=abcd")));
        assert!(is_encrypted(&message("hQGMA9zwaf1jPj+gSAQdA8b6")));
        for bad in [
            String::new(),
            "wV4D9zwaf1jPj+gSAQdA8b6D".to_owned(),
            message(""),
            message("yxR0ZXN0aGVsbG8gd29ybGQ="),
            message("wV4D9zwa hello world"),
            format!("{BEGIN}\nwV4D9zwaf1jPj\n{END}\n"),
            format!("{}{}", message("wV4D9zwaf1jPj"), "and the output"),
        ] {
            assert!(!is_encrypted(&bad), "{bad}");
        }
    }
}
