//! sudo: whether it works where Postfix calls it, and whether what it permits permits exactly what the commands need.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::StatVfsMountFlags;

use super::postfix::{self, Master};
use super::{CheckedGateway, Report, programs, proof};
use crate::execute::new_privileges;
use crate::remedy::{Call, Remedy};
use crate::sudoers::{Dialect, FOLDER, Tools, drift, drift_in_force, fragment, place};
use crate::system::permissions::Permissions;

/// sudo reads all of sudoers for each command: 13 ms at 1,000 lines, 42 at 10,000 (docs/measurements.md#cost-of-sudo).
const MANY_LINES: usize = 2000;

pub(super) fn check(gateway: &CheckedGateway<'_>, report: &mut Report) {
    if !gateway.uses_sudo() {
        return;
    }
    let execution = &gateway.settings().execution;
    let tools = match Tools::find(execution, programs::left()) {
        Ok(tools) => tools,
        Err(error) => return report.error("sudo", format!("{error:#}"), Remedy::Install("sudo")),
    };
    setuid(&execution.sudo, report);
    no_new_privileges(report);
    length(report);
    if !gateway.complete {
        return report.warning(
            "sudoers",
            "not compared: not all of the gateway's files can be read",
            "correct them first",
        );
    }
    let wanted = match fragment(&gateway.commands, gateway.settings(), tools.dialect) {
        Ok(wanted) => wanted,
        Err(error) => return report.error("sudoers", error.to_string(), "see mailsudo-commands(5)"),
    };
    let place = place(gateway.gateway);
    let shown = place.display();
    match drift(&place, &wanted) {
        Ok(None) => report.ok("sudoers", format!("{shown} permits exactly what the commands need")),
        Ok(Some(_)) => report.error(
            "sudoers",
            format!("{shown} does not permit exactly what the commands need (the difference: {})", Call::CheckSudoers),
            Call::InstallSudoers,
        ),
        Err(_) => return in_force(gateway, tools.dialect, &wanted, report),
    }
    proof::check(gateway, report);
}

/// What the service user can check, who cannot read the fragment: all that sudo permits that user.
fn in_force(gateway: &CheckedGateway<'_>, dialect: Dialect, wanted: &str, report: &mut Report) {
    if report.outsider {
        return report.unseen("sudoers");
    }
    match drift_in_force(&gateway.settings().execution.sudo, dialect, wanted, programs::left()) {
        Ok(None) => report.ok("sudoers", "sudo -l lists exactly what the commands need"),
        Ok(Some(_)) => report.error(
            "sudoers",
            format!("sudo -l does not list exactly what the commands need (the difference: {})", Call::CheckSudoers),
            format!("as root: {}", Call::InstallSudoers),
        ),
        Err(error) => report.warning("sudoers", format!("{error:#}"), format!("as root: {}", Call::Check)),
    }
}

fn setuid(sudo: &Path, report: &mut Report) {
    let shown = sudo.display();
    match fs::metadata(sudo) {
        Ok(about) if !Permissions::from(&about).is_setuid_root() => {
            report.error("sudo", format!("{shown} is not setuid root"), Remedy::Reinstall("sudo"));
        }
        _ => {}
    }
    if rustix::fs::statvfs(sudo).is_ok_and(|about| about.f_flag.contains(StatVfsMountFlags::NOSUID)) {
        let what = format!("{shown} is on a file system mounted nosuid, where it cannot become root");
        report.error("sudo", what, Remedy::AllowSetuid(mount_of(sudo)));
    }
}

/// A service manager that sets it for Postfix removes the rights of sudo from every program that Postfix starts. In a
/// shell that has it, sudo works for root alone.
fn no_new_privileges(report: &mut Report) {
    if let Some(Master::Running(master)) = postfix::master()
        && has_flag(&master)
    {
        report.error(
            "sudo",
            "Postfix runs with NoNewPrivileges, under which sudo cannot become root",
            new_privileges(&master),
        );
    }
    if has_flag(Path::new("/proc/self")) {
        report.warning(
            "sudo",
            "this shell has NoNewPrivileges, so Postfix may have been started with it too",
            "where it was, sudo cannot become root: start Postfix from elsewhere",
        );
    }
}

/// Where the file system that holds `path` is mounted: the highest folder above it on the same device.
fn mount_of(path: &Path) -> PathBuf {
    let full = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let device = |place: &Path| fs::metadata(place).map(|about| about.dev()).ok();
    let own = device(&full);
    full.ancestors().take_while(|place| device(place) == own).last().unwrap_or(Path::new("/")).to_owned()
}

fn has_flag(process: &Path) -> bool {
    let status = fs::read_to_string(process.join("status")).unwrap_or_default();
    status.lines().any(|line| line.split_whitespace().eq(["NoNewPrivs:", "1"]))
}

fn length(report: &mut Report) {
    let mut files = vec!["/etc/sudoers".into()];
    files.extend(fs::read_dir(FOLDER).into_iter().flatten().flatten().map(|entry| entry.path()));
    files.retain(|path: &PathBuf| path.is_file());
    let lines: usize =
        files.iter().filter_map(|path| fs::read_to_string(path).ok()).map(|text| text.lines().count()).sum();
    if lines > MANY_LINES {
        report.warning(
            "sudoers",
            format!("sudoers has {lines} lines, and sudo reads them all for each command"),
            "list fewer values: ranges and patterns take one line each under sudo",
        );
    }
}
