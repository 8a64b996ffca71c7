//! What others wrote, as text.

use std::fmt::{self, Display, Write as _};

use candor_core::account::is_invisible;

/// Text as HTML shows it, in elements and in quoted attributes. Characters that change the
/// direction of text, or are not seen, are shown as their numbers.
#[derive(Debug)]
pub struct Escaped<T>(pub T);

impl<T: Display> Display for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping(f), "{}", self.0)
    }
}

/// A key or hash by its first characters, and whole for who opens it; whole at once if it is
/// hardly longer.
#[derive(Debug)]
pub struct Folded<T> {
    /// The whole.
    pub text: T,
    /// How many characters are shown at first.
    pub shown: usize,
}

impl<T: Display> Display for Folded<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = self.text.to_string();
        let short: String = whole.chars().take(self.shown).collect();
        let escaped = Escaped(&whole);
        if whole.len() <= short.len() + 16 {
            return write!(f, "<code>{escaped}</code>");
        }
        write!(
            f,
            "<details><summary><code>{}…</code></summary><code>{escaped}</code></details>",
            Escaped(short)
        )
    }
}

/// Control characters, what is not seen or changes the direction of text, and separators of lines
/// and paragraphs.
fn is_not_shown(character: char) -> bool {
    let is_separator = matches!(character, '\u{2028}' | '\u{2029}');
    character.is_control() || is_separator || is_invisible(character)
}

struct Escaping<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl fmt::Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            match character {
                '&' => self.0.write_str("&amp;")?,
                '<' => self.0.write_str("&lt;")?,
                '>' => self.0.write_str("&gt;")?,
                '"' => self.0.write_str("&quot;")?,
                '\'' => self.0.write_str("&#39;")?,
                '\n' => self.0.write_char('\n')?,
                other if is_not_shown(other) => {
                    write!(self.0, "[U+{:04X}]", u32::from(other))?;
                }
                other => self.0.write_char(other)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_keys_are_folded() {
        let folded = |text: &'static str| Folded { text, shown: 4 }.to_string();
        assert_eq!(folded("<key>"), "<code>&lt;key&gt;</code>");
        let html = folded("<long key that does not fit>");
        assert!(html.contains("<code>&lt;lon…</code>"), "{html}");
        assert!(html.contains("<code>&lt;long key that does not fit&gt;</code>"));
    }

    #[test]
    fn what_others_wrote_is_only_text() {
        let escaped = |text: &str| Escaped(text).to_string();
        assert_eq!(
            escaped("<script>alert('1')</script>&\""),
            "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&amp;&quot;"
        );
        assert_eq!(escaped("go.sum database tree"), "go.sum database tree");
        assert_eq!(
            escaped("a\u{202e}b\u{7f}\u{85}"),
            "a[U+202E]b[U+007F][U+0085]"
        );
        assert_eq!(escaped("two\nlines"), "two\nlines");
    }
}
