//! The sysadmin's commands, through the built binary: what they print, change and refuse to do without being asked.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::cli::{CliGateway, Said, mode};
use serde_json::Value;

/// The gateway, with a command of two parameters and a second user.
fn test_gateway() -> CliGateway {
    let test_gateway = CliGateway::new();
    test_gateway.write(
        "commands.d/restart.toml",
        "summary = \"Restart a service\"\nrun_as = \"root\"\nargv = [\"/bin/echo\", \"{service}\", \"--level={level}\"]\n\
         timeout = \"5s\"\n[parameters.service]\none_of = [\"nginx\", \"php\"]\n\
         [parameters.level]\ninteger = { min = 1, max = 2 }\ndefault = 1\n[allow.oncall]\n[allow.web]\nservice = [\"nginx\"]\n",
    );
    let added = test_gateway.run(&[
        "user",
        "add",
        "bob",
        "--address",
        "bob@example.com",
        "--role",
        "oncall",
        "--key-file",
        "bob.key",
    ]);
    assert_eq!(added.status, 0, "{}", added.err);
    test_gateway
}

fn json(said: &Said) -> Value {
    assert_eq!(said.status, 0, "{}", said.err);
    serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {}", said.out))
}

#[test]
fn commands_are_listed_and_shown() {
    let test_gateway = test_gateway();
    let list = test_gateway.run(&["command", "list"]);
    assert_eq!(
        list.out,
        "NAME     RUN AS  ROLES       SUMMARY\nrestart  root    oncall,web  Restart a service\nsay      nobody  web         \
         Say it\n"
    );
    let show = test_gateway.run(&["command", "show", "restart"]).out;
    for line in [
        "restart: Restart a service",
        "runs as    root",
        "parameter  level: a whole number from 1 to 2; 1 if not given",
        "role       oncall: every value",
        "role       web: service: nginx",
        "  /bin/echo nginx --level=1",
        "  /bin/echo php --level=2",
    ] {
        assert!(show.lines().any(|found| found == line), "{line}: {show}");
    }
    let all = json(&test_gateway.run(&["command", "list", "--json"]));
    assert_eq!(all[0]["argument_vectors"].as_array().map(Vec::len), Some(4));
    assert!(test_gateway.run(&["command", "show", "nothing"]).err.contains("mailsudo command list"));
}

#[test]
fn may_says_which_rule_decides() {
    let test_gateway = test_gateway();
    for (words, status, wanted) in [
        (&["may", "alice", "restart", "service=nginx"][..], 0, "permit: [allow.web] in commands.d/restart.toml"),
        (&["may", "bob", "restart", "service=php", "level=2"], 0, "permit: [allow.oncall]"),
        (&["may", "alice", "restart", "service=php"], 1, "deny: `service` must be one of nginx"),
        (&["may", "alice", "restart", "service=nginx", "level=3"], 1, "deny: `level` must be a whole number"),
        (&["may", "alice", "restart"], 1, "deny: `service` is missing"),
        (&["may", "bob", "say"], 1, "deny: commands.d/say.toml has no [allow]"),
        (&["may", "alice", "restart", "service=nginx", "service=nginx"], 1, "deny: `service` is given twice"),
        (&["may", "alice", "nothing"], 1, "deny: there is no commands.d/nothing.toml"),
        (&["may", "eve", "say"], 1, "deny: there is no user eve"),
        (&["may", "bob", "help"], 0, "permit: help is built in"),
    ] {
        let said = test_gateway.run(words);
        assert_eq!(said.status, status, "{words:?}: {}", said.out);
        assert!(said.out.starts_with(wanted), "{words:?}: {}", said.out);
    }
    let permit = json(&test_gateway.run(&["may", "bob", "restart", "service=php", "--json"]));
    assert!(permit["permit"] == true && permit["why"].as_str().is_some_and(|why| why.starts_with("[allow.oncall]")));
    test_gateway.run(&["user", "disable", "alice"]);
    assert!(test_gateway.run(&["may", "alice", "help"]).out.starts_with("deny: alice is disabled"));
}

#[test]
fn users_are_listed_shown_disabled_and_removed() {
    let test_gateway = test_gateway();
    let list = test_gateway.run(&["user", "list"]).out;
    assert_eq!(
        list,
        "NAME   ENABLED  ADDRESS            ROLES\nalice  yes      alice@example.com  web\nbob    yes      bob@example.com    \
         oncall\n"
    );
    let show = json(&test_gateway.run(&["user", "show", "alice", "--json"]));
    assert_eq!((&show["enabled"], &show["secrets"]), (&Value::Bool(true), &Value::Bool(true)));
    assert!(test_gateway.run(&["user", "show", "eve"]).err.contains("mailsudo user list"));

    test_gateway
        .write("users.d/alice.toml", "# keep me\naddress = \"alice@example.com\"\nroles = [\"web\"] # and me\n");
    assert_eq!(test_gateway.run(&["user", "disable", "alice"]).out, "alice is disabled.\n");
    let file = fs::read_to_string(test_gateway.path("users.d/alice.toml")).expect("the file");
    assert_eq!(file, "# keep me\naddress = \"alice@example.com\"\nroles = [\"web\"] # and me\nenabled = false\n");
    assert_eq!(mode(&test_gateway.path("users.d/alice.toml")), 0o644);
    assert!(test_gateway.run_with(&["deliver"], &test_gateway.eml(&["say"])).err.contains("reason=disabled"));
    assert_eq!(test_gateway.run(&["user", "enable", "alice"]).out, "alice is enabled.\n");
    assert_eq!(test_gateway.run(&["user", "enable", "alice"]).out, "alice is enabled already.\n");

    assert!(test_gateway.run(&["user", "remove", "bob"]).err.contains("--yes"), "a prompt never blocks a script");
    assert!(test_gateway.run(&["user", "remove", "bob", "--dry-run"]).out.contains("Nothing was changed"));
    assert!(test_gateway.path("secrets.d/bob.toml").exists());
    assert_eq!(test_gateway.run(&["user", "remove", "bob", "--yes"]).status, 0);
    assert!(!test_gateway.path("secrets.d/bob.toml").exists() && !test_gateway.path("users.d/bob.toml").exists());
    assert!(test_gateway.run(&["user", "remove", "bob", "--yes"]).err.contains("there is no user bob"));
}

#[test]
fn enrolling_shows_a_qr_code_and_says_what_it_would_do() {
    let test_gateway = test_gateway();
    let dry = test_gateway.run(&["user", "add", "carol", "--address", "c@example.com", "--dry-run"]);
    assert!(dry.out.contains("users.d/carol.toml would be written"), "{}", dry.out);
    assert!(!test_gateway.path("users.d/carol.toml").exists());
    let line = format!("{} user add carol --address c@example.com --config .", env!("CARGO_BIN_EXE_mailsudo"));
    let terminal = std::process::Command::new("script")
        .args(["--quiet", "--return", "--command", &line, "/dev/null"])
        .current_dir(test_gateway.folder.path())
        .stdin(std::process::Stdio::null())
        .output();
    let added = crate::cli::said(terminal.expect("script(1), which makes a terminal (package bsdutils)"));
    assert!(
        added.out.contains('█') && added.out.contains("otpauth://totp/mailsudo%20berlin:carol?secret="),
        "{}",
        added.out
    );
    assert_eq!(mode(&test_gateway.path("berlin.carol.toml")), 0o600, "the key file has a name that says what it is");
}

#[test]
fn rotation_overlaps_for_keys_and_not_for_phones() {
    let test_gateway = test_gateway();
    let old = test_gateway.eml(&["say", "what=old"]);
    let rotated = test_gateway.run(&["user", "rotate", "alice", "--hmac", "--overlap", "2d", "--key-file", "new.key"]);
    assert_eq!(rotated.status, 0, "{}", rotated.err);
    assert!(test_gateway.run(&["user", "show", "alice"]).out.contains("old key  valid for requests signed up to"));
    assert!(test_gateway.run_with(&["deliver"], &old).out.contains("heard: old"), "the old key still counts");
    fs::rename(test_gateway.path("new.key"), test_gateway.path("alice.key")).expect("the new key file");
    // In the same step the code is used; on a slow host the next step may have begun.
    let new = test_gateway.run_with(&["deliver"], &test_gateway.eml(&["say"]));
    assert!(new.err.contains("used-code") || new.out.contains("heard: "), "the new one counts too: {}", new.err);

    let rotated = test_gateway.run(&["user", "rotate", "alice", "--totp"]);
    assert!(rotated.out.contains("the old one is no longer valid"), "{}", rotated.err);
    let secrets = fs::read_to_string(test_gateway.path("secrets.d/alice.toml")).expect("secrets");
    assert!(secrets.contains("[previous]"), "the key's overlap goes on");
    assert_eq!(test_gateway.run(&["user", "rotate", "alice"]).status, 64);
    assert_eq!(test_gateway.run(&["user", "rotate", "alice", "--totp", "--overlap", "2d"]).status, 64);
}

#[test]
fn a_code_is_tested_without_being_used() {
    let test_gateway = test_gateway();
    let url = fs::read_to_string(test_gateway.path("phone")).expect("the phone");
    let factor = mailsudo::authenticate::Factor::from_url(&url).expect("a factor");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a time").as_secs();
    let test = |seconds: i64| {
        let time = mailsudo::protocol::Timestamp::from_seconds(now.cast_signed() + seconds);
        let code = factor.code_at(time).expect("a code");
        test_gateway.run(&["user", "test", "alice", "--code", code.as_str()])
    };
    assert!(test(0).out.contains("agree"));
    let ahead = test(600);
    assert_eq!(ahead.status, 1);
    assert!(ahead.out.contains("ahead by 20 steps") || ahead.out.contains("ahead by 19 steps"), "{}", ahead.out);
    assert!(test(-900).out.contains("behind by"));
    assert_eq!(test_gateway.run(&["user", "test", "alice", "--code", "12345678"]).status, 1);
    assert!(test_gateway.run(&["user", "test", "alice"]).err.contains("no terminal"));
}

#[test]
fn the_log_shows_how_requests_ended() {
    let test_gateway = test_gateway();
    let code = test_gateway.code();
    test_gateway.run_with(&["deliver"], &test_gateway.eml_with(&code, &["say", "what=one"]));
    test_gateway.run_with(&["deliver"], &test_gateway.eml_with(&code, &["restart", "service=php"]));
    let all = json(&test_gateway.run(&["log", "--json"]));
    let all = all.as_array().expect("a list");
    assert_eq!(all.len(), 2);
    assert_eq!(
        (all[0]["command"].as_str(), all[0]["reason"].as_str()),
        (Some("restart"), Some("used-code")),
        "newest first"
    );
    assert_eq!((all[1]["result"].as_str(), all[1]["argv"][1].as_str()), (Some("exit-0"), Some("heard: one")));
    for (words, count) in [
        (&["log", "--user", "alice", "--json"][..], 2),
        (&["log", "--user", "bob", "--json"], 0),
        (&["log", "--command", "say", "--json"], 1),
        (&["log", "--state", "refused", "--json"], 1),
        (&["log", "--since", "1h", "--json"], 2),
        (&["log", "--until", "2020-01-01T00:00:00Z", "--json"], 0),
        (&["log", "--limit", "1", "--json"], 1),
    ] {
        assert_eq!(json(&test_gateway.run(words)).as_array().map(Vec::len), Some(count), "{words:?}");
    }
    let text = test_gateway.run(&["log"]).out;
    assert!(
        text.contains("alice") && text.contains("refused used-code") && !text.contains('\u{1b}'),
        "no colours: {text}"
    );
    let id = all[1]["id"].as_str().expect("an id");
    let show = test_gateway.run(&["log", "show", id]).out;
    assert!(show.contains("argv        /bin/echo heard: one\n") && show.contains("heard: one\n"), "{show}");
    assert!(test_gateway.run(&["log", "show", "ffffffffffff"]).err.contains("mailsudo log"));
    assert!(test_gateway.run(&["log", "show", "xyz"]).err.contains("hex digits"));
    assert_eq!(test_gateway.run(&["log", "--since", "yesterday"]).status, 64);
    let shown = text.lines().nth(1).and_then(|line| line.get(14..40)).expect("the time of the newest");
    for (since, count) in
        [(shown, 2), ("2020-01-01", 2), ("2020-01-01 10:15", 2), ("2020-01-01T00:00:00Z", 2), ("2100-01-01", 0)]
    {
        let said = json(&test_gateway.run(&["log", "--json", "--since", since]));
        let found = said.as_array().map(Vec::len);
        assert!(found == Some(count) || since == shown && found == Some(1), "{since}: {said}");
    }
}

#[test]
fn explain_changes_nothing() {
    let test_gateway = test_gateway();
    let request = test_gateway.eml(&["say", "what=one"]);
    let explained = test_gateway.run_with(&["explain"], &request);
    assert_eq!(explained.status, 0, "{}", explained.err);
    for line in [
        "message: From alice@example.com",
        "  totp: (not shown)",
        "  command: say",
        "mac: right, under the current key of alice",
        "ledger: this request is new",
        "code: right, step ",
        "role: web permits it",
        "command: /bin/echo heard: one as nobody",
        "would run: /usr/bin/timeout --kill-after=5s 60s /bin/echo heard: one",
    ] {
        assert!(explained.out.lines().any(|found| found.starts_with(line)), "{line}: {}", explained.out);
    }
    let code = request.lines().find_map(|line| line.strip_prefix("totp: ")).expect("a code");
    assert!(!explained.out.contains(code), "no code is shown");
    // The age differs where a second has passed.
    let without_age = |out: &str| out.lines().filter(|line| !line.starts_with("age: ")).collect::<Vec<_>>().join("\n");
    let again = test_gateway.run_with(&["explain"], &request).out;
    assert_eq!(without_age(&again), without_age(&explained.out), "and again");
    assert!(test_gateway.run_with(&["deliver"], &request).out.contains("heard: one"), "it was not used up");
    let after = test_gateway.run_with(&["explain"], &request);
    assert_eq!(after.status, 1);
    assert!(after.out.contains("duplicate: nothing is run again"), "{}", after.out);
    let forged = test_gateway.run_with(&["explain"], &request.replace("what=one", "what=two"));
    assert!(
        forged.out.contains("refused: bad-mac") && forged.out.contains("answered: no\nnext: alice is known"),
        "{}",
        forged.out
    );
    let bob = request.replace("alice@example.com", "eve@example.com");
    assert!(test_gateway.run_with(&["explain"], &bob).out.contains("refused: foreign-from"));
    assert!(test_gateway.run_with(&["explain"], "From: a@b\n\nhello").out.contains("refused: not-a-request"));
}

#[test]
fn ledger_commands_maintain_the_ledger() {
    let test_gateway = test_gateway();
    test_gateway.run_with(&["deliver"], &test_gateway.eml(&["say"]));
    let status = json(&test_gateway.run(&["ledger", "status", "--json"]));
    assert_eq!((status["requests"].as_u64(), status["integrity"].as_str()), (Some(1), None));
    let sound = "The ledger is sound, and holds 1 request.\n";
    assert_eq!(test_gateway.run(&["ledger", "check"]).out, sound);
    assert_eq!(test_gateway.run(&["ledger", "backup", "copy.db"]).status, 0);
    assert_eq!(mode(&test_gateway.path("copy.db")), 0o600);
    let copy = rusqlite::Connection::open(test_gateway.path("copy.db")).expect("the copy");
    let count: u32 = copy.query_row("SELECT count(*) FROM requests", [], |row| row.get(0)).expect("a count");
    assert_eq!(count, 1, "the write-ahead log is in it");
    assert!(test_gateway.run(&["ledger", "backup", "copy.db"]).err.contains("exists already"));
    assert_eq!(test_gateway.run(&["ledger", "prune", "--older-than", "6d", "--yes"]).status, 64, "never under a week");
    assert!(test_gateway.run(&["ledger", "prune", "--older-than", "7d"]).err.contains("--yes"));
    let live = rusqlite::Connection::open(test_gateway.path("ledger/ledger.db")).expect("the ledger");
    let age = "UPDATE requests SET signed = signed - 864000, handed_over = handed_over - 864000";
    live.execute(age, []).expect("aged");
    drop(live);
    assert!(test_gateway.run(&["ledger", "prune", "--older-than", "7d", "--yes"]).out.contains("Removed: 1."));
    assert!(test_gateway.run(&["ledger", "status"]).out.contains("pruned     up to "));
    assert_eq!(test_gateway.run(&["ledger", "vacuum"]).status, 0);
}

/// SQLite's copies have no write-ahead log, on which the ledger's commits rest.
#[test]
fn a_backup_that_is_put_back_is_written_to_as_the_ledger_was() {
    let test_gateway = test_gateway();
    let code = test_gateway.code();
    test_gateway.run_with(&["deliver"], &test_gateway.eml_with(&code, &["say"]));
    assert_eq!(test_gateway.run(&["ledger", "backup", "copy.db"]).status, 0);
    for name in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
        fs::remove_file(test_gateway.path("ledger").join(name)).expect("removed");
    }
    fs::rename(test_gateway.path("copy.db"), test_gateway.path("ledger/ledger.db")).expect("put back");
    let said = test_gateway.run_with(&["deliver"], &test_gateway.eml_with(&code, &["status"]));
    assert!(said.err.contains("reason=used-code"), "the copy is the memory: {}", said.err);
    // sqlite.org/fileformat2.html, 1.3.3: 2 for a write-ahead log.
    let header = fs::read(test_gateway.path("ledger/ledger.db")).expect("the ledger");
    assert_eq!(header.get(18..20), Some(&[2, 2][..]));
    assert!(test_gateway.path("ledger/ledger.db-wal").exists());
}

#[test]
fn metrics_count_the_ledger() {
    let test_gateway = test_gateway();
    test_gateway.run_with(&["deliver"], &test_gateway.eml(&["say"]));
    let text = test_gateway.run(&["metrics"]).out;
    for sample in [
        "mailsudo_requests_total{gateway=\"berlin\",result=\"succeeded\",reason=\"\"} 1\n",
        "mailsudo_commands_total{gateway=\"berlin\",command=\"say\",result=\"succeeded\"} 1\n",
        "mailsudo_command_duration_seconds_count{gateway=\"berlin\"} 1\n",
        "mailsudo_replies_total{gateway=\"berlin\"} 1\n",
        "mailsudo_ledger_requests{gateway=\"berlin\"} 1\n",
    ] {
        assert!(text.contains(sample), "{sample}: {text}");
    }
    assert_eq!(test_gateway.run(&["metrics", "--output", "mailsudo.prom"]).out, "");
    assert_eq!(fs::read_to_string(test_gateway.path("mailsudo.prom")).expect("the file"), text);
}

#[test]
fn a_report_says_who_ran_what() {
    let test_gateway = test_gateway();
    test_gateway.run_with(&["deliver"], &test_gateway.eml(&["say"]));
    let text = test_gateway.run(&["report"]).out;
    assert!(text.contains("mailsudo berlin: 1 request\n") && text.contains("1 ok, 0 failed, 0 refused"), "{text}");
    assert!(text.contains("  say  ") && text.contains("  alice  ") && text.contains("Slowest runs"), "{text}");
    let page = test_gateway.run(&["report", "--html", "--since", "36500d"]).out;
    assert!(page.starts_with("<!doctype html>") && page.contains("<td>say</td><td>1</td>"), "{page}");
    let too_long = test_gateway.run(&["report", "--since", "99999999999999d"]);
    assert!(too_long.status == 64 && too_long.err.contains("at most 36500d"), "{}", too_long.err);
    for (words, requests) in [
        (&["--since", "2026-01-01"][..], "1 request\n"),
        (&["--since", "2026-01-01T00:00:00Z", "--until", "36500d"], "would end before it begins"),
        (&["--since", "2100-01-01"], "would end before it begins"),
        (&["--until", "9999-12-30"], "1 request\n"),
        (&["--since", "2026-01-01 00:00", "--until", "2026-01-02"], "0 requests\nfrom 2026-01-01 00:00:00 "),
        (&["--since", "yesterday"], "a day (2026-11-23)"),
    ] {
        let said = test_gateway.run(&[&["report"], words].concat());
        let status = if requests.contains("request") { 0 } else { 64 };
        assert_eq!(said.status, status, "{words:?}: {}", said.err);
        assert!(said.out.contains(requests) || said.err.contains(requests), "{words:?}: {}{}", said.out, said.err);
    }
    let sendmail = test_gateway.path("sendmail");
    test_gateway.program("sendmail", &format!("#!/bin/sh\nexec cat >{}\n", test_gateway.path("sent").display()));
    let via = sendmail.display().to_string();
    let sent = test_gateway.run(&["report", "--to", "root@example.com", "--reply-via", &via]);
    assert_eq!(sent.out, "The report was sent to root@example.com.\n");
    let mail = fs::read_to_string(test_gateway.path("sent")).expect("a mail");
    assert!(mail.contains("Subject: mailsudo berlin: report from 20") && mail.contains("1 request\n"), "{mail}");
}

#[test]
fn a_lockout_is_shown_and_ended() {
    let test_gateway = test_gateway();
    for n in 0..5 {
        let key = [
            "sign",
            "say",
            "--key",
            "alice.key",
            "--code",
            &format!("{n}{n}{n}{n}{n}{n}99"),
            "--eml",
            "--from",
            "alice@example.com",
        ];
        test_gateway.run_with(&["deliver"], &test_gateway.run(&key).out);
    }
    let show = test_gateway.run(&["user", "show", "alice"]).out;
    assert!(show.contains("lockout  until "), "{show}");
    assert_eq!(test_gateway.run(&["user", "unlock", "alice"]).out, "alice is no longer locked out.\n");
    assert!(test_gateway.run(&["user", "show", "alice"]).out.contains("lockout  none"));
    assert!(test_gateway.run_with(&["deliver"], &test_gateway.eml(&["say"])).out.contains("heard: nothing"));
}

/// What is only planned is not said to be done: before a question and in a dry run.
#[test]
fn a_plan_reads_as_a_plan() {
    let test_gateway = test_gateway();
    test_gateway.run_with(&["deliver"], &test_gateway.eml(&["say"]));
    let say = fs::read_to_string(test_gateway.path("commands.d/say.toml")).expect("a command");
    test_gateway.write("commands.d/say.toml", &say.replace("heard: ", "heard:").replace("[a-z ]", "[a-z]"));
    for words in [
        &["user", "remove", "bob", "--dry-run"][..],
        &["user", "disable", "bob", "--dry-run"],
        &["user", "unlock", "bob", "--dry-run"],
        &["user", "rotate", "bob", "--totp", "--dry-run"],
        &["user", "rotate", "bob", "--hmac", "--dry-run"],
        &["user", "add", "carol", "--address", "c@example.com", "--role", "web", "--dry-run"],
        &["ledger", "init", "--dry-run"],
        &["ledger", "vacuum", "--dry-run"],
        &["ledger", "backup", "copy.db", "--dry-run"],
        &["ledger", "prune", "--older-than", "30d", "--dry-run"],
        &["sudoers", "--install", "--file", "rules", "--dry-run"],
    ] {
        let said = test_gateway.run(words);
        assert_eq!(said.status, 0, "{words:?}: {}", said.err);
        assert!(said.out.contains(" would ") || said.out.contains("would be"), "{words:?}: {}", said.out);
        for done in [" goes", " is removed", " is installed", " will ", "Removed:"] {
            assert!(!said.out.contains(done), "{words:?}: {}", said.out);
        }
    }
    let asked = test_gateway.run(&["user", "remove", "bob"]);
    assert!(asked.status == 64 && asked.out.contains("users.d/bob.toml would be removed"), "{}", asked.out);
    assert!(test_gateway.path("users.d/bob.toml").exists() && !test_gateway.path("rules").exists());
}

#[test]
fn check_finds_what_is_broken_and_says_what_to_do() {
    let test_gateway = test_gateway();
    let found = |test_gateway: &CliGateway| {
        let said = test_gateway.run(&["check", "--json"]);
        let report: Value = serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {}", said.out));
        let words = report["findings"].as_array().expect("a list").iter().filter(|one| one["level"] != "ok");
        words
            .map(|one| format!("{}: {} -> {}", one["about"], one["what"], one["remedy"]))
            .collect::<Vec<_>>()
            .join("\n")
    };
    let before = found(&test_gateway);
    let breaks = |name: &str, content: &str, mode: u32, wanted: &str| {
        let path = test_gateway.path(name);
        let former = fs::read(&path).ok();
        fs::write(&path, content).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
        let now = found(&test_gateway);
        assert!(!before.contains(wanted) && now.contains(wanted), "{name}: {wanted}: {now}");
        match former {
            Some(former) => fs::write(&path, former).expect("written"),
            None => fs::remove_file(&path).expect("removed"),
        }
        if path.exists() {
            let mode = if name.starts_with("secrets") { 0o600 } else { 0o644 };
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
        }
    };
    breaks("commands.d/bad.toml", "argv = 1", 0o644, "bad.toml:1");
    breaks(
        "commands.d/gone.toml",
        "summary = \"x\"\nrun_as = \"root\"\nargv = [\"/nowhere/x\"]\n[allow.web]\n",
        0o644,
        "/nowhere/x",
    );
    breaks(
        "commands.d/nobody.toml",
        "summary = \"x\"\nrun_as = \"root\"\nargv = [\"/bin/true\"]\n",
        0o644,
        "no role may run nobody",
    );
    breaks(
        "commands.d/role.toml",
        "summary = \"x\"\nrun_as = \"root\"\nargv = [\"/bin/true\"]\n[allow.dba]\n",
        0o644,
        "the role dba, which no user holds",
    );
    breaks("users.d/eve.toml", "address = \"eve@example.com\"\nroles = []\n", 0o644, "eve has no secrets");
    breaks(
        "users.d/bob.toml",
        "address = \"OPS@example.com\"\nroles = [\"oncall\"]\n",
        0o644,
        "the gateway's own address",
    );
    breaks(
        "users.d/bob.toml",
        "address = \"b@example.com\"\nroles = [\"typo\"]\n",
        0o644,
        "the role typo, which no command allows",
    );
    breaks("secrets.d/bob.toml", "hmac_key = 1", 0o600, "secrets.d/bob.toml:1");
    breaks("secrets.d/stray.toml", "hmac_key = 1", 0o600, "belongs to no user");
    breaks("mailsudo.toml", "gateway = 1", 0o644, "mailsudo.toml:1");
    assert_eq!(test_gateway.run(&["check", "--quiet"]).status, 2, "no Postfix, and a service user that is not there");
}

#[test]
fn completion_offers_the_gateways_own_names() {
    let test_gateway = test_gateway();
    let offered = |words: &[&str]| {
        let mut command = test_gateway.command(&["--", "mailsudo"]);
        command.args(words).env("COMPLETE", "bash").env("_CLAP_COMPLETE_INDEX", words.len().to_string());
        crate::cli::said(command.output().expect("the program")).out
    };
    assert_eq!(offered(&["command", "show", "--config=.", "re"]), "restart");
    assert_eq!(offered(&["user", "show", "--config=.", "a"]), "alice");
    let values = offered(&["may", "--config=.", "alice", "restart", "ser"]);
    assert!(values.contains("service=nginx") && values.contains("service=php"), "{values}");
    for shell in ["bash", "zsh", "fish"] {
        let script = crate::cli::said(test_gateway.command(&[]).env("COMPLETE", shell).output().expect("the program"));
        assert!(script.out.contains("mailsudo"), "{shell}: {}", script.err);
    }
}

#[test]
fn check_draws_no_conclusion_from_files_that_it_could_not_read() {
    let test_gateway = test_gateway();
    test_gateway.write("commands.d/Bad Name.toml", "summary = \"x\"\n");
    let said = test_gateway.run(&["check", "--quiet"]).out;
    assert!(said.contains("Bad Name.toml") && said.contains("rename the file"), "{said}");
    for conclusion in ["there are no commands", "which no command allows", "sudoers --install"] {
        assert!(!said.contains(conclusion), "{said}");
    }
}

/// The package's example has no user. A gateway that has one keeps its name, or its users' key files would be for
/// another.
#[test]
fn setup_takes_only_an_unused_gateway_for_the_example() {
    let gateway = CliGateway::new();
    let configured = || mailsudo::setup::configured(gateway.folder.path()).map(|(name, _)| name.to_string());
    assert!(gateway.run(&["config", "show"]).out.contains("\"ops@example.com\""), "the example's address");
    assert_eq!(configured().as_deref(), Some("berlin"));
    for entry in fs::read_dir(gateway.path("users.d")).expect("a list") {
        fs::remove_file(entry.expect("an entry").path()).expect("removed");
    }
    assert_eq!(configured(), None);
    gateway.write("mailsudo.toml", "gateway = \"berlin\"\naddress = \"ops@elsewhere.example\"\n");
    assert_eq!(configured().as_deref(), Some("berlin"));
}

#[test]
fn a_lockdown_is_one_command_and_is_recorded() {
    let test_gateway = test_gateway();
    assert_eq!(test_gateway.run(&["ledger", "init"]).status, 0);
    assert_eq!(test_gateway.run(&["lockdown", "--except", "eve"]).status, 1, "there is no such user");
    let begun = test_gateway.run(&["lockdown", "--except", "alice"]);
    assert!(begun.status == 0 && begun.err.contains("event=lockdown state=begun except=alice"), "{}", begun.err);
    assert_eq!(mode(&test_gateway.path("lockdown.toml")), 0o644);
    let warned = test_gateway.run(&["check"]).out;
    assert!(warned.contains("locked down: requests of alice are accepted, and all others refused"), "{warned}");
    assert!(warned.contains("lockdown --end"), "{warned}");
    let ended = test_gateway.run(&["lockdown", "--end"]);
    assert!(ended.status == 0 && ended.err.contains("event=lockdown state=ended"), "{}", ended.err);
    assert!(!test_gateway.path("lockdown.toml").exists());
    // A damaged file defers every mail: the command replaces it, and removes it.
    for words in [&["lockdown", "--except", "alice"][..], &["lockdown", "--end"]] {
        test_gateway.write("lockdown.toml", "users = [");
        let done = test_gateway.run(words);
        assert_eq!(done.status, 0, "{words:?}: {}", done.err);
    }
    assert!(!test_gateway.path("lockdown.toml").exists());
    assert!(!test_gateway.run(&["check"]).out.contains("locked down"));
    assert_eq!(test_gateway.run(&["user", "disable", "bob"]).status, 0);
    let verified = json(&test_gateway.run(&["log", "--verify", "--json"]));
    assert_eq!((&verified["whole"], &verified["events"]), (&Value::Bool(true), &Value::from(5)));
}

#[test]
fn all_users_get_new_secrets_at_once() {
    let test_gateway = test_gateway();
    let before = ["alice", "bob"]
        .map(|name| fs::read_to_string(test_gateway.path(&format!("secrets.d/{name}.toml"))).expect("secrets"));
    let folder = test_gateway.path("new").display().to_string();
    assert_eq!(test_gateway.run(&["user", "rotate", "--all"]).status, 64, "it needs a folder");
    let done = test_gateway.run(&["user", "rotate", "--all", "--output", &folder]);
    assert_eq!(done.status, 0, "{}", done.err);
    assert_eq!(mode(&test_gateway.path("new")), 0o700);
    for (name, before) in ["alice", "bob"].iter().zip(before) {
        let now = fs::read_to_string(test_gateway.path(&format!("secrets.d/{name}.toml"))).expect("secrets");
        assert!(!now.contains("[previous]"), "the old ones are invalid");
        for line in before.lines() {
            assert!(!now.contains(line), "{line}");
        }
        let key = fs::read_to_string(test_gateway.path(&format!("new/berlin.{name}.toml"))).expect("a key file");
        let own = key.lines().find(|line| line.starts_with("hmac_key")).expect("a key");
        assert!(now.contains(own), "the user's key is the gateway's");
        let url = fs::read_to_string(test_gateway.path(&format!("new/{name}.otpauth"))).expect("a URL");
        assert!(now.contains(url.trim()));
        assert_eq!(mode(&test_gateway.path(&format!("new/{name}.otpauth"))), 0o600);
    }
    assert_eq!(test_gateway.run(&["user", "rotate", "--all", "--output", &folder]).status, 1, "nothing is overwritten");
}

#[test]
fn an_export_of_the_chain_is_signed_and_complete() {
    let test_gateway = test_gateway();
    assert_eq!(test_gateway.run(&["ledger", "init"]).status, 0);
    for words in [["user", "disable", "bob"], ["user", "enable", "bob"]] {
        assert_eq!(test_gateway.run(&words).status, 0);
    }
    let path = |name: &str| test_gateway.path(name).display().to_string();
    let made =
        std::process::Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f", &path("key")]).status();
    assert!(made.expect("ssh-keygen: apt-get install openssh-client").success());
    let file = path("audit.jsonl");
    let done = test_gateway.run(&["log", "export", "--sign", &path("key"), &file]);
    assert_eq!(done.status, 0, "{}", done.err);
    let lines = fs::read_to_string(&file).expect("the events");
    assert_eq!(lines.lines().count(), 2);
    let manifest = fs::read_to_string(format!("{file}.manifest.json")).expect("the manifest");
    let manifest: Value = serde_json::from_str(&manifest).expect("JSON");
    let last: Value = serde_json::from_str(lines.lines().last().expect("a line")).expect("JSON");
    assert_eq!((&manifest["head"], &manifest["events"]), (&last["head"], &Value::from(2)));
    assert_eq!(last["event"]["change"], "user enable bob");
    let public = fs::read_to_string(path("key.pub")).expect("a key");
    fs::write(path("signers"), format!("audit {public}")).expect("a file");
    let verify = format!(
        "ssh-keygen -Y verify -f {0} -I audit -n mailsudo-export -s {1}.manifest.json.sig < {1}.manifest.json && \
         echo '{2}  {1}' | sha256sum -c",
        path("signers"),
        file,
        manifest["sha256"].as_str().expect("a digest")
    );
    let verified = std::process::Command::new("sh").args(["-c", &verify]).output().expect("sh");
    assert!(verified.status.success(), "{verified:?}");
    assert_eq!(test_gateway.run(&["log", "export", &file]).status, 1, "nothing is overwritten");
}
