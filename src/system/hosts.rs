//! The addresses of a host, as this machine finds them. `deliver` never needs it.

use std::io;
use std::net::{IpAddr, SocketAddr};

/// The addresses of `host` with `port`; none twice.
///
/// # Errors
///
/// It is not known, or nothing here can tell.
pub fn addresses(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    look_up(host, port)
}

/// By getent(1): on Linux the program is linked with a static glibc, which cannot load what nsswitch.conf names
/// (docs/decisions/0017).
#[cfg(all(target_os = "linux", feature = "gateway"))]
fn look_up(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    use std::process::Command;

    use super::child::output_within;
    use crate::limits::HOST_LOOKUP;

    let answer = output_within(Command::new("getent").args(["ahosts", "--", host]), HOST_LOOKUP)?
        .ok_or_else(|| io::Error::new(io::ErrorKind::TimedOut, format!("getent has no answer about {host} in time")))?;
    let mut found: Vec<SocketAddr> = Vec::new();
    for line in answer.out.lines() {
        let address = line.split_whitespace().next().and_then(|word| word.parse::<IpAddr>().ok());
        if let Some(address) = address.map(|address| SocketAddr::new(address, port))
            && !found.contains(&address)
        {
            found.push(address);
        }
    }
    if found.is_empty() { Err(io::Error::other(format!("the host {host} is not known here"))) } else { Ok(found) }
}

#[cfg(not(all(target_os = "linux", feature = "gateway")))]
fn look_up(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    use std::net::ToSocketAddrs;

    (host, port).to_socket_addrs().map(Iterator::collect)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_addresses_once_and_an_address_is_its_own() {
        let found = addresses("localhost", 993).expect("this host");
        assert!(found.iter().all(|address| address.ip().is_loopback() && address.port() == 993), "{found:?}");
        assert_eq!(found.iter().collect::<std::collections::BTreeSet<_>>().len(), found.len());
        assert_eq!(addresses("::1", 1).expect("an address"), [SocketAddr::from(([0u16, 0, 0, 0, 0, 0, 0, 1], 1))]);
        assert!(addresses("no-such-host.invalid", 1).is_err());
    }
}
