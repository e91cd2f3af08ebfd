//! The machine's accounts, as getent(1) knows them: whatever nsswitch.conf names, LDAP included. `deliver` never needs it.

use std::process::Command;

use anyhow::{Context, Result, bail};

/// A Unix account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    /// Its user id.
    pub uid: u32,
    /// Its primary group.
    pub gid: u32,
}

/// The account called `name`; `None` where there is none.
///
/// # Errors
///
/// getent(1) is missing or prints what is no passwd(5) line.
pub fn find(name: &str) -> Result<Option<Account>> {
    let output = Command::new("getent").args(["passwd", "--", name]).output();
    let output = output.context("cannot run getent, which looks up accounts (package libc-bin)")?;
    if output.status.code() == Some(2) {
        return Ok(None);
    }
    let line = String::from_utf8_lossy(&output.stdout);
    let mut fields = line.trim_end().split(':').skip(2);
    let mut number = || fields.next().and_then(|field| field.parse().ok());
    match (number(), number()) {
        (Some(uid), Some(gid)) => Ok(Some(Account { uid, gid })),
        _ => bail!("getent does not know what to say about the account {name}"),
    }
}
