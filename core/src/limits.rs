//! Every bound of the protocol, with its unit, its arithmetic and its source.
//!
//! A parser compares with these before it allocates. They are part of the protocol: two
//! implementations must agree on them, so `docs/protocol.md` repeats them.

/// Longest label in bytes: the length is one byte (KEYTRANS, `label<0..2^8-1>`).
pub const LABEL_BYTES_MAX: usize = 255;

/// Longest value in bytes. 64 KiB holds an account state of 64 devices with about 900 bytes of keys
/// each: several classical keys, but no ML-KEM-768 key, which has 1184 bytes. Of devices with one
/// such key, 32 bytes of classical keys and 100 bytes of names and lengths, about 49 fit.
pub const VALUE_BYTES_MAX: usize = 64 * 1024;

/// Opening of a commitment in bytes (KEYTRANS cipher suites, `Nc`).
pub const OPENING_BYTES: usize = 16;

/// VRF proof in bytes: a point, a 16-byte challenge, a scalar (RFC 9381, section 5.5).
pub const VRF_PROOF_BYTES: usize = 32 + 16 + 32;

/// Bits of a search key, and so the greatest depth of a prefix tree position.
pub const SEARCH_KEY_BITS: usize = 256;

/// Most versions in a binary ladder: 0, 1, 3, .. 2^32-1 are 33 powers of two minus one, and the
/// binary search between two neighbours of them takes at most 31 steps more.
pub const LADDER_VERSIONS_MAX: usize = 33 + 31;

/// Most versions whose values one answer opens besides the ladder. With the ladder they must fit
/// `results<0..2^8-1>` of a prefix proof: 64 + 128 <= 255.
pub const HISTORY_VERSIONS_MAX: u32 = 128;

/// Most sibling hashes in a prefix proof: every one of 255 results may need a sibling at each of
/// 256 depths.
pub const PREFIX_ELEMENTS_MAX: usize = 255 * SEARCH_KEY_BITS;

/// Largest log size. C2SP implementations in Go hold it in an `int64`.
pub const LOG_SIZE_MAX: u64 = (1 << 63) - 1;

/// Most hashes in a consistency or inclusion proof (c2sp.org/tlog-witness allows 63 lines). A log
/// of less than 2^63 leaves has at most 63 levels below the root, so an inclusion proof always
/// fits. A consistency proof may have one hash more than levels, its seed: it would need 64 in a
/// log of more than 2^62 leaves, which no log reaches.
pub const LOG_PROOF_HASHES_MAX: usize = 63;

/// Most label-versions that one epoch inserts.
pub const EPOCH_INSERTS_MAX: usize = 1 << 16;

/// Longest audit delta in bytes. In a map of 2^40 leaves an insertion into a tree whose keys are
/// uniform costs at most 40 siblings of 33 bytes and 64 bytes of its own: 2^16 of them are 90 MiB,
/// and batches share siblings. 128 MiB leaves room, and bounds what an auditor buffers.
pub const DELTA_BYTES_MAX: usize = 128 << 20;

/// Longest signed note in bytes: 16 signatures must be accepted, one ML-DSA-44 line is about
/// 3.3 KiB, so 32 of them and the text fit.
pub const NOTE_BYTES_MAX: usize = 128 << 10;

/// Most signature lines of a note that are looked at (c2sp.org/signed-note: at least 16).
pub const NOTE_SIGNATURES_MAX: usize = 64;

/// Longest origin and key name in bytes (c2sp.org/tlog-cosignature, `log_origin<1..2^8-1>`).
pub const KEY_NAME_BYTES_MAX: usize = 255;

/// Longest policy file in bytes: 256 ML-DSA-44 keys of 1.8 KiB.
pub const POLICY_BYTES_MAX: usize = 512 << 10;

/// Most logs, witnesses or groups of a policy, each (c2sp.org/tlog-policy: at least 32).
pub const POLICY_ENTRIES_MAX: usize = 128;

/// Most devices of an account.
pub const DEVICES_MAX: usize = 64;

/// Most public keys of a device.
pub const DEVICE_KEYS_MAX: usize = 16;

/// Longest public key of a device in bytes: room for the largest post-quantum signature keys.
pub const DEVICE_KEY_BYTES_MAX: usize = 4096;

/// Most keys that a log's last record names of its successor.
pub const SUCCESSOR_KEYS_MAX: usize = 4;

/// Longest text that is normalized to a label, in bytes: separators and uncomposed characters may
/// make it four times as long as the label.
pub const LABEL_INPUT_BYTES_MAX: usize = 4 * LABEL_BYTES_MAX;

/// Longest user name or local part of a label in bytes (RFC 5321, section 4.5.3.1.1).
pub const LABEL_NAME_BYTES_MAX: usize = 64;

/// Longest opaque identifier of a device in bytes: a digest of 64 bytes fits.
pub const DEVICE_ID_BYTES_MAX: usize = 64;

/// Longest name that a person gave a device, in bytes of UTF-8.
pub const DEVICE_NAME_BYTES_MAX: usize = 64;

/// Longest name of a device's platform, and longest version of its system, in bytes, each.
pub const DEVICE_PLATFORM_BYTES_MAX: usize = 32;

/// Longest purpose of a device's key in bytes.
pub const KEY_PURPOSE_BYTES_MAX: usize = 32;

/// Longest account state in bytes: a value holds it behind one byte that tells its kind.
pub const STATE_BYTES_MAX: usize = VALUE_BYTES_MAX - 1;

/// Longest `add-checkpoint` body in bytes: the old size (4 + 19 + 1), 63 proof lines of 45, a blank
/// line, and a note (c2sp.org/tlog-witness).
pub const ADD_CHECKPOINT_BYTES_MAX: usize = 24 + LOG_PROOF_HASHES_MAX * 45 + 1 + NOTE_BYTES_MAX;

/// Longest `sign-subtree` body in bytes: the range (8 + 19 + 1 + 19 + 1), the subtree's hash and 63
/// proof lines of 45 each, a blank line, and a note (c2sp.org/tlog-witness).
pub const SIGN_SUBTREE_BYTES_MAX: usize = 48 + (1 + LOG_PROOF_HASHES_MAX) * 45 + 1 + NOTE_BYTES_MAX;

/// Longest list of logs in bytes: 16,384 logs of 512 bytes each.
pub const LOG_LIST_BYTES_MAX: usize = 8 << 20;

/// Longest extra data of a tlog-proof in bytes: an account answer of 128 values of 64 KiB each,
/// and as much again for its proofs.
pub const TLOG_PROOF_EXTRA_BYTES_MAX: usize = 16 << 20;

/// Longest tlog-proof in bytes: header, index and blank line take less than 64, the extra data is
/// base64, each hash line is 45, and a note follows (c2sp.org/tlog-proof).
pub const TLOG_PROOF_BYTES_MAX: usize = 64
    + (6 + TLOG_PROOF_EXTRA_BYTES_MAX.div_ceil(3) * 4 + 1)
    + LOG_PROOF_HASHES_MAX * 45
    + NOTE_BYTES_MAX;
