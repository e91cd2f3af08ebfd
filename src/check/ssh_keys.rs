//! SSH keys: users who must sign and cannot, keys that two users have. A key of a wrong type or a weak one is an error
//! where its file is read (`users.rs`).

use std::collections::BTreeMap;

use super::{CheckedGateway, Report, count};
use crate::authorize::is_visible;
use crate::config::{Command, User};
use crate::protocol::{SshKey, UserName};

pub(super) fn check(gateway: &CheckedGateway<'_>, report: &mut Report) {
    let before = report.findings.len();
    for (name, user) in &gateway.users {
        requirements(name, user, gateway, report);
    }
    shared(gateway, report);
    commands(gateway, report);
    let with_keys = gateway.users.iter().filter(|(_, user)| !user.ssh.keys.is_empty()).count();
    if with_keys > 0 && report.findings.len() == before {
        report.ok("ssh-keys", format!("{}, each with keys that no other user has", count(with_keys, "user")));
    }
}

fn requirements(name: &UserName, user: &User, gateway: &CheckedGateway<'_>, report: &mut Report) {
    let ssh = &user.ssh;
    if ssh.require_signature && ssh.keys.is_empty() {
        report.error(
            "ssh-keys",
            format!("{name} must sign with an SSH key and has none, so each request of {name} is refused"),
            format!("mailsudo user rotate {name} --ssh-key FILE.pub"),
        );
    }
    if !ssh.require_verification {
        return;
    }
    let must_sign = |command: &Command| command.require_signature && is_visible(command, &user.roles);
    if !ssh.require_signature && gateway.complete && !gateway.commands.iter().any(must_sign) {
        report.warning(
            "ssh-keys",
            format!("{name} has require_verification and need not sign: a request without a signature needs no PIN"),
            format!("set require_signature = true in users.d/{name}.toml, or in the commands that need it"),
        );
    }
    for key in ssh.keys.iter().filter(|key| !key.is_fido()) {
        report.warning(
            "ssh-keys",
            format!("{name} has require_verification, which no signature by the {} key {} meets", key.kind(), key.fingerprint()),
            format!("take the key out of users.d/{name}.toml, or give {name} a FIDO key: ssh-keygen -t ed25519-sk -O verify-required"),
        );
    }
}

/// Whoever holds a key that two users have can sign for both.
fn shared(gateway: &CheckedGateway<'_>, report: &mut Report) {
    let mut holders: BTreeMap<String, &UserName> = BTreeMap::new();
    for (name, user) in &gateway.users {
        let previous = user.ssh.previous.as_ref().map(|previous| previous.keys.as_slice()).unwrap_or_default();
        for fingerprint in user.ssh.keys.iter().chain(previous).map(SshKey::fingerprint) {
            let holder = *holders.entry(fingerprint.clone()).or_insert(name);
            if holder != name {
                report.warning(
                    "ssh-keys",
                    format!("{holder} and {name} have the same SSH key, {fingerprint}: its holder can sign for both"),
                    format!("give one of them another key: mailsudo user rotate {name} --ssh-key FILE.pub"),
                );
            }
        }
    }
}

fn commands(gateway: &CheckedGateway<'_>, report: &mut Report) {
    if !gateway.complete {
        return;
    }
    for command in gateway.commands.iter().filter(|command| command.require_signature && !command.allow.is_empty()) {
        let able = |user: &User| is_visible(command, &user.roles) && !user.ssh.keys.is_empty();
        if !gateway.users.iter().any(|(_, user)| able(user)) {
            report.warning(
                "ssh-keys",
                format!("{} must be signed with an SSH key, and no user who may run it has one", command.name),
                "mailsudo user rotate NAME --ssh-key FILE.pub",
            );
        }
    }
}
