//! An authority with certificates for a server and its clients.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use candor_host::tls::TlsFiles;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertificateRevocationListParams,
    CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, RevokedCertParams,
    SerialNumber, date_time_ymd,
};
use tonic::transport::{Channel, ClientTlsConfig, Endpoint, Identity};

use super::harness::LONG;

/// The name by which clients know the server.
pub const SERVER_NAME: &str = "kt.example";

static NEXT_SERIAL: AtomicU64 = AtomicU64::new(1);

/// Who signs certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in PEM.
pub struct Certified {
    pub certificate: String,
    pub key: String,
    serial: SerialNumber,
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
        let serial = SerialNumber::from(NEXT_SERIAL.fetch_add(1, Ordering::Relaxed));
        params.serial_number = Some(serial.clone());
        let key = KeyPair::generate().unwrap();
        let certificate: Certificate = params.signed_by(&key, &self.0).unwrap();
        Certified {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            serial,
        }
    }

    /// The list that these of its certificates are withdrawn, in PEM.
    pub fn withdrawn(&self, certificates: &[&Certified]) -> String {
        let revoked = certificates.iter().map(|certified| RevokedCertParams {
            serial_number: certified.serial.clone(),
            revocation_time: date_time_ymd(2026, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2026, 1, 1),
            // Long ago: a list that was not renewed still counts.
            next_update: date_time_ymd(2026, 1, 2),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.0).unwrap().pem().unwrap()
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
        client_revocations: None,
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
