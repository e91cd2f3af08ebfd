//! What holds for every input: no byte of a signed block can change, no value makes another argument, no text makes
//! another line or field of the log.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use crate::common::{KEY, TestGateway};
use mailsudo::audit::{Audit, Event, Line};
use mailsudo::authorize::{Invocation, choose};
use mailsudo::config::{Gateway, Part, Trusted};
use mailsudo::protocol::{CommandName, Key, ParameterName, Request, is_unsafe};
use mailsudo::system::clock::Clock;
use proptest::prelude::*;

/// Every replacement, insertion and deletion of one byte, all of them: either the lines that the mac covers are what
/// they were, mac and name with them, or the request is refused.
#[test]
fn a_signed_block_cannot_change_by_a_byte() {
    let test_gateway = TestGateway::new();
    let block = test_gateway.block(test_gateway.clock.now(), "restart", &[("service", "nginx")]);
    let key = Key::from_hex(KEY).expect("a key");
    let original = Request::read(&[&block]).expect("a request");
    let mut read = 0;
    let mut judge = |changed: Vec<u8>| {
        let text = String::from_utf8_lossy(&changed);
        if let Ok(request) = Request::read(&[&text])
            && request.is_signed_by(&key)
        {
            assert_eq!(request.signed_lines(), original.signed_lines(), "{text}");
            assert_eq!(request.id(), original.id(), "{text}");
            read += 1;
        }
    };
    for at in 0..block.len() {
        let (before, after) = block.as_bytes().split_at(at);
        judge([before, &after[1..]].concat());
        for byte in 0..=255 {
            judge([before, &[byte], after].concat());
            judge([before, &[byte], &after[1..]].concat());
        }
    }
    assert!(read > block.len(), "blanks, line ends and case change nothing, and so it is not refused altogether");
}

/// The parts of argument templates, and what a shell, sudo or a program could read wrongly.
const PIECES: [&str; 12] = ["{one}", "{level}", "{free}", "x", "--to=", "-", "{{", "}}", " ", "$(id)", "*", "\\"];

fn templates() -> impl Strategy<Value = Vec<String>> {
    let piece = prop::sample::select(PIECES.to_vec());
    let template = prop::collection::vec(piece, 0..5).prop_map(|pieces| pieces.concat());
    prop::collection::vec(template, 0..5)
}

fn awkward() -> impl Strategy<Value = String> {
    let known =
        ["", "-", "--help", "a b", "\" x", "'", "$(id)", "`id`", "a;b", "{one}", "{{", "*", "\\", "a\u{a0}b", "--"];
    prop_oneof![prop::sample::select(known.to_vec()).prop_map(str::to_owned), "\\PC{0,40}"]
}

#[test]
fn values_stay_inside_their_arguments() {
    let test_gateway = TestGateway::new();
    let one = prop::sample::select(vec!["nginx", "-dash", "two words", "{level}"]);
    proptest!(|(templates in templates(), one in one, level in -99i64..=99, free in awkward())| {
        let argv: Vec<_> = templates.iter().map(|template| format!("'{template}'")).collect();
        let commands = format!(
            "summary = \"x\"\nrun_as = \"root\"\nargv = [\"/bin/true\", '{{free}}x{{one}}{{level}}', {}]\n\
             [parameters.one]\none_of = [\"nginx\", \"-dash\", \"two words\", \"{{level}}\"]\n\
             [parameters.level]\ninteger = {{ min = -99, max = 99 }}\n\
             [parameters.free]\npattern = \"^.*$\"\nmax_length = 100\n[allow.web]\n",
            argv.join(", ")
        );
        test_gateway.write("commands.d/any.toml", 0o644, &commands);
        let gateway = Gateway::open(test_gateway.folder.path(), Trusted::caller()).expect("a gateway");
        let name = CommandName::try_from("any").expect("a name");
        let command = gateway.command(&name).expect("a command").expect("a command");
        let level = level.to_string();
        let given = [("one", one), ("level", level.as_str()), ("free", free.as_str())];
        let given = given.map(|(name, value)| (ParameterName::try_from(name).expect("a name"), value.to_owned()));
        let roles = ["web".to_owned()];
        let values = choose(&command, &roles, &given.to_vec()).expect("values of their types").values;
        let Ok(invocation) = Invocation::new(&command, &values) else {
            // Refused: some argument would be an option.
            let opens = |name: &ParameterName| values[name].starts_with('-') || values[name].is_empty();
            prop_assert!(command.argv.iter().filter_map(|template| template.opening()).any(opens));
            return Ok(());
        };
        prop_assert_eq!(invocation.argv().len(), 2 + templates.len());
        prop_assert_eq!(&invocation.argv()[0], "/bin/true");
        for (argument, template) in invocation.argv().iter().zip(&command.argv) {
            let filled: String = template
                .parts()
                .map(|part| match part {
                    Part::Literal(text) => text,
                    Part::Placeholder(name) => values[name].as_str(),
                })
                .collect();
            prop_assert_eq!(argument, &filled);
            prop_assert!(template.opening().is_none() || !argument.starts_with('-'));
        }
        let time_limited = invocation.time_limited(&gateway.settings().execution);
        prop_assert_eq!(&time_limited[3..], invocation.argv());
    });
}

/// The fields of a line of the log, by the one rule that readers of it have: a blank outside quotes parts them.
fn fields(line: &str) -> Vec<(String, String)> {
    let mut fields = vec![String::new()];
    let (mut quoted, mut escaped) = (false, false);
    for c in line.chars() {
        match c {
            ' ' if !quoted => fields.push(String::new()),
            _ => fields.last_mut().expect("one").push(c),
        }
        quoted ^= c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
    }
    assert!(!quoted, "quotes are closed: {line}");
    fields.iter().map(|field| field.split_once('=').expect("key=value")).map(|(k, v)| (k.into(), v.into())).collect()
}

#[test]
fn a_line_of_the_log_is_one_line_of_known_fields() {
    const KEYS: [&str; 6] = ["event", "queue", "sender", "reason", "detail", "command"];
    let test_gateway = TestGateway::new();
    let gateway = Gateway::open(test_gateway.folder.path(), Trusted::caller()).expect("a gateway");
    let bytes = |most| prop::collection::vec(any::<u8>(), 0..most).prop_map(OsString::from_vec);
    let word = prop::sample::select(vec!["event=admitted ", "\"", "\\", "\n", " id=", KEY, "\u{202e}", "x"]);
    let words = prop::collection::vec(word, 0..300).prop_map(|words| words.concat());
    proptest!(|(queue in bytes(20), sender in bytes(1200), detail in "\\PC{0,50}|\\p{C}{0,9}", words in words)| {
        let mut audit = Audit::new(gateway.settings(), Some(&queue));
        let line = Line::new(Event::Refused)
            .raw_field("sender", Some(&sender))
            .field("reason", "malformed")
            .field("detail", detail)
            .field("command", words);
        audit.require(line).expect("a log");
        let log = test_gateway.log();
        prop_assert_eq!(log.len(), 1, "one line is one datagram");
        prop_assert!(!log[0].chars().any(is_unsafe), "{}", log[0]);
        let text = log[0].split_once("]: ").expect("a tag").1;
        let found = fields(text);
        let keys: Vec<_> = found.iter().map(|(key, _)| key.as_str()).collect();
        // A line that is too long ends early.
        prop_assert!(KEYS.starts_with(&keys) && keys.len() >= 3, "{text}");
        prop_assert_eq!(&found[0].1, "refused");
        let hex = text.split(|c: char| !c.is_ascii_hexdigit()).map(str::len).max();
        prop_assert!(hex < Some(64), "nothing that looks like a mac: {text}");
    });
}
