//! Where FTP's control connection says that data will be sent.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};

use super::super::conversation::Conversation;

/// How many data connections of one control connection are told.
const MOST: usize = 256;

/// Where one end of a data connection listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataEnd {
    /// Its address; where it is not said, it is the server's of the control connection.
    pub address: Option<IpAddr>,
    /// Its port.
    pub port: u16,
}

/// What `PORT`, `EPRT`, and the answers 227 and 229 say (RFC 959, sections 4.1.2 and 4.2; RFC
/// 2428).
pub fn data_ends(control: &Conversation<'_>) -> Vec<DataEnd> {
    let lines = |bytes: &'_ [u8]| -> Vec<DataEnd> {
        bytes.split(|byte| *byte == b'\n').filter_map(line).take(MOST).collect()
    };
    let mut found = lines(control.client);
    found.extend(lines(control.server));
    found
}

fn line(line: &[u8]) -> Option<DataEnd> {
    let rest = |word: &[u8]| {
        let start = line.get(..word.len())?;
        start.eq_ignore_ascii_case(word).then(|| line.get(word.len()..)).flatten()
    };
    if let Some(numbers) = rest(b"PORT ").or_else(|| rest(b"227 ")) {
        return six(numbers);
    }
    rest(b"EPRT ").or_else(|| rest(b"229 ")).and_then(extended)
}

/// Four bytes of an address and two of a port, each in decimal.
fn six(text: &[u8]) -> Option<DataEnd> {
    let from = text.iter().position(u8::is_ascii_digit)?;
    let text = core::str::from_utf8(text.get(from..)?).ok()?;
    let end = text.find(|letter: char| !letter.is_ascii_digit() && letter != ',');
    let mut numbers = text.get(..end.unwrap_or(text.len()))?.split(',').map(str::parse::<u8>);
    let mut next = || numbers.next()?.ok();
    let address = Ipv4Addr::new(next()?, next()?, next()?, next()?);
    let port = u16::from_be_bytes([next()?, next()?]);
    Some(DataEnd { address: Some(address.into()), port })
}

/// `|family|address|port|` with any sign between; the first two may be empty.
fn extended(text: &[u8]) -> Option<DataEnd> {
    let from = text.iter().position(|byte| *byte == b'|')?;
    let text = core::str::from_utf8(text.get(from + 1..)?).ok()?;
    let mut parts = text.split('|');
    let (_, address, port) = (parts.next()?, parts.next()?, parts.next()?);
    let address = if address.is_empty() { None } else { Some(address.parse().ok()?) };
    Some(DataEnd { address, port: port.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_data_connections() {
        let check = |text: &str, expect: Option<(&str, u16)>| {
            let expect = expect.map(|(address, port)| DataEnd {
                address: (!address.is_empty()).then(|| address.parse().unwrap()),
                port,
            });
            assert_eq!(line(text.as_bytes()), expect, "{text:?}");
        };
        check("PORT 192,0,2,7,4,1\r", Some(("192.0.2.7", 1025)));
        check("227 Entering Passive Mode (192,0,2,9,200,13).\r", Some(("192.0.2.9", 51_213)));
        check("229 Entering Extended Passive Mode (|||6446|)\r", Some(("", 6446)));
        check("EPRT |2|2001:db8::7|5282|\r", Some(("2001:db8::7", 5282)));
        check("PORT 192,0,2,7,4\r", None);
        check("PORT 192,0,2,700,4,1\r", None);
        check("229 (|||66446|)\r", None);
        check("331 Password\r", None);
    }
}
