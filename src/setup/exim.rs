//! Exim as Debian configures it: the router and the transport of `examples/mail-servers/exim`, put where the
//! configuration is split or into its one template. In: the gateway's address and program. Out: changes of files.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::wanted::Wanted;
use crate::system::changes::Changes;
use crate::system::files::Rights;

const ROUTER: &str = include_str!("../../examples/mail-servers/exim/router");
const TRANSPORT: &str = include_str!("../../examples/mail-servers/exim/transport");

/// Where Debian keeps it.
const FOLDER: &str = "/etc/exim4";

/// How our parts of the one template begin and end.
const BEGIN: &str = "# mailsudo setup: begin";
const END: &str = "# mailsudo setup: end";

/// The changes that lead the address to the gateway.
///
/// # Errors
///
/// It is not Debian's configuration, or its template has not the sections that it should have.
pub(super) fn plan(wanted: &Wanted<'_>) -> Result<Changes> {
    let folder = Path::new(FOLDER);
    let about = folder.join("update-exim4.conf.conf");
    let debian = fs::read_to_string(&about).with_context(|| {
        format!(
            "cannot read {}: setup knows only Debian's configuration of Exim; docs/mail-servers.md has the parts",
            about.display()
        )
    })?;
    if folder.join("exim4.conf").exists() {
        bail!(
            "{FOLDER}/exim4.conf replaces Debian's configuration: put the parts of docs/mail-servers.md into it by hand"
        );
    }
    let is_split = debian.lines().any(|line| line.trim() == "dc_use_split_config='true'");
    let mut changes = Changes::default();
    if is_split {
        changes.write(&folder.join("conf.d/router/050_mailsudo"), router(wanted), Rights::READABLE);
        changes.write(&folder.join("conf.d/transport/30_mailsudo"), transport(wanted), Rights::READABLE);
        changes.write(&folder.join("conf.d/main/50_mailsudo"), MAIN, Rights::READABLE);
    } else {
        let path = folder.join("exim4.conf.template");
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let text = with_part(&without_parts(&text), "begin routers", &router(wanted))?;
        let text = with_part(&text, "begin transports", &transport(wanted))?;
        // The main section is the first one.
        let text = format!("{BEGIN}\n{MAIN}{END}\n{text}");
        changes.write(&path, text, Rights::READABLE);
    }
    changes.needed()
}

/// A frozen message is tried again by itself: its delivery died by a signal.
const MAIN: &str = "auto_thaw = 15m\n";

fn router(wanted: &Wanted<'_>) -> String {
    let (local, domain) = wanted.parts();
    ROUTER
        .replace("domains = example.com", &format!("domains = {domain}"))
        .replace("local_parts = ops", &format!("local_parts = {local}"))
}

fn transport(wanted: &Wanted<'_>) -> String {
    let program = wanted.program;
    let limit = wanted.limit().as_secs();
    let config = wanted.config.map(|folder| format!("--config {folder} ")).unwrap_or_default();
    TRANSPORT
        .replace("/usr/bin/mailsudo deliver ", &format!("{program} deliver {config}"))
        .replace("user = mailsudo", &format!("user = {}", wanted.service_user))
        .replace("group = mailsudo", &format!("group = {}", wanted.service_user))
        .replace("timeout = 780s", &format!("timeout = {limit}s"))
}

/// `text` without what an earlier setup has put in.
fn without_parts(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut is_ours = false;
    for line in text.split_inclusive('\n') {
        match line.trim_end() {
            BEGIN => is_ours = true,
            END => is_ours = false,
            _ if is_ours => {}
            _ => kept.push_str(line),
        }
    }
    kept
}

/// `text` with `part` first in the section that `head` begins.
fn with_part(text: &str, head: &str, part: &str) -> Result<String> {
    let mut found = String::with_capacity(text.len() + part.len());
    let mut count = 0;
    for line in text.split_inclusive('\n') {
        found.push_str(line);
        if line.trim_end() == head {
            count += 1;
            found.push_str(&format!("{BEGIN}\n{part}{END}\n"));
        }
    }
    ensure!(
        count == 1,
        "{FOLDER}/exim4.conf.template has `{head}` {count} times: put the parts of docs/mail-servers.md in by hand"
    );
    Ok(found)
}

/// Makes Exim read its files again. Debian makes its configuration from them, and refuses a wrong one.
pub(super) fn reload() -> Vec<Command> {
    let mut update = Command::new("/usr/sbin/update-exim4.conf");
    update.arg("--verbose");
    let mut reload = Command::new("/usr/sbin/service");
    reload.args(["exim4", "restart"]);
    vec![update, reload]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_gets_our_parts_once() {
        let text = "x = y\nbegin routers\na:\n  b\nbegin transports\nc:\n";
        let once = with_part(text, "begin routers", "ours\n").expect("a section");
        assert_eq!(once, format!("x = y\nbegin routers\n{BEGIN}\nours\n{END}\na:\n  b\nbegin transports\nc:\n"));
        assert_eq!(without_parts(&once), text);
        assert!(with_part("x\n", "begin routers", "ours\n").is_err());
    }

    #[test]
    fn the_parts_have_the_gateways_values() {
        let wanted = Wanted::example();
        assert!(router(&wanted).contains("domains = mail.example\n  local_parts = root-ops\n"), "{}", router(&wanted));
        let transport = transport(&wanted);
        assert!(transport.contains("command = /opt/mailsudo deliver --reply-via"), "{transport}");
        assert!(transport.contains("timeout = 480s") && transport.contains("user = ms\n"), "{transport}");
    }
}
