//! `mailsudo user rotate`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use clap_complete::engine::ArgValueCompleter;

use super::{DryRun, default_key_file, known, say_key_file, show_totp, ssh_keys};
use crate::check::count;
use crate::cli::{GatewayArg, complete, record_change, service_account, when};
use crate::config::{Gateway, Span};
use crate::enrolment::{Enrolment, OVERLAP, fresh_key, fresh_totp};
use crate::protocol::UserName;
use crate::system::clock::{Clock, SystemClock};
use crate::system::files::{Rights, create, create_folder};

/// Give a user a new HMAC key, a new TOTP secret or other SSH keys
///
/// With --hmac and --ssh-key the old keys stay valid for requests signed within the overlap, so there is time to give
/// the user the new key file, and for mail that is under way. With --totp the old secret is invalid from the next
/// message on, because a phone holds only one. --ssh-key replaces all of the user's SSH keys: give those that stay,
/// too.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mailsudo user rotate alice --hmac --overlap 2d
  mailsudo user rotate alice --ssh-key id_ed25519_sk.pub --ssh-key spare.pub
  mailsudo user rotate alice --totp
  mailsudo user rotate --all --output new-keys")]
pub(in crate::cli) struct Rotate {
    #[command(flatten)]
    gateway_arg: GatewayArg,

    /// The user's name
    #[arg(required_unless_present = "all", conflicts_with = "all", add = ArgValueCompleter::new(complete::users))]
    name: Option<UserName>,

    #[command(flatten)]
    which: Which,

    /// With --all, the new folder for the users' key files and otpauth URLs
    #[arg(long, value_name = "DIR", requires = "all", required_if_eq("all", "true"))]
    output: Option<PathBuf>,

    /// How long the old HMAC key or SSH keys stay valid [default: 7d]
    #[arg(long, value_name = "SPAN", value_parser = span, conflicts_with_all = ["totp", "all"])]
    overlap: Option<Span>,

    /// Where to write the new key file [default: GATEWAY.NAME.toml, here]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["totp", "ssh_keys", "all"])]
    key_file: Option<PathBuf>,

    #[command(flatten)]
    dry_run: DryRun,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// The HMAC key
    #[arg(long)]
    hmac: bool,

    /// The TOTP secret
    #[arg(long)]
    totp: bool,

    /// The SSH keys: a .pub file; may be given more than once
    #[arg(long = "ssh-key", value_name = "FILE")]
    ssh_keys: Vec<PathBuf>,

    /// The HMAC key and the TOTP secret of every user; all old ones are invalid at once
    #[arg(long, requires = "output")]
    all: bool,
}

fn span(text: &str) -> Result<Span, String> {
    Span::try_from(text.to_owned())
}

impl Rotate {
    pub(super) fn run(self) -> Result<ExitCode> {
        let gateway = self.gateway_arg.open()?;
        let Some(name) = self.name else {
            return rotate_all(&gateway, &self.output.unwrap_or_default(), &self.dry_run);
        };
        known(&gateway, &name)?;
        let ssh_keys = ssh_keys(&self.which.ssh_keys)?;
        let would = if !ssh_keys.is_empty() {
            format!("users.d/{name}.toml would have other SSH keys")
        } else if self.which.totp {
            format!("secrets.d/{name}.toml would have a new TOTP secret")
        } else {
            format!("secrets.d/{name}.toml would have a new HMAC key")
        };
        if self.dry_run.is_all(&would)? {
            return Ok(ExitCode::SUCCESS);
        }
        let enrolment = Enrolment::new(&gateway, service_account(&gateway)?);
        let until = SystemClock.now().plus(self.overlap.map_or(OVERLAP, Span::as_duration));
        if !ssh_keys.is_empty() {
            enrolment.rotate_ssh_keys(&name, &ssh_keys, until)?;
            record_change(&gateway, &format!("user rotate {name} --ssh-key"));
            outln!("{name} may sign with:")?;
            for key in &ssh_keys {
                outln!("  {} {}", key.kind(), key.fingerprint())?;
            }
            if known(&gateway, &name)?.ssh.previous.is_some() {
                outln!("The SSH keys before are valid for requests signed up to {}.", when(until))?;
            }
        } else if self.which.totp {
            let totp = fresh_totp(&gateway.settings().gateway, &name)?;
            enrolment.rotate_totp(&name, &totp)?;
            record_change(&gateway, &format!("user rotate {name} --totp"));
            outln!("{name} has a new TOTP secret; the old one is no longer valid.")?;
            show_totp(&totp)?;
        } else {
            let key_file = self.key_file.unwrap_or_else(|| default_key_file(&gateway, &name));
            if key_file.exists() {
                bail!(
                    "{} exists already, and is not changed: move it away, or use --key-file FILE",
                    key_file.display()
                );
            }
            let key = fresh_key()?;
            enrolment.rotate_key(&name, &key, until, &key_file)?;
            record_change(&gateway, &format!("user rotate {name} --hmac"));
            outln!("{name} has a new HMAC key; the old one is valid for requests signed up to {}.", when(until))?;
            say_key_file(&key_file, &key, &gateway)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Gives every user new secrets. What was signed with the old ones is refused from the next message on.
fn rotate_all(gateway: &Gateway, folder: &Path, dry_run: &DryRun) -> Result<ExitCode> {
    let names = gateway.secret_names()?;
    if folder.exists() {
        bail!("{} exists already; name a new folder", folder.display());
    }
    if dry_run.is_all(&format!(
        "{} would have new secrets, and {} the files for them",
        count(names.len(), "user"),
        folder.display()
    ))? {
        return Ok(ExitCode::SUCCESS);
    }
    create_folder(folder)?;
    let enrolment = Enrolment::new(gateway, service_account(gateway)?);
    for name in &names {
        let (key, totp) = (fresh_key()?, fresh_totp(&gateway.settings().gateway, name)?);
        let url = folder.join(format!("{name}.otpauth"));
        create(&url, format!("{}\n", totp.as_str()).as_bytes(), Rights { mode: 0o600, owner: None })?;
        let done = enrolment.replace(name, &key, &totp, &folder.join(default_key_file(gateway, name)));
        done.with_context(|| format!("{name} and those after it in the alphabet still have their old secrets"))?;
    }
    record_change(gateway, "user rotate --all");
    noteln!("New secrets are in force for {}; the old ones are no longer valid.", count(names.len(), "user"))?;
    outln!(
        "Give each user the two files in {} in a way that you trust, then delete it: the key file, and the otpauth URL for the \
         phone.",
        folder.display()
    )?;
    Ok(ExitCode::SUCCESS)
}
