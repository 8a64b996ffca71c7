//! Witnesses on real sockets: honest, dead, slow, lying, and right.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use candor_core::Hash;
use candor_core::crypto::Ed25519SecretKey;
use candor_core::log::{Frontier, verify_consistency};
use candor_core::note::{
    AddCheckpoint, Checkpoint, KeyName, LogVerifier, NoteSigner as _, Policy, SIZE_CONTENT_TYPE,
    SignedNote, SoftwareSigner, VerifierKey, encode_cosignatures, encode_size,
};

use super::harness::{START_MS, World};

/// How a witness behaves.
#[derive(Clone, Copy)]
pub enum Mode {
    Honest,
    Down,
    Silent,
    /// Claims to have cosigned a log of this size.
    Claims(u64),
    /// Refuses with this status and no reason.
    Refuses(StatusCode),
    /// Cosigns something else.
    Forges,
    /// Cosigns with a time long ago, or long ahead.
    Misdates(u64),
    /// Cosigns with a key that is in no policy only.
    Stranger,
    /// Names one size after the other, whatever is asked.
    Wavers,
    /// Answers with status 409, but with no size.
    Mumbles,
    /// Asks to be left alone for an hour.
    Busy,
    /// Claims this size until it is asked for a head of it.
    Overtaken(u64),
}

pub struct Witness {
    pub url: String,
    pub name: String,
    signer: SoftwareSigner,
    verifier: LogVerifier,
    mode: Mutex<Mode>,
    /// Size and root that were cosigned last.
    pub newest: Mutex<(u64, Hash)>,
    /// The old sizes of all requests.
    pub asked: Mutex<Vec<u64>>,
    /// The note that is served for monitoring.
    pub shown: Mutex<Option<Vec<u8>>>,
}

impl Witness {
    pub async fn start(world: &World, seed: u8, mode: Mode) -> Arc<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let name = format!("w{seed}");
        let key = Ed25519SecretKey::from_seed(&[100 + seed; 32]);
        let key_name = KeyName::new(&format!("{name}.example")).unwrap();
        let witness = Arc::new(Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            name,
            signer: SoftwareSigner::ed25519_cosignature(key_name, key),
            verifier: world.signer.verifier(),
            mode: Mutex::new(mode),
            newest: Mutex::new((0, Frontier::new().root())),
            asked: Mutex::default(),
            shown: Mutex::default(),
        });
        let router = Router::new()
            .route("/add-checkpoint", post(add_checkpoint))
            .route("/{log}/checkpoint", get(show))
            .with_state(Arc::clone(&witness));
        tokio::spawn(async move { axum::serve(listener, router).await });
        witness
    }

    pub fn key(&self) -> &VerifierKey {
        self.signer.verifier_key()
    }

    pub fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
    }

    /// A note with this witness's line.
    pub fn cosigned(&self, note: &[u8]) -> Vec<u8> {
        let note = SignedNote::parse(note).unwrap();
        let checkpoint = Checkpoint::parse(note.text()).unwrap();
        let line = self.signer.sign(&checkpoint, START_MS / 1000).unwrap();
        let lines = note.signatures().iter().cloned().chain([line]).collect();
        SignedNote::new(note.text().to_owned(), lines)
            .unwrap()
            .to_bytes()
    }

    fn cosign(&self, request: &AddCheckpoint, mode: Mode) -> Response {
        let verified = self.verifier.verify(&request.note).unwrap();
        // Lines of others take room that witnesses do not give: the log sends its own only.
        assert_eq!(verified.to_note(), request.note);
        let (size, root) = (verified.checkpoint().size(), *verified.checkpoint().root());
        let mut newest = self.newest.lock().unwrap();
        if request.old_size != newest.0 {
            let kind = [(header::CONTENT_TYPE, SIZE_CONTENT_TYPE)];
            return (StatusCode::CONFLICT, kind, encode_size(newest.0)).into_response();
        }
        verify_consistency(newest.0, &newest.1, size, &root, &request.proof).unwrap();
        *newest = (size, root);
        let size = size + u64::from(matches!(mode, Mode::Forges));
        let checkpoint = Checkpoint::new(self.verifier.origin(), size, root).unwrap();
        // A line of a key that nobody knows is none of the log's business.
        let stranger = Ed25519SecretKey::from_seed(&[99; 32]);
        let name = KeyName::new("stranger.example").unwrap();
        let stranger = SoftwareSigner::ed25519_cosignature(name, stranger);
        let now_s = match mode {
            Mode::Misdates(time_s) => time_s,
            _ => START_MS / 1000,
        };
        let mut lines = vec![
            stranger.sign(&checkpoint, now_s).unwrap(),
            self.signer.sign(&checkpoint, now_s).unwrap(),
        ];
        if matches!(mode, Mode::Stranger) {
            lines.pop();
        }
        encode_cosignatures(&lines).into_response()
    }
}

async fn add_checkpoint(State(witness): State<Arc<Witness>>, body: Bytes) -> Response {
    let mode = *witness.mode.lock().unwrap();
    let request = AddCheckpoint::parse(&body).unwrap();
    witness.asked.lock().unwrap().push(request.old_size);
    let conflict = |size: &str| {
        let kind = [(header::CONTENT_TYPE, SIZE_CONTENT_TYPE)];
        (StatusCode::CONFLICT, kind, size.to_owned()).into_response()
    };
    match mode {
        Mode::Honest | Mode::Forges | Mode::Misdates(_) | Mode::Stranger => {
            witness.cosign(&request, mode)
        }
        Mode::Down => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Mode::Silent => std::future::pending().await,
        Mode::Refuses(status) => status.into_response(),
        Mode::Busy => {
            let wait = [(header::RETRY_AFTER, "3600")];
            (StatusCode::TOO_MANY_REQUESTS, wait).into_response()
        }
        Mode::Claims(size) => conflict(&encode_size(size)),
        Mode::Wavers => conflict(&encode_size(1 - request.old_size.min(1))),
        Mode::Mumbles => conflict("many\n"),
        Mode::Overtaken(size) => {
            let verified = witness.verifier.verify(&request.note).unwrap();
            if verified.checkpoint().size() < size {
                return conflict(&encode_size(size));
            }
            witness.cosign(&request, mode)
        }
    }
}

async fn show(State(witness): State<Arc<Witness>>) -> Response {
    match witness.shown.lock().unwrap().clone() {
        Some(note) => note.into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

pub fn policy(world: &World, witnesses: &[&Witness], quorum: &str) -> Arc<Policy> {
    let mut text: String = world
        .signer
        .keys()
        .iter()
        .map(|key| format!("log {key}\n"))
        .collect();
    for witness in witnesses {
        text += &format!(
            "witness {} {} {}\n",
            witness.name,
            witness.key(),
            witness.url
        );
    }
    Arc::new(Policy::parse(format!("{text}{quorum}\n").as_bytes()).unwrap())
}
