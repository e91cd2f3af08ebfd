//! `mailsudo user add`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;

use super::{UserArg, default_key_file, known, say_key_file, show_totp, ssh_keys};
use crate::cli::{qr, record_change, service_account, sign::address};
use crate::client::read_private;
use crate::config::{Command, EncryptKind, Gateway, MailAddress};
use crate::encryption::{Encryption, kind_of};
use crate::enrolment::{Enrolment, NewUser, fresh_key, fresh_totp};
use crate::limits::Timeouts;
use crate::ordered;
use crate::page::{self, Owner};
use crate::protocol::UserName;
use crate::remedy::Call;
use crate::system::files::{Rights, create};

/// Enrol a user: make the secrets, write the gateway's two files and the user's key file
///
/// Prints the TOTP secret once, on a terminal as a QR code for the user's phone too. It overwrites no existing file.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mailsudo user add alice --address alice@example.com --role web
  mailsudo user add alice --address alice@example.com --role web \\
    --ssh-key id_ed25519_sk.pub")]
pub(in crate::cli) struct Add {
    #[command(flatten)]
    user_arg: UserArg,

    /// Where replies go, and the From that is accepted
    #[arg(long, value_parser = address)]
    address: MailAddress,

    /// A role; may be given more than once
    #[arg(long = "role", value_name = "ROLE", value_parser = role)]
    roles: Vec<String>,

    /// An SSH key that the user may sign with: its .pub file; may be given more than once
    #[arg(long = "ssh-key", value_name = "FILE")]
    ssh_keys: Vec<PathBuf>,

    /// A certificate that mail to the user is encrypted to: OpenPGP (armored) or X.509 (PEM)
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,

    /// Where to write the key file for the user [default: GATEWAY.NAME.toml, here]
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,

    /// Where to write the user's page, with which the user signs in a browser
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,

    /// Show the key file as a QR code, which the page on a phone reads
    #[arg(long)]
    qr_key: bool,

    /// Accept a role that no command allows yet
    #[arg(long)]
    allow_unknown_role: bool,

    /// Print what would be written, and write nothing
    #[arg(long)]
    dry_run: bool,
}

pub(in crate::cli) fn role(text: &str) -> Result<String, String> {
    match UserName::try_from(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("a role is 1 to 60 characters of a-z, 0-9, `.`, `_` and `-`".to_owned()),
    }
}

/// Refuses a role that no command allows, where there are commands: most often it is a typing error.
fn check_roles(gateway: &Gateway, roles: &[String]) -> Result<()> {
    let commands = super::super::commands(gateway)?;
    let known: BTreeSet<&str> = ordered::collect(commands.iter().flat_map(Command::roles));
    let unknown = roles.iter().find(|role| !known.contains(role.as_str()));
    match unknown {
        Some(role) if !known.is_empty() => bail!(
            "no command allows the role {role}; known roles: {}; --allow-unknown-role accepts it",
            known.into_iter().collect::<Vec<_>>().join(", ")
        ),
        _ => Ok(()),
    }
}

/// The certificate in `file`, after a message was encrypted to it.
fn certificate(file: &Path, gateway: &Gateway) -> Result<(EncryptKind, String)> {
    let shown = file.display();
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {shown}"))?;
    let kind = kind_of(&text).map_err(|what| anyhow!("{shown}: {what}"))?;
    let encryption = Encryption::new(gateway, &Timeouts::DEFAULT);
    encryption.about_text(kind, &text).map_err(|why| anyhow!("nothing can be encrypted to {shown}: {why}"))?;
    Ok((kind, text))
}

impl Add {
    pub(super) fn run(self) -> Result<ExitCode> {
        let gateway = self.user_arg.gateway_arg.open()?;
        let enrolment = Enrolment::new(&gateway, service_account(&gateway)?);
        let name = self.user_arg.name;
        let key_file = self.key_file.unwrap_or_else(|| default_key_file(&gateway, &name));
        if !self.allow_unknown_role {
            check_roles(&gateway, &self.roles)?;
        }
        let ssh_keys = ssh_keys(&self.ssh_keys)?;
        let certificate = self.certificate.as_deref().map(|file| certificate(file, &gateway)).transpose()?;
        if self.dry_run {
            let files = [key_file, enrolment.file("users.d", &name), enrolment.file("secrets.d", &name)];
            let certificate = certificate.map(|(kind, _)| enrolment.certificate(&name, kind));
            return would_write(files.into_iter().chain(certificate).chain(self.page));
        }
        refuse_existing(&name, &enrolment, &key_file, self.page.as_deref())?;
        let (key, totp) = (fresh_key()?, fresh_totp(&gateway.settings().gateway, &name)?);
        let user = NewUser { name, address: self.address, roles: self.roles, ssh_keys, certificate };
        enrolment.add(&user, &key, &totp, &key_file)?;
        record_change(
            &gateway,
            &format!("user add {} --address {} --role {}", user.name, user.address, user.roles.join(",")),
        );
        noteln!("{} is enrolled at {}.", user.name, gateway.settings().gateway)?;
        show_totp(&totp)?;
        say_key_file(&key_file, &key, &gateway)?;
        if self.qr_key {
            outln!("The key file as a QR code, for the page on the user's phone only:")?;
            qr::show(&read_private(&key_file)?)?;
        }
        if let Some(file) = &self.page {
            let html = page::html(&gateway, &Owner::of(&user.name, &known(&gateway, &user.name)?))?;
            create(file, html.as_bytes(), Rights { mode: 0o644, owner: None })
                .with_context(|| format!("the user is enrolled without a page: mailsudo page --user {}", user.name))?;
            outln!("Page: {}. It holds no secret.", file.display())?;
        }
        say_keys(&user, &enrolment)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn would_write(paths: impl Iterator<Item = PathBuf>) -> Result<ExitCode> {
    for path in paths {
        let state = if path.exists() { "exists already" } else { "would be written" };
        outln!("{} {state}", path.display())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Refuses to write over a user, a key file or a page.
fn refuse_existing(name: &UserName, enrolment: &Enrolment<'_>, key_file: &Path, page: Option<&Path>) -> Result<()> {
    if enrolment.file("users.d", name).exists() {
        bail!(
            "{name} exists already: {} shows it, and {} makes a new TOTP secret",
            Call::ShowUser(name.to_string()),
            Call::RotateTotp(name.to_string())
        );
    }
    if key_file.exists() {
        bail!("{} exists already, and is not changed: move it away, or use --key-file FILE", key_file.display());
    }
    if let Some(page) = page.filter(|page| page.exists()) {
        bail!("{} exists already, and is not changed: move it away, or name another file", page.display());
    }
    Ok(())
}

/// Says what mail to the user is encrypted to, and which SSH keys the user may sign with.
fn say_keys(user: &NewUser, enrolment: &Enrolment<'_>) -> Result<()> {
    if let Some((kind, _)) = &user.certificate {
        let certificate = enrolment.certificate(&user.name, *kind);
        outln!("Mail to {} is encrypted with {kind}, to {}.", user.name, certificate.display())?;
    }
    for key in &user.ssh_keys {
        outln!("SSH key: {} {}", key.kind(), key.fingerprint())?;
    }
    if !user.ssh_keys.is_empty() {
        let file = enrolment.file("users.d", &user.name);
        outln!("Requests need no SSH signature until {} has require_signature = true.", file.display())?;
    }
    Ok(())
}
