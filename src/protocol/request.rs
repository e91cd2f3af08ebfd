//! A request: read from a mail's texts by the server, drafted and signed by the client.
//! In: texts, or a draft and a key. Out: claims that nobody has believed yet, or a block.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::block::{Block, Kind, Unreadable, line};
use super::mac::{Key, Mac, RequestName};
use super::name::{CommandName, GatewayName, ParameterName, UserName};
use super::time::Timestamp;
use super::value::{self, BadValue};

/// The most arguments that a request may have (writer's rule 1).
const MAX_ARGUMENTS: usize = 32;

/// The widest line that a writer makes, in columns (writer's rule 2).
const WIDTH: usize = 70;

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

/// What a mail claims: well formed, and not yet proven to come from anybody. Its `Debug` form leaves the code out.
pub struct Request {
    gateway: GatewayName,
    user: UserName,
    time: Timestamp,
    code: Code,
    command: CommandName,
    /// Names with their values as they stand on the wire, `more` lines joined.
    encoded: Vec<(ParameterName, String)>,
    signed: Zeroizing<Vec<u8>>,
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
        let Block { signed, mac, .. } = block;
        Ok(Self { gateway, user, time, code, command, encoded, signed, mac })
    }

    /// The gateway that the writer means.
    pub fn gateway(&self) -> &GatewayName {
        &self.gateway
    }

    /// Who the writer says he is.
    pub fn user(&self) -> &UserName {
        &self.user
    }

    /// The signed time.
    pub fn time(&self) -> Timestamp {
        self.time
    }

    /// The TOTP code, at most the signed time's.
    pub fn code(&self) -> &Code {
        &self.code
    }

    /// The command asked for; it need not exist.
    pub fn command(&self) -> &CommandName {
        &self.command
    }

    /// The request's name for good; worth nothing until [`is_signed_by`](Self::is_signed_by) holds.
    pub fn name(&self) -> RequestName {
        self.mac.request_name()
    }

    /// Whether the mac holds under `key`, in constant time (reader's rule 6).
    pub fn is_signed_by(&self, key: &Key) -> bool {
        key.verifies(&self.signed, &self.mac)
    }

    /// Wipes the code and the lines that it is in, which nobody needs once both factors have been looked at. The mac holds
    /// under no key from here on.
    pub(crate) fn forget_code(&mut self) {
        self.code.zeroize();
        self.signed.zeroize();
    }

    /// The lines that the mac covers, for `mailsudo explain`; the code is among them.
    pub fn signed_lines(&self) -> &[u8] {
        &self.signed
    }

    /// The decoded arguments. Call it only after the mac holds (reader's rule 7).
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

/// A block's fields, taken in the order that writer's rule 1 wants.
struct Fields<'b, 't> {
    block: &'b Block<'t>,
    next: usize,
}

impl<'t> Fields<'_, 't> {
    fn malformed(&self, why: &'static str) -> Unreadable {
        // The start line is line 1, so field 0 stands on line 2.
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
                _ => return Err(self.malformed(expectation("arg"))),
            }
            self.next += 1;
        }
        Ok(arguments)
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
        _ => "`arg: name=value` (at most 32), `more` after an `arg`, or `mac` is expected here",
    }
}

/// A request before it is signed.
#[derive(Debug)]
pub struct Draft {
    /// The gateway meant.
    pub gateway: GatewayName,
    /// Who asks.
    pub user: UserName,
    /// The time to sign; the code must be that time's.
    pub time: Timestamp,
    /// The code at `time`.
    pub code: Code,
    /// The command asked for.
    pub command: CommandName,
    /// Its arguments.
    pub arguments: Arguments,
}

/// A draft that no gateway would accept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DraftError {
    /// More than 32 arguments.
    TooMany,
    /// An argument that reader's rule 7 refuses.
    Argument(ParameterName, BadValue),
}

impl fmt::Display for DraftError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany => write!(f, "a request has at most {MAX_ARGUMENTS} arguments"),
            Self::Argument(name, bad) => write!(f, "argument {name}: {bad}"),
        }
    }
}

impl std::error::Error for DraftError {}

impl Draft {
    /// Writes and signs the block (writer's rules 1 to 5), each line ended by LF.
    ///
    /// # Errors
    ///
    /// [`DraftError`], for whatever the gateway would refuse.
    pub fn sign(&self, key: &Key) -> Result<String, DraftError> {
        if self.arguments.len() > MAX_ARGUMENTS {
            return Err(DraftError::TooMany);
        }
        let mut block = line(Kind::Request.start_key(), "1");
        block += &line("gateway", self.gateway.as_str());
        block += &line("user", self.user.as_str());
        block += &line("time", &self.time.to_string());
        block += &line("totp", self.code.as_str());
        block += &line("command", self.command.as_str());
        for (at, (name, value)) in self.arguments.iter().enumerate() {
            let refuse = |bad| DraftError::Argument(name.clone(), bad);
            if self.arguments.iter().take(at).any(|(known, _)| known == name) {
                return Err(refuse(BadValue::DoubledName));
            }
            let mut wire = String::new();
            fold(name, value, &mut wire);
            let joined: String = value::encode(value).collect();
            value::decode(&joined).map_err(refuse)?;
            block += &wire;
        }
        let mac = key.sign(block.as_bytes()).to_hex();
        block += &line("mac", &mac);
        Ok(block)
    }
}

/// Appends `arg` and as many `more` lines as [`WIDTH`] asks for; no `~HH` is split.
fn fold(name: &ParameterName, value: &str, block: &mut String) {
    let (mut key, mut text) = ("arg", format!("{name}="));
    for unit in value::encode(value) {
        if key.len() + ": ".len() + text.len() + unit.len() > WIDTH {
            block.push_str(&line(key, &text));
            (key, text) = ("more", String::new());
        }
        text.push_str(&unit);
    }
    block.push_str(&line(key, &text));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key() -> Key {
        Key::from_hex(&"07".repeat(32)).expect("a key")
    }

    fn draft(arguments: &[(&str, &str)]) -> Option<Draft> {
        let pair = |&(name, value): &(&str, &str)| Some((ParameterName::try_from(name).ok()?, value.to_owned()));
        Some(Draft {
            gateway: GatewayName::try_from("berlin").ok()?,
            user: UserName::try_from("alice").ok()?,
            time: Timestamp::parse("2026-11-23T10:15:00Z")?,
            code: Code::parse("556712")?,
            command: CommandName::try_from("deploy").ok()?,
            arguments: arguments.iter().map(pair).collect::<Option<_>>()?,
        })
    }

    #[test]
    fn a_draft_no_gateway_would_take_is_not_signed() {
        let many: Vec<_> = (0..33).map(|n| format!("a{n}")).collect();
        let many: Vec<_> = many.iter().map(|name| (name.as_str(), "")).collect();
        let sign = |arguments: &[(&str, &str)]| draft(arguments).map(|draft| draft.sign(&key()).is_ok());
        assert_eq!(sign(&many), Some(false));
        assert_eq!(sign(&many[..32]), Some(true));
        assert_eq!(sign(&[("a", "1"), ("a", "1")]), Some(false));
        assert_eq!(sign(&[("a", "x\ny")]), Some(false));
        assert_eq!(sign(&[("a", &"x".repeat(4097))]), Some(false));
        assert_eq!(sign(&[("a", &"x".repeat(4096))]), Some(true));
    }

    proptest! {
        #[test]
        fn what_is_signed_is_read_back(values in prop::collection::vec("\\PC{0,300}", 0..5)) {
            prop_assume!(!values.iter().any(|value| value.chars().any(value::is_treacherous)));
            let names = ["a", "b-c", "d_e", "f", "g"];
            let pairs: Vec<_> = names.iter().zip(&values).map(|(n, v)| (*n, v.as_str())).collect();
            let block = draft(&pairs).expect("a draft").sign(&key()).expect("a block");
            prop_assert!(block.lines().all(|line| line.len() <= WIDTH));
            let request = Request::read(&[&block]).expect("a request");
            prop_assert!(request.is_signed_by(&key()));
            let read = request.arguments().expect("arguments");
            prop_assert_eq!(read.len(), pairs.len());
            for ((name, value), (given, meant)) in read.iter().zip(&pairs) {
                prop_assert_eq!((name.as_str(), value.as_str()), (*given, *meant));
            }
        }

        /// Any change of one byte either leaves what the mac covers as it was, or is refused.
        #[test]
        fn a_changed_byte_is_refused(at in 0usize..300, byte in 0u8..128) {
            let block = draft(&[("env", "staging"), ("note", "a b")])
                .expect("a draft").sign(&key()).expect("a block");
            let original = Request::read(&[&block]).expect("a request");
            let mut bytes = block.clone().into_bytes();
            let at = at % bytes.len();
            bytes[at] = byte;
            let changed = String::from_utf8(bytes).expect("ASCII stays UTF-8");
            if let Ok(read) = Request::read(&[&changed]) && read.is_signed_by(&key()) {
                prop_assert_eq!(read.signed_lines(), original.signed_lines());
            }
        }
    }
}
