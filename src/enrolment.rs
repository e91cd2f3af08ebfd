//! Users: enrolment, changes and removal. In: the new data. Out: the two files
//! of the gateway and the user's key file, each changed in one step or not at all.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use totp_rs::Secret;
use zeroize::Zeroizing;

use crate::config::{EncryptKind, Gateway, MailAddress, Secrets, Settings};
use crate::protocol::{GatewayName, Key, SshKey, Timestamp, UserName};
use crate::remedy::Call;
use crate::system::accounts::Account;
use crate::system::changes::Changes;
use crate::system::files::{Rights, create, rewrite};

/// The data of a new user.
#[derive(Debug)]
pub struct NewUser {
    /// The user's name.
    pub name: UserName,
    /// Where replies go, and the only From accepted.
    pub address: MailAddress,
    /// The user's roles.
    pub roles: Vec<String>,
    /// The SSH keys that the user may sign with.
    pub ssh_keys: Vec<SshKey>,
    /// The certificate that mail to the user is encrypted to, with its kind and its text.
    pub certificate: Option<(EncryptKind, String)>,
}

/// The gateway's folder as a place for users' files.
#[derive(Clone, Copy)]
pub struct Enrolment<'g> {
    gateway: &'g Gateway,
    service: Option<Account>,
}

/// Bytes of a fresh TOTP secret: 160 bits (RFC 4226, requirement R6).
const TOTP_BYTES: usize = 20;

/// A key from the kernel.
///
/// # Errors
///
/// The kernel gives no random bytes.
pub fn fresh_key() -> Result<Key> {
    Key::filled_by(|bytes| getrandom::fill(bytes)).context("the kernel gives no random bytes")
}

/// The otpauth URL of a secret from the kernel.
///
/// # Errors
///
/// The kernel gives no random bytes.
pub fn fresh_totp(gateway: &GatewayName, user: &UserName) -> Result<Zeroizing<String>> {
    let mut bytes = Zeroizing::new([0; TOTP_BYTES]);
    getrandom::fill(&mut *bytes).context("the kernel gives no random bytes")?;
    let base32 = Zeroizing::new(Secret::from(bytes.to_vec()).to_base32());
    Ok(Zeroizing::new(format!(
        "otpauth://totp/mailsudo%20{gateway}:{user}?secret={}&issuer=mailsudo%20{gateway}",
        base32.as_str()
    )))
}

/// A new user's three files as changes, for the gateway in `folder` with `settings`. The secrets come last: until they
/// are there, the user is unknown.
pub fn plan(
    folder: &Path,
    settings: &Settings,
    service: Account,
    user: &NewUser,
    key: &Key,
    totp: &str,
    key_file: &Path,
) -> Changes {
    let file = |below: &str| folder.join(below).join(format!("{}.toml", user.name));
    let own = Rights { mode: 0o600, owner: None };
    let mut changes = Changes::default();
    changes.write_secret(key_file, key_file_text(settings, &user.name, key).as_bytes(), own);
    changes.write(&file("users.d"), user.text(), Rights { mode: 0o644, owner: None });
    let for_service = Rights { mode: 0o640, owner: Some((0, service.gid)) };
    changes.write_secret(&file("secrets.d"), secrets_text(key, totp, None).as_bytes(), for_service);
    changes
}

impl NewUser {
    /// The text of the user's file.
    fn text(&self) -> String {
        let roles: Vec<_> = self.roles.iter().map(|role| format!("\"{role}\"")).collect();
        let mut text = format!("address = \"{}\"\nroles   = [{}]\n", self.address, roles.join(", "));
        if !self.ssh_keys.is_empty() {
            text.push_str(&format!("ssh_keys = {}\n", array(&self.ssh_keys)));
        }
        if let Some((kind, _)) = &self.certificate {
            text.push_str(&format!("encrypt = \"{kind}\"\n"));
        }
        text
    }
}

fn key_file_text(settings: &Settings, user: &UserName, key: &Key) -> Zeroizing<String> {
    Zeroizing::new(format!(
        "gateway  = \"{}\"\naddress  = \"{}\"\nuser     = \"{user}\"\nhmac_key = \"{}\"\n",
        settings.gateway,
        settings.address,
        key.to_hex().as_str()
    ))
}

impl<'g> Enrolment<'g> {
    /// `service` is the service user's account where root acts for it, and `None` where an account acts for itself.
    pub fn new(gateway: &'g Gateway, service: Option<Account>) -> Self {
        Self { gateway, service }
    }

    /// The file of `user` in `folder` (`users.d` or `secrets.d`).
    pub fn file(&self, folder: &str, user: &UserName) -> PathBuf {
        self.gateway.path().join(folder).join(format!("{user}.toml"))
    }

    /// Writes a new user's three files, and overwrites none. The secrets come last: until they are there, the user is
    /// unknown.
    ///
    /// # Errors
    ///
    /// A file exists already or cannot be written; what was written before it is removed again.
    pub fn add(&self, user: &NewUser, key: &Key, totp: &str, key_file: &Path) -> Result<()> {
        let about = self.file("users.d", &user.name);
        let secrets = self.file("secrets.d", &user.name);
        let text = user.text();
        self.write_key_file(&user.name, key, key_file)?;
        let certificate = self.write_certificate(user).inspect_err(|_| {
            let _ = std::fs::remove_file(key_file);
        })?;
        let written = create(&about, text.as_bytes(), Rights { mode: 0o644, owner: None }).and_then(|()| {
            let written = create(&secrets, secrets_text(key, totp, None).as_bytes(), self.secret_rights());
            if written.is_err() {
                let _ = std::fs::remove_file(&about);
            }
            written
        });
        if written.is_err() {
            for path in certificate.iter().map(PathBuf::as_path).chain([key_file]) {
                let _ = std::fs::remove_file(path);
            }
        }
        written
    }

    /// Writes the user's certificate, if there is one; returns where.
    fn write_certificate(&self, user: &NewUser) -> Result<Option<PathBuf>> {
        let Some((kind, text)) = &user.certificate else {
            return Ok(None);
        };
        let path = self.certificate(&user.name, *kind);
        if let Some(folder) = path.parent().filter(|folder| !folder.exists()) {
            std::fs::DirBuilder::new()
                .mode(0o755)
                .create(folder)
                .with_context(|| format!("cannot create {}", folder.display()))?;
        }
        create(&path, text.as_bytes(), Rights::READABLE)?;
        Ok(Some(path))
    }

    /// The file with the certificate of `user`.
    pub fn certificate(&self, user: &UserName, kind: EncryptKind) -> PathBuf {
        self.gateway.path().join("certs.d").join(format!("{user}.{}", kind.ending()))
    }

    /// Gives `user` the HMAC key `fresh`; the previous key counts for requests signed up to `until`.
    ///
    /// # Errors
    ///
    /// The user has no secrets, or a file cannot be written; then nothing has changed.
    pub fn rotate_key(&self, user: &UserName, fresh: &Key, until: Timestamp, key_file: &Path) -> Result<()> {
        let before = self.secrets(user)?;
        self.write_key_file(user, fresh, key_file)?;
        let text = secrets_text(fresh, &before.totp, Some((&before.key, until)));
        let written = rewrite(&self.file("secrets.d", user), text.as_bytes());
        if written.is_err() {
            let _ = std::fs::remove_file(key_file);
        }
        written
    }

    /// Gives `user` the TOTP secret `fresh` at once, because a phone holds only one.
    ///
    /// # Errors
    ///
    /// The user has no secrets, or the file cannot be written.
    pub fn rotate_totp(&self, user: &UserName, fresh: &str) -> Result<()> {
        let before = self.secrets(user)?;
        let previous = before.previous.as_ref().map(|former| (&former.key, former.until));
        rewrite(&self.file("secrets.d", user), secrets_text(&before.key, fresh, previous).as_bytes())
    }

    /// Gives `user` the HMAC key `key` and the TOTP secret `totp`; no former one counts any more.
    ///
    /// # Errors
    ///
    /// A file cannot be written; then the secrets have not changed.
    pub fn replace(&self, user: &UserName, key: &Key, totp: &str, key_file: &Path) -> Result<()> {
        self.write_key_file(user, key, key_file)?;
        let written = rewrite(&self.file("secrets.d", user), secrets_text(key, totp, None).as_bytes());
        if written.is_err() {
            let _ = std::fs::remove_file(key_file);
        }
        written
    }

    /// Gives `user` the SSH keys `fresh`; those before count for requests signed up to `until`.
    ///
    /// # Errors
    ///
    /// There is no such user, or the file cannot be written.
    pub fn rotate_ssh_keys(&self, user: &UserName, fresh: &[SshKey], until: Timestamp) -> Result<()> {
        let before = self.gateway.user(user)?.ssh.keys;
        let former: Vec<_> = before.into_iter().filter(|key| !fresh.contains(key)).collect();
        let time: toml_edit::Datetime = until.to_string().parse().context("the overlap ends after the year 9999")?;
        self.edit(user, |document| {
            document.insert("ssh_keys", toml_edit::value(array(fresh)));
            document.remove("previous");
            if !former.is_empty() {
                let mut previous = toml_edit::Table::new();
                previous.insert("ssh_keys", toml_edit::value(array(&former)));
                previous.insert("until", toml_edit::value(time));
                document.insert("previous", toml_edit::Item::Table(previous));
            }
        })
    }

    /// Enables or disables `user`.
    ///
    /// # Errors
    ///
    /// There is no such user, or the file cannot be written.
    pub fn set_enabled(&self, user: &UserName, enabled: bool) -> Result<()> {
        self.gateway.user(user)?;
        self.edit(user, |document| {
            document.insert("enabled", toml_edit::value(enabled));
        })
    }

    /// Changes the file of `user` in `users.d`, and leaves the rest of it as the sysadmin wrote it.
    fn edit(&self, user: &UserName, change: impl FnOnce(&mut toml_edit::DocumentMut)) -> Result<()> {
        let path = self.file("users.d", user);
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut document: toml_edit::DocumentMut = text.parse().with_context(|| path.display().to_string())?;
        change(&mut document);
        rewrite(&path, document.to_string().as_bytes())
    }

    /// Removes the gateway's two files of `user`; the secrets go first, so that the user is unknown from then on.
    ///
    /// # Errors
    ///
    /// There is no such user, or a file cannot be removed.
    pub fn remove(&self, user: &UserName) -> Result<()> {
        let mut found = false;
        for folder in ["secrets.d", "users.d"] {
            let path = self.file(folder, user);
            match std::fs::remove_file(&path) {
                Ok(()) => found = true,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(error).with_context(|| format!("cannot remove {}", path.display())),
            }
        }
        for kind in [EncryptKind::Openpgp, EncryptKind::Smime] {
            let path = self.certificate(user, kind);
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("cannot remove {}", path.display()));
                }
                _ => {}
            }
        }
        found.then_some(()).with_context(|| format!("there is no user {user}; the users: {}", Call::ListUsers))
    }

    /// The secrets of a user who must have them.
    ///
    /// # Errors
    ///
    /// There are none, or they may not be used.
    pub fn secrets(&self, user: &UserName) -> Result<Secrets> {
        self.gateway.secrets(user)?.with_context(|| format!("the user {user} has no secrets here"))
    }

    /// Writes the key file of `user`, for the user to take away.
    ///
    /// # Errors
    ///
    /// It exists already, or cannot be written.
    pub fn write_key_file(&self, user: &UserName, key: &Key, path: &Path) -> Result<()> {
        let text = key_file_text(self.gateway.settings(), user, key);
        create(path, text.as_bytes(), Rights { mode: 0o600, owner: None })
    }

    /// Root writes for the service group to read. Any other account is the service user itself, in a test by hand.
    pub fn secret_rights(&self) -> Rights {
        match self.service {
            Some(account) => Rights { mode: 0o640, owner: Some((0, account.gid)) },
            None => Rights { mode: 0o600, owner: None },
        }
    }
}

/// SSH keys as TOML, one on each line.
fn array(keys: &[SshKey]) -> toml_edit::Array {
    let mut array: toml_edit::Array = keys.iter().map(ToString::to_string).collect();
    array.iter_mut().for_each(|key| key.decor_mut().set_prefix("\n    "));
    array.set_trailing("\n");
    array.set_trailing_comma(true);
    array
}

fn secrets_text(key: &Key, totp: &str, previous: Option<(&Key, Timestamp)>) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(1024));
    text.push_str(&Zeroizing::new(format!("hmac_key = \"{}\"\n", key.to_hex().as_str())));
    text.push_str(&Zeroizing::new(format!("totp     = \"{totp}\"\n")));
    if let Some((key, until)) = previous {
        text.push_str(&Zeroizing::new(format!(
            "\n[previous]\nhmac_key = \"{}\"\nuntil    = {until}\n",
            key.to_hex().as_str()
        )));
    }
    text
}

/// How long the old key counts after a rotation, unless the sysadmin says otherwise: mail may lie in queues for days.
pub const OVERLAP: Duration = Duration::from_hours(7 * 24);
