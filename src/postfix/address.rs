//! Whether Postfix accepts the gateway's address and routes its mail to the transport. In: an address. Out: the
//! recipient maps that need the address, and notes for the sysadmin.

use std::fs;

use anyhow::{Result, bail};

use super::settings::{Postfix, items};

/// Each lists, for one kind of domain, the addresses that exist in it.
pub(super) const RECIPIENT_MAPS: [&str; 3] = ["local_recipient_maps", "relay_recipient_maps", "virtual_mailbox_maps"];

/// Notes for the sysadmin before the change.
pub type Notes = Vec<String>;

/// What Postfix does with mail for an address from outside (ADDRESS_CLASS_README).
#[derive(Debug, PartialEq, Eq)]
pub enum Acceptance {
    /// The domain is in no class: clients outside mynetworks without a login are refused ("Relay access denied").
    NotOurs,
    /// The domain is in virtual_alias_domains, where transport_maps is not consulted.
    OnlyAliases,
    /// The domain is in a class with a list of recipients.
    Class {
        /// The parameter that lists the recipients.
        recipients: &'static str,
        /// Whether the address is in it; each address is where the list is empty.
        is_listed: bool,
        /// Whether an account, alias or entry of that name exists besides the gateway's own map.
        exists: bool,
    },
}

/// What Postfix does with mail for `address`. The gateway's map `own` is not consulted.
///
/// # Errors
///
/// Postfix's programs cannot be run.
pub fn acceptance(postfix: &Postfix, own: &str, address: &str) -> Result<Acceptance> {
    let (name, domain) = address.rsplit_once('@').unwrap_or((address, ""));
    let recipients = if is_in(postfix, domain, "mydestination")? {
        "local_recipient_maps"
    } else if is_in(postfix, domain, "virtual_alias_domains")? {
        // Measured: transport_maps is not consulted there at all.
        return Ok(Acceptance::OnlyAliases);
    } else if is_in(postfix, domain, "virtual_mailbox_domains")? {
        "virtual_mailbox_maps"
    } else if is_in(postfix, domain, "relay_domains")? {
        "relay_recipient_maps"
    } else {
        return Ok(Acceptance::NotOurs);
    };
    let keys = if recipients == "local_recipient_maps" { &[address, name][..] } else { &[address][..] };
    let exists = postfix.found_in(recipients, keys, own)?.is_some();
    // An empty value accepts every address of the domain.
    let is_listed = exists
        || postfix.in_force(recipients)?.is_empty()
        || postfix.found_in(recipients, &[&format!("@{domain}")], own)?.is_some();
    Ok(Acceptance::Class { recipients, is_listed, exists })
}

/// The address that virtual_alias_maps rewrites `address` to, if that is another one.
///
/// # Errors
///
/// Postfix's programs cannot be run.
pub fn rewritten(postfix: &Postfix, own: &str, address: &str) -> Result<Option<String>> {
    let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain);
    let found = postfix.found_in("virtual_alias_maps", &[address, &format!("@{domain}")], own)?;
    Ok(found.filter(|rewritten| rewritten != address))
}

/// The recipient map that needs `address`, if one does.
///
/// # Errors
///
/// The mail of the domain never reaches a transport.
pub(super) fn examine(postfix: &Postfix, transport: &str, address: &str) -> Result<(Option<&'static str>, Notes)> {
    let map = postfix.map(transport);
    let (name, domain) = address.rsplit_once('@').unwrap_or((address, ""));
    let mut notes = Notes::new();
    let mut needed = None;
    match acceptance(postfix, &map, address)? {
        Acceptance::OnlyAliases => bail!(
            "{domain} is a virtual alias domain, and there an address can only be an alias of another one. Give the gateway an \
             address in another domain of this host, such as ops@{}, set it as address in mailsudo.toml, and let {address} be \
             an alias of it in virtual_alias_maps",
            postfix.in_force("myhostname")?
        ),
        Acceptance::NotOurs => {
            notes.push(format!(
                "this Postfix takes no mail for {domain} from outside (\"Relay access denied\"): use an address in a domain of \
                 mydestination ({}), or make it take this domain's mail",
                postfix.in_force("mydestination")?
            ));
            // A first relay_recipient_maps would make other relay domains refuse all of theirs.
            if postfix.in_force("relay_domains")?.is_empty() || !postfix.in_force("relay_recipient_maps")?.is_empty() {
                notes.push(format!(
                    "to make it take mail for this one address of {domain} and for no other, add: relay_domains = ... {domain} \
                     and relay_recipient_maps = ... {map}"
                ));
            }
            return Ok((None, notes));
        }
        Acceptance::Class { recipients: "local_recipient_maps", exists: true, .. } => notes.push(format!(
            "{name} is an account or alias of this host; mail for {address} would go to mailsudo instead"
        )),
        Acceptance::Class { recipients, exists: true, .. } => {
            notes.push(format!("{address} exists already in {recipients}; its mail would go to mailsudo instead"));
        }
        Acceptance::Class { is_listed: true, .. } => {}
        Acceptance::Class { recipients, .. } => needed = Some(recipients),
    }
    if let Some(rewritten) = rewritten(postfix, &map, address)? {
        notes.push(format!(
            "virtual_alias_maps turns {address} into {rewritten} before transport_maps is consulted: unless that leads back, add \
             to virtual_alias_maps: {address} {address}"
        ));
    }
    Ok((needed, notes))
}

/// Whether `domain` is in the list of a parameter, whose members are names, `/file` and `type:table` (postconf(5)).
fn is_in(postfix: &Postfix, domain: &str, parameter: &str) -> Result<bool> {
    for item in items(&postfix.in_force(parameter)?) {
        // `!pattern` excludes (postconf(5)); the first match counts.
        let (item, is_excluded) = item.strip_prefix('!').map_or((item, false), |rest| (rest, true));
        let is_in = if item.starts_with('/') {
            fs::read_to_string(item).is_ok_and(|text| text.lines().any(|line| line.eq_ignore_ascii_case(domain)))
        } else if item.contains(':') {
            postfix.lookup(domain, item)?.is_some()
        } else {
            let item = item.to_ascii_lowercase();
            // relay_domains includes subdomains, unless configured otherwise.
            let is_below = domain.ends_with(&format!(".{}", item.trim_start_matches('.')));
            item == domain || (parameter == "relay_domains" && is_below)
        };
        if is_in {
            return Ok(!is_excluded);
        }
    }
    Ok(false)
}
