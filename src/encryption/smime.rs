//! S/MIME by openssl-cms(1): AES-256-GCM, the key by RSA-OAEP or by ECDH, each with SHA-256. In: a certificate and a
//! part. Out: the body of an S/MIME message (RFC 8551 section 3.3), with its `Content-Type`.

use std::cell::Cell;
use std::path::Path;
use std::time::Duration;

use super::about::{About, EC_BITS, RSA_BITS};
use super::tool::{Ended, MORE, Tool};
use crate::protocol::Timestamp;

/// What begins CMS AuthEnvelopedData (RFC 5083): its object identifier, in DER.
const AUTH_ENVELOPED: &[u8] = &[0x06, 0x0b, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x01, 0x17];

/// The most that openssl-x509(1) prints of a certificate.
const CERTIFICATE_TEXT: usize = 64 << 10;

/// The kind of a certificate's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeyKind {
    Rsa,
    Ec,
}

/// Encrypts `part` to `certificate`, whose text is an X.509 certificate in PEM.
pub(super) fn encrypt(program: &Path, certificate: &str, part: &[u8], left: &Cell<Duration>) -> Result<String, String> {
    let options: &[&str] = match key_kind(program, certificate, left)? {
        KeyKind::Rsa => &["-keyopt", "rsa_padding_mode:oaep", "-keyopt", "rsa_oaep_md:sha256"],
        KeyKind::Ec => &["-keyopt", "ecdh_kdf_md:sha256"],
    };
    let before = ["cms", "-encrypt", "-binary", "-aes-256-gcm", "-outform", "PEM"];
    let tool = Tool { program, before: &before, files: &[("-recip", certificate.as_bytes())], after: options };
    let ended = tool.run(part, 2 * part.len() + (64 << 10), left)?;
    succeeded(program, &ended)?;
    let text = String::from_utf8(ended.out).map_err(|_| garbage(program))?.replace('\r', "");
    let data = encrypted(&text).ok_or_else(|| garbage(program))?;
    Ok(format!(
        "MIME-Version: 1.0\nContent-Type: application/pkcs7-mime; smime-type=authEnveloped-data; name=\"smime.p7m\"\n\
         Content-Transfer-Encoding: base64\nContent-Disposition: attachment; filename=\"smime.p7m\"\n\n{data}\n"
    ))
}

/// The data in a body that [`encrypt`] has made, in DER.
pub(super) fn data(body: &str) -> Option<Vec<u8>> {
    let (_, base64) = body.split_once("\n\n")?;
    let base64: Vec<u8> = base64.bytes().filter(|byte| *byte != b'\n').collect();
    mail_parser::decoders::base64::base64_decode(&base64)
}

/// Statuses of openssl-cms(1) that are the data's fault: it cannot be read, or not decrypted.
pub(super) const AT_FAULT: [i32; 2] = [2, 4];

/// Runs `openssl cms -decrypt` on `data`, with the gateway's key and certificate. More than `most` bytes of output say
/// that there is more.
pub(super) fn decrypt(
    program: &Path,
    keys: &[&[u8]],
    data: &[u8],
    most: usize,
    left: &Cell<Duration>,
) -> Result<Ended, String> {
    let files: Vec<_> = ["-inkey", "-recip"].into_iter().zip(keys.iter().copied()).collect();
    let tool = Tool { program, before: &["cms", "-decrypt", "-binary", "-inform", "DER"], files: &files, after: &[] };
    tool.run(data, most.saturating_add(MORE), left)
}

/// Runs `openssl cms -verify` on the SignedData `data` for its content alone: neither signature nor certificate is
/// looked at. More than `most` bytes of output say that there is more.
pub(super) fn unpack(program: &Path, data: &[u8], most: usize, left: &Cell<Duration>) -> Result<Ended, String> {
    let before = ["cms", "-verify", "-noverify", "-nosigs", "-binary", "-inform", "DER"];
    Tool { program, before: &before, files: &[], after: &[] }.run(data, most.saturating_add(MORE), left)
}

fn garbage(program: &Path) -> String {
    format!("{} ended with status 0, and printed no AuthEnvelopedData", program.display())
}

/// The base64 of the PEM `text`, if it is CMS AuthEnvelopedData.
fn encrypted(text: &str) -> Option<&str> {
    let data = text.trim().strip_prefix("-----BEGIN CMS-----\n")?.strip_suffix("\n-----END CMS-----")?;
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=\n".contains(&byte);
    let start = mail_parser::decoders::base64::base64_decode(data.get(..40)?.as_bytes())?;
    let has_type = start.windows(AUTH_ENVELOPED.len()).any(|found| found == AUTH_ENVELOPED);
    (has_type && data.bytes().all(is_base64)).then_some(data)
}

/// What the certificate says of itself.
pub(super) fn about(program: &Path, certificate: &str, left: &Cell<Duration>) -> Result<About, String> {
    let text = described(program, certificate, left)?;
    let kind = read_kind(&text)?;
    let bits = value(&text, "Public-Key: (").and_then(|text| text.split(' ').next()?.parse::<u32>().ok());
    let (name, least) = if kind == KeyKind::Rsa { ("RSA", RSA_BITS) } else { ("EC", EC_BITS) };
    let bits = bits.ok_or("openssl does not say how many bits its key has")?;
    let expires = value(&text, "Not After :").and_then(time).ok_or("openssl does not say when it expires")?;
    Ok(About { key: format!("{name} {bits}"), expires: Some(expires), is_weak: bits < least })
}

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Reads a time as openssl-x509(1) prints it: `Nov  9 22:00:00 2027 GMT`.
fn time(text: &str) -> Option<Timestamp> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let [month, day, clock, year, "GMT"] = words.as_slice() else {
        return None;
    };
    let month = 1 + MONTHS.iter().position(|name| name == month)?;
    Timestamp::parse(&format!("{year}-{month:02}-{day:0>2}T{clock}Z"))
}

/// What stands behind `label` on a line of openssl's text.
fn value<'t>(text: &'t str, label: &str) -> Option<&'t str> {
    text.lines().find_map(|line| line.trim().strip_prefix(label)).map(str::trim)
}

/// What the certificate can do. openssl-cms(1) itself encrypts to one that has expired, or that is for signatures only.
fn key_kind(program: &Path, certificate: &str, left: &Cell<Duration>) -> Result<KeyKind, String> {
    read_kind(&described(program, certificate, left)?)
}

/// The text of a certificate that has not expired.
fn described(program: &Path, certificate: &str, left: &Cell<Duration>) -> Result<String, String> {
    let before = ["x509", "-noout", "-text", "-checkend", "0"];
    let tool = Tool { program, before: &before, files: &[("-in", certificate.as_bytes())], after: &[] };
    let ended = tool.run(&[], CERTIFICATE_TEXT, left)?;
    let text = String::from_utf8_lossy(&ended.out).into_owned();
    if ended.status.code() == Some(1) && text.contains("Certificate will expire") {
        return Err("the certificate has expired".to_owned());
    }
    succeeded(program, &ended)?;
    Ok(text)
}

/// Reads what openssl-x509(1) prints.
fn read_kind(text: &str) -> Result<KeyKind, String> {
    let kind = match value(text, "Public Key Algorithm:") {
        Some("rsaEncryption") => KeyKind::Rsa,
        Some("id-ecPublicKey") => KeyKind::Ec,
        other => {
            return Err(format!("the certificate's key is {}, and must be RSA or EC", other.unwrap_or("not known")));
        }
    };
    let usage = text.lines().skip_while(|line| !line.trim().starts_with("X509v3 Key Usage")).nth(1);
    let wanted = if kind == KeyKind::Rsa { "Key Encipherment" } else { "Key Agreement" };
    match usage {
        Some(usage) if !usage.contains(wanted) => {
            Err(format!("the certificate is not for encryption: its key usage is {}", usage.trim()))
        }
        _ => Ok(kind),
    }
}

/// Whether the tool ended with status 0.
pub(super) fn succeeded(program: &Path, ended: &Ended) -> Result<(), String> {
    if ended.status.success() {
        return Ok(());
    }
    Err(format!("{}: {}{}", program.display(), ended.status, ended.said))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_says_what_it_is_for() {
        let text = |algorithm: &str, usage: &str| {
            format!("    Public Key Algorithm: {algorithm}\n        X509v3 Key Usage: critical\n    {usage}\n")
        };
        assert_eq!(read_kind(&text("rsaEncryption", "Digital Signature, Key Encipherment")), Ok(KeyKind::Rsa));
        assert_eq!(read_kind(&text("id-ecPublicKey", "Key Agreement")), Ok(KeyKind::Ec));
        assert_eq!(read_kind("Public Key Algorithm: rsaEncryption\n"), Ok(KeyKind::Rsa), "without a usage, for all");
        for (algorithm, usage) in [
            ("rsaEncryption", "Digital Signature"),
            ("id-ecPublicKey", "Digital Signature"),
            ("ED25519", "Key Agreement"),
        ] {
            assert!(read_kind(&text(algorithm, usage)).is_err(), "{algorithm} {usage}");
        }
        assert!(read_kind("").is_err());
    }

    #[test]
    fn the_times_of_openssl_are_read() {
        let read = |text| time(text).map(|time| time.to_string());
        assert_eq!(read("Nov  9 22:00:00 2027 GMT").as_deref(), Some("2027-11-09T22:00:00Z"));
        assert_eq!(read("Dec 31 23:59:59 2049 GMT").as_deref(), Some("2049-12-31T23:59:59Z"));
        assert!(read("9 Nov 2027").is_none() && read("").is_none());
    }

    #[test]
    fn only_authenveloped_data_passes() {
        let pem = |data: &str| format!("-----BEGIN CMS-----\n{data}\n-----END CMS-----\n");
        let good = "MIICWgYLKoZIhvcNAQkQARegggJJMIICRQIBADGC";
        assert_eq!(encrypted(&pem(good)), Some(good));
        for bad in
            ["", "MIICWgYJKoZIhvcNAQcDoIICSTCCAkUCAQAxggHv", "MIICWgYLKoZIhvcNAQkQARegggJJMIICRQIBADGC and the output"]
        {
            assert_eq!(encrypted(&pem(bad)), None, "{bad}");
        }
        assert_eq!(encrypted(good), None);
    }
}
