//! Whether the service user can read what `deliver` reads: check itself often runs as root, which can read everything.
//! In: the gateway's folder. Out: a finding for each file or folder that the service user cannot open, with the chmod.

use std::fs;
use std::path::{Path, PathBuf};

use super::{CheckedGateway, Report};
use crate::remedy::Remedy;
use crate::system::accounts::Account;
use crate::system::permissions::{Permissions, Right};

/// What a file holds, and the folder of such files.
const FOLDERS: [(&str, &str); 3] = [("users", "users.d"), ("commands", "commands.d"), ("secrets", "secrets.d")];

pub(super) fn check(gateway: &CheckedGateway<'_>, report: &mut Report) {
    let Some(service) = gateway.service.filter(|_| gateway.uses_sudo() && rustix::process::geteuid().is_root()) else {
        return;
    };
    let name = &gateway.settings().service_user;
    let base = gateway.gateway.path();
    for folder in base.ancestors() {
        folder_is_open(folder, "configuration", name, service, report);
    }
    file_is_open(&base.join("mailsudo.toml"), "configuration", name, service, report);
    for (about, folder) in FOLDERS {
        let folder = base.join(folder);
        folder_is_open(&folder, about, name, service, report);
        // Secrets have rules of their own (users.rs).
        if about == "secrets" {
            continue;
        }
        let mut files: Vec<PathBuf> = fs::read_dir(&folder).into_iter().flatten().flatten().map(|e| e.path()).collect();
        files.retain(|file| file.extension().is_some_and(|ending| ending == "toml"));
        files.sort_unstable();
        for file in files {
            file_is_open(&file, about, name, service, report);
        }
    }
}

fn folder_is_open(folder: &Path, about: &'static str, name: &str, service: Account, report: &mut Report) {
    if refuses(folder, service, Right::Search) {
        let shown = folder.display();
        let remedy = if about == "secrets" {
            Remedy::ForGroup(service.gid.to_string(), "0750", folder.to_owned())
        } else {
            Remedy::Chmod("a+x", folder.to_owned())
        };
        report.error(about, format!("{name} cannot open files in {shown}"), remedy);
    }
}

fn file_is_open(file: &Path, about: &'static str, name: &str, service: Account, report: &mut Report) {
    if refuses(file, service, Right::Read) {
        let shown = file.display();
        report.error(about, format!("{name} cannot read {shown}"), Remedy::Chmod("0644", file.to_owned()));
    }
}

/// Whether it is there, and the account does not have the right on it.
fn refuses(path: &Path, account: Account, right: Right) -> bool {
    fs::metadata(path).is_ok_and(|found| !Permissions::from(&found).allows(account, right))
}
