//! What happens around a run: limits, endless output, daemons, exclusive commands, built-in commands, a sudo that
//! refuses.

use crate::common::{KEY, TestGateway, block, context, deliver, mail};
use mailsudo::protocol::{Timestamp, Verdict};
use mailsudo::system::clock::Clock;

/// The text of a reply, decoded, after its block has been found genuine.
fn text(reply: &str) -> String {
    let texts = mailsudo::intake::readable(reply.as_bytes());
    let key = mailsudo::protocol::Key::from_hex(KEY).expect("a key");
    let verdict = mailsudo::protocol::verify_reply(&texts[0], &key);
    assert!(matches!(verdict, Verdict::Genuine(_)), "{verdict:?} {reply}");
    texts[0].clone()
}

/// Runs `count` with `hook` as what the command does.
fn run(test_gateway: &mut TestGateway, hook: &str) -> String {
    test_gateway.clock.forward(60);
    test_gateway.write("hook", 0o644, hook);
    let ended = test_gateway.deliver(&test_gateway.request("count", &[]));
    text(ended.reply())
}

#[test]
fn the_reply_begins_with_the_outcome() {
    let mut test_gateway = TestGateway::new();
    for (hook, first, result) in [
        ("", "ok: count", "exit-0"),
        ("exit 3", "failed (exit 3): count", "exit-3"),
        ("exit 124", "failed (exit 124): count", "exit-124"),
        ("kill -TERM $$", "killed (signal 15): count", "signal-15"),
    ] {
        let text = run(&mut test_gateway, hook);
        assert!(text.starts_with(&format!("{first}\n")), "{text}");
        assert!(text.contains(&format!("\nresult: {result}\n")), "{text}");
    }
    test_gateway.clock.forward(60);
    test_gateway.write("hook", 0o644, "");
    let ended = test_gateway.deliver(&test_gateway.request("restart", &[("service", "nginx")]));
    assert!(ended.reply().contains("\nSubject: [berlin] restart service=nginx: ok\n"), "{ended:?}");
    for field in [
        "From: <ops@example.com>",
        "To: <alice@example.com>",
        "Auto-Submitted: auto-replied",
        "X-Auto-Response-Suppress: All",
        "In-Reply-To: <1@example.com>",
        "References: <1@example.com>",
        "Mailsudo-Gateway: berlin",
    ] {
        assert!(
            ended.reply().contains(&format!("\n{field}\n")) || ended.reply().starts_with(field),
            "{field}: {ended:?}"
        );
    }
    assert!(!ended.reply().contains('\r'));
}

#[test]
fn a_command_over_its_limit_is_ended_and_said_to_be() {
    let mut test_gateway = TestGateway::new();
    let toml = std::fs::read_to_string(test_gateway.path("commands.d/count.toml")).expect("a command");
    test_gateway.write("commands.d/count.toml", 0o644, &toml.replace("timeout = \"30s\"", "timeout = \"1s\""));
    let text = run(&mut test_gateway, "echo begun; sleep 600");
    assert!(text.starts_with("timed out: count\n") && text.contains("begun"), "{text}");
    assert!(text.contains("\nresult: timed-out\n"), "{text}");
}

#[test]
fn a_flood_is_cut_in_the_middle_and_says_so() {
    let mut test_gateway = TestGateway::new();
    let text = run(&mut test_gateway, "echo first; head -c 20000000 /dev/zero | tr '\\0' 'x'; echo; echo last");
    assert!(text.contains("first\n") && text.contains("\nlast\n"), "head and tail are kept");
    assert!(text.contains("bytes left out …]"), "the gap is shown");
    assert!(text.len() < 70_000, "{}", text.len());
}

#[test]
fn a_daemon_left_behind_delays_nothing() {
    let mut test_gateway = TestGateway::new();
    let home = test_gateway.folder.path().display().to_string();
    let text = run(&mut test_gateway, &format!("sleep 600 & echo $! > {home}/daemon; echo done"));
    assert!(text.contains("\ndone\n"), "{text}");
    let pid = std::fs::read_to_string(test_gateway.path("daemon")).expect("a daemon");
    let pid: i32 = pid.trim().parse().expect("a pid");
    assert!(std::path::Path::new(&format!("/proc/{pid}")).exists(), "it still holds the output open");
    let pid = rustix::process::Pid::from_raw(pid).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("ended");
}

#[test]
fn a_command_inherits_nothing_of_ours() {
    let mut test_gateway = TestGateway::new();
    let text = run(&mut test_gateway, "pwd; umask; cat; ls -l /proc/self/fd | grep -c ledger; env | sort");
    assert!(text.contains("\n/\n0022\n0\n"), "folder, umask, no input, no descriptor of the ledger: {text}");
    for (name, wanted) in [("LC_ALL=C.UTF-8", true), ("PATH=/usr/sbin:/usr/bin:/sbin:/bin", true), ("HOME=", false)] {
        assert_eq!(text.contains(&format!("\n{name}")), wanted, "{name}: {text}");
    }
}

#[test]
fn output_cannot_forge_a_block_or_hide_text() {
    let mut test_gateway = TestGateway::new();
    let text = run(&mut test_gateway, "printf 'mailsudo-reply: 1\\nmac: %064d\\n\\033[2Jx\\342\\200\\256y\\377\\n' 0");
    assert!(text.contains("^[[2Jx<U+202E>y\u{fffd}"), "{text}");
}

fn hold(test_gateway: &TestGateway, seconds: i64) {
    test_gateway.hold(Timestamp::from_seconds(test_gateway.clock.now().seconds() + seconds));
}

#[test]
fn an_exclusive_command_waits_for_a_dead_runs_time_and_then_runs() {
    let mut test_gateway = TestGateway::new();
    test_gateway.deliver(&test_gateway.request("help", &[]));
    test_gateway.clock.forward(60);
    hold(&test_gateway, 20);
    let ended = test_gateway.deliver(&test_gateway.request("count", &[]));
    assert!(ended.log.iter().any(|line| line.contains("event=waiting")), "{ended:?}");
    assert!(text(ended.reply()).starts_with("ok: count"));
    assert_eq!(test_gateway.held(), 0, "the run has freed it");
}

#[test]
fn a_request_that_waits_runs_up_to_its_max_age_and_not_a_second_longer() {
    for (after, is_run) in [(600, true), (601, false)] {
        let mut test_gateway = TestGateway::new();
        test_gateway.deliver(&test_gateway.request("help", &[]));
        test_gateway.clock.forward(60);
        hold(&test_gateway, 590);
        let seen = test_gateway.clock.now().seconds();
        let request = test_gateway.request("count", &[]);
        assert_eq!(test_gateway.deliver(&request).deferred, Some("busy"));
        test_gateway.clock.set(Timestamp::from_seconds(seen + after));
        let ended = test_gateway.deliver(&request);
        assert_eq!(ended.refused("waited"), !is_run, "{after}: {ended:?}");
        assert_eq!(text(ended.reply()).starts_with("ok: count"), is_run, "{after}: {ended:?}");
    }
}

#[test]
fn a_request_keeps_its_place_while_another_run_holds_its_command() {
    let mut test_gateway = TestGateway::new();
    test_gateway.deliver(&test_gateway.request("help", &[]));
    test_gateway.clock.forward(60);
    hold(&test_gateway, 500);
    let signed = test_gateway.clock.now();
    let request = test_gateway.request("count", &[]);
    let ended = test_gateway.deliver(&request);
    assert_eq!((ended.deferred, ended.replies.len()), (Some("busy"), 0), "{ended:?}");
    // Its name and step are recorded: no other request can use its code.
    let other = block("alice", KEY, signed, "restart", &[("service", "nginx")], None);
    assert!(test_gateway.deliver(&mail("alice@example.com", &other)).refused("used-code"));
    // It is judged by its record and not by age: 9 minutes after it was signed, by which time its command is free.
    test_gateway.clock.set(Timestamp::from_seconds(signed.seconds() + 540));
    let ended = test_gateway.deliver(&request);
    assert!(text(ended.reply()).starts_with("ok: count"), "{ended:?}");
    assert!(test_gateway.deliver(&request).refused("duplicate"));
    assert_eq!(test_gateway.runs().len(), 1);
}

#[test]
fn a_request_that_waited_too_long_is_refused_with_what_held_the_command() {
    let mut test_gateway = TestGateway::new();
    test_gateway.deliver(&test_gateway.request("help", &[]));
    test_gateway.clock.forward(60);
    hold(&test_gateway, 500);
    let request = test_gateway.request("count", &[]);
    assert_eq!(test_gateway.deliver(&request).deferred, Some("busy"));
    test_gateway.clock.forward(601);
    hold(&test_gateway, 500);
    let ended = test_gateway.deliver(&request);
    assert!(ended.refused("waited"), "{ended:?}");
    assert!(text(ended.reply()).contains("it has waited for another run of count since"));
    assert_eq!(test_gateway.runs().len(), 0);
}

#[test]
fn what_was_recorded_while_the_clock_was_wrong_blocks_no_request_for_years() {
    let mut test_gateway = TestGateway::new();
    test_gateway.deliver(&test_gateway.request("help", &[]));
    test_gateway.clock.forward(60);
    let year = 365 * 86_400;
    hold(&test_gateway, year);
    let until = test_gateway.clock.now().seconds() + year;
    test_gateway.ledger().execute("INSERT INTO lockouts VALUES ('alice', ?1, 1, 0)", [until]).expect("a lockout");
    assert!(text(test_gateway.deliver(&test_gateway.request("count", &[])).reply()).starts_with("ok: count"));
}

#[test]
fn a_role_withdrawn_while_a_request_waits_permits_nothing() {
    let mut test_gateway = TestGateway::new();
    test_gateway.deliver(&test_gateway.request("help", &[]));
    test_gateway.clock.forward(60);
    hold(&test_gateway, 200);
    let request = test_gateway.request("count", &[]);
    assert_eq!(test_gateway.deliver(&request).deferred, Some("busy"));
    test_gateway.user("alice", KEY, "nothing");
    test_gateway.clock.forward(60);
    assert!(test_gateway.deliver(&request).refused("not-permitted"));
    assert_eq!(test_gateway.runs().len(), 0);
}

#[test]
fn help_lists_the_users_commands_and_status_the_last_request() {
    let mut test_gateway = TestGateway::new();
    let help = text(test_gateway.deliver(&test_gateway.request("help", &[])).reply());
    for line in [
        "count\n",
        "restart [level=…] service=…\n",
        "service: one of nginx\n",
        "level: a whole number from 1 to 9; 3 if not given\n",
        "for example: mailsudo sign restart level=1 service=nginx\n",
    ] {
        assert!(help.contains(line), "{line}: {help}");
    }
    assert!(!help.contains("secret") && !help.contains("mysql"), "what alice may not run is not listed: {help}");
    assert!(help.contains("\nresult: exit-0\n"));

    test_gateway.clock.forward(60);
    let counted = text(test_gateway.deliver(&test_gateway.request("count", &[])).reply());
    let id = counted.lines().find_map(|line| line.strip_prefix("request  ")).expect("a short id").to_owned();
    test_gateway.clock.forward(60);
    let status = text(test_gateway.deliver(&test_gateway.request("status", &[])).reply());
    assert!(
        status.contains(&format!("request  {id}\ncommand  count\nstate    finished\nresult   exit-0\n")),
        "{status}"
    );
    assert!(status.contains("\n| ok: count\n"), "its reply: {status}");
    test_gateway.clock.forward(60);
    let by_id = text(test_gateway.deliver(&test_gateway.request("status", &[("id", &id)])).reply());
    assert!(by_id.contains("command  count\n"), "{by_id}");
    let foreign = block("bob", crate::common::OTHER_KEY, test_gateway.clock.now(), "status", &[("id", &id)], None);
    let ended = test_gateway.deliver(&mail("bob@example.com", &foreign));
    assert!(ended.reply().contains("You have no such request"), "{ended:?}");
    test_gateway.clock.forward(60);
    let pending = text(test_gateway.deliver(&test_gateway.request("pending", &[])).reply());
    assert!(pending.starts_with("ok: pending\n"), "{pending}");
}

const SUDO: &str = r#"#!/bin/sh
case "$1 $2 $3 $4 $5 $6 $7 $8" in
    "-n -u root -- "*" --kill-after=5s 30s "*"/mailsudo") shift 4 ;;
    *) echo "fake sudo: $*" >> HOME/wrong; exit 2 ;;
esac
[ ! -e HOME/says ] || { cat HOME/says; exit 1; }
[ ! -e HOME/denied ] || exit 1
exec "$@"
"#;

fn with_sudo() -> TestGateway {
    let test_gateway = TestGateway::new();
    let home = test_gateway.folder.path().display().to_string();
    test_gateway.write("sudo", 0o755, &SUDO.replace("HOME", &home));
    let toml = std::fs::read_to_string(test_gateway.path("mailsudo.toml")).expect("the settings");
    let via_sudo = toml.replace("run_via = \"direct\"", &format!("run_via = \"sudo\"\nsudo = \"{home}/sudo\""));
    test_gateway.write("mailsudo.toml", 0o644, &via_sudo);
    mailsudo::ledger::init(&test_gateway.path("ledger/ledger.db"), mailsudo::config::Trusted::caller(), None)
        .expect("a ledger");
    test_gateway
}

#[test]
fn a_refusal_by_sudo_is_told_from_the_commands_own_exit_1() {
    let mut test_gateway = with_sudo();
    let own = run(&mut test_gateway, "exit 1");
    assert!(own.starts_with("failed (exit 1): count"), "{own}");
    assert!(own.contains("run as   root\n"));

    std::fs::write(test_gateway.path("denied"), "").expect("a mark");
    test_gateway.clock.forward(60);
    let ended = test_gateway.deliver(&test_gateway.request("count", &[]));
    let reply = text(ended.reply());
    assert!(reply.starts_with("refused: count") && reply.contains("\nresult: refused\n"), "{reply}");
    assert!(!reply.contains("sudo did not"), "the detail is the sysadmin's: {reply}");
    let log = ended.log.join("\n");
    assert!(log.contains("sudo did not start the command"), "{log}");
    std::fs::remove_file(test_gateway.path("denied")).expect("no mark");

    for (words, remedy) in [
        ("sudo: a password is required", " check --quiet"),
        ("sudo: interactive authentication is required", " check --quiet"),
        ("sudo: sorry, you must have a tty to run sudo", "Defaults:mailsudo !requiretty"),
        ("sudo: The \"no new privileges\" flag is set", "NoNewPrivileges="),
        ("sudo: unable to resolve host berlin", "/etc/hosts"),
    ] {
        test_gateway.write("says", 0o644, words);
        test_gateway.clock.forward(60);
        let ended = test_gateway.deliver(&test_gateway.request("count", &[]));
        assert!(text(ended.reply()).starts_with("refused: count"), "{ended:?}");
        let log = ended.log.join("\n").replace("\\\"", "\"");
        assert!(log.contains(words) && log.contains(remedy), "{log}");
    }
    assert!(!test_gateway.path("wrong").exists(), "{:?}", std::fs::read_to_string(test_gateway.path("wrong")));
    assert_eq!(test_gateway.runs().len(), 1);
}

#[test]
fn with_run_via_sudo_a_missing_ledger_defers_and_is_not_made() {
    let mut test_gateway = with_sudo();
    std::fs::remove_file(test_gateway.path("ledger/ledger.db")).expect("removed");
    let ended = test_gateway.deliver(&test_gateway.request("count", &[]));
    assert_eq!(ended.deferred, Some("ledger"));
    assert!(ended.log.join("\n").contains(" ledger init"), "{ended:?}");
    assert!(!test_gateway.path("ledger/ledger.db").exists());
}

#[test]
fn a_sudo_that_is_missing_is_a_refusal_that_the_log_explains() {
    let mut test_gateway = with_sudo();
    std::fs::remove_file(test_gateway.path("sudo")).expect("removed");
    let ended = test_gateway.deliver(&test_gateway.request("count", &[]));
    assert!(text(ended.reply()).starts_with("refused: count"), "{ended:?}");
    assert!(ended.log.join("\n").contains("No such file"), "{ended:?}");
}

#[test]
fn without_a_log_nothing_runs() {
    let mut test_gateway = TestGateway::new();
    let request = test_gateway.request("count", &[]);
    std::fs::remove_file(test_gateway.path("log")).expect("removed");
    let ended = test_gateway.deliver(&request);
    assert_eq!((ended.deferred, test_gateway.runs().len()), (Some("syslog"), 0));
    assert_eq!(test_gateway.recorded(), (0, 0));
}

#[test]
fn a_sendmail_that_dies_or_is_missing_defers_and_loses_nothing() {
    let mut test_gateway = TestGateway::new();
    let request = test_gateway.request("count", &[]);
    let good = std::fs::read_to_string(test_gateway.path("sendmail")).expect("sendmail");
    for bad in ["#!/bin/sh\nkill -9 $$\n", "#!/bin/sh\ncat >/dev/null; exit 69\n", "not a program"] {
        test_gateway.write("sendmail", 0o755, bad);
        assert_eq!(test_gateway.deliver(&request).deferred, Some("sendmail"), "{bad}");
    }
    std::fs::remove_file(test_gateway.path("sendmail")).expect("removed");
    assert_eq!(test_gateway.deliver(&request).deferred, Some("sendmail"));
    test_gateway.write("sendmail", 0o755, &good);
    assert!(text(test_gateway.deliver(&request).reply()).starts_with("ok: count"));
    assert_eq!(test_gateway.runs().len(), 1);
}

#[test]
fn log_lines_lost_after_admission_are_counted_in_the_ledger() {
    let mut test_gateway = TestGateway::new();
    let request = test_gateway.request("count", &[]);
    test_gateway.leave_room_in_the_log(3);
    let ended = test_gateway.deliver(&request);
    assert!(text(ended.reply()).starts_with("ok: count"), "what was admitted is done and answered: {ended:?}");
    let sql = "SELECT audit_lost FROM requests";
    let lost: u32 = test_gateway.ledger().query_row(sql, [], |row| row.get(0)).expect("a count");
    assert_eq!(lost, 2, "`received`, `admitted` and `started` were taken; `finished` and `replied` were not");
    test_gateway.leave_room_in_the_log(0);
    assert_eq!(test_gateway.deliver(&request).deferred, Some("syslog"), "a frozen syslogd defers what is not admitted");
}

#[test]
fn log_lines_lost_before_the_outcome_is_recorded_are_counted_with_it() {
    let mut test_gateway = TestGateway::new();
    let request = test_gateway.request("count", &[]);
    test_gateway.break_sendmail(true);
    test_gateway.leave_room_in_the_log(3);
    assert!(test_gateway.deliver(&request).deferred.is_some());
    let sql = "SELECT audit_lost FROM requests";
    let lost: u32 = test_gateway.ledger().query_row(sql, [], |row| row.get(0)).expect("a count");
    assert_eq!(lost, 1, "`finished`: no reply was sent");
}

#[test]
fn a_request_that_another_process_works_on_is_deferred() {
    let mut test_gateway = TestGateway::new();
    let path = test_gateway.path("ledger/ledger.db");
    mailsudo::ledger::init(&path, mailsudo::config::Trusted::caller(), None).expect("a ledger");
    let request = test_gateway.request("count", &[]);
    let texts = mailsudo::intake::readable(request.as_bytes());
    let name = mailsudo::protocol::Request::read(&[&texts[0]]).expect("a request").id();
    let gateway = mailsudo::config::Gateway::open(test_gateway.folder.path(), mailsudo::config::Trusted::caller());
    let gateway = gateway.expect("the gateway");
    let other = mailsudo::ledger::open(
        gateway.settings(),
        mailsudo::config::Trusted::caller(),
        mailsudo::limits::Timeouts::DEFAULT.transaction,
    );
    let other = other.expect("the ledger");
    let lock = other.lock(&name).expect("asked").expect("claimed");
    assert_eq!(test_gateway.deliver(&request).deferred, Some("busy"));
    drop(lock);
    assert!(text(test_gateway.deliver(&request).reply()).starts_with("ok: count"));
    assert_eq!(test_gateway.runs().len(), 1);
}

/// A clock that panics when it is asked for the nth time.
struct Broken<'c> {
    good: &'c crate::common::TestClock,
    asks_left: std::cell::Cell<u32>,
}

impl Clock for Broken<'_> {
    fn now(&self) -> Timestamp {
        assert!(self.asks_left.get() > 0, "the clock broke");
        self.asks_left.set(self.asks_left.get() - 1);
        self.good.now()
    }

    fn sleep(&self, _span: std::time::Duration) {}
}

#[test]
fn a_panic_anywhere_is_a_deferral_and_the_next_delivery_resumes() {
    let mut test_gateway = TestGateway::new();
    let request = test_gateway.request("count", &[]);
    let die_at = |test_gateway: &TestGateway, asks: u32| {
        let gateway = mailsudo::config::Gateway::open(test_gateway.folder.path(), mailsudo::config::Trusted::caller());
        let gateway = gateway.expect("the gateway");
        let mut audit = mailsudo::audit::Audit::new(gateway.settings(), None);
        let transport = mailsudo::reply::ReplyTransport::Sendmail(test_gateway.path("sendmail"));
        let clock = Broken { good: &test_gateway.clock, asks_left: std::cell::Cell::new(asks) };
        let context = context(&gateway, &test_gateway.envelope, &clock, test_gateway.timeouts);
        deliver(&context, &transport, request.as_bytes(), &mut audit).expect_err("a panic").part
    };
    assert_eq!(die_at(&test_gateway, 0), "panic");
    assert_eq!(
        (test_gateway.recorded(), test_gateway.runs().len()),
        ((0, 0), 0),
        "before admission nothing has happened"
    );
    assert_eq!(die_at(&test_gateway, 2), "panic");
    assert_eq!(test_gateway.runs().len(), 1, "after admission it has run");
    let ended = test_gateway.deliver(&request);
    assert!(text(ended.reply()).starts_with("outcome unknown: count"), "{ended:?}");
    assert_eq!(test_gateway.runs().len(), 1);
}

#[test]
fn only_the_files_that_a_message_needs_are_opened() {
    let mut test_gateway = TestGateway::new();
    for name in ["users.d/zed.toml", "secrets.d/zed.toml", "commands.d/zed.toml", "users.d/bob.toml"] {
        test_gateway.write(name, 0o666, "broken");
    }
    assert!(text(test_gateway.deliver(&test_gateway.request("count", &[])).reply()).starts_with("ok: count"));
}
