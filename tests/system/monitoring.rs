//! What /usr/share/mailsudo/monitoring has, by the programs that read it: Prometheus's promtool and fail2ban-regex.

use crate::process::{run, text};
use crate::transports::unpack_services;
use crate::user::User;
use crate::{postfix, syslog, system_env};

/// Where `make install` puts it.
const FOLDER: &str = "/usr/local/share/mailsudo/monitoring";

#[test]
fn prometheus_reads_the_alerts_and_they_fire_when_they_must() {
    system_env::enter();
    unpack_services();
    run(
        "sh",
        &[
            "-ec",
            &format!(
                "cd {FOLDER}/prometheus; promtool check rules mailsudo.rules.yml; promtool test rules mailsudo.test.yml"
            ),
        ],
    );
    let dashboard: serde_json::Value =
        serde_json::from_str(&text(format!("{FOLDER}/grafana/mailsudo.json"))).expect("a dashboard");
    let mut rules = "groups:\n- name: dashboard\n  rules:\n".to_owned();
    for panel in dashboard["panels"].as_array().expect("panels") {
        for target in panel["targets"].as_array().expect("targets") {
            let query =
                target["expr"].as_str().expect("a query").replace("$gateway", ".+").replace("$__rate_interval", "5m");
            rules.push_str(&format!("  - record: a:b\n    labels: {{ at: {:?} }}\n    expr: {query:?}\n", query));
        }
    }
    std::fs::write("/tmp/dashboard.yml", rules).expect("written");
    run("promtool", &["check", "rules", "/tmp/dashboard.yml"]);
}

#[test]
fn fail2ban_finds_who_sent_a_forged_block_and_nobody_else() {
    system_env::enter();
    unpack_services();
    run("cp", &[&format!("{FOLDER}/fail2ban/filter.d/mailsudo.conf"), "/etc/fail2ban/filter.d/"]);
    let found = |log: &str| run("fail2ban-regex", &["--out", "<ip> <F-REASON>", log, "mailsudo"]);
    let samples = found(&format!("{FOLDER}/fail2ban/sample.log"));
    assert_eq!(samples.trim(), "192.0.2.66 bad-mac\n192.0.2.66 malformed\n2001:db8::66 bad-mac", "the sample's lines");
    // A real line, through Postfix and rsyslogd.
    let user = User::enrol("watched");
    let forged = user.request(&["whoami"]).replace("whoami", "whoamy");
    let id = user.send(&forged);
    postfix::wait_until_gone(&id);
    syslog::wait_for(&id, "refused");
    assert!(found(syslog::LOG).contains("127.0.0.1 bad-mac"), "{:#?}", syslog::audit(&id));
}
