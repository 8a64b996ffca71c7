//! Secrets are in no `Debug` output, and gone from memory when they are dropped: a process of its
//! own searches all of its memory for them.

use candor_core::account::{AccountState, Binding, Device, DeviceKey, Label, VerifiedState};
use candor_core::crypto::{Ed25519SecretKey, MlDsa44SecretKey, Opening, VrfSecretKey};
use candor_sdk::shared::{ContactId, SharedKey, SharedState};
use candor_sdk::{Client, ClientConfig, Error, MemoryStore};

use crate::common::{label, world};

/// What no output may hold.
const SECRET: u8 = 0xa7;
const LABEL: &str = "acct:somebody";

/// Whether the text has a secret byte twice in a row, in any notation, or the label.
fn tells(text: &str) -> bool {
    let text = text.to_lowercase();
    ["a7a7", "167, 167", "a7, a7", "p6en", "somebody"]
        .iter()
        .any(|secret| text.contains(secret))
}

fn state() -> AccountState {
    let mut state = AccountState::first();
    state.devices = vec![Device {
        id: vec![SECRET; 16],
        name: "somebody's telephone".to_owned(),
        platform: "somebody".to_owned(),
        os_version: "somebody".to_owned(),
        capability: 1,
        added_ms: 0,
        expires_ms: 0,
        keys: vec![DeviceKey {
            purpose: "somebody".to_owned(),
            public_key: vec![SECRET; 32],
        }],
    }];
    state
}

#[test]
fn nothing_that_is_shown_holds_a_secret_or_an_identifier() {
    let (seed, label) = ([SECRET; 32], label(LABEL));
    let key = Ed25519SecretKey::from_seed(&seed);
    let signed: VerifiedState = state().sign(&label, &key).unwrap();
    let config = ClientConfig::new("http://127.0.0.1:1", world(0).trust());
    let shown = [
        format!("{key:?}"),
        format!("{:?}", VrfSecretKey::from_seed(&seed)),
        format!("{:?}", MlDsa44SecretKey::from_seed(&seed)),
        format!("{:?}", Opening([SECRET; 16])),
        format!("{:?}", SharedKey::derive(&seed, "log.example", &label)),
        format!("{:?}", SharedState::new()),
        format!("{:?}", ContactId::of("log.example", &label)),
        format!("{label:?}"),
        format!("{:?}", state()),
        format!("{signed:?}"),
        format!(
            "{:?}",
            Binding::new(label.clone(), Label::parse("acct:b").unwrap())
        ),
        format!("{:?}", config.with_bearer_token("somebody").unwrap()),
    ];
    for shown in &shown {
        assert!(!tells(shown), "{shown}");
    }
    // The search finds what is there.
    for told in [
        format!("{seed:?}"),
        format!("{seed:x?}").replace(", ", ""),
        label.as_str().to_owned(),
    ] {
        assert!(tells(&told), "{told}");
    }
}

#[cfg(target_os = "linux")]
mod memory {
    use std::fs::File;
    use std::hint::black_box;
    use std::os::unix::fs::FileExt as _;
    use std::process::Command;

    use candor_core::account::{AccountKey, AccountState};
    use candor_core::crypto::Ed25519SecretKey;
    use candor_core::verification::{Comparison, ComparisonMessage};
    use candor_sdk::shared::{DeviceTag, SealedState, SharedKey, SharedState};
    use hmac::{Hmac, Mac as _};
    use sha2::{Digest as _, Sha256, Sha512};
    use zeroize::Zeroize as _;

    use crate::common::label;

    /// Names the child, and hands it what to look for.
    const NEEDLES: &str = "CANDOR_TEST_NEEDLES";

    /// What every byte of a secret is changed by wherever it is written down, so that looking for
    /// it does not put it into memory.
    const MASK: u8 = 0x5a;

    /// Bytes of a secret that count as the secret.
    const PIECE: usize = 14;

    const ORIGIN: &str = "log.example";

    /// A secret, masked.
    #[derive(Clone, Copy)]
    struct Masked([u8; 32]);

    impl Masked {
        fn of(number: u8) -> Self {
            Self(Sha256::digest([number]).into())
        }

        fn hide(mut bytes: [u8; 32]) -> Self {
            bytes.iter_mut().for_each(|byte| *byte ^= MASK);
            Self(bytes)
        }

        /// Lends the secret, which is on the heap and cleared afterwards.
        fn open<R>(self, lend: impl FnOnce(&[u8; 32]) -> R) -> R {
            let mut secret = Box::new([0; 32]);
            for (byte, masked) in secret.iter_mut().zip(self.0) {
                *byte = masked ^ black_box(MASK);
            }
            let result = lend(&secret);
            secret.zeroize();
            result
        }

        /// Whether a piece of the secret begins somewhere in these bytes of memory.
        fn is_in(&self, memory: &[u8]) -> bool {
            // The first byte is left out: Ed25519 changes it, and the last.
            [1, 31 - PIECE].into_iter().any(|from| {
                let piece = &self.0[from..from + PIECE];
                memory.windows(PIECE).any(|window| {
                    let mut pairs = window.iter().zip(piece);
                    pairs.all(|(byte, masked)| byte ^ black_box(MASK) == *masked)
                })
            })
        }
    }

    /// Which of these secrets are in the memory that this process may write to.
    fn found(secrets: &[Masked]) -> Vec<bool> {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let memory = File::open("/proc/self/mem").unwrap();
        let mut buffer = vec![0; 1 << 16];
        let mut found = vec![false; secrets.len()];
        for line in maps.lines() {
            let mut words = line.split_whitespace();
            let (range, access) = (words.next().unwrap(), words.next().unwrap());
            let (start, end) = range.split_once('-').unwrap();
            let [start, end] = [start, end].map(|it| u64::from_str_radix(it, 16).unwrap());
            if !access.starts_with("rw") {
                continue;
            }
            // Parts overlap, so that no piece is cut.
            for from in (start..end).step_by(buffer.len() - PIECE) {
                let length = buffer.len().min(usize::try_from(end - from).unwrap());
                let part = &mut buffer[..length];
                if memory.read_exact_at(part, from).is_err() {
                    continue;
                }
                for (found, secret) in found.iter_mut().zip(secrets) {
                    *found |= secret.is_in(part);
                }
                part.zeroize();
            }
        }
        found
    }

    /// The secrets and what is derived of the account key's seed: both halves of its hash, of which
    /// one is the scalar, and the key of the shared state.
    fn secrets() -> Vec<Masked> {
        let (seed, nonce) = (Masked::of(1), Masked::of(2));
        let (scalar, prefix, shared) = seed.open(|seed| {
            let hash: [u8; 64] = Sha512::digest(seed).into();
            let (scalar, prefix) = hash.split_at(32);
            let mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(seed).unwrap();
            let context = b"candor/shared-state/v1\0\x0blog.example\x0aacct:alice";
            let shared = mac.chain_update(context).finalize().into_bytes();
            let halves = [scalar, prefix].map(|half| Masked::hide(half.try_into().unwrap()));
            (halves[0], halves[1], Masked::hide(shared.into()))
        });
        vec![seed, nonce, scalar, prefix, shared]
    }

    /// Everything that an application does with the account key and a comparison.
    fn use_secrets(seed: Masked, nonce: Masked) {
        let alice = label("acct:alice");
        let (own, sealed) = seed.open(|seed| {
            let key = Ed25519SecretKey::from_seed(seed);
            let signed = AccountState::first().sign(&alice, &key).unwrap();
            let shared = SharedKey::derive(seed, ORIGIN, &alice);
            let mut state = SharedState::new();
            state.set_enrolled(DeviceTag::of(b"a"), true).unwrap();
            let sealed = SealedState::seal(&state, &shared, [3; 24]).unwrap();
            assert_eq!(SealedState::open(sealed.as_bytes(), &shared), Ok(state));
            (signed.state().account_key.unwrap(), sealed)
        });
        assert!(sealed.as_bytes().len() > 4096);
        let (mut session, _) = nonce
            .open(|nonce| Comparison::begin(ORIGIN, own, AccountKey([5; 32]), *nonce, 0).unwrap());
        // Out of order: the session ends before the nonce is revealed.
        let refused = session.receive(&ComparisonMessage::Reveal([6; 32]), 1);
        assert!(refused.is_err());
    }

    #[test]
    fn secrets_are_gone_when_they_are_dropped() {
        if let Ok(needles) = std::env::var(NEEDLES) {
            return search(&needles);
        }
        let needles: Vec<String> = secrets().iter().map(|it| hex(&it.0)).collect();
        let child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "secrets::memory::secrets_are_gone_when_they_are_dropped",
            ])
            .args(["--test-threads=1", "--nocapture"])
            .env(NEEDLES, needles.join(" "))
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&child.stderr);
        assert!(child.status.success(), "{text}");
        assert!(String::from_utf8_lossy(&child.stdout).contains("1 passed"));
    }

    fn search(needles: &str) {
        let secrets: Vec<Masked> = needles.split(' ').map(|it| Masked(unhex(it))).collect();
        // The search finds what is there: each secret, planted and alive.
        for (at, planted) in secrets.iter().enumerate() {
            let found = planted.open(|_| found(&secrets));
            let only = (0..secrets.len()).map(|other| other == at);
            assert_eq!(found, only.collect::<Vec<_>>(), "planted {at}");
        }
        use_secrets(secrets[0], secrets[1]);
        let names = ["seed", "nonce", "scalar", "prefix", "shared key"];
        let left: Vec<_> = names
            .iter()
            .zip(found(&secrets))
            .filter(|(_, is_found)| *is_found)
            .collect();
        assert!(left.is_empty(), "left in memory: {left:?}");
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn unhex(text: &str) -> [u8; 32] {
        let pairs = text.as_bytes().chunks(2);
        let bytes = pairs.map(|it| u8::from_str_radix(str::from_utf8(it).unwrap(), 16).unwrap());
        bytes.collect::<Vec<_>>().try_into().unwrap()
    }
}

#[test]
fn a_credential_is_sent_over_tls_or_not_off_the_machine() {
    let trust = world(0).trust();
    let at = |endpoint: &str| ClientConfig::new(endpoint, trust.clone());
    let with_token = |endpoint: &str| at(endpoint).with_bearer_token("somebody").unwrap();
    for clear in [
        "http://keys.example",
        "http://10.0.0.1:8430",
        "http://localhost.example",
        "http://127.0.0.1.example",
        "http://127.0.0.1@keys.example",
        "http://[::2]:1",
    ] {
        at(clear).connection().unwrap();
        let refused = with_token(clear).connection().unwrap_err();
        assert!(matches!(refused, Error::InClear), "{clear}");
        assert_eq!(refused.code(), "credential-in-clear");
        let shown = at(clear).with_identity(b"", b"").connection();
        assert!(matches!(shown, Err(Error::InClear)), "{clear}");
        assert!(Client::new(with_token(clear), MemoryStore::new()).is_err());
    }
    for local in ["http://127.0.0.1:1", "http://[::1]:1", "http://localhost:1"] {
        with_token(local).connection().unwrap();
    }
    let secure = with_token("https://keys.example").connection();
    assert!(!matches!(secure, Err(Error::InClear)));
    for other in [
        "ftp://127.0.0.1",
        "unix:/socket",
        "keys.example",
        "/socket",
        "a b",
    ] {
        let refused = at(other).connection().unwrap_err();
        assert_eq!(refused.code(), "endpoint-invalid", "{other}");
    }
}
