//! What setup finds on the host. In: nothing. Out: a [`Found`]. It changes nothing.

use std::fs;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;

use crate::config::MailAddress;
use crate::limits::{SETUP_ANSWER, SETUP_GREETING};
use crate::postfix::Postfix;
use crate::system::child::output_within;

/// A mail server that can pipe a message into a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum MailServer {
    /// Postfix.
    Postfix,
    /// Exim 4, with Debian's configuration.
    Exim,
    /// OpenSMTPD.
    Opensmtpd,
    /// None: a mailbox at a provider is fetched over IMAP.
    Imap,
}

impl MailServer {
    /// Its name, in words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Postfix => "Postfix",
            Self::Exim => "Exim",
            Self::Opensmtpd => "OpenSMTPD",
            Self::Imap => "a mailbox at a provider (IMAP)",
        }
    }
}

/// Something that is missing, with what it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// What is missing.
    pub what: &'static str,
    /// The command that installs or corrects it.
    pub remedy: String,
    /// Whether a gateway cannot work without it.
    pub is_needed: bool,
}

/// The host as it is.
#[derive(Debug)]
pub struct Found {
    /// The installed mail server, and whether it answers.
    pub server: Option<(MailServer, bool)>,
    /// What sudo says about its version.
    pub sudo: Option<String>,
    /// Whether a syslog daemon listens.
    pub has_syslog: bool,
    /// Whether the clock is synchronised, where a program says so.
    pub is_clock_synchronised: Option<bool>,
    /// The host's own name, without its domain.
    pub host: String,
    /// The first domain that the mail server takes mail for.
    pub domain: Option<String>,
    /// What is missing.
    pub missing: Vec<Missing>,
}

/// Looks. `server` is the mail server to use, where the sysadmin has named one; `postfix` is the folder of Postfix's
/// files.
pub fn look(server: Option<MailServer>, postfix: &Path) -> Found {
    let node = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let installed = server.or_else(installed);
    let mut missing = Vec::new();
    let need = |what, package: &str, is_needed| Missing { what, remedy: install(package), is_needed };
    if installed.is_none() {
        missing.push(need(
            "a mail server (Postfix, Exim or OpenSMTPD); without one, see --server imap",
            "postfix",
            true,
        ));
    }
    let sudo = said(Command::new("/usr/bin/sudo").arg("--version"));
    if sudo.is_none() {
        missing.push(need("sudo", "sudo", true));
    }
    let has_syslog = UnixDatagram::unbound().and_then(|socket| socket.connect("/dev/log")).is_ok();
    if !has_syslog {
        missing.push(need("a syslog daemon on /dev/log: without a log nothing runs", "rsyslog", true));
    }
    let is_clock_synchronised =
        said(Command::new("timedatectl").args(["show", "--property=NTPSynchronized", "--value"]))
            .map(|word| word == "yes");
    if is_clock_synchronised != Some(true) {
        missing.push(need("a synchronised clock (codes are accepted within about 30 s)", "systemd-timesyncd", false));
    }
    if said(Command::new("getent").args(["hosts", "--", &node])).is_none() {
        missing.push(Missing {
            what: "the host's own name in DNS or /etc/hosts: sudo waits for it before each command",
            remedy: format!("echo '127.0.1.1 {node}' >>/etc/hosts"),
            is_needed: false,
        });
    }
    if installed == Some(MailServer::Imap) {
        if !Path::new("/usr/bin/msmtp").exists() {
            missing.push(need("msmtp, which sends replies to the provider", "msmtp", true));
        }
        if !Path::new("/usr/bin/getmail").exists() && !Path::new("/usr/bin/fetchmail").exists() {
            missing.push(need("getmail6 or fetchmail", "getmail6", true));
        }
    }
    let is_running = |server| match server {
        MailServer::Postfix => Postfix::open(postfix).is_ok_and(|postfix| postfix.is_running()),
        MailServer::Exim | MailServer::Opensmtpd => is_greeted(),
        MailServer::Imap => true,
    };
    Found {
        server: installed.map(|server| (server, is_running(server))),
        sudo: sudo.map(|said| said.lines().next().unwrap_or_default().to_owned()),
        has_syslog,
        is_clock_synchronised,
        host: node.split('.').next().unwrap_or_default().to_lowercase(),
        domain: domain(installed, postfix),
        missing,
    }
}

/// The mail server whose sendmail this is.
pub fn installed() -> Option<MailServer> {
    let real = fs::canonicalize("/usr/sbin/sendmail").ok()?;
    let name = real.file_name()?.to_str()?;
    if name.starts_with("exim") {
        Some(MailServer::Exim)
    } else if name.contains("smtpctl") {
        Some(MailServer::Opensmtpd)
    } else {
        let has_postconf = ["/usr/sbin/postconf", "/usr/bin/postconf"].into_iter().any(|path| Path::new(path).exists());
        has_postconf.then_some(MailServer::Postfix)
    }
}

/// The first domain that the mail server takes mail for.
fn domain(server: Option<MailServer>, postfix: &Path) -> Option<String> {
    let text = |path| fs::read_to_string(path).unwrap_or_default();
    let mut names: Vec<String> = Vec::new();
    match server {
        Some(MailServer::Postfix) => {
            let list = Postfix::open(postfix).and_then(|postfix| postfix.destinations()).unwrap_or_default();
            names.extend(list);
        }
        Some(MailServer::Exim) => {
            let debian = text("/etc/exim4/update-exim4.conf.conf");
            let list = debian.lines().find_map(|line| line.strip_prefix("dc_other_hostnames=")).unwrap_or_default();
            names.extend(list.trim_matches('\'').split([':', ';']).map(|name| name.trim().to_owned()));
        }
        Some(MailServer::Opensmtpd | MailServer::Imap) | None => {}
    }
    names.push(text("/etc/mailname").trim().to_owned());
    names.extend(said(Command::new("hostname").arg("--fqdn")));
    let is_domain =
        |name: &String| !name.starts_with("localhost") && MailAddress::try_from(format!("ops@{name}")).is_ok();
    names
        .iter()
        .find(|name| is_domain(name) && name.contains('.'))
        .or_else(|| names.iter().find(|name| is_domain(name)))
        .cloned()
}

/// The command that installs a package, as this system has it.
fn install(package: &str) -> String {
    if Path::new("/usr/bin/dnf").exists() { format!("dnf install {package}") } else { format!("apt install {package}") }
}

/// Whether something greets on port 25 of this host (RFC 5321, section 3.1).
fn is_greeted() -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 25));
    let Ok(mut stream) = TcpStream::connect_timeout(&address, SETUP_GREETING) else {
        return false;
    };
    let mut greeting = [0; 3];
    stream.set_read_timeout(Some(SETUP_GREETING)).is_ok()
        && stream.read_exact(&mut greeting).is_ok()
        && &greeting == b"220"
}

/// What a program prints, if it succeeds.
fn said(command: &mut Command) -> Option<String> {
    let answer = output_within(command, SETUP_ANSWER).ok().flatten()?;
    answer.status.success().then(|| answer.out.trim().to_owned())
}
