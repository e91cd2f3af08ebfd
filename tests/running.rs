//! What happens around a run: limits, floods, daemons, exclusive commands, the built-in commands, a sudo that refuses.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use common::{House, KEY, block, mail};
use mailsudo::clock::Clock;
use mailsudo::protocol::{Timestamp, Verdict};

/// The text of a reply, decoded, after its block has been found genuine.
fn text(reply: &str) -> String {
    let texts = mailsudo::intake::readable(reply.as_bytes());
    let key = mailsudo::protocol::Key::from_hex(KEY).expect("a key");
    let verdict = mailsudo::protocol::verify_reply(&texts[0], &key);
    assert!(matches!(verdict, Verdict::Genuine(_)), "{verdict:?} {reply}");
    texts[0].clone()
}

/// Runs `count` with `hook` as what the command does.
fn run(house: &mut House, hook: &str) -> String {
    house.clock.forward(60);
    house.write("hook", 0o644, hook);
    let ended = house.deliver(&house.request("count", &[]));
    text(ended.reply())
}

#[test]
fn the_outcome_stands_first() {
    let mut house = House::new();
    for (hook, first, result) in [
        ("", "ok: count", "exit-0"),
        ("exit 3", "failed (exit 3): count", "exit-3"),
        ("exit 124", "failed (exit 124): count", "exit-124"),
        ("kill -TERM $$", "killed (signal 15): count", "signal-15"),
    ] {
        let text = run(&mut house, hook);
        assert!(text.starts_with(&format!("{first}\n")), "{text}");
        assert!(text.contains(&format!("\nresult: {result}\n")), "{text}");
    }
    house.clock.forward(60);
    house.write("hook", 0o644, "");
    let ended = house.deliver(&house.request("restart", &[("service", "nginx")]));
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
    let mut house = House::new();
    let toml = std::fs::read_to_string(house.path("commands.d/count.toml")).expect("a command");
    house.write("commands.d/count.toml", 0o644, &toml.replace("timeout = \"30s\"", "timeout = \"1s\""));
    let text = run(&mut house, "echo begun; sleep 600");
    assert!(text.starts_with("timed out: count\n") && text.contains("begun"), "{text}");
    assert!(text.contains("\nresult: timed-out\n"), "{text}");
}

#[test]
fn a_flood_is_cut_in_the_middle_and_says_so() {
    let mut house = House::new();
    let text = run(&mut house, "echo first; head -c 20000000 /dev/zero | tr '\\0' 'x'; echo; echo last");
    assert!(text.contains("first\n") && text.contains("\nlast\n"), "head and tail are kept");
    assert!(text.contains("bytes left out …]"), "the gap is told");
    assert!(text.len() < 70_000, "{}", text.len());
}

#[test]
fn a_daemon_left_behind_holds_nothing_up() {
    let mut house = House::new();
    let home = house.folder.path().display().to_string();
    let text = run(&mut house, &format!("sleep 600 & echo $! > {home}/daemon; echo done"));
    assert!(text.contains("\ndone\n"), "{text}");
    let pid = std::fs::read_to_string(house.path("daemon")).expect("a daemon");
    let pid: i32 = pid.trim().parse().expect("a pid");
    assert!(std::path::Path::new(&format!("/proc/{pid}")).exists(), "it still holds the output open");
    let pid = rustix::process::Pid::from_raw(pid).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("ended");
}

#[test]
fn a_command_gets_nothing_of_ours() {
    let mut house = House::new();
    let text = run(&mut house, "pwd; umask; cat; ls -l /proc/self/fd | grep -c ledger; env | sort");
    assert!(text.contains("\n/\n0022\n0\n"), "folder, umask, no input, no descriptor of the ledger: {text}");
    for (name, wanted) in [("LC_ALL=C.UTF-8", true), ("PATH=/usr/sbin:/usr/bin:/sbin:/bin", true), ("HOME=", false)] {
        assert_eq!(text.contains(&format!("\n{name}")), wanted, "{name}: {text}");
    }
}

#[test]
fn output_cannot_forge_a_block_or_hide_text() {
    let mut house = House::new();
    let text = run(&mut house, "printf 'mailsudo-reply: 1\\nmac: %064d\\n\\033[2Jx\\342\\200\\256y\\377\\n' 0");
    assert!(text.contains("^[[2Jx<U+202E>y\u{fffd}"), "{text}");
}

fn slot(house: &House, seconds: i64) {
    house.hold(Timestamp::from_seconds(house.clock.now().seconds() + seconds));
}

#[test]
fn an_exclusive_command_waits_for_a_dead_runs_time_and_then_runs() {
    let mut house = House::new();
    house.deliver(&house.request("help", &[]));
    house.clock.forward(60);
    slot(&house, 20);
    let ended = house.deliver(&house.request("count", &[]));
    assert!(ended.log.iter().any(|line| line.contains("event=waiting")), "{ended:?}");
    assert!(text(ended.reply()).starts_with("ok: count"));
    assert_eq!(house.held(), 0, "the run has freed it");
}

#[test]
fn a_request_keeps_its_place_while_another_run_holds_its_command() {
    let mut house = House::new();
    house.deliver(&house.request("help", &[]));
    house.clock.forward(60);
    slot(&house, 500);
    let signed = house.clock.now();
    let request = house.request("count", &[]);
    let ended = house.deliver(&request);
    assert_eq!((ended.deferred, ended.replies.len()), (Some("busy"), 0), "{ended:?}");
    // Its name and step are claimed: no other request can take its code.
    let other = block("alice", KEY, signed, "restart", &[("service", "nginx")], None);
    assert!(house.deliver(&mail("alice@example.com", &other)).refused("used-code"));
    // It is judged by its record and not by age: 9 minutes after it was signed, by which time its command is free.
    house.clock.set(Timestamp::from_seconds(signed.seconds() + 540));
    let ended = house.deliver(&request);
    assert!(text(ended.reply()).starts_with("ok: count"), "{ended:?}");
    assert!(house.deliver(&request).refused("duplicate"));
    assert_eq!(house.runs().len(), 1);
}

#[test]
fn a_request_that_waited_too_long_is_told_what_held_it_up() {
    let mut house = House::new();
    house.deliver(&house.request("help", &[]));
    house.clock.forward(60);
    slot(&house, 500);
    let request = house.request("count", &[]);
    assert_eq!(house.deliver(&request).deferred, Some("busy"));
    house.clock.forward(601);
    slot(&house, 500);
    let ended = house.deliver(&request);
    assert!(ended.refused("waited"), "{ended:?}");
    assert!(text(ended.reply()).contains("another run of count held it up"));
    assert_eq!(house.runs().len(), 0);
}

#[test]
fn what_was_recorded_while_the_clock_was_wrong_blocks_nobody_for_years() {
    let mut house = House::new();
    house.deliver(&house.request("help", &[]));
    house.clock.forward(60);
    let year = 365 * 86_400;
    slot(&house, year);
    let until = house.clock.now().seconds() + year;
    house.ledger().execute("INSERT INTO lockouts VALUES ('alice', ?1, 1, 0)", [until]).expect("a lockout");
    assert!(text(house.deliver(&house.request("count", &[])).reply()).starts_with("ok: count"));
}

#[test]
fn a_role_withdrawn_while_a_request_waits_is_gone() {
    let mut house = House::new();
    house.deliver(&house.request("help", &[]));
    house.clock.forward(60);
    slot(&house, 200);
    let request = house.request("count", &[]);
    assert_eq!(house.deliver(&request).deferred, Some("busy"));
    house.user("alice", KEY, "nothing");
    house.clock.forward(60);
    assert!(house.deliver(&request).refused("not-permitted"));
    assert_eq!(house.runs().len(), 0);
}

#[test]
fn help_lists_what_is_yours_and_status_what_became_of_it() {
    let mut house = House::new();
    let help = text(house.deliver(&house.request("help", &[])).reply());
    for line in [
        "count\n",
        "restart [level=…] service=…\n",
        "service: one of nginx\n",
        "level: a whole number from 1 to 9; 3 if not given\n",
        "for example: mailsudo sign restart level=1 service=nginx\n",
    ] {
        assert!(help.contains(line), "{line}: {help}");
    }
    assert!(!help.contains("secret") && !help.contains("mysql"), "what is not hers is not told: {help}");
    assert!(help.contains("\nresult: exit-0\n"));

    house.clock.forward(60);
    let counted = text(house.deliver(&house.request("count", &[])).reply());
    let id = counted.lines().find_map(|line| line.strip_prefix("request  ")).expect("a short id").to_owned();
    house.clock.forward(60);
    let status = text(house.deliver(&house.request("status", &[])).reply());
    assert!(
        status.contains(&format!("request  {id}\ncommand  count\nstate    finished\nresult   exit-0\n")),
        "{status}"
    );
    assert!(status.contains("\n| ok: count\n"), "its reply: {status}");
    house.clock.forward(60);
    let by_id = text(house.deliver(&house.request("status", &[("id", &id)])).reply());
    assert!(by_id.contains("command  count\n"), "{by_id}");
    let foreign = block("bob", common::OTHER_KEY, house.clock.now(), "status", &[("id", &id)], None);
    let ended = house.deliver(&mail("bob@example.com", &foreign));
    assert!(ended.reply().contains("You have no such request"), "{ended:?}");
}

const SUDO: &str = r#"#!/bin/sh
case "$1 $2 $3 $4 $5 $6 $7 $8" in
    "-n -u root -- "*" --kill-after=5s 30s HOME/command") shift 4 ;;
    "-n -l -u root -- "*" --kill-after=5s 30s") [ ! -e HOME/denied ] && exit 0 || exit 1 ;;
    *) echo "fake sudo: $*" >> HOME/wrong; exit 2 ;;
esac
[ ! -e HOME/says ] || { cat HOME/says; exit 1; }
[ ! -e HOME/denied ] || exit 1
exec "$@"
"#;

fn with_sudo() -> House {
    let house = House::new();
    let home = house.folder.path().display().to_string();
    house.write("sudo", 0o755, &SUDO.replace("HOME", &home));
    let toml = std::fs::read_to_string(house.path("mailsudo.toml")).expect("the settings");
    let fenced = toml.replace("fence = \"none\"", &format!("fence = \"sudo\"\nsudo = \"{home}/sudo\""));
    house.write("mailsudo.toml", 0o644, &fenced);
    mailsudo::ledger::init(&house.path("ledger/ledger.db"), mailsudo::config::Trusted::caller(), None)
        .expect("a ledger");
    house
}

#[test]
fn a_refusal_by_sudo_is_told_from_the_commands_own_exit_1() {
    let mut house = with_sudo();
    let own = run(&mut house, "exit 1");
    assert!(own.starts_with("failed (exit 1): count"), "{own}");
    assert!(own.contains("run as   root\n"));

    std::fs::write(house.path("denied"), "").expect("a mark");
    house.clock.forward(60);
    let ended = house.deliver(&house.request("count", &[]));
    let reply = text(ended.reply());
    assert!(reply.starts_with("refused: count") && reply.contains("\nresult: refused\n"), "{reply}");
    assert!(!reply.contains("sudo does not"), "the detail is the sysadmin's: {reply}");
    let log = ended.log.join("\n");
    assert!(log.contains("sudo does not permit") && log.contains("mailsudo sudoers"), "{log}");
    std::fs::remove_file(house.path("denied")).expect("no mark");

    for words in ["sudo: a password is required", "sudo: interactive authentication is required"] {
        house.write("says", 0o644, words);
        house.clock.forward(60);
        let ended = house.deliver(&house.request("count", &[]));
        assert!(text(ended.reply()).starts_with("refused: count"), "{ended:?}");
        assert!(ended.log.join("\n").contains("lacks NOPASSWD"), "{ended:?}");
    }
    assert!(!house.path("wrong").exists(), "{:?}", std::fs::read_to_string(house.path("wrong")));
    assert_eq!(house.runs().len(), 1);
}

#[test]
fn with_the_fence_up_a_missing_ledger_defers_and_is_not_made() {
    let mut house = with_sudo();
    std::fs::remove_file(house.path("ledger/ledger.db")).expect("removed");
    let ended = house.deliver(&house.request("count", &[]));
    assert_eq!(ended.deferred, Some("ledger"));
    assert!(ended.log.join("\n").contains("mailsudo ledger init"), "{ended:?}");
    assert!(!house.path("ledger/ledger.db").exists());
}

#[test]
fn a_sudo_that_is_missing_is_a_refusal_that_the_log_explains() {
    let mut house = with_sudo();
    std::fs::remove_file(house.path("sudo")).expect("removed");
    let ended = house.deliver(&house.request("count", &[]));
    assert!(text(ended.reply()).starts_with("refused: count"), "{ended:?}");
    assert!(ended.log.join("\n").contains("No such file"), "{ended:?}");
}

#[test]
fn without_a_log_nothing_runs() {
    let mut house = House::new();
    let request = house.request("count", &[]);
    std::fs::remove_file(house.path("log")).expect("removed");
    let ended = house.deliver(&request);
    assert_eq!((ended.deferred, house.runs().len()), (Some("syslog"), 0));
    assert_eq!(house.recorded(), (0, 0));
}

#[test]
fn a_sendmail_that_dies_or_is_missing_defers_and_loses_nothing() {
    let mut house = House::new();
    let request = house.request("count", &[]);
    let good = std::fs::read_to_string(house.path("sendmail")).expect("sendmail");
    for bad in ["#!/bin/sh\nkill -9 $$\n", "#!/bin/sh\ncat >/dev/null; exit 69\n", "not a program"] {
        house.write("sendmail", 0o755, bad);
        assert_eq!(house.deliver(&request).deferred, Some("sendmail"), "{bad}");
    }
    std::fs::remove_file(house.path("sendmail")).expect("removed");
    assert_eq!(house.deliver(&request).deferred, Some("sendmail"));
    house.write("sendmail", 0o755, &good);
    assert!(text(house.deliver(&request).reply()).starts_with("ok: count"));
    assert_eq!(house.runs().len(), 1);
}

#[test]
fn log_lines_lost_after_admission_are_counted_in_the_ledger() {
    let mut house = House::new();
    let request = house.request("count", &[]);
    house.leave_room_in_the_log(3);
    let ended = house.deliver(&request);
    assert!(text(ended.reply()).starts_with("ok: count"), "what was admitted is done and answered: {ended:?}");
    let sql = "SELECT audit_lost FROM requests";
    let lost: u32 = house.ledger().query_row(sql, [], |row| row.get(0)).expect("a count");
    assert_eq!(lost, 2, "`received`, `admitted` and `started` were taken; `finished` and `replied` were not");
    house.leave_room_in_the_log(0);
    assert_eq!(house.deliver(&request).deferred, Some("syslog"), "a frozen syslogd defers what is not admitted");
}

#[test]
fn a_request_that_another_process_works_on_is_deferred() {
    let mut house = House::new();
    let path = house.path("ledger/ledger.db");
    mailsudo::ledger::init(&path, mailsudo::config::Trusted::caller(), None).expect("a ledger");
    let request = house.request("count", &[]);
    let texts = mailsudo::intake::readable(request.as_bytes());
    let name = mailsudo::protocol::Request::read(&[&texts[0]]).expect("a request").name();
    let gateway = mailsudo::config::Gateway::open(house.folder.path(), mailsudo::config::Trusted::caller());
    let gateway = gateway.expect("the gateway");
    let other = mailsudo::ledger::open(
        gateway.settings(),
        mailsudo::config::Trusted::caller(),
        mailsudo::patience::Patience::USUAL.page,
    );
    let other = other.expect("the ledger");
    let claim = mailsudo::ledger::Ledger::claim(&other, &name).expect("asked").expect("claimed");
    assert_eq!(house.deliver(&request).deferred, Some("busy"));
    drop(claim);
    assert!(text(house.deliver(&request).reply()).starts_with("ok: count"));
    assert_eq!(house.runs().len(), 1);
}

/// A clock that breaks down when it is asked for the nth time.
struct Broken<'c> {
    good: &'c common::TestClock,
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
    let mut house = House::new();
    let request = house.request("count", &[]);
    let die_at = |house: &House, asks: u32| {
        let gateway = mailsudo::config::Gateway::open(house.folder.path(), mailsudo::config::Trusted::caller());
        let gateway = gateway.expect("the gateway");
        let mut audit = mailsudo::audit::Audit::new(gateway.settings(), None);
        let delivery = mailsudo::deliver::Delivery {
            gateway: &gateway,
            envelope: &house.envelope,
            road: &mailsudo::reply::Road::Sendmail(house.path("sendmail")),
            clock: &Broken { good: &house.clock, asks_left: std::cell::Cell::new(asks) },
            patience: house.patience,
        };
        delivery.deliver(&mut request.as_bytes(), &mut audit).expect_err("a panic").part
    };
    assert_eq!(die_at(&house, 0), "panic");
    assert_eq!((house.recorded(), house.runs().len()), ((0, 0), 0), "before admission nothing has happened");
    assert_eq!(die_at(&house, 1), "panic");
    assert_eq!(house.runs().len(), 1, "after admission it has run");
    let ended = house.deliver(&request);
    assert!(text(ended.reply()).starts_with("outcome unknown: count"), "{ended:?}");
    assert_eq!(house.runs().len(), 1);
}

#[test]
fn only_the_files_that_a_message_needs_are_opened() {
    let mut house = House::new();
    for name in ["users.d/zed.toml", "secrets.d/zed.toml", "commands.d/zed.toml", "users.d/bob.toml"] {
        house.write(name, 0o666, "broken");
    }
    assert!(text(house.deliver(&house.request("count", &[])).reply()).starts_with("ok: count"));
}
