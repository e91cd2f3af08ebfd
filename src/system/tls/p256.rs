//! P-256 for TLS, with the crate that verifies SSH signatures. ring has it too, with a table of 150 KiB that no SSH
//! signature needs.

use p256::PublicKey;
use p256::ecdh::EphemeralSecret;
use p256::ecdsa::signature::hazmat::PrehashVerifier;
use p256::ecdsa::{Signature, VerifyingKey};
use p256::elliptic_curve::Generate;
use p256::elliptic_curve::sec1::ToSec1Point;
use rustls::crypto::{ActiveKeyExchange, GetRandomFailed, SharedSecret, SupportedKxGroup};
use rustls::ffdhe_groups::FfdheGroup;
use rustls::pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id};
use rustls::{Error, NamedGroup, PeerMisbehaved};
use sha2::{Digest, Sha256, Sha384};

/// ECDSA with SHA-256 over P-256.
pub(super) static ECDSA_SHA256: Ecdsa =
    Ecdsa { hash: |message| Sha256::digest(message).to_vec(), signature: alg_id::ECDSA_SHA256 };

/// ECDSA with SHA-384 over P-256, as some authorities sign certificates.
pub(super) static ECDSA_SHA384: Ecdsa =
    Ecdsa { hash: |message| Sha384::digest(message).to_vec(), signature: alg_id::ECDSA_SHA384 };

/// Key exchange with a new key for each connection (RFC 8446, section 4.2.8.2).
#[derive(Debug)]
pub(super) struct Secp256r1;

impl SupportedKxGroup for Secp256r1 {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let secret = EphemeralSecret::try_generate().map_err(|_| GetRandomFailed)?;
        let public = secret.public_key().to_sec1_point(false).as_bytes().into();
        Ok(Box::new(Exchange { secret, public }))
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::secp256r1
    }
}

/// A key exchange that waits for the server's key.
struct Exchange {
    secret: EphemeralSecret,
    public: Box<[u8]>,
}

impl ActiveKeyExchange for Exchange {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        let peer = point(peer).ok_or(PeerMisbehaved::InvalidKeyShare)?;
        Ok(SharedSecret::from(self.secret.diffie_hellman(&peer).raw_secret_bytes().as_slice()))
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::secp256r1
    }

    fn pub_key(&self) -> &[u8] {
        &self.public
    }
}

/// ECDSA over P-256 with one hash; a signature is in DER (RFC 5480, RFC 3279 section 2.2.3).
#[derive(Debug)]
pub(super) struct Ecdsa {
    hash: fn(&[u8]) -> Vec<u8>,
    signature: AlgorithmIdentifier,
}

impl SignatureVerificationAlgorithm for Ecdsa {
    fn verify_signature(&self, key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        let key = VerifyingKey::from(point(key).ok_or(InvalidSignature)?);
        let signature = Signature::from_der(signature).map_err(|_| InvalidSignature)?;
        key.verify_prehash(&(self.hash)(message), &signature).map_err(|_| InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_P256
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.signature
    }
}

/// A point of the curve that is not its identity, uncompressed (SEC 1, section 2.3.3): TLS 1.3 allows no other form,
/// and ring reads no other in certificates.
fn point(bytes: &[u8]) -> Option<PublicKey> {
    let uncompressed = bytes.first() == Some(&4);
    uncompressed.then(|| PublicKey::from_sec1_bytes(bytes).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6979, appendix A.2.5.
    const KEY: &str = "0460FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6\
        7903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299";
    /// The signatures there of `sample`, in DER.
    const SHA256: &str = "3046022100EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716\
        022100F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8";
    const SHA384: &str = "304402200EAFEA039B20E9B42309FB1D89E213057CBF973DC0CFC8F129EDDDC800EF7719\
        02204861F0491E6998B9455193E34E7B0D284DDD7149A74B95B9261F13ABDE940954";

    fn bytes(text: &str) -> Vec<u8> {
        hex::decode(text).expect("hex")
    }

    #[test]
    fn a_signature_holds_for_its_key_message_and_hash_alone() {
        let key = bytes(KEY);
        for (algorithm, other, signature) in
            [(&ECDSA_SHA256, &ECDSA_SHA384, SHA256), (&ECDSA_SHA384, &ECDSA_SHA256, SHA384)]
        {
            let signature = bytes(signature);
            let holds = |key: &[u8], message: &[u8], signature: &[u8]| {
                algorithm.verify_signature(key, message, signature).is_ok()
            };
            assert!(holds(&key, b"sample", &signature));
            assert!(!holds(&key, b"Sample", &signature));
            assert!(other.verify_signature(&key, b"sample", &signature).is_err());
            for at in 0..signature.len() {
                let mut changed = signature.clone();
                changed[at] ^= 1;
                assert!(!holds(&key, b"sample", &changed), "byte {at}");
            }
            assert!(!holds(&key, b"sample", &[&signature[..], &[0]].concat()));
            for bad in bad_points() {
                assert!(!holds(&bad, b"sample", &signature), "{bad:x?}");
            }
        }
    }

    #[test]
    fn two_sides_agree_on_a_secret_and_no_bad_point_is_taken() {
        let start = || Secp256r1.start().expect("random numbers");
        let (ours, theirs) = (start(), start());
        let (our_key, their_key) = (ours.pub_key().to_vec(), theirs.pub_key().to_vec());
        assert_eq!((our_key.len(), our_key[0], ours.group()), (65, 4, NamedGroup::secp256r1));
        assert_ne!(our_key, their_key);
        let ours = ours.complete(&their_key).expect("a secret");
        assert_eq!(ours.secret_bytes(), theirs.complete(&our_key).expect("a secret").secret_bytes());
        assert_eq!(ours.secret_bytes().len(), 32);
        for bad in bad_points() {
            let error = start().complete(&bad).err();
            assert_eq!(error, Some(Error::PeerMisbehaved(PeerMisbehaved::InvalidKeyShare)), "{bad:x?}");
        }
    }

    /// None; the identity; a compressed point, and a hybrid one (SEC 1, 2.3.3); one beside the curve; one too short,
    /// one too long.
    fn bad_points() -> Vec<Vec<u8>> {
        let key = bytes(KEY);
        let compressed = [&[3], &key[1..33]].concat();
        let hybrid = [&[7], &key[1..]].concat();
        let beside = [&key[..64], &[key[64] ^ 1]].concat();
        let beyond = [&[4][..], &[255; 64]].concat();
        vec![vec![], vec![0], compressed, hybrid, beside, beyond, key[..64].to_vec(), [&key[..], &[0]].concat()]
    }
}
