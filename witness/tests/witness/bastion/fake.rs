//! A bastion that does what a test wants.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use candor_core::Hash;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, ring, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, ParsedCertificate};
use rustls::{
    DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme,
    SupportedProtocolVersion,
};
use sha2::{Digest as _, Sha256};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// A bastion's certificate, with itself as the root that says so.
pub struct Certificate {
    der: CertificateDer<'static>,
    key: Vec<u8>,
    pub ca: PathBuf,
}

impl Certificate {
    pub fn new(folder: &Path, file: &str, name: &str) -> Self {
        let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        let ca = folder.join(file);
        std::fs::write(&ca, made.cert.pem()).unwrap();
        Self {
            der: made.cert.der().clone(),
            key: made.signing_key.serialize_der(),
            ca,
        }
    }

    /// A server that takes any client certificate, as a bastion does.
    pub fn server(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        protocols: &[&str],
    ) -> Arc<ServerConfig> {
        let provider = Arc::new(ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .unwrap()
            .with_client_cert_verifier(Arc::new(AnyClient(provider)))
            .with_single_cert(
                vec![self.der.clone()],
                PrivatePkcs8KeyDer::from(self.key.clone()).into(),
            )
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|it| it.as_bytes().to_vec()).collect();
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Arc::new(config)
    }

    /// What c2sp.org/https-bastion says.
    pub fn bastion(&self) -> Arc<ServerConfig> {
        self.server(&[&rustls::version::TLS13], &["bastion/0"])
    }
}

pub async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A connection with the handshake done, if it can be done.
pub async fn handshake(
    stream: TcpStream,
    config: Arc<ServerConfig>,
) -> std::io::Result<TlsStream<TcpStream>> {
    TlsAcceptor::from(config).accept(stream).await
}

/// The hash of the key that the backend showed.
pub fn backend(stream: &TlsStream<TcpStream>) -> Hash {
    let certificate = &stream.get_ref().1.peer_certificates().unwrap()[0];
    let certificate = ParsedCertificate::try_from(certificate).unwrap();
    let info = certificate.subject_public_key_info();
    let key = info.last_chunk::<32>().unwrap();
    Hash(Sha256::digest(key).into())
}

/// A backend that answers requests.
pub struct Backend(SendRequest<Body>);

impl Backend {
    pub async fn new(stream: TlsStream<TcpStream>) -> hyper::Result<Self> {
        let stream = TokioIo::new(stream);
        let (backend, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
        tokio::spawn(connection);
        Ok(Self(backend))
    }

    /// The status and the body of the answer to a request.
    pub async fn post(&mut self, path: &str, body: Vec<u8>) -> hyper::Result<(StatusCode, String)> {
        let request = Request::post(format!("https://hash/{path}"));
        let request = request.body(Body::from(body)).unwrap();
        let response = self.0.send_request(request).await?;
        let status = response.status();
        let body = axum::body::to_bytes(Body::new(response.into_body()), usize::MAX).await;
        Ok((status, String::from_utf8(body.unwrap().to_vec()).unwrap()))
    }
}

/// Whoever proves to have the key of the certificate, whichever it is.
#[derive(Debug)]
struct AnyClient(Arc<CryptoProvider>);

impl ClientCertVerifier for AnyClient {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.0.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}
