//! A temporary gateway with a clock that the test sets. The programs around it check their own inputs: the sendmail
//! refuses every argument vector but the documented one, the command records each of its runs.

#![allow(dead_code, missing_docs, unreachable_pub)]

pub mod ssh;

use std::cell::Cell;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use mailsudo::audit::Audit;
use mailsudo::authenticate::Factor;
use mailsudo::config::{Gateway, Trusted};
use mailsudo::error::Deferral;
use mailsudo::intake::Envelope;
use mailsudo::limits::Timeouts;
use mailsudo::pipeline::{self, Context, End, Mode, Trace};
use mailsudo::protocol::{Code, CommandName, GatewayName, Key, ParameterName, Timestamp, UnsignedRequest, UserName};
use mailsudo::reply::ReplyTransport;
use mailsudo::system::clock::Clock;
use tempfile::TempDir;

pub const KEY: &str = "8f1d2c3b4a5968778695a4b3c2d1e0f00f1e2d3c4b5a69788796a5b4c3d2e1f0";
pub const OTHER_KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
pub const TOTP: &str = "otpauth://totp/x?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP";

/// It moves only by what is slept; setting it ends no wait.
pub struct TestClock {
    now: Cell<Timestamp>,
    instant: Cell<Instant>,
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        self.now.get()
    }

    fn instant(&self) -> Instant {
        self.instant.get()
    }

    fn sleep(&self, span: Duration) {
        // A fifth of a second at a time would never add up to a second.
        let span = span.max(Duration::from_secs(1));
        self.now.set(self.now.get().plus(span));
        self.instant.set(self.instant.get() + span);
    }
}

impl TestClock {
    pub fn set(&self, time: Timestamp) {
        self.now.set(time);
    }

    pub fn forward(&self, seconds: i64) {
        self.set(Timestamp::from_seconds(self.now.get().seconds() + seconds));
    }
}

pub struct TestGateway {
    pub folder: TempDir,
    pub clock: TestClock,
    pub envelope: Envelope,
    pub timeouts: Timeouts,
    log: UnixDatagram,
}

/// What one delivery did.
#[derive(Debug)]
pub struct Ended {
    /// The part that deferred it, if it was deferred.
    pub deferred: Option<&'static str>,
    pub log: Vec<String>,
    pub replies: Vec<String>,
}

impl Ended {
    pub fn refused(&self, reason: &str) -> bool {
        self.log.iter().any(|line| line.contains("event=refused") && line.contains(&format!("reason={reason} ")))
    }

    pub fn reply(&self) -> &str {
        assert_eq!(self.replies.len(), 1, "{self:?}");
        &self.replies[0]
    }
}

const SENDMAIL: &str = r#"#!/bin/sh
[ "$#" = 5 ] && [ "$1 $2 $3 $4" = "-i -f <> --" ] || exit 64
[ ! -e HOME/sendmail.broken ] || exit 75
n=$(ls HOME/replies | wc -l)
cat > "HOME/replies/$n"
"#;

const COMMAND: &str = r#"#!/bin/sh
echo "$*" >> HOME/ran
echo "ran with $*"
[ ! -e HOME/hook ] || . HOME/hook
exit "${STATUS:-0}"
"#;

impl TestGateway {
    /// berlin, with alice (role web) and bob (role oncall), and the commands `count` and `restart`.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let home = folder.path().display().to_string();
        for name in ["users.d", "secrets.d", "commands.d", "replies", "ledger"] {
            fs::create_dir(folder.path().join(name)).expect("a folder");
        }
        let log = UnixDatagram::bind(folder.path().join("log")).expect("a log");
        log.set_nonblocking(true).expect("a log that does not block");
        let now = Timestamp::parse("2026-11-23T10:15:05Z").expect("a time");
        let clock = TestClock { now: Cell::new(now), instant: Cell::new(Instant::now()) };
        let test_gateway = Self { folder, clock, envelope: Envelope::default(), timeouts: Timeouts::DEFAULT, log };
        test_gateway.write("mailsudo.toml", 0o644, &settings(&home, ""));
        test_gateway.write("sendmail", 0o755, &SENDMAIL.replace("HOME", &home));
        test_gateway.write("command", 0o755, &COMMAND.replace("HOME", &home));
        test_gateway.user("alice", KEY, "web");
        test_gateway.user("bob", OTHER_KEY, "oncall");
        test_gateway.write(
            "commands.d/count.toml",
            0o644,
            &format!(
                "summary = \"Count\"\nrun_as = \"root\"\nargv = [\"{home}/command\"]\ntimeout = \"30s\"\nmax_age = \"10m\"\n[allow.web]\n"
            ),
        );
        test_gateway.write(
            "commands.d/restart.toml",
            0o644,
            &format!(
                "summary = \"Restart\"\nrun_as = \"root\"\nargv = [\"{home}/command\", \"{{service}}\", \"--level={{level}}\"]\n\
                 exclusive = false\n\
                 [parameters.service]\none_of = [\"nginx\", \"mysql\"]\n\
                 [parameters.level]\ninteger = {{ min = 1, max = 9 }}\ndefault = 3\n\
                 [allow.oncall]\n[allow.web]\nservice = [\"nginx\"]\n"
            ),
        );
        test_gateway.write(
            "commands.d/secret.toml",
            0o644,
            &format!("summary = \"Not for alice\"\nrun_as = \"root\"\nargv = [\"{home}/command\"]\nmax_age = \"1m\"\n[allow.oncall]\n"),
        );
        test_gateway
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, mode: u32, content: &str) {
        let path = self.path(name);
        if mode & 0o111 != 0 {
            return write_program(&path, mode, content);
        }
        fs::write(&path, content).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
    }

    /// Adds lines to `mailsudo.toml`: keys of the top level.
    pub fn set(&self, more: &str) {
        self.write("mailsudo.toml", 0o644, &settings(&self.folder.path().display().to_string(), more));
    }

    pub fn user(&self, name: &str, key: &str, role: &str) {
        let about = format!("address = \"{name}@example.com\"\nroles = [\"{role}\"]\n");
        self.write(&format!("users.d/{name}.toml"), 0o644, &about);
        self.write(&format!("secrets.d/{name}.toml"), 0o600, &format!("hmac_key = \"{key}\"\ntotp = \"{TOTP}\"\n"));
    }

    /// Gives alice these SSH keys, and `more` lines in her file.
    pub fn ssh_keys(&self, keys: &[String], more: &str) {
        let text = format!("address = \"alice@example.com\"\nroles = [\"web\"]\nssh_keys = {keys:?}\n{more}\n");
        self.write("users.d/alice.toml", 0o644, &text);
    }

    /// A block of alice's, with the right code.
    #[allow(clippy::unused_self)]
    pub fn block(&self, time: Timestamp, command: &str, arguments: &[(&str, &str)]) -> String {
        block("alice", KEY, time, command, arguments, None)
    }

    /// A mail of alice's, signed now, with the right code.
    pub fn request(&self, command: &str, arguments: &[(&str, &str)]) -> String {
        mail("alice@example.com", &self.block(self.clock.now(), command, arguments))
    }

    pub fn deliver(&mut self, mail: &str) -> Ended {
        self.deliver_bytes(mail.as_bytes())
    }

    pub fn deliver_bytes(&mut self, mail: &[u8]) -> Ended {
        let before = self.replies().len();
        let gateway = Gateway::open(self.folder.path(), Trusted::caller());
        let gateway = gateway.unwrap_or_else(|error| panic!("the test's gateway: {error}"));
        let mut audit = Audit::new(gateway.settings(), None);
        let transport = ReplyTransport::Sendmail(self.path("sendmail"));
        let (envelope, timeouts) = (&self.envelope, self.timeouts);
        let context = context(&gateway, envelope, &self.clock, timeouts);
        let ended = deliver(&context, &transport, mail, &mut audit);
        Ended {
            deferred: ended.err().map(|deferral| deferral.part),
            log: self.log(),
            replies: self.replies().split_off(before),
        }
    }

    pub fn log(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut buffer = [0; 16384];
        while let Ok(read) = self.log.recv(&mut buffer) {
            lines.push(String::from_utf8_lossy(&buffer[..read]).into_owned());
        }
        lines
    }

    /// A syslogd that hangs: its socket takes `lines` more datagrams and no more.
    pub fn leave_room_in_the_log(&self, lines: usize) {
        let filler = UnixDatagram::unbound().expect("a socket");
        filler.set_nonblocking(true).expect("a socket that does not block");
        let _ = self.log();
        while filler.send_to(b"filler", self.path("log")).is_ok() {}
        for _ in 0..lines {
            self.log.recv(&mut [0; 64]).expect("a filler");
        }
    }

    /// Every message that was sent so far, in order.
    pub fn replies(&self) -> Vec<String> {
        let folder = self.path("replies");
        let count = fs::read_dir(&folder).expect("replies").count();
        (0..count).map(|n| fs::read_to_string(folder.join(n.to_string())).expect("a reply")).collect()
    }

    /// The arguments of every run so far.
    pub fn runs(&self) -> Vec<String> {
        let ran = fs::read_to_string(self.path("ran")).unwrap_or_default();
        ran.lines().map(str::to_owned).collect()
    }

    pub fn break_sendmail(&self, broken: bool) {
        let mark = self.path("sendmail.broken");
        if broken {
            fs::write(mark, "").expect("a mark");
        } else {
            fs::remove_file(mark).expect("no mark");
        }
    }

    /// The ledger, opened beside the program.
    pub fn ledger(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.path("ledger/ledger.db")).expect("the ledger")
    }

    /// A run of `count` holds the command until then, and its delivery has died.
    pub fn hold(&self, until: Timestamp) {
        let sql =
            "INSERT OR REPLACE INTO requests (name, user, command, arguments, signed, first_seen, state, handed_over,
                                                    audit_lost, holds_until)
                   VALUES (zeroblob(32), 'nobody', 'count', '', ?1, ?1, 'finished', ?1, 0, ?1)";
        self.ledger().execute(sql, [until.seconds()]).expect("a held command");
    }

    /// How many requests besides that one hold their command.
    pub fn held(&self) -> u32 {
        let sql = "SELECT count(holds_until) FROM requests WHERE user <> 'nobody'";
        self.ledger().query_row(sql, [], |row| row.get(0)).expect("a count")
    }

    /// How many requests are on record, and how many of them use a step.
    pub fn recorded(&self) -> (u32, u32) {
        if !self.path("ledger/ledger.db").exists() {
            return (0, 0);
        }
        let sql = "SELECT count(*), count(step) FROM requests";
        self.ledger().query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).expect("a count")
    }
}

/// What `pipeline::run` needs besides the mail.
pub fn context<'c>(
    gateway: &'c Gateway,
    envelope: &'c Envelope,
    clock: &'c dyn Clock,
    timeouts: Timeouts,
) -> Context<'c> {
    Context { gateway, trusted: Trusted::caller(), envelope, clock, timeouts }
}

/// Delivers `mail`, whose reply is sent by `transport`.
pub fn deliver(
    context: &Context<'_>,
    transport: &ReplyTransport,
    mut mail: &[u8],
    audit: &mut Audit,
) -> Result<End, Deferral> {
    pipeline::run(context, &mut mail, Mode::Deliver(transport), audit)
}

/// What `explain` says of `mail`, and whether its command would run.
pub fn explain(test_gateway: &TestGateway, mail: &str) -> (bool, Vec<String>) {
    explain_bytes(test_gateway, mail.as_bytes())
}

pub fn explain_bytes(test_gateway: &TestGateway, mut mail: &[u8]) -> (bool, Vec<String>) {
    let gateway = Gateway::open(test_gateway.folder.path(), Trusted::caller()).expect("a gateway");
    let context = context(&gateway, &test_gateway.envelope, &test_gateway.clock, Timeouts::DEFAULT);
    let mut trace = Trace::new(&gateway);
    let end = pipeline::run(&context, &mut mail, Mode::Explain, &mut trace);
    (matches!(end, Ok(End::WouldRun)), trace.lines().to_vec())
}

fn settings(home: &str, more: &str) -> String {
    format!(
        "gateway = \"berlin\"\naddress = \"ops@example.com\"\n{more}\n\
         [ledger]\nurl = \"sqlite:{home}/ledger/ledger.db\"\n[syslog]\nto = \"{home}/log\"\n[execution]\nrun_via = \"direct\"\n\
         mailsudo = \"{}\"\n",
        env!("CARGO_BIN_EXE_mailsudo")
    )
}

/// Writes a program by another process, install(1). A child that another thread has just forked holds every descriptor of
/// this process until it becomes its own program, and what is open for writing cannot be executed (ETXTBSY).
pub fn write_program(path: &Path, mode: u32, content: &str) {
    let mut install = Command::new("install");
    install.arg(format!("--mode={mode:o}")).arg("/dev/stdin").arg(path).stdin(Stdio::piped());
    let mut install = install.spawn().expect("install(1)");
    install.stdin.take().expect("a pipe").write_all(content.as_bytes()).expect("written");
    assert!(install.wait().expect("its end").success(), "{}", path.display());
}

pub fn factor() -> Factor {
    Factor::from_url(TOTP).expect("a factor")
}

/// A signed block; the code is the right one unless given.
pub fn block(
    user: &str,
    key: &str,
    time: Timestamp,
    command: &str,
    arguments: &[(&str, &str)],
    code: Option<&str>,
) -> String {
    unsigned(user, time, command, arguments, code).sign(&Key::from_hex(key).expect("a key")).expect("a block")
}

/// What `block` signs.
pub fn unsigned(
    user: &str,
    time: Timestamp,
    command: &str,
    arguments: &[(&str, &str)],
    code: Option<&str>,
) -> UnsignedRequest {
    let code = match code {
        Some(code) => Code::parse(code).expect("a code"),
        None => factor().code_at(time).expect("a code"),
    };
    let arguments =
        arguments.iter().map(|(name, value)| (ParameterName::try_from(*name).expect("a name"), (*value).to_owned()));
    UnsignedRequest {
        gateway: GatewayName::try_from("berlin").expect("a name"),
        user: UserName::try_from(user).expect("a name"),
        time,
        code,
        command: CommandName::try_from(command).expect("a name"),
        arguments: arguments.collect(),
        payload: None,
    }
}

/// A plain mail around `text`.
pub fn mail(from: &str, text: &str) -> String {
    format!(
        "From: {from}\nTo: ops@example.com\nSubject: please\nMessage-ID: <1@example.com>\n\
         Content-Type: text/plain; charset=utf-8\n\n{text}"
    )
}
