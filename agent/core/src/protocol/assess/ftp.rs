//! Where FTP's control connection says that data will be sent (RFC 959, sections 4.1.2 and 4.2; RFC
//! 2428).

use alloc::vec::Vec;

use super::super::conversation::Side;

/// The ports on which one end of a control connection says that it listens for data. Addresses
/// beside them are those from before any translation, so they tell nothing.
pub fn data_ports(side: Side, said: &[u8]) -> impl Iterator<Item = u16> {
    let port = match side {
        Side::Client => active,
        Side::Server => passive,
    };
    lines(said).filter_map(port)
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = &str> {
    bytes
        .split(|byte| *byte == b'\n')
        .filter_map(|line| core::str::from_utf8(line).ok())
        .map(str::trim)
}

/// `PORT h1,h2,h3,h4,p1,p2` or `EPRT |1|address|port|`.
fn active(line: &str) -> Option<u16> {
    let (verb, rest) = line.split_once(' ')?;
    if verb.eq_ignore_ascii_case("PORT") {
        return port(rest);
    }
    verb.eq_ignore_ascii_case("EPRT").then(|| extended(rest))?
}

/// `227 … (h1,h2,h3,h4,p1,p2)` or `229 … (|||port|)`, whose brackets not all servers write.
fn passive(line: &str) -> Option<u16> {
    if let Some(text) = line.strip_prefix("227 ") {
        return port(text.trim_start_matches(|c: char| !c.is_ascii_digit()));
    }
    extended(line.strip_prefix("229 ")?.split_once('(')?.1)
}

/// Six numbers, of which the last two are a port.
fn port(text: &str) -> Option<u16> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != ',').unwrap_or(text.len());
    let numbers: Vec<u8> = text.get(..end)?.split(',').map_while(|n| n.parse().ok()).collect();
    let [_, _, _, _, high, low] = numbers[..] else { return None };
    Some(u16::from_be_bytes([high, low]))
}

/// The third field between separators, of which the first character is one.
fn extended(text: &str) -> Option<u16> {
    let separator = text.chars().next()?;
    text.split(separator).nth(3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_may_listen() {
        let check = |line: &str, expect| assert_eq!(active(line), expect, "{line}");
        check("PORT 192,0,2,1,195,80", Some(50_000));
        check("port 192,0,2,1,0,20", Some(20));
        check("EPRT |1|192.0.2.1|50000|", Some(50_000));
        check("EPRT |2|2001:db8::1|50000|", Some(50_000));
        check("PORT 192,0,2,1,256,80", None);
        check("PORT 1,2", None);
        check("EPRT |1|192.0.2.1|70000|", None);
        check("RETR PORT 192,0,2,1,195,80", None);
        check("EPRT ", None);
    }

    #[test]
    fn the_server_may_listen() {
        let check = |line: &str, expect| assert_eq!(passive(line), expect, "{line}");
        check("227 Entering Passive Mode (192,0,2,2,195,80).", Some(50_000));
        check("227 Entering Passive Mode 192,0,2,2,195,80", Some(50_000));
        check("229 Entering Extended Passive Mode (|||50000|)", Some(50_000));
        check("229 Entering Extended Passive Mode", None);
        check("227 =", None);
        check("220 (192,0,2,2,195,80)", None);
    }
}
