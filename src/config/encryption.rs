//! `[encryption]`, and `encrypt` of a user: with which programs mail is encrypted, and how.

use std::fmt;
use std::path::PathBuf;

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
