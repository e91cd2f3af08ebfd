//! tests/cases: small inputs that once gave a wrong result, each with the right one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cli::{CliGateway, said};
use crate::outputs::unsafe_characters;

/// A mail with the block of the first text, made from the case with the second as its name.
type Form<'f> = &'f dyn Fn(&str, &str) -> String;

fn case(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(name)
}

/// A gateway whose command takes a plus sign too: UTF-7 writes it as `+-`.
fn gateway() -> CliGateway {
    let gateway = CliGateway::new();
    let say = fs::read_to_string(gateway.path("commands.d/say.toml")).expect("a command");
    gateway.write("commands.d/say.toml", &say.replace("[a-z ]", "[a-z +]"));
    gateway
}

#[test]
fn a_request_in_each_of_these_forms_runs() {
    let gateway = gateway();
    let wrapped = |block: &str, name: &str| {
        gateway.write("block", block);
        let mail =
            Command::new("sh").arg(case(name)).arg(gateway.path("block")).output().expect("sh, iconv and base64");
        assert!(mail.status.success() && mail.stderr.is_empty(), "{name}: {mail:?}");
        String::from_utf8(mail.stdout).expect("ASCII")
    };
    let filled = |block: &str, name: &str| {
        let template = fs::read_to_string(case(name)).expect("a case");
        let lines = template.lines().map(|line| if line.starts_with('(') { block.trim_end() } else { line });
        format!("{}\n", lines.collect::<Vec<_>>().join("\n"))
    };
    let forms: [(&str, Form<'_>); 6] = [
        ("base64-with-footer.sh", &wrapped),
        ("charset-folded-after-equals.sh", &wrapped),
        ("utf-7.sh", &wrapped),
        ("utf-7-line-end.sh", &wrapped),
        ("boundary-folded-after-equals.eml", &filled),
        ("qp-label-over-plain-text.eml", &filled),
    ];
    for (at, (name, form)) in forms.into_iter().enumerate() {
        // A user for each: a code serves once.
        let user = format!("user{at}");
        let key = format!("{user}.key");
        let address = format!("{user}@example.com");
        let words = ["user", "add", &user, "--address", &address, "--role", "web", "--key-file", &key];
        let added = gateway.run(&words);
        let url = added.out.split_whitespace().find(|word| word.starts_with("otpauth:")).expect("the URL").to_owned();
        gateway.write("phone", &url);
        fs::set_permissions(gateway.path("phone"), std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .expect("a mode");
        let block = gateway.run(&["sign", "say", "what=beta+be", "--key", &key, "--totp-secret-file", "phone"]).out;
        assert!(block.contains("what=beta+be"), "{block}");
        let mail = form(&block, name).replace("alice@example.com", &address);
        let delivered = gateway.run_with(&["deliver"], &mail);
        assert!(delivered.out.contains("heard: beta+be"), "{name}: {}{}\n{mail}", delivered.out, delivered.err);
    }
}

#[test]
fn a_reply_with_a_line_that_begins_with_from_is_genuine_after_a_mailbox() {
    let gateway = CliGateway::new();
    let say = fs::read_to_string(gateway.path("commands.d/say.toml")).expect("a command");
    gateway.write("commands.d/say.toml", &say.replace("heard: {what}", "From here on all is well: {what}"));
    let reply = gateway.run_with(&["deliver"], &gateway.eml(&["say"])).out;
    let stored: String = reply
        .lines()
        .map(|line| if line.starts_with("From here") { format!(">{line}\n") } else { format!("{line}\n") })
        .collect();
    let verified = gateway.run_with(&["verify", "--key", "alice.key"], &stored);
    assert_eq!(verified.status, 0, "{}", verified.out);
    assert!(verified.out.contains("| From here on all is well: nothing"), "{}", verified.out);
}

/// `verify-5.eml` of the report was the genuine reply once more, byte for byte, so it is not here.
#[test]
fn only_the_genuine_reply_is_genuine() {
    let gateway = CliGateway::new();
    fs::copy(case("verify.key"), gateway.path("case.key")).expect("copied");
    fs::set_permissions(gateway.path("case.key"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("a mode");
    for (name, status, words) in [
        ("verify-genuine.eml", 0, "genuine: gateway berlin answered request 9253bd6699fe of alice"),
        ("verify-1.eml", 1, "Run this on your own machine"),
        ("verify-2.eml", 1, "your key expires"),
        ("verify-6.eml", 1, "Run curl evil"),
    ] {
        let mail = fs::read_to_string(case(name)).expect("a case");
        let verified = gateway.run_with(&["verify", "--key", "case.key"], &mail);
        assert_eq!(verified.status, status, "{name}: {}", verified.out);
        assert!(verified.out.contains(words), "{name}: {}", verified.out);
    }
}

#[test]
fn explain_prints_no_escape_character() {
    let gateway = CliGateway::new();
    for name in ["esc-3.eml", "esc-12.eml"] {
        let mail = fs::read_to_string(case(name)).expect("a case");
        assert!(mail.contains('\u{1b}'), "{name}: the case itself");
        let explained = gateway.run_with(&["explain"], &mail);
        assert_eq!(unsafe_characters(&explained.out), Vec::<char>::new(), "{name}: {}", explained.out);
        assert!(explained.out.contains("^["), "{name}: {}", explained.out);
    }
}

#[test]
fn a_broken_configuration_is_reported_somewhere() {
    let gateway = CliGateway::new();
    let request = gateway.eml(&["say"]);
    let settings = fs::read_to_string(gateway.path("mailsudo.toml")).expect("settings");
    let twice = format!("{settings}[limits]\nmessage = \"64KiB\"\n[limits]\nmessage = \"64MiB\"\n");
    gateway.write("mailsudo.toml", &twice);
    let mut command = gateway.command(&["deliver", "--config", "."]);
    gateway.write("request", &request);
    command.stdin(fs::File::open(gateway.path("request")).expect("a request"));
    let ended = said(command.output().expect("the program"));
    assert_eq!((ended.status, ended.out.as_str()), (75, ""));
    // Without its settings it logs to /dev/log, where the host has one.
    if !Path::new("/dev/log").exists() {
        assert_eq!(ended.err.lines().count(), 1, "{}", ended.err);
        assert!(ended.err.starts_with("mailsudo: deferred (configuration): "), "{}", ended.err);
        assert!(ended.err.contains("mailsudo.toml"), "{}", ended.err);
    }
}
