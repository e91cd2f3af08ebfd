//! Whether this host's Postfix accepts mail for the gateway's address from outside. In: the address. Out: a finding
//! that says which parameters were read, and what to set.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::Report;
use super::postfix::parameter;
use super::programs::{POSTFIX_SETTINGS, ask, output_of};
use crate::postfix::{Acceptance, Postfix, acceptance, rewritten};
use crate::remedy::Call;
use crate::system::child::Answer;

/// The parameters of main.cf that make a domain this host's own.
const CLASSES: &str = "mydestination, virtual_alias_domains, virtual_mailbox_domains and relay_domains";

pub(super) fn check(address: &str, report: &mut Report) {
    let folder = parameter("config_directory").unwrap_or_default();
    let found = Postfix::as_listed(Path::new(&folder), within_time, output_of(POSTFIX_SETTINGS).unwrap_or_default())
        .and_then(|postfix| Ok((acceptance(&postfix, "", address)?, rewritten(&postfix, "", address)?)));
    let (accepted, rewritten) = match found {
        Ok(found) => found,
        Err(error) => {
            let what = format!("whether Postfix accepts mail for {address} was not found out: {error:#}");
            return report.warning("postfix", what, format!("as root: {}", Call::Check));
        }
    };
    let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain);
    match accepted {
        Acceptance::NotOurs => report.warning(
            "postfix",
            format!(
                "{domain} is in none of {CLASSES}: clients outside mynetworks that have not logged in are refused (\"Relay \
                 access denied\")"
            ),
            format!("use an address in a domain of mydestination, or add {domain} to mydestination in main.cf"),
        ),
        Acceptance::OnlyAliases => report.error(
            "postfix",
            format!("{domain} is in virtual_alias_domains, where transport_maps does not count"),
            format!(
                "set `address` to one in a domain of mydestination, and make {address} an alias of it in virtual_alias_maps"
            ),
        ),
        Acceptance::Class { recipients, is_listed: false, .. } => report.error(
            "postfix",
            format!("{address} is not in {recipients}: Postfix refuses its mail (\"User unknown\")"),
            Call::InstallPostfix,
        ),
        Acceptance::Class { .. } => {}
    }
    if let Some(rewritten) = rewritten {
        report.warning(
            "postfix",
            format!("virtual_alias_maps turns {address} into {rewritten} before transport_maps is read"),
            format!("if {rewritten} does not lead back to {address}: add the line `{address} {address}` to that map"),
        );
    }
}

/// A program of Postfix, within the time that all of check has.
fn within_time(command: &mut Command) -> Result<Answer> {
    ask(command).context("it did not answer in time")
}
