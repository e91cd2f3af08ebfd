//! Replies as mail systems and attackers may change them, each with the verdict: genuine only where nothing but the
//! gateway's text can be shown. `verify` has the same for the built program, with replies in files.

use std::io::Write;
use std::process::Stdio;
use std::time::SystemTime;

use serde_json::{Value, json};

use mailsudo::client::KeyFile;
use mailsudo::client::verify::{Checked, Finding, check};
use mailsudo::protocol::{GatewayName, Key, ReplyBlock, RequestId, RunResult, Timestamp, UserName};

mod headers;
mod mails;
mod parts;
mod texts;

/// What a mail must be found to be.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Is {
    Genuine,
    WithMore,
    Altered,
    NotGenuine,
}

/// The signed texts that the mails are made of.
pub(crate) struct Signed {
    /// A reply to the request that is asked about.
    pub(crate) text: String,
    /// An older reply of the same gateway to the same user.
    pub(crate) other: String,
}

impl Signed {
    fn new(key: &Key) -> Self {
        let sign = |id: u8, result, above: &str| {
            let block = ReplyBlock {
                gateway: GatewayName::try_from("berlin").expect("a name"),
                user: UserName::try_from("alice").expect("a name"),
                request: RequestId::from_bytes([id; 32]),
                time: Timestamp::parse("2026-11-23T10:15:04Z").expect("a time"),
                result,
                head: None,
            };
            format!("{above}\n{}", block.sign(&format!("{above}\n"), key))
        };
        let facts = "host     vm\nrun as   root\ntook     0.1 s\ngateway  berlin\n";
        let text = format!(
            "failed (exit 1): ping host=a what=t=zz\n\n{facts}request  030303030303\n\nFrom here on nothing is well\n\
             --f: 100 % < 7\nhost is not up\n"
        );
        let other = format!("ok: ping host=a what=t=zz\n\n{facts}request  040404040404\n\nall is well\n");
        Self { text: sign(3, RunResult::Exit(1), &text), other: sign(4, RunResult::Exit(0), &other) }
    }
}

fn key() -> KeyFile {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("alice.key");
    let fields = "gateway = \"berlin\"\naddress = \"ops@example.com\"\nuser = \"alice\"\n";
    std::fs::write(&path, format!("{fields}hmac_key = \"{}\"\n", "07".repeat(32))).expect("a key file");
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("a mode");
    KeyFile::read(&path).expect("a key file")
}

fn is(checked: &Checked) -> Is {
    match checked.finding {
        Finding::Genuine(_) => Is::Genuine,
        Finding::WithMore(_) => Is::WithMore,
        Finding::Altered(_) => Is::Altered,
        Finding::OlderThanKey(_) | Finding::Encrypted(_) | Finding::NotGenuine => Is::NotGenuine,
    }
}

#[test]
fn every_changed_reply_has_its_verdict() {
    let keys = [key()];
    let signed = Signed::new(&keys[0].key);
    let mails = mails::all(&signed);
    assert!(mails.len() > 100, "{}", mails.len());
    let mut wrong = Vec::new();
    for mail in &mails {
        let checked = check(mail.raw.as_slice(), &keys);
        let said = checked.outside.join("\n");
        if is(&checked) != mail.is || !said.contains(mail.words) {
            wrong.push(format!("{}: {:?}, not {:?}: {said}", mail.name, is(&checked), mail.is));
        }
        if let Some(text) = &checked.text {
            let lines = |text: &str| text.split_whitespace().collect::<String>().replace('\u{feff}', "");
            assert!(lines(&signed.text).starts_with(&lines(text)) || lines(&signed.other).starts_with(&lines(text)));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), mails.len(), wrong.join("\n"));
}

/// The users' page has the rules of `verify` once more, in JavaScript.
#[test]
fn the_page_says_the_same_of_every_changed_reply() {
    let keys = [key()];
    let mails = mails::all(&Signed::new(&keys[0].key));
    let raw: Vec<_> = mails.iter().map(|mail| &mail.raw).collect();
    let written = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a time").as_secs();
    let input =
        json!({ "hmac": "07".repeat(32), "gateway": "berlin", "user": "alice", "written": written, "mails": raw });
    let found: Vec<Value> = serde_json::from_slice(&by_node(input.to_string().as_bytes())).expect("JSON");
    assert_eq!(found.len(), mails.len());
    let mut wrong = Vec::new();
    for (mail, found) in mails.iter().zip(&found) {
        let checked = check(mail.raw.as_slice(), &keys);
        let remarks: Vec<_> = found["outside"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let same_remarks = checked.outside.len() == remarks.len()
            && checked.outside.iter().zip(&remarks).all(|(own, page)| own.contains(page));
        let lines = |text: &str| text.replace("\r\n", "\n");
        let is_same = found["finding"] == word(&checked.finding)
            && found["text"].as_str().map(lines) == checked.text.as_deref().map(lines);
        if !is_same || !same_remarks {
            wrong.push(format!("{}: {found}, not {:?} {:?}", mail.name, checked.finding, checked.outside));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), mails.len(), wrong.join("\n"));
}

/// The page's word for a finding.
fn word(finding: &Finding) -> &'static str {
    match finding {
        Finding::Genuine(_) => "genuine",
        Finding::WithMore(_) => "with-more",
        Finding::Altered(_) => "altered",
        Finding::OlderThanKey(_) => "older-than-key",
        Finding::Encrypted(_) => "encrypted",
        Finding::NotGenuine => "not-genuine",
    }
}

fn by_node(input: &[u8]) -> Vec<u8> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/page/test/verdicts.mjs");
    let mut node = std::process::Command::new("node");
    node.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut node = node.spawn().expect("node (tests/setup installs it)");
    node.stdin.take().expect("a pipe").write_all(input).expect("node reads");
    let output = node.wait_with_output().expect("node ends");
    assert!(output.status.success(), "{}", output.status);
    output.stdout
}

/// No byte that is put into a genuine reply, or taken out of it, makes it say something else unnoticed.
#[test]
fn what_is_printed_as_genuine_is_the_signed_text() {
    let keys = [key()];
    let signed = Signed::new(&keys[0].key);
    let mail = mails::plain(&signed.text);
    let bare = |text: &str| text.split_whitespace().collect::<String>();
    for at in 0..mail.len() {
        for insert in ["x", "\r", "\0"] {
            let changed = [&mail[..at], insert, &mail[at..]].concat();
            let checked = check(changed.as_bytes(), &keys);
            let changed = changed.replace("\r\n", "\n");
            let body = changed.split_once("\n\n").map(|(_, body)| body).unwrap_or_default();
            if is(&checked) == Is::Genuine {
                assert_eq!(bare(body), bare(&signed.text), "{insert:?} at {at}");
                assert!(!changed.contains(['\0', '\r']), "{insert:?} at {at}");
            }
        }
    }
}
