//! The machine's accounts, as getent(1) finds them: in all services that nsswitch.conf names, such as LDAP. `deliver`
//! never needs it.

use std::process::Command;

use anyhow::{Context, Result, bail};

use super::child::output_within;
use crate::limits::ACCOUNT_LOOKUP;

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
    let output = output_within(Command::new("getent").args(["passwd", "--", name]), ACCOUNT_LOOKUP);
    let output = output.context("cannot run getent, which looks up accounts (package libc-bin)")?;
    let answer = output.with_context(|| {
        let within = ACCOUNT_LOOKUP.as_secs();
        format!("getent did not find the account {name} within {within} s: check the services in nsswitch.conf")
    })?;
    if answer.status.code() == Some(2) {
        return Ok(None);
    }
    let mut fields = answer.out.trim_end().split(':').skip(2);
    let mut number = || fields.next().and_then(|field| field.parse().ok());
    match (number(), number()) {
        (Some(uid), Some(gid)) => Ok(Some(Account { uid, gid })),
        _ => bail!("getent gives no answer about the account {name}"),
    }
}
