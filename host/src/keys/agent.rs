//! Keys in an ssh-agent (draft-ietf-sshm-ssh-agent): a connection for each signature.
//!
//! Of the protocol one request is used, and of its answers two: the signature, which has exactly
//! one length, and the refusal. Everything else is malformed, and not read.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::openssh::{ALGORITHM, BLOB_BYTES, OpensshKey};
use super::remote::{Keeper, RemoteError, Signature};

const SSH_AGENT_FAILURE: u8 = 5;
const SSH_AGENTC_SIGN_REQUEST: u8 = 13;
const SSH_AGENT_SIGN_RESPONSE: u8 = 14;

const SIGNATURE_BYTES: usize = 64;

/// The type, and a string that holds two: the algorithm and the signature.
const ANSWER_BYTES: usize = 1 + 4 + 4 + ALGORITHM.len() + 4 + SIGNATURE_BYTES;

/// Longest request in bytes: OpenSSH's agent takes no more.
const REQUEST_BYTES_MAX: usize = 256 << 10;

/// An agent, and one of the keys that it keeps.
pub(super) struct Agent {
    socket: PathBuf,
    blob: [u8; BLOB_BYTES],
}

impl Agent {
    pub(super) fn new(socket: &Path, key: OpensshKey) -> Self {
        Self {
            socket: socket.to_owned(),
            blob: key.to_blob(),
        }
    }
}

impl Keeper for Agent {
    fn sign(&mut self, message: &[u8], deadline: Instant) -> Result<Signature, RemoteError> {
        let request = request(&self.blob, message)?;
        let stream = UnixStream::connect(&self.socket)?;
        let mut stream = Timed { stream, deadline };
        stream.write_all(&request)?;

        let mut length = [0; 4];
        stream.read_exact(&mut length)?;
        match u32::from_be_bytes(length) as usize {
            1 => {
                let mut kind = [0];
                stream.read_exact(&mut kind)?;
                match kind {
                    [SSH_AGENT_FAILURE] => Err(RemoteError::Refused),
                    _ => Err(RemoteError::Malformed),
                }
            }
            ANSWER_BYTES => {
                let mut answer = [0; ANSWER_BYTES];
                stream.read_exact(&mut answer)?;
                signature(&answer)
            }
            _ => Err(RemoteError::Malformed),
        }
    }
}

fn request(blob: &[u8], message: &[u8]) -> Result<Vec<u8>, RemoteError> {
    // The type, the key and the message with their lengths, and flags, which Ed25519 has none of.
    let length = 1 + 4 + blob.len() + 4 + message.len() + 4;
    if length > REQUEST_BYTES_MAX {
        let error = io::Error::new(io::ErrorKind::InvalidInput, "too long for an agent");
        return Err(RemoteError::Io(error));
    }
    let mut request = Vec::with_capacity(4 + length);
    request.extend((length as u32).to_be_bytes());
    request.push(SSH_AGENTC_SIGN_REQUEST);
    for bytes in [blob, message] {
        request.extend((bytes.len() as u32).to_be_bytes());
        request.extend(bytes);
    }
    request.extend([0; 4]);
    Ok(request)
}

fn signature(answer: &[u8; ANSWER_BYTES]) -> Result<Signature, RemoteError> {
    let (head, signature) = answer.split_at(ANSWER_BYTES - SIGNATURE_BYTES);
    let length = |bytes: usize| (bytes as u32).to_be_bytes();
    let expected = [
        &[SSH_AGENT_SIGN_RESPONSE][..],
        &length(ANSWER_BYTES - 5),
        &length(ALGORITHM.len()),
        ALGORITHM,
        &length(SIGNATURE_BYTES),
    ];
    if head != expected.concat() {
        return Err(RemoteError::Malformed);
    }
    signature.try_into().map_err(|_| RemoteError::Malformed)
}

/// A stream on which everything together ends at a deadline, however slowly the peer drips.
struct Timed {
    stream: UnixStream,
    deadline: Instant,
}

impl Timed {
    fn left(&self) -> io::Result<Option<Duration>> {
        match self.deadline.saturating_duration_since(Instant::now()) {
            // A timeout of zero would mean none.
            Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
            left => Ok(Some(left)),
        }
    }
}

impl io::Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        self.stream.read(buffer)
    }
}

impl io::Write for Timed {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        self.stream.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use candor_core::crypto::Ed25519SecretKey;
    use std::os::unix::net::UnixListener;
    use std::thread;

    fn secret() -> Ed25519SecretKey {
        Ed25519SecretKey::from_seed(&[1; 32])
    }

    /// What [`Agent::sign`] makes of an agent that reads a request whole and then does `act`.
    fn asked(
        patience: Duration,
        act: impl FnOnce(UnixStream, Vec<u8>) + Send + 'static,
    ) -> Result<Signature, RemoteError> {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("agent");
        let listener = UnixListener::bind(&socket).unwrap();
        let agent = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut length = [0; 4];
            stream.read_exact(&mut length).unwrap();
            let mut request = vec![0; u32::from_be_bytes(length) as usize];
            stream.read_exact(&mut request).unwrap();
            act(stream, request);
        });
        let key = OpensshKey(secret().public_key());
        let result = Agent::new(&socket, key).sign(b"message", Instant::now() + patience);
        agent.join().unwrap();
        result
    }

    const LONG: Duration = Duration::from_secs(60);

    fn answered(answer: Vec<u8>) -> Result<Signature, RemoteError> {
        asked(LONG, move |mut stream, _| {
            // The peer may have hung up after the first bytes.
            let _ = stream.write_all(&answer);
        })
    }

    /// The answer that an honest agent gives.
    fn honest() -> Vec<u8> {
        let mut answer = vec![0, 0, 0, 88, 14, 0, 0, 0, 83, 0, 0, 0, 11];
        answer.extend(b"ssh-ed25519");
        answer.extend([0, 0, 0, 64]);
        answer.extend(secret().sign(b"message"));
        answer
    }

    #[test]
    fn the_request_and_the_answer_are_those_of_the_protocol() {
        let signature = asked(LONG, |mut stream, request| {
            let mut expected = vec![13, 0, 0, 0, 51, 0, 0, 0, 11];
            expected.extend(b"ssh-ed25519\0\0\0\x20");
            expected.extend(secret().public_key().as_bytes());
            expected.extend(b"\0\0\0\x07message\0\0\0\0");
            assert_eq!(request, expected);
            stream.write_all(&honest()).unwrap();
        });
        assert_eq!(signature.unwrap(), secret().sign(b"message"));
    }

    #[test]
    fn a_refusal_is_one() {
        let error = answered(vec![0, 0, 0, 1, SSH_AGENT_FAILURE]).unwrap_err();
        assert!(matches!(error, RemoteError::Refused), "{error:?}");
    }

    #[test]
    fn other_answers_are_malformed() {
        let head = 4 + ANSWER_BYTES - SIGNATURE_BYTES;
        for at in 0..head {
            let mut answer = honest();
            answer[at] ^= 1;
            let error = answered(answer).unwrap_err();
            assert!(matches!(error, RemoteError::Malformed), "{at}: {error:?}");
        }
        for (case, answer) in [
            ("nothing", vec![0, 0, 0, 0]),
            ("success without signature", vec![0, 0, 0, 1, 6]),
            ("four gibibytes", vec![0xff; 4096]),
            ("a long refusal", vec![0, 0, 0, 2, SSH_AGENT_FAILURE, 0]),
        ] {
            let error = answered(answer).unwrap_err();
            assert!(matches!(error, RemoteError::Malformed), "{case}: {error:?}");
        }
    }

    #[test]
    fn a_truncated_answer_is_an_error() {
        for length in 0..honest().len() {
            let error = answered(honest()[..length].to_vec()).unwrap_err();
            assert!(matches!(error, RemoteError::Io(_)), "{length}: {error:?}");
        }
    }

    #[test]
    fn an_agent_that_drips_is_not_waited_for() {
        // Byte after byte, with the next one always in time for a timeout that began anew.
        let error = asked(Duration::from_millis(200), |mut stream, _| {
            for byte in honest() {
                thread::sleep(Duration::from_millis(20));
                if stream.write_all(&[byte]).is_err() {
                    break;
                }
            }
        });
        assert!(matches!(error, Err(RemoteError::Timeout)), "{error:?}");
    }

    #[test]
    fn an_agent_that_is_silent_is_not_waited_for() {
        let error = asked(Duration::from_millis(50), |mut stream, _| {
            // Until the other side hangs up.
            let _ = stream.read(&mut [0]);
        });
        assert!(matches!(error, Err(RemoteError::Timeout)), "{error:?}");
    }

    #[test]
    fn a_message_that_no_agent_takes_is_not_sent() {
        let key = OpensshKey(secret().public_key());
        let mut agent = Agent::new(Path::new("/nowhere"), key);
        let error = agent.sign(&vec![0; REQUEST_BYTES_MAX], Instant::now() + LONG);
        assert!(matches!(error, Err(RemoteError::Io(error))
            if error.kind() == io::ErrorKind::InvalidInput));
    }
}
