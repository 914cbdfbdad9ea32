//! What was typed.

use std::{collections::BTreeMap, net::SocketAddr, str::FromStr};

use anyhow::{Context as _, bail};

/// Flags by name.
pub(crate) struct Flags(BTreeMap<String, String>);

// === impl Flags ===

impl Flags {
    /// The command and its flags.
    pub(crate) fn read(mut words: impl Iterator<Item = String>) -> anyhow::Result<(String, Self)> {
        let command = words.next().context("no command")?;
        let mut flags = BTreeMap::new();
        while let Some(word) = words.next() {
            let Some(name) = word.strip_prefix("--") else { bail!("{word} is no flag") };
            let value = words.next().with_context(|| format!("{word} has no value"))?;
            flags.insert(name.to_owned(), value);
        }
        Ok((command, Self(flags)))
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(crate) fn is_set(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(crate) fn number<T: FromStr>(&self, name: &str) -> anyhow::Result<Option<T>> {
        let parse = |text: &str| text.parse().ok().with_context(|| format!("--{name} {text}"));
        self.text(name).map(parse).transpose()
    }

    pub(crate) fn count(&self, name: &str) -> anyhow::Result<u64> {
        self.number(name)?.with_context(|| format!("--{name} is missing"))
    }

    pub(crate) fn address(&self, name: &str) -> anyhow::Result<SocketAddr> {
        self.number(name)?.with_context(|| format!("--{name} is missing"))
    }

    /// Addresses with commas between them.
    pub(crate) fn addresses(&self, name: &str) -> anyhow::Result<Vec<SocketAddr>> {
        let text = self.text(name).with_context(|| format!("--{name} is missing"))?;
        let parse = |word: &str| word.parse().with_context(|| format!("--{name} {word}"));
        text.split(',').map(parse).collect()
    }
}
