//! Certificates that mail is encrypted to, and the programs that do it. Each certificate is tried: a message is
//! encrypted to it. So is each key of the gateway's own.
//!
//! Whether an X.509 certificate was revoked is not known: mailsudo connects to nothing.

use super::{CheckedGateway, Report, count, programs};
use crate::config::EncryptKind;
use crate::encryption::Encryption;
use crate::limits::{CERTIFICATE_ENDS, Timeouts};
use crate::remedy::Remedy;

pub(super) fn check(gateway: &CheckedGateway<'_>, report: &mut Report) {
    let encryption = Encryption::new(gateway.gateway, &Timeouts { encryption: programs::left(), ..Timeouts::DEFAULT });
    replies(gateway, &encryption, report);
    requests(gateway, &encryption, report);
}

/// The gateway's own keys: a message is encrypted to each, and decrypted.
fn requests(gateway: &CheckedGateway<'_>, encryption: &Encryption<'_>, report: &mut Report) {
    for kind in [EncryptKind::Openpgp, EncryptKind::Smime] {
        if gateway.settings().decryption.files(kind).is_none() {
            continue;
        }
        match encryption.try_own_key(kind) {
            Ok(()) => report.ok("decryption", format!("requests that are encrypted with {kind} can be read")),
            Err(why) => report.error(
                "decryption",
                format!("requests that are encrypted with {kind} cannot be read, and stay in the queue or are refused: {why}"),
                "make the key anew and give users its certificate, as docs/encryption.md says; or remove it from [decryption]",
            ),
        }
    }
}

/// Users' certificates, and the programs that encrypt to them.
fn replies(gateway: &CheckedGateway<'_>, encryption: &Encryption<'_>, report: &mut Report) {
    let users: Vec<_> = gateway.users.iter().filter_map(|(name, user)| Some((name, user.encrypt?))).collect();
    if users.is_empty() {
        return;
    }
    let settings = &gateway.settings().encryption;
    let kinds = [
        (EncryptKind::Openpgp, &settings.sop, "sop", "sqop"),
        (EncryptKind::Smime, &settings.openssl, "openssl", "openssl"),
    ];
    let before = report.findings.len();
    let mut missing = Vec::new();
    for (kind, program, key, package) in kinds {
        if users.iter().any(|(_, of)| *of == kind) && !program.exists() {
            let what =
                format!("[encryption] {key}, {}, does not exist: {kind} mail says the outcome only", program.display());
            report.error("encryption", what, Remedy::Install(package));
            missing.push(kind);
        }
    }
    for (name, kind) in users.iter().filter(|(_, kind)| !missing.contains(kind)) {
        let file = gateway.gateway.path().join("certs.d").join(format!("{name}.{}", kind.ending()));
        let renew = format!("ask {name} for a new certificate, and put it into {}", file.display());
        match encryption.about(name, *kind) {
            Err(why) => report.error("encryption", format!("nothing can be encrypted to {name}: {why}"), renew),
            Ok(about) => {
                if let Some(expires) = about.expires.filter(|expires| *expires < gateway.now.plus(CERTIFICATE_ENDS)) {
                    report.warning(
                        "encryption",
                        format!("the certificate of {name} expires at {expires}"),
                        renew.clone(),
                    );
                }
                if about.is_weak {
                    report.warning("encryption", format!("the key of {name} is weak: {}", about.key), renew);
                }
            }
        }
    }
    if report.findings.len() == before {
        let what = format!("mail to {} is encrypted; their certificates can be used", count(users.len(), "user"));
        report.ok("encryption", what);
    }
}
