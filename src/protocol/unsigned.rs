//! A request, as the client writes it. In: an unsigned request and a key. Out: a signed block.

use super::block::{Kind, line};
use super::mac::Key;
use super::name::{CommandName, GatewayName, ParameterName, UserName};
use super::payload::PayloadDigest;
use super::request::{Arguments, Code, MAX_ARGUMENTS};
use super::ssh::{BadSignature, SshSignature};
use super::time::Timestamp;
use super::value::{self, BadValue};

/// The widest line that a writer makes, in columns (writer's rule 2).
const WIDTH: usize = 70;

/// A request before it is signed.
#[derive(Debug)]
pub struct UnsignedRequest {
    /// The gateway that it is for.
    pub gateway: GatewayName,
    /// The user.
    pub user: UserName,
    /// The time to sign; the code must belong to that time.
    pub time: Timestamp,
    /// The code at `time`.
    pub code: Code,
    /// The requested command.
    pub command: CommandName,
    /// Its arguments.
    pub arguments: Arguments,
    /// The digest of its payload, if it has one.
    pub payload: Option<PayloadDigest>,
}

/// An unsigned request that no gateway would accept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnsignedError {
    /// More than 32 arguments.
    #[error("a request has at most {MAX_ARGUMENTS} arguments")]
    TooMany,
    /// An argument that reader's rule 7 refuses.
    #[error("argument {0}: {1}")]
    Argument(ParameterName, BadValue),
}

impl UnsignedRequest {
    /// Writes and signs the block (writer's rules 1 to 5), each line ended by LF.
    ///
    /// # Errors
    ///
    /// [`UnsignedError`] for all that the gateway would refuse.
    pub fn sign(&self, key: &Key) -> Result<String, UnsignedError> {
        let lines = self.lines()?;
        Ok(finish(lines, &[], key))
    }

    /// The same, with an SSH signature over the lines before it, which `sign_ssh` makes.
    ///
    /// # Errors
    ///
    /// [`UnsignedError`], the error of `sign_ssh`, or a signature that is too long for a request.
    pub fn sign_with_ssh<E: From<UnsignedError> + From<BadSignature>>(
        &self,
        key: &Key,
        sign_ssh: impl FnOnce(&str) -> Result<SshSignature, E>,
    ) -> Result<String, E> {
        let lines = self.lines()?;
        let signature = sign_ssh(&lines)?.lines()?;
        Ok(finish(lines, &signature, key))
    }

    /// The lines that an SSH signature signs: all but `sig` and `mac`.
    fn lines(&self) -> Result<String, UnsignedError> {
        if self.arguments.len() > MAX_ARGUMENTS {
            return Err(UnsignedError::TooMany);
        }
        let mut block = line(Kind::Request.start_key(), "1");
        block += &line("gateway", self.gateway.as_str());
        block += &line("user", self.user.as_str());
        block += &line("time", &self.time.to_string());
        block += &line("totp", self.code.as_str());
        block += &line("command", self.command.as_str());
        for (at, (name, value)) in self.arguments.iter().enumerate() {
            let refuse = |bad| UnsignedError::Argument(name.clone(), bad);
            if self.arguments.iter().take(at).any(|(known, _)| known == name) {
                return Err(refuse(BadValue::DoubledName));
            }
            let mut wire = String::new();
            fold(name, value, &mut wire);
            let joined: String = value::encode(value).collect();
            value::decode(&joined).map_err(refuse)?;
            block += &wire;
        }
        if let Some(payload) = self.payload {
            block += &line("payload", &payload.to_string());
        }
        Ok(block)
    }
}

/// The whole block: `lines`, the `sig` lines and the mac over both.
fn finish(lines: String, signature: &[String], key: &Key) -> String {
    let mut block = lines;
    for text in signature {
        block += &line("sig", text);
    }
    let mac = key.sign(block.as_bytes()).to_hex();
    block + &line("mac", &mac)
}

/// Appends `arg` and as many `more` lines as [`WIDTH`] requires; no `~HH` is split.
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
    use crate::protocol::Request;
    use proptest::prelude::*;

    fn key() -> Key {
        Key::from_hex(&"07".repeat(32)).expect("a key")
    }

    fn unsigned(arguments: &[(&str, &str)]) -> Option<UnsignedRequest> {
        let pair = |&(name, value): &(&str, &str)| Some((ParameterName::try_from(name).ok()?, value.to_owned()));
        Some(UnsignedRequest {
            gateway: GatewayName::try_from("berlin").ok()?,
            user: UserName::try_from("alice").ok()?,
            time: Timestamp::parse("2026-11-23T10:15:00Z")?,
            code: Code::parse("556712")?,
            command: CommandName::try_from("deploy").ok()?,
            arguments: arguments.iter().map(pair).collect::<Option<_>>()?,
            payload: None,
        })
    }

    #[test]
    fn what_no_gateway_would_take_is_not_signed() {
        let many: Vec<_> = (0..33).map(|n| format!("a{n}")).collect();
        let many: Vec<_> = many.iter().map(|name| (name.as_str(), "")).collect();
        let sign = |arguments: &[(&str, &str)]| unsigned(arguments).map(|unsigned| unsigned.sign(&key()).is_ok());
        assert_eq!(sign(&many), Some(false));
        assert_eq!(sign(&many[..32]), Some(true));
        assert_eq!(sign(&[("a", "1"), ("a", "1")]), Some(false));
        assert_eq!(sign(&[("a", "x\ny")]), Some(false));
        assert_eq!(sign(&[("a", &"x".repeat(4097))]), Some(false));
        assert_eq!(sign(&[("a", &"x".repeat(4096))]), Some(true));
    }

    #[test]
    fn a_request_whose_code_is_wiped_has_neither_it_nor_the_lines_that_it_is_in() {
        let block = unsigned(&[]).expect("an unsigned request").sign(&key()).expect("a block");
        let mut request = Request::read(&[&block]).expect("a request");
        assert_eq!((request.code().as_str(), request.signed_lines().is_empty()), ("556712", false));
        request.wipe_code();
        assert_eq!((request.code().as_str(), request.signed_lines()), ("", &[][..]));
    }

    proptest! {
        #[test]
        fn what_is_signed_is_read_back(values in prop::collection::vec("\\PC{0,300}", 0..5)) {
            prop_assume!(!values.iter().any(|value| value.chars().any(value::is_unsafe)));
            let names = ["a", "b-c", "d_e", "f", "g"];
            let pairs: Vec<_> = names.iter().zip(&values).map(|(n, v)| (*n, v.as_str())).collect();
            let block = unsigned(&pairs).expect("an unsigned request").sign(&key()).expect("a block");
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
            let block = unsigned(&[("env", "staging"), ("note", "a b")])
                .expect("an unsigned request").sign(&key()).expect("a block");
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
