//! Certificates and keys of every kind. The issuer plays no part, so most are self-signed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, SignatureAlgorithm,
};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;

/// A certificate and its key.
pub struct DeviceFiles {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
}

impl DeviceFiles {
    pub fn certificate_id(&self) -> String {
        sekisho_certificate::certificate_id(&self.chain[0]).to_string()
    }

    pub fn certified_key(&self) -> Arc<CertifiedKey> {
        // Built by hand: rustls' own way reads the leaf with webpki, which refuses v1.
        let key = any_supported_type(&self.key).expect("a key that rustls signs with");
        Arc::new(CertifiedKey::new(self.chain.clone(), key))
    }
}

/// Self-signed on P-256, valid now.
pub fn device(name: &str) -> DeviceFiles {
    device_with(name, &PKCS_ECDSA_P256_SHA256, |_| {})
}

/// Self-signed, of this key algorithm.
pub fn device_with(
    name: &str,
    algorithm: &'static SignatureAlgorithm,
    change: impl FnOnce(&mut CertificateParams),
) -> DeviceFiles {
    self_signed(name, KeyPair::generate_for(algorithm).unwrap(), change)
}

/// Self-signed with this key.
pub fn self_signed(name: &str, key: KeyPair, change: impl FnOnce(&mut CertificateParams)) -> DeviceFiles {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    change(&mut params);
    let certificate = params.self_signed(&key).unwrap();
    DeviceFiles {
        chain: vec![certificate.der().clone()],
        key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
    }
}

/// What a gateway serves, and what its clients trust.
pub struct Server {
    pub root: CertificateDer<'static>,
    /// One chain with its key.
    pub chain: (String, String),
}

/// A server certificate for `localhost`, 127.0.0.1 and the endpoints of the tests.
pub fn server(algorithm: &'static SignatureAlgorithm) -> Server {
    server_with(KeyPair::generate_for(algorithm).unwrap())
}

/// The same with this key.
pub fn server_with(key: KeyPair) -> Server {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.distinguished_name.push(DnType::CommonName, "test root");
    let root_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let root = params.self_signed(&root_key).unwrap();
    let issuer = Issuer::new(params, root_key);
    let names = ["localhost", "127.0.0.1", "one.example", "two.example", "unknown.example"];
    let leaf = CertificateParams::new(names.map(String::from)).unwrap().signed_by(&key, &issuer).unwrap();
    Server { root: root.der().clone(), chain: (format!("{}{}", leaf.pem(), root.pem()), key.serialize_pem()) }
}

/// A folder for one test, removed at its end.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("sekisho-gateway-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub fn openssl(&self, arguments: &[&str]) {
        let output = Command::new("openssl").args(arguments).current_dir(&self.0).output().unwrap();
        assert!(
            output.status.success(),
            "openssl {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// As a person makes files with the openssl command: key, request, and `x509 -req`, which on OpenSSL 3.0 and 3.1
/// makes X.509 v1. `genpkey` says what key.
pub fn by_openssl(folder: &Folder, name: &str, genpkey: &[&str]) -> DeviceFiles {
    let (key, csr, pem) = (format!("{name}.key"), format!("{name}.csr"), format!("{name}.pem"));
    folder.openssl(&[&["genpkey", "-out", &key], genpkey].concat());
    folder.openssl(&["req", "-new", "-key", &key, "-out", &csr, "-subj", &format!("/CN={name}")]);
    folder.openssl(&["x509", "-req", "-in", &csr, "-signkey", &key, "-days", "1", "-out", &pem]);
    read(&folder.path(&pem), &folder.path(&key))
}

fn read(certificate: &Path, key: &Path) -> DeviceFiles {
    DeviceFiles {
        chain: vec![CertificateDer::from_pem_file(certificate).unwrap()],
        key: PrivateKeyDer::from_pem_file(key).unwrap(),
    }
}
