//! Keys that are kept elsewhere: what an agent and a token have in common.
//!
//! Neither can be trusted to answer, and a module of a token is a library that cannot be
//! interrupted. So each key has a thread that alone talks to its keeper, and callers wait for it
//! only so long.

use std::fmt;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use candor_core::crypto::Ed25519PublicKey;
use candor_core::note::{NoteSigner, SignError, VerifierKey};

/// How long a signature may take: half of what a witness's request may.
const SIGN_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the first signature may take: modules log in over networks.
const OPEN_TIMEOUT: Duration = Duration::from_secs(30);

/// Most signatures that wait for one key; as many would take a keeper of 5 ms each too long.
const QUEUE_MAX: usize = 1024;

/// What is signed to see that a key is there: nothing that a note could begin with.
const CHECK: &[u8] = b"\0candor: is this key usable?";

pub(super) type Signature = [u8; 64];

/// What keeps a key.
pub(super) trait Keeper: Send + 'static {
    /// Signs `message`, and gives up at `deadline` where that is possible.
    fn sign(&mut self, message: &[u8], deadline: Instant) -> Result<Signature, RemoteError>;
}

/// Why what keeps a key made no signature.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemoteError {
    /// It did not answer in time.
    #[error("no answer in time")]
    Timeout,
    /// Too many signatures wait for it.
    #[error("too many signatures are waiting")]
    Busy,
    /// The agent said no, without a reason.
    #[error("refused: is the key there (ssh-add -L), and usable without confirmation?")]
    Refused,
    /// It answered what no agent may.
    #[error("the answer is malformed")]
    Malformed,
    /// The agent's socket failed, or no thread could be started.
    #[error("{0}")]
    Io(io::Error),
    /// The token or its module failed; the message names function and code.
    #[error("{0}")]
    Token(String),
    /// The PIN is wrong or locked. It is not tried again, because tokens count.
    #[error("the PIN is not accepted; it is not tried again before a restart")]
    Pin,
    /// The signature is not by the public key of the configuration, or the keeper is faulty. It is
    /// withheld.
    #[error("the signature is not by the configured public key")]
    WrongKey,
    /// The thread of the key ended: a bug.
    #[error("the thread of the key ended")]
    Ended,
}

impl From<io::Error> for RemoteError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Self::Timeout,
            _ => Self::Io(error),
        }
    }
}

struct Request {
    message: Vec<u8>,
    deadline: Instant,
    answer: SyncSender<Result<Signature, RemoteError>>,
}

/// A key that is kept elsewhere.
pub(super) struct RemoteSigner {
    key: VerifierKey,
    public: Ed25519PublicKey,
    requests: SyncSender<Request>,
    timeout: Duration,
}

impl RemoteSigner {
    /// Begins to use a key, and makes sure that it is the one of `public`.
    pub(super) fn open(
        key: VerifierKey,
        public: Ed25519PublicKey,
        keeper: impl Keeper,
    ) -> Result<Self, RemoteError> {
        Self::open_within(key, public, keeper, OPEN_TIMEOUT, SIGN_TIMEOUT)
    }

    fn open_within(
        key: VerifierKey,
        public: Ed25519PublicKey,
        keeper: impl Keeper,
        open_timeout: Duration,
        timeout: Duration,
    ) -> Result<Self, RemoteError> {
        let (requests, received) = sync_channel(QUEUE_MAX);
        let thread = thread::Builder::new().name("key".to_owned());
        thread.spawn(move || serve(keeper, &received))?;
        let signer = Self {
            key,
            public,
            requests,
            timeout,
        };
        signer.request(CHECK, open_timeout)?;
        Ok(signer)
    }

    fn request(&self, message: &[u8], timeout: Duration) -> Result<Signature, RemoteError> {
        let (answer, answered) = sync_channel(1);
        let request = Request {
            message: message.to_vec(),
            deadline: Instant::now() + timeout,
            answer,
        };
        self.requests
            .try_send(request)
            .map_err(|error| match error {
                TrySendError::Full(_) => RemoteError::Busy,
                TrySendError::Disconnected(_) => RemoteError::Ended,
            })?;
        let signature = answered
            .recv_timeout(timeout)
            .map_err(|error| match error {
                RecvTimeoutError::Timeout => RemoteError::Timeout,
                RecvTimeoutError::Disconnected => RemoteError::Ended,
            })??;
        match self.public.verify(message, &signature) {
            Ok(()) => Ok(signature),
            Err(_) => Err(RemoteError::WrongKey),
        }
    }
}

/// Signs until the signer is dropped. Requests whose callers have given up are passed over.
fn serve(mut keeper: impl Keeper, requests: &Receiver<Request>) {
    while let Ok(request) = requests.recv() {
        if Instant::now() < request.deadline {
            let result = keeper.sign(&request.message, request.deadline);
            // The caller may have given up meanwhile.
            let _ = request.answer.send(result);
        }
    }
}

impl NoteSigner for RemoteSigner {
    fn verifier_key(&self) -> &VerifierKey {
        &self.key
    }

    fn sign_message(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        match self.request(message, self.timeout) {
            Ok(signature) => Ok(signature.to_vec()),
            Err(error) => {
                let key = self.key.name();
                tracing::warn!(%key, %error, "a key that is kept elsewhere failed");
                Err(SignError::Backend(Box::new(error)))
            }
        }
    }
}

impl fmt::Debug for RemoteSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteSigner")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use candor_core::Hash;
    use candor_core::crypto::Ed25519SecretKey;
    use candor_core::note::{Checkpoint, KeyName};
    use std::sync::Arc;
    use std::sync::mpsc::Sender;

    fn secret(seed: u8) -> Ed25519SecretKey {
        Ed25519SecretKey::from_seed(&[seed; 32])
    }

    fn open(keeper: impl Keeper, timeout: Duration) -> Result<RemoteSigner, RemoteError> {
        let public = secret(1).public_key();
        let key = VerifierKey::ed25519(KeyName::new("log").unwrap(), public);
        RemoteSigner::open_within(key, public, keeper, Duration::from_secs(60), timeout)
    }

    impl<F> Keeper for F
    where
        F: FnMut(&[u8]) -> Result<Signature, RemoteError> + Send + 'static,
    {
        fn sign(&mut self, message: &[u8], _: Instant) -> Result<Signature, RemoteError> {
            self(message)
        }
    }

    #[test]
    fn only_signatures_of_the_expected_key_are_used() {
        let error = open(|message: &[u8]| Ok(secret(2).sign(message)), SIGN_TIMEOUT).unwrap_err();
        assert!(matches!(error, RemoteError::WrongKey), "{error:?}");

        // Right when it is asked first, and wrong ever after.
        let mut seeds = [1, 1].into_iter();
        let keeper = move |message: &[u8]| Ok(secret(seeds.next().unwrap_or(2)).sign(message));
        let signer = open(keeper, SIGN_TIMEOUT).unwrap();
        let checkpoint = Checkpoint::new("log", 1, Hash::ZERO).unwrap();
        signer.sign(&checkpoint, 0).unwrap();
        let error = signer.sign(&checkpoint, 0).unwrap_err();
        assert!(matches!(error, SignError::Backend(_)), "{error:?}");
    }

    /// Signs the first message, and then waits until `release` is dropped.
    fn hanging(release: std::sync::mpsc::Receiver<()>) -> impl Keeper {
        let mut is_first = true;
        move |message: &[u8]| {
            if !std::mem::take(&mut is_first) {
                let _ = release.recv();
            }
            Ok(secret(1).sign(message))
        }
    }

    #[test]
    fn nobody_waits_for_ever_and_the_queue_is_bounded() {
        let (release, released): (Sender<()>, _) = std::sync::mpsc::channel();
        let signer = open(hanging(released), Duration::from_millis(1)).unwrap();
        let mut errors = Vec::new();
        // One is being signed; as many as fit wait; the next is refused at once. On a busy machine
        // some are passed over before one is being signed.
        while errors.len() < 8 * QUEUE_MAX && !matches!(errors.last(), Some(RemoteError::Busy)) {
            errors.push(signer.request(b"message", signer.timeout).unwrap_err());
        }
        assert!(errors.len() > QUEUE_MAX);
        assert!(matches!(errors[0], RemoteError::Timeout), "{:?}", errors[0]);
        assert!(matches!(errors.last(), Some(RemoteError::Busy)));

        // When it answers again, what nobody waits for is passed over, and it serves as before.
        drop(release);
        let signer = Arc::new(signer);
        while signer.request(b"message", Duration::from_secs(60)).is_err() {
            thread::yield_now();
        }
    }

    #[test]
    fn a_panic_of_a_keeper_is_an_error() {
        let error = open(|_: &[u8]| panic!("a faulty module"), SIGN_TIMEOUT).unwrap_err();
        assert!(matches!(error, RemoteError::Ended), "{error:?}");
    }
}
