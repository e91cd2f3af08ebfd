//! Mail that only its reader reads. In: a finished message and its reader's certificate. Out: the same message,
//! encrypted by an installed tool: OpenPGP by one with the Stateless OpenPGP interface
//! (draft-dkg-openpgp-stateless-cli), S/MIME by openssl-cms(1).
//!
//! MUST: nothing passes for encrypted that is not a message of the tool's kind, from a tool that ended with status 0.
//! All tools of one delivery share one bounded time, part of the time for replies, and their output is bounded. No
//! shell. What a tool prints goes into the log only by lines that have no eight bytes in a row in common with the
//! message.

mod about;
mod header;
mod openpgp;
mod own;
mod packets;
mod smime;
mod tool;

pub use about::{About, kind_of};

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::config::{EncryptKind, Gateway, Settings};
use crate::error::{Deferral, Reason, Refusal, Stop};
use crate::limits::Timeouts;
use crate::protocol::UserName;

/// What is encrypted to find out whether a certificate can be used.
const PROBE: &[u8] = b"Subject: test\nContent-Type: text/plain\n\ntest\n";

/// What encrypts for one delivery: the gateway's tools, the time that is left for them, and what failed.
#[derive(Debug)]
pub struct Encryption<'g> {
    gateway: &'g Gateway,
    whole: Duration,
    left: Cell<Duration>,
    faults: RefCell<Vec<String>>,
}

impl<'g> Encryption<'g> {
    /// For one delivery to `gateway`.
    pub fn new(gateway: &'g Gateway, timeouts: &Timeouts) -> Self {
        let whole = timeouts.encryption;
        Self { gateway, whole, left: Cell::new(whole), faults: RefCell::default() }
    }

    /// The gateway's settings.
    pub fn settings(&self) -> &'g Settings {
        self.gateway.settings()
    }

    /// The time that the tools have used so far.
    pub fn used(&self) -> Duration {
        self.whole.saturating_sub(self.left.get())
    }

    /// Notes why a message is not encrypted.
    pub fn fault(&self, why: String) {
        self.faults.borrow_mut().push(why);
    }

    /// What failed since this was last asked, for the log.
    pub fn faults(&self) -> Vec<String> {
        self.faults.take()
    }

    /// `message` (RFC 5322, lines ended by LF), encrypted to the certificate of `user`. `None` where that fails;
    /// [`Self::faults`] says why.
    pub fn encrypt(&self, user: &UserName, kind: EncryptKind, message: &[u8]) -> Option<Vec<u8>> {
        match self.try_to(user, kind, message) {
            Ok(encrypted) => Some(encrypted),
            Err(why) => {
                self.fault(format!("{kind} to {user}: {why}"));
                None
            }
        }
    }

    fn try_to(&self, user: &UserName, kind: EncryptKind, message: &[u8]) -> Result<Vec<u8>, String> {
        let certificate = self.gateway.certificate(user, kind).map_err(|error| error.to_string())?;
        self.with(kind, &certificate, message)
    }

    /// What is known of the certificate of `user`, after a message was encrypted to it.
    ///
    /// # Errors
    ///
    /// Why nothing can be encrypted to it.
    pub fn about(&self, user: &UserName, kind: EncryptKind) -> Result<About, String> {
        let certificate = self.gateway.certificate(user, kind).map_err(|error| error.to_string())?;
        self.about_text(kind, &certificate)
    }

    /// The same for a certificate that is not in the gateway's folder.
    ///
    /// # Errors
    ///
    /// As for [`Self::about`].
    pub fn about_text(&self, kind: EncryptKind, certificate: &str) -> Result<About, String> {
        self.with(kind, certificate, PROBE)?;
        match kind {
            EncryptKind::Openpgp => packets::read(certificate).map_err(str::to_owned),
            EncryptKind::Smime => smime::about(&self.settings().encryption.openssl, certificate, &self.left),
        }
    }

    /// The data of an encrypted message, decrypted with the gateway's key of this `kind`: at most `most` bytes.
    ///
    /// # Errors
    ///
    /// A refusal where the data is at fault; a deferral where the gateway or the tool is.
    pub fn decrypt(&self, kind: EncryptKind, data: &[u8], most: u64) -> Result<Zeroizing<Vec<u8>>, Stop> {
        let settings = self.settings();
        let files = settings.decryption.files(kind).unwrap_or_default();
        let keys = files.iter().map(|path| self.gateway.own_key(path)).collect::<Result<Vec<_>, _>>()?;
        let keys: Vec<&[u8]> = keys.iter().map(|key| key.as_bytes()).collect();
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let (program, ended) = match kind {
            EncryptKind::Openpgp => {
                (&settings.encryption.sop, openpgp::decrypt(&settings.encryption.sop, &keys, data, most, &self.left))
            }
            EncryptKind::Smime => (
                &settings.encryption.openssl,
                smime::decrypt(&settings.encryption.openssl, &keys, data, most, &self.left),
            ),
        };
        let at_fault = match kind {
            EncryptKind::Openpgp => &openpgp::AT_FAULT[..],
            EncryptKind::Smime => &smime::AT_FAULT,
        };
        Self::inside(program, ended, at_fault, most)
    }

    /// The content of S/MIME SignedData, at most `most` bytes. Whether the signature holds is not known.
    ///
    /// # Errors
    ///
    /// As for [`Self::decrypt`].
    pub fn unpack(&self, data: &[u8], most: u64) -> Result<Zeroizing<Vec<u8>>, Stop> {
        let program = &self.settings().encryption.openssl;
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        Self::inside(program, smime::unpack(program, data, most, &self.left), &smime::AT_FAULT, most)
    }

    /// What `program` printed of a message's inside; `at_fault` are the statuses that say that the data is at fault.
    fn inside(
        program: &Path,
        ended: Result<tool::Ended, String>,
        at_fault: &[i32],
        most: usize,
    ) -> Result<Zeroizing<Vec<u8>>, Stop> {
        let ended = ended.map_err(|why| Deferral::new("decryption", why))?;
        if ended.out.len() > most {
            let detail = format!("decrypted, it is more than limits.message, {most} bytes");
            return Err(Refusal::new(Reason::TooLarge, detail).into());
        }
        let out = Zeroizing::new(ended.out);
        match ended.status.code() {
            Some(0) => Ok(out),
            Some(code) if at_fault.contains(&code) => {
                let detail = format!("it cannot be decrypted: {}, status {code}{}", program.display(), ended.said);
                Err(Refusal::new(Reason::NotDecrypted, detail).into())
            }
            _ => {
                Err(Deferral::new("decryption", format!("{}: {}{}", program.display(), ended.status, ended.said))
                    .into())
            }
        }
    }

    fn with(&self, kind: EncryptKind, certificate: &str, message: &[u8]) -> Result<Vec<u8>, String> {
        let (outer, inner) = header::split(message).ok_or("the message has no header")?;
        let programs = &self.settings().encryption;
        let body = match kind {
            EncryptKind::Openpgp => openpgp::encrypt(&programs.sop, certificate, &inner, &self.left)?,
            EncryptKind::Smime => smime::encrypt(&programs.openssl, certificate, &inner, &self.left)?,
        };
        Ok([outer.as_bytes(), body.as_bytes()].concat())
    }
}
