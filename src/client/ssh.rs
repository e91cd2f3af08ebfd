//! Signs a request with the user's own SSH key, by `ssh-keygen -Y sign`. In: the lines of a request and the key's
//! `.pub` file. Out: a signature that a gateway accepts, verified here.
//!
//! ssh-keygen asks ssh-agent or the FIDO key, and the user for a touch, a PIN or a passphrase. No private key passes
//! through this process.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::protocol::{NAMESPACE, SshKey, SshSignature};
use crate::system::private;

/// Reads a `.pub` file.
///
/// # Errors
///
/// It cannot be read, or a gateway does not accept such a key. No error repeats its text.
pub fn public_key(path: &Path) -> Result<SshKey> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    SshKey::parse(&text).with_context(|| path.display().to_string())
}

/// Signs `lines` with the key in the file `path`, by `ssh_keygen`.
///
/// # Errors
///
/// ssh-keygen cannot be run or fails; or its signature is not one of `key` that a gateway accepts.
pub fn sign(ssh_keygen: &Path, path: &Path, key: &SshKey, lines: &str) -> Result<SshSignature> {
    // A file, because ssh-keygen asks for the PIN of a FIDO key only if its standard input is a terminal.
    let scratch = Scratch::new()?;
    let request = scratch.0.join("request");
    private::create(&request, lines.as_bytes())?;
    let mut command = Command::new(ssh_keygen);
    command.args(["-q", "-Y", "sign", "-n", NAMESPACE, "-f"]).arg(path).arg(&request).stdout(Stdio::null());
    let status = command.status().with_context(|| {
        format!("cannot run {}: install the package openssh-client, or name it with --ssh-keygen", ssh_keygen.display())
    })?;
    if !status.success() {
        bail!("{} made no signature: {status}", ssh_keygen.display());
    }
    let armor = scratch.0.join("request.sig");
    let armor = fs::read_to_string(&armor).with_context(|| armor.display().to_string())?;
    let signature = SshSignature::from_armor(&armor)?;
    if !signature.names(key) {
        bail!("{} signed with another key, {}", ssh_keygen.display(), signature.fingerprint());
    }
    signature.verify(key, lines.as_bytes())?;
    Ok(signature)
}

/// A folder of the user's alone, removed when dropped. What is in it is not secret for long: the code in it is used
/// soon.
struct Scratch(PathBuf);

impl Scratch {
    /// In `$XDG_RUNTIME_DIR`, which is in memory and the user's own (file-hierarchy(7)), or else where temporary files
    /// are.
    fn new() -> Result<Self> {
        let base = std::env::var_os("XDG_RUNTIME_DIR").filter(|value| !value.is_empty());
        let base = base.map(PathBuf::from).filter(|base| base.is_dir()).unwrap_or_else(std::env::temp_dir);
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).context("the kernel gives no random bytes")?;
        let path = base.join(format!("mailsudo-{}", hex::encode(bytes)));
        private::create_folder(&path).with_context(|| path.display().to_string())?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
