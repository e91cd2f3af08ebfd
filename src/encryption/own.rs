//! The gateway's own keys, tried: a message is encrypted to each as a user would, and decrypted again.

use super::{Encryption, PROBE, header, openpgp, smime};
use crate::config::EncryptKind;
use crate::error::Stop;

/// The most bytes of the test, decrypted.
const MOST: u64 = 64 << 10;

impl Encryption<'_> {
    /// Whether requests that are encrypted to the gateway's own key of this `kind` can be read.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn try_own_key(&self, kind: EncryptKind) -> Result<(), String> {
        let settings = self.settings();
        let files = settings.decryption.files(kind).unwrap_or_default();
        let keys = files.iter().map(|path| self.gateway.own_key(path)).collect::<Result<Vec<_>, _>>();
        let keys = keys.map_err(|error| error.to_string())?;
        let (_, part) = header::split(PROBE).ok_or("the test has no header")?;
        let data = match (kind, keys.as_slice()) {
            (EncryptKind::Openpgp, [key]) => {
                let sop = &settings.encryption.sop;
                let certificate = openpgp::certificate(sop, key.as_bytes(), &self.left)?;
                openpgp::data(&openpgp::encrypt(sop, &certificate, &part, &self.left)?)
            }
            (EncryptKind::Smime, [_, certificate]) => {
                smime::data(&smime::encrypt(&settings.encryption.openssl, certificate, &part, &self.left)?)
            }
            _ => None,
        };
        let inside = self.decrypt(kind, &data.ok_or("nothing was encrypted")?, MOST).map_err(|stop| match stop {
            Stop::Refusal(refusal) => refusal.detail().to_owned(),
            Stop::Deferral(deferral) => deferral.detail,
        })?;
        if *inside == part { Ok(()) } else { Err("what it decrypts is not what was encrypted to it".to_owned()) }
    }
}
