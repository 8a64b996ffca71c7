//! The name and the address in a user id: `Name (comment) <address>` by convention (RFC 9580,
//! section 5.11), or the address alone.

use candor_core::account::Label;

/// The address of a user id, if it has a valid one.
pub(super) fn address(user_id: &str) -> Option<Label> {
    let address = match user_id.rsplit_once('<') {
        Some((_, rest)) => rest.trim_end().strip_suffix('>')?,
        None => user_id,
    };
    if !address.contains('@') {
        return None;
    }
    Label::normalize(&format!("mailto:{}", address.trim())).ok()
}

/// The name before the address, without a comment in parentheses.
pub(super) fn name(user_id: &str) -> Option<String> {
    let (before, _) = user_id.rsplit_once('<')?;
    let name = before.split('(').next().unwrap_or_default().trim();
    (!name.is_empty() && !name.contains(char::is_control)).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_where_people_write_them() {
        for (user_id, expected) in [
            (
                "Alice <Alice@Example.org>",
                Some("mailto:alice@example.org"),
            ),
            (
                "Alice (work) <alice@example.org> ",
                Some("mailto:alice@example.org"),
            ),
            (
                "Alice <3 Bob <alice@example.org>",
                Some("mailto:alice@example.org"),
            ),
            ("alice@example.org", Some("mailto:alice@example.org")),
            ("<alice@example.org>", Some("mailto:alice@example.org")),
            ("Alice", None),
            ("Alice <alice>", None),
            ("Alice <alice@example.org", None),
            ("Alice alice@example.org", None),
            ("Alice <tel:+15551234567>", None),
            ("Alice <acct:alice@example.org>", None),
            ("", None),
        ] {
            let label = address(user_id);
            assert_eq!(label.as_ref().map(Label::as_str), expected, "{user_id}");
        }
    }

    #[test]
    fn a_name_stands_before_the_address() {
        assert_eq!(
            name("Alice B. (work) <a@example.org>").as_deref(),
            Some("Alice B.")
        );
        assert_eq!(name("<a@example.org>"), None);
        assert_eq!(name("a@example.org"), None);
        assert_eq!(name("Al\u{7}ice <a@example.org>"), None);
    }
}
