//! Accepting connections from peers who may be slow, hostile or many.
//!
//! A place comes before a connection: what cannot be served is not accepted, and waits in the
//! kernel's queue rather than in our memory. One network gets only so many places, so that nobody
//! takes them all. A handshake is bounded in time, and happens on a task of its own: who shakes
//! hands slowly holds up nobody else.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use webpki::EndEntityCert;

use crate::tls::{Certificates, Protocol};

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How many connections a listener grants.
#[derive(Clone, Copy, Debug)]
pub struct Places {
    /// Most at a time.
    pub connections: usize,
    /// Most at a time from one network: an IPv4 address, or 64 bits of an IPv6 address. The network
    /// around it, 24 or 48 bits, gets twice as many.
    pub of_network: usize,
}

/// A port, and who may connect to it.
pub struct Listener {
    tcp: TcpListener,
    security: Security,
    places: Arc<Semaphore>,
    networks: Arc<Networks>,
}

#[derive(Clone)]
struct Security {
    certificates: Option<Arc<Certificates>>,
    protocol: Protocol,
}

/// Who is at the other end.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Where it connects from.
    pub address: SocketAddr,
    certificate: Option<CertificateDer<'static>>,
}

/// A connection that was accepted, before its handshake.
pub struct Accepted {
    stream: TcpStream,
    address: SocketAddr,
    place: Place,
    security: Security,
}

/// A connection on which requests may be read.
pub struct Connection {
    /// What is read and written.
    pub stream: Stream,
    /// Who is there.
    pub peer: Peer,
    /// Held for as long as the connection is.
    pub place: Place,
}

/// The bytes of a connection, in the clear or not.
pub type Stream = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// A place among the connections of a listener. Dropping it frees it.
pub struct Place {
    _permit: OwnedSemaphorePermit,
    networks_of: [IpAddr; 2],
    networks: Arc<Networks>,
}

struct Networks {
    /// By network, and by the network around it.
    places: Mutex<[HashMap<IpAddr, usize>; 2]>,
    of_network: usize,
}

impl Listener {
    /// Listens on `tcp`: with TLS if there are certificates.
    pub fn new(
        tcp: TcpListener,
        certificates: Option<Arc<Certificates>>,
        protocol: Protocol,
        places: Places,
    ) -> Self {
        Self {
            tcp,
            security: Security {
                certificates,
                protocol,
            },
            places: Arc::new(Semaphore::new(places.connections)),
            networks: Arc::new(Networks {
                places: Mutex::default(),
                of_network: places.of_network,
            }),
        }
    }

    /// Has `serve` do with every connection what it does, each on a task of its own, until
    /// `shutdown` is cancelled; then waits for those that stand.
    pub async fn serve_each<F>(self, shutdown: &CancellationToken, serve: impl Fn(Accepted) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let connections = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                accepted = self.accept() => accepted,
                () = shutdown.cancelled() => break,
            };
            connections.spawn(serve(accepted));
        }
        drop(self);
        connections.close();
        connections.wait().await;
    }

    /// The next connection for which there is a place. Errors of one connection are passed over;
    /// when the process has no descriptors left, this waits rather than spins.
    pub async fn accept(&self) -> Accepted {
        let permit = Arc::clone(&self.places).acquire_owned().await;
        let permit = permit.expect("the semaphore is never closed");
        let mut delay = ACCEPT_DELAY_MIN;
        loop {
            let (stream, address) = match self.tcp.accept().await {
                Ok(accepted) => accepted,
                Err(error) if is_of_one_connection(&error) => continue,
                Err(error) => {
                    tracing::warn!(%error, delay_ms = delay.as_millis(), "could not accept");
                    tokio::time::sleep(delay).await;
                    delay = (delay * 2).min(ACCEPT_DELAY_MAX);
                    continue;
                }
            };
            let networks = [network(address.ip()), around(address.ip())];
            if !self.networks.enter(networks) {
                continue; // Dropping the stream tells its peer.
            }
            return Accepted {
                stream,
                address,
                place: Place {
                    _permit: permit,
                    networks_of: networks,
                    networks: Arc::clone(&self.networks),
                },
                security: self.security.clone(),
            };
        }
    }
}

impl Accepted {
    /// Shakes hands, if the listener asks for it.
    ///
    /// # Errors
    ///
    /// The peer's or the network's fault; there is nothing to do but to drop the connection.
    pub async fn secure(self) -> io::Result<Connection> {
        let Self {
            stream,
            address,
            place,
            security,
        } = self;
        // Fails only for a connection that is gone, which serving it finds out too.
        let _ = stream.set_nodelay(true);
        let Some(certificates) = security.certificates else {
            let certificate = None;
            return Ok(Connection {
                stream: Either::Left(stream),
                peer: Peer {
                    address,
                    certificate,
                },
                place,
            });
        };
        let acceptor = TlsAcceptor::from(certificates.config(security.protocol));
        let stream = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await??;
        let chain = stream.get_ref().1.peer_certificates();
        let certificate = chain.and_then(|chain| chain.first());
        let certificate = certificate.map(|certificate| certificate.clone().into_owned());
        Ok(Connection {
            stream: Either::Right(Box::new(stream)),
            peer: Peer {
                address,
                certificate,
            },
            place,
        })
    }
}

impl Peer {
    /// A peer without a certificate.
    pub const fn at(address: SocketAddr) -> Self {
        let certificate = None;
        Self {
            address,
            certificate,
        }
    }

    /// Whether the peer showed a certificate, of an authority that the listener trusts, for this
    /// name.
    pub fn is_named(&self, name: &ServerName<'_>) -> bool {
        let certificate = self.certificate.as_ref();
        let parsed = certificate.and_then(|der| EndEntityCert::try_from(der).ok());
        parsed.is_some_and(|parsed| parsed.verify_is_valid_for_subject_name(name).is_ok())
    }

    /// The network that the peer is in, as limits count it.
    pub fn network(&self) -> IpAddr {
        network(self.address.ip())
    }
}

/// The part of an address that one party holds, as far as anybody can tell: all of an IPv4 address,
/// the first 64 bits of an IPv6 address.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let prefix = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from(prefix))
        }
    }
}

/// The network around an address that one party may well hold too: 24 or 48 bits.
fn around(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            IpAddr::V4(Ipv4Addr::new(a, b, c, 0))
        }
        IpAddr::V6(address) => {
            let prefix = u128::from(address) & !(u128::MAX >> 48);
            IpAddr::V6(Ipv6Addr::from(prefix))
        }
    }
}

impl Networks {
    fn enter(&self, networks: [IpAddr; 2]) -> bool {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let limits = [self.of_network, self.of_network.saturating_mul(2)];
        let mut counted = places.iter().zip(&networks).zip(limits);
        let is_full = |((places, network), limit): ((&HashMap<_, _>, _), _)| {
            places.get(network).is_some_and(|count| *count >= limit)
        };
        if counted.any(is_full) {
            return false;
        }
        // As many entries as connections at most.
        for (places, network) in places.iter_mut().zip(networks) {
            *places.entry(network).or_default() += 1;
        }
        true
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let networks = &self.networks.places;
        let mut places = networks.lock().unwrap_or_else(PoisonError::into_inner);
        for (places, network) in places.iter_mut().zip(self.networks_of) {
            if let Entry::Occupied(mut count) = places.entry(network) {
                *count.get_mut() -= 1;
                if *count.get() == 0 {
                    count.remove();
                }
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
    )
}

const ACCEPT_DELAY_MIN: Duration = Duration::from_millis(5);
const ACCEPT_DELAY_MAX: Duration = Duration::from_secs(1);

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_what_one_party_holds() {
        let of = |text: &str| network(text.parse().unwrap()).to_string();
        assert_eq!(of("192.0.2.7"), "192.0.2.7");
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(of("::ffff:192.0.2.7"), "192.0.2.7");
    }

    #[tokio::test]
    async fn one_network_gets_its_share_and_places_come_back() {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = tcp.local_addr().unwrap();
        let places = Places {
            connections: 3,
            of_network: 1,
        };
        let listener = Listener::new(tcp, None, Protocol::Http1, places);
        let connect = || TcpStream::connect(address);
        let _one = connect().await.unwrap();
        let first = listener.accept().await;
        // The second is closed, so the third, from another address, is what comes next.
        let refused = connect().await.unwrap();
        let other = tokio::net::TcpSocket::new_v4().unwrap();
        other.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        let other = other.connect(address).await.unwrap();
        let second = listener.accept().await;
        assert_eq!(second.address, other.local_addr().unwrap());
        refused.readable().await.unwrap();
        assert_eq!(refused.try_read(&mut [0]).unwrap_or(0), 0);
        drop((first, second));
        let is_empty = |networks: &Networks| {
            let places = networks.places.lock().unwrap();
            places.iter().all(HashMap::is_empty)
        };
        assert!(is_empty(&listener.networks));
        let again = connect().await.unwrap();
        let third = listener.accept().await;
        assert_eq!(third.address, again.local_addr().unwrap());
    }
}
