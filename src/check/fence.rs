//! sudo: whether it works from where Postfix calls it, and whether what it permits is what the catalogue comes to.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::fs::StatVfsMountFlags;

use super::{House, Report};
use crate::authorize::Invocation;
use crate::sudoers::{FOLDER, Tools, drift, fragment, place, vectors};

/// sudo reads all of sudoers for each command: 13 ms at 1,000 lines, 42 at 10,000 (FACTS.md).
const MANY_LINES: usize = 2000;

pub(super) fn check(house: &House<'_>, report: &mut Report) {
    if !house.is_fenced() {
        return;
    }
    let execution = &house.settings().execution;
    let tools = match Tools::find(execution) {
        Ok(tools) => tools,
        Err(error) => return report.error("sudo", format!("{error:#}"), "apt install sudo"),
    };
    setuid(&execution.sudo, report);
    no_new_privileges(report);
    length(report);
    let wanted = match fragment(&house.commands, house.settings(), tools.dialect) {
        Ok(wanted) => wanted,
        Err(error) => return report.error("sudoers", error.to_string(), "see mailsudo-commands(5)"),
    };
    let place = place(house.gateway);
    let shown = place.display();
    match drift(&place, &wanted) {
        Ok(None) => report.ok("sudoers", format!("{shown} is what the catalogue comes to")),
        Ok(Some(_)) => report.error(
            "sudoers",
            format!("{shown} is not what the catalogue comes to (`mailsudo sudoers --check` shows how)"),
            "mailsudo sudoers --install",
        ),
        Err(error) => return report.warning("sudoers", format!("{error:#}"), "run mailsudo check as root"),
    }
    effective(house, report);
}

fn setuid(sudo: &Path, report: &mut Report) {
    let shown = sudo.display();
    match fs::metadata(sudo) {
        Ok(about) if about.mode() & 0o4000 == 0 || about.uid() != 0 => {
            report.error("sudo", format!("{shown} is not setuid root"), "reinstall sudo");
        }
        _ => {}
    }
    if rustix::fs::statvfs(sudo).is_ok_and(|about| about.f_flag.contains(StatVfsMountFlags::NOSUID)) {
        let what = format!("{shown} is on a file system mounted nosuid, where it cannot become root");
        report.error("sudo", what, "mount it without nosuid");
    }
}

/// A service manager that sets it for Postfix takes sudo's rights away from everything that Postfix starts.
fn no_new_privileges(report: &mut Report) {
    let pid = Command::new("postconf").args(["-h", "queue_directory"]).output().ok();
    let queue = pid.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    let master = fs::read_to_string(format!("{queue}/pid/master.pid")).unwrap_or_default();
    let processes = [master.trim(), "self"];
    for process in processes.into_iter().filter(|process| !process.is_empty()) {
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        if status.lines().any(|line| line.split_whitespace().eq(["NoNewPrivs:", "1"])) {
            let what = if process == "self" { "this shell" } else { "Postfix" };
            report.error(
                "sudo",
                format!("{what} runs with NoNewPrivileges, under which sudo cannot become root"),
                "take NoNewPrivileges= (and what implies it) out of the unit: systemctl edit postfix@.service",
            );
        }
    }
}

fn length(report: &mut Report) {
    let mut files = vec!["/etc/sudoers".into()];
    files.extend(fs::read_dir(FOLDER).into_iter().flatten().flatten().map(|entry| entry.path()));
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

/// A right fragment may yet not be in force: a later rule, or a sudoers that includes no folder.
fn effective(house: &House<'_>, report: &mut Report) {
    let execution = &house.settings().execution;
    let mut asked = 0;
    for command in &house.commands {
        let first = vectors(command).and_then(|values| values.iter().find_map(|v| Invocation::new(command, v).ok()));
        let Some(invocation) = first else {
            continue;
        };
        let mut question = Command::new(&execution.sudo);
        question.args(["-n", "-l", "-U", &house.settings().service_user, "-u", &invocation.run_as().user]);
        if let Some(group) = &invocation.run_as().group {
            question.args(["-g", group]);
        }
        question.arg("--").args(invocation.fenced(execution));
        let status = question.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        asked += 1;
        if !status.is_ok_and(|status| status.success()) {
            report.error(
                "sudoers",
                format!("sudo does not permit {} to {}", command.name, house.settings().service_user),
                "mailsudo sudoers --install; see that /etc/sudoers has @includedir /etc/sudoers.d",
            );
            return;
        }
    }
    report.ok("sudo", format!("it permits the service user {asked} commands, one vector of each tried"));
}
