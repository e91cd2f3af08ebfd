//! The user's side: the key file, and the mail that carries a request. It shares only `protocol` with the server.

pub mod decrypt;
pub mod keys;
pub mod mailbox;
pub mod shell;
pub mod ssh;
pub mod used_step;
pub mod verify;

mod folders;

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use mail_builder::MessageBuilder;
use mail_builder::headers::date::Date;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::config::MailAddress;
use crate::protocol::{GatewayName, Key, Timestamp, UserName};

/// What a user holds for one gateway.
#[derive(Debug)]
pub struct KeyFile {
    /// The gateway.
    pub gateway: GatewayName,
    /// The gateway's mail address.
    pub address: MailAddress,
    /// The user's name there.
    pub user: UserName,
    /// The HMAC key.
    pub key: Key,
    /// Where the file is.
    pub path: PathBuf,
    /// When the file was written, by the time of the file system.
    pub written: Option<Timestamp>,
}

impl KeyFile {
    /// Reads the key file at `path`.
    ///
    /// # Errors
    ///
    /// It is missing, others may read it, or it breaks the rules; no error repeats the key.
    pub fn read(path: &Path) -> Result<Self> {
        Self::parse(path, &read_private(path)?)
    }

    /// Reads the key file `text`, which is at `path`.
    fn parse(path: &Path, text: &str) -> Result<Self> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct File<'t> {
            gateway: GatewayName,
            address: MailAddress,
            user: UserName,
            hmac_key: &'t str,
        }
        let file: File<'_> = toml::from_str(text).ok().with_context(|| {
            format!("{} must hold exactly gateway, address, user and hmac_key, all quoted", path.display())
        })?;
        let key = Key::from_hex(file.hmac_key).with_context(|| path.display().to_string())?;
        let written = fs::metadata(path).and_then(|about| about.modified()).ok().and_then(moment);
        Ok(Self { gateway: file.gateway, address: file.address, user: file.user, key, path: path.to_owned(), written })
    }

    /// Every key file in the user's folder.
    ///
    /// # Errors
    ///
    /// The folder cannot be read, or one of the files is not right.
    pub fn all() -> Result<Vec<Self>> {
        let folder = folders::keys()?;
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", folder.display())),
        };
        let mut paths = Vec::new();
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_some_and(|ending| ending == "toml") {
                paths.push(path);
            }
        }
        paths.sort_unstable();
        paths.iter().map(|path| Self::read(path)).collect()
    }

    /// The key file to use: the one at `path`, or the one for `gateway`, or the only one.
    ///
    /// # Errors
    ///
    /// There is none, or more than one to choose from.
    pub fn choose(path: Option<&Path>, gateway: Option<&GatewayName>) -> Result<Self> {
        if let Some(path) = path {
            return Self::read(path);
        }
        let mut fit: Vec<_> =
            Self::all()?.into_iter().filter(|file| gateway.is_none_or(|name| file.gateway == *name)).collect();
        match (fit.pop(), fit.is_empty()) {
            (Some(only), true) => Ok(only),
            (None, _) => bail!(
                "no key file fits in {}; your gateway's sysadmin makes one with `mailsudo user add`; \
                 or name one with --key FILE",
                folders::keys()?.display()
            ),
            (Some(_), false) => bail!("more than one key file fits: choose with --gateway NAME or --key FILE"),
        }
    }
}

/// A moment of the file system, to the second; `None` before 1970.
fn moment(time: SystemTime) -> Option<Timestamp> {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(Timestamp::from_seconds(i64::try_from(since.as_secs()).ok()?))
}

/// The text of a file that holds a secret and that no other account may read.
///
/// # Errors
///
/// It is missing or not text, or group or others have rights on it.
pub fn read_private(path: &Path) -> Result<Zeroizing<String>> {
    let problem = || format!("cannot read {}", path.display());
    let file = fs::File::open(path).with_context(problem)?;
    let about = file.metadata().with_context(problem)?;
    #[cfg(unix)]
    if !crate::system::permissions::Permissions::from(&about).is_private() {
        let remedy = crate::remedy::Remedy::Chmod("600", path.to_owned());
        bail!("{} can be read by others; it is a secret: {remedy}", path.display());
    }
    let mut text = Zeroizing::new(String::with_capacity(usize::try_from(about.len()).unwrap_or(0) + 1));
    std::io::Read::read_to_string(&mut &file, &mut text).with_context(problem)?;
    Ok(text)
}

/// A file that goes with a request.
#[derive(Debug)]
pub struct Attachment {
    /// Its name, without folders.
    pub name: String,
    /// Its bytes.
    pub content: Vec<u8>,
}

impl Attachment {
    /// Reads the file at `path`.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn read(path: &Path) -> Result<Self> {
        let content = fs::read(path).with_context(|| path.display().to_string())?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { name, content })
    }
}

/// A whole message around a signed block, lines ended by LF. Without `from`, the mail system adds that field. The
/// attachment is encoded in base64, which no mail system changes.
pub fn message(
    block: &str,
    to: &MailAddress,
    from: Option<&MailAddress>,
    subject: &str,
    attachment: Option<&Attachment>,
    now: Timestamp,
) -> String {
    let mut builder = MessageBuilder::new();
    if let Some(from) = from {
        builder = builder.from(from.as_str()).message_id(format!(
            "{}.{}@{}",
            now.seconds(),
            std::process::id(),
            from.domain()
        ));
    }
    let mut builder = builder.to(to.as_str()).subject(subject).date(Date::new(now.seconds())).text_body(block);
    if let Some(file) = attachment {
        builder = builder.attachment("application/octet-stream", file.name.as_str(), file.content.as_slice());
    }
    let message = builder
        .write_to_string()
        // Writing to memory does not fail.
        .unwrap_or_default();
    message.replace("\r\n", "\n")
}

/// A link that opens the user's mail program with the request in it (RFC 6068).
pub fn mailto(block: &str, to: &MailAddress, subject: &str) -> String {
    format!(
        "mailto:{}?subject={}&body={}",
        percent(to.as_str(), b"@"),
        percent(subject, b""),
        percent(&block.replace('\n', "\r\n"), b"")
    )
}

fn percent(text: &str, keep: &[u8]) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut link, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || keep.contains(&byte) {
            link.push(char::from(byte));
        } else {
            link.push_str(&format!("%{byte:02X}"));
        }
        link
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_carries_the_block_whole() {
        let to = MailAddress::try_from("ops+x@example.com".to_owned()).expect("an address");
        assert_eq!(
            mailto("a: b\nc: ~2D\n", &to, "[x] y"),
            "mailto:ops%2Bx@example.com?subject=%5Bx%5D%20y&body=a%3A%20b%0D%0Ac%3A%20~2D%0D%0A"
        );
    }
}
