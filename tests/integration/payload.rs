//! Input for a command: which part of a mail is the payload, and what the command gets on standard input.

use mailsudo::config::{Gateway, Trusted};
use mailsudo::protocol::{CommandName, GatewayName, Key, PayloadDigest, Request, Timestamp, UnsignedRequest, UserName};
use mailsudo::system::clock::Clock;
use serde_json::Value;

use crate::cli::CliGateway;
use crate::common::{Ended, KEY, TestGateway, explain, factor, mail};

const RULES: &str = "table inet x {\n\tchain y { }\n}\n";

/// A gateway with the command `load`, which keeps its standard input in the file `stdin`.
fn gateway(payload: &str) -> TestGateway {
    let test_gateway = TestGateway::new();
    let home = test_gateway.folder.path().display().to_string();
    test_gateway.write("hook", 0o644, &format!("cat > {home}/stdin\n"));
    test_gateway.write(
        "commands.d/load.toml",
        0o644,
        &format!(
            "summary = \"Load\"\nrun_as = \"root\"\nargv = [\"{home}/command\"]\nmax_age = \"10m\"\n{payload}\n[allow.web]\n"
        ),
    );
    test_gateway
}

fn block(test_gateway: &TestGateway, command: &str, payload: Option<&[u8]>) -> String {
    let time = test_gateway.clock.now();
    let unsigned = UnsignedRequest {
        gateway: GatewayName::try_from("berlin").expect("a name"),
        user: UserName::try_from("alice").expect("a name"),
        time,
        code: factor().code_at(time).expect("a code"),
        command: CommandName::try_from(command).expect("a name"),
        arguments: Vec::new(),
        payload: payload.map(PayloadDigest::of),
    };
    unsigned.sign(&Key::from_hex(KEY).expect("a key")).expect("a block")
}

/// A mail with the block as its text, and other parts: each its header fields, and its body.
fn with_parts(block: &str, parts: &[(&str, String)]) -> String {
    let mut text = format!(
        "From: alice@example.com\nTo: ops@example.com\nSubject: please\nMIME-Version: 1.0\n\
         Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain; charset=utf-8\n\n{block}\n"
    );
    for (header, body) in parts {
        text.push_str(&format!("--b\n{header}\n\n{body}\n"));
    }
    text.push_str("--b--\n");
    text
}

fn base64(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return String::new();
    }
    let mut mail = mail_builder::MessageBuilder::new();
    mail = mail.attachment("application/octet-stream", "x", bytes);
    let mail = mail.write_to_string().expect("a mail").replace("\r\n", "\n");
    mail.split_once("\n\n").expect("a body").1.trim_end().to_owned()
}

const BASE64: &str = "Content-Type: application/octet-stream\nContent-Transfer-Encoding: base64\nContent-Disposition: \
                      attachment; filename=rules";

/// Delivers a request for `load` whose payload is `content`, in a mail with these parts.
fn load(test_gateway: &mut TestGateway, content: &[u8], parts: &[(&str, String)]) -> Ended {
    test_gateway.clock.forward(60);
    let _ = std::fs::remove_file(test_gateway.path("stdin"));
    let mail = with_parts(&block(test_gateway, "load", Some(content)), parts);
    test_gateway.deliver(&mail)
}

fn stdin(test_gateway: &TestGateway) -> Option<Vec<u8>> {
    std::fs::read(test_gateway.path("stdin")).ok()
}

#[test]
fn the_payload_is_the_one_part_with_its_digest_however_it_is_encoded() {
    let mut test_gateway = gateway("[payload]");
    let quoted = "table inet x =7B\n=09chain y =\n{ }\n}\n".to_owned();
    let attached_multipart = format!("--c\nContent-Type: text/x-nft\n\n{RULES}\n--c--");
    for (what, header, body) in [
        ("base64", BASE64, base64(RULES.as_bytes())),
        (
            "base64 of CRLF lines, as text",
            "Content-Type: text/x-nft\nContent-Transfer-Encoding: base64",
            base64(RULES.replace('\n', "\r\n").as_bytes()),
        ),
        ("as it is", "Content-Type: text/x-nft", RULES.to_owned()),
        ("quoted-printable", "Content-Type: text/plain\nContent-Transfer-Encoding: quoted-printable", quoted),
        ("format=flowed that changed nothing", "Content-Type: text/plain; format=flowed", RULES.to_owned()),
        (
            "base64 with a footer of a list",
            BASE64,
            format!("{}\n_______\nlist mailing list\n", base64(RULES.as_bytes())),
        ),
        (
            "inside an attached multipart",
            "Content-Type: multipart/mixed; boundary=c\nContent-Disposition: attachment",
            attached_multipart,
        ),
    ] {
        let ended = load(&mut test_gateway, RULES.as_bytes(), &[(header, body)]);
        assert!(ended.reply().contains("ok: load"), "{what}: {ended:?}");
        assert_eq!(stdin(&test_gateway).as_deref(), Some(RULES.as_bytes()), "{what}");
        assert!(ended.reply().contains("payload  30 bytes, sha256 "), "{what}: {}", ended.reply());
        assert!(ended.log.join("\n").contains(" payload=30 sha256="), "{what}: {ended:?}");
    }
}

#[test]
fn what_is_not_exactly_one_matching_part_is_refused() {
    let mut test_gateway = gateway("[payload]");
    let part = || (BASE64, base64(RULES.as_bytes()));
    let inside = format!("From: x@example.com\nContent-Type: text/x-nft\n\n{RULES}");
    let stuffed = RULES.replace("}\n", " }\n");
    for (what, parts, words) in [
        ("none", vec![], "no part of the mail"),
        ("two the same", vec![part(), part()], "2 parts of the mail"),
        ("one byte off", vec![(BASE64, base64(&RULES.as_bytes()[1..]))], "no part of the mail"),
        ("CRLF lines that are not text", vec![(BASE64, base64(RULES.replace('\n', "\r\n").as_bytes()))], "no part of"),
        ("inside a message", vec![("Content-Type: message/rfc822", inside)], "no part of the mail"),
        ("a message's own bytes", vec![("Content-Type: message/rfc822", RULES.to_owned())], "no part of the mail"),
        ("format=flowed with stuffed lines", vec![("Content-Type: text/plain; format=flowed", stuffed)], "no part of"),
        (
            "a header that says two encodings",
            vec![("Content-Type: text/x-nft\nContent-Type: text/plain", RULES.to_owned())],
            "no part of the mail",
        ),
    ] {
        let (_, steps) = test_gateway.recorded();
        let ended = load(&mut test_gateway, RULES.as_bytes(), &parts);
        assert!(ended.refused("bad-payload"), "{what}: {ended:?}");
        assert!(ended.reply().replace("=\n", "").contains(words), "{what}: {}", ended.reply());
        assert_eq!((test_gateway.recorded().1, stdin(&test_gateway)), (steps + 1, None), "{what}");
    }
    assert_eq!(test_gateway.runs().len(), 0);
}

#[test]
fn an_empty_payload_is_a_payload() {
    let mut test_gateway = gateway("[payload]\nrequired = true");
    let ended = load(&mut test_gateway, b"", &[(BASE64, String::new())]);
    assert!(ended.reply().contains("ok: load"), "{ended:?}");
    assert_eq!(stdin(&test_gateway).as_deref(), Some(&b""[..]));
    let ended = load(&mut test_gateway, b"", &[(BASE64, String::new()), (BASE64, String::new())]);
    assert!(ended.refused("bad-payload"), "{ended:?}");
}

#[test]
fn the_commands_rule_decides_what_it_takes() {
    let mut test_gateway = gateway("[payload]\nmax = \"8B\"\ntype = \"json\"");
    for (content, words) in [
        (&b"[1, 2]"[..], None),
        (b"[1, 2, 3]", Some("the payload has 9 bytes; at most 8 are taken")),
        (b"[1, 2", Some("the payload is not JSON")),
    ] {
        let ended = load(&mut test_gateway, content, &[(BASE64, base64(content))]);
        match words {
            None => assert!(ended.reply().contains("ok: load"), "{ended:?}"),
            Some(words) => {
                assert!(ended.refused("bad-payload"), "{ended:?}");
                assert!(ended.reply().replace("=\n", "").contains(words), "{}", ended.reply());
            }
        }
    }
    // Not required: the command gets nothing to read.
    test_gateway.clock.forward(60);
    let without = mail("alice@example.com", &block(&test_gateway, "load", None));
    assert!(test_gateway.deliver(&without).reply().contains("ok: load"));
    assert_eq!(stdin(&test_gateway).as_deref(), Some(&b""[..]));

    let mut test_gateway = gateway("[payload]\nrequired = true");
    let without = mail("alice@example.com", &block(&test_gateway, "load", None));
    let ended = test_gateway.deliver(&without);
    assert!(ended.refused("bad-payload") && ended.reply().contains("needs a payload"), "{ended:?}");
}

#[test]
fn a_command_without_a_rule_takes_no_payload_and_neither_does_a_built_in_one() {
    let mut test_gateway = gateway("");
    for command in ["load", "count", "help", "status"] {
        test_gateway.clock.forward(60);
        let mail = with_parts(&block(&test_gateway, command, Some(b"x")), &[("Content-Type: text/x", "x".to_owned())]);
        let ended = test_gateway.deliver(&mail);
        assert!(ended.refused("bad-payload") && ended.reply().contains("takes no payload"), "{command}: {ended:?}");
    }
    let mail = with_parts(&block(&test_gateway, "secret", Some(b"x")), &[]);
    assert!(test_gateway.deliver(&mail).refused("used-code"), "the code is checked first");
    test_gateway.clock.forward(60);
    let mail = with_parts(&block(&test_gateway, "secret", Some(b"x")), &[]);
    assert!(test_gateway.deliver(&mail).refused("not-permitted"), "and then who may run it");
}

#[test]
fn a_mail_above_the_limit_is_refused_whatever_its_payload() {
    let mut test_gateway = gateway("[payload]\nmax = \"256KiB\"");
    let fits = "x".repeat(180 << 10);
    let ended = load(&mut test_gateway, fits.as_bytes(), &[(BASE64, base64(fits.as_bytes()))]);
    assert!(ended.reply().contains("ok: load"), "{:?}", ended.log);
    assert_eq!(stdin(&test_gateway).map(|bytes| bytes.len()), Some(fits.len()));
    let large = "x".repeat(200 << 10);
    let ended = load(&mut test_gateway, large.as_bytes(), &[(BASE64, base64(large.as_bytes()))]);
    assert!(ended.refused("too-large") && ended.replies.is_empty(), "{:?}", ended.log);
    test_gateway.write(
        "commands.d/load.toml",
        0o644,
        "summary = \"s\"\nrun_as = \"root\"\nargv = [\"/bin/cat\"]\n[payload]\nmax = \"257KiB\"\n[allow.web]\n",
    );
    let gateway = Gateway::open(test_gateway.folder.path(), Trusted::caller()).expect("a gateway");
    let error = gateway.command(&CommandName::try_from("load").expect("a name")).map(drop).expect_err("too large");
    assert!(error.to_string().contains("load.toml:4: [payload] max is above [limits] message"), "{error}");
}

#[test]
fn explain_says_which_part_matched_or_why_none_did() {
    let test_gateway = gateway("[payload]");
    let block = block(&test_gateway, "load", Some(RULES.as_bytes()));
    let digest = PayloadDigest::of(RULES.as_bytes());
    let good = with_parts(&block, &[(BASE64, base64(RULES.as_bytes()))]);
    let (would_run, lines) = explain(&test_gateway, &good);
    assert!(would_run, "{lines:?}");
    let line = format!("part 2: application/octet-stream, base64, 30 bytes, sha256 {digest}, matches");
    assert!(lines.contains(&line) && lines.contains(&format!("payload: 30 bytes, sha256 {digest}")), "{lines:#?}");
    let flowed = ("Content-Type: text/plain; format=flowed", format!("{RULES} x"));
    let (would_run, lines) = explain(&test_gateway, &with_parts(&block, &[flowed]));
    assert!(!would_run);
    assert!(
        lines.iter().any(|line| line.starts_with("part 2: text/plain, format=flowed (a mail program")),
        "{lines:#?}"
    );
    assert!(lines.iter().any(|line| line.starts_with("payload: no part of the mail has the sha256")), "{lines:#?}");
    assert!(lines.iter().any(|line| line.starts_with("refused: bad-payload (")), "{lines:#?}");
}

fn vectors() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors-next.json");
    serde_json::from_str(&std::fs::read_to_string(path).expect("the vectors")).expect("JSON")
}

/// Worked examples made by an independent program (`vectors-next.json`).
#[test]
fn the_gateway_decides_every_payload_vector_as_its_maker_does() {
    let all = vectors();
    for vector in all["payload"].as_array().expect("a list") {
        let name = vector["name"].as_str().expect("a name");
        let mut test_gateway = gateway("");
        let load = std::fs::read_to_string(test_gateway.path("commands.d/load.toml")).expect("a command");
        let home = format!("\"{}/command\"", test_gateway.folder.path().display());
        let restart = load.replace(&home, &format!("{home}, \"{{service}}\""));
        let restart =
            restart.replace("[allow.web]", "[payload]\n[parameters.service]\none_of = [\"nginx\"]\n[allow.web]");
        test_gateway.write("commands.d/restart.toml", 0o644, &restart);
        test_gateway.clock.set(Timestamp::parse("2026-11-23T10:15:05Z").expect("a time"));
        let text = vector["text"].as_str().expect("a text");
        let request = Request::read(&[text]).expect("a request");
        assert_eq!(request.id().to_string(), vector["request"].as_str().expect("an id"), "{name}");
        let parts: Vec<_> = vector["leaves"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|leaf| {
                let kind = leaf["type"].as_str().expect("a type");
                let header = format!("Content-Type: {kind}\nContent-Transfer-Encoding: base64");
                (header, base64(&hex::decode(leaf["hex"].as_str().expect("hex")).expect("hex")))
            })
            .collect();
        let parts: Vec<_> = parts.iter().map(|(header, body)| (header.as_str(), body.clone())).collect();
        let ended = test_gateway.deliver(&with_parts(text, &parts));
        match vector["verdict"].as_str() {
            Some("authentic") => {
                let wanted = hex::decode(vector["stdin_hex"].as_str().expect("hex")).expect("hex");
                assert_eq!(stdin(&test_gateway), Some(wanted), "{name}: {ended:?}");
            }
            Some("bad-payload") => assert!(ended.refused("bad-payload"), "{name}: {ended:?}"),
            other => panic!("{name}: unknown verdict {other:?}"),
        }
    }
    for vector in all["malformed"].as_array().expect("a list") {
        assert!(Request::read(&[vector["text"].as_str().expect("a text")]).is_err(), "{}", vector["name"]);
    }
}

#[test]
fn a_block_with_a_payload_line_is_read_back() {
    let test_gateway = gateway("");
    let text = block(&test_gateway, "load", Some(b"x"));
    let request = Request::read(&[&text]).expect("a request");
    assert_eq!(request.payload(), Some(PayloadDigest::of(b"x")));
    for bad in [
        text.replace("payload: ", "payload: 0"),
        text.replace("payload: ", "arg: a=b\npayload: ").replace("command: load\n", "command: load\npayload: "),
        text.replace("mac: ", "arg: a=b\nmac: "),
        text.replace("mac: ", "more: b\nmac: "),
    ] {
        assert!(Request::read(&[&bad]).is_err(), "{bad}");
    }
}

const SUDO: &str = r#"#!/bin/sh
case "$*" in
    "-n -u root -- "*"/mailsudo begin-with-payload HOME/command") shift 4; exec "$@" ;;
    "-n -u root -- "*"/mailsudo begin HOME/command") shift 4; exec "$@" ;;
    *) exit 64 ;;
esac
"#;

fn via_sudo(payload: &str) -> TestGateway {
    let test_gateway = gateway(payload);
    let home = test_gateway.folder.path().display().to_string();
    test_gateway.write("sudo", 0o755, &SUDO.replace("HOME", &home));
    let toml = std::fs::read_to_string(test_gateway.path("mailsudo.toml")).expect("the settings");
    let via_sudo = toml.replace("run_via = \"direct\"", &format!("run_via = \"sudo\"\nsudo = \"{home}/sudo\""));
    test_gateway.write("mailsudo.toml", 0o644, &via_sudo);
    mailsudo::ledger::init(&test_gateway.path("ledger/ledger.db"), Trusted::caller(), None).expect("a ledger");
    test_gateway
}

#[test]
fn a_payload_passes_through_sudo_to_the_command_and_a_command_without_a_rule_reads_nothing() {
    let mut test_gateway = via_sudo("[payload]");
    let large = "x".repeat(60 << 10);
    for content in ["", RULES, &large] {
        let ended = load(&mut test_gateway, content.as_bytes(), &[(BASE64, base64(content.as_bytes()))]);
        assert!(ended.reply().contains("ok: load"), "{ended:?}");
        assert_eq!(stdin(&test_gateway).as_deref(), Some(content.as_bytes()));
    }
    test_gateway.clock.forward(60);
    let without = mail("alice@example.com", &block(&test_gateway, "load", None));
    assert!(test_gateway.deliver(&without).reply().contains("ok: load"));
    assert_eq!(stdin(&test_gateway).as_deref(), Some(&b""[..]));
    test_gateway.clock.forward(60);
    let count = mail("alice@example.com", &block(&test_gateway, "count", None));
    assert!(test_gateway.deliver(&count).reply().contains("ok: count"));
    assert_eq!(stdin(&test_gateway).as_deref(), Some(&b""[..]));
}

#[test]
fn a_sudo_that_refuses_a_command_with_a_payload_has_started_nothing() {
    let mut test_gateway = via_sudo("[payload]");
    test_gateway.write("sudo", 0o755, "#!/bin/sh\necho 'a password is required'\nexit 1\n");
    let ended = load(&mut test_gateway, b"x", &[(BASE64, base64(b"x"))]);
    assert!(ended.reply().contains("result: refused"), "{ended:?}");
    assert!(ended.log.join("\n").contains("sudo did not start the command"), "{ended:?}");
    assert_eq!(test_gateway.runs().len(), 0);
}

#[test]
fn the_signer_attaches_a_file_that_the_gateway_finds() {
    let test_gateway = CliGateway::new();
    let home = test_gateway.folder.path().display();
    test_gateway.write(
        "commands.d/load.toml",
        &format!(
            "summary = \"Load\"\nrun_as = \"nobody\"\nargv = [\"/bin/cp\", \"/dev/stdin\", \"{home}/loaded\"]\n\
             [payload]\nmax = \"1KiB\"\n[allow.web]\n"
        ),
    );
    let mut contents: Vec<&[u8]> = vec![b"", b"a\r\nb\n\n", b"\0\xff\x0d", b"--b\nFrom x\n.\n"];
    let all: Vec<u8> = (0..=255).collect();
    contents.push(&all);
    for content in contents {
        std::fs::write(test_gateway.path("a file\u{e4}"), content).expect("a file");
        let mail = test_gateway.eml(&["load", "--payload", "a file\u{e4}"]);
        let said = test_gateway.run_with(&["explain"], &mail).out;
        let digest = PayloadDigest::of(content);
        assert!(said.contains(&format!("\npayload: {} bytes, sha256 {digest}\n", content.len())), "{said}\n{mail}");
    }
    let delivered = test_gateway.run_with(&["deliver"], &test_gateway.eml(&["load", "--payload", "a file\u{e4}"]));
    assert!(delivered.out.contains("\nresult: exit-0\n"), "{}", delivered.err);
    assert_eq!(std::fs::read(test_gateway.path("loaded")).expect("a file"), all, "opened by its name, too");
    let words = ["sign", "load", "--key", "alice.key", "--code", "123456", "--payload", "a file\u{e4}"];
    assert!(test_gateway.run(&words).err.contains("add --send or --eml"));
}

fn example(name: &str) -> String {
    std::fs::read_to_string(format!("{}/examples/payload/{name}", env!("CARGO_MANIFEST_DIR"))).expect("an example")
}

#[test]
fn the_examples_are_commands_and_the_script_takes_what_it_says() {
    let test_gateway = TestGateway::new();
    let home = test_gateway.folder.path().display().to_string();
    let root = test_gateway.path("srv");
    std::fs::create_dir_all(root.join("shop/releases/v1.4.2")).expect("a folder");
    test_gateway.write("commands.d/firewall.toml", 0o644, &example("firewall.toml"));
    let deploy = example("deploy.toml").replace("/usr/local/lib/mailsudo", &home);
    test_gateway.write("commands.d/deploy.toml", 0o644, &deploy);
    test_gateway.write("deploy", 0o755, &example("deploy").replace("\"/srv\"", &format!("\"{}\"", root.display())));
    let gateway = Gateway::open(test_gateway.folder.path(), Trusted::caller()).expect("a gateway");
    for name in ["firewall", "deploy"] {
        let command = gateway.command(&CommandName::try_from(name).expect("a name")).expect("read").expect("there");
        assert!(command.payload.is_some_and(|payload| payload.required), "{name}");
    }
    let mut test_gateway = test_gateway;
    for (content, words) in [
        ("{\"site\": \"shop\", \"version\": \"v1.4.2\"}", "shop is now v1.4.2"),
        ("{\"site\": \"shop\", \"version\": \"v9\"}", "there is no"),
        ("{\"site\": \"../shop\", \"version\": \"v1.4.2\"}", "site is not a name"),
        ("[]", "exactly the keys"),
    ] {
        test_gateway.clock.forward(60);
        let block = block(&test_gateway, "deploy", Some(content.as_bytes()));
        let ended = test_gateway.deliver(&with_parts(&block, &[(BASE64, base64(content.as_bytes()))]));
        assert!(ended.reply().replace("=\n", "").contains(words), "{ended:?}");
    }
    assert!(root.join("shop/current").is_symlink());
}
