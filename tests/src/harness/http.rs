//! A client for one request, over nothing but a socket: it shares no code with what it tests.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
};

use serde_json::Value;

use super::wait;

/// What a server answered.
#[derive(Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Header names in lower case, with their values.
    pub headers: Vec<(String, String)>,
    /// The body as text.
    pub body: String,
}

// === impl Response ===

impl Response {
    /// A header's value; empty where there is none.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        let header = self.headers.iter().find(|(header, _)| header == name);
        header.map_or("", |(_, value)| value)
    }

    /// The body as JSON.
    ///
    /// # Panics
    ///
    /// If it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {}", self.body))
    }
}

/// Asks `server` for `path`.
///
/// # Errors
///
/// If there is no answer, or it cannot be read (RFC 9112).
pub fn get(server: SocketAddr, path: &str) -> Result<Response, String> {
    get_as(server, path, &server.to_string())
}

/// The same, for the host of this name.
///
/// # Errors
///
/// As [`get`].
pub fn get_as(server: SocketAddr, path: &str, host: &str) -> Result<Response, String> {
    let failed = |error: std::io::Error| format!("GET {path}: {error}");
    let mut stream = TcpStream::connect(server).map_err(failed)?;
    stream.set_read_timeout(Some(wait::patience())).map_err(failed)?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(failed)?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).map_err(failed)?;
    response(&bytes).ok_or_else(|| {
        format!("GET {path}: no HTTP response: {:?}", String::from_utf8_lossy(&bytes))
    })
}

fn response(bytes: &[u8]) -> Option<Response> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let headers: Vec<(String, String)> = lines
        .map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value.trim().to_owned()))
        })
        .collect::<Option<_>>()?;
    let mut response = Response { status, headers, body: String::new() };
    let body = &bytes[end + 4..];
    let body = match response.header("transfer-encoding") {
        "chunked" => unchunked(body)?,
        _ => body.to_vec(),
    };
    response.body = String::from_utf8(body).ok()?;
    Some(response)
}

/// A body in chunks (RFC 9112, section 7.1), put together.
fn unchunked(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = bytes.windows(2).position(|window| window == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).ok()?, 16).ok()?;
        let chunk = bytes.get(end + 2..end + 2 + size)?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(chunk);
        bytes = bytes.get(end + 2 + size + 2..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::response;

    #[test]
    fn bodies_plain_and_in_chunks() {
        let check = |text: &str, status: u16, body: &str| {
            let response = response(text.as_bytes()).expect("a response");
            assert_eq!((response.status, response.body.as_str()), (status, body), "{text}");
        };
        check("HTTP/1.1 200 OK\r\nA: b\r\n\r\nbody", 200, "body");
        check(
            "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
            404,
            "abc",
        );
        assert!(response(b"HTTP/1.1 200 OK\r\n").is_none());
    }
}
