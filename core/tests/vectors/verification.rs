//! `vectors/verification.json`.

use candor_core::account::AccountKey;
use candor_core::verification::{
    Comparison, ComparisonError, ComparisonMessage, LIFETIME_S, PublicCode,
};
use serde_json::{Value, json};

use crate::case::{Case, Document, accept, reject};

const ORIGIN: &str = "log.example/test";
const NOW_S: u64 = 1_000;
const KEYS: [[u8; 32]; 2] = [[0x11; 32], [0x22; 32]];
const NONCES: [[u8; 32]; 2] = [[0xa1; 32], [0xb2; 32]];

pub fn document() -> Document {
    Document {
        description: "What people compare. `compare` begins a session at second 1000 and takes \
                      the messages in order at second `now`: it accepts if the last of them makes \
                      a code. `make-code` gives the public verification code of an account key, \
                      in one piece and as it is shown; `parse-code` reads one.",
        source: "Candor protocol, sections 5.4 and 5.5; BIP 350 (bech32m)",
        cases: [rejected(), accepted()].concat(),
    }
}

fn comparison(messages: &[ComparisonMessage], now_s: u64) -> Value {
    let messages = messages.iter().map(|message| hex::encode(message.encode()));
    json!({
        "origin": hex::encode(ORIGIN),
        "own_key": hex::encode(KEYS[0]),
        "peer_key": hex::encode(KEYS[1]),
        "own_nonce": hex::encode(NONCES[0]),
        "messages": messages.collect::<Vec<_>>(),
        "now": now_s,
    })
}

/// What a side says: its commitment, and its nonce.
fn says(own: usize, peer: usize) -> [ComparisonMessage; 2] {
    let [own_key, peer_key] = [own, peer].map(|side| AccountKey(KEYS[side]));
    let (_, commit) = Comparison::begin(ORIGIN, own_key, peer_key, NONCES[own], NOW_S).unwrap();
    [commit, ComparisonMessage::Reveal(NONCES[own])]
}

fn rejected() -> Vec<Value> {
    let ([commit, reveal], own) = (says(1, 0), says(0, 1));
    let other = ComparisonMessage::Reveal([0xc3; 32]);
    let late = NOW_S + LIFETIME_S + 1;
    let mut cases: Vec<_> = [
        (
            "reveal-first",
            vec![reveal],
            NOW_S,
            "no commitment came before",
        ),
        ("not-opened", vec![commit, other], NOW_S, "another nonce"),
        (
            "second-commitment",
            vec![commit, own[0]],
            NOW_S,
            "one try a session",
        ),
        ("reflected", own.to_vec(), NOW_S, "the side's own messages"),
        (
            "expired",
            vec![commit, reveal],
            late,
            "more than ten minutes later",
        ),
    ]
    .map(|(name, messages, now_s, reason)| {
        reject(name, "compare", comparison(&messages, now_s), reason)
    })
    .to_vec();
    let code = PublicCode::of(&AccountKey(KEYS[0])).to_text();
    let last = code.len() - 1;
    cases.extend(
        [
            ("no-code", "hello".to_owned(), "does not begin with candor1"),
            (
                "one-short",
                code[..last].to_owned(),
                "the last character is missing",
            ),
            (
                "two-swapped",
                swapped(&code, 20),
                "two characters are swapped",
            ),
        ]
        .map(|(name, text, reason)| {
            reject(
                name,
                "parse-code",
                json!({ "text": hex::encode(text) }),
                reason,
            )
        }),
    );
    cases
}

/// The text with the first two neighbours from `at` on that differ swapped.
fn swapped(text: &str, at: usize) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let at = (at..).find(|at| bytes[*at] != bytes[at + 1]).unwrap();
    bytes.swap(at, at + 1);
    String::from_utf8(bytes).unwrap()
}

fn accepted() -> Vec<Value> {
    let messages = says(1, 0);
    let latest = NOW_S + LIFETIME_S;
    let encoded: Vec<_> = messages.iter().map(ComparisonMessage::encode).collect();
    let [own, peer] = KEYS.map(AccountKey);
    let compared = compare(ORIGIN, own, peer, NONCES[0], &encoded, latest).unwrap();
    let code = PublicCode::of(&own);
    let made = json!({ "key": hex::encode(KEYS[0]) });
    let mut cases = vec![
        accept(
            "compared",
            "compare",
            comparison(&messages, latest),
            compared,
        ),
        accept("made", "make-code", made, shown(&code)),
    ];
    cases.extend(
        [
            ("typed", code.to_text()),
            ("in-groups", code.to_string()),
            (
                "capitals-and-hyphens",
                code.to_qr_text().replacen('1', "1-", 1),
            ),
        ]
        .map(|(name, text)| {
            let inputs = json!({ "text": hex::encode(text) });
            accept(name, "parse-code", inputs, shown(&code))
        }),
    );
    cases
}

fn shown(code: &PublicCode) -> Value {
    json!({ "text": code.to_text(), "shown": code.to_string() })
}

/// The code that the messages make, or why they make none.
fn compare(
    origin: &str,
    own: AccountKey,
    peer: AccountKey,
    nonce: [u8; 32],
    messages: &[Vec<u8>],
    now_s: u64,
) -> Result<Value, String> {
    let refused = |error: ComparisonError| error.to_string();
    let begun = Comparison::begin(origin, own, peer, nonce, NOW_S);
    let (mut side, commit) = begun.map_err(refused)?;
    let mut code = None;
    for message in messages {
        let message = ComparisonMessage::decode(message).map_err(|error| error.to_string())?;
        code = side.receive(&message, now_s).map_err(refused)?.code;
    }
    let code = code.ok_or("no code")?;
    Ok(json!({
        "commit": hex::encode(commit.encode()),
        "code": code.to_string(),
        "spoken": code.spoken(),
    }))
}

pub fn check(case: &Case) {
    match case.operation() {
        "compare" => case.assert_result(compare(
            &String::from_utf8(case.bytes("origin")).unwrap(),
            AccountKey(case.array("own_key")),
            AccountKey(case.array("peer_key")),
            case.array("own_nonce"),
            &case.list("messages"),
            case.number("now"),
        )),
        "make-code" => {
            let code = PublicCode::of(&AccountKey(case.array("key")));
            case.assert_result::<()>(Ok(shown(&code)));
        }
        "parse-code" => {
            let text = String::from_utf8(case.bytes("text")).unwrap();
            case.assert_result(PublicCode::parse(&text).map(|code| shown(&code)));
        }
        _ => case.unknown_operation(),
    }
}
