//! `man FOLDER`: the man pages of section 1 from the command line's own description.
//! (Shell completions come from the program itself: `mailsudo completions bash`.)

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from).ok_or("usage: man FOLDER")?;
    fs::create_dir_all(&folder)?;
    write(&folder)
}

fn write(folder: &Path) -> Result<(), Box<dyn Error>> {
    clap_mangen::generate_to(mailsudo::cli::command().disable_help_subcommand(true), folder)?;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
        fs::write(&path, readable(&name, &fs::read_to_string(&path)?))?;
    }
    Ok(())
}

/// The page as a person expects it (man-pages(7)): examples under their name and line by line, the program in the
/// footer, and the usual sections at the end. What clap calls extra is ours to write, so its form is known.
fn readable(name: &str, page: &str) -> String {
    let mut text = String::new();
    let mut is_example = false;
    let mut has_examples = false;
    for line in page.lines() {
        if line.starts_with("  ") != is_example {
            is_example = !is_example;
            text.push_str(if is_example { ".RS 4\n.nf\n" } else { ".fi\n.RE\n" });
        }
        match line {
            "Example:" | "Examples:" => {}
            ".SH EXTRA" => {
                text.push_str(&usual(name));
                text.push_str(".SH EXAMPLES\n");
                has_examples = true;
            }
            "" => text.push_str(".PP\n"),
            // The list of pages is below.
            line if line.starts_with("Manual: ") => {}
            line if line.starts_with(".TH ") => {
                let name = line.split(' ').nth(1).unwrap_or("mailsudo");
                text.push_str(&format!(".TH {name} 1 \"\" \"mailsudo {}\" \"mailsudo\"\n", env!("CARGO_PKG_VERSION")));
            }
            line => text.push_str(&format!("{}\n", line.strip_prefix("  ").unwrap_or(line))),
        }
    }
    if is_example {
        text.push_str(".fi\n.RE\n");
    }
    if !has_examples {
        text.push_str(&usual(name));
        let first = format!("{} --help", name.replace('-', " "));
        text.push_str(&format!(".SH EXAMPLES\n.RS 4\n.nf\n{first}\n.fi\n.RE\n"));
    }
    text.push_str(&format!(".SH SEE ALSO\n{}\n", see(name)));
    text
}

/// EXIT STATUS, FILES and ENVIRONMENT.
fn usual(name: &str) -> String {
    let mut text = ".SH EXIT STATUS\n".to_owned();
    for (status, meaning) in statuses(name) {
        text.push_str(&format!(".TP\n.B {status}\n{meaning}\n"));
    }
    text.push_str(".SH FILES\n");
    for (file, meaning) in files(name) {
        text.push_str(&format!(".TP\n.I {file}\n{meaning}\n"));
    }
    text.push_str(".SH ENVIRONMENT\n");
    for (variable, meaning) in environment(name) {
        text.push_str(&format!(".TP\n.B {variable}\n{meaning}\n"));
    }
    text
}

type Rows = Vec<(&'static str, &'static str)>;

/// mailsudo(7) has the table of all.
fn statuses(name: &str) -> Rows {
    let zero_one = match name {
        "mailsudo-deliver" => {
            return vec![
                ("0", "The message is handled or refused: it must not be delivered again."),
                ("75", "Temporary failure, a wrong command line included: deliver the same message again."),
            ];
        }
        "mailsudo-check" => vec![("0", "All is well."), ("1", "There are warnings."), ("2", "There are errors.")],
        "mailsudo-sudoers" => vec![
            ("0", "Printed, installed, or --check found no difference."),
            ("1", "--check found a difference, or it failed."),
            ("2", "--check cannot tell: the caller may not read the fragment."),
        ],
        "mailsudo-may" => vec![("0", "Permitted."), ("1", "Denied, or it failed.")],
        "mailsudo-verify" => vec![
            ("0", "The reply is genuine."),
            ("1", "It is not, or its text was altered, or it holds more than that text, or no key file can be read."),
        ],
        "mailsudo-explain" => vec![("0", "The message would run."), ("1", "It would not, or it failed.")],
        "mailsudo-postfix-show" => vec![
            ("0", "The transport is installed as it should be."),
            ("1", "Installing would change something, or it failed."),
        ],
        "mailsudo-user-test" => vec![("0", "A request signed now would pass."), ("1", "It would not, or it failed.")],
        "mailsudo-ledger-status" => vec![("0", "The ledger is sound."), ("1", "It is not, or it cannot be read.")],
        "mailsudo-sign" => vec![
            ("0", "The request is signed, and sent if that was asked for; with --wait-reply, the reply is genuine."),
            ("1", "It failed; with --wait-reply, there is no reply in time, or it is not genuine."),
            ("75", "The code was used already: the next one comes within 30 seconds (EX_TEMPFAIL of sysexits.h)."),
        ],
        "mailsudo-ledger-resume" => vec![
            ("0", "Done."),
            ("1", "It failed; standard error says why."),
            ("75", "The ledger or the mail server cannot serve now (EX_TEMPFAIL of sysexits.h)."),
        ],
        _ => vec![("0", "Done."), ("1", "It failed, or the answer to the question was no; standard error says why.")],
    };
    let rest = [
        ("64", "The command line is wrong (EX_USAGE of sysexits.h)."),
        ("141", "The reader of standard output has closed it."),
    ];
    zero_one.into_iter().chain(rest).collect()
}

/// Whether a page is for users, who have a key file and no gateway.
fn is_users(name: &str) -> bool {
    ["mailsudo-sign", "mailsudo-verify"].contains(&name) || name.starts_with("mailsudo-key")
}

fn files(name: &str) -> Rows {
    if is_users(name) {
        let mut files = vec![("~/.config/mailsudo/GATEWAY.toml", "The user's key file for a gateway, mode 0600.")];
        if name == "mailsudo-sign" {
            files.push(("~/.config/mailsudo/client.conf", "The mailbox where replies come, mailsudo(7)."));
            files.push(("~/.local/state/mailsudo/USER@GATEWAY", "The end of the step in which you signed last."));
        }
        return files;
    }
    let mut files: Rows = match name {
        "mailsudo-completions" => {
            return vec![("/usr/share/bash-completion/completions/mailsudo", "Where the package puts bash's script.")];
        }
        _ => vec![("/etc/mailsudo/mailsudo.toml", "The gateway's settings, mailsudo.toml(5).")],
    };
    let command = name.strip_prefix("mailsudo-").unwrap_or_default();
    let is = |group: &str| command == group || command.starts_with(&format!("{group}-"));
    if command.is_empty() || ["user", "may", "deliver", "explain", "check"].into_iter().any(is) {
        files.push(("/etc/mailsudo/users.d/NAME.toml", "A user, mailsudo-users(5)."));
        files.push(("/etc/mailsudo/secrets.d/NAME.toml", "The secrets of a user; root and the service group only."));
    }
    if command.is_empty() || ["command", "may", "sudoers", "deliver", "explain", "check"].into_iter().any(is) {
        files.push(("/etc/mailsudo/commands.d/NAME.toml", "A command, mailsudo-commands(5)."));
    }
    if command.is_empty() || ["command", "sudoers", "check"].into_iter().any(is) {
        files.push(("/etc/sudoers.d/mailsudo", "The generated sudo rules."));
    }
    if command.is_empty() || ["ledger", "log", "metrics", "deliver", "check", "user"].into_iter().any(is) {
        files.push(("/var/lib/mailsudo/ledger.db", "The ledger."));
    }
    if ["postfix", "check"].into_iter().any(is) {
        files.push(("/etc/postfix/main.cf, /etc/postfix/master.cf", "Postfix's own configuration."));
        files.push(("/etc/postfix/mailsudo_transport", "The map that leads the address to the transport."));
    }
    files
}

fn environment(name: &str) -> Rows {
    if name == "mailsudo-deliver" {
        let what = "Postfix's instance, passed on to sendmail(1). It uses no other variable, and its commands get an \
                    environment of their own.";
        return vec![("MAIL_CONFIG", what)];
    }
    let mut variables: Rows = Vec::new();
    if name == "mailsudo-sign" {
        variables.push(("EMAIL", "The From field of a message, where --from is not given."));
    }
    if name == "mailsudo-sign" {
        variables.push(("XDG_STATE_HOME, HOME", "Where the folder mailsudo with the steps used is."));
        variables.push(("XDG_RUNTIME_DIR", "Where --ssh-key has a file in memory, for the time of the signature."));
        variables.push(("SSL_CERT_FILE", "The certificate authorities for the IMAP server, instead of the machine's."));
        variables.push(("SSH_AUTH_SOCK", "ssh-agent(1), for ssh-keygen(1) with --ssh-key."));
    }
    if is_users(name) {
        variables.push(("XDG_CONFIG_HOME, HOME", "Where the folder mailsudo with the key files is."));
    }
    variables.push(("NO_COLOR", "If set and not empty: no colours. CLICOLOR_FORCE: colours into a pipe too."));
    variables.push(("TZ", "The time zone in which times are printed."));
    variables
}

fn see(name: &str) -> String {
    const ALL: [&str; 5] =
        ["mailsudo(7)", "mailsudo.toml(5)", "mailsudo-users(5)", "mailsudo-commands(5)", "mailsudo-protocol(7)"];
    let mut pages: Vec<&str> = if is_users(name) {
        vec!["mailsudo(1)", "mailsudo-sign(1)", "mailsudo-verify(1)", "mailsudo(7)", "mailsudo-protocol(7)"]
    } else {
        [["mailsudo(1)"].as_slice(), &ALL].concat()
    };
    match name {
        "mailsudo-deliver" | "mailsudo-explain" => pages.extend(["pipe(8)", "sendmail(1)"]),
        "mailsudo-sudoers" => pages.extend(["sudo(8)", "sudoers(5)", "visudo(8)"]),
        name if name.starts_with("mailsudo-postfix") => pages.extend(["pipe(8)", "postconf(1)", "transport(5)"]),
        _ => {}
    }
    let own = format!("{name}(1)");
    pages.into_iter().filter(|page| *page != own).collect::<Vec<_>>().join(",\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_has_the_usual_sections_in_order() {
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path()).expect("the pages");
        let mut count = 0;
        for entry in fs::read_dir(folder.path()).expect("the folder") {
            let path = entry.expect("an entry").path();
            let page = fs::read_to_string(&path).expect("a page");
            let sections =
                ["NAME", "SYNOPSIS", "DESCRIPTION", "EXIT STATUS", "FILES", "ENVIRONMENT", "EXAMPLES", "SEE ALSO"];
            let mut rest = page.as_str();
            for section in sections {
                let heads = [format!(".SH {section}\n"), format!(".SH \"{section}\"\n")];
                let at = heads.iter().find_map(|head| rest.find(head.as_str()));
                let at = at.unwrap_or_else(|| panic!("{}: no {section}, or not in this place", path.display()));
                rest = rest.get(at + 4..).unwrap_or_default();
            }
            count += 1;
        }
        assert!(count > 30, "one for each subcommand");
    }
}
