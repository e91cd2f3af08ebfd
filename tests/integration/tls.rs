//! TLS as a client, with OpenSSL as the server: every kind of certificate and key exchange that servers have.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use mailsudo::system::tls;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::Acceptor;
use rustls::{ClientConnection, NamedGroup, RootCertStore, SignatureScheme, StreamOwned};

/// Ways to make a key, and to sign a certificate with it (openssl-req(1)).
const KINDS: [(&str, &[&str]); 11] = [
    ("P-256", &["ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-sha256"]),
    ("P-256 with SHA-384", &["ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-sha384"]),
    ("P-384", &["ec", "-pkeyopt", "ec_paramgen_curve:P-384", "-sha384"]),
    ("P-384 with SHA-256", &["ec", "-pkeyopt", "ec_paramgen_curve:P-384", "-sha256"]),
    ("Ed25519", &["ed25519"]),
    ("RSA 2048", &["rsa:2048", "-sha256"]),
    ("RSA 3072 with SHA-384", &["rsa:3072", "-sha384"]),
    ("RSA 2048 with SHA-512", &["rsa:2048", "-sha512"]),
    ("RSA-PSS", &["rsa:2048", "-sha256", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"]),
    (
        "RSA-PSS with SHA-384",
        &["rsa:2048", "-sha384", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"],
    ),
    (
        "RSA-PSS with SHA-512",
        &["rsa:2048", "-sha512", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"],
    ),
];

#[test]
fn servers_with_each_kind_of_certificate_are_trusted_and_a_wrong_signature_never_is() {
    for (kind, key) in KINDS {
        let folder = tempfile::tempdir().expect("a folder");
        certificates(folder.path(), key);
        let server = Server::start(folder.path(), "server.pem", &[]);
        assert_eq!(server.connect(folder.path()), Ok(NamedGroup::X25519), "{kind}");
        // The last byte of a certificate belongs to its signature.
        let genuine = CertificateDer::from_pem_file(folder.path().join("server.pem")).expect("a certificate");
        let mut changed = genuine.to_vec();
        *changed.last_mut().expect("bytes") ^= 1;
        fs::write(folder.path().join("changed.der"), changed).expect("written");
        let server = Server::start(folder.path(), "changed.der", &["-certform", "DER"]);
        let refused = server.connect(folder.path()).expect_err(kind);
        assert!(refused.contains("BadSignature"), "{kind}: {refused}");
    }
}

#[test]
fn servers_that_prove_an_rsa_key_with_one_hash_are_reached() {
    let folder = tempfile::tempdir().expect("a folder");
    certificates(folder.path(), &["rsa:2048", "-sha256"]);
    for scheme in ["rsa_pss_rsae_sha256", "rsa_pss_rsae_sha384", "rsa_pss_rsae_sha512"] {
        let server = Server::start(folder.path(), "server.pem", &["-sigalgs", scheme]);
        assert_eq!(server.connect(folder.path()), Ok(NamedGroup::X25519), "{scheme}");
    }
}

/// RFC 4055, section 5: the parameters of such an algorithm are NULL, and a reader accepts that they are absent.
#[test]
fn servers_whose_certificate_leaves_out_the_parameters_of_its_rsa_signature_are_trusted() {
    for (hash, arc) in [("-sha256", 11), ("-sha384", 12), ("-sha512", 13)] {
        let folder = tempfile::tempdir().expect("a folder");
        certificates(folder.path(), &["rsa:2048", hash]);
        without_parameters(folder.path(), hash, arc);
        let server = Server::start(folder.path(), "bare.der", &["-certform", "DER"]);
        assert_eq!(server.connect(folder.path()), Ok(NamedGroup::X25519), "{hash}");
        let mut changed = fs::read(folder.path().join("bare.der")).expect("a certificate");
        *changed.last_mut().expect("bytes") ^= 1;
        fs::write(folder.path().join("changed.der"), changed).expect("written");
        let server = Server::start(folder.path(), "changed.der", &["-certform", "DER"]);
        let refused = server.connect(folder.path()).expect_err(hash);
        assert!(refused.contains("BadSignature"), "{hash}: {refused}");
    }
}

/// A server may choose its certificate by what the client says that it can check (RFC 8446, section 4.2.3).
#[test]
fn servers_are_told_which_signatures_are_checked() {
    let config = tls::client(RootCertStore::empty()).expect("TLS 1.3");
    let name = ServerName::try_from("server").expect("a name");
    let mut client = ClientConnection::new(Arc::new(config), name).expect("a client");
    let mut hello = Vec::new();
    client.write_tls(&mut hello).expect("written");
    let mut acceptor = Acceptor::default();
    acceptor.read_tls(&mut &hello[..]).expect("read");
    let accepted = acceptor.accept().unwrap_or_else(|(error, _)| panic!("{error}")).expect("a whole message");
    let mut said = accepted.client_hello().signature_schemes().to_vec();
    said.sort_unstable_by_key(|scheme| u16::from(*scheme));
    let checked = [
        SignatureScheme::RSA_PKCS1_SHA256,
        SignatureScheme::ECDSA_NISTP256_SHA256,
        SignatureScheme::RSA_PKCS1_SHA384,
        SignatureScheme::ECDSA_NISTP384_SHA384,
        SignatureScheme::RSA_PKCS1_SHA512,
        SignatureScheme::RSA_PSS_SHA256,
        SignatureScheme::RSA_PSS_SHA384,
        SignatureScheme::RSA_PSS_SHA512,
        SignatureScheme::ED25519,
    ];
    assert_eq!(said, checked);
}

#[test]
fn servers_with_one_kind_of_key_exchange_are_reached() {
    let folder = tempfile::tempdir().expect("a folder");
    certificates(folder.path(), KINDS[0].1);
    for (name, group) in
        [("X25519", NamedGroup::X25519), ("P-256", NamedGroup::secp256r1), ("P-384", NamedGroup::secp384r1)]
    {
        let server = Server::start(folder.path(), "server.pem", &["-groups", name]);
        assert_eq!(server.connect(folder.path()), Ok(group), "{name}");
    }
    let server = Server::start(folder.path(), "server.pem", &["-groups", "P-521"]);
    server.connect(folder.path()).expect_err("no common group");
}

#[test]
fn servers_with_one_cipher_suite_are_reached_and_those_without_tls_1_3_are_not() {
    let folder = tempfile::tempdir().expect("a folder");
    certificates(folder.path(), KINDS[0].1);
    for suite in ["TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"] {
        let server = Server::start(folder.path(), "server.pem", &["-ciphersuites", suite]);
        assert_eq!(server.connect(folder.path()), Ok(NamedGroup::X25519), "{suite}");
    }
    let server = Server::start(folder.path(), "server.pem", &["-tls1_2"]);
    let refused = server.connect(folder.path()).expect_err("TLS 1.2");
    assert!(refused.contains("ProtocolVersion"), "{refused}");
}

/// A certificate for the name `server`, and the authority that signed it (`ca.pem`), both with such a key.
fn certificates(folder: &Path, key: &[&str]) {
    let openssl = |words: &[&str]| {
        let mut command = Command::new("openssl");
        command.args(["req", "-x509", "-nodes", "-days", "2", "-newkey"]).args(key).args(words).current_dir(folder);
        let made = command.output().expect("openssl; tests/setup installs it");
        assert!(made.status.success(), "{key:?}: {}", String::from_utf8_lossy(&made.stderr));
    };
    openssl(&["-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=ca", "-addext", "keyUsage=keyCertSign"]);
    let leaf =
        ["-keyout", "server.key", "-out", "server.pem", "-subj", "/CN=server", "-CA", "ca.pem", "-CAkey", "ca.key"];
    let more = ["-addext", "subjectAltName=DNS:server", "-addext", "basicConstraints=critical,CA:FALSE"];
    openssl(&[&leaf[..], &more].concat());
}

/// `bare.der`: `server.pem` without the parameters of its signature's algorithm (`sha256WithRSAEncryption` and the next
/// ones, the last `arc` of 1.2.840.113549.1.1), signed anew.
fn without_parameters(folder: &Path, hash: &str, arc: u8) {
    let openssl = |words: &[&str]| {
        let made = Command::new("openssl").args(words).current_dir(folder).output().expect("openssl");
        assert!(made.status.success(), "{words:?}: {}", String::from_utf8_lossy(&made.stderr));
    };
    // A value of DER with its head: here all are longer than 255 bytes and shorter than 64 KiB.
    let der = |tag: u8, content: &[u8]| {
        let length = u16::try_from(content.len()).expect("a length").to_be_bytes();
        [&[tag, 0x82][..], &length, content].concat()
    };
    let algorithm = [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, arc];
    let (with, bare) = ([&[0x30, 13][..], &algorithm, &[5, 0]].concat(), [&[0x30, 11][..], &algorithm].concat());
    let genuine = CertificateDer::from_pem_file(folder.join("server.pem")).expect("a certificate");
    // SEQUENCE { SEQUENCE { what is signed, with the algorithm }, algorithm, signature } (RFC 5280, section 4.1).
    let (signed, after) = (&genuine[8..], 4 + usize::from(u16::from_be_bytes([genuine[6], genuine[7]])));
    let at = signed.windows(with.len()).position(|bytes| bytes == with).expect("the algorithm");
    assert!(at < after, "the first one is signed");
    let signed = &signed[..after - 4];
    let signed = der(0x30, &[&signed[..at], &bare, &signed[at + with.len()..]].concat());
    fs::write(folder.join("signed"), &signed).expect("written");
    openssl(&["dgst", hash, "-sign", "ca.key", "-out", "signature", "signed"]);
    let signature = [&[0][..], &fs::read(folder.join("signature")).expect("a signature")].concat();
    fs::write(folder.join("bare.der"), der(0x30, &[signed, bare, der(3, &signature)].concat())).expect("written");
}

/// openssl-s_server(1), which answers each request of HTTP with a page about the connection.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn start(folder: &Path, certificate: &str, more: &[&str]) -> Self {
        let mut child = Command::new("openssl")
            .args(["s_server", "-accept", "127.0.0.1:0", "-www", "-key", "server.key", "-cert", certificate])
            .args(more)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl; tests/setup installs it");
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let port =
            lines.map_while(Result::ok).find_map(|line| line.strip_prefix("ACCEPT ")?.rsplit_once(':')?.1.parse().ok());
        let Some(port) = port else { panic!("openssl s_server {more:?}: {:?}", child.wait()) };
        Self { child, port }
    }

    /// Connects, and reads the page to its end; gives the group of the key exchange.
    fn connect(&self, folder: &Path) -> Result<NamedGroup, String> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(folder.join("ca.pem")).expect("a certificate")).expect("a root");
        let config = tls::client(roots).expect("TLS 1.3");
        let name = ServerName::try_from("server").expect("a name");
        let connection = ClientConnection::new(Arc::new(config), name).expect("a client");
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("a connection");
        let mut stream = StreamOwned::new(connection, stream);
        let mut page = String::new();
        let exchanged = stream.write_all(b"GET / HTTP/1.0\r\n\r\n").and_then(|()| stream.read_to_string(&mut page));
        exchanged.map_err(|error| error.to_string())?;
        assert!(page.contains("TLSv1.3"), "{page}");
        Ok(stream.conn.negotiated_key_exchange_group().expect("a group").name())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
