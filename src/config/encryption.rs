//! `[encryption]`, and `encrypt` of a user: with which programs mail is encrypted, and how.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// How a user's mail is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EncryptKind {
    /// OpenPGP, to certs.d/NAME.asc.
    Openpgp,
    /// S/MIME, to certs.d/NAME.pem.
    Smime,
}

impl EncryptKind {
    /// How the name of the certificate's file ends.
    pub fn ending(self) -> &'static str {
        match self {
            Self::Openpgp => "asc",
            Self::Smime => "pem",
        }
    }
}

impl fmt::Display for EncryptKind {
    /// As in the user's file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Openpgp => "openpgp",
            Self::Smime => "smime",
        })
    }
}

/// `[encryption]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Encryption {
    /// The program with the Stateless OpenPGP interface.
    pub sop: PathBuf,
    /// openssl(1), for S/MIME.
    pub openssl: PathBuf,
}

impl Default for Encryption {
    fn default() -> Self {
        Self { sop: "/usr/bin/sqop".into(), openssl: "/usr/bin/openssl".into() }
    }
}

/// `[decryption]`: the gateway's own keys, for requests that are encrypted to it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Decryption {
    /// The file with the armored OpenPGP private key.
    pub openpgp_key: Option<PathBuf>,
    /// The files with the S/MIME private key and its certificate, in PEM.
    pub smime_key: Option<PathBuf>,
    /// See [`Self::smime_key`].
    pub smime_certificate: Option<PathBuf>,
}

impl Decryption {
    /// Whether the gateway can decrypt any message.
    pub fn has_key(&self) -> bool {
        [EncryptKind::Openpgp, EncryptKind::Smime].into_iter().any(|kind| self.files(kind).is_some())
    }

    /// The files that a message of this kind needs; `None` where it cannot be decrypted.
    pub fn files(&self, kind: EncryptKind) -> Option<Vec<&Path>> {
        match kind {
            EncryptKind::Openpgp => self.openpgp_key.as_deref().map(|key| vec![key]),
            EncryptKind::Smime => {
                let (key, certificate) = (self.smime_key.as_deref()?, self.smime_certificate.as_deref()?);
                Some(vec![key, certificate])
            }
        }
    }

    /// What is wrong with the keys together.
    pub(super) fn check(&self) -> Result<(), (&'static str, &'static str)> {
        let paths = [
            ("openpgp_key", &self.openpgp_key),
            ("smime_key", &self.smime_key),
            ("smime_certificate", &self.smime_certificate),
        ];
        for (name, path) in paths {
            if path.as_ref().is_some_and(|path| !path.is_absolute()) {
                return Err((name, "must be an absolute path"));
            }
        }
        match (&self.smime_key, &self.smime_certificate) {
            (Some(_), None) => Err(("smime_key", "needs smime_certificate, which belongs to it")),
            (None, Some(_)) => Err(("smime_certificate", "needs smime_key, which belongs to it")),
            _ => Ok(()),
        }
    }
}
