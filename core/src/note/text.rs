//! The text forms that notes, proofs and witness bodies share, each with one spelling.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::Hash;

/// RFC 4648, section 4, with padding.
pub(super) fn encode_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Accepts exactly what [`encode_base64`] makes: padding is required, unused bits must be zero.
pub(super) fn decode_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// A SHA-256 hash on a line of its own.
pub(super) fn decode_hash(text: &str) -> Option<Hash> {
    // 44 characters hold 32 bytes; nothing longer is decoded.
    if text.len() != 44 {
        return None;
    }
    decode_base64(text)?.try_into().ok().map(Hash)
}

/// An ASCII decimal without sign and leading zeroes.
pub(super) fn decode_decimal(text: &str) -> Option<u64> {
    let canonical = text == "0" || !text.starts_with('0');
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    if canonical && digits {
        text.parse().ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_canonical_base64_is_decoded() {
        assert_eq!(decode_base64("AAE="), Some(vec![0, 1]));
        for text in [
            "AAE", "AAF=", "AAE=\n", "AAE==", "A AE=", "AAE=AAE=", "=", "AA-_", "\u{e9}",
        ] {
            assert_eq!(decode_base64(text), None, "{text:?}");
        }
    }

    #[test]
    fn only_canonical_decimals_are_decoded() {
        assert_eq!(decode_decimal("0"), Some(0));
        assert_eq!(decode_decimal("18446744073709551615"), Some(u64::MAX));
        for text in [
            "",
            "00",
            "01",
            "+1",
            "-1",
            " 1",
            "1 ",
            "0x1",
            "18446744073709551616",
            "\u{661}",
        ] {
            assert_eq!(decode_decimal(text), None, "{text:?}");
        }
    }
}
