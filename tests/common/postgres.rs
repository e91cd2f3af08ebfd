//! A PostgreSQL server of the tests' own: Debian's, in a temporary folder, as an unprivileged account, on a Unix socket
//! and with TLS on a port of 127.0.0.1, which is its own also while it is stopped. It ends, and its folder goes, with
//! the process that asked for it, however that ends.

#![allow(dead_code, missing_docs, unreachable_pub)]

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The account that Debian's package makes. PostgreSQL does not run as root.
const ACCOUNT: &str = "postgres";

/// The role that owns the tables; a superuser.
pub const OWNER: &str = "owner";

/// The role of `deliver`, and its password over TCP.
pub const DELIVER: &str = "mailsudo";
pub const PASSWORD: &str = "correct horse";

/// A port of 127.0.0.1 on which nobody listens. While this is held, the kernel gives it to nobody who asks for any port;
/// a server that asks for this one gets it, if it takes over what others hold (SO_REUSEADDR), as PostgreSQL does.
pub struct Port {
    pub number: u16,
    _held: OwnedFd,
}

impl Port {
    pub fn new() -> Self {
        use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, socket_with, sockopt};
        let held = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None).expect("a socket");
        sockopt::set_socket_reuseaddr(&held, true).expect("an option");
        bind(&held, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let place = SocketAddr::try_from(getsockname(&held).expect("its port")).expect("an address");
        Self { number: place.port(), _held: held }
    }
}

pub struct Server {
    pub folder: PathBuf,
    pub port: u16,
    _port: Port,
    programs: PathBuf,
    keeper: Child,
}

/// Waits for its standard input to end, which is when the test's process does.
const KEEPER: &str = r#"
set -e
cd "$1"
"$2/initdb" -D data -U owner -A trust -E UTF8 --locale=C.UTF-8 --no-sync >initdb.log 2>&1
cat conf >>data/postgresql.conf
cp hba data/pg_hba.conf
"$2/postgres" -D data >>log 2>&1 3<&- &
echo $! >pid
cat >/dev/null
kill -QUIT "$(cat pid)" 2>/dev/null || true
wait
cd /
rm -rf "$1"
"#;

/// A command as the unprivileged account.
fn unprivileged(program: &str) -> Command {
    if !rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args([&format!("--reuid={ACCOUNT}"), &format!("--regid={ACCOUNT}"), "--clear-groups", program]);
    command
}

/// Where Debian has the programs of the newest version, which is 15 at least.
fn programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let number = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    let newest = versions.map(|entry| entry.path()).filter(|path| number(path) >= Some(15)).max_by_key(number);
    newest.expect("PostgreSQL 15 or newer: apt-get install postgresql (tests/setup)").join("bin")
}

/// The process's server.
pub fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| Server::start(""))
}

impl Server {
    /// A server with these lines more in postgresql.conf.
    pub fn start(conf: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("mailsudo-pg").tempdir().expect("a folder").keep();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).expect("a mode");
        let held = Port::new();
        let port = held.number;
        let shown = folder.display();
        certificates(&folder);
        fs::write(
            folder.join("conf"),
            format!(
                "listen_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = '{shown}'\nfsync = off\n\
                 max_connections = 200\nshared_buffers = 16MB\nssl = on\nssl_cert_file = '{shown}/server.pem'\n\
                 ssl_key_file = '{shown}/server.key'\n{conf}\n"
            ),
        )
        .expect("a configuration");
        let hba = "local replication all trust\nlocal all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n";
        fs::write(folder.join("hba"), hba).expect("a configuration");
        if rustix::process::geteuid().is_root() {
            let done = Command::new("chown").args(["-R", ACCOUNT]).arg(&folder).status().expect("chown");
            assert!(done.success(), "there is no account {ACCOUNT}: apt-get install postgresql (tests/setup)");
        }
        let programs = programs();
        let mut keeper = unprivileged("/bin/sh");
        keeper.args(["-c", KEEPER, "keeper"]).arg(&folder).arg(&programs).stdin(Stdio::piped());
        let keeper = keeper.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a shell");
        let server = Self { folder, port, _port: held, programs, keeper };
        server.wait_until_ready();
        server.sql("postgres", &format!("CREATE ROLE {DELIVER} LOGIN PASSWORD '{PASSWORD}'"));
        server
    }

    pub fn wait_until_ready(&self) {
        let begun = Instant::now();
        loop {
            let asked = Command::new(self.programs.join("pg_isready")).args(self.place("postgres")).output();
            if asked.expect("pg_isready").status.success() {
                return;
            }
            let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            assert!(begun.elapsed() < Duration::from_mins(2), "the server does not start: {log}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn place(&self, database: &str) -> [String; 4] {
        let folder = self.folder.display();
        ["-h".to_owned(), folder.to_string(), format!("-p{}", self.port), format!("-d{database}")]
    }

    /// Runs SQL as the owner, and gives what it prints.
    pub fn sql(&self, database: &str, sql: &str) -> String {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args(self.place(database)).args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-U", OWNER]);
        let mut psql = psql.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("psql");
        psql.stdin.take().expect("its input").write_all(sql.as_bytes()).expect("written");
        let output = psql.wait_with_output().expect("psql");
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// A program of PostgreSQL's, as the owner, for this database.
    pub fn tool(&self, program: &str, database: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.args(self.place(database)).args(["-U", OWNER]);
        command
    }

    /// A new database's name.
    pub fn database(&self) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("ledger{}", COUNT.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        name
    }

    /// `[ledger] url` of a database, as this role.
    pub fn url(&self, role: &str, database: &str) -> String {
        format!("postgresql://{role}@/{database}?host={}&port={}", self.folder.display(), self.port)
    }

    /// The postmaster's process id.
    pub fn pid(&self) -> i32 {
        let pid = fs::read_to_string(self.folder.join("data/postmaster.pid")).expect("a running server");
        pid.lines().next().and_then(|line| line.parse().ok()).expect("its process id")
    }

    /// Stops the server in this way of pg_ctl(1): smart, fast or immediate.
    pub fn stop(&self, mode: &str) {
        self.control(&["stop", "-w", "-m", mode]);
    }

    /// Starts it again.
    pub fn start_again(&self) {
        self.control(&["start", "-W", "-l", &self.folder.join("log").display().to_string()]);
        // The keeper ends the server by this file.
        let begun = Instant::now();
        while !self.folder.join("data/postmaster.pid").exists() && begun.elapsed() < Duration::from_mins(1) {
            std::thread::sleep(Duration::from_millis(20));
        }
        self.wait_until_ready();
        fs::write(self.folder.join("pid"), self.pid().to_string()).expect("written");
    }

    pub fn control(&self, words: &[&str]) {
        let program = self.programs.join("pg_ctl").display().to_string();
        let done = unprivileged(&program)
            .arg("-D")
            .arg(self.folder.join("data"))
            .args(words)
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status();
        assert!(done.expect("pg_ctl").success(), "pg_ctl {words:?}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// A certificate for the name `database`, the one that signs it (`ca.pem`), and another that does not (`other.pem`).
fn certificates(folder: &Path) {
    let script = r#"
        set -e
        cd "$1"
        for ca in ca other; do
            openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -keyout $ca.key -out $ca.pem \
                -subj /CN=$ca -addext basicConstraints=critical,CA:TRUE
        done
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout server.key -out server.csr -subj /CN=database
        printf 'subjectAltName=DNS:database\n' >extensions
        openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out server.pem -extfile extensions
        chmod 0600 server.key
        chmod 0644 ca.pem other.pem
    "#;
    let made = Command::new("/bin/sh").args(["-c", script, "certificates"]).arg(folder).output().expect("a shell");
    assert!(made.status.success(), "openssl (tests/setup): {}", String::from_utf8_lossy(&made.stderr));
}
