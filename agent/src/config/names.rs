//! The names file: a user's names for networks.
//!
//! A list of `cidr`, `name` and, where somebody answers for it, `owner`. It is read whole or not at
//! all, so what is in force is always what somebody wrote.

use std::{collections::HashMap, fs::File, io::Read as _, net::IpAddr, path::Path};

use ipnet::IpNet;
use plainsight_core::identity::{Rule, Rules};
use serde::Deserialize;
use serde_saphyr::Spanned;

use super::{ConfigError, Place, in_file, problem};

/// The largest names file.
const LARGEST: u64 = 8 << 20;

/// Most names.
const MOST: usize = 65_536;

/// The longest name: that of a subdomain (RFC 1123).
const LONGEST: usize = 253;

/// One name.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Entry {
    cidr: Spanned<String>,
    name: Spanned<String>,
    owner: Option<Spanned<String>>,
}

/// What the file holds.
///
/// # Errors
///
/// If it cannot be read, or anything in it cannot be used: with the place in it, and what to write.
pub fn read(path: &Path) -> Result<Rules, ConfigError> {
    let refused = |problem: String| ConfigError { place: in_file(path, None), problem };
    let file = File::open(path).map_err(|error| refused(error.to_string()))?;
    let mut text = String::new();
    let read = file.take(LARGEST + 1).read_to_string(&mut text);
    read.map_err(|error| refused(error.to_string()))?;
    if text.len() as u64 > LARGEST {
        return Err(refused(format!("larger than {LARGEST} bytes: this is no names file")));
    }
    parse(path, &text)
}

fn parse(path: &Path, text: &str) -> Result<Rules, ConfigError> {
    let options = serde_saphyr::options! { with_snippet: false };
    let entries = serde_saphyr::from_str_with_options::<Option<Vec<Entry>>>(text, options);
    let entries = entries.map_err(|error| ConfigError {
        place: in_file(path, error.location()),
        problem: problem(&error),
    })?;
    let entries = entries.unwrap_or_default();
    if entries.len() > MOST {
        let problem = format!("{} names: write at most {MOST}", entries.len());
        return Err(ConfigError { place: in_file(path, None), problem });
    }
    let mut rules = Rules::default();
    let mut lines = HashMap::new();
    for Entry { cidr, name, owner } in entries {
        let network = network(&cidr, path)?;
        let owner = owner.map(|owner| word("owner", &owner, path)).transpose()?;
        let rule = Rule { name: word("name", &name, path)?, owner, network: network.to_string() };
        if !rules.add(network.addr(), network.prefix_len(), rule) {
            let line = lines.get(&network).copied().unwrap_or_default();
            let problem = format!("{network} has a name already, in line {line}: leave one out");
            return Err(refused(&cidr, path, problem));
        }
        lines.insert(network, cidr.referenced.line());
    }
    Ok(rules)
}

fn network(cidr: &Spanned<String>, path: &Path) -> Result<IpNet, ConfigError> {
    let text = &cidr.value;
    let address = || text.parse::<IpAddr>().ok().map(IpNet::from);
    let Some(network) = text.parse::<IpNet>().ok().or_else(address) else {
        let problem = format!("cidr {text}: write a network as in 10.0.0.0/8, or an address");
        return Err(refused(cidr, path, problem));
    };
    if network != network.trunc() {
        let problem = format!("cidr {text}: bits of the host are set; write {}", network.trunc());
        return Err(refused(cidr, path, problem));
    }
    Ok(network)
}

fn word(key: &str, word: &Spanned<String>, path: &Path) -> Result<String, ConfigError> {
    let text = &word.value;
    if (1..=LONGEST).contains(&text.len()) && !text.contains(char::is_control) {
        return Ok(text.clone());
    }
    let problem = format!("{key}: write 1 to {LONGEST} bytes without control characters");
    Err(refused(word, path, problem))
}

fn refused<T>(value: &Spanned<T>, path: &Path, problem: String) -> ConfigError {
    let place: Place = in_file(path, Some(value.referenced));
    ConfigError { place, problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Rules, String> {
        parse(Path::new("FILE"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn names_are_read() {
        let rules = parsed(
            "# Branches.\n- cidr: 10.20.0.0/16\n  name: branches\n  owner: network\n\
             - {cidr: 2001:db8::1, name: partner}\n",
        )
        .unwrap();
        let at = |ip: &str| rules.find(ip.parse().unwrap()).cloned();
        let branches = at("10.20.3.4").unwrap();
        assert_eq!(
            (branches.name.as_str(), branches.owner.as_deref()),
            ("branches", Some("network"))
        );
        assert_eq!(branches.network, "10.20.0.0/16");
        assert_eq!(at("2001:db8::1").unwrap().network, "2001:db8::1/128");
        assert_eq!((at("10.21.0.1"), rules.len()), (None, 2));
        assert_eq!(parsed("").unwrap().len(), 0);
        assert_eq!(parsed("# nothing\n").unwrap().len(), 0);
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_its_place() {
        let check = |text: &str, expect: &str| {
            let error = parsed(text).unwrap_err();
            assert!(error.starts_with(expect), "{text:?}: {error}");
        };
        check(
            "- cidr: 10.0.0.1/8\n  name: a\n",
            "FILE:1:9: cidr 10.0.0.1/8: bits of the host are set; write 10.0.0.0/8",
        );
        check("- cidr: 10.0.0.0/33\n  name: a\n", "FILE:1:9: cidr 10.0.0.0/33: write a network");
        check("- cidr: example.org\n  name: a\n", "FILE:1:9: cidr example.org: write a network");
        check("- cidr: 10.0.0.0/8\n  name: ''\n", "FILE:2:9: name: write 1 to 253 bytes");
        check(
            "- cidr: 10.0.0.0/8\n  name: a\n  owner: \"\\e[2J\"\n",
            "FILE:3:10: owner: write 1 to 253",
        );
        check(
            "- cidr: 10.0.0.0/8\n  nam: a\n",
            "FILE:2:3: unknown key `nam`; did you mean `name`?",
        );
        check("- cidr: 10.0.0.0/8\n", "FILE:");
        check("a: b\n", "FILE:1:1: ");
        check("- cidr: 10.0.0.0/8\n  name: [a\n", "FILE:");
        let twice = "- {cidr: 10.0.0.0/8, name: a}\n- {cidr: 192.0.2.1, name: b}\n- {cidr: 10.0.0.0/8, name: c}\n";
        check(twice, "FILE:3:10: 10.0.0.0/8 has a name already, in line 1: leave one out");
    }

    #[test]
    fn a_file_that_is_none_is_refused() {
        let check = |path: &str, part: &str| {
            let error = read(Path::new(path)).unwrap_err().to_string();
            assert!(error.starts_with(path) && error.contains(part), "{error}");
        };
        check("/nowhere/names.yaml", "No such file");
        check("/dev/zero", "larger than");
    }
}
