//! A request, as the server reads it. In: a mail's texts. Out: statements that are not proven yet.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::block::{Block, Unreadable, line};
use super::mac::{Key, Mac, RequestId};
use super::name::{CommandName, GatewayName, ParameterName, UserName};
use super::payload::PayloadDigest;
use super::ssh::{MAX_LINE, MAX_LINES, is_base64};
use super::time::Timestamp;
use super::value::{self, BadValue};

/// The most arguments that a request may have (writer's rule 1).
pub(super) const MAX_ARGUMENTS: usize = 32;

/// A TOTP code as typed: 6 to 8 digits. Wiped when dropped, and shown by no `Debug` form.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Code(String);

impl Code {
    /// Reads 6 to 8 ASCII digits (RFC 4226 section 5.3).
    pub fn parse(text: &str) -> Option<Self> {
        let digits = (6..=8).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| Self(text.to_owned()))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code(..)")
    }
}

/// What a mail says: well formed, and not yet proven. Its `Debug` form leaves the code out.
pub struct Request {
    gateway: GatewayName,
    user: UserName,
    time: Timestamp,
    code: Code,
    command: CommandName,
    /// Names with their values as they are on the wire, `more` lines joined.
    encoded: Vec<(ParameterName, String)>,
    payload: Option<PayloadDigest>,
    /// The values of its `sig` lines, joined; empty where it has none.
    ssh_signature: String,
    signed: Zeroizing<Vec<u8>>,
    /// How many bytes of `signed` come before the first `sig` line.
    before_ssh: usize,
    mac: Mac,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { gateway, user, time, command, .. } = self;
        write!(f, "Request {{ {command} by {user} for {gateway} at {time} }}")
    }
}

/// A request's arguments, decoded, in the order given, each name once.
pub type Arguments = Vec<(ParameterName, String)>;

impl Request {
    /// Reads the one request in `texts` (reader's rules 3 to 5).
    ///
    /// # Errors
    ///
    /// [`Unreadable`] says which rule is broken; no part of such a mail may be used.
    pub fn read(texts: &[&str]) -> Result<Self, Unreadable> {
        let block = Block::only(texts)?;
        let mut fields = Fields { block: &block, next: 0 };
        let gateway = fields.take("gateway", |text| GatewayName::try_from(text).ok())?;
        let user = fields.take("user", |text| UserName::try_from(text).ok())?;
        let time = fields.take("time", Timestamp::parse)?;
        let code = fields.take("totp", Code::parse)?;
        let command = fields.take("command", |text| CommandName::try_from(text).ok())?;
        let encoded = fields.arguments()?;
        let payload = fields.optional("payload", PayloadDigest::from_hex)?;
        let (ssh_signature, sig_bytes) = fields.signature()?;
        fields.end()?;
        let Block { signed, mac, .. } = block;
        let before_ssh = signed.len().saturating_sub(sig_bytes);
        Ok(Self { gateway, user, time, code, command, encoded, payload, ssh_signature, signed, before_ssh, mac })
    }

    /// The gateway that it is for.
    pub fn gateway(&self) -> &GatewayName {
        &self.gateway
    }

    /// The user name that the request gives.
    pub fn user(&self) -> &UserName {
        &self.user
    }

    /// The signed time.
    pub fn time(&self) -> Timestamp {
        self.time
    }

    /// The TOTP code; if it is right, it belongs to the signed time.
    pub fn code(&self) -> &Code {
        &self.code
    }

    /// The requested command; it need not exist.
    pub fn command(&self) -> &CommandName {
        &self.command
    }

    /// The digest of its payload, if it has one.
    pub fn payload(&self) -> Option<PayloadDigest> {
        self.payload
    }

    /// The request's id. It proves nothing until [`is_signed_by`](Self::is_signed_by) returns true.
    pub fn id(&self) -> RequestId {
        self.mac.request_id()
    }

    /// Whether the mac is right under `key`, in constant time (reader's rule 6).
    pub fn is_signed_by(&self, key: &Key) -> bool {
        key.verifies(&self.signed, &self.mac)
    }

    /// The base64 of the SSH signature and the lines that it signs, if the request has one. Use it only after the mac
    /// is verified.
    pub fn ssh_signature(&self) -> Option<(&str, &[u8])> {
        let lines = self.signed.get(..self.before_ssh)?;
        (!self.ssh_signature.is_empty()).then_some((&self.ssh_signature, lines))
    }

    /// Wipes the code and the lines that it is in, which are not needed after both factors are checked. The mac is
    /// right under no key after this.
    pub(crate) fn wipe_code(&mut self) {
        self.code.zeroize();
        self.signed.zeroize();
    }

    /// The lines that the mac covers, for `mailsudo explain`; the code is among them.
    pub fn signed_lines(&self) -> &[u8] {
        &self.signed
    }

    /// The decoded arguments. Call it only after the mac is verified (reader's rule 7).
    ///
    /// # Errors
    ///
    /// The name of the argument that is refused, and why.
    pub fn arguments(&self) -> Result<Arguments, (ParameterName, BadValue)> {
        let mut decoded: Arguments = Vec::with_capacity(self.encoded.len());
        for (name, text) in &self.encoded {
            if decoded.iter().any(|(known, _)| known == name) {
                return Err((name.clone(), BadValue::DoubledName));
            }
            let value = value::decode(text).map_err(|bad| (name.clone(), bad))?;
            decoded.push((name.clone(), value));
        }
        Ok(decoded)
    }
}

/// A block's fields, taken in the order of writer's rule 1.
struct Fields<'b, 't> {
    block: &'b Block<'t>,
    next: usize,
}

impl<'t> Fields<'_, 't> {
    fn malformed(&self, why: &'static str) -> Unreadable {
        // The start line is line 1, so field 0 is on line 2.
        Unreadable::Malformed { line: self.next + 2, why }
    }

    fn peek(&self) -> Option<(&str, &'t str)> {
        self.block.fields.get(self.next).map(|(key, value)| (key.as_ref(), *value))
    }

    fn take<T>(&mut self, key: &'static str, parse: impl FnOnce(&str) -> Option<T>) -> Result<T, Unreadable> {
        match self.peek() {
            Some((found, value)) if found == key => {
                let parsed = parse(value).ok_or_else(|| self.malformed(expectation(key)))?;
                self.next += 1;
                Ok(parsed)
            }
            _ => Err(self.malformed(expectation(key))),
        }
    }

    /// A line that may be left out.
    fn optional<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Unreadable> {
        match self.peek() {
            Some((found, _)) if found == key => self.take(key, parse).map(Some),
            _ => Ok(None),
        }
    }

    /// No line is left before the mac.
    fn end(&self) -> Result<(), Unreadable> {
        if self.peek().is_none() { Ok(()) } else { Err(self.malformed(expectation("arg"))) }
    }

    /// The `arg` and `more` lines, up to the first other line.
    fn arguments(&mut self) -> Result<Vec<(ParameterName, String)>, Unreadable> {
        let mut arguments: Vec<(ParameterName, String)> = Vec::new();
        while let Some((key, text)) = self.peek() {
            let room = arguments.len() < MAX_ARGUMENTS;
            match (key, arguments.last_mut()) {
                ("more", Some((_, value))) if is_wire_value(text) => value.push_str(text),
                ("arg", _) if room => {
                    let parsed = text.split_once('=').and_then(|(name, value)| {
                        let name = ParameterName::try_from(name).ok()?;
                        is_wire_value(value).then(|| (name, value.to_owned()))
                    });
                    arguments.push(parsed.ok_or_else(|| self.malformed(expectation("arg")))?);
                }
                ("arg" | "more", _) => return Err(self.malformed(expectation("arg"))),
                _ => break,
            }
            self.next += 1;
        }
        Ok(arguments)
    }

    /// The `sig` lines, joined, and how many bytes the mac covers of them.
    fn signature(&mut self) -> Result<(String, usize), Unreadable> {
        let (mut joined, mut bytes) = (String::new(), 0);
        for count in 1.. {
            let Some((_, text)) = self.peek().filter(|(key, _)| *key == "sig") else {
                break;
            };
            if count > MAX_LINES || text.len() > MAX_LINE || !is_base64(text) {
                return Err(self.malformed(expectation("sig")));
            }
            joined.push_str(text);
            bytes += line("sig", text).len();
            self.next += 1;
        }
        Ok((joined, bytes))
    }
}

fn is_wire_value(text: &str) -> bool {
    text.bytes().all(|byte| value::is_plain(byte) || byte == b'~')
}

fn expectation(key: &str) -> &'static str {
    match key {
        "gateway" => "`gateway` is expected here, with a gateway's name",
        "user" => "`user` is expected here, with a user's name",
        "time" => "`time` is expected here, as in 2026-11-23T10:15:00Z",
        "totp" => "`totp` is expected here, with 6 to 8 digits",
        "command" => "`command` is expected here, with a command's name",
        "payload" => "a payload is 64 hex digits in lower case",
        "sig" => "a sig is 1 to 64 base64 characters, and there are at most 64 of them",
        _ => {
            "`arg: name=value` (at most 32), `more` after an `arg`, then `payload`, then `sig`, or `mac` is expected here"
        }
    }
}
