//! Requests that alice has signed, and what each of them says.

use std::collections::HashMap;

use mailsudo::protocol::{
    Arguments, Code, CommandName, GatewayName, Payload, PayloadDigest, Request, RequestId, Timestamp, UnsignedRequest,
    UserName,
};
use mailsudo_fuzz::{key, name};

/// A signed request, in the canonical form of its block.
pub struct Genuine {
    /// Every line, each ended by LF.
    pub block: String,
    /// What it says.
    pub content: Content,
    /// The file that its mail carries.
    pub payload: Option<Vec<u8>>,
}

/// All that a block says, so that no part of it can be taken for another.
#[derive(Debug, PartialEq, Eq)]
pub struct Content {
    signed: Vec<u8>,
    gateway: GatewayName,
    user: UserName,
    time: Timestamp,
    code: String,
    command: CommandName,
    arguments: Arguments,
    payload: Option<PayloadDigest>,
    ssh_signature: Option<(String, Vec<u8>)>,
}

impl Content {
    /// What the reader has found in a mail; an error where the arguments cannot be decoded.
    pub fn of(request: &Request) -> Result<Self, String> {
        Ok(Self {
            signed: request.signed_lines().to_vec(),
            gateway: request.gateway().clone(),
            user: request.user().clone(),
            time: request.time(),
            code: request.code().as_str().to_owned(),
            command: request.command().clone(),
            arguments: request.arguments().map_err(|(name, bad)| format!("argument {name}: {bad}"))?,
            payload: request.payload(),
            ssh_signature: request.ssh_signature().map(|(base64, lines)| (base64.to_owned(), lines.to_vec())),
        })
    }

    fn unsigned(request: &UnsignedRequest, block: &str) -> Self {
        let UnsignedRequest { gateway, user, time, code, command, arguments, payload } = request;
        let signed = block.rsplit_once("mac: ").expect("a mac").0.as_bytes().to_vec();
        Self {
            signed,
            gateway: gateway.clone(),
            user: user.clone(),
            time: *time,
            code: code.as_str().to_owned(),
            command: command.clone(),
            arguments: arguments.clone(),
            payload: *payload,
            ssh_signature: None,
        }
    }
}

/// Every request that alice has signed, by its id.
pub struct Signed {
    /// In a fixed order.
    pub all: Vec<Genuine>,
    by_id: HashMap<RequestId, usize>,
}

impl Signed {
    /// Signs them. The first one is that of tests/mail.
    pub fn new() -> Self {
        let mut all = Vec::new();
        for arguments in argument_lists() {
            for command in ["restart", "all", "deploy-2"] {
                all.push(signed(command, &arguments, None));
            }
        }
        for payload in [&b"table inet x {\r\n}\r\n"[..], b"one\ntwo", &[0, 255, 128, 13, 10, 61]] {
            all.push(signed("apply", &[], Some(payload)));
            all.push(signed("apply", &[("target", "two words")], Some(payload)));
        }
        all.extend(examples_with_ssh());
        let id = |genuine: &Genuine| Request::read(&[&genuine.block]).expect("a request").id();
        let by_id = all.iter().enumerate().map(|(at, genuine)| (id(genuine), at)).collect();
        Self { all, by_id }
    }

    /// The request with this id.
    pub fn with_id(&self, id: &RequestId) -> Option<&Genuine> {
        self.all.get(*self.by_id.get(id)?)
    }
}

/// Lists of arguments: none, short ones, ones that need escapes, ones that are folded, and as many as there may be.
fn argument_lists() -> Vec<Vec<(&'static str, &'static str)>> {
    const NAMES: [&str; 32] = [
        "a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8", "a9", "b0", "b1", "b2", "b3", "b4", "b5", "b6", "b7",
        "b8", "b9", "c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7", "c8", "c9", "d0", "d1",
    ];
    vec![
        vec![("service", "nginx")],
        vec![],
        vec![("env", "staging"), ("note", "rolling back")],
        vec![("url", "https://example.com/a?b=c&d"), ("name", "Grüße, <b>&amp;"), ("x", "--=3D=")],
        vec![("empty", ""), ("mac", "mac: 00"), ("mailsudo", "1")],
        vec![(
            "long",
            "A line that is folded, because it is longer than a mail program leaves as it is: 0123456789 ~ üüüüüüüü",
        )],
        NAMES.iter().map(|name| (*name, "1")).collect(),
    ]
}

fn signed(command: &str, arguments: &[(&str, &str)], payload: Option<&[u8]>) -> Genuine {
    let unsigned = UnsignedRequest {
        gateway: GatewayName::try_from("berlin").expect("a name"),
        user: UserName::try_from("alice").expect("a name"),
        time: Timestamp::parse("2026-11-23T10:15:00Z").expect("a time"),
        code: Code::parse("556712").expect("a code"),
        command: CommandName::try_from(command).expect("a name"),
        arguments: arguments.iter().map(|(known, value)| (name(known), (*value).to_owned())).collect(),
        payload: payload.map(|content| Payload::of(content.to_vec()).digest()),
    };
    let block = unsigned.sign(&key()).expect("a block");
    Genuine { content: Content::unsigned(&unsigned, &block), block, payload: payload.map(<[u8]>::to_vec) }
}

/// The worked examples with an SSH signature that tests/vectors-next.json has under alice's key.
fn examples_with_ssh() -> Vec<Genuine> {
    let all: serde_json::Value =
        serde_json::from_str(include_str!("../../../../tests/vectors-next.json")).expect("JSON");
    let texts = all["ssh"].as_array().expect("a list").iter().filter_map(|example| example["text"].as_str());
    let genuine = texts.filter_map(|text| {
        let request = Request::read(&[text]).ok().filter(|request| request.is_signed_by(&key()))?;
        let content = Content::of(&request).ok()?;
        let is_canonical =
            text.starts_with("mailsudo: 1\n") && text.rsplit_once("mac: ")?.0.as_bytes() == content.signed;
        is_canonical.then(|| Genuine { block: text.to_owned(), content, payload: None })
    });
    genuine.collect()
}
