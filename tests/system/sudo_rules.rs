//! The sudo rules: the sudoers fragment that the program itself generates, under sudo or sudo-rs.

use std::env;
use std::fs;

use crate::commands;
use crate::process::{self, run};
use crate::system_env::{CONFIG, GATEWAY, PROGRAM, SERVICE};

const FRAGMENT: &str = "/etc/sudoers.d/mailsudo";
/// Debian's, so that no setting of this host's sudo decides a test.
const SUDOERS: &str = "\
Defaults env_reset, mail_badpass, use_pty
Defaults secure_path=\"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\"
root ALL=(ALL:ALL) ALL
@includedir /etc/sudoers.d
";
const SUDO_RS: &str = "/usr/local/lib/sudo-rs";
pub(crate) const SUDO_RS_SUDO: &str = "/usr/local/lib/sudo-rs/sudo";

/// Puts the stock sudoers in the place of this host's.
pub(crate) fn clear_ground() {
    process::remove("/etc/sudoers.d");
    process::write("/etc/sudoers", 0o440, SUDOERS);
}

/// All commands, with the host's sudo.
pub(crate) fn raise_sudo() {
    settings("/usr/bin/sudo");
    commands::write(&format!("{CONFIG}/commands.d"), false);
    fragment(&run(PROGRAM, &["sudoers"]));
    run("visudo", &["-c"]);
}

/// The commands whose rules sudo-rs can express, with sudo-rs; the host's sudo comes back when this is dropped.
pub(crate) struct SudoRs(());

impl SudoRs {
    pub(crate) fn raise() -> Self {
        let built = env::var("SUDO_RS").expect("tests/system/run says where sudo-rs is");
        for program in ["sudo", "visudo"] {
            let mode = if program == "sudo" { "4755" } else { "755" };
            let (from, to) = (format!("{built}/{program}"), format!("{SUDO_RS}/{program}"));
            run("install", &["-D", "-o", "root", "-g", "root", "-m", mode, &from, &to]);
        }

        let guard = Self(());
        settings(SUDO_RS_SUDO);
        fs::rename(format!("{CONFIG}/commands.d"), format!("{CONFIG}/commands.away"))
            .expect("the commands can be moved away");
        commands::write(&format!("{CONFIG}/commands.d"), true);
        fragment(&run(PROGRAM, &["sudoers", "--for", "sudo-rs"]));
        run(&format!("{SUDO_RS}/visudo"), &["-c", "-f", FRAGMENT]);
        guard
    }
}

impl Drop for SudoRs {
    fn drop(&mut self) {
        // After a failed test, as much as possible is put back.
        let _ = fs::remove_dir_all(format!("{CONFIG}/commands.d"));
        let _ = fs::rename(format!("{CONFIG}/commands.away"), format!("{CONFIG}/commands.d"));
        raise_sudo();
    }
}

fn settings(sudo: &str) {
    let toml = format!(
        "gateway = \"sandbox\"\naddress = \"{GATEWAY}\"\nservice_user = \"{SERVICE}\"\n\
         [execution]\nlongest = \"10m\"\nsudo = \"{sudo}\"\n"
    );
    process::write(format!("{CONFIG}/mailsudo.toml"), 0o644, &toml);
}

fn fragment(text: &str) {
    process::write(FRAGMENT, 0o440, text);
}
