//! Checks, one a line, and below each what to do.

use plainsight_core::escape;

use super::{Ink, Style};
use crate::doctor::{Check, Outcome};

/// All checks in their order.
pub fn text(checks: &[Check], style: Style) -> String {
    let width = checks.iter().map(|check| check.name.chars().count()).max().unwrap_or_default();
    checks.iter().map(|check| one(check, width, style)).collect()
}

fn one(check: &Check, width: usize, style: Style) -> String {
    let (word, ink) = match check.outcome {
        Outcome::Ok => ("ok", Ink::Good),
        Outcome::Warning => ("warning", Ink::Doubtful),
        Outcome::Failed => ("failed", Ink::Bad),
    };
    let word = style.paint(ink, &format!("{word:<7}"));
    let [name, found] = [&*check.name, &check.found].map(escape::terminal);
    let mut text = format!("{word}  {name:<width$}  {found}\n");
    if let Some(advice) = &check.advice {
        let space = " ".repeat(7 + 2 + width + 2);
        text += &format!("{space}→ {}\n", escape::terminal(advice));
    }
    text
}
