//! Sender authentication: whether Postfix can supply what is required, and whether a user can meet it.

use super::programs::output;
use super::{CheckedGateway, Report, postfix};
use crate::config::{SenderRequirements, User};
use crate::protocol::UserName;
use crate::remedy::{Call, program};

/// What is required of any user.
struct Asked {
    sasl: bool,
    clients: bool,
    results: bool,
}

impl Asked {
    fn of(gateway: &CheckedGateway<'_>) -> Self {
        let users = gateway.users.iter().map(|(_, user)| user.requirements());
        let requirements: Vec<SenderRequirements<'_>> =
            users.chain([gateway.settings().intake.requirements()]).collect();
        Self {
            sasl: requirements.iter().any(|demand| demand.sasl),
            clients: requirements.iter().any(|demand| !demand.clients.is_empty()),
            results: requirements.iter().any(|demand| demand.authentication_results),
        }
    }
}

pub(super) fn check(gateway: &CheckedGateway<'_>, report: &mut Report) {
    let before = report.findings.len();
    let asked = Asked::of(gateway);
    for (name, user) in &gateway.users {
        logins(name, user, gateway, report);
        clients(name, user, gateway, report);
        if user.require_authentication_results && gateway.settings().intake.authserv_id.is_none() {
            report.error(
                "sender-auth",
                format!("an Authentication-Results field is required for {name}, and no authserv_id is trusted: mail of {name} is deferred"),
                "set authserv_id in [intake]",
            );
        }
    }
    if gateway.settings().intake.authserv_id.is_some() && !asked.results {
        report.warning(
            "sender-auth",
            "authserv_id is set, and no user needs its results",
            "require_authentication_results = true, in [intake] or in users.d",
        );
    }
    if report.findings.len() == before && (asked.sasl || asked.clients || asked.results) {
        report.ok("sender-auth", "what is required of senders besides their key can be met");
    }
}

fn logins(name: &UserName, user: &User, gateway: &CheckedGateway<'_>, report: &mut Report) {
    let needed = user.require_sasl || gateway.settings().intake.require_sasl;
    if needed && user.logins.is_empty() {
        report.error(
            "sender-auth",
            format!("{name} must log in, and has no login: all mail of {name} is refused"),
            format!("add logins = [\"{name}\"], or the login's real name, to users.d/{name}.toml"),
        );
    }
    if !needed && !user.logins.is_empty() {
        report.warning(
            "sender-auth",
            format!("{name} has logins, and need not log in"),
            format!("require_sasl = true, in [intake] or in users.d/{name}.toml"),
        );
    }
}

fn clients(name: &UserName, user: &User, gateway: &CheckedGateway<'_>, report: &mut Report) {
    let everybodys = &gateway.settings().intake.clients;
    let meets = everybodys.iter().any(|range| user.clients.iter().any(|own| own.meets(range)));
    if !everybodys.is_empty() && !user.clients.is_empty() && !meets {
        report.error(
            "sender-auth",
            format!("{name}'s clients are none of those in [intake]: all mail of {name} is refused"),
            format!("correct clients in users.d/{name}.toml, or in [intake]"),
        );
    }
}

/// Whether the transport passes what is required, and Postfix has it.
pub(super) fn transport(service: &str, name: &str, gateway: &CheckedGateway<'_>, report: &mut Report) {
    let asked = Asked::of(gateway);
    let intake = &gateway.settings().intake;
    for (is_asked, key, option) in [
        (asked.sasl, "require_sasl", "--sasl-username=${sasl_username}"),
        (asked.clients, "clients", "--client-address=${client_address}"),
        (!intake.recipients.is_empty(), "recipients", "--recipient=${recipient}"),
    ] {
        if is_asked && !service.split_whitespace().any(|word| word == option) {
            let what = format!("{key} is set, and the transport {name} lacks {option}: mail is deferred");
            report.error("postfix", what, Call::InstallPostfix);
        }
    }
    if asked.sasl && values("smtpd_sasl_auth_enable").iter().all(|value| value != "yes") {
        report.warning(
            "sender-auth",
            "a user must log in, and no smtpd of this Postfix offers a login (smtpd_sasl_auth_enable)",
            format!("{} -P submission/inet/smtpd_sasl_auth_enable=yes, with the settings that SASL_README of Postfix lists for it", program("postconf")),
        );
    }
    let filters = ["smtpd_milters", "non_smtpd_milters", "content_filter", "smtpd_proxy_filter"];
    if asked.results && filters.iter().flat_map(|filter| values(filter)).all(|value| value.is_empty()) {
        report.warning(
            "sender-auth",
            "a result must confirm a From domain, and this Postfix has no filter that could write one",
            "set smtpd_milters in main.cf, unless another host of yours filters and removes forged fields",
        );
    }
    if asked.clients {
        families(gateway, report);
    }
}

/// Whether clients of the families that ranges are of can connect at all.
fn families(gateway: &CheckedGateway<'_>, report: &mut Report) {
    let families = values("inet_protocols").join(" ");
    let intake = &gateway.settings().intake;
    let ranges = || gateway.users.iter().flat_map(|(_, user)| &user.clients).chain(&intake.clients);
    for (family, is_of) in [("ipv4", true), ("ipv6", false)] {
        if !families.contains("all") && !families.contains(family) && ranges().any(|range| range.is_ipv4() == is_of) {
            report.warning(
                "sender-auth",
                format!("clients names {family} addresses, and inet_protocols lets none connect"),
                "take them out of `clients`, or set inet_protocols = all in main.cf",
            );
        }
    }
}

/// What a parameter is set to, in main.cf and for single services in master.cf.
fn values(parameter: &str) -> Vec<String> {
    let main = postfix::parameter(parameter).unwrap_or_default();
    let services = output("postconf", &["-P", &format!("*/*/{parameter}")]).unwrap_or_default();
    let services = services.lines().filter_map(|line| line.split_once('=')).map(|(_, value)| value.trim().to_owned());
    services.chain([main]).collect()
}
