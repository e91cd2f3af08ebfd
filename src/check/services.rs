//! Other gateways on this host: whether one can be mistaken for another. They are searched in the usual places:
//! beside, above and below this one's folder, in the default one, and where Postfix leads to.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::{CheckedGateway, Report, postfix, shared_secrets};
use crate::config::{DEFAULT_FOLDER, Gateway, Trusted};
use crate::ordered;
use crate::remedy::{Call, program};
use crate::sudoers::{FOLDER, owner, place};

pub(super) fn check(gateway: &CheckedGateway<'_>, report: &mut Report) {
    let others = others(gateway);
    shared_secrets::check(gateway, &others, report);
    let own = gateway.settings();
    for other in &others {
        let (settings, shown) = (other.settings(), other.path().display());
        // Each would accept the other's requests, and its ledger does not have the other's records.
        if settings.gateway == own.gateway {
            let what = format!("{shown} has the name {} too: a request for one would run at both", own.gateway);
            report.error("gateway-name", what, "give one of them another name");
        }
        // Users of one name would share codes, lockouts and `status`.
        if settings.ledger.url == own.ledger.url {
            let what = format!("{shown} has the same ledger, in which its users would be mixed with this gateway's");
            report.error(
                "ledger",
                what,
                format!(
                    "give one of them another [ledger] url, and make that ledger: {} --config DIR",
                    Call::InitLedger.words_only()
                ),
            );
        }
        if settings.address == own.address {
            let what = format!("{shown} has the address {} too: its mail goes to one of them only", own.address);
            report.error("postfix", what, "give one of them another address, such as one with a +");
        }
    }
    let known: BTreeSet<_> = ordered::collect(others.iter().chain([gateway.gateway]).map(place));
    for (file, name) in fragments().into_iter().filter(|(file, _)| !known.contains(file)) {
        let shown = file.display();
        report.warning(
            "sudoers",
            format!("{shown} permits what the gateway {name} may run, and no gateway here has that fragment"),
            format!("if {name} is gone, or has a fragment elsewhere: {} {shown}", program("rm")),
        );
    }
}

/// Those of them that can be read.
fn others(gateway: &CheckedGateway<'_>) -> Vec<Gateway> {
    let own = gateway.gateway.path();
    let inside = |folder: &Path| {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    let mut folders = postfix::folders();
    folders.push(DEFAULT_FOLDER.into());
    folders.extend(inside(own));
    if let Some(parent) = own.parent() {
        folders.push(parent.to_owned());
        folders.extend(inside(parent));
    }
    let found = folders.iter().filter(|folder| folder.join("mailsudo.toml").exists());
    let found: BTreeSet<PathBuf> = ordered::collect(found.filter_map(|folder| folder.canonicalize().ok()));
    let trusted = Trusted::caller().and(gateway.service.map_or(0, |account| account.uid), 0);
    let open = |folder: &PathBuf| Gateway::open(folder, trusted.clone()).ok();
    found.iter().filter(|folder| *folder != own).filter_map(open).collect()
}

/// The installed fragments of gateways, each with its gateway. A name with a ~ is a former fragment, which sudo
/// ignores.
fn fragments() -> Vec<(PathBuf, String)> {
    let files = fs::read_dir(FOLDER).into_iter().flatten().flatten().map(|entry| entry.path());
    // A FIFO would never end.
    let in_force = files.filter(|file| !file.to_string_lossy().ends_with('~') && file.is_file());
    let with_owner = |file: PathBuf| {
        let name = owner(&fs::read_to_string(&file).ok()?)?.to_owned();
        Some((file, name))
    };
    in_force.filter_map(with_owner).collect()
}
