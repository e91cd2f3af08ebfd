//! What must hold for every mail.

use mailsudo::intake::readable;
use mailsudo::protocol::{Key, Request};
use mailsudo_fuzz::{key, received};

use crate::genuine::{Content, Signed};

/// What the gateway makes of a mail.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It holds a request whose mac is right, and the payload if the request names one.
    Accepted,
    /// It holds a request whose mac is right, and not the payload that the request names.
    NoPayload,
    /// It holds a well-formed request whose mac is wrong.
    WrongMac,
    /// Anything else.
    NoRequest,
}

/// Checks mails against what alice has signed.
pub struct Check<'s> {
    signed: &'s Signed,
    key: Key,
}

impl<'s> Check<'s> {
    /// With these requests.
    pub fn new(signed: &'s Signed) -> Self {
        Self { signed, key: key() }
    }

    /// Reads a mail as the gateway does, up to its mac. Whose mac is right says exactly what alice has signed. A
    /// thorough check, which takes twice as long, also compares the texts with all that can be read in the mail.
    ///
    /// # Errors
    ///
    /// What is wrong, in words.
    pub fn mail(&self, mail: &[u8], is_thorough: bool) -> Result<Verdict, String> {
        let Ok(message) = received(mail) else {
            return Ok(Verdict::NoRequest);
        };
        if is_thorough {
            let known = readable(mail);
            if !message.texts().iter().all(|text| known.iter().any(|known| known == text)) {
                return Err("a text from nowhere".to_owned());
            }
        }
        let mut verdict = Verdict::NoRequest;
        for texts in message.readings() {
            let Ok(request) = Request::read(&texts) else {
                continue;
            };
            if !request.is_signed_by(&self.key) {
                verdict = Verdict::WrongMac;
                continue;
            }
            let Some(genuine) = self.signed.with_id(&request.id()) else {
                return Err(format!("a right mac that alice has not made: {request:?}"));
            };
            let content = Content::of(&request)?;
            if content != genuine.content {
                return Err(format!("alice signed {:?}\nand this is read: {content:?}", genuine.content));
            }
            // The gateway takes the first reading whose mac is right.
            let Some(digest) = request.payload() else {
                return Ok(Verdict::Accepted);
            };
            return match message.payload(digest).payload {
                Ok(found) if genuine.payload.as_deref() == Some(found.content()) => Ok(Verdict::Accepted),
                Ok(found) => Err(format!("a payload that alice has not signed: {:?}", found.content())),
                Err(_) => Ok(Verdict::NoPayload),
            };
        }
        Ok(verdict)
    }
}
