//! A ledger in PostgreSQL: whether it answers, what would lose commits or change records, and whether the mail servers
//! that share it agree.

use super::lockouts::Lockouts;
use super::soundness::{in_depth, sound};
use super::{CheckedGateway, Report};
use crate::config::{LedgerUrl, Synchronous, Trusted};
use crate::ledger::{self, Database, LedgerError, Node};
use crate::limits::{CLOCKS, Timeouts};
use crate::remedy::Call;
use crate::system::clock::{Clock, SystemClock};

pub(super) fn check(url: &LedgerUrl, gateway: &CheckedGateway<'_>, trusted: Trusted, report: &mut Report) {
    let found =
        ledger::open_for_queries(gateway.settings(), trusted, Timeouts::DEFAULT.transaction).and_then(|ledger| {
            let examined = in_depth(ledger.as_ref(), gateway)?;
            Ok((
                ledger.health()?,
                examined,
                ledger.database()?,
                ledger.nodes()?,
                Lockouts::of(ledger.as_ref(), gateway)?,
            ))
        });
    let (health, examined, database, nodes, locked_out) = match found {
        Ok(found) => found,
        Err(LedgerError::Distrust(distrust)) if report.outsider && distrust.is_closed() => {
            return report.unseen("ledger");
        }
        Err(error) => {
            let remedy = "correct this; until then all mail is deferred";
            return report.error("ledger", format!("{url}: {error}"), remedy);
        }
    };
    sound(&url.to_string(), &health, examined, report);
    locked_out.report(report);
    if let Some(until) = health.lost_until.filter(|until| *until > SystemClock.now()) {
        let what = format!("the database was replaced, and requests signed up to {until} are refused");
        report.warning("ledger", what, "ask users to sign again after that; synchronous replication prevents it");
    }
    if let Some(database) = database {
        replication(&database, gateway, report);
        server(&database, gateway, report);
    }
    agreement(&nodes, gateway, report);
}

fn replication(database: &Database, gateway: &CheckedGateway<'_>, report: &mut Report) {
    let about = "replication";
    if database.synchronous_standbys.is_empty() {
        let remedy = "synchronous_mode and synchronous_mode_strict of Patroni: docs/several-gateways.md";
        let what = "synchronous_standby_names is empty";
        if gateway.settings().ledger.synchronous == Synchronous::Require {
            report.error(about, format!("{what}, and synchronous = \"require\": all mail is deferred"), remedy);
        } else {
            report.warning(about, format!("{what}: a failover can lose what was recorded"), remedy);
        }
    } else {
        report.ok(about, format!("synchronous_standby_names = '{}'", database.synchronous_standbys));
    }
    let role = role(gateway);
    match database.asynchronous_standbys {
        Some(0) => {}
        Some(count) => {
            let what = format!("{count} asynchronous standby(s): promoted, they lose what was recorded");
            report.warning(about, what, "tag them nofailover in Patroni, or make them synchronous");
        }
        None => {
            let remedy = format!("GRANT pg_monitor TO {role}");
            report.warning(about, format!("{role} may not see how the standbys replicate"), remedy);
        }
    }
}

fn role<'g>(gateway: &'g CheckedGateway<'_>) -> &'g str {
    match &gateway.settings().ledger.url {
        LedgerUrl::Postgres(url) => url.user.as_deref().unwrap_or(&gateway.settings().service_user),
        LedgerUrl::Sqlite(_) => &gateway.settings().service_user,
    }
}

fn server(database: &Database, gateway: &CheckedGateway<'_>, report: &mut Report) {
    for setting in &database.unsafe_settings {
        let (name, _) = setting.split_once(' ').unwrap_or((setting, ""));
        if name == "data_checksums" {
            let what = "data_checksums = off: damage on a disk is not noticed";
            report.warning("ledger", what, "stop the cluster and run pg_checksums --enable");
        } else {
            report.error("ledger", format!("{setting}: commits are lost with the power"), format!("set {name} = on"));
        }
    }
    for planted in &database.planted {
        let what = format!("{planted} on the ledger's tables could change what is recorded; mailsudo makes none");
        report.error("ledger", what, "find out who made it, and drop it");
    }
    if !database.excess_rights.is_empty() {
        let what =
            format!("{} has more rights than deliver needs: {}", role(gateway), database.excess_rights.join(", "));
        report.warning(
            "ledger",
            what,
            format!("let another role own the tables: {} --owner-url URL", Call::InitLedger),
        );
    }
    let ahead = SystemClock.now().seconds() - database.clock.seconds();
    if ahead.abs() > CLOCKS {
        let what = format!("this host's clock is {ahead:+} s off the database's");
        report.warning("clock", what, "run an NTP client on all hosts, such as chrony");
    }
}

/// How long a node is remembered that is not seen any more: one that was taken out of service a week ago is no node.
const FORGOTTEN: i64 = 7 * 86_400;

fn agreement(nodes: &[Node], gateway: &CheckedGateway<'_>, report: &mut Report) {
    let about = "nodes";
    let nodes: Vec<_> = nodes.iter().filter(|node| node.seen < FORGOTTEN).collect();
    let (same, other): (Vec<&Node>, Vec<&Node>) =
        nodes.iter().copied().partition(|node| node.version == env!("CARGO_PKG_VERSION"));
    match gateway.gateway.digest() {
        Ok(own) => {
            let others = same.iter().filter(|node| node.digest.as_ref().is_some_and(|digest| *digest != own));
            let names: Vec<_> = others.map(|node| node.name.as_str()).collect();
            if names.is_empty() {
                report.ok(about, format!("{} known, with the configuration of this host", same.len()));
            } else {
                let what = format!("the configuration differs from this host's on {}", names.join(", "));
                let remedy = format!(
                    "copy mailsudo.toml, users.d, secrets.d, commands.d, certs.d and lockdown.toml to all, then on each: {}",
                    Call::LedgerNodes
                );
                report.warning(about, what, remedy);
            }
        }
        Err(error) => report.broken(about, &error),
    }
    // Each version has a digest of its own, so those of two versions are not compared.
    if !other.is_empty() {
        let names: Vec<_> = other.iter().map(|node| format!("{} {}", node.name, node.version)).collect();
        let what =
            format!("another version of mailsudo than here, {}: {}", env!("CARGO_PKG_VERSION"), names.join(", "));
        report.warning(about, what, "upgrade all of them: docs/operations.md");
    }
    for node in nodes.iter().filter(|node| node.ahead.abs() > CLOCKS) {
        let what = format!("the clock of {} was {:+} s off the database's", node.name, node.ahead);
        report.warning("clock", what, "run an NTP client on all hosts, such as chrony");
    }
}
