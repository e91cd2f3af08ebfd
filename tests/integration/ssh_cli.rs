//! SSH keys by the built binary: how users sign with them (the real ssh-keygen), and how sysadmins give and take them.

use std::fs;
use std::process::Command;

use crate::cli::{CliGateway, Said, said};
use crate::common::ssh::SoftKey;
use serde_json::Value;

/// Makes a key with ssh-keygen; its `.pub` file.
fn generate(test_gateway: &CliGateway, name: &str, words: &[&str]) -> String {
    let path = test_gateway.path(name);
    let made =
        Command::new("ssh-keygen").args(["-q", "-N", "", "-C", "alice@laptop", "-f"]).arg(&path).args(words).status();
    assert!(made.expect("ssh-keygen: apt-get install openssh-client").success());
    format!("{name}.pub")
}

/// A gateway where alice signs with the key in `own`, and must.
fn test_gateway() -> CliGateway {
    let test_gateway = CliGateway::new();
    generate(&test_gateway, "own", &["-t", "ed25519"]);
    let rotated = test_gateway.run(&["user", "rotate", "alice", "--ssh-key", "own.pub"]);
    assert_eq!(rotated.status, 0, "{}", rotated.err);
    assert!(rotated.out.starts_with("alice may sign with:\n  ssh-ed25519 SHA256:"), "{}", rotated.out);
    require(&test_gateway, "require_signature = true");
    test_gateway
}

/// Adds a line above the sections of alice's file.
fn require(test_gateway: &CliGateway, line: &str) {
    let text = fs::read_to_string(test_gateway.path("users.d/alice.toml")).expect("a file");
    test_gateway.write("users.d/alice.toml", &format!("{line}\n{text}"));
}

fn json(said: &Said) -> Value {
    assert_eq!(said.status, 0, "{}", said.err);
    serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {}", said.out))
}

#[test]
fn a_request_is_signed_by_ssh_keygen_and_delivered() {
    let test_gateway = test_gateway();
    let without = test_gateway.run_with(&["deliver"], &test_gateway.eml(&["say"]));
    assert!(without.err.contains("reason=no-signature "), "{}", without.err);
    assert!(without.out.contains("--ssh-key FILE.pub"), "the reply says how: {}", without.out);
    let signed = test_gateway.eml(&["say", "what=signed", "--ssh-key", "own.pub"]);
    let delivered = test_gateway.run_with(&["deliver"], &signed);
    assert!(delivered.out.contains("heard: signed"), "{}{}", delivered.out, delivered.err);
    assert!(delivered.err.contains("ssh_key="), "the log names the key: {}", delivered.err);
    let link = test_gateway.sign(&["say", "--ssh-key", "own.pub", "--mailto"]);
    assert!(link.contains("%0D%0Asig%3A%20U1NIU0lH"), "{link}");
}

#[test]
fn every_type_of_key_that_ssh_keygen_makes_signs() {
    let test_gateway = CliGateway::new();
    for (name, words) in [("ecdsa", &["-t", "ecdsa"][..]), ("rsa", &["-t", "rsa", "-b", "3072"])] {
        let public = generate(&test_gateway, name, words);
        let rotated = test_gateway.run(&["user", "rotate", "alice", "--ssh-key", &public]);
        assert_eq!(rotated.status, 0, "{}", rotated.err);
        let explained = test_gateway.run_with(&["explain"], &test_gateway.eml(&["say", "--ssh-key", &public]));
        assert!(explained.status == 0 && explained.out.contains("signature: right, "), "{name}: {}", explained.out);
    }
}

#[test]
fn a_shell_and_ssh_keygen_make_a_signature() {
    let test_gateway = test_gateway();
    let secrets = fs::read_to_string(test_gateway.path("secrets.d/alice.toml")).expect("secrets");
    let key = secrets.split('"').nth(1).expect("a key");
    let secret = secrets.split("secret=").nth(1).and_then(|rest| rest.split('&').next()).expect("base32");
    let by_hand = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sign-by-hand");
    let mut command = Command::new(by_hand);
    command.args([key, secret, "berlin", "alice", "say", "what=hello"]).env("SSH_KEY", test_gateway.path("own.pub"));
    let block = said(command.output().expect("a shell, openssl, oathtool and openssh-client"));
    assert_eq!(block.status, 0, "{}", block.err);
    assert!(block.out.lines().all(|line| line.len() <= 70), "{}", block.out);
    let delivered = test_gateway.run_with(&["deliver"], &format!("From: alice@example.com\n\n{}", block.out));
    assert!(delivered.out.contains("heard: hello"), "{}", delivered.err);
}

/// The commands of docs/mail-clients.md, as they stand there.
#[test]
fn the_commands_in_the_docs_make_sig_lines() {
    let test_gateway = test_gateway();
    let docs = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/mail-clients.md")).expect("the page");
    let printed = docs.split("```sh\n").find(|text| text.starts_with("ssh-keygen -Y sign")).expect("the commands");
    let printed = printed.split("```").next().expect("its end");
    assert!(printed.contains("~/.ssh/id_ed25519_sk.pub"), "{printed}");
    let own = test_gateway.path("own.pub").display().to_string();
    let without = test_gateway.sign(&["say", "what=hello"]);
    let (lines, _) = without.split_once("mac: ").expect("a mac");
    test_gateway.write("request", lines);
    let commands = printed.replace("~/.ssh/id_ed25519_sk.pub", &own);
    let sigs = Command::new("sh").args(["-euc", &commands]).current_dir(test_gateway.folder.path()).output();
    let sigs = said(sigs.expect("a shell"));
    assert!(sigs.status == 0 && sigs.out.ends_with('\n'), "{}{}", sigs.out, sigs.err);
    let block = format!("{lines}{}", sigs.out);
    let secrets = fs::read_to_string(test_gateway.path("secrets.d/alice.toml")).expect("secrets");
    let key = secrets.split('"').nth(1).expect("a key");
    test_gateway.write("block", &block);
    let mac = Command::new("openssl")
        .args(["dgst", "-sha256", "-mac", "hmac", "-macopt", &format!("hexkey:{key}"), "-r"])
        .arg(test_gateway.path("block"))
        .output();
    let mac = said(mac.expect("openssl")).out;
    let mac = mac.split(' ').next().expect("a mac");
    let delivered = test_gateway.run_with(&["deliver"], &format!("From: alice@example.com\n\n{block}mac: {mac}\n"));
    assert!(delivered.out.contains("heard: hello"), "{}", delivered.err);
}

/// Counts the functions of the crate ssh-key that a delivery runs. Whoever signs nothing pays nothing.
#[test]
fn only_those_who_sign_run_ssh_code() {
    let run = |test_gateway: &CliGateway, words: &[&str]| {
        test_gateway.write("request.eml", &test_gateway.eml(words));
        let output = Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=profile", env!("CARGO_BIN_EXE_mailsudo")])
            .args(["deliver", "--config", "."])
            .current_dir(test_gateway.folder.path())
            .stdin(fs::File::open(test_gateway.path("request.eml")).expect("a mail"))
            .output();
        let delivered = said(output.expect("valgrind: apt-get install valgrind"));
        assert!(delivered.out.contains("heard: nothing"), "{}", delivered.err);
        let profile = fs::read_to_string(test_gateway.path("profile")).expect("what callgrind wrote");
        let functions: Vec<_> = profile.lines().filter(|line| line.starts_with("fn=")).map(str::to_owned).collect();
        assert!(functions.iter().any(|line| line.contains("mailsudo::")), "it has names");
        functions.into_iter().filter(|line| line.contains("ssh_key::")).collect::<Vec<_>>()
    };
    assert_eq!(run(&CliGateway::new(), &["say"]), Vec::<String>::new());
    let signed = run(&test_gateway(), &["say", "--ssh-key", "own.pub"]);
    assert!(!signed.is_empty(), "a signature is verified by ssh-key");
}

#[test]
fn what_ssh_keygen_gets_wrong_is_said_and_not_sent() {
    let test_gateway = test_gateway();
    generate(&test_gateway, "other", &["-t", "ed25519"]);
    let mut soft = SoftKey::fido(1);
    soft.fido = Some((0, 1));
    test_gateway.write("no-touch.pub", &soft.public());
    test_gateway.write("no-touch.sig", &soft.armor("x\n"));
    let fake = |script: &str| {
        test_gateway.program("fake", &format!("#!/bin/sh\nfor request; do :; done\n{script}\n"));
    };
    let other = test_gateway.path("other");
    for (public, script, wanted) in [
        ("own.pub", "exit 3".to_owned(), "made no signature: exit status: 3"),
        ("own.pub", "exit 0".to_owned(), "request.sig"),
        ("own.pub", "echo nonsense >\"$request.sig\"".to_owned(), "not one signature"),
        (
            "own.pub",
            format!("ssh-keygen -q -Y sign -n mailsudo@v1 -f {} \"$request\"", other.display()),
            "signed with another key",
        ),
        ("own.pub", "ssh-keygen -q -Y sign -n file -f \"$PWD/own\" \"$request\"".to_owned(), "another namespace"),
        (
            "own.pub",
            "echo >>\"$request\"; ssh-keygen -q -Y sign -n mailsudo@v1 -f \"$PWD/own\" \"$request\"".to_owned(),
            "does not belong to these lines",
        ),
        ("no-touch.pub", "cp \"$PWD/no-touch.sig\" \"$request.sig\"".to_owned(), "does not belong to these lines"),
        ("missing.pub", "exit 0".to_owned(), "missing.pub"),
        ("own", "exit 0".to_owned(), "this is a private key"),
    ] {
        fake(&script);
        fs::create_dir(test_gateway.path("run")).expect("a folder");
        let words = ["sign", "--key", "alice.key", "--totp-secret-file", "phone", "say", "--ssh-key", public];
        let mut command = test_gateway.command(&words);
        command.args(["--ssh-keygen", "./fake"]).env("XDG_RUNTIME_DIR", test_gateway.path("run"));
        let said = said(command.output().expect("the program"));
        assert!(
            said.status == 1 && said.err.contains(wanted) && said.out.is_empty(),
            "{script}: {}{}",
            said.out,
            said.err
        );
        fs::remove_dir(test_gateway.path("run")).expect("nothing is left in it");
    }
    let said = test_gateway.run(&[
        "sign",
        "--key",
        "alice.key",
        "--code",
        "123456",
        "say",
        "--ssh-key",
        "own.pub",
        "--ssh-keygen",
        "./none",
    ]);
    assert!(said.err.contains("openssh-client"), "{}", said.err);
}

#[test]
fn a_user_is_enrolled_with_keys_and_shown_with_them() {
    let test_gateway = CliGateway::new();
    let fido = SoftKey::fido(3);
    test_gateway.write("fido.pub", &format!("{} the \"blue\" one\n", fido.public()));
    generate(&test_gateway, "own", &["-t", "ed25519"]);
    let words = [
        "user",
        "add",
        "carol",
        "--address",
        "carol@example.com",
        "--role",
        "web",
        "--ssh-key",
        "own.pub",
        "--ssh-key",
        "fido.pub",
    ];
    let added = test_gateway.run(&words);
    assert_eq!(added.status, 0, "{}", added.err);
    assert!(
        added.out.contains(&format!("SSH key: sk-ssh-ed25519@openssh.com {}", fido.fingerprint())),
        "{}",
        added.out
    );
    assert!(added.out.contains("users.d/carol.toml has require_signature = true"), "{}", added.out);
    let show = test_gateway.run(&["user", "show", "carol"]).out;
    let line = format!("ssh key  sk-ssh-ed25519@openssh.com {} the \"blue\" one", fido.fingerprint());
    assert!(show.lines().any(|found| found == line), "{show}");
    assert!(show.contains("signing  with an SSH key is required by some commands only"), "{show}");
    let all = json(&test_gateway.run(&["user", "show", "carol", "--json"]));
    assert_eq!(all["ssh_keys"][1]["comment"], "the \"blue\" one");
    assert_eq!(all["ssh_keys"][0]["type"], "ssh-ed25519");
    assert_eq!(all["require_signature"], false);

    test_gateway.write("rsa.pub", "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAAwEAAQ== tiny");
    for (file, wanted) in [
        ("own", "this is a private key"),
        ("rsa.pub", "this one has 17"),
        ("none.pub", "No such file"),
        ("alice.key", "TYPE BASE64 COMMENT"),
    ] {
        let refused = test_gateway.run(&["user", "add", "dave", "--address", "d@example.com", "--ssh-key", file]);
        assert!(refused.status == 1 && refused.err.contains(wanted), "{file}: {}", refused.err);
        let secret = fs::read_to_string(test_gateway.path(file)).unwrap_or_default();
        assert!(!secret.lines().any(|line| line.len() > 30 && refused.err.contains(line)), "{}", refused.err);
        assert!(!test_gateway.path("users.d/dave.toml").exists() && !test_gateway.path("secrets.d/dave.toml").exists());
    }
    let twice = test_gateway.run(&["user", "rotate", "carol", "--ssh-key", "own.pub", "--ssh-key", "own.pub"]);
    assert!(twice.err.contains("another --ssh-key gives already"), "{}", twice.err);
}

#[test]
fn rotation_overlaps_for_ssh_keys() {
    let test_gateway = test_gateway();
    let old = test_gateway.eml(&["say", "what=old", "--ssh-key", "own.pub"]);
    generate(&test_gateway, "new", &["-t", "ed25519"]);
    let file = fs::read_to_string(test_gateway.path("users.d/alice.toml")).expect("a file");
    test_gateway.write("users.d/alice.toml", &format!("# keep me\n{file}"));
    let dry = test_gateway.run(&["user", "rotate", "alice", "--ssh-key", "new.pub", "--dry-run"]);
    assert!(dry.out.contains("users.d/alice.toml would have other SSH keys"), "{}", dry.out);
    let rotated = test_gateway.run(&["user", "rotate", "alice", "--ssh-key", "new.pub", "--overlap", "2d"]);
    assert!(
        rotated.out.contains("The SSH keys before are valid for requests signed up to"),
        "{}{}",
        rotated.out,
        rotated.err
    );
    let text = fs::read_to_string(test_gateway.path("users.d/alice.toml")).expect("a file");
    assert!(text.starts_with("# keep me\nrequire_signature = true\n") && text.contains("[previous]\n"), "{text}");
    assert!(test_gateway.run(&["user", "show", "alice"]).out.contains("; valid for requests signed up to"));
    let explained = test_gateway.run_with(&["explain"], &old);
    assert!(explained.out.contains(", a previous key of the user"), "{}", explained.out);
    let delivered =
        test_gateway.run_with(&["deliver"], &test_gateway.eml(&["say", "what=new", "--ssh-key", "new.pub"]));
    assert!(delivered.out.contains("heard: new"), "{}", delivered.err);
    // Once more, with the same key: nothing is left of the first.
    let again = test_gateway.run(&["user", "rotate", "alice", "--ssh-key", "new.pub"]);
    assert!(again.status == 0 && !again.out.contains("The SSH keys before"), "{}", again.out);
    let explained = test_gateway.run_with(&["explain"], &old);
    assert!(explained.out.contains("refused: foreign-signature"), "{}", explained.out);
    assert_eq!(test_gateway.run(&["user", "rotate", "alice", "--ssh-key", "new.pub", "--totp"]).status, 64);
    assert_eq!(test_gateway.run(&["user", "rotate", "alice", "--ssh-key", "new.pub", "--key-file", "x"]).status, 64);
}

#[test]
fn commands_say_that_they_need_a_signature() {
    let test_gateway = test_gateway();
    let text = fs::read_to_string(test_gateway.path("commands.d/say.toml")).expect("a command");
    test_gateway.write("commands.d/say.toml", &format!("require_signature = true\n{text}"));
    assert!(test_gateway.run(&["command", "show", "say"]).out.contains("\nsignature  required, with an SSH key\n"));
    assert_eq!(json(&test_gateway.run(&["command", "show", "say", "--json"]))["require_signature"], true);
    let may = test_gateway.run(&["may", "alice", "say"]);
    assert!(may.status == 0 && may.out.contains(", if the request is signed with an SSH key: "), "{}", may.out);
    let help = test_gateway.run_with(&["deliver"], &test_gateway.eml(&["help", "--ssh-key", "own.pub"]));
    assert!(help.out.contains("to be signed with one of your SSH keys: --ssh-key FILE.pub"), "{}", help.out);
}

#[test]
fn check_finds_keys_that_do_not_do() {
    let test_gateway = test_gateway();
    let findings = || {
        let said = test_gateway.run(&["check", "--json"]);
        let all: Value = serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {}", said.out));
        let found = all["findings"].as_array().expect("a list").iter().filter(|finding| finding["about"] == "ssh-keys");
        found.map(|finding| format!("{} {}", finding["level"], finding["what"])).collect::<Vec<_>>().join("\n")
    };
    assert!(findings().contains("1 user, each with keys that no other user has"), "{}", findings());
    let added = test_gateway.run(&[
        "user",
        "add",
        "bob",
        "--address",
        "bob@example.com",
        "--role",
        "web",
        "--ssh-key",
        "own.pub",
    ]);
    assert_eq!(added.status, 0, "{}", added.err);
    assert!(findings().contains("alice and bob have the same SSH key, SHA256:"), "{}", findings());
    let bob = "address = \"bob@example.com\"\nroles = [\"web\"]\n";
    test_gateway.write("users.d/bob.toml", &format!("{bob}require_signature = true\n"));
    assert!(findings().contains("error\" \"bob must sign with an SSH key and has none"), "{}", findings());
    test_gateway.write(
        "users.d/bob.toml",
        &format!("{bob}require_verification = true\nssh_keys = [{:?}]\n", SoftKey::new(4).public()),
    );
    assert!(
        findings().contains("bob has require_verification, which no signature by the ssh-ed25519 key"),
        "{}",
        findings()
    );
    assert!(findings().contains("bob has require_verification and need not sign"), "{}", findings());
    test_gateway.write("users.d/bob.toml", bob);
    test_gateway.write("users.d/alice.toml", "address = \"alice@example.com\"\nroles = [\"web\"]\n");
    let text = fs::read_to_string(test_gateway.path("commands.d/say.toml")).expect("a command");
    test_gateway.write("commands.d/say.toml", &format!("require_signature = true\n{text}"));
    assert!(
        findings().contains("say must be signed with an SSH key, and no user who may run it has one"),
        "{}",
        findings()
    );

    for (key, wanted) in [
        ("ssh-dss AAAAB3NzaC1kc3MAAAAAAAAAAAAAAAAAAAAA", "ssh_keys, key 1: "),
        ("ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAAwEAAQ==", "this one has 17"),
        ("-----BEGIN OPENSSH PRIVATE KEY----- b3BlbnNzaC1rZXktdjEAAAAA", "this is a private key"),
    ] {
        test_gateway.write("users.d/bob.toml", &format!("{bob}ssh_keys = [\"{key}\"]\n"));
        let said = test_gateway.run(&["check"]);
        assert!(said.out.contains(wanted) && !said.out.contains("b3BlbnNz"), "{key}: {}", said.out);
    }
}
