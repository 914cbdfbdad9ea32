//! What somebody declares of links that the host cannot judge: a list in YAML.
//!
//! Each says how whoever wrote it knows, and a day: what nobody looks at again is true for ever
//! otherwise.

use std::path::Path;

use ipnet::IpNet;
use jiff::civil::Date;
use plainsight_core::flow::link::{Declaration, Link};
use serde::Deserialize;
use serde_saphyr::Spanned;

use super::{ConfigError, in_file, text, yaml};
use crate::serve::filter;

/// One of them, as it is written.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Entry {
    between: Spanned<Vec<Spanned<String>>>,
    security: Spanned<String>,
    evidence: Spanned<String>,
    since: Option<Spanned<String>>,
    until: Option<Spanned<String>>,
}

/// More is no list that somebody keeps.
const MOST: usize = 1024;

/// Longest evidence, in bytes.
const LONGEST: usize = 1024;

/// Where entries come from.
struct Source<'a>(&'a Path);

// === impl Source ===

impl Source<'_> {
    fn refused<T>(&self, at: &Spanned<T>, problem: String) -> ConfigError {
        ConfigError { place: in_file(self.0, Some(at.referenced)), problem }
    }

    fn declaration(&self, entry: &Entry) -> Result<Declaration, ConfigError> {
        let [since, until] = [("since", &entry.since), ("until", &entry.until)]
            .map(|(key, day)| day.as_ref().map(|day| self.day(key, day)).transpose());
        let (since, until) = (since?, until?);
        match (since, until, &entry.until) {
            (None, None, _) => {
                let problem = "no date: write until: YYYY-MM-DD, the last day on which somebody \
                               still answers for it, or since:";
                return Err(self.refused(&entry.security, problem.to_owned()));
            }
            (Some(since), Some(until), Some(at)) if until < since => {
                return Err(self.refused(at, format!("until {until}: this is before {since}")));
            }
            _ => {}
        }
        Ok(Declaration {
            between: self.between(&entry.between)?,
            link: self.security(&entry.security)?,
            evidence: self.evidence(&entry.evidence)?,
            since,
            until,
        })
    }

    fn day(&self, key: &str, day: &Spanned<String>) -> Result<Date, ConfigError> {
        day.value.parse().map_err(|_| {
            let text = &day.value;
            self.refused(day, format!("{key} {text}: write a day as in 2027-03-31"))
        })
    }

    fn between(&self, ends: &Spanned<Vec<Spanned<String>>>) -> Result<[IpNet; 2], ConfigError> {
        let [one, other] = ends.value.as_slice() else {
            let problem = "between: write two networks, as in [10.1.0.0/16, 10.2.0.0/16]";
            return Err(self.refused(ends, problem.to_owned()));
        };
        let net = |end: &Spanned<String>| {
            filter::network(&end.value)
                .map_err(|problem| self.refused(end, format!("between {}: {problem}", end.value)))
        };
        Ok([net(one)?, net(other)?])
    }

    fn security(&self, security: &Spanned<String>) -> Result<Link, ConfigError> {
        match security.value.as_str() {
            "wireguard" => Ok(Link::Wireguard),
            "ipsec" => Ok(Link::Ipsec),
            "other" => Ok(Link::Declared),
            text => {
                let problem = format!("security {text}: write wireguard, ipsec or other");
                Err(self.refused(security, problem))
            }
        }
    }

    fn evidence(&self, evidence: &Spanned<String>) -> Result<String, ConfigError> {
        let text = evidence.value.trim();
        if text.is_empty() || text.len() > LONGEST {
            let problem = format!("evidence: write how you know, in 1 to {LONGEST} bytes");
            return Err(self.refused(evidence, problem));
        }
        Ok(text.to_owned())
    }
}

/// The declarations of this file.
pub(super) fn read(path: &Path) -> Result<Vec<Declaration>, ConfigError> {
    parse(path, &text(path)?)
}

fn parse(path: &Path, text: &str) -> Result<Vec<Declaration>, ConfigError> {
    let entries: Vec<Entry> = yaml(path, text)?.unwrap_or_default();
    if entries.len() > MOST {
        let problem = format!("{} declarations: write at most {MOST}", entries.len());
        return Err(ConfigError { place: in_file(path, None), problem });
    }
    entries.iter().map(|entry| Source(path).declaration(entry)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = "- between: [10.1.0.0/16, \"fd00::/8\"]\n  security: wireguard\n  \
                         evidence: gw-a to gw-b, looked at by net-ops\n  until: 2027-03-31\n";

    fn parsed(text: &str) -> Result<Vec<Declaration>, String> {
        parse(Path::new("FILE"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn declarations_are_read() {
        let day = |text: &str| Some(text.parse().unwrap());
        let expect = Declaration {
            between: ["10.1.0.0/16", "fd00::/8"].map(|net| net.parse().unwrap()),
            link: Link::Wireguard,
            evidence: "gw-a to gw-b, looked at by net-ops".into(),
            since: None,
            until: day("2027-03-31"),
        };
        assert_eq!(parsed(WHOLE), Ok(vec![expect.clone()]));
        let other = WHOLE.replace("wireguard", "other").replace("until", "since");
        let since = Declaration {
            link: Link::Declared,
            since: expect.until,
            until: None,
            ..expect.clone()
        };
        assert_eq!(parsed(&[WHOLE, &other].concat()), Ok(vec![expect, since]));
        for nothing in ["", "# none yet\n", "[]\n"] {
            assert_eq!(parsed(nothing), Ok(vec![]), "{nothing:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let check = |from: &str, to: &str, expect: &str| {
            let text = WHOLE.replace(from, to);
            assert_ne!(text, WHOLE);
            assert_eq!(parsed(&text).unwrap_err(), expect, "{text}");
        };
        check(
            "\n  until: 2027-03-31",
            "",
            "FILE:2:13: no date: write until: YYYY-MM-DD, the last day on which somebody still \
             answers for it, or since:",
        );
        check("2027-03-31", "soon", "FILE:4:10: until soon: write a day as in 2027-03-31");
        check(
            "2027-03-31",
            "2027-02-30",
            "FILE:4:10: until 2027-02-30: write a day as in 2027-03-31",
        );
        check(
            "  until: 2027-03-31",
            "  since: 2027-03-31\n  until: 2027-03-30",
            "FILE:5:10: until 2027-03-30: this is before 2027-03-31",
        );
        check("wireguard", "tls", "FILE:2:13: security tls: write wireguard, ipsec or other");
        check(
            "gw-a to gw-b, looked at by net-ops",
            "' '",
            "FILE:3:13: evidence: write how you know, in 1 to 1024 bytes",
        );
        check(
            "[10.1.0.0/16, \"fd00::/8\"]",
            "[10.1.0.0/16]",
            "FILE:1:12: between: write two networks, as in [10.1.0.0/16, 10.2.0.0/16]",
        );
        check("evidence", "evidnce", "FILE:3:3: unknown key `evidnce`; did you mean `evidence`?");
        let error = parsed(&WHOLE.replace("10.1.0.0/16", "10.1.0.0/40")).unwrap_err();
        assert!(error.starts_with("FILE:1:13: between 10.1.0.0/40: "), "{error}");
        let error = parsed(&WHOLE.replace("  security: wireguard\n", "")).unwrap_err();
        assert_eq!(error, "FILE:3:3: missing field `security`");
        let many = WHOLE.repeat(MOST + 1);
        assert_eq!(parsed(&many).unwrap_err(), "FILE: 1025 declarations: write at most 1024");
    }
}
