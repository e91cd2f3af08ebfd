//! How the commands behave with scripts, pipes, terminals and users without rights, through the built binary.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::Value;

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
    unset_look(&mut script);
    let output = script.current_dir(test_gateway.folder.path()).stdin(Stdio::null()).output();
    said(output.expect("script(1), which makes a terminal (package bsdutils)"))
}

/// Takes away what the caller of the tests may have set for the look of all programs.
fn unset_look(command: &mut Command) {
    for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "COLUMNS", "LINES"] {
        command.env_remove(name);
    }
    command.env("TERM", "xterm");
}

#[test]
fn every_command_has_an_example_that_can_be_copied_from_a_terminal() {
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
        for line in help.lines() {
            assert!(line.chars().count() < 80, "{path}: wrapped on a terminal, this is no command any more: {line}");
        }
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
    test_gateway.program("sendmail", "#!/bin/sh\ncat >mail\n");
    let send =
        ["sign", "say", "--key", "alice.key", "--totp-secret-file", "phone", "--send", "--sendmail", "./sendmail"];
    let said = test_gateway.run(&send);
    assert!(said.status == 0 && said.err.contains("--from"), "{}", said.err);
    let said = test_gateway.run(&[&send[..], &["--from", "alice@example.com"]].concat());
    assert!(said.status == 0 && !said.err.contains("--from"), "{}", said.err);
}

/// sysexits(3): 64 for a command line that is wrong, whoever finds that out, clap or the subcommand.
#[test]
fn a_wrong_command_line_ends_with_64() {
    let test_gateway = test_gateway();
    for line in [
        "sign say --key alice.key --code 12",
        "sign say --key alice.key",
        "sign say --key alice.key --totp-secret-file phone --eml",
        "sign Say",
        "nonsense",
        "user add bob",
        "user test alice --code x",
        "user remove alice",
        "log show xyz",
        "log --since yesterday",
        "check -q -v",
        "config get nothing",
        "config set nothing 1 --yes",
        "sign say --key alice.key --code 123456 --payload phone",
        "sign say a=b a=c --key alice.key --code 123456",
        "sign say --wait-reply",
        "ledger copy sqlite:/a sqlite:/b",
        "ledger resume --reply-via smtp://elsewhere.example:25",
        "page --user alice --role web",
        "key --qr --json",
    ] {
        let said = test_gateway.run(&line.split(' ').collect::<Vec<_>>());
        assert_eq!(said.status, 64, "{line}: {}", said.err);
        assert!(!said.err.is_empty(), "{line}");
    }
}

#[test]
fn errors_are_json_where_json_is_asked_for() {
    let test_gateway = test_gateway();
    for (line, status, words) in [
        ("log show 000000000000 --json", 1, "mailsudo log"),
        ("log show xyz --json", 64, "12 hex digits"),
        ("log --json --since yesterday", 64, "span back from now"),
        ("user show nobody --json", 1, "no user nobody"),
    ] {
        let said = test_gateway.run(&line.split(' ').collect::<Vec<_>>());
        assert_eq!((said.status, said.out.as_str(), said.err.lines().count()), (status, "", 1), "{line}: {}", said.err);
        let error: Value = serde_json::from_str(&said.err).expect("one JSON object");
        assert_eq!(error["exit_status"], status, "{line}");
        assert!(error["error"].as_str().is_some_and(|text| text.contains(words)), "{line}: {error}");
    }
}

#[test]
fn quiet_leaves_out_what_only_confirms_and_verbose_adds_causes() {
    let test_gateway = test_gateway();
    assert_eq!(test_gateway.run(&["user", "disable", "alice", "-q"]).out, "");
    assert_eq!(test_gateway.run(&["user", "enable", "alice"]).out, "alice is enabled.\n");
    assert!(
        !test_gateway.run(&["config", "get", "gateway", "-q"]).out.is_empty(),
        "what was asked for is not left out"
    );
    let said = test_gateway.run(&["verify", "--key", "nowhere", "-v"]);
    assert!(said.err.lines().count() > 1 && said.err.contains("because: No such file"), "{}", said.err);
}

#[test]
fn tables_have_a_header_and_fit_a_narrow_terminal() {
    let test_gateway = test_gateway();
    test_gateway.run_with(&["deliver"], &test_gateway.eml(&["say"]));
    for (words, head) in [
        (&["log"][..], "ID            TIME "),
        (&["user", "list"], "NAME   ENABLED"),
        (&["command", "list"], "NAME  RUN AS  "),
    ] {
        let out = test_gateway.run(words).out;
        assert!(out.starts_with(head), "{words:?}: {out}");
        assert!(out.lines().all(|line| line == line.trim_end()), "{words:?}: {out:?}");
    }
    let long = "summary = \"Many words about a command that does next to nothing\"\nrun_as = \"nobody\"\n\
                argv = [\"/bin/true\"]\n[allow.web]\n";
    test_gateway.write("commands.d/long.toml", long);
    let line = format!("stty cols 50; {} command list --config .", env!("CARGO_BIN_EXE_mailsudo"));
    let out = terminal(&test_gateway, &line).out;
    assert!(out.lines().all(|line| line.trim_end().chars().count() <= 50), "{out}");
    assert!(out.contains("nothing"), "{out}");
}

/// The table of mailsudo(7).
#[test]
fn exit_statuses_are_those_of_the_manual() {
    let test_gateway = test_gateway();
    for (words, status) in [
        (&["may", "alice", "say"][..], 0),
        (&["may", "bob", "say"], 1),
        (&["user", "show", "bob"], 1),
        (&["user", "list", "--nonsense"], 64),
        (&["command", "show", "none"], 1),
        (&["log", "show", "zz"], 64),
        (&["log", "--limit", "x"], 64),
        (&["ledger", "check"], 0),
        (&["ledger", "restore", "none", "--yes"], 1),
        (&["config", "get", "none"], 64),
        (&["config", "unset", "retention", "--yes"], 1),
        (&["sudoers", "--check", "--file", "none"], 1),
        (&["completions", "none"], 64),
    ] {
        let said = test_gateway.run(words);
        assert_eq!(said.status, status, "{words:?}: {}{}", said.out, said.err);
    }
    test_gateway.write("mailsudo.toml", "gateway = 1\n");
    for (words, status) in [
        (&["check"][..], 2),
        (&["sudoers", "--check", "--file", "none"], 2),
        (&["sudoers"], 1),
        (&["deliver"], 75),
        (&["config", "show"], 1),
        (&["may", "alice", "say"], 1),
        (&["metrics"], 1),
    ] {
        let said = test_gateway.run(words);
        assert_eq!(said.status, status, "{words:?}: {}{}", said.out, said.err);
    }
}

#[test]
fn no_color_is_obeyed() {
    let test_gateway = test_gateway();
    let line = format!("NO_COLOR=1 {} check --config .", env!("CARGO_BIN_EXE_mailsudo"));
    assert!(!terminal(&test_gateway, &line).out.contains("\u{1b}[3"));
    test_gateway.run_with(&["deliver"], &test_gateway.eml(&["say"]));
    for words in ["check", "log"] {
        let mut forced = test_gateway.command(&[words, "--config", "."]);
        let forced = said(forced.env("CLICOLOR_FORCE", "1").output().expect("the program"));
        assert!(forced.out.contains("\u{1b}[3"), "for a pager: {}", forced.out);
    }
}

/// docs/decisions/0053
#[test]
fn no_pager_is_started() {
    let test_gateway = test_gateway();
    test_gateway.run_with(&["deliver"], &test_gateway.eml(&["say"]));
    test_gateway.program("pager", "#!/bin/sh\necho started >>started\ncat\n");
    for words in ["log --config .", "config show --config .", "user show alice --config .", "--help", "help log"] {
        let variables = "PAGER=./pager MAILSUDO_PAGER=./pager LESS= EDITOR=./pager VISUAL=./pager";
        let said = terminal(&test_gateway, &format!("{variables} {} {words}", env!("CARGO_BIN_EXE_mailsudo")));
        assert!(said.status == 0 && said.out.len() > 40, "{words}: {}", said.out);
        assert!(!test_gateway.path("started").exists(), "{words}");
    }
}

#[test]
fn completions_are_what_a_shell_reads() {
    let test_gateway = test_gateway();
    for (shell, part) in [("bash", "complete -o nospace"), ("zsh", "#compdef mailsudo"), ("fish", "complete ")] {
        let mut command = test_gateway.command(&["completions", shell]);
        let said = said(command.output().expect("the program"));
        assert!(said.status == 0 && said.out.contains(part) && said.out.contains("COMPLETE"), "{shell}: {}", said.out);
    }
}

/// Nothing waits here: each line is read when it comes.
#[test]
fn the_log_can_be_followed() {
    let test_gateway = test_gateway();
    let code = test_gateway.code();
    test_gateway.run_with(&["deliver"], &test_gateway.eml_with(&code, &["say"]));
    let mut follow = test_gateway.command(&["log", "-f", "--json", "--config", "."]);
    let mut child = follow.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut next = || -> Value {
        let line = lines.next().expect("a line").expect("text");
        serde_json::from_str(&line).expect("JSON")
    };
    assert_eq!(next()["result"], "exit-0");
    test_gateway.run_with(&["deliver"], &test_gateway.eml_with(&code, &["help"]));
    let second = next();
    assert_eq!(second["reason"], "used-code", "{second}");
    drop(lines);
    assert_eq!(child.wait().expect("its end").code(), Some(141), "it ends when nobody reads it");
}

/// The package mailsudo-client has the same program by another name.
#[test]
fn the_client_has_the_users_commands_only() {
    let test_gateway = test_gateway();
    // By another process: a test that starts a program at this moment would inherit the descriptor that writes the
    // copy, and nobody could execute it meanwhile (ETXTBSY, execve(2)).
    let copied =
        Command::new("cp").arg(env!("CARGO_BIN_EXE_mailsudo")).arg(test_gateway.path("mailsudo-client")).status();
    assert!(copied.expect("cp").success());
    let client = |words: &[&str]| {
        let mut command = Command::new(test_gateway.path("mailsudo-client"));
        unset_look(&mut command);
        said(
            command
                .args(words)
                .current_dir(test_gateway.folder.path())
                // What `sign` has used is kept in a folder of the account, which other tests use too.
                .env("XDG_STATE_HOME", test_gateway.path("client-state"))
                .stdin(Stdio::null())
                .output()
                .expect("the client"),
        )
    };
    let help = client(&["--help"]).out;
    assert!(help.contains("  sign ") && help.contains("  key ") && !help.contains("sudoers"), "{help}");
    let signed = client(&["sign", "say", "--key", "alice.key", "--totp-secret-file", "phone"]);
    assert!(signed.status == 0 && signed.out.contains("command: say"), "{}", signed.err);
    for words in [&["check"][..], &["deliver"], &["user", "list"], &["setup"]] {
        let refused = client(words);
        assert_eq!((refused.status, refused.out.as_str()), (64, ""), "{words:?}: {}", refused.err);
        assert!(refused.err.contains("install the package mailsudo"), "{}", refused.err);
    }
}
