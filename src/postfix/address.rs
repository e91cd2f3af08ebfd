//! Whether Postfix accepts the gateway's address and routes its mail to the transport. In: an address. Out: the recipient maps
//! that need the address, and notes for the sysadmin.

use std::fs;

use anyhow::{Result, bail};

use super::settings::{Postfix, items};

/// Each lists, for one kind of domain, the addresses that exist in it.
pub(super) const RECIPIENT_MAPS: [&str; 3] = ["local_recipient_maps", "relay_recipient_maps", "virtual_mailbox_maps"];

/// Notes for the sysadmin before the change.
pub type Notes = Vec<String>;

/// The recipient map that needs `address`, if one does.
///
/// # Errors
///
/// The mail of the domain never reaches a transport.
pub(super) fn examine(postfix: &Postfix, transport: &str, address: &str) -> Result<(Option<&'static str>, Notes)> {
    let map = postfix.map(transport);
    let (name, domain) = address.rsplit_once('@').unwrap_or((address, ""));
    let mut notes = Notes::new();
    let parameter = if is_in(postfix, domain, "mydestination")? {
        "local_recipient_maps"
    } else if is_in(postfix, domain, "virtual_alias_domains")? {
        // Measured: transport_maps is not consulted there at all.
        bail!(
            "{domain} is a virtual alias domain, and there an address can only be an alias of another one. Give the gateway an \
             address in another domain of this host, such as ops@{}, set it as address in mailsudo.toml, and let {address} be \
             an alias of it in virtual_alias_maps",
            postfix.in_force("myhostname")?
        );
    } else if is_in(postfix, domain, "virtual_mailbox_domains")? {
        "virtual_mailbox_maps"
    } else if is_in(postfix, domain, "relay_domains")? {
        "relay_recipient_maps"
    } else {
        notes.push(format!(
            "this Postfix takes no mail for {domain} from outside (\"Relay access denied\"): use an address in a domain of \
             mydestination ({}), or make it take this domain's mail",
            postfix.in_force("mydestination")?
        ));
        // A first relay_recipient_maps would make other relay domains refuse all of theirs.
        if postfix.in_force("relay_domains")?.is_empty() || !postfix.in_force("relay_recipient_maps")?.is_empty() {
            notes.push(format!(
                "to make it take mail for this one address of {domain} and for no other, add: relay_domains = ... {domain} and \
                 relay_recipient_maps = ... {map}"
            ));
        }
        return Ok((None, notes));
    };
    let mut recipients = None;
    if parameter == "local_recipient_maps" && postfix.found_in(parameter, &[address, name], &map)?.is_some() {
        notes.push(format!(
            "{name} is an account or alias of this host; mail for {address} will go to mailsudo instead"
        ));
    } else if postfix.found_in(parameter, &[address], &map)?.is_some() {
        notes.push(format!("{address} exists already in {parameter}; its mail will go to mailsudo instead"));
    // An empty value accepts every address of the domain, and must stay empty for it.
    } else if !postfix.in_force(parameter)?.is_empty()
        && postfix.found_in(parameter, &[&format!("@{domain}")], &map)?.is_none()
    {
        recipients = Some(parameter);
    }
    let rewritten = postfix.found_in("virtual_alias_maps", &[address, &format!("@{domain}")], &map)?;
    if let Some(rewritten) = rewritten.filter(|rewritten| rewritten != address) {
        notes.push(format!(
            "virtual_alias_maps turns {address} into {rewritten} before transport_maps is consulted: unless that leads back, add \
             to virtual_alias_maps: {address} {address}"
        ));
    }
    Ok((recipients, notes))
}

/// Whether `domain` is in the list of a parameter: names, /files and type:tables.
fn is_in(postfix: &Postfix, domain: &str, parameter: &str) -> Result<bool> {
    for item in items(&postfix.in_force(parameter)?) {
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
            return Ok(true);
        }
    }
    Ok(false)
}
