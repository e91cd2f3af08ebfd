//! The URL of a ledger in PostgreSQL. In: a URL as libpq writes it (PostgreSQL manual, "Connection URIs"). Out: the
//! hosts, the user and the database, each checked.
//!
//! MUST: no password in a URL, because errors and `ledger status` show it. No name that needs DNS: a static glibc
//! cannot look one up, and DNS is one more thing that can be down.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

/// PostgreSQL servers, of which one takes writes, and the database there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresUrl {
    text: String,
    /// The servers, in the order in which they are tried.
    pub hosts: Vec<PostgresHost>,
    /// The role; `None`: the one that is named like `service_user`.
    pub user: Option<String>,
    /// The database.
    pub database: String,
    /// The certificates that sign the servers' own (PEM). `None` only where no server is across a network.
    pub root_certificates: Option<PathBuf>,
}

/// A PostgreSQL server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PostgresHost {
    /// This Unix socket.
    Socket(PathBuf),
    /// This address and port. A server across a network proves with its certificate that it has the name.
    Address {
        /// What its certificate must name.
        name: String,
        /// Where it is.
        address: IpAddr,
        /// Its port.
        port: u16,
    },
}

impl PostgresHost {
    /// What its certificate must name; `None` for a Unix socket.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Socket(_) => None,
            Self::Address { name, .. } => Some(name),
        }
    }
}

impl fmt::Display for PostgresHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => write!(f, "{}", path.display()),
            Self::Address { name, port, .. } => write!(f, "{name} port {port}"),
        }
    }
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "postgresql://{}", self.text)
    }
}

/// Where Debian's PostgreSQL has its socket.
const SOCKETS: &str = "/run/postgresql";

/// PostgreSQL's own port, which its socket's name has too.
const PORT: u16 = 5432;

/// The parameters of a URL, as they are written.
#[derive(Default)]
struct Parameters {
    host: Option<String>,
    hostaddr: Option<String>,
    port: Option<String>,
    sslmode: Option<String>,
    sslrootcert: Option<String>,
    target_session_attrs: Option<String>,
    user: Option<String>,
    dbname: Option<String>,
}

impl Parameters {
    fn read(text: &str) -> Result<Self, String> {
        let mut all = Self::default();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').ok_or_else(|| format!("`{pair}` is not KEY=VALUE"))?;
            let slot = match key {
                "host" => &mut all.host,
                "hostaddr" => &mut all.hostaddr,
                "port" => &mut all.port,
                "sslmode" => &mut all.sslmode,
                "sslrootcert" => &mut all.sslrootcert,
                "target_session_attrs" => &mut all.target_session_attrs,
                "user" => &mut all.user,
                "dbname" => &mut all.dbname,
                "password" => return Err(PASSWORD.to_owned()),
                _ => {
                    return Err(format!(
                        "unknown parameter `{key}`: known are host, hostaddr, port, user, dbname, sslmode, sslrootcert and \
                         target_session_attrs"
                    ));
                }
            };
            if slot.replace(decoded(value)?).is_some() {
                return Err(format!("`{key}` is there twice"));
            }
        }
        Ok(all)
    }
}

const PASSWORD: &str = "no password in the URL: write it into a file of mode 0600 and name that in password_file";

impl PostgresUrl {
    /// Reads what stands behind `postgresql://`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (before, parameters) = text.split_once('?').unwrap_or((text, ""));
        let mut given = Parameters::read(parameters)?;
        let (authority, database) = before.split_once('/').unwrap_or((before, ""));
        let (user, hosts) = match authority.rsplit_once('@') {
            Some((user, hosts)) => (Some(user), hosts),
            None => (None, authority),
        };
        if let Some(user) = user.filter(|user| !user.is_empty()) {
            if user.contains(':') {
                return Err(PASSWORD.to_owned());
            }
            given.user = Some(decoded(user)?);
        }
        if !database.is_empty() {
            given.dbname = Some(decoded(database)?);
        }
        if !hosts.is_empty() {
            let (names, ports) = split_ports(hosts)?;
            given.host = Some(names);
            given.port = given.port.or(ports);
        }
        let database = given.dbname.clone().filter(|name| !name.is_empty());
        let database = database.ok_or("it names no database: write it like postgresql:///mailsudo")?;
        if given.target_session_attrs.as_deref().is_some_and(|wanted| wanted != "read-write") {
            return Err("target_session_attrs can only be read-write".to_owned());
        }
        let hosts = hosts_of(&given)?;
        let root_certificates = root_certificates(&given, &hosts)?;
        Ok(Self { text: text.to_owned(), hosts, user: given.user, database, root_certificates })
    }
}

/// `a:1,[::1]:2` as the lists `a,::1` and `1,2`; no ports where none is written.
fn split_ports(hosts: &str) -> Result<(String, Option<String>), String> {
    let mut names = Vec::new();
    let mut ports = Vec::new();
    for host in hosts.split(',') {
        let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((name, rest)) => (name, rest.strip_prefix(':').unwrap_or(rest)),
            None => host.split_once(':').unwrap_or((host, "")),
        };
        names.push(decoded(name)?);
        ports.push(port.to_owned());
    }
    let has_port = ports.iter().any(|port| !port.is_empty());
    Ok((names.join(","), has_port.then(|| ports.join(","))))
}

fn hosts_of(given: &Parameters) -> Result<Vec<PostgresHost>, String> {
    let list = |text: &Option<String>| -> Vec<String> {
        text.as_deref().map(|text| text.split(',').map(str::to_owned).collect()).unwrap_or_default()
    };
    let (names, addresses, ports) = (list(&given.host), list(&given.hostaddr), list(&given.port));
    let count = names.len().max(addresses.len()).max(1);
    if !addresses.is_empty() && !names.is_empty() && addresses.len() != names.len() {
        return Err("host and hostaddr have different numbers of entries".to_owned());
    }
    if ports.len() > 1 && ports.len() != count {
        return Err("host and port have different numbers of entries".to_owned());
    }
    let mut hosts = Vec::with_capacity(count);
    for at in 0..count {
        let port = ports.get(at).or(ports.first().filter(|_| ports.len() == 1)).map_or("", String::as_str);
        let port = match port {
            "" => PORT,
            text => text.parse().map_err(|_| format!("`{text}` is not a port"))?,
        };
        let address = addresses.get(at).map(String::as_str).filter(|text| !text.is_empty());
        let name = names.get(at).map(String::as_str).filter(|text| !text.is_empty()).or(address).unwrap_or(SOCKETS);
        if name.starts_with('/') {
            hosts.push(PostgresHost::Socket(PathBuf::from(name).join(format!(".s.PGSQL.{port}"))));
            continue;
        }
        let address = match address.unwrap_or(name) {
            "localhost" => IpAddr::from([127, 0, 0, 1]),
            text => text.parse().map_err(|_| {
                format!("`{text}` is not an IP address: the ledger is opened without DNS; add hostaddr= with the address of {name}")
            })?,
        };
        hosts.push(PostgresHost::Address { name: name.to_owned(), address, port });
    }
    Ok(hosts)
}

/// The file of certificates. A server on this host may do without; any other must prove its name.
fn root_certificates(given: &Parameters, hosts: &[PostgresHost]) -> Result<Option<PathBuf>, String> {
    let file = given.sslrootcert.as_ref().map(PathBuf::from);
    let is_remote =
        |host: &PostgresHost| matches!(host, PostgresHost::Address { address, .. } if !address.is_loopback());
    match given.sslmode.as_deref() {
        None => {}
        Some("verify-full") if file.is_some() => {}
        Some("verify-full") => return Err("sslmode=verify-full needs sslrootcert=/absolute/path.pem".to_owned()),
        Some("disable") if file.is_none() && !hosts.iter().any(is_remote) => {}
        Some(_) => return Err("sslmode can only be verify-full; disable only for a server on this host".to_owned()),
    }
    match file {
        Some(file) if file.is_absolute() => Ok(Some(file)),
        Some(_) => Err("sslrootcert must be an absolute path".to_owned()),
        None => match hosts.iter().find(|host| is_remote(host)) {
            Some(host) => Err(format!(
                "{host} is across a network: add sslrootcert=/etc/mailsudo/postgresql-ca.pem, the certificate that signs the \
                 server's"
            )),
            None => Ok(None),
        },
    }
}

/// The text with `%XX` decoded (RFC 3986 section 2.1).
fn decoded(text: &str) -> Result<String, String> {
    let wrong = || format!("`{text}` is not percent-encoded UTF-8");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16));
        let (high, low) = digit().zip(digit()).ok_or_else(wrong)?;
        bytes.push(u8::try_from(high * 16 + low).map_err(|_| wrong())?);
    }
    let text = String::from_utf8(bytes).map_err(|_| wrong())?;
    if text.contains('\0') { Err(wrong()) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LedgerUrl;

    fn parse(text: &str) -> Result<PostgresUrl, String> {
        match LedgerUrl::try_from(text.to_owned())? {
            LedgerUrl::Postgres(url) => Ok(url),
            LedgerUrl::Sqlite(path) => Err(format!("{}", path.display())),
        }
    }

    fn hosts(text: &str) -> Vec<String> {
        parse(text).expect(text).hosts.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn urls_are_read_as_libpq_reads_them() {
        assert_eq!(hosts("postgresql:///mailsudo"), ["/run/postgresql/.s.PGSQL.5432"]);
        assert_eq!(hosts("postgresql:///mailsudo?host=/run/pg&port=6432"), ["/run/pg/.s.PGSQL.6432"]);
        assert_eq!(hosts("postgresql://%2Frun%2Fpg/mailsudo"), ["/run/pg/.s.PGSQL.5432"]);
        assert_eq!(hosts("postgres://a@127.0.0.1:6000/x"), ["127.0.0.1 port 6000"]);
        let several = "postgresql://a%40b@pg1:1,[2001:db8::1]:2/x?hostaddr=192.0.2.1,2001:db8::1&sslrootcert=/ca.pem\
                       &target_session_attrs=read-write&sslmode=verify-full";
        assert_eq!(hosts(several), ["pg1 port 1", "2001:db8::1 port 2"]);
        let url = parse(several).expect("a URL");
        assert_eq!((url.user.as_deref(), url.database.as_str()), (Some("a@b"), "x"));
        assert_eq!(url.to_string(), several);
        assert_eq!(parse("postgresql:///?dbname=y&user=z").expect("a URL").database, "y");
    }

    #[test]
    fn what_is_not_safe_or_not_known_is_an_error() {
        for (text, wanted) in [
            ("postgresql://", "names no database"),
            ("postgresql://a:b@/x", "password_file"),
            ("postgresql:///x?password=b", "password_file"),
            ("postgresql:///x?sslcert=b", "unknown parameter `sslcert`"),
            ("postgresql:///x?host", "not KEY=VALUE"),
            ("postgresql:///x?host=/a&host=/b", "twice"),
            ("postgresql://pg1/x?sslrootcert=/ca.pem", "without DNS"),
            ("postgresql://192.0.2.1/x", "across a network"),
            ("postgresql://192.0.2.1/x?sslmode=disable", "only be verify-full"),
            ("postgresql://192.0.2.1/x?sslmode=require&sslrootcert=/ca.pem", "only be verify-full"),
            ("postgresql://127.0.0.1/x?sslmode=verify-full", "needs sslrootcert"),
            ("postgresql://127.0.0.1/x?sslrootcert=ca.pem", "absolute"),
            ("postgresql:///x?target_session_attrs=any", "only be read-write"),
            ("postgresql://127.0.0.1:x/x", "not a port"),
            ("postgresql:///x?host=/a,/b&port=1,2,3", "different numbers"),
            ("postgresql:///x?host=a,b&hostaddr=::1", "different numbers"),
            ("postgresql:///%zz", "percent-encoded"),
            ("postgresql:///a%00", "percent-encoded"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }
}
