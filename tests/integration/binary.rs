//! The built binary, as users and Postfix call it. In: a command line. Out: texts and exit statuses.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};

use mailsudo::protocol::Timestamp;
use mailsudo::system::clock::{Clock, SystemClock};

use crate::cli::{CliGateway, Said, mode, said};

/// Neither a missing glibc nor another version of it can keep a gateway from starting
/// (docs/decisions/0017-static-glibc.md).
#[test]
fn the_program_needs_no_shared_library() {
    let output = Command::new("readelf")
        .args(["--wide", "--dynamic", "--program-headers", env!("CARGO_BIN_EXE_mailsudo")])
        .env("LC_ALL", "C")
        .output()
        .expect("readelf (package binutils)");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("DYNAMIC"), "{output:?}");
    assert!(!said.contains("(NEEDED)") && !said.contains("INTERP"), "{said}");
}

/// The system calls `which` (strace(1)) of `program` with `argument`.
fn calls(which: &str, program: &str, argument: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let trace = folder.path().join("trace");
    let mut strace = Command::new("strace");
    let strace = strace.arg("--trace").arg(which).arg("-o").arg(&trace).args([program, argument]);
    assert!(strace.stdout(Stdio::null()).status().expect("strace (package strace)").success());
    fs::read_to_string(trace).expect("the calls")
}

/// Before `main`, Rust asks where the stack ends, and glibc reads /proc/self/maps for it
/// (docs/decisions/0061-the-start-does-not-look-for-the-end-of-the-stack.md).
#[test]
fn the_start_reads_no_memory_map() {
    let opened = |program, argument| calls("?open,openat", program, argument);
    assert!(opened("cat", "/proc/self/maps").contains("/proc/self/maps"), "strace shows what is opened");
    let opened = opened(env!("CARGO_BIN_EXE_mailsudo"), "--version");
    assert!(!opened.contains("/proc/"), "{opened}");
}

/// The stack for the handler of SIGSEGV is there before Rust would map one
/// (docs/decisions/0064-the-stack-of-the-signal-handler-is-there.md).
#[test]
fn the_start_maps_no_stack_for_the_handler_of_sigsegv() {
    let calls = calls("sigaltstack,mmap", env!("CARGO_BIN_EXE_mailsudo"), "--version");
    assert!(calls.contains("ss_size=32768}, NULL) = 0\n"), "{calls}");
    assert!(!calls.contains("MAP_STACK"), "{calls}");
}

/// Rust's handler of SIGSEGV runs on that stack: it takes the first signal, and sets the default back.
#[test]
fn the_handler_of_sigsegv_has_its_stack() {
    let test_gateway = CliGateway::new();
    let mut deliver = test_gateway.command(&["deliver"]);
    let mut deliver = deliver.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().expect("mailsudo");
    let pid = rustix::process::Pid::from_child(&deliver);
    let end = || rustix::process::kill_process(pid, rustix::process::Signal::SEGV).expect("not waited for");
    // proc(5): a mask of the signals that have a handler; SIGSEGV is 11. A process that has ended has none.
    let has_handler = || {
        let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_pid())).expect("not waited for");
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).expect("a mask");
        u64::from_str_radix(mask.trim(), 16).expect("hexadecimal") & 1 << 10 != 0
    };
    while !has_handler() {
        assert!(deliver.try_wait().expect("a child").is_none(), "it waits for a mail");
        std::thread::yield_now();
    }
    end();
    while has_handler() {
        std::thread::yield_now();
    }
    assert_eq!(deliver.try_wait().expect("a child"), None, "the handler has returned");
    end();
    assert_eq!(deliver.wait().expect("a child").signal(), Some(11));
}

#[test]
fn a_request_is_signed_delivered_answered_and_verified() {
    let test_gateway = CliGateway::new();
    let request = test_gateway.eml(&["say", "what=good morning"]);
    let delivered = test_gateway.run_with(&["deliver"], &request);
    assert_eq!(delivered.status, 0);
    assert!(delivered.out.contains("heard: good morning"), "{}", delivered.out);
    assert!(delivered.err.contains("event=replied"));
    let verified = test_gateway.run_with(&["verify", "--key", "alice.key"], &delivered.out);
    assert_eq!(verified.status, 0);
    assert!(verified.out.starts_with("genuine: gateway berlin answered request "), "{}", verified.out);

    let pasted = delivered.out.split_once("\n\n").expect("a body").1;
    assert_eq!(test_gateway.run_with(&["verify", "--key", "alice.key"], pasted).status, 0, "pasted text will do");
    let altered = delivered.out.replace("good morning", "good night");
    let verified = test_gateway.run_with(&["verify", "--key", "alice.key"], &altered);
    assert_eq!(verified.status, 1);
    assert!(verified.out.contains("altered"), "{}", verified.out);
    assert_eq!(
        test_gateway.run_with(&["verify", "--key", "alice.key"], &request).out,
        "not genuine: no reply or notice that this key has signed\n"
    );

    let again = test_gateway.run_with(&["deliver"], &request);
    assert_eq!((again.status, again.out.as_str()), (0, ""));
    assert!(again.err.contains("reason=duplicate"));
}

#[test]
fn a_shell_openssl_and_oathtool_make_a_request() {
    let test_gateway = CliGateway::new();
    let secrets = fs::read_to_string(test_gateway.path("secrets.d/alice.toml")).expect("secrets");
    let key = secrets.split('"').nth(1).expect("a key").to_owned();
    let secret = secrets.split("secret=").nth(1).expect("a secret").split('&').next().expect("base32").to_owned();
    let by_hand = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sign-by-hand");
    let block = Command::new(by_hand).args([&key, &secret, "berlin", "alice", "say", "what=hello"]).output();
    let block = said(block.expect("a shell, openssl and oathtool: apt-get install openssl oathtool"));
    assert_eq!(block.status, 0, "{}", block.err);
    let delivered = test_gateway.run_with(&["deliver"], &format!("From: alice@example.com\n\n{}", block.out));
    assert!(delivered.out.contains("heard: hello"), "{}", delivered.err);
    let docs = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/protocol.md")).expect("docs/protocol.md");
    let script = fs::read_to_string(by_hand).expect("the script");
    assert!(docs.contains(script.trim_end()), "docs/protocol.md carries this script");
}

/// A wrong command line is logged to /dev/log, which a machine without a syslog daemon does not have.
fn assert_says_only_what_no_log_took(said: &Said, what: &str) {
    if Path::new("/dev/log").exists() {
        assert_eq!(said.err, "", "{what}");
    } else {
        let is_one_line = said.err.starts_with("mailsudo: deferred (usage): ") && said.err.lines().count() == 1;
        assert!(is_one_line, "{what}: {}", said.err);
    }
}

#[test]
fn deliver_ends_with_0_or_75_and_prints_nothing_else() {
    let test_gateway = CliGateway::new();
    let request = test_gateway.eml(&["say"]);
    for (words, why) in [
        (&["deliver", "--nonsense"][..], "a wrong option"),
        (&["deliver", "extra"][..], "a word too many"),
        (&["deliver", "--queue-id=4X"][..], "a queue id without a transport for the reply"),
        (&["deliver", "--sender"][..], "an option without its value"),
    ] {
        let said = test_gateway.run_with(words, &request);
        assert_eq!((said.status, said.out.as_str()), (75, ""), "{why}");
        assert_says_only_what_no_log_took(&said, why);
    }
    let help = test_gateway.run(&["deliver", "--help"]);
    assert_eq!(help.status, 0);
    assert!(help.out.contains("--reply-via"));
    let junk = test_gateway.run_with(&["deliver", "--sender=-x", "--recipient=\u{e9}@x"], "From: a@b\n\nhello\n");
    assert_eq!((junk.status, junk.out.as_str()), (0, ""));
}

#[test]
fn what_is_refused_unread_closes_no_pipe_early() {
    let test_gateway = CliGateway::new();
    for (words, reason) in [(&["deliver"][..], "too-large"), (&["deliver", "--sender="][..], "automatic")] {
        let (said, written) = offer_oversized(&test_gateway, words);
        assert!(said.err.contains(&format!("reason={reason}")), "{}", said.err);
        assert_eq!(said.status, 0);
        assert!(written.is_ok(), "{reason}: {written:?}");
    }
}

#[test]
fn a_mail_server_that_names_its_queue_is_read_no_further_than_needed() {
    let test_gateway = CliGateway::new();
    // Under a mail server there is no log on standard error.
    let log = test_gateway.path("log");
    let _socket = UnixDatagram::bind(&log).expect("a socket");
    let settings = fs::read_to_string(test_gateway.path("mailsudo.toml")).expect("settings");
    fs::write(test_gateway.path("mailsudo.toml"), settings.replace("stderr", &log.display().to_string()))
        .expect("written");
    let (said, written) = offer_oversized(&test_gateway, &["deliver", "--queue-id=4X", "--reply-via=/bin/false"]);
    assert_eq!((said.status, said.err.as_str()), (0, ""));
    assert_eq!(written.expect_err("more than a pipe holds was left unread").kind(), std::io::ErrorKind::BrokenPipe);
}

/// Writes a mail far beyond the size limit into a delivery; what that said, and how the writing went.
fn offer_oversized(test_gateway: &CliGateway, words: &[&str]) -> (Said, std::io::Result<()>) {
    let mail = format!("From: alice@example.com\n\n{}", "and another thing\n".repeat(100_000));
    let mut command = test_gateway.command(&[words, &["--config", "."]].concat());
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program");
    let written = child.stdin.take().expect("a pipe").write_all(mail.as_bytes());
    (said(child.wait_with_output().expect("its end")), written)
}

#[test]
fn whatever_is_wrong_with_the_gateways_files_defers() {
    let test_gateway = CliGateway::new();
    let request = test_gateway.eml(&["say"]);
    let break_and_mend = |name: &str, content: Option<&str>, mode: u32, wanted: &str| {
        let path = test_gateway.path(name);
        let (before, rights) = (fs::read(&path).expect("a file"), fs::metadata(&path).expect("metadata").permissions());
        if let Some(content) = content {
            fs::write(&path, content).expect("written");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
        let said = test_gateway.run_with(&["deliver"], &request);
        assert_eq!((said.status, said.out.as_str()), (75, ""), "{name}: {}", said.err);
        assert!(said.err.contains(wanted) || name == "mailsudo.toml", "{name}: {}", said.err);
        fs::write(&path, before).expect("written");
        fs::set_permissions(&path, rights).expect("a mode");
    };
    break_and_mend("mailsudo.toml", Some("gateway ="), 0o644, "mailsudo.toml");
    break_and_mend("mailsudo.toml", None, 0o666, "chmod");
    break_and_mend("users.d/alice.toml", Some("roles = 1"), 0o644, "users.d/alice.toml:1");
    break_and_mend("users.d/alice.toml", None, 0o664, "chmod go-w");
    break_and_mend("secrets.d/alice.toml", None, 0o644, "chmod");
    break_and_mend("commands.d/say.toml", Some("argv = []"), 0o644, "commands.d/say.toml");
    break_and_mend("commands.d/say.toml", None, 0o646, "chmod go-w");
    let said = test_gateway.run_with(&["deliver"], &request);
    assert!(said.out.contains("heard: nothing"), "after the repair, the same mail is delivered: {}", said.err);
}

#[test]
fn with_run_via_sudo_root_does_not_deliver() {
    if !rustix::process::geteuid().is_root() {
        // Then sudo is the one to refuse; the rule is about root.
        return;
    }
    let test_gateway = CliGateway::new();
    let toml = fs::read_to_string(test_gateway.path("mailsudo.toml")).expect("the settings");
    test_gateway.write("mailsudo.toml", &toml.replace("\"direct\"", "\"sudo\""));
    let said = test_gateway.run_with(&["deliver"], "From: a@b\n\nhello\n");
    assert_eq!(said.status, 75);
    assert!(said.err.contains("must not run as root"), "{}", said.err);
}

#[test]
fn the_signer_takes_the_code_from_where_it_is_told() {
    let test_gateway = CliGateway::new();
    let code = |words: &[&str]| {
        let mut all = vec!["sign", "--key", "alice.key", "help"];
        all.extend(words);
        test_gateway.run(&all)
    };
    assert!(code(&["--code", "123456"]).out.contains("\ntotp: 123456\n"));
    assert!(code(&["--code", " 123 456"]).out.contains("\ntotp: 123456\n"), "as authenticators show it");
    assert!(code(&["--code-command", "echo 12345678; exit 0"]).out.contains("\ntotp: 12345678\n"));
    let failed = code(&["--code-command", "exit 3"]);
    assert_eq!((failed.status, failed.out.as_str()), (1, ""));
    assert!(code(&["--code", "12345"]).err.contains("6 to 8 digits"));
    assert!(code(&[]).err.contains("no terminal"), "it does not wait without a terminal");
    fs::set_permissions(test_gateway.path("phone"), fs::Permissions::from_mode(0o640)).expect("a mode");
    assert!(code(&["--totp-secret-file", "phone"]).err.contains("chmod 600"));
    fs::set_permissions(test_gateway.path("alice.key"), fs::Permissions::from_mode(0o644)).expect("a mode");
    assert!(code(&["--code", "123456"]).err.contains("chmod 600"));
}

#[test]
fn the_key_file_is_found_where_it_belongs() {
    let test_gateway = CliGateway::new();
    let folder = test_gateway.path(".config/mailsudo");
    fs::create_dir_all(&folder).expect("a folder");
    let sign = |words: &[&str]| {
        let mut all = vec!["sign", "help", "--code", "123456"];
        all.extend(words);
        test_gateway.run(&all)
    };
    assert!(sign(&[]).err.contains("mailsudo user add"), "what to do is said");
    let key = fs::read_to_string(test_gateway.path("alice.key")).expect("a key file");
    let put = |name: &str, text: &str| {
        fs::write(folder.join(name), text).expect("a key file");
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o600)).expect("a mode");
    };
    put("berlin.toml", &key);
    assert!(sign(&[]).out.contains("\ngateway: berlin\n"));
    put("paris.toml", &key.replace("berlin", "paris"));
    assert!(sign(&[]).err.contains("--gateway NAME"));
    assert!(sign(&["--gateway", "paris"]).out.contains("\ngateway: paris\n"));
    put("rome.toml", "gateway = \"rome\"\n");
    let error = sign(&["--gateway", "paris"]);
    assert!(error.err.contains("rome.toml") && !error.err.contains(&key[key.len() - 20..]), "{}", error.err);
}

#[test]
fn a_request_takes_the_form_that_is_asked_for() {
    let test_gateway = CliGateway::new();
    let eml = test_gateway.eml(&["say", "what=a b", "--subject", "[ops] x"]);
    assert!(eml.starts_with("From: <alice@example.com>\n") && eml.contains("\nSubject: [ops] x\n"), "{eml}");
    assert!(eml.contains("\narg: what=a~20b\n"), "the block is not encoded away: {eml}");
    let link = test_gateway.sign(&["say", "--mailto"]);
    assert!(
        link.starts_with("mailto:ops@example.com?subject=mailsudo%20request&body=mailsudo%3A%201%0D%0Agateway"),
        "{link}"
    );
    assert!(
        test_gateway.run(&["sign", "say", "--key", "alice.key", "--code", "123456", "--eml"]).err.contains("--from")
    );
    test_gateway
        .program("sendmail", "#!/bin/sh\n[ \"$*\" = '-i -f alice@example.com -- ops@example.com' ] && cat > sent\n");
    test_gateway.sign(&["say", "--send", "--from", "alice@example.com", "--sendmail", "./sendmail"]);
    let sent = fs::read_to_string(test_gateway.path("sent")).expect("a mail");
    assert!(test_gateway.run_with(&["deliver"], &sent).out.contains("heard: nothing"));
    test_gateway.program("sendmail", "#!/bin/sh\nexit 75\n");
    let words = ["sign", "say", "--key", "alice.key", "--code", "123456", "--send", "--sendmail", "./sendmail"];
    assert!(test_gateway.run(&words).err.contains("nothing was sent"));
}

#[test]
fn enrolling_writes_three_files_once() {
    let test_gateway = CliGateway::new();
    assert_eq!(mode(&test_gateway.path("alice.key")), 0o600);
    assert_eq!(mode(&test_gateway.path("users.d/alice.toml")), 0o644);
    let secret = mode(&test_gateway.path("secrets.d/alice.toml"));
    assert!(secret == 0o600 || rustix::process::geteuid().is_root() && secret == 0o640, "{secret:o}");
    let before = fs::read(test_gateway.path("secrets.d/alice.toml")).expect("secrets");
    for key_file in ["alice.key", "other.key"] {
        let again = test_gateway.run(&["user", "add", "alice", "--address", "x@example.com", "--key-file", key_file]);
        assert_eq!(again.status, 1);
        assert!(again.err.contains("exists already"), "{}", again.err);
    }
    assert_eq!(fs::read(test_gateway.path("secrets.d/alice.toml")).expect("secrets"), before);
    for words in
        [&["user", "add", "../x", "--address", "x@example.com"][..], &["user", "add", "bob", "--address", "no"]]
    {
        assert_eq!(test_gateway.run(words).status, 64);
    }
}

#[test]
fn help_and_errors_show_what_to_type() {
    let test_gateway = CliGateway::new();
    let help = test_gateway.run(&["--help"]);
    assert_eq!(help.status, 0);
    for word in ["deliver", "sign", "verify", "user", "sudoers", "ledger", "Examples:"] {
        assert!(help.out.contains(word), "{word}");
    }
    assert_eq!(test_gateway.run(&["nonsense"]).status, 64);
    assert_eq!(test_gateway.run(&["config", "get", "execution.longest"]).out, "600\n");
    assert_eq!(test_gateway.run(&["config", "get", "address"]).out, "ops@example.com\n");
}

/// The fragment in the repository is the one for the examples, and visudo accepts it.
#[test]
fn the_example_fragment_is_what_sudoers_prints_for_the_examples() {
    let root = env!("CARGO_MANIFEST_DIR");
    let copy = tempfile::tempdir().expect("a folder");
    for name in ["commands.d", "users.d"] {
        fs::create_dir(copy.path().join(name)).expect("a folder");
        for entry in fs::read_dir(format!("{root}/examples/{name}")).expect("examples") {
            let entry = entry.expect("an entry");
            let to = copy.path().join(name).join(entry.file_name());
            fs::copy(entry.path(), &to).expect("copied");
            fs::set_permissions(&to, fs::Permissions::from_mode(0o644)).expect("a mode");
        }
        fs::set_permissions(copy.path().join(name), fs::Permissions::from_mode(0o755)).expect("a mode");
    }
    let settings = copy.path().join("mailsudo.toml");
    let example = fs::read_to_string(format!("{root}/examples/mailsudo.toml")).expect("the example");
    // As the package installs it, and not where the test's program is.
    fs::write(&settings, example.replace("[execution]", "[execution]\nmailsudo = \"/usr/bin/mailsudo\""))
        .expect("a file");
    fs::set_permissions(&settings, fs::Permissions::from_mode(0o644)).expect("a mode");
    let output = Command::new(env!("CARGO_BIN_EXE_mailsudo"))
        .args(["sudoers", "--for", "sudo", "--config"])
        .arg(copy.path())
        .output();
    let printed = said(output.expect("the program"));
    assert_eq!(printed.status, 0, "{}", printed.err);
    let kept = fs::read_to_string(format!("{root}/sudoers.d/mailsudo")).expect("sudoers.d/mailsudo");
    assert_eq!(kept, printed.out, "mailsudo sudoers --config examples > sudoers.d/mailsudo");
    let checked = Command::new("visudo").args(["-c", "-f"]).arg(format!("{root}/sudoers.d/mailsudo")).output();
    let checked = checked.expect("visudo: apt-get install sudo");
    assert!(checked.status.success(), "{checked:?}");
    let rust = Command::new(env!("CARGO_BIN_EXE_mailsudo"))
        .args(["sudoers", "--for", "sudo-rs", "--config"])
        .arg(copy.path())
        .output();
    let rust = said(rust.expect("the program"));
    assert_eq!(rust.status, 1);
    assert!(rust.err.contains("commands.d/logs.toml") && rust.err.contains("`unit`"), "{}", rust.err);
}

#[test]
fn a_code_is_asked_for_without_echo() {
    let test_gateway = CliGateway::new();
    let line = format!("{} sign help --key alice.key", env!("CARGO_BIN_EXE_mailsudo"));
    let mut terminal = Command::new("script")
        .args(["--quiet", "--return", "--echo", "never", "--command", &line, "/dev/null"])
        .current_dir(test_gateway.folder.path())
        .env("XDG_STATE_HOME", test_gateway.path("state"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script(1), which makes a terminal (package bsdutils)");
    terminal.stdin.take().expect("a pipe").write_all(b"12345\n123 456\n").expect("typed");
    let screen = said(terminal.wait_with_output().expect("its end"));
    assert_eq!(screen.out.matches("Code: ").count(), 2, "asked again: {}", screen.out);
    assert!(screen.out.contains("a code is 6 to 8 digits: try again"), "{}", screen.out);
    assert_eq!(screen.out.matches("123456").count(), 1, "only in the block: {}", screen.out);
    assert!(screen.out.contains("totp: 123456"), "{}", screen.out);
}

#[test]
fn a_code_is_signed_with_once() {
    let test_gateway = CliGateway::new();
    let record = test_gateway.path("state/mailsudo/alice@berlin");
    let phone = ["--totp-secret-file", "phone"];
    let sign = |words: &[&str]| {
        let mut command = test_gateway.command(&[&["sign", "help", "--key", "alice.key"], words].concat());
        said(command.env("XDG_STATE_HOME", test_gateway.path("state")).output().expect("the program"))
    };
    let used_until = |seconds: i64| {
        let until = Timestamp::from_seconds(SystemClock.now().seconds() + seconds);
        fs::write(&record, format!("{until}\n")).expect("a record");
    };
    assert_eq!(sign(&phone).status, 0);
    assert_eq!((mode(&record), mode(record.parent().expect("a folder"))), (0o600, 0o700));
    let kept = fs::read_to_string(&record).expect("a record");
    assert!(Timestamp::parse(kept.trim_end()).is_some_and(|end| end.seconds() % 30 == 0), "{kept}");

    used_until(29);
    let again = sign(&phone);
    assert_eq!((again.status, again.out.as_str()), (75, ""));
    let starts = again.err.starts_with("This code was used already. The next one comes in 2");
    assert!(starts && again.err.ends_with(" s: wait, or use --wait\n"), "{}", again.err);
    let given = sign(&["--code", "123456"]);
    assert_eq!((given.status, given.out.as_str()), (75, ""));
    assert!(given.err.starts_with("A code was used in this step already. "), "{}", given.err);
    assert_eq!(sign(&["--code", "123456", "--wait"]).status, 64, "the same code is still used after the wait");

    used_until(1);
    let waited = sign(&[&phone[..], &["--wait"]].concat());
    assert_eq!(waited.status, 0, "{}", waited.err);
    assert!(waited.err.is_empty() || waited.err == "waiting 1 s for the next code\n", "{}", waited.err);
    assert!(waited.out.contains("\ntotp: "), "{}", waited.out);

    // What was not sent has not used its code.
    fs::remove_file(&record).expect("removed");
    let failed = sign(&[&phone[..], &["--send", "--sendmail", "/bin/false"]].concat());
    assert!(failed.status == 1 && failed.err.contains("nothing was sent"), "{}", failed.err);
    assert_eq!(sign(&[&phone[..], &["--send", "--sendmail", "/nonexistent"]].concat()).status, 1);
    assert!(!record.exists());

    fs::remove_dir_all(test_gateway.path("state")).expect("removed");
    fs::write(test_gateway.path("state"), "not a folder").expect("written");
    let not_recorded = sign(&phone);
    assert_eq!(not_recorded.status, 0, "an emergency does not wait for a home folder");
    assert!(not_recorded.err.contains("the use of this code cannot be recorded"), "{}", not_recorded.err);
}

#[test]
fn an_exclusive_command_waits_for_a_run_that_lives() {
    let test_gateway = CliGateway::new();
    test_gateway.write(
        "commands.d/slow.toml",
        &format!(
            "summary = \"x\"\nrun_as = \"nobody\"\nargv = [\"{}\"]\n[allow.web]\n",
            test_gateway.path("slow").display()
        ),
    );
    // It ends when another one waits for it.
    let home = test_gateway.folder.path().display();
    test_gateway
        .program("slow", &format!("#!/bin/sh\nuntil grep -qs event=waiting {home}/said-*; do sleep 0.05; done\n"));
    test_gateway.run(&["user", "add", "bob", "--address", "bob@example.com", "--role", "web", "--key-file", "bob.key"]);
    let secrets = fs::read_to_string(test_gateway.path("secrets.d/bob.toml")).expect("secrets");
    let url = secrets.split('"').find(|word| word.starts_with("otpauth:")).expect("the URL");
    fs::write(test_gateway.path("bob.phone"), url).expect("a phone");
    fs::set_permissions(test_gateway.path("bob.phone"), fs::Permissions::from_mode(0o600)).expect("a mode");
    let words =
        ["sign", "slow", "--key", "bob.key", "--totp-secret-file", "bob.phone", "--eml", "--from", "bob@example.com"];
    let requests = [test_gateway.eml(&["slow"]), test_gateway.run(&words).out];
    let start = |n: usize, request: &String| {
        let name = format!("request-{n}");
        test_gateway.write(&name, request);
        let file = |name: String| fs::File::create(test_gateway.path(&name)).expect("a file");
        let mut command = test_gateway.command(&["deliver", "--config", "."]);
        command.stdin(fs::File::open(test_gateway.path(&name)).expect("a request"));
        command.stdout(file(format!("reply-{n}"))).stderr(file(format!("said-{n}"))).spawn().expect("the program")
    };
    let deliveries: Vec<_> = requests.iter().enumerate().map(|(n, request)| start(n, request)).collect();
    for mut delivery in deliveries {
        assert!(delivery.wait().expect("its end").success());
    }
    let all = |name: &str| {
        [0, 1].map(|n| fs::read_to_string(test_gateway.path(&format!("{name}-{n}"))).expect("a file")).concat()
    };
    assert_eq!(all("reply").matches("slow: ok").count(), 2, "{}", all("said"));
    assert_eq!(all("said").matches("event=waiting").count(), 1, "one after the other");
}

#[test]
fn the_gateways_folder_may_be_named_first() {
    let test_gateway = CliGateway::new();
    let request = test_gateway.eml(&["say"]);
    let deliver = |words: &[&str]| {
        fs::write(test_gateway.path("request"), &request).expect("a request");
        let input = fs::File::open(test_gateway.path("request")).expect("a request");
        said(test_gateway.command(words).stdin(input).output().expect("the program"))
    };
    for words in
        [&["--nonsense", "deliver"][..], &["--config", ".", "deliver", "--nonsense"], &["--config=.", "--x", "deliver"]]
    {
        let ended = deliver(words);
        assert_eq!((ended.status, ended.out.as_str()), (75, ""), "{words:?}");
        assert_says_only_what_no_log_took(&ended, &format!("{words:?}"));
    }
    let ended = deliver(&["--config", ".", "deliver"]);
    assert!(ended.out.contains("heard: nothing"), "{} {}", ended.status, ended.err);
    assert!(deliver(&["--config=.", "deliver"]).err.contains("reason=duplicate"));
    let listed = said(test_gateway.command(&["--config", ".", "user", "list"]).output().expect("the program"));
    assert!(listed.out.contains("\nalice"), "{}", listed.err);
}

/// pipe(8) puts the line into the mail log, which is the only place left.
#[test]
fn a_deferral_that_no_log_took_is_said_in_one_line() {
    let test_gateway = CliGateway::new();
    let request = test_gateway.eml(&["say"]);
    let settings = fs::read_to_string(test_gateway.path("mailsudo.toml")).expect("the settings");
    test_gateway.write("mailsudo.toml", &settings.replace("to = \"stderr\"", "to = \"/nonexistent/log\""));
    for mail in [request.as_str(), "Subject: no request\n\nhello\n"] {
        let said = test_gateway.run_with(&["deliver"], mail);
        assert_eq!((said.status, said.out.as_str()), (75, ""));
        assert!(said.err.starts_with("mailsudo: deferred (syslog): /nonexistent/log: "), "{}", said.err);
        assert_eq!(said.err.lines().count(), 1, "{}", said.err);
    }
    test_gateway.write("mailsudo.toml", &settings);
    assert_eq!(test_gateway.run_with(&["deliver"], &request).err.matches("deferred").count(), 0);
}

#[test]
fn a_file_that_the_caller_may_not_read_is_named_with_the_chmod() {
    if !rustix::process::geteuid().is_root() {
        // Only root can run it as another account.
        return;
    }
    let test_gateway = CliGateway::new();
    fs::set_permissions(test_gateway.folder.path(), fs::Permissions::from_mode(0o755)).expect("a mode");
    test_gateway.write("request", &test_gateway.eml(&["say"]));
    let explained = || {
        let program = env!("CARGO_BIN_EXE_mailsudo");
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", program, "explain", "--config"]);
        command.arg(test_gateway.folder.path()).stdin(fs::File::open(test_gateway.path("request")).expect("a request"));
        said(command.output().expect("setpriv(1), of util-linux"))
    };
    // Secrets are for a group only. What is named then is mended by the very command, and the next file is named.
    for (name, mode, remedy) in [
        ("mailsudo.toml", 0o600, "chmod 0644"),
        ("secrets.d", 0o700, "chmod 0750"),
        ("secrets.d/alice.toml", 0o600, "chmod 0640"),
        ("users.d", 0o700, "chmod 0755"),
        ("users.d/alice.toml", 0o600, "chmod 0644"),
    ] {
        let path = test_gateway.path(name).canonicalize().expect("a path");
        let named = format!("{} cannot be read by uid 65534", path.display());
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
        let ended = explained();
        let printed = format!("{}{}", ended.out, ended.err);
        assert!(printed.contains(&named), "{name}: {printed}");
        let (_, rest) = printed.split_once("that of service_user: ").expect("a remedy");
        let (line, _) = rest.split_once(". If not").expect("its end");
        assert!(line.contains(remedy), "{name}: {line}");
        assert!(Command::new("sh").args(["-ec", line]).status().expect("sh").success(), "{line}");
        let ended = explained();
        assert!(!format!("{}{}", ended.out, ended.err).contains(&named), "{name}: {}{}", ended.out, ended.err);
    }
}

/// A folder above that is closed is not opened to others: the file must be elsewhere.
#[test]
fn a_file_in_a_closed_folder_is_to_be_put_elsewhere() {
    if !rustix::process::geteuid().is_root() {
        // Only root can run it as another account.
        return;
    }
    let test_gateway = CliGateway::new();
    let closed = test_gateway.path("closed").display().to_string();
    fs::set_permissions(test_gateway.folder.path(), fs::Permissions::from_mode(0o755)).expect("a mode");
    fs::create_dir_all(format!("{closed}/gateway")).expect("a folder");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).expect("a mode");
    let mut command = Command::new("setpriv");
    command.args([
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        env!("CARGO_BIN_EXE_mailsudo"),
        "deliver",
        "--config",
    ]);
    let ended = said(command.arg(format!("{closed}/gateway")).stdin(Stdio::null()).output().expect("setpriv(1)"));
    let wanted = format!("put it into a folder that this uid may enter: {closed} is closed");
    assert!(ended.status == 75 && ended.err.contains(&wanted) && !ended.err.contains("chmod"), "{}", ended.err);
}

/// A parent that ignores SIGCHLD leaves wait(2) with ECHILD (docs/measurements.md#waiting-for-a-child).
#[test]
fn what_the_parent_ignores_changes_nothing() {
    let test_gateway = CliGateway::new();
    let request = test_gateway.eml(&["say"]);
    fs::write(test_gateway.path("mail"), &request).expect("a mail");
    let script = "import os, signal, sys\n\
                  for name in ('SIGCHLD', 'SIGXFSZ', 'SIGPIPE', 'SIGTERM'): signal.signal(getattr(signal, name), signal.SIG_IGN)\n\
                  signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])\n\
                  os.execv(sys.argv[1], sys.argv[1:])";
    let output = Command::new("python3")
        .args(["-c", script, env!("CARGO_BIN_EXE_mailsudo"), "deliver", "--config"])
        .arg(test_gateway.folder.path())
        .stdin(fs::File::open(test_gateway.path("mail")).expect("a mail"))
        .output();
    let said = said(output.expect("python3: apt-get install python3"));
    assert_eq!(said.status, 0, "{}", said.err);
    assert!(said.out.contains("ok: say"), "{}{}", said.out, said.err);
}
