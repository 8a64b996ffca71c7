//! Which keys sign a log's checkpoints, as its store has it.
//!
//! The store decides, not where keys are: while keys are moved about, one start after another
//! signs with the same ones. A row is text, a key a line, so that a log which never changed its
//! keys has the row that it always had:
//!
//! ```text
//! log.example+…                 it signs with this key
//! retired log.example+…         it did, and does not any more
//! ```

use candor_core::note::VerifierKey;

/// What stands before a key that is not used any more.
const RETIRED: &str = "retired ";

/// The keys of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Each signs every checkpoint, in this order.
    pub signing: Vec<VerifierKey>,
    /// Keys that signed checkpoints and are not used any more. What they signed is the log's.
    pub retired: Vec<VerifierKey>,
}

impl Identity {
    /// The row.
    pub fn encode(&self) -> Vec<u8> {
        let signing = self.signing.iter().map(|key| format!("{key}\n"));
        let retired = self.retired.iter().map(|key| format!("{RETIRED}{key}\n"));
        signing
            .chain(retired)
            .collect::<Vec<_>>()
            .concat()
            .into_bytes()
    }

    /// Reads a row; `None` if it is none.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let lines = str::from_utf8(bytes).ok()?.strip_suffix('\n')?;
        let mut identity = Self::default();
        for line in lines.split('\n') {
            match line.strip_prefix(RETIRED) {
                Some(key) => identity.retired.push(key.parse().ok()?),
                None => identity.signing.push(line.parse().ok()?),
            }
        }
        let is_one = !identity.signing.is_empty() && identity.encode() == bytes;
        is_one.then_some(identity)
    }

    /// All keys whose signatures are the log's.
    pub fn keys(&self) -> impl Iterator<Item = &VerifierKey> {
        self.signing.iter().chain(&self.retired)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use candor_core::crypto::Ed25519SecretKey;
    use candor_core::note::KeyName;

    use super::*;

    fn key(seed: u8) -> VerifierKey {
        let name = KeyName::new("log.example").unwrap();
        let secret = Ed25519SecretKey::from_seed(&[seed; 32]);
        VerifierKey::ed25519(name, secret.public_key())
    }

    #[test]
    fn other_rows_are_none() {
        let (one, two) = (key(1), key(2));
        for row in [
            String::new(),
            "\n".to_owned(),
            one.to_string(),
            format!("{one}\n\n"),
            format!("{RETIRED}{one}\n"),
            format!("{RETIRED}{one}\n{two}\n"),
            format!("Retired {one}\n{two}\n"),
        ] {
            assert_eq!(Identity::decode(row.as_bytes()), None, "{row}");
        }
        assert_eq!(Identity::decode(&[0xff, b'\n']), None);
    }

    #[test]
    fn a_row_reads_back() {
        let identity = Identity {
            signing: vec![key(2), key(3)],
            retired: vec![key(1)],
        };
        assert_eq!(Identity::decode(&identity.encode()), Some(identity.clone()));
        assert_eq!(identity.keys().count(), 3);
    }
}
