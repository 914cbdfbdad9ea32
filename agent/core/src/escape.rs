//! Text from outside, made safe for a terminal.
//!
//! Names of processes, units and hosts are chosen by whoever runs them. On a terminal some
//! characters are commands, and some make the text read otherwise than it is stored.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;

/// Writes every character that steers a terminal, breaks a line or turns the reading direction as
/// `\xNN` or `\u{NNNN}`; all else stays as it is.
///
/// A backslash stays too, because unit names are full of them, so the result cannot be told from
/// a name that holds such an escape itself. It is for reading, not for reading back.
pub fn terminal(text: &str) -> Cow<'_, str> {
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        push(&mut safe, c);
    }
    Cow::Owned(safe)
}

/// The text of a process name: up to its first NUL. The kernel cuts at 15 bytes, which may be in
/// mid-character; what is not UTF-8 becomes U+FFFD.
pub fn comm(bytes: &[u8; 16]) -> String {
    let name = bytes.split(|b| *b == 0).next().unwrap_or_default();
    String::from_utf8_lossy(name).into_owned()
}

fn push(safe: &mut String, c: char) {
    match (steers(c), u32::from(c)) {
        (false, _) => safe.push(c),
        (true, code @ 0..=0xff) => safe.push_str(&format!("\\x{code:02x}")),
        (true, code) => safe.push_str(&format!("\\u{{{code:x}}}")),
    }
}

/// C0, DEL and C1 (ECMA-48), the bidirectional controls (UAX #9, section 2), and the line and
/// paragraph separators.
const fn steers(c: char) -> bool {
    matches!(
        c,
        '\0'..='\x1f'
            | '\x7f'..='\u{9f}'
            | '\u{61c}'
            | '\u{200e}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str, expect: &str) {
        assert_eq!(terminal(text), expect, "{text:?}");
    }

    #[test]
    fn what_steers_is_spelt_out() {
        check("\x1b[31mred", "\\x1b[31mred");
        check("two\nlines\ttab", "two\\x0alines\\x09tab");
        check("\u{7f}\u{9b}31m", "\\x7f\\x9b31m");
        check("exe\u{202e}fdp.", "exe\\u{202e}fdp.");
        check("\u{2066}a\u{2069}\u{200f}", "\\u{2066}a\\u{2069}\\u{200f}");
        check("a\u{2028}b\u{2029}c", "a\\u{2028}b\\u{2029}c");
    }

    #[test]
    fn what_is_printable_stays_and_is_not_copied() {
        for text in ["", "nginx.service", "dev-disk-by\\x2duuid.swap", "größe", "日本", "→ a b"]
        {
            assert!(matches!(terminal(text), Cow::Borrowed(same) if same == text), "{text}");
        }
    }

    #[test]
    fn a_name_ends_at_its_nul() {
        let check = |bytes: &[u8; 16], expect: &str| assert_eq!(comm(bytes), expect);
        check(b"nginx\0\0\0\0\0\0\0\0\0\0\0", "nginx");
        check(b"postgres-writer\0", "postgres-writer");
        check(b"no-nul-at-all-16", "no-nul-at-all-16");
        check(b"a\0b\0\0\0\0\0\0\0\0\0\0\0\0\0", "a");
        check(&[0; 16], "");
    }

    #[test]
    fn a_name_cut_in_mid_character_is_still_text() {
        assert_eq!(comm(b"abcdefghijklmn\xc3\0"), "abcdefghijklmn\u{fffd}");
        assert_eq!(comm(b"\xff\xfe\0\0\0\0\0\0\0\0\0\0\0\0\0\0"), "\u{fffd}\u{fffd}");
    }

    proptest! {
        #[test]
        fn nothing_that_steers_comes_through(text in any::<String>()) {
            let safe = terminal(&text);
            prop_assert!(!safe.contains(char::is_control) && !safe.contains(steers));
        }

        #[test]
        fn escaping_twice_is_escaping_once(text in any::<String>()) {
            let once = terminal(&text).into_owned();
            prop_assert_eq!(terminal(&once), once.as_str());
        }

        #[test]
        fn any_bytes_are_a_name(bytes in any::<[u8; 16]>()) {
            prop_assert!(!comm(&bytes).contains('\0'));
        }
    }
}
