//! Which connections somebody follows, and how that is written.
//!
//! The command line and the query of `flows` take the same words, so that a refusal reads alike.

use std::{net::IpAddr, num::NonZeroU32, time::Duration};

use ipnet::IpNet;
use plainsight_core::{
    protocol::{Security, Transport},
    record::Decision,
};

/// Which connections somebody follows: all that is set must fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlowFilter {
    /// The server's port.
    pub port: Option<u16>,
    /// A network that one end's address lies in.
    pub cidr: Option<IpNet>,
    /// The name of a workload at one end.
    pub workload: Option<String>,
    /// What carries the payload.
    pub transport: Option<Transport>,
    /// What protects it: one of these, or anything where there are none.
    pub security: Vec<Security>,
    /// Whether payload in the clear must have been seen.
    pub plaintext: bool,
    /// What the policy says.
    pub verdict: Option<Decision>,
    /// Shortest time from its beginning to its end.
    pub min_duration: Option<Duration>,
    /// Fewest payload bytes in both directions together.
    pub min_bytes: Option<u64>,
    /// One connection of so many, by chance.
    pub sample: Option<NonZeroU32>,
}

/// What a query may hold beside `follow`.
const KEYS: &str = "port, cidr, workload, transport, security, plaintext, verdict, min_duration, \
                    min_bytes and sample";

// === impl FlowFilter ===

impl FlowFilter {
    /// Takes in one pair of a query. The error says what to write instead.
    pub(super) fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        let set = match key {
            "port" => port(value).map(|port| self.port = Some(port)),
            "cidr" => network(value).map(|cidr| self.cidr = Some(cidr)),
            "workload" => workload(value).map(|name| self.workload = Some(name)),
            "transport" => transport(value).map(|transport| self.transport = Some(transport)),
            "security" => value
                .split(',')
                .map(security)
                .collect::<Result<_, _>>()
                .map(|security| self.security = security),
            "plaintext" => truth(value).map(|plaintext| self.plaintext = plaintext),
            "verdict" => verdict(value).map(|verdict| self.verdict = Some(verdict)),
            "min_duration" => duration(value).map(|least| self.min_duration = Some(least)),
            "min_bytes" => bytes(value).map(|least| self.min_bytes = Some(least)),
            "sample" => sample(value).map(|sample| self.sample = Some(sample)),
            _ => return Err(format!("unknown key {key:?}; flows takes follow, {KEYS}")),
        };
        set.map_err(|instead| format!("{key}={value}: {instead}"))
    }

    /// The same as pairs of a query, those that are set.
    pub fn pairs(&self) -> Vec<(&'static str, String)> {
        let security: Vec<&str> = self.security.iter().map(|security| security.name()).collect();
        let security = (!security.is_empty()).then(|| security.join(","));
        let duration = |least| humantime::format_duration(least).to_string();
        [
            ("port", self.port.map(|port| port.to_string())),
            ("cidr", self.cidr.map(|cidr| cidr.to_string())),
            ("workload", self.workload.clone()),
            ("transport", self.transport.map(|transport| transport.name().to_owned())),
            ("security", security),
            ("plaintext", self.plaintext.then(|| "true".to_owned())),
            ("verdict", self.verdict.map(|verdict| verdict.name().to_owned())),
            ("min_duration", self.min_duration.map(duration)),
            ("min_bytes", self.min_bytes.map(|least| least.to_string())),
            ("sample", self.sample.map(|sample| sample.to_string())),
        ]
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?)))
        .collect()
    }

    /// Whether anything can fit. The error says what to change.
    pub fn check(&self) -> Result<(), String> {
        let is_protected = !self.security.is_empty() && !self.security.contains(&Security::None);
        if self.plaintext && is_protected {
            return Err("what is protected is not in the clear: leave out plaintext, or add none \
                        to security"
                .to_owned());
        }
        Ok(())
    }
}

fn truth(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| "write true or false".to_owned())
}

fn port(text: &str) -> Result<u16, String> {
    let port = text.parse().ok().filter(|port| *port != 0);
    port.ok_or_else(|| "write a number from 1 to 65535".to_owned())
}

/// A network, or a single address.
pub(crate) fn network(text: &str) -> Result<IpNet, String> {
    let address = || text.parse::<IpAddr>().map(IpNet::from);
    let network = text.parse::<IpNet>().or_else(|_| address());
    network.map(|network| network.trunc()).map_err(|_| {
        "write an address and a prefix length, as in 10.0.0.0/8 or fd00::/8".to_owned()
    })
}

fn workload(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("write its name, or leave it out".to_owned());
    }
    Ok(text.to_owned())
}

pub(crate) fn transport(text: &str) -> Result<Transport, String> {
    Transport::from_name(text).ok_or_else(|| "write tcp or udp".to_owned())
}

pub(crate) fn security(text: &str) -> Result<Security, String> {
    Security::from_name(text).ok_or_else(|| {
        let names = Security::ALL.map(Security::name).join(", ");
        format!("write one or more of {names}, with commas between them")
    })
}

pub(crate) fn verdict(text: &str) -> Result<Decision, String> {
    Decision::from_name(text)
        .ok_or_else(|| format!("write one of {}", Decision::ALL.map(Decision::name).join(", ")))
}

/// Of any length that can be measured.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).ok();
    let duration = duration.filter(|duration| u64::try_from(duration.as_nanos()).is_ok());
    duration.ok_or_else(|| "write a number with its unit, as in 250ms or 5s".to_owned())
}

fn bytes(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "write a number of bytes, as in 1048576".to_owned())
}

fn sample(text: &str) -> Result<NonZeroU32, String> {
    text.parse().map_err(|_| "write of how many connections one is taken, as in 100".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(pairs: &[(&str, &str)]) -> Result<FlowFilter, String> {
        let mut filter = FlowFilter::default();
        for (key, value) in pairs {
            filter.set(key, value)?;
        }
        Ok(filter)
    }

    #[test]
    fn what_is_written_is_read() {
        let all = FlowFilter {
            port: Some(8080),
            cidr: Some("10.0.0.0/8".parse().unwrap()),
            workload: Some("nginx".into()),
            transport: Some(Transport::Udp),
            security: vec![Security::None, Security::Quic],
            plaintext: true,
            verdict: Some(Decision::WouldDeny),
            min_duration: Some(Duration::from_millis(1250)),
            min_bytes: Some(1 << 40),
            sample: NonZeroU32::new(100),
        };
        let pairs = all.pairs();
        assert_eq!(pairs.len(), 10);
        let pairs: Vec<_> = pairs.iter().map(|(key, value)| (*key, value.as_str())).collect();
        assert_eq!(filter(&pairs), Ok(all));
        assert_eq!(FlowFilter::default().pairs(), []);
    }

    #[test]
    fn refusals_say_what_to_write_instead() {
        let check = |key: &str, value: &str, part: &str| {
            let error = filter(&[(key, value)]).unwrap_err();
            assert!(error.contains(part), "{key}: {error}");
        };
        check("port", "0", "port=0: write a number from 1 to 65535");
        check("cidr", "10.0.0.0/33", "as in 10.0.0.0/8");
        check("workload", "", "write its name");
        check("transport", "sctp", "write tcp or udp");
        check("transport", "unknown", "write tcp or udp");
        check("security", "tls,ssl", "one or more of none, tls, dtls, quic, ssh, wireguard, ipsec");
        check("security", "", "with commas");
        check("plaintext", "yes", "write true or false");
        check("verdict", "deny", "one of allowed, denied, would_deny");
        check("min_duration", "5", "as in 250ms");
        check("min_duration", "600years", "as in 250ms");
        check("min_bytes", "1k", "as in 1048576");
        check("min_bytes", "-1", "as in 1048576");
        check("sample", "0", "as in 100");
        check("sort", "asc", "flows takes follow, port, cidr");
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let check = |security: &str, plaintext: &str, fits: bool| {
            let pairs = [("security", security), ("plaintext", plaintext)];
            assert_eq!(filter(&pairs).unwrap().check().is_ok(), fits, "{security} {plaintext}");
        };
        check("none", "true", true);
        check("none,tls", "true", true);
        check("tls,ssh", "true", false);
        check("tls,ssh", "false", true);
        assert!(filter(&[("plaintext", "true")]).unwrap().check().is_ok());
    }
}
