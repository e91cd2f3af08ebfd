//! SSH keys without OpenSSH: one in a file, and a FIDO key in software (OpenSSH's PROTOCOL.u2f).

use ed25519_dalek::{Signer, SigningKey};
use mailsudo::protocol::{BadSignature, Key, NAMESPACE, SshSignature, Timestamp, UnsignedError};
use sha2::{Digest, Sha256};
use ssh_key::public::{Ed25519PublicKey, KeyData, SkEd25519};
use ssh_key::{Algorithm, HashAlg, LineEnding, PublicKey, Signature, SshSig};

/// An Ed25519 key.
pub struct SoftKey {
    key: SigningKey,
    /// The flags and the counter of its next signature, if it is a FIDO key.
    pub fido: Option<(u8, u32)>,
    pub namespace: &'static str,
}

impl SoftKey {
    /// A key as in a file.
    pub fn new(seed: u8) -> Self {
        Self { key: SigningKey::from_bytes(&[seed; 32]), fido: None, namespace: NAMESPACE }
    }

    /// A FIDO key whose user is present.
    pub fn fido(seed: u8) -> Self {
        Self { fido: Some((1, 7)), ..Self::new(seed) }
    }

    fn data(&self) -> KeyData {
        let public = Ed25519PublicKey(self.key.verifying_key().to_bytes());
        match self.fido {
            None => KeyData::Ed25519(public),
            Some(_) => KeyData::SkEd25519(SkEd25519::from(public)),
        }
    }

    /// As in a `.pub` file.
    pub fn public(&self) -> String {
        PublicKey::from(self.data()).to_openssh().expect("a key")
    }

    /// As `ssh-keygen -l` prints it.
    pub fn fingerprint(&self) -> String {
        self.data().fingerprint(HashAlg::Sha256).to_string()
    }

    /// What `ssh-keygen -Y sign` would write.
    pub fn armor(&self, lines: &str) -> String {
        let data = SshSig::signed_data(self.namespace, HashAlg::Sha512, lines.as_bytes()).expect("data");
        let signature = match self.fido {
            None => Signature::new(Algorithm::Ed25519, self.key.sign(&data).to_bytes().to_vec()),
            Some((flags, counter)) => {
                let trailer = [&[flags][..], &counter.to_be_bytes()].concat();
                let message = [&Sha256::digest("ssh:")[..], &trailer, &Sha256::digest(&data)[..]].concat();
                let bytes = [self.key.sign(&message).to_bytes().to_vec(), trailer].concat();
                Signature::new(Algorithm::SkEd25519, bytes)
            }
        };
        let signature = SshSig::new(self.data(), self.namespace, HashAlg::Sha512, signature.expect("a signature"));
        signature.and_then(|signature| signature.to_pem(LineEnding::LF)).expect("an armour")
    }

    /// A block of alice's, with the right code, that this key has signed.
    pub fn block(&self, time: Timestamp, command: &str, arguments: &[(&str, &str)], code: Option<&str>) -> String {
        self.block_of("alice", super::KEY, time, command, arguments, code)
    }

    /// The same of `user`, who has this HMAC key.
    pub fn block_of(
        &self,
        user: &str,
        key: &str,
        time: Timestamp,
        command: &str,
        arguments: &[(&str, &str)],
        code: Option<&str>,
    ) -> String {
        let unsigned = super::unsigned(user, time, command, arguments, code);
        let sign = |lines: &str| SshSignature::from_armor(&self.armor(lines)).map_err(Unsigned::Signature);
        unsigned.sign_with_ssh(&Key::from_hex(key).expect("a key"), sign).expect("a block")
    }

    /// A mail with such a block.
    pub fn mail(&self, time: Timestamp, command: &str, arguments: &[(&str, &str)]) -> String {
        super::mail("alice@example.com", &self.block(time, command, arguments, None))
    }
}

#[derive(Debug)]
enum Unsigned {
    Request(UnsignedError),
    Signature(BadSignature),
}

impl From<UnsignedError> for Unsigned {
    fn from(error: UnsignedError) -> Self {
        Self::Request(error)
    }
}

impl From<BadSignature> for Unsigned {
    fn from(error: BadSignature) -> Self {
        Self::Signature(error)
    }
}
