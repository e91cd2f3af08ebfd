//! All settings in force, each with its origin. In: `mailsudo.toml`, which the gateway's own reader has accepted. Out:
//! rows.

use anyhow::{Context, Result};
use toml_edit::{Document, Item, TableLike};

/// A setting in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The key, such as `execution.longest`.
    pub key: String,
    /// Its value, as TOML; empty where there is none.
    pub value: String,
    /// The line of the file that sets it; `None` for the default.
    pub line: Option<usize>,
}

/// Every key that has a default, with the default as TOML; empty where the default is to have none. The tests compare
/// the list with the keys that the reader knows.
const DEFAULTS: [(&str, &str); 32] = [
    ("max_age", "\"30m\""),
    ("max_future", "\"2m\""),
    ("retention", "\"90d\""),
    ("service_user", "\"mailsudo\""),
    ("limits.message", "\"256KiB\""),
    ("limits.output", "\"64KiB\""),
    ("limits.per_user", ""),
    ("intake.recipients", "[]"),
    ("intake.subject", ""),
    ("intake.reject", "{ \"X-Spam-Flag\" = \"^YES\", \"X-Spam-Status\" = \"^Yes\" }"),
    ("intake.require_sasl", "false"),
    ("intake.clients", "[]"),
    ("intake.require_authentication_results", "false"),
    ("intake.authserv_id", ""),
    ("intake.sign_for_subdomains", "[]"),
    ("ledger.url", "\"sqlite:/var/lib/mailsudo/ledger.db\""),
    ("ledger.password_file", ""),
    ("ledger.synchronous", "\"warn\""),
    ("syslog.to", "\"/dev/log\""),
    ("syslog.facility", "\"authpriv\""),
    ("lockout.wrong_codes", "5"),
    ("lockout.within", "\"15m\""),
    ("lockout.lasts", "\"15m\""),
    ("execution.run_via", "\"sudo\""),
    ("execution.longest", "\"10m\""),
    ("execution.sudo", "\"/usr/bin/sudo\""),
    ("execution.timeout", "\"/usr/bin/timeout\""),
    ("encryption.sop", "\"/usr/bin/sqop\""),
    ("encryption.openssl", "\"/usr/bin/openssl\""),
    ("decryption.openpgp_key", ""),
    ("decryption.smime_key", ""),
    ("decryption.smime_certificate", ""),
];

/// The key with a default that is not the same everywhere: the running program.
const PROGRAM: &str = "execution.mailsudo";

/// The old name of a key, which replaces it.
const OLD: (&str, &str) = ("execution.fence", "execution.run_via");

/// Whether `key` is a setting.
pub fn is_setting(key: &str) -> bool {
    let others = ["gateway", "address", PROGRAM, OLD.0];
    others.contains(&key) || DEFAULTS.iter().any(|(known, _)| *known == key)
}

/// The settings in force: those of the file `text`, in its order, then the defaults. `program` is the running one.
///
/// # Errors
///
/// `text` is not TOML.
pub fn in_force(text: &str, program: &str) -> Result<Vec<Shown>> {
    let document = Document::parse(text).context("it is not TOML")?;
    let mut rows = Vec::new();
    collect(document.as_table(), "", text, &mut rows);
    let quoted = format!("\"{program}\"");
    for (key, value) in DEFAULTS.into_iter().chain([(PROGRAM, quoted.as_str())]) {
        let is_set = rows.iter().any(|row| row.key == key || (row.key == OLD.0 && key == OLD.1));
        if !is_set {
            rows.push(Shown { key: key.to_owned(), value: value.to_owned(), line: None });
        }
    }
    Ok(rows)
}

fn collect(table: &dyn TableLike, above: &str, text: &str, rows: &mut Vec<Shown>) {
    for (name, item) in table.iter() {
        let key = format!("{above}{name}");
        match item {
            Item::Table(section) => {
                // [intake.reject] is one setting, as a section too.
                if above.is_empty() {
                    collect(section, &format!("{key}."), text, rows);
                } else {
                    let values: Vec<_> = section
                        .iter()
                        .map(|(name, item)| format!("\"{name}\" = {}", item.to_string().trim()))
                        .collect();
                    rows.push(Shown {
                        key,
                        value: format!("{{ {} }}", values.join(", ")),
                        line: line(section.span(), text),
                    });
                }
            }
            item => {
                let value = item.to_string().trim().to_owned();
                rows.push(Shown { key, value, line: line(item.span(), text) });
            }
        }
    }
}

fn line(span: Option<std::ops::Range<usize>>, text: &str) -> Option<usize> {
    let before = text.get(..span?.start)?;
    Some(1 + before.bytes().filter(|&byte| byte == b'\n').count())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Gateway, Trusted};

    fn settings(text: &str) -> Result<String, String> {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("mailsudo.toml"), text).expect("a file");
        let gateway = Gateway::open(folder.path(), Trusted::caller()).map_err(|error| error.to_string())?;
        Ok(format!("{:?}", gateway.settings()))
    }

    const LEAST: &str = "gateway = \"berlin\"\naddress = \"ops@example.com\"\n";

    /// Written out, the defaults give the same settings as an empty file.
    #[test]
    fn the_defaults_are_those_in_force() {
        let mut text = LEAST.to_owned();
        for (key, value) in DEFAULTS.iter().filter(|(_, value)| !value.is_empty()) {
            text = crate::edit::set(&text, key, value).expect("set");
        }
        assert_eq!(settings(&text).expect("settings"), settings(LEAST).expect("settings"));
    }

    /// The reader's own errors list what it knows.
    #[test]
    fn no_key_is_missing() {
        let names = ["limits", "intake", "ledger", "syslog", "lockout", "execution", "encryption", "decryption"];
        let sections: Vec<_> = names.iter().map(|name| format!("[{name}]\n")).chain([String::new()]).collect();
        for section in &sections {
            let error = settings(&format!("{LEAST}{section}nothing = 1\n")).expect_err("unknown");
            let known = error.split("expected ").nth(1).expect("the known keys");
            let prefix = section.trim().trim_matches(['[', ']']);
            for key in known.split('`').skip(1).step_by(2) {
                let key = if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") };
                let is_section = sections.contains(&format!("[{key}]\n"));
                assert!(is_section || is_setting(&key), "{key} has no row in DEFAULTS");
            }
        }
    }

    #[test]
    fn each_has_its_origin() {
        let text = format!("{LEAST}# A comment.\n[execution]\nlongest = \"5m\" # ours\n[intake.reject]\nX = \"^Y\"\n");
        let rows = in_force(&text, "/usr/bin/mailsudo").expect("rows");
        let row = |key: &str| rows.iter().find(|row| row.key == key).expect("a row");
        assert_eq!((row("gateway").value.as_str(), row("gateway").line), ("\"berlin\"", Some(1)));
        assert_eq!((row("execution.longest").value.as_str(), row("execution.longest").line), ("\"5m\"", Some(5)));
        assert_eq!(row("intake.reject").value, "{ \"X\" = \"^Y\" }");
        assert_eq!((row("max_age").value.as_str(), row("max_age").line), ("\"30m\"", None));
        assert_eq!(row(PROGRAM).value, "\"/usr/bin/mailsudo\"");
    }
}
