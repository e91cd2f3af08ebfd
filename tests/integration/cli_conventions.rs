//! How the commands behave with scripts, pipes, terminals and users without rights, through the built binary.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use crate::cli::{CliGateway, Said, said};

/// The gateway, with a command that a sudo rule can permit.
fn test_gateway() -> CliGateway {
    let test_gateway = CliGateway::new();
    let say = "summary = \"Say it\"\nrun_as = \"nobody\"\nargv = [\"/bin/echo\", \"heard\"]\n[allow.web]\n";
    test_gateway.write("commands.d/say.toml", say);
    test_gateway
}

/// What a command line prints on a terminal of its own without input.
fn terminal(test_gateway: &CliGateway, line: &str) -> Said {
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", line, "/dev/null"]);
    let output = script.current_dir(test_gateway.folder.path()).stdin(Stdio::null()).output();
    said(output.expect("script(1), which makes a terminal (package bsdutils)"))
}

#[test]
fn every_command_has_an_example() {
    fn leaves(command: &clap::Command, path: &str) {
        let path = format!("{path} {}", command.get_name());
        if command.has_subcommands() && command.is_subcommand_required_set() {
            return command
                .get_subcommands()
                .filter(|each| each.get_name() != "help")
                .for_each(|each| leaves(each, &path));
        }
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(help.contains("Example") && help.contains("mailsudo"), "{path} has no example");
    }
    leaves(&mailsudo::cli::command(), "");
}

/// Runs it with a standard output that its reader has closed.
fn unread(test_gateway: &CliGateway, words: &[&str]) -> Said {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = test_gateway.command(words);
    command.args(["--config", "."]).stdin(Stdio::null()).stdout(writer).stderr(Stdio::piped());
    said(command.output().expect("the program"))
}

#[test]
fn a_closed_standard_output_causes_no_message() {
    let test_gateway = test_gateway();
    test_gateway.run_with(&["deliver"], &test_gateway.eml(&["say"]));
    for line in [
        "log",
        "log --json",
        "user list",
        "user show alice",
        "command list",
        "command show say",
        "may alice say",
        "ledger status",
        "metrics",
        "sudoers",
        "check",
        "config get gateway",
        "explain",
    ] {
        let words: Vec<_> = line.split(' ').collect();
        let said = unread(&test_gateway, &words);
        assert_eq!((said.status, said.err.as_str()), (141, ""), "{line}");
    }
}

#[test]
fn what_cannot_be_shown_is_not_done() {
    let test_gateway = test_gateway();
    assert_eq!(unread(&test_gateway, &["user", "remove", "alice", "--yes"]).status, 141);
    assert!(test_gateway.path("users.d/alice.toml").exists() && test_gateway.path("secrets.d/alice.toml").exists());
    assert_eq!(unread(&test_gateway, &["sudoers", "--install", "--yes", "--file", "fragment"]).status, 141);
    assert!(!test_gateway.path("fragment").exists());
}

#[test]
fn a_full_disk_is_an_error_and_no_panic() {
    let test_gateway = test_gateway();
    for words in [&["user", "list"][..], &["check"], &["metrics"], &["sudoers"], &["may", "alice", "say"]] {
        let full = OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
        let mut command = test_gateway.command(words);
        command.args(["--config", "."]).stdout(full).stderr(Stdio::piped());
        let said = said(command.output().expect("the program"));
        assert_eq!(said.status, 1, "{words:?}: {}", said.err);
        assert!(said.err.starts_with("mailsudo: standard output: No space left"), "{words:?}: {}", said.err);
    }
}

#[test]
fn only_a_terminal_gets_colours_and_the_hint_to_paste() {
    let test_gateway = test_gateway();
    test_gateway.run_with(&["deliver"], &test_gateway.eml(&["say"]));
    let line = |words: &str| format!("{} {words} --config .", env!("CARGO_BIN_EXE_mailsudo"));
    for words in ["log", "check"] {
        assert!(terminal(&test_gateway, &line(words)).out.contains("\u{1b}[3"), "{words} on a terminal");
        let words: Vec<_> = words.split(' ').collect();
        assert!(!test_gateway.run(&words).out.contains('\u{1b}'), "{words:?} into a pipe");
    }
    assert!(terminal(&test_gateway, &line("explain")).out.contains("Ctrl-D"));
    assert!(!test_gateway.run(&["explain"]).err.contains("Ctrl-D"));
}

#[test]
fn a_dry_run_changes_nothing_and_succeeds() {
    let test_gateway = test_gateway();
    test_gateway.run_with(&["deliver"], &test_gateway.eml(&["say"]));
    let state = |test_gateway: &CliGateway| {
        let find = Command::new("find")
            .arg(test_gateway.folder.path())
            .args(["-type", "f", "-printf", "%P %s %T@\n"])
            .output();
        let text = said(find.expect("find(1)")).out;
        let mut lines: Vec<_> = text.lines().filter(|line| !line.contains("-shm ")).map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let before = state(&test_gateway);
    for line in [
        "user add bob --address b@example.com",
        "user disable alice",
        "user unlock alice",
        "user rotate alice --hmac",
        "user rotate alice --totp",
        "user remove alice",
        "ledger init",
        "ledger prune --older-than 7d",
        "ledger vacuum",
        "ledger backup copy.db",
        "sudoers --install --file ./fragment",
    ] {
        let words: Vec<_> = line.split(' ').chain(["--dry-run"]).collect();
        let said = test_gateway.run(&words);
        assert_eq!(said.status, 0, "{line}: {}{}", said.out, said.err);
        assert!(!said.out.is_empty(), "{line} says what it would do");
        assert_eq!(state(&test_gateway), before, "{line}");
    }
}

#[test]
fn errors_say_what_to_do_next() {
    let test_gateway = test_gateway();
    for (line, remedy) in [
        ("user add alice --address a@example.com", "mailsudo user rotate alice"),
        ("user add bob --address b@example.com --key-file alice.key", "--key-file FILE"),
        ("user rotate alice --hmac --key-file alice.key", "--key-file FILE"),
        ("user remove bob --yes", "mailsudo user list"),
        ("user show bob", "mailsudo user list"),
        ("command show nothing", "mailsudo command list"),
        ("log show 000000000000", "mailsudo log"),
    ] {
        let said = test_gateway.run(&line.split(' ').collect::<Vec<_>>());
        assert_eq!((said.status, said.out.as_str()), (1, ""), "{line}");
        assert!(said.err.contains(remedy) && !said.err.contains("os error"), "{line}: {}", said.err);
    }
    assert!(!test_gateway.path("users.d/bob.toml").exists());
    fs::rename(test_gateway.path("ledger"), test_gateway.path("away")).expect("a ledger's folder");
    let said = test_gateway.run(&["ledger", "init"]);
    fs::rename(test_gateway.path("away"), test_gateway.path("ledger")).expect("a ledger's folder");
    assert!(said.status == 1 && said.err.contains("install -d"), "{}", said.err);
    fs::remove_file(test_gateway.path("secrets.d/alice.toml")).expect("secrets");
    assert_eq!(test_gateway.run(&["user", "remove", "alice", "--yes"]).status, 0, "half a user can be removed");
}

#[test]
fn a_mail_that_would_be_lost_is_reported() {
    let test_gateway = test_gateway();
    test_gateway.write("sendmail", "#!/bin/sh\ncat >mail\n");
    fs::set_permissions(test_gateway.path("sendmail"), fs::Permissions::from_mode(0o755)).expect("a mode");
    let send =
        ["sign", "say", "--key", "alice.key", "--totp-secret-file", "phone", "--send", "--sendmail", "./sendmail"];
    let said = test_gateway.run(&send);
    assert!(said.status == 0 && said.err.contains("--from"), "{}", said.err);
    let said = test_gateway.run(&[&send[..], &["--from", "alice@example.com"]].concat());
    assert!(said.status == 0 && !said.err.contains("--from"), "{}", said.err);
}
