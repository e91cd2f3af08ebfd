//! The ledger: whether it exists, is sound, is on a disk and belongs to the service user.

use std::io::ErrorKind;
use std::path::Path;

use super::lockouts::Lockouts;
use super::soundness::{in_depth, sound};
use super::{CheckedGateway, Report};
use crate::config::{LedgerUrl, Trusted};
use crate::ledger::{self, Examined, Health, LedgerError};
use crate::limits::CHECK_LEDGER;
use crate::remedy::{Call, Remedy};
use crate::system::permissions::{Permissions, Right};

/// Magic numbers of file systems (statfs(2)) that lose their content, or with unreliable locks.
const UNREAL: [(i64, &str); 5] = [
    (0x0102_1994, "tmpfs, which loses its content when the machine stops"),
    (0x8584_58f6, "ramfs, which loses its content when the machine stops"),
    (0x6969, "NFS, where SQLite cannot rely on locks"),
    (0xff53_4d42, "CIFS, where SQLite cannot rely on locks"),
    (0x6573_5546, "FUSE, where SQLite may not be able to rely on locks"),
];

pub(super) fn check(gateway: &CheckedGateway<'_>, report: &mut Report) {
    match &gateway.settings().ledger.url {
        LedgerUrl::Sqlite(path) => file(path, gateway, report),
        url @ LedgerUrl::Postgres(_) => super::database::check(url, gateway, trusted(gateway), report),
    }
}

/// The accounts that may own files of the ledger.
fn trusted(gateway: &CheckedGateway<'_>) -> Trusted {
    let trusted = Trusted::caller();
    match gateway.service {
        Some(service) => trusted.and(service.uid, service.gid),
        None => trusted,
    }
}

fn file(path: &Path, gateway: &CheckedGateway<'_>, report: &mut Report) {
    if report.outsider && path.try_exists().is_err_and(|error| error.kind() == ErrorKind::PermissionDenied) {
        return report.unseen("ledger");
    }
    if !path.exists() {
        let what = format!("there is no ledger at {}", path.display());
        return report.error(
            "ledger",
            what,
            format!("mount the file system that it is on; if there was never a ledger: {}", Call::InitLedger),
        );
    }
    let (health, examined, locked_out) = match examine(gateway) {
        Ok(found) => found,
        Err(error) if report.outsider && error.is_closed() => return report.unseen("ledger"),
        Err(error) => {
            let what = format!("{}: {error}", path.display());
            return report.error("ledger", what, "correct this, or restore a backup; until then all mail is deferred");
        }
    };
    sound(&path.display().to_string(), &health, examined, report);
    locked_out.report(report);
    writable(path, gateway, report);
    disk(path, report);
}

/// The state of the ledger, what reading all of it has found, and who is locked out now.
fn examine(gateway: &CheckedGateway<'_>) -> Result<(Health, Option<Examined>, Lockouts), LedgerError> {
    let ledger = ledger::open_for_queries(gateway.settings(), trusted(gateway), CHECK_LEDGER)?;
    let examined = in_depth(ledger.as_ref(), gateway)?;
    Ok((ledger.health()?, examined, Lockouts::of(ledger.as_ref(), gateway)?))
}

fn writable(path: &Path, gateway: &CheckedGateway<'_>, report: &mut Report) {
    let Some(service) = gateway.service.filter(|_| gateway.uses_sudo()) else {
        return;
    };
    let locks = Path::new(&format!("{}-claims", path.display())).to_owned();
    for file in [path, &locks, path.parent().unwrap_or(path)] {
        let shown = file.display();
        let name = &gateway.settings().service_user;
        let remedy = Remedy::Chown(format!("{name}:{name}"), file.to_owned());
        match std::fs::metadata(file) {
            Ok(about) if Permissions::from(&about).allows(service, Right::Write) => {}
            Ok(_) => report.error("ledger", format!("{name} cannot write to {shown}"), remedy),
            Err(error) => report.error("ledger", format!("{shown}: {error}"), Call::InitLedger),
        }
    }
}

fn disk(path: &Path, report: &mut Report) {
    let Ok(about) = rustix::fs::statfs(path) else {
        return;
    };
    let found = about.f_type & 0xffff_ffff;
    if let Some((_, why)) = UNREAL.iter().find(|(magic, _)| *magic == found) {
        report.warning(
            "ledger",
            format!("{} is on {why}", path.display()),
            "put it on a local disk, and write that path into [ledger] url",
        );
    }
}
