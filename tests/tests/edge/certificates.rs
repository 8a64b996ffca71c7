//! A private authority, and a system whose programs speak TLS alone.

use std::path::{Path, PathBuf};

use candor_system::system::{System, edit};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

/// Who signs certificates, and the file of its own.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    pub file: PathBuf,
}

impl Authority {
    pub fn new(folder: &Path) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let issuer = CertifiedIssuer::self_signed(params, key).unwrap();
        let file = folder.join("authority.pem");
        std::fs::write(&file, issuer.pem()).unwrap();
        Self { issuer, file }
    }

    /// Writes a certificate for a name or address, and its key; replaces earlier ones.
    pub fn certify(&self, name: &str, certificate: &Path, key: &Path) {
        use std::os::unix::fs::PermissionsExt as _;
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let pair = KeyPair::generate().unwrap();
        let signed = params.signed_by(&pair, &self.issuer).unwrap();
        std::fs::write(key, pair.serialize_pem()).unwrap();
        std::fs::set_permissions(key, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(certificate, signed.pem()).unwrap();
    }

    /// Gives every program of a system a certificate, or a new one.
    pub fn certify_all(&self, system: &mut System) {
        for node in system.nodes() {
            let folder = node.folder();
            self.certify(
                "127.0.0.1",
                &folder.join("chain.pem"),
                &folder.join("tls.key"),
            );
        }
    }
}

/// Makes a system speak TLS alone: configurations, policies, certificates. `more` goes into the
/// server's table `[tls]`.
pub fn secure(system: &mut System, authority: &Authority, more: &str) {
    authority.certify_all(system);
    let policy = system.policy_path();
    let table = "\n[tls]\ncertificate = \"chain.pem\"\nkey = \"tls.key\"\n";
    let server = system.server.folder().to_owned();
    for file in [policy, server.join("policy.txt")] {
        edit(&file, &[("http://", "https://")]).unwrap();
    }
    let config = server.join("server.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{text}{table}{more}")).unwrap();
    for witness in &mut system.witnesses {
        let config = witness.folder().join("witness.toml");
        edit(&config, &[("grpc = \"http://", "grpc = \"https://")]).unwrap();
        let text = std::fs::read_to_string(&config).unwrap();
        std::fs::write(&config, format!("{text}{table}")).unwrap();
    }
    for node in system.nodes() {
        node.speaks_tls(&authority.file);
    }
}
