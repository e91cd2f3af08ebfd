//! A gateway in which one delivery can be had again and again from the same beginning.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use mailsudo::config::RunVia;
use mailsudo::limits::POSTFIX_MARGIN;
use mailsudo::protocol::Timestamp;
use mailsudo::system::child::wait_until;
use mailsudo::system::clock::{Clock, SystemClock};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension};
use tempfile::TempDir;

use crate::common::TestGateway;
use crate::strace;

/// A delivery that takes longer hangs: Postfix ends it then. Its last wait, for the ledger to take that the reply was
/// sent, may use all that the other waits leave of this.
const TIMEOUT: Duration = POSTFIX_MARGIN;

/// Takes a message whole or not at all, as postdrop(1) does, and only with the documented words.
const SENDMAIL: &str = r#"#!/bin/sh
[ "$#" = 5 ] && [ "$1 $2 $3 $4" = "-i -f <> --" ] || exit 64
case "$5" in alice@example.com | bob@example.com) ;; *) exit 64 ;; esac
[ ! -e HOME/sendmail.broken ] || exit 75
cat > "HOME/spool/$$" && mv "HOME/spool/$$" "HOME/replies/$$"
"#;

/// Permits every command line of the documented form, and runs it.
const SUDO: &str = r#"#!/bin/sh
permitted="/usr/bin/timeout --kill-after=5s"
case "$*" in
    "-n -u root -- $permitted"*) [ ! -e HOME/sudo.refuses ] || exit 1; shift 4; exec "$@" ;;
    *) exit 64 ;;
esac
"#;

/// The request that holds the exclusive command for a test.
const OTHER_REQUEST: &str = "x'00000000000000000000000000000000000000000000000000000000000000ff'";

/// A gateway, one mail to it, and how it all stood before the mail came.
pub struct Site {
    pub test_gateway: TestGateway,
    /// The arguments of a correct call of the command.
    pub arguments: &'static str,
    run_via: RunVia,
    /// How it ends where it is seen to end.
    pub result: &'static str,
    /// How often it is then run.
    pub runs: usize,
    /// How many messages are sent: a reply, and in some cases one to another user.
    pub messages: usize,
    /// Whether the command is exclusive.
    pub is_exclusive: bool,
    /// Whether calls fail in the first delivery, so that it may have been unable to run the command.
    pub calls_fail: bool,
    /// Whether alice's mail is encrypted.
    pub is_encrypted: bool,
    /// When the mail's request was signed, which no other was.
    signed: Timestamp,
    /// Where the ledger is, in memory if there is room: whether it reaches a disk is for `disk.rs` to say.
    _memory: TempDir,
}

/// How one delivery ended.
#[derive(Debug)]
pub struct Ended {
    pub status: Option<i32>,
    pub signal: Option<i32>,
    pub log: Vec<String>,
}

/// What the ledger holds of the request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    pub state: String,
    pub result: Option<String>,
    pub is_closed: bool,
}

impl Site {
    pub fn new(run_via: RunVia) -> Self {
        let test_gateway = TestGateway::new();
        let memory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder");
        for name in ["ledger", "before", "look", "replies", "spool"] {
            let _ = fs::remove_dir(test_gateway.path(name));
            fs::create_dir(memory.path().join(name)).expect("a folder");
            symlink(memory.path().join(name), test_gateway.path(name)).expect("a link");
        }
        test_gateway.write(
            "sendmail",
            0o755,
            &SENDMAIL.replace("HOME", &test_gateway.folder.path().display().to_string()),
        );
        let home = test_gateway.folder.path().display().to_string();
        test_gateway.write("sudo", 0o755, &SUDO.replace("HOME", &home));
        if run_via == RunVia::Sudo {
            let settings = fs::read_to_string(test_gateway.path("mailsudo.toml")).expect("the settings");
            let via_sudo =
                settings.replace("run_via = \"direct\"", &format!("run_via = \"sudo\"\nsudo = \"{home}/sudo\""));
            test_gateway.write("mailsudo.toml", 0o644, &via_sudo);
        }
        // A soak is longer than ten minutes.
        let count = fs::read_to_string(test_gateway.path("commands.d/count.toml")).expect("a command");
        test_gateway.write("commands.d/count.toml", 0o644, &count.replace("\"10m\"", "\"1d\""));
        Self {
            test_gateway,
            arguments: "",
            run_via,
            result: "exit-0",
            runs: 1,
            messages: 1,
            is_exclusive: true,
            calls_fail: false,
            is_encrypted: false,
            signed: Timestamp::from_seconds(0),
            _memory: memory,
        }
    }

    pub fn trace(&self) -> PathBuf {
        self.test_gateway.path("trace")
    }

    /// What every run of [`deliver`](Self::deliver) begins with.
    pub fn set_request(&mut self, signed: Timestamp, mail: &str) {
        self.signed = signed;
        self.test_gateway.write("mail", 0o600, mail);
    }

    /// Keeps things as they are now as the beginning.
    pub fn keep(&self) {
        copy(&self.test_gateway.path("ledger"), &self.test_gateway.path("before/ledger"));
        let _ = fs::copy(self.test_gateway.path("ran"), self.test_gateway.path("before/ran"));
    }

    /// Puts everything back to the beginning.
    pub fn reset(&self) {
        copy(&self.test_gateway.path("before/ledger"), &self.test_gateway.path("ledger"));
        self.forget_outcome();
        let _ = fs::copy(self.test_gateway.path("before/ran"), self.test_gateway.path("ran"));
    }

    /// As if nothing had been run and no reply sent.
    pub fn forget_outcome(&self) {
        let _ = fs::remove_file(self.test_gateway.path("ran"));
        for name in ["spool", "replies"] {
            empty(&self.test_gateway.path(name));
        }
    }

    /// Delivers the mail under strace(1) with the words `strace`, or without it if there are none. `meanwhile` is
    /// called with what the delivery has logged so far, until it returns false.
    pub fn deliver(&self, strace: &[String], meanwhile: impl Fn(&[String]) -> bool) -> Result<Ended> {
        let out = File::create(self.test_gateway.path("out"))?;
        let mut command = program(self.run_via, strace);
        command
            .args(["deliver", "--queue-id=4X", "--sender=alice@example.com", "--config"])
            .arg(self.test_gateway.folder.path())
            .arg("--reply-via")
            .arg(self.test_gateway.path("sendmail"))
            .current_dir("/")
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .stdin(Stdio::from(File::open(self.test_gateway.path("mail"))?))
            .stdout(Stdio::from(out.try_clone()?))
            .stderr(Stdio::from(out));
        let mut child = command.spawn().context("strace is missing: apt-get install strace")?;
        let (deadline, mut log, mut looking) = (Instant::now() + TIMEOUT, Vec::new(), true);
        let status = loop {
            let next = if looking { Instant::now() + Duration::from_millis(2) } else { deadline };
            if let Some(status) = wait_until(&mut child, next.min(deadline))? {
                break status;
            }
            log.extend(self.test_gateway.log());
            looking = looking && meanwhile(&log);
            if Instant::now() >= deadline {
                child.kill()?;
                bail!("the delivery hangs: {log:?}");
            }
        };
        log.extend(self.test_gateway.log());
        let printed = fs::read_to_string(self.test_gateway.path("out"))?;
        // A deferral that no log took is said in one line: the first call that fails may be one that reads the
        // settings.
        let is_deferral = printed.starts_with("mailsudo: deferred (") && printed.lines().count() == 1;
        ensure!(printed.is_empty() || is_deferral, "it printed: {printed}");
        Ok(Ended { status: status.code(), signal: status.signal(), log })
    }

    /// Waits until nothing runs any more that a delivery to this gateway has started.
    pub fn wait_for_children(&self) -> Result<()> {
        let home = self.test_gateway.folder.path().display().to_string();
        let deadline = Instant::now() + TIMEOUT;
        while is_named_in_a_command_line(&home)? {
            ensure!(Instant::now() < deadline, "a child of a dead delivery does not end");
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// What the ledger holds, seen in a copy, so that it is not changed.
    pub fn look(&self) -> Result<Option<Known>> {
        if !self.test_gateway.path("ledger/ledger.db").exists() {
            return Ok(None);
        }
        copy(&self.test_gateway.path("ledger"), &self.test_gateway.path("look"));
        let ledger =
            Connection::open_with_flags(self.test_gateway.path("look/ledger.db"), OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let sql = "SELECT state, result, handed_over IS NOT NULL FROM requests WHERE signed = ?1";
        let known = ledger.query_row(sql, [self.signed.seconds()], |row| {
            Ok(Known { state: row.get(0)?, result: row.get(1)?, is_closed: row.get(2)? })
        });
        Ok(known.optional()?)
    }

    /// A number from the ledger.
    pub fn number(&self, sql: &str) -> Result<u32> {
        Ok(self.ledger()?.query_row(sql, [], |row| row.get(0))?)
    }

    fn ledger(&self) -> Result<Connection> {
        let ledger = Connection::open(self.test_gateway.path("ledger/ledger.db"))?;
        ledger.busy_timeout(Duration::from_secs(10))?;
        ledger.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        Ok(ledger)
    }

    /// Lets another request hold the exclusive command.
    pub fn hold(&self) -> Result<()> {
        let sql = format!(
            "INSERT INTO requests (name, user, command, arguments, signed, first_seen, state, audit_lost, holds_until)
             VALUES ({OTHER_REQUEST}, 'other', 'count', '', ?1, ?1, 'started', 0, ?1 + 120)"
        );
        self.ledger()?.execute(&sql, [SystemClock.now().seconds()])?;
        self.count("recorded")
    }

    /// Counts the other request, as a delivery would.
    fn count(&self, series: &str) -> Result<()> {
        self.ledger()?.execute("UPDATE counters SET value = value + 1 WHERE series = ?1", [series])?;
        Ok(())
    }

    /// Ends that hold, if it is there.
    pub fn release(&self) -> Result<()> {
        let gone = self.ledger()?.execute(&format!("DELETE FROM requests WHERE name = {OTHER_REQUEST}"), [])?;
        if gone > 0 { self.count("pruned") } else { Ok(()) }
    }

    /// Every reply that sendmail has taken.
    pub fn replies(&self) -> Result<Vec<String>> {
        let mut replies = Vec::new();
        for entry in fs::read_dir(self.test_gateway.path("replies"))? {
            replies.push(fs::read_to_string(entry?.path())?);
        }
        Ok(replies)
    }

    /// Makes the ledger as a sysadmin does, under strace(1).
    pub fn trace_init(&self) -> Result<()> {
        let output = program(self.run_via, &strace::listing(&self.trace(), 1 << 20))
            .args(["ledger", "init", "--config"])
            .arg(self.test_gateway.folder.path())
            .output()
            .context("strace is missing: apt-get install strace")?;
        ensure!(output.status.success(), "{output:?}");
        Ok(())
    }
}

/// The program, under strace(1) if there are words for it. Root may not deliver through sudo, so here root runs it
/// under another user id.
fn program(run_via: RunVia, strace: &[String]) -> Command {
    let mut words = Vec::new();
    if run_via == RunVia::Sudo && rustix::process::geteuid().is_root() {
        words.extend(["unshare", "--user", "--map-user=1000", "--map-group=1000", "--"]);
    }
    if !strace.is_empty() {
        words.push("strace");
        words.extend(strace.iter().map(String::as_str));
    }
    words.push(env!("CARGO_BIN_EXE_mailsudo"));
    let mut command = Command::new(words[0]);
    command.args(&words[1..]);
    command
}

/// Whether a process runs that has `path` in its command line.
fn is_named_in_a_command_line(path: &str) -> Result<bool> {
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        if name.as_encoded_bytes().first().is_some_and(u8::is_ascii_digit)
            // One that has gone meanwhile has none.
            && let Ok(line) = fs::read(Path::new("/proc").join(name).join("cmdline"))
            && line.windows(path.len()).any(|part| part == path.as_bytes())
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Makes the folder `to` hold what `from` holds, and nothing else.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    fs::set_permissions(to, fs::metadata(from).expect("metadata").permissions()).expect("a mode");
    empty(to);
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
    }
}

pub fn empty(folder: &Path) {
    for entry in fs::read_dir(folder).expect("a folder") {
        fs::remove_file(entry.expect("an entry").path()).expect("removed");
    }
}
