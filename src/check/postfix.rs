//! Postfix: the transport that calls `deliver`, the maps that lead to it, and the mail in its queue.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::programs::{POSTFIX_QUEUE, POSTFIX_SERVICES, POSTFIX_SETTINGS, ask, output, output_of, parameter};
use super::{CheckedGateway, Report, acceptance, count, sender_auth};
use crate::limits::POSTFIX_MARGIN;
use crate::remedy::{Call, Remedy, program};
use crate::setup::{MailServer, installed};

pub(super) fn check(gateway: &CheckedGateway<'_>, report: &mut Report) {
    let Some(services) = services() else {
        return without(gateway, report);
    };
    if output_of(POSTFIX_SETTINGS).is_none() {
        let what = "`postconf -x` does not print the parameters of main.cf, so Postfix was not checked";
        let remedy = "run `postconf -x` as root: its error names the parameter; correct that in main.cf";
        return report.error("postfix", what, remedy);
    }
    let address = gateway.settings().address.as_str();
    let is_ours =
        |line: &&String| Path::new(&folder(line)).canonicalize().is_ok_and(|folder| folder == gateway.gateway.path());
    let ours: Vec<&String> = services.iter().filter(is_ours).collect();
    let next = next_hop(address);
    let Some(main) = ours.iter().find(|line| leads_to(next.as_deref(), name_of(line))).or(ours.first()) else {
        let remedy = Call::InstallPostfix;
        return report.error(
            "postfix",
            "master.cf has no transport that calls mailsudo deliver for this gateway",
            remedy,
        );
    };
    let name = name_of(main);
    let before = report.findings.len();
    running(report);
    // The further addresses of the gateway have transports of their own.
    for service in &ours {
        transport(service, name_of(service), gateway, report);
        sender_auth::transport(service, name_of(service), gateway, report);
        limits(name_of(service), gateway, report);
    }
    map(name, address, next.as_deref(), report);
    acceptance::check(address, report);
    if report.findings.len() == before {
        report.ok("postfix", format!("the transport {name} serves {address}"));
    }
    queue(name, address, report);
}

/// Where there is no Postfix: the mail server that there is.
fn without(gateway: &CheckedGateway<'_>, report: &mut Report) {
    let address = gateway.settings().address.as_str();
    match installed() {
        Some(server @ MailServer::Exim) => {
            let routed = ask(Command::new("/usr/sbin/exim4").args(["-bt", address]).stdin(Stdio::null()));
            if routed.is_some_and(|answer| answer.out.contains(EXIM_TRANSPORT)) {
                return report.ok("mail-server", format!("{} leads {address} to the gateway", server.name()));
            }
            let what = format!("{} does not lead {address} to the gateway", server.name());
            report.error("mail-server", what, "put the parts of docs/mail-servers.md into its configuration");
        }
        Some(server) => {
            let what = format!("{} is this host's mail server; how it leads {address} is not checked", server.name());
            report.ok("mail-server", what);
        }
        None => {
            let what = "postconf cannot be run, so Postfix was not checked";
            let remedy = format!(
                "if Postfix handles the mail of this host: {}; then, as root: {}",
                Remedy::Install("postfix"),
                Call::Check
            );
            report.warning("postfix", what, remedy);
        }
    }
}

/// As `exim -bt` names the transport of docs/mail-servers.md.
const EXIM_TRANSPORT: &str = "transport = mailsudo";

/// The process id in master.pid, and whether it is Postfix's; `None` where the caller may not read it.
pub(super) fn master() -> Option<Master> {
    let queue = parameter("queue_directory")?;
    let process = match fs::read_to_string(format!("{queue}/pid/master.pid")) {
        Ok(id) => Path::new("/proc").join(id.trim()),
        Err(error) if error.kind() == ErrorKind::NotFound => return Some(Master::Stopped),
        Err(_) => return None,
    };
    // The number may be stale, and may now belong to another process.
    let is_master = fs::read_to_string(process.join("comm")).is_ok_and(|name| name.trim() == "master");
    Some(if is_master { Master::Running(process) } else { Master::Stopped })
}

/// Postfix's main process.
pub(super) enum Master {
    /// It runs; its folder in /proc.
    Running(PathBuf),
    /// It does not run.
    Stopped,
}

fn running(report: &mut Report) {
    if let Some(Master::Stopped) = master() {
        let what = "Postfix is not running: no mail arrives, and no reply leaves";
        report.error("postfix", what, Remedy::StartPostfix);
    }
}

/// The services of master.cf that call `deliver`; `None` where Postfix cannot be asked.
fn services() -> Option<Vec<String>> {
    let services = output_of(POSTFIX_SERVICES)?;
    let ours = services.lines().filter(|line| line.contains(" deliver") && line.contains("mailsudo"));
    Some(ours.map(str::to_owned).collect())
}

/// The folders of all the gateways that Postfix leads to.
pub(super) fn folders() -> Vec<PathBuf> {
    services().unwrap_or_default().iter().map(|line| folder(line).into()).collect()
}

/// Which gateway a line of master.cf is for: its `--config`, or the default folder.
fn folder(line: &str) -> String {
    let mut words = line.split_whitespace();
    let told = words.find_map(|word| match word.strip_prefix("--config") {
        Some("") => Some(None),
        Some(rest) => rest.strip_prefix('=').map(|folder| Some(folder.to_owned())),
        None => None,
    });
    match told {
        None => crate::config::DEFAULT_FOLDER.to_owned(),
        Some(Some(folder)) => folder,
        Some(None) => words.next().unwrap_or_default().to_owned(),
    }
}

fn transport(service: &str, name: &str, gateway: &CheckedGateway<'_>, report: &mut Report) {
    let remedy = || Call::InstallPostfix;
    let word = |key: &str| service.split_whitespace().find_map(|word| word.strip_prefix(key));
    let flags = word("flags=").unwrap_or_default();
    for (flag, why) in [
        ('D', "mail that already bears Delivered-To would bounce"),
        ('>', "lines are changed"),
        ('.', "lines are changed"),
    ] {
        if flags.contains(flag) {
            report.error("postfix", format!("the transport {name} has the flag {flag}: {why}"), remedy());
        }
    }
    for flag in ['R', 'q'] {
        if !flags.contains(flag) {
            report.warning("postfix", format!("the transport {name} lacks the flag {flag}"), remedy());
        }
    }
    if word("size=").is_some() {
        let what = format!("the transport {name} has size=, which bounces large mail to senders who may be forged");
        report.error("postfix", what, remedy());
    }
    if word("user=").map(|user| user.split(':').next().unwrap_or_default()) != Some(&gateway.settings().service_user) {
        let what = format!("the transport {name} does not run as {}", gateway.settings().service_user);
        report.error("postfix", what, remedy());
    }
    if word("null_sender=").is_none() {
        report.warning("postfix", format!("the transport {name} lacks null_sender="), remedy());
    }
    if !service.contains("--reply-via") {
        report.error("postfix", format!("the transport {name} lacks --reply-via: replies would be lost"), remedy());
    }
}

fn limits(name: &str, gateway: &CheckedGateway<'_>, report: &mut Report) {
    let setting = |key: &str| parameter(&format!("{name}_{key}"));
    if setting("destination_recipient_limit").as_deref() != Some("1") {
        report.error(
            "postfix",
            format!("{name}_destination_recipient_limit is not 1: mail to two addresses would be one delivery"),
            Remedy::Postconf(format!("{name}_destination_recipient_limit"), "1".to_owned()),
        );
    }
    let longest =
        gateway.commands.iter().map(|command| command.timeout.as_duration().as_secs()).max().unwrap_or_default();
    let needed = longest + POSTFIX_MARGIN.as_secs();
    let default = || parameter("command_time_limit");
    let limit = setting("time_limit").filter(|text| !text.is_empty()).or_else(default);
    if limit.as_deref().and_then(seconds).is_some_and(|limit| limit < needed) {
        let what =
            format!("{name}_time_limit is under {needed} s: Postfix would kill the delivery of the longest command");
        report.error("postfix", what, Remedy::Postconf(format!("{name}_time_limit"), format!("{needed}s")));
    }
}

/// A time in Postfix's notation (postconf(5)): seconds unless a unit says otherwise.
fn seconds(text: &str) -> Option<u64> {
    let units = [('s', 1), ('m', 60), ('h', 3600), ('d', 86_400), ('w', 604_800)];
    let (digits, unit) =
        units.iter().find_map(|(letter, size)| Some((text.strip_suffix(*letter)?, *size))).unwrap_or((text, 1));
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

/// The transport of a line of master.cf.
fn name_of(line: &str) -> &str {
    line.split_whitespace().next().unwrap_or_default()
}

/// What transport_maps has for an address.
fn next_hop(address: &str) -> Option<String> {
    let maps = parameter("transport_maps").unwrap_or_default();
    maps.split([',', ' ', '\n']).filter(|map| !map.is_empty()).find_map(|map| {
        output("postmap", &["-q", address, map]).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    })
}

fn leads_to(next: Option<&str>, transport: &str) -> bool {
    next.is_some_and(|next| next.split(':').next() == Some(transport))
}

fn map(name: &str, address: &str, next: Option<&str>, report: &mut Report) {
    match next {
        _ if leads_to(next, name) => {}
        Some(next) => {
            let what = format!("transport_maps sends {address} to {next}, not to {name}");
            report.error(
                "postfix",
                what,
                format!(
                    "correct the entry of {address} in the map that has it, then {} that file and {} reload",
                    program("postmap"),
                    program("postfix")
                ),
            );
        }
        None => {
            report.error("postfix", format!("transport_maps does not send {address} to {name}"), Call::InstallPostfix);
        }
    }
}

/// A broken gateway defers all mail, and Postfix returns it after days.
fn queue(name: &str, address: &str, report: &mut Report) {
    let Some(entries) = output_of(POSTFIX_QUEUE) else {
        return;
    };
    let entries = entries.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let waiting = entries.filter(|entry| {
        let recipients = entry.get("recipients").and_then(|list| list.as_array()).cloned().unwrap_or_default();
        let addressed = |recipient: &serde_json::Value| {
            recipient
                .get("address")
                .and_then(|text| text.as_str())
                .is_some_and(|text| text.eq_ignore_ascii_case(address))
        };
        entry.get("queue_name").and_then(|text| text.as_str()) == Some("deferred") && recipients.iter().any(addressed)
    });
    match waiting.count() {
        0 => report.ok("queue", format!("no mail waits for {name}")),
        mails => report.warning(
            "queue",
            format!("waiting for {name}: {}; Postfix gives up after {}", count(mails, "mail"), lifetime()),
            format!("the lines with event=deferred in the log say why; then {} -f", program("postqueue")),
        ),
    }
}

fn lifetime() -> String {
    parameter("maximal_queue_lifetime").unwrap_or_else(|| "5d".to_owned())
}
