//! An authority with certificates for a server and its clients.

use std::path::{Path, PathBuf};

use candor_host::tls::TlsFiles;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose,
    IsCa, KeyPair,
};
use tonic::transport::{Channel, ClientTlsConfig, Endpoint, Identity};

use super::harness::LONG;

/// The name by which clients know the server.
pub const SERVER_NAME: &str = "kt.example";

/// Who signs certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in PEM.
pub struct Certified {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    pub fn server(&self) -> Certified {
        self.certified(SERVER_NAME, ExtendedKeyUsagePurpose::ServerAuth)
    }

    pub fn client(&self, name: &str) -> Certified {
        self.certified(name, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn certified(&self, name: &str, purpose: ExtendedKeyUsagePurpose) -> Certified {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.extended_key_usages = vec![purpose];
        let key = KeyPair::generate().unwrap();
        let certificate: Certificate = params.signed_by(&key, &self.0).unwrap();
        Certified {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }
}

impl Certified {
    /// Puts both where a server looks for them.
    pub fn write(&self, directory: &Path) -> (PathBuf, PathBuf) {
        let paths = (directory.join("chain.pem"), directory.join("key.pem"));
        std::fs::write(&paths.0, &self.certificate).unwrap();
        write_key(&paths.1, &self.key, 0o640);
        paths
    }

    pub fn identity(&self) -> Identity {
        Identity::from_pem(&self.certificate, &self.key)
    }
}

pub fn write_key(path: &Path, key: &str, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, key).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// The files of a server whose clients may have certificates of `clients`.
pub fn files(directory: &Path, server: &Certified, clients: &Authority) -> TlsFiles {
    let (certificate, key) = server.write(directory);
    let authorities = directory.join("clients.pem");
    std::fs::write(&authorities, clients.pem()).unwrap();
    TlsFiles {
        certificate,
        key,
        client_authorities: Some(authorities),
    }
}

/// Connects as somebody who trusts `authority`.
pub async fn connect(
    address: std::net::SocketAddr,
    authority: &Authority,
    client: Option<&Certified>,
) -> Result<Channel, tonic::transport::Error> {
    let mut tls = ClientTlsConfig::new()
        .domain_name(SERVER_NAME)
        .ca_certificate(tonic::transport::Certificate::from_pem(authority.pem()));
    if let Some(client) = client {
        tls = tls.identity(client.identity());
    }
    let endpoint = Endpoint::from_shared(format!("https://{address}")).unwrap();
    endpoint
        .tls_config(tls)
        .unwrap()
        .connect_timeout(LONG)
        .connect()
        .await
}

/// A TLS connection to the HTTP port.
pub async fn tls_stream(
    address: std::net::SocketAddr,
    authority: &Authority,
) -> tokio_rustls::client::TlsStream<tokio::net::TcpStream> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.0.der().clone()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let name = SERVER_NAME.try_into().unwrap();
    connector.connect(name, stream).await.unwrap()
}
