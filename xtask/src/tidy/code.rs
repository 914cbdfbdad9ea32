//! Rust text without what only looks like code: comments, strings and unit tests are blanked, so
//! that a search for paths finds paths. Lines keep their numbers.

use std::{iter::Peekable, str::Chars};

/// The text with comments and the contents of strings replaced by nothing; line ends stay.
pub(crate) fn bare(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    let mut previous = ' ';
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('/', Some('/')) => skip_line(&mut chars),
            ('/', Some('*')) => skip_block(&mut chars, &mut out),
            ('"', _) => skip_string(&mut chars, &mut out),
            ('r', Some('"' | '#')) if !is_word(previous) => skip_raw(&mut chars, &mut out),
            ('\'', _) => skip_character(&mut chars),
            _ => out.push(c),
        }
        previous = c;
    }
    out
}

/// Numbered lines of `text` without its unit tests and other items for tests only.
pub(crate) fn without_tests(text: &str) -> Vec<(usize, &str)> {
    let mut kept = Vec::new();
    let mut lines = super::numbered(text);
    while let Some((number, line)) = lines.next() {
        if line.trim() != "#[cfg(test)]" {
            kept.push((number, line));
            continue;
        }
        let item = lines.by_ref().map(|(_, line)| line).find(|line| !line.trim().starts_with("#["));
        if item.is_some_and(|item| item.trim_end().ends_with('{')) {
            // rustfmt closes an item at the indentation that it began with.
            let closing = format!("{}}}", &line[..line.len() - line.trim_start().len()]);
            let _ = lines.by_ref().find(|(_, line)| *line == closing);
        }
    }
    kept
}

pub(crate) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn skip_line(chars: &mut Peekable<Chars<'_>>) {
    while chars.next_if(|c| *c != '\n').is_some() {}
}

fn skip_block(chars: &mut Peekable<Chars<'_>>, out: &mut String) {
    let mut previous = ' ';
    for c in chars.by_ref().skip(1) {
        if c == '\n' {
            out.push(c);
        }
        if previous == '*' && c == '/' {
            break;
        }
        previous = c;
    }
}

fn skip_string(chars: &mut Peekable<Chars<'_>>, out: &mut String) {
    out.push_str("\"\"");
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\n' => out.push('\n'),
            '\\' => out.extend(chars.next().filter(|c| *c == '\n')),
            _ => {}
        }
    }
}

/// `r"…"` and `r#"…"#`; a raw identifier like `r#type` is left as it is.
fn skip_raw(chars: &mut Peekable<Chars<'_>>, out: &mut String) {
    let mut hashes = 0;
    while chars.next_if_eq(&'#').is_some() {
        hashes += 1;
    }
    if chars.next_if_eq(&'"').is_none() {
        return;
    }
    out.push_str("\"\"");
    while let Some(c) = chars.next() {
        out.extend(Some(c).filter(|c| *c == '\n'));
        if c == '"' && (0..hashes).all(|_| chars.next_if_eq(&'#').is_some()) {
            break;
        }
    }
}

/// A character's literal; a lifetime's name is code like any other.
fn skip_character(chars: &mut Peekable<Chars<'_>>) {
    let mut ahead = chars.clone();
    let first = ahead.next();
    if first == Some('\\') {
        chars.next();
        chars.next();
        while chars.next_if(|c| *c != '\'').is_some() {}
        chars.next();
    } else if ahead.next() == Some('\'') {
        chars.next();
        chars.next();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_are_blanked() {
        let check = |text: &str, expect: &str| assert_eq!(bare(text), expect, "{text}");
        check("a // b\nc", "a \nc");
        check("a /* b\nc */ d", "a \n d");
        check("f(\"a \\\" b\", x)", "f(\"\", x)");
        check("f(r#\"a \" b\"#, x)", "f(\"\", x)");
        check("c == '\"' && d == '\\'' && &'a str", "c ==  && d ==  && &a str");
    }

    #[test]
    fn items_for_tests_are_left_out() {
        let text =
            "a\n#[cfg(test)]\nextern crate std;\nb\n#[cfg(test)]\nmod tests {\n    c\n}\nd\n";
        assert_eq!(without_tests(text), [(1, "a"), (4, "b"), (9, "d")]);
    }
}
