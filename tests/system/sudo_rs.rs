//! The same request with sudo-rs.

use crate::commands::LEVELS;
use crate::sudo_rules::SudoRs;
use crate::system_env::{PROGRAM, SERVICE};
use crate::user::{User, in_block};
use crate::{process, syslog, system_env};

#[test]
fn runs_through_the_fragment_for_sudo_rs() {
    system_env::enter();
    let _fence = SudoRs::raise();
    let user = User::enrol("rusty");
    let id = user.send(&user.request(&["level", "name=heat", "level=17"]));

    let reply = user.mailbox().single();
    user.assert_genuine(&reply);
    assert_eq!(in_block(&reply, "result"), "exit-0", "{reply}");
    assert_eq!(process::text(LEVELS), "heat=17\n");
    syslog::wait_for(&id, "replied");
    assert_eq!(syslog::sudo_ran("heat=17").len(), 1);

    // sudo-rs lists a rule in another form than sudo; the service user can compare it too.
    let asked = ["--reuid", SERVICE, "--regid", SERVICE, "--init-groups", PROGRAM, "sudoers", "--check"];
    assert!(process::run("setpriv", &asked).contains("what sudo -l lists permits exactly what the commands need"));
}
