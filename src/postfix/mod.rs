//! Connects a gateway to an address of this host's Postfix, and removes it. In: the gateway's settings and a Postfix
//! configuration. Out: a [`Plan`], which is shown as a difference, and then applied with postconf(1).
//!
//! It changes, each only where needed: the transport in master.cf; in main.cf the transport's recipient and time
//! limits, transport_maps, where its map goes first, and the recipient map of the address's domain, if Postfix would
//! refuse the address as unknown; and its own map. Other members of a list that it extends stay unchanged.
//!
//! A further address of the gateway (`[intake] recipients`) has a transport of its own: Postfix delivers the mails of
//! one transport in the order in which they came, so a flood to one address does not delay mail to another
//! (docs/operations.md#under-a-flood).
//!
//! MUST: a second run has nothing to change. Removing leaves what the sysadmin has added. If a step fails, the files
//! stay as they were.

mod address;
mod change;
mod settings;

use anyhow::{Result, bail, ensure};

pub use address::{Acceptance, Notes, acceptance, rewritten};
pub use settings::{Postfix, Runner, in_listing, plain_path};

use settings::SIGNATURE;

use crate::config::Settings;
use crate::limits::POSTFIX_MARGIN;

/// The transport as the documented fragment (postfix/master.cf).
const FRAGMENT: &str = include_str!("../../postfix/master.cf");

/// The gateway to connect to an address.
#[derive(Debug)]
pub struct Wanted {
    /// The transport's name.
    pub transport: String,
    /// The gateway's address.
    pub address: String,
    /// Its further addresses, in lower case.
    pub others: Vec<String>,
    /// The account that Postfix runs `deliver` as.
    pub service_user: String,
    /// The longest time limit of a command, in seconds.
    pub longest: u64,
    /// The program.
    pub program: String,
    /// The gateway's folder; `None` for the default one.
    pub config: Option<String>,
    /// The gateway's name, for messages.
    pub gateway: String,
}

impl Wanted {
    /// Each address, with its transport.
    fn transports(&self) -> impl Iterator<Item = (String, &str)> {
        let others = self.others.iter().zip(2..).map(|(other, number)| (format!("{}-{number}", self.transport), other));
        [(self.transport.clone(), self.address.as_str())]
            .into_iter()
            .chain(others.map(|(transport, other)| (transport, other.as_str())))
    }
}

/// The addresses that `settings` serve beside the gateway's own, in lower case, as Postfix looks addresses up.
pub fn others(settings: &Settings) -> Vec<String> {
    let mut others: Vec<String> = Vec::new();
    for recipient in &settings.intake.recipients {
        let recipient = recipient.as_str().to_ascii_lowercase();
        if !recipient.eq_ignore_ascii_case(settings.address.as_str()) && !others.contains(&recipient) {
            others.push(recipient);
        }
    }
    others
}

/// The changes. They are computed once, from the current files, and applied to a copy, to show them, and to the files.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    transport: String,
    /// The lines of master.cf to set, by transport.
    services: Vec<(String, String)>,
    /// The transports whose line of master.cf is removed.
    dropped_services: Vec<String>,
    /// Parameters of main.cf to set, in order.
    settings: Vec<(String, String)>,
    /// Parameters of main.cf to remove.
    dropped: Vec<String>,
    /// The map's text; `None` if the map is removed.
    map: Option<String>,
}

impl Plan {
    /// The transport's name.
    pub fn transport(&self) -> &str {
        &self.transport
    }

    /// What installing `wanted` changes, and notes for the sysadmin.
    ///
    /// # Errors
    ///
    /// The address cannot lead to a transport; or the transport's name or the address belongs to another gateway or
    /// program.
    pub fn install(postfix: &Postfix, wanted: &Wanted) -> Result<(Self, Notes)> {
        let transport = &wanted.transport;
        postfix.check_own_map(transport)?;
        let map = postfix.map(transport);
        let limit = wanted.longest.saturating_add(POSTFIX_MARGIN.as_secs());
        let mut plan = Self { transport: transport.clone(), ..Self::default() };
        let mut notes = Notes::new();
        let mut maps = Vec::new();
        let mut text = format!("{SIGNATURE}\n");
        for (name, address) in wanted.transports() {
            check_name(&name)?;
            refuse_collisions(postfix, wanted, &name, address)?;
            let (needed, found) = address::examine(postfix, transport, address)?;
            maps.extend(needed.filter(|needed| !maps.contains(needed)));
            notes.extend(found);
            plan.settings.push((format!("{name}_destination_recipient_limit"), "1".to_owned()));
            plan.settings.push((format!("{name}_time_limit"), format!("{limit}s")));
            text.push_str(&format!("{address}    {name}:\n"));
            // An entry that says the same in another layout stays as it is.
            let line = service_line(wanted, &name);
            if postfix.service(&name)?.as_deref() != Some(line.as_str()) {
                plan.services.push((name, line));
            }
        }
        for name in postfix.transports(transport)? {
            if wanted.transports().all(|(wanted, _)| wanted != name) {
                plan.drop_transport(postfix, name)?;
            }
        }
        let old = postfix.in_file("transport_maps")?;
        if !settings::has_map(&old, &map) {
            let all = if old.is_empty() { map.clone() } else { format!("{map}, {old}") };
            plan.settings.push(("transport_maps".to_owned(), all));
        }
        for parameter in maps {
            let old = postfix.in_file(parameter)?;
            if !settings::has_map(&old, &map) {
                plan.settings.push((parameter.to_owned(), format!("{old}, {map}")));
            }
        }
        plan.map = Some(text);
        Ok((plan, notes))
    }

    /// What removing `transport` changes.
    ///
    /// # Errors
    ///
    /// The map is not mailsudo's; or Postfix's files cannot be read.
    pub fn remove(postfix: &Postfix, transport: &str) -> Result<Self> {
        check_name(transport)?;
        postfix.check_own_map(transport)?;
        let map = postfix.map(transport);
        let mut plan = Self { transport: transport.to_owned(), ..Self::default() };
        plan.drop_transport(postfix, transport.to_owned())?;
        for name in postfix.transports(transport)?.into_iter().filter(|name| name != transport) {
            plan.drop_transport(postfix, name)?;
        }
        for parameter in ["transport_maps"].into_iter().chain(address::RECIPIENT_MAPS) {
            let old = postfix.in_file(parameter)?;
            if !settings::has_map(&old, &map) {
                continue;
            }
            let new = settings::without_map(&old, &map);
            if new == postfix.default(parameter)? {
                plan.dropped.push(parameter.to_owned());
            } else {
                plan.settings.push((parameter.to_owned(), new));
            }
        }
        Ok(plan)
    }

    fn drop_transport(&mut self, postfix: &Postfix, name: String) -> Result<()> {
        self.dropped.extend([format!("{name}_destination_recipient_limit"), format!("{name}_time_limit")]);
        if postfix.service(&name)?.is_some() {
            self.dropped_services.push(name);
        }
        Ok(())
    }
}

/// A transport's name is a part of parameters' names too.
fn check_name(transport: &str) -> Result<()> {
    let is_name = transport.len() <= 61
        && transport.starts_with(|c: char| c.is_ascii_lowercase())
        && transport.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c));
    ensure!(is_name, "{transport}: a transport's name is of a-z, 0-9, _ and -");
    Ok(())
}

/// How many deliveries run at a time for a further address: one, so that on two cores a flood to it leaves the other
/// core to the gateway's own address.
const FURTHER: &str = "1";

/// The transport as one line, from the fragment.
fn service_line(wanted: &Wanted, transport: &str) -> String {
    let mut argv = format!("argv={} deliver ", wanted.program);
    if let Some(config) = &wanted.config {
        argv.push_str(&format!("--config {config} "));
    }
    let lines = FRAGMENT.lines().filter(|line| !line.starts_with('#'));
    let line = lines.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ");
    let line =
        if transport == wanted.transport { line } else { line.replacen(" 4 pipe ", &format!(" {FURTHER} pipe "), 1) };
    line.replacen("mailsudo ", &format!("{transport} "), 1)
        .replacen("user=mailsudo ", &format!("user={} ", wanted.service_user), 1)
        .replacen("argv=/usr/local/bin/mailsudo deliver ", &argv, 1)
}

/// Refuses a second gateway for one transport or one address: all mail would go to only one of the two.
fn refuse_collisions(postfix: &Postfix, wanted: &Wanted, transport: &str, address: &str) -> Result<()> {
    if let Some(line) = postfix.service(transport)? {
        ensure!(
            is_gateway(&line),
            "master.cf has a transport {transport} that is not mailsudo's: choose another name with --transport"
        );
        let own = wanted.config.as_deref().unwrap_or(crate::config::DEFAULT_FOLDER);
        let served = served_folder(&line);
        ensure!(
            settings::same_path(&served, own),
            "the transport {transport} serves the gateway in {served}: choose another name with --transport, such as \
             mailsudo-{}, or remove that one first: mailsudo postfix remove --transport {transport}",
            wanted.gateway
        );
    }
    let Some(other) = postfix.found_in("transport_maps", &[address], &postfix.map(&wanted.transport))? else {
        return Ok(());
    };
    let other = other.split(':').next().unwrap_or_default();
    if other != transport && postfix.service(other)?.is_some_and(|line| is_gateway(&line)) {
        bail!("{address} leads to the gateway behind the transport {other} already: give one of them another address");
    }
    Ok(())
}

/// Whether a line of master.cf calls `mailsudo deliver`.
fn is_gateway(line: &str) -> bool {
    line.contains(" deliver ")
}

/// The gateway's folder that a line of master.cf names.
fn served_folder(line: &str) -> String {
    let mut words = line.split_whitespace();
    while let Some(word) = words.next() {
        if let Some(folder) = word.strip_prefix("--config=") {
            return folder.to_owned();
        }
        if word == "--config" {
            return words.next().unwrap_or_default().to_owned();
        }
    }
    crate::config::DEFAULT_FOLDER.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> Wanted {
        Wanted {
            transport: "mailsudo".to_owned(),
            address: "ops@example.com".to_owned(),
            others: Vec::new(),
            service_user: "mailsudo".to_owned(),
            longest: 600,
            program: "/usr/bin/mailsudo".to_owned(),
            config: None,
            gateway: "berlin".to_owned(),
        }
    }

    #[test]
    fn the_line_is_the_fragment_with_the_gateways_values() {
        let line = service_line(&wanted(), "mailsudo");
        assert!(line.starts_with("mailsudo unix - n n - 4 pipe flags=Rq user=mailsudo null_sender= argv="), "{line}");
        assert!(line.contains(" argv=/usr/bin/mailsudo deliver --reply-via /usr/sbin/sendmail --sender=${sender} "));
        let other = Wanted {
            transport: "mailsudo-paris".to_owned(),
            service_user: "paris".to_owned(),
            config: Some("/etc/mailsudo/paris".to_owned()),
            ..wanted()
        };
        let line = service_line(&other, &other.transport);
        assert!(line.starts_with("mailsudo-paris unix ") && line.contains(" user=paris "), "{line}");
        assert!(line.contains(" deliver --config /etc/mailsudo/paris --reply-via "), "{line}");
        assert_eq!(served_folder(&line), "/etc/mailsudo/paris");
        assert_eq!(served_folder(&service_line(&wanted(), "mailsudo")), "/etc/mailsudo");
    }

    #[test]
    fn each_further_address_has_a_transport_of_its_own() {
        let wanted = Wanted { others: vec!["a@x".to_owned(), "b@x".to_owned()], ..wanted() };
        let transports: Vec<_> = wanted.transports().collect();
        let expected = [("mailsudo", "ops@example.com"), ("mailsudo-2", "a@x"), ("mailsudo-3", "b@x")];
        assert_eq!(transports, expected.map(|(transport, address)| (transport.to_owned(), address)));
        let line = service_line(&wanted, "mailsudo-2");
        assert!(line.starts_with("mailsudo-2 unix - n n - 1 pipe flags=Rq user=mailsudo "), "{line}");
    }

    #[test]
    fn a_transports_name_is_checked() {
        for name in ["mailsudo", "a", "x-1_y"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in ["", "1a", "A", "a b", "a/b", &"a".repeat(62)] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
