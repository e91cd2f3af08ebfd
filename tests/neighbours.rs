//! Neighbours at their worst. Who holds which fault out, by test (`r` = tests/running.rs, `s` = tests/system, else here):
//!
//! | | sudo | sendmail | syslog | the ledger's disk | the command |
//! |---|---|---|---|---|---|
//! | missing | r `a_sudo_that_is_missing…` | r `a_sendmail_that_dies_or_is_missing…` | r `without_a_log_nothing_runs` | `a_folder_that_vanishes…`, r `…a_missing_ledger_defers…` | `a_missing_command…` |
//! | refusing | r `a_refusal_by_sudo…` | r `a_sendmail_that_dies…` | `a_syslogd_that_takes_no_connection…` | s `ledger_disk`: read-only, not permitted | r `the_outcome_stands_first` |
//! | hanging | `a_sudo_that_hangs…`, `…asked…` | `a_sendmail_that_hangs…` | r `log_lines_lost_after_admission…` | `a_ledger_that_somebody_locks…` | r `a_command_over_its_limit…` |
//! | dying in the middle | `a_sudo_that_is_killed…` | `a_sendmail_that_dies_while_it_reads…` | `a_syslogd_that_dies…` | `…locks_in_the_middle…`, `a_full_disk…`, `a_corrupt_ledger…`, s `ledger_disk` | r `the_outcome_stands_first` |
//! | printing without end | `…asked…`, `an_endless_flood…` | `a_sendmail_that_talks…` | says nothing | says nothing | `an_endless_flood…` |
//! | closing pipes early | `…closes_its_output…` | `a_sendmail_that_closes_its_input…` | as dying | as dying | `…closes_its_output…` |
//! | leaving a daemon that holds pipes | `a_daemon_of…` | `a_daemon_of…` | has no pipe | has no pipe | r `a_daemon_left_behind…` |
//! | ignoring SIGTERM | `a_sudo_that_hangs…` | `a_sendmail_that_hangs…` | is not ended by us | is not ended by us | s `a_command_past_its_limit…` |

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use std::fs;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{Ended, House, block, mail};
use mailsudo::config::Trusted;
use mailsudo::protocol::Timestamp;

/// A house whose patience with everybody is short.
fn new() -> House {
    let mut house = House::new();
    let short = Duration::from_millis(300);
    let patience = &mut house.patience;
    (patience.page, patience.sudo, patience.question, patience.sendmail, patience.mercy) =
        (short, short, short, short, short);
    house
}

/// The same with a sudo that does `run` with the command line in its arguments, and `asked` when it is asked.
fn fenced(run: &str, asked: &str) -> House {
    let house = new();
    let home = house.folder.path().display().to_string();
    house.write(
        "sudo",
        0o755,
        &format!(
            "#!/bin/sh\ncase \"$1 $2 $3 $4 $5\" in\n\
             \"-n -u root -- \"*) shift 4\n{run}\n;;\n\
             \"-n -l -u root --\") shift 5\n{asked}\n;;\n\
             *) echo \"$*\" >> {home}/wrong; exit 2 ;;\nesac\n"
        )
        .replace("HOME", &home),
    );
    let toml = fs::read_to_string(house.path("mailsudo.toml")).expect("the settings");
    let fenced = toml.replace("fence = \"none\"", &format!("fence = \"sudo\"\nsudo = \"{home}/sudo\""));
    house.write("mailsudo.toml", 0o644, &fenced);
    mailsudo::ledger::init(&house.path("ledger/ledger.db"), Trusted::caller(), None).expect("a ledger");
    house
}

fn hook(house: &House, text: &str) {
    house.write("hook", 0o644, &text.replace("HOME", &house.folder.path().display().to_string()));
}

fn limit(house: &House, seconds: u32) {
    let toml = fs::read_to_string(house.path("commands.d/count.toml")).expect("a command");
    let toml = toml.replace("timeout = \"30s\"", &format!("timeout = \"{seconds}s\""));
    house.write("commands.d/count.toml", 0o644, &toml);
}

fn deliver(house: &mut House) -> Ended {
    house.clock.forward(60);
    house.deliver(&house.request("count", &[]))
}

fn slots(house: &House) -> u32 {
    house.ledger().query_row("SELECT count(*) FROM slots", [], |row| row.get(0)).expect("a count")
}

fn pid(house: &House, name: &str) -> i32 {
    let text = fs::read_to_string(house.path(name)).expect("a process's id");
    text.trim().parse().expect("a number")
}

/// Whether the process is there; one that has ended and that nobody has waited for is not.
fn lives(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().starts_with(" Z"))
}

fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("ended");
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_mins(1), "never came: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

// --- sudo ----------------------------------------------------------------------------------------------------------

#[test]
fn a_sudo_that_hangs_and_ignores_signals_is_ended_and_its_run_unknown() {
    let mut house = fenced("echo $$ > HOME/pid; trap '' TERM; exec sleep 600", "exit 0");
    limit(&house, 1);
    let ended = deliver(&mut house);
    assert!(ended.reply().contains("outcome unknown: count"), "{ended:?}");
    assert!(ended.log.join("\n").contains("did not end in time"), "{ended:?}");
    until("its end", || !lives(pid(&house, "pid")));
    assert_eq!(slots(&house), 1, "what may still run holds its command");
}

#[test]
fn a_sudo_that_is_killed_leaves_its_command_running_and_that_is_not_denied() {
    let mut house = fenced("\"$@\" & sleep 0.1; kill -KILL $$", "exit 0");
    hook(&house, "echo $$ > HOME/pid; echo begun; until [ -e HOME/go ]; do sleep 0.05; done");
    let ended = deliver(&mut house);
    until("its start", || house.path("pid").exists());
    let command = pid(&house, "pid");
    assert!(lives(command), "it goes on");
    assert!(ended.reply().contains("outcome unknown: count"), "{ended:?}");
    assert!(ended.log.join("\n").contains("signal 9 ended sudo"), "{ended:?}");
    assert_eq!(slots(&house), 1, "no other run starts beside it");
    house.write("go", 0o644, "");
    until("the command's end", || !lives(command));
    // Where nothing is left, the signal is the command's own.
    let mut house = fenced("exec \"$@\"", "exit 0");
    hook(&house, "kill -KILL $$");
    assert!(deliver(&mut house).reply().contains("killed (signal 9): count"));
    assert_eq!(slots(&house), 0);
}

/// Whether sudo refused is asked only where it may have; an answer that does not come is not taken for a yes.
#[test]
fn a_sudo_that_does_not_answer_when_asked_has_refused_nothing() {
    for asked in
        ["trap '' TERM; exec sleep 600", "exec yes sudo:", "sleep 600 & echo $! > HOME/daemon; exit 0", "kill -9 $$"]
    {
        let mut house = fenced("exit 1", &format!("echo $$ > HOME/pid; {asked}"));
        let ended = deliver(&mut house);
        assert!(ended.reply().contains("failed (exit 1): count"), "{asked}: {ended:?}");
        until("its end", || !lives(pid(&house, "pid")));
        if house.path("daemon").exists() {
            kill(pid(&house, "daemon"));
        }
    }
}

#[test]
fn whoever_closes_its_output_is_waited_for() {
    let closing = "exec >&- 2>&-; sleep 0.3; exit 3";
    let mut house = fenced(closing, "exit 0");
    assert!(deliver(&mut house).reply().contains("failed (exit 3): count"));
    let mut house = fenced("exec \"$@\"", "exit 0");
    hook(&house, closing);
    assert!(deliver(&mut house).reply().contains("failed (exit 3): count"));
    assert!(!house.path("wrong").exists(), "{:?}", fs::read_to_string(house.path("wrong")));
}

#[test]
fn an_endless_flood_is_ended_and_cut() {
    for run in ["exec \"$@\"", "yes | head -c 200000000; exec \"$@\""] {
        let mut house = fenced(run, "exit 0");
        limit(&house, 1);
        hook(&house, "exec yes");
        let ended = deliver(&mut house);
        let text = mailsudo::intake::readable(ended.reply().as_bytes()).concat();
        assert!(text.starts_with("timed out: count") && text.contains("bytes left out"), "{run}: {ended:?}");
        assert!(text.len() < 70_000, "{run}: {}", text.len());
    }
}

#[test]
fn a_daemon_of_sudos_or_sendmails_holds_nothing_up() {
    let mut house = fenced("sleep 600 & echo $! > HOME/daemon; exec \"$@\"", "exit 0");
    assert!(deliver(&mut house).reply().contains("ok: count"));
    assert!(lives(pid(&house, "daemon")), "it still holds the output open");
    kill(pid(&house, "daemon"));

    let mut house = new();
    let good = fs::read_to_string(house.path("sendmail")).expect("sendmail");
    let home = house.folder.path().display();
    let daemon = format!("{good}sleep 600 & echo $! > {home}/daemon\n");
    house.write("sendmail", 0o755, &daemon);
    let ended = deliver(&mut house);
    assert!(ended.deferred.is_none() && ended.reply().contains("ok: count"), "{ended:?}");
    assert!(lives(pid(&house, "daemon")), "it still holds the input open");
    kill(pid(&house, "daemon"));
}

// --- the command ---------------------------------------------------------------------------------------------------

#[test]
fn a_missing_command_is_a_failure_with_a_word_about_it() {
    let mut house = new();
    fs::remove_file(house.path("command")).expect("removed");
    let ended = deliver(&mut house);
    assert!(ended.reply().contains("failed (exit 127): count"), "{ended:?}");
    assert!(ended.reply().contains("No such file or directory"), "{ended:?}");
}

// --- sendmail ------------------------------------------------------------------------------------------------------

/// With this much output the reply does not fit into a pipe.
const MUCH: &str = "yes | head -c 65000";

/// A sendmail that does `bad` defers; once it is good again, the same reply leaves, and nothing runs twice.
fn bad_sendmail(bad: &str) {
    let mut house = new();
    let home = house.folder.path().display().to_string();
    hook(&house, MUCH);
    let good = fs::read_to_string(house.path("sendmail")).expect("sendmail");
    house.write("sendmail", 0o755, &format!("#!/bin/sh\necho $$ > HOME/pid\n{bad}\n").replace("HOME", &home));
    let request = house.request("count", &[]);
    for _ in 0..2 {
        let ended = house.deliver(&request);
        assert_eq!((ended.deferred, ended.replies.len()), (Some("sendmail"), 0), "{bad}");
        until("its end", || !lives(pid(&house, "pid")));
    }
    house.write("sendmail", 0o755, &good);
    let stored: Vec<u8> =
        house.ledger().query_row("SELECT reply FROM requests", [], |row| row.get(0)).expect("a stored reply");
    assert!(house.deliver(&request).reply().as_bytes() == stored, "{bad}");
    assert!(house.deliver(&request).refused("duplicate"), "{bad}");
    assert_eq!(house.runs().len(), 1, "{bad}");
}

#[test]
fn a_sendmail_that_hangs_and_ignores_signals_is_ended_and_defers() {
    bad_sendmail("trap '' TERM; exec sleep 600");
    bad_sendmail("trap '' TERM; cat >/dev/null; exec sleep 600");
}

#[test]
fn a_sendmail_that_dies_while_it_reads_defers() {
    bad_sendmail("head -c 10 >/dev/null; kill -KILL $$");
}

#[test]
fn a_sendmail_that_closes_its_input_has_not_taken_the_reply() {
    bad_sendmail("exec <&-; exit 0");
    bad_sendmail("exec <&-; exec sleep 600");
}

#[test]
fn a_sendmail_that_talks_without_end_is_not_listened_to() {
    let mut house = new();
    let good = fs::read_to_string(house.path("sendmail")).expect("sendmail");
    house.write("sendmail", 0o755, &format!("{good}yes | head -c 200000000 | tee /dev/stderr\n"));
    house.patience.sendmail = Duration::from_mins(1);
    assert!(deliver(&mut house).reply().contains("ok: count"));
}

// --- syslog --------------------------------------------------------------------------------------------------------

fn log_to(house: &House, name: &str) {
    let toml = fs::read_to_string(house.path("mailsudo.toml")).expect("the settings");
    let home = house.folder.path().display();
    house.write("mailsudo.toml", 0o644, &toml.replace(&format!("{home}/log"), &format!("{home}/{name}")));
}

#[test]
fn a_syslogd_that_takes_no_connection_defers() {
    let mut house = new();
    drop(UnixDatagram::bind(house.path("dead")).expect("a socket whose daemon has died"));
    let _stream = UnixListener::bind(house.path("stream")).expect("a socket of another kind");
    house.write("file", 0o644, "");
    fs::create_dir(house.path("folder")).expect("a folder");
    std::os::unix::fs::symlink("loop", house.path("loop")).expect("a link");
    let request = house.request("count", &[]);
    let settings = fs::read_to_string(house.path("mailsudo.toml")).expect("the settings");
    for name in ["dead", "stream", "file", "folder", "loop"] {
        house.write("mailsudo.toml", 0o644, &settings);
        log_to(&house, name);
        assert_eq!(house.deliver(&request).deferred, Some("syslog"), "{name}");
    }
    assert_eq!((house.recorded(), house.runs().len()), ((0, 0), 0));
    house.write("mailsudo.toml", 0o644, &settings);
    assert!(house.deliver(&request).reply().contains("ok: count"));
}

/// Delivers, and does `event` while the command runs; gives what that gives.
fn during_the_run<T: Send>(house: &mut House, request: &str, event: impl FnOnce() -> T + Send) -> (Ended, T) {
    hook(house, "echo > HOME/runs; until [ -e HOME/go ]; do sleep 0.02; done");
    let (runs, go) = (house.path("runs"), house.path("go"));
    std::thread::scope(|scope| {
        let event = scope.spawn(move || {
            until("the run", || runs.exists());
            let given = event();
            fs::write(go, "").expect("a word");
            given
        });
        (house.deliver(request), event.join().expect("an event"))
    })
}

#[test]
fn a_syslogd_that_dies_during_the_run_loses_lines_which_are_counted() {
    let lost = |house: &House| -> u32 {
        house.ledger().query_row("SELECT audit_lost FROM requests", [], |row| row.get(0)).expect("a count")
    };
    let mut house = new();
    log_to(&house, "dying");
    let daemon = UnixDatagram::bind(house.path("dying")).expect("a daemon");
    let request = house.request("count", &[]);
    let (ended, ()) = during_the_run(&mut house, &request, || drop(daemon));
    assert!(ended.deferred.is_none() && ended.reply().contains("ok: count"), "{ended:?}");
    assert_eq!(lost(&house), 2, "`finished` and `replied`");

    let mut house = new();
    log_to(&house, "dying");
    let path = house.path("dying");
    let daemon = UnixDatagram::bind(&path).expect("a daemon");
    let request = house.request("count", &[]);
    let (ended, revived) = during_the_run(&mut house, &request, || {
        drop(daemon);
        fs::remove_file(&path).expect("removed");
        UnixDatagram::bind(&path).expect("a daemon")
    });
    assert!(ended.reply().contains("ok: count"), "{ended:?}");
    let mut line = [0; 4096];
    let read = revived.recv(&mut line).expect("a line");
    assert!(String::from_utf8_lossy(&line[..read]).contains("event=finished"), "the new one is told");
    assert_eq!(lost(&house), 0);
}

// --- the ledger's disk ---------------------------------------------------------------------------------------------

#[test]
fn a_ledger_that_somebody_locks_for_long_defers() {
    let mut house = new();
    deliver(&mut house);
    house.clock.forward(60);
    let request = house.request("count", &[]);
    let somebody = house.ledger();
    somebody.execute_batch("BEGIN IMMEDIATE").expect("locked");
    let ended = house.deliver(&request);
    assert_eq!(ended.deferred, Some("ledger"), "{ended:?}");
    assert!(ended.log.join("\n").contains("locked"), "{ended:?}");
    somebody.execute_batch("COMMIT").expect("let go");
    assert!(house.deliver(&request).reply().contains("ok: count"));
    // sqlite3's own exclusive mode shuts readers out too: then it is the opening that waits in vain.
    house.clock.forward(60);
    let request = house.request("count", &[]);
    drop(somebody);
    let hermit = house.ledger();
    hermit.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; COMMIT").expect("locked");
    assert_eq!(house.deliver(&request).deferred, Some("ledger"));
    drop(hermit);
    assert!(house.deliver(&request).reply().contains("ok: count"));
    assert_eq!(house.runs().len(), 3);
}

/// The run is over and cannot be recorded: the next delivery must not run it again, and says what it can.
fn in_the_middle<T: Send>(house: &mut House, event: impl FnOnce(&Path) -> T + Send, mend: impl FnOnce(&Path, T)) {
    house.clock.forward(60);
    let request = house.request("count", &[]);
    let ledger = house.path("ledger");
    let runs = house.runs().len();
    let (ended, what) = during_the_run(house, &request, || event(&ledger));
    assert_eq!((ended.deferred, ended.replies.len()), (Some("ledger"), 0), "{ended:?}");
    mend(&ledger, what);
    let ended = house.deliver(&request);
    assert!(ended.reply().contains("outcome unknown: count"), "{ended:?}");
    assert!(house.deliver(&request).refused("duplicate"));
    assert_eq!(house.runs().len(), runs + 1);
}

#[test]
fn a_ledger_that_somebody_locks_in_the_middle_defers_and_nothing_runs_again() {
    let lock = |folder: &Path| {
        let somebody = rusqlite::Connection::open(folder.join("ledger.db")).expect("the ledger");
        somebody.execute_batch("BEGIN IMMEDIATE").expect("locked");
        somebody
    };
    in_the_middle(&mut new(), lock, |_, somebody| drop(somebody));
}

#[test]
fn a_folder_that_vanishes_defers_and_nothing_is_made_in_its_place() {
    let mut house = fenced("exec \"$@\"", "exit 0");
    let (folder, away) = (house.path("ledger"), house.path("away"));
    let request = house.request("count", &[]);
    fs::rename(&folder, &away).expect("moved");
    assert_eq!(house.deliver(&request).deferred, Some("ledger"));
    assert!(!folder.exists());
    fs::create_dir(&folder).expect("a folder, as of an unmounted disk");
    let ended = house.deliver(&request);
    assert_eq!(ended.deferred, Some("ledger"));
    assert!(ended.log.join("\n").contains("mount what is missing"), "{ended:?}");
    fs::remove_dir(&folder).expect("nothing was made in it");
    fs::rename(&away, &folder).expect("moved back");
    assert!(house.deliver(&request).reply().contains("ok: count"));
    in_the_middle(
        &mut house,
        |folder| fs::rename(folder, &away).expect("moved"),
        |folder, ()| fs::rename(&away, folder).expect("moved back"),
    );
}

#[test]
fn a_corrupt_ledger_defers_and_is_not_touched() {
    let mut house = new();
    deliver(&mut house);
    house.ledger().execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").expect("moved");
    let path = house.path("ledger/ledger.db");
    let sound = fs::read(&path).expect("the ledger");
    house.clock.forward(60);
    let request = house.request("count", &[]);
    let page = 4096;
    let corruptions: [(&str, Box<dyn Fn(&mut Vec<u8>)>); 6] = [
        ("empty", Box::new(|bytes| bytes.clear())),
        ("cut", Box::new(move |bytes| bytes.truncate(page + page / 2))),
        ("no header", Box::new(|bytes| bytes[..100].fill(0))),
        ("another program's", Box::new(|bytes| bytes[68..72].fill(0))),
        ("no tables", Box::new(move |bytes| bytes[100..page].fill(0xff))),
        ("no pages", Box::new(move |bytes| bytes[page..].fill(0xff))),
    ];
    for (what, corrupt) in corruptions {
        let mut bytes = sound.clone();
        corrupt(&mut bytes);
        fs::write(&path, &bytes).expect("written");
        let ended = house.deliver(&request);
        assert_eq!((ended.deferred, ended.replies.len()), (Some("ledger"), 0), "{what}: {ended:?}");
        assert!(fs::read(&path).expect("the ledger") == bytes, "{what}: for whoever wants to save what can be saved");
    }
    for sql in [
        "UPDATE requests SET state = 'nonsense'",
        "UPDATE requests SET state = 'started', handed_over = NULL, result = 'exit-x'",
        "DROP TABLE slots",
        "DROP TABLE floor",
    ] {
        fs::write(&path, &sound).expect("written");
        house.ledger().execute_batch(sql).expect("done");
        house.clock.forward(-60);
        let earlier = house.request("count", &[]);
        house.clock.forward(60);
        let mail = if sql.starts_with("UPDATE") { &earlier } else { &request };
        let ended = house.deliver(mail);
        assert_eq!(ended.deferred, Some("ledger"), "{sql}: {ended:?}");
    }
    assert_eq!(house.runs().len(), 1);
}

/// Every file size at which the disk can end, by RLIMIT_FSIZE: whatever could not be written, a delivery on a mended disk
/// finishes, and the command has run at most once.
#[test]
fn a_full_disk_at_every_size_defers_and_loses_nothing() {
    let mut deferred = 0;
    for blocks in (0..240).step_by(8) {
        let house = House::new();
        let home = house.folder.path().display().to_string();
        let toml = fs::read_to_string(house.path("mailsudo.toml")).expect("the settings");
        house.write("mailsudo.toml", 0o644, &toml.replace(&format!("\"{home}/log\""), "\"stderr\""));
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("it is after 1970");
        let now = Timestamp::from_seconds(i64::try_from(now.as_secs()).expect("a time"));
        let mail = mail("alice@example.com", &block("alice", common::KEY, now, "count", &[], None));
        house.write("mail", 0o644, &mail);
        // Postfix's pipe ignores SIGXFSZ as well (docs/operations.md). One block is 512 bytes (POSIX, ulimit).
        let deliver = |blocks: &str| {
            let line = format!(
                "trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" deliver --config {home} --reply-via {home}/sendmail"
            );
            let input = fs::File::open(house.path("mail")).expect("a mail");
            let mut shell = Command::new("/bin/sh");
            shell.args(["-c", &line, env!("CARGO_BIN_EXE_mailsudo")]).stdin(input).stderr(Stdio::piped());
            shell.output().expect("a shell")
        };
        let first = deliver(&blocks.to_string());
        let status = first.status.code().expect("no signal");
        assert!(status == 0 || status == 75, "{blocks}: {first:?}");
        deferred += usize::from(status == 75);
        let second = deliver("unlimited");
        assert_eq!(second.status.code(), Some(0), "{blocks}: {second:?}");
        let replies: Vec<_> = fs::read_dir(house.path("replies"))
            .expect("replies")
            .map(|entry| fs::read_to_string(entry.expect("an entry").path()).expect("a reply"))
            .collect();
        // Where the disk was full only when the reply had left, a second one is the same.
        assert!(replies.len() == 1 || status == 0 && replies.len() == 2, "{blocks}: {first:?} {second:?}");
        let reply = &replies[0];
        assert!(replies.iter().all(|other| other == reply), "{blocks}: {replies:?}");
        let runs = house.runs().len();
        assert!(
            runs == 1 && reply.contains("ok: count") || runs <= 1 && reply.contains("outcome unknown: count"),
            "{blocks}: {runs} {reply}"
        );
        let integrity: String =
            house.ledger().query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("an answer");
        assert_eq!(integrity, "ok", "{blocks}");
    }
    assert!(deferred >= 12 && deferred < 30, "the sizes tried are those that matter: {deferred}");
}
