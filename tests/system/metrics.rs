//! The metrics for Prometheus: the installed timer under a real systemd, its service with all its restrictions, and the
//! text that it leaves, read by Prometheus's own Python client.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::process::{self, run, run_with_input};
use crate::systemd::Systemd;
use crate::user::User;
use crate::{poll, system_env};

/// Where `make install` puts them.
const UNITS: &str = "/usr/local/lib/systemd/system";
const SERVICE: &str = "mailsudo-metrics.service";
const TIMER: &str = "mailsudo-metrics.timer";
const FOLDER: &str = "/var/lib/prometheus/node-exporter";
/// Both are strict: text that breaks the format raises an error, and so they exit 1.
const OPEN_PARSER: &str = "\
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
print(sum(len(family.samples) for family in text_string_to_metric_families(sys.stdin.read())))
";
const PARSER: &str = "\
import sys
from prometheus_client.parser import text_string_to_metric_families
for family in text_string_to_metric_families(sys.stdin.read()):
    print(family.name, family.type, len(family.samples))
    if family.type == 'histogram':
        buckets = [(float(s.labels['le']), s.value) for s in family.samples if s.name.endswith('_bucket')]
        counts = [s.value for s in family.samples if s.name.endswith('_count')]
        assert buckets == sorted(buckets) and [n for _, n in buckets] == sorted(n for _, n in buckets), buckets
        assert buckets[-1] == (float('inf'), counts[0]), buckets
";

fn in_the_units_words(systemd: &Systemd, property: &str) -> String {
    systemd.must(&["show", "--value", "--property", property, SERVICE])
}

#[test]
fn the_timer_writes_the_metrics_where_the_exporter_reads() {
    system_env::enter();
    let user = User::enrol("counted");
    user.send(&user.request(&["whoami"]));
    user.mailbox().single();
    run("systemd-analyze", &["verify", &format!("{UNITS}/{SERVICE}"), &format!("{UNITS}/{TIMER}")]);
    // Exposure from 0 to 10, in tenths: well restricted.
    let unit = format!("{UNITS}/{SERVICE}");
    run("systemd-analyze", &["security", "--offline=true", "--threshold=30", "--no-pager", &unit]);
    // The timer as it is, but for its time, which the test has not.
    process::write(format!("/run/units/{TIMER}.d/now.conf"), 0o644, "[Timer]\nOnCalendar=\nOnActiveSec=0\n");
    process::remove("/var/lib/prometheus");

    let systemd = Systemd::boot(UNITS);
    systemd.must(&["start", SERVICE]);
    assert_eq!(in_the_units_words(&systemd, "ConditionResult"), "no", "without an exporter there is nothing to do");
    assert_eq!(systemd.must(&["--failed", "--quiet", "--no-legend"]), "");

    run("mkdir", &["-p", FOLDER]);
    let file = format!("{FOLDER}/mailsudo.prom");
    systemd.must(&["start", TIMER]);
    poll::until_true("the timer's file", || Path::new(&file).exists());
    poll::until_true("the service's end", || in_the_units_words(&systemd, "ActiveState") == "inactive");
    assert_eq!(in_the_units_words(&systemd, "Result"), "success");
    assert_eq!(systemd.must(&["is-active", TIMER]), "active");

    let about = std::fs::metadata(&file).expect("it was there");
    assert_eq!(about.permissions().mode() & 0o777, 0o644, "the exporter runs as another user");
    let text = process::text(&file);
    assert!(text.contains("mailsudo_requests_total{gateway=\"sandbox\",result=\"succeeded\",reason=\"\"} "), "{text}");
    let parsed = run_with_input("/usr/bin/python3", &["-c", PARSER], &text);
    let (said, complaint) = (String::from_utf8_lossy(&parsed.stdout), String::from_utf8_lossy(&parsed.stderr));
    assert!(parsed.status.success(), "Prometheus's parser (package python3-prometheus-client): {complaint}\n{text}");
    for family in [
        "mailsudo_requests counter ",
        "mailsudo_commands counter ",
        "mailsudo_replies counter 1",
        "mailsudo_deferrals counter 5",
        "mailsudo_lockouts counter 1",
        "mailsudo_locked_out_users gauge 1",
        "mailsudo_oldest_unfinished_seconds gauge 1",
        "mailsudo_command_duration_seconds histogram 11",
    ] {
        assert!(said.lines().any(|line| line.starts_with(family)), "no `{family}`: {said}");
    }
    assert_eq!(text.lines().filter(|line| line.starts_with("# TYPE")).count(), said.lines().count(), "{said}\n{text}");
    let open = run(system_env::PROGRAM, &["metrics", "--format", "openmetrics"]);
    let parsed = run_with_input("/usr/bin/python3", &["-c", OPEN_PARSER], &open);
    let complaint = String::from_utf8_lossy(&parsed.stderr);
    assert!(
        parsed.status.success() && open.contains("_created"),
        "Prometheus's parser of OpenMetrics: {complaint}\n{open}"
    );
    // The ledger is the service user's still, with what SQLite keeps beside it.
    assert_eq!(run("find", &["/var/lib/mailsudo", "!", "-user", "mailsudo"]), "");
}
