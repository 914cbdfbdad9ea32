//! Captures written by the tests, and what comes of them.

mod packets;

use std::io::Cursor;

use packets::*;
use plainsight_core::{finding::Kind, record::Close};
use proptest::prelude::*;

use super::*;

const GET: &[u8] = b"GET / HTTP/1.1\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// Link types.
const NULL: u32 = 0;
const ETHERNET: u32 = 1;
const RAW: u32 = 101;

fn read_bytes(file: Vec<u8>) -> Replayed {
    read("test.pcap".into(), Cursor::new(file))
}

/// One line for each stream, then what was refused, then the error.
fn told(file: Vec<u8>) -> String {
    let replayed = read_bytes(file);
    let stream = |stream: &Stream| {
        let close = stream.close.map_or("open", Close::name);
        let join = if stream.is_whole { "whole" } else { "late" };
        format!(
            "{} {} > {} {join} {}/{} {close} {}\n",
            stream.carrier.name(),
            stream.client,
            stream.server,
            stream.bytes_sent,
            stream.bytes_received,
            stream.reading().protocol,
        )
    };
    let mut told: String = replayed.streams.iter().map(stream).collect();
    for (why, n) in &replayed.refused {
        told += &format!("{n} {}\n", why.name());
    }
    told + &replayed.error.map(|error| format!("{error}\n")).unwrap_or_default()
}

/// The packets of an exchange of HTTP, from the SYN to the FIN of both ends.
fn http() -> Vec<Vec<u8>> {
    let (n, m) = (GET.len() as u32, OK.len() as u32);
    let there =
        |seq, ack, flags, payload| ipv4(1, 2, 6, &tcp((40_000, 8080), seq, ack, flags, payload));
    let back =
        |seq, ack, flags, payload| ipv4(2, 1, 6, &tcp((8080, 40_000), seq, ack, flags, payload));
    vec![
        there(100, 0, SYN, &[]),
        back(500, 101, SYN | ACK, &[]),
        there(101, 501, ACK, &[]),
        there(101, 501, ACK, GET),
        back(501, 101 + n, ACK, OK),
        there(101 + n, 501 + m, ACK | FIN, &[]),
        back(501 + m, 102 + n, ACK | FIN, &[]),
    ]
}

const HTTP: &str = "tcp 192.0.2.1:40000 > 192.0.2.2:8080 whole 18/38 fin http\n";

fn wrapped(wrap: impl Fn(&[u8]) -> Vec<u8>) -> Vec<Vec<u8>> {
    http().iter().map(|packet| wrap(packet)).collect()
}

#[test]
fn what_the_ends_said_is_shown() {
    let mut shown = Vec::new();
    let end = show(Cursor::new(usual(RAW, &http())), |said| {
        let Said::Tcp(said) = said else { panic!("{said:?}") };
        shown.push((said.client.to_vec(), said.server.to_vec(), said.turns.len()));
    });
    assert!(end.is_ok(), "{end:?}");
    assert_eq!(shown, [(GET.to_vec(), OK.to_vec(), 2)]);
    let foreign = show(Cursor::new(b"text"), |said| panic!("{said:?}"));
    assert!(matches!(foreign, Err(FileError::Foreign)), "{foreign:?}");
}

#[test]
fn every_link_leads_to_the_same_stream() {
    let check = |link: u32, wrap: &dyn Fn(&[u8]) -> Vec<u8>| {
        assert_eq!(told(usual(link, &wrapped(wrap))), HTTP, "link {link}");
    };
    let before = |head: &'static [u8]| move |packet: &[u8]| [head, packet].concat();
    check(ETHERNET, &|packet| ethernet(0x0800, packet));
    check(ETHERNET, &|packet| ethernet(0x8100, &before(&[0, 7, 8, 0])(packet)));
    let qinq = before(&[0, 7, 0x81, 0, 0, 9, 8, 0]);
    check(ETHERNET, &|packet| ethernet(0x88a8, &qinq(packet)));
    let labels = before(&[0, 1, 0x10, 64, 0, 2, 0x11, 64]);
    check(ETHERNET, &|packet| ethernet(0x8847, &labels(packet)));
    let session = before(&[0x11, 0, 0, 1, 0, 0, 0, 0x21]);
    check(ETHERNET, &|packet| ethernet(0x8864, &session(packet)));
    let snap = before(&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0]);
    check(ETHERNET, &|packet| ethernet(60, &snap(packet)));
    for raw in [12, 14, RAW, 228] {
        check(raw, &|packet| packet.to_vec());
    }
    check(NULL, &before(&[2, 0, 0, 0]));
    check(NULL, &before(&[0, 0, 0, 2]));
    check(108, &before(&[0, 0, 0, 2]));
    check(9, &before(&[0xff, 3, 0, 0x21]));
    check(9, &before(&[0, 0x21]));
    check(9, &before(&[0x21]));
    check(50, &before(&[0xff, 3, 0, 0x21]));
    check(51, &before(&[0x11, 0, 0, 1, 0, 0, 0, 0x21]));
    check(104, &before(&[0x0f, 0, 8, 0]));
    check(113, &before(&[0, 0, 0, 1, 0, 6, 2, 2, 2, 2, 2, 2, 0, 0, 8, 0]));
    check(276, &before(&[8, 0, 0, 0, 0, 0, 0, 2, 0, 1, 0, 6, 2, 2, 2, 2, 2, 2, 0, 0]));
    // The upper bits say that a checksum stands behind each frame.
    check(ETHERNET | 0x1400_0000, &|packet| [&ethernet(0x0800, packet)[..], &[1; 4]].concat());
}

#[test]
fn what_is_no_ip_is_counted() {
    let frames = [
        ethernet(0x0806, &[0; 28]),
        ethernet(0x0800, &[]),
        vec![1, 2, 3],
        ethernet(0x0800, &ipv4(1, 2, 1, &[8, 0, 0, 0])),
        ethernet(0x0800, &ipv4(1, 2, 132, &[0; 12])),
    ];
    let expect = "1 not_ip\n2 short\n1 no_stream\n1 unknown_transport\n";
    assert_eq!(told(usual(ETHERNET, &frames)), expect);
    assert_eq!(told(usual(147, &frames)), "5 unknown_link\n");
}

#[test]
fn pcap_of_either_order_and_resolution() {
    for order in [Order::Little, Order::Big] {
        for (magic, ns) in [(0xa1b2_c3d4_u32, 7000), (0xa1b2_3c4d, 7)] {
            let file = pcap(order, magic, RAW, &http());
            assert_eq!(told(file.clone()), HTTP, "{order:?} {magic:x}");
            let [stream] = &read_bytes(file).streams[..] else { panic!("one stream") };
            let times = [stream.first, stream.last].map(|time| time.as_nanosecond());
            assert_eq!(times, [1_000_000_000 + ns, 7_000_000_000 + ns], "{order:?} {magic:x}");
        }
    }
}

#[test]
fn pcapng_of_either_order_with_sections_and_interfaces() {
    let mut file = Vec::new();
    let packets = http();
    for (order, half) in [(Order::Little, &packets[..4]), (Order::Big, &packets[4..])] {
        file.extend(section(order));
        file.extend(interface(order, 1, None));
        file.extend(interface(order, 101, Some(9)));
        file.extend(block(order, 0x4000_0bad, &[1, 2, 3]));
        for packet in half {
            file.extend(enhanced(order, 1, 5_000_000_003, packet));
        }
    }
    assert_eq!(told(file.clone()), HTTP);
    let first = read_bytes(file).streams[0].first;
    assert_eq!(first.as_nanosecond(), 5_000_000_003);
}

#[test]
fn time_stamps_have_the_resolution_of_their_interface() {
    let check = |resolution, units, ns| {
        let order = Order::Little;
        let frame = enhanced(order, 0, units, &http()[0]);
        let file = [section(order), interface(order, 101, resolution), frame].concat();
        let [stream] = &read_bytes(file).streams[..] else { panic!("one stream") };
        assert_eq!(stream.first.as_nanosecond(), ns, "{resolution:?}");
    };
    check(None, 3_000_001, 3_000_001_000);
    check(Some(6), 3_000_001, 3_000_001_000);
    check(Some(9), 3_000_000_001, 3_000_000_001);
    check(Some(3), 3_001, 3_001_000_000);
    check(Some(0x80 | 10), 3 << 10 | 512, 3_500_000_000);
    // No time that there is.
    check(Some(0), u64::MAX, 0);
    // No resolution that there is.
    check(Some(0x7f), 3_000_001, 3_000_001_000);
}

#[test]
fn a_simple_packet_has_no_time() {
    let order = Order::Big;
    let packet = &http()[0];
    let body = [&order.u32(packet.len() as u32)[..], packet].concat();
    let file = [section(order), interface(order, 101, None), block(order, 3, &body)].concat();
    assert_eq!(told(file), "tcp 192.0.2.1:40000 > 192.0.2.2:8080 whole 0/0 open unknown\n");
}

#[test]
fn an_empty_capture_is_fine() {
    assert_eq!(told(usual(ETHERNET, &[])), "");
    assert_eq!(told(section(Order::Big)), "");
}

#[test]
fn what_is_no_capture_says_so() {
    for file in [&b""[..], b"\xd4\xc3", b"capture\tsrc\tsport"] {
        assert_eq!(told(file.to_vec()), "it is neither pcap nor pcapng\n");
    }
}

#[test]
fn a_cut_file_gives_its_streams_and_where_it_is_cut() {
    let cut = "a block is longer than the rest of the file; what stands before it was read";
    let whole = usual(RAW, &http());
    // The header, five frames, and the sixth cut by a byte.
    let start: usize = 24 + http()[..5].iter().map(|packet| 16 + packet.len()).sum::<usize>();
    let mut file = whole.clone();
    file.truncate(start + 16 + http()[5].len() - 1);
    let open = "tcp 192.0.2.1:40000 > 192.0.2.2:8080 whole 18/38 open http\n";
    assert_eq!(told(file), format!("{open}damaged at byte {start}: {cut}\n"));
    let what = "its header is cut or malformed; what stands before it was read";
    assert_eq!(told(whole[..23].to_vec()), format!("damaged at byte 0: {what}\n"));
}

#[test]
fn a_malformed_block_gives_what_stands_before_it() {
    let order = Order::Little;
    let good = [section(order), interface(order, 101, None), enhanced(order, 0, 1, &http()[0])];
    let good = good.concat();
    let syn = "tcp 192.0.2.1:40000 > 192.0.2.2:8080 whole 0/0 open unknown\n";
    let check = |bad: Vec<u8>, what: &str| {
        let expect = format!(
            "{syn}damaged at byte {}: {what}; what stands before it was read\n",
            good.len()
        );
        assert_eq!(told([&good[..], &bad].concat()), expect);
    };
    let undescribed = "a frame of an interface that was not described";
    check(enhanced(order, 1, 1, &http()[1]), undescribed);
    check([&[6, 0, 0, 0, 8, 0, 0, 0][..], &[0; 40]].concat(), "a block is malformed");
    let long = "a block is longer than the rest of the file";
    check([6, 0, 0, 0, 0xf0, 0xff, 0xff, 0xff, 0].to_vec(), long);
    let endless = [&[6, 0, 0, 0, 0xf0, 0xff, 0xff, 0xff][..], &vec![0; 17 << 20]].concat();
    check(endless, "a block is longer than can be");
}

#[test]
fn a_long_block_is_read() {
    let order = Order::Little;
    let secrets = block(order, 0x4000_0bad, &vec![7; 3 << 20]);
    let start = [section(order), interface(order, 101, None), secrets].concat();
    let frames = http().iter().flat_map(|packet| enhanced(order, 0, 1, packet)).collect();
    assert_eq!(told([start, frames].concat()), HTTP);
}

#[test]
fn padding_is_no_payload_and_offload_leaves_no_length() {
    let mut frames: Vec<Vec<u8>> = wrapped(|packet| ethernet(0x0800, packet));
    for frame in &mut frames {
        frame.resize(frame.len().max(60), 0);
    }
    assert_eq!(told(usual(ETHERNET, &frames)), HTTP);
    let mut packets = http();
    packets[4][2..4].fill(0);
    assert_eq!(told(usual(RAW, &packets)), HTTP);
}

#[test]
fn the_same_ports_are_used_again() {
    let mut packets = http();
    let again = packets.iter().map(|packet| {
        let mut packet = packet.clone();
        // Another initial sequence number of the client's.
        let client = packet[15] == 1;
        let at = if client { 24 } else { 28 };
        packet[at] = packet[at].wrapping_add(1);
        packet
    });
    let again: Vec<Vec<u8>> = again.collect();
    // A retransmitted SYN begins nothing.
    packets.insert(1, packets[0].clone());
    packets.extend(again);
    assert_eq!(told(usual(RAW, &packets)), HTTP.repeat(2));
}

#[test]
fn fragments_are_put_together() {
    let name = [&[34][..], &[b'x'; 34], &[0]].concat();
    let query = [&[0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], &name, &[0, 1, 0, 1]].concat();
    let datagram = udp((5000, 53), &query);
    let part = |from: usize, to: usize| {
        let more = if to < datagram.len() { 0x2000 } else { 0 };
        fragment4(1, 2, 17, 77, more | (from / 8) as u16, &datagram[from..to])
    };
    let expect = "udp 192.0.2.1:5000 > 192.0.2.2:53 whole 52/0 open dns\n";
    let parts = [part(0, 24), part(24, 48), part(48, 60)];
    assert_eq!(told(usual(RAW, &parts)), expect);
    let parts = [part(48, 60), part(16, 48), part(0, 24), part(24, 48)];
    assert_eq!(told(usual(RAW, &parts)), format!("{expect}1 fragment\n"), "overlapping");
    let parts = [part(0, 24), part(48, 60)];
    assert_eq!(told(usual(RAW, &parts)), format!("{expect}1 fragment\n"), "its start is known");
    let parts = [part(24, 48), part(48, 60)];
    assert_eq!(told(usual(RAW, &parts)), "2 fragment\n");
}

#[test]
fn headers_of_ipv6_are_passed_by() {
    let datagram =
        udp((5000, 53), &[0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 97, 0, 0, 1, 0, 1]);
    let of = |next, payload: &[u8]| ipv6("2001:db8::1", "2001:db8::2", next, payload);
    let expect = "udp [2001:db8::1]:5000 > [2001:db8::2]:53 whole 19/0 open dns\n";
    let options = [&[60, 0, 1, 4, 0, 0, 0, 0][..], &[17, 0, 1, 4, 0, 0, 0, 0], &datagram].concat();
    assert_eq!(told(usual(229, &[of(0, &options)])), expect);
    let part = |from: usize, to: usize| {
        let more = u8::from(to < datagram.len());
        let head = [17, 0, 0, from as u8 | more, 0, 0, 0, 9];
        of(44, &[&head[..], &datagram[from..to]].concat())
    };
    assert_eq!(told(usual(229, &[part(0, 16), part(16, 27)])), expect);
}

#[test]
fn what_is_in_tunnels_is_seen() {
    let check = |outer: &str, wrap: &dyn Fn(&[u8]) -> Vec<u8>| {
        let told = told(usual(RAW, &wrapped(wrap)));
        assert_eq!(told, format!("{outer}{HTTP}"));
    };
    let before = |head: &'static [u8]| move |packet: &[u8]| [head, packet].concat();
    check("", &|packet| ipv4(8, 9, 4, packet));
    check("", &|packet| ipv4(8, 9, 47, &before(&[0, 0, 8, 0])(packet)));
    let keyed = before(&[0xb0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 1]);
    check("", &|packet| ipv4(8, 9, 47, &keyed(packet)));
    let outer = |ports: (u16, u16), each: usize| {
        let sum: usize = http().iter().map(|packet| packet.len() + each).sum();
        format!("udp 192.0.2.8:{} > 192.0.2.9:{} whole {sum}/0 open unknown\n", ports.0, ports.1)
    };
    let vxlan = |packet: &[u8]| {
        let inner = [&[8, 0, 0, 0, 0, 0, 7, 0][..], &ethernet(0x0800, packet)].concat();
        ipv4(8, 9, 17, &udp((5000, 4789), &inner))
    };
    check(&outer((5000, 4789), 22), &vxlan);
    let gtp = before(&[0x30, 0xff, 0, 0, 0, 0, 0, 1]);
    check(&outer((2152, 2152), 8), &|packet| ipv4(8, 9, 17, &udp((2152, 2152), &gtp(packet))));
    let etherip = |packet: &[u8]| [&[0x30, 0][..], &ethernet(0x0800, packet)].concat();
    check("", &|packet| ipv4(8, 9, 97, &etherip(packet)));
    let geneve = before(&[1, 0, 8, 0, 0, 0, 7, 0, 1, 2, 0x83, 0]);
    check(&outer((5000, 6081), 12), &|packet| ipv4(8, 9, 17, &udp((5000, 6081), &geneve(packet))));
    let extended = before(&[0x34, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0x85, 1, 0x10, 9, 0]);
    check(&outer((2152, 2152), 16), &|packet| {
        ipv4(8, 9, 17, &udp((2152, 2152), &extended(packet)))
    });
    let tzsp = |packet: &[u8]| {
        let inner = [&[1, 0, 0, 1, 0, 0x0a, 1, 7, 1][..], &ethernet(0x0800, packet)].concat();
        ipv4(8, 9, 17, &udp((45_000, 37_008), &inner))
    };
    check(&outer((45_000, 37_008), 23), &tzsp);
    let nested = |packet: &[u8]| (0..9).fold(packet.to_vec(), |packet, _| ipv4(8, 9, 4, &packet));
    assert_eq!(told(usual(RAW, &[nested(&http()[0])])), "1 unknown_transport\n", "too deep");
}

#[test]
fn teredo_carries_ipv6() {
    let inner = ipv6("2001:db8::1", "2001:db8::2", 17, &udp((5000, 5001), b"x"));
    let check = |head: &[u8]| {
        let outer = ipv4(8, 9, 17, &udp((3544, 3544), &[head, &inner].concat()));
        let told = told(usual(RAW, &[outer]));
        let inside = "udp [2001:db8::1]:5000 > [2001:db8::2]:5001 whole 1/0 open unknown\n";
        assert!(told.ends_with(inside), "{told}");
    };
    check(&[]);
    check(&[0, 0, 1, 2, 3, 4, 5, 6]);
    check(&[0, 1, 2, 1, 9, 9, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6]);
}

#[test]
fn ipsec_has_no_ports() {
    let authenticated = [&[6, 4, 0, 0][..], &[0; 20], &http()[0][20..]].concat();
    let packets =
        [ipv4(1, 2, 50, &[7; 40]), ipv4(2, 1, 50, &[7; 36]), ipv4(1, 2, 51, &authenticated)];
    let expect = "esp 192.0.2.1:0 > 192.0.2.2:0 whole 40/36 open esp\n\
                  ah 192.0.2.1:0 > 192.0.2.2:0 whole 20/0 open ah\n\
                  tcp 192.0.2.1:40000 > 192.0.2.2:8080 whole 0/0 open unknown\n";
    assert_eq!(told(usual(RAW, &packets)), expect);
}

#[test]
fn who_answers_from_a_service_is_the_server() {
    let check = |from, to, expect: &str| {
        let packet = ipv4(1, 2, 17, &udp((from, to), b"?"));
        assert_eq!(
            told(usual(RAW, &[packet])),
            format!(
                "udp {expect} whole {} open unknown\n",
                if expect.starts_with("192.0.2.1") { "1/0" } else { "0/1" }
            )
        );
    };
    check(5000, 53, "192.0.2.1:5000 > 192.0.2.2:53");
    check(53, 5000, "192.0.2.2:5000 > 192.0.2.1:53");
    check(3478, 48_094, "192.0.2.2:48094 > 192.0.2.1:3478");
    check(789, 2049, "192.0.2.1:789 > 192.0.2.2:2049");
    check(40_000, 50_000, "192.0.2.1:40000 > 192.0.2.2:50000");
}

#[test]
fn ftp_says_where_its_data_goes() {
    let there =
        |ports, seq, flags, payload: &[u8]| ipv4(1, 2, 6, &tcp(ports, seq, 501, flags, payload));
    let back =
        |ports, seq, flags, payload: &[u8]| ipv4(2, 1, 6, &tcp(ports, seq, 101, flags, payload));
    let packets = [
        there((40_000, 21), 100, SYN, b""),
        back((21, 40_000), 500, SYN | ACK, b""),
        back((21, 40_000), 501, ACK, b"220 ready\r\n"),
        there((40_000, 21), 101, ACK, b"USER x\r\n"),
        back((21, 40_000), 512, ACK, b"331 password\r\n"),
        there((40_000, 21), 109, ACK, b"PASV\r\n"),
        // The address is the server's own, from before its translation.
        back((21, 40_000), 526, ACK, b"227 Entering Passive Mode (10,0,0,2,195,80)\r\n"),
        there((40_001, 50_000), 100, SYN, b""),
        back((50_000, 40_001), 500, SYN | ACK, b""),
        back((50_000, 40_001), 501, ACK, &[0xde, 0xad, 0xbe, 0xef, 9, 9, 9]),
        there((40_002, 50_001), 100, SYN, b""),
        back((50_001, 40_002), 500, SYN | ACK, b""),
        back((50_001, 40_002), 501, ACK, &[0xde, 0xad, 0xbe, 0xef, 9, 9, 9]),
    ];
    let expect = "tcp 192.0.2.1:40000 > 192.0.2.2:21 whole 14/70 open ftp\n\
                  tcp 192.0.2.1:40001 > 192.0.2.2:50000 whole 0/7 open ftp-data\n\
                  tcp 192.0.2.1:40002 > 192.0.2.2:50001 whole 0/7 open unknown\n";
    assert_eq!(told(usual(RAW, &packets)), expect);
}

#[test]
fn labels_are_one_line_for_each_stream() {
    let lines = labels::lines(&read_bytes(usual(RAW, &http())));
    let expect = "test.pcap\t192.0.2.1\t40000\t192.0.2.2\t8080\ttcp\thttp\tplaintext\t\t\t\t\n";
    assert_eq!(lines, expect);
    assert_eq!(labels::HEADER.matches('\t').count(), expect.matches('\t').count());
}

#[test]
fn names_of_files_break_no_line() {
    let replayed = read("a\tb\n.pcap".into(), Cursor::new(usual(RAW, &http())));
    assert!(labels::lines(&replayed).starts_with("a\\x09b\\x0a.pcap\t192.0.2.1\t"));
}

#[test]
fn flows_have_hubbles_keys() {
    let lines = flows::lines(&read_bytes(usual(RAW, &http()))).unwrap();
    let record: serde_json::Value = serde_json::from_str(&lines).unwrap();
    let at = |path: &str| record.pointer(path).unwrap_or_else(|| panic!("{path}")).clone();
    assert_eq!(at("/flow/IP/source"), "192.0.2.1");
    assert_eq!(at("/flow/l4/TCP/destination_port"), 8080);
    assert_eq!(at("/flow/destination/workloads/0/name"), "192.0.2.2");
    assert_eq!(at("/flow/Summary"), "TCP 192.0.2.1 → 192.0.2.2:8080 http");
    assert_eq!(at("/time"), "1970-01-01T00:00:07.000007Z");
    assert_eq!(at("/plainsight/capture"), "test.pcap");
    assert_eq!(
        (at("/plainsight/bytes_sent"), at("/plainsight/bytes_received")),
        (18.into(), 38.into())
    );
    assert_eq!(at("/plainsight/duration_seconds"), 6.0);
    assert_eq!(
        (at("/plainsight/security"), at("/plainsight/state")),
        ("none".into(), "plaintext".into())
    );
    assert_eq!(at("/plainsight/close"), "fin");
}

#[test]
fn streams_add_up_to_edges() {
    let mut packets = http();
    // The same client again, from two other ports: one connection carries nothing, one is refused.
    let there = |from, flags| ipv4(1, 2, 6, &tcp((from, 8080), 100, 0, flags, &[]));
    let back = |to, flags| ipv4(2, 1, 6, &tcp((8080, to), 500, 101, flags, &[]));
    packets.extend([there(40_001, SYN), back(40_001, SYN | ACK)]);
    packets.extend([there(40_002, SYN), back(40_002, RST | ACK)]);
    let mut map = map::Map::default();
    map.add(&read_bytes(usual(RAW, &packets)));
    map.add(&read_bytes(usual(ETHERNET, &[ethernet(0x0800, &[])])));
    assert!(!map.is_complete(), "a frame is too short for its headers");
    let [edge] = &map.edges()[..] else { panic!("one edge") };
    assert_eq!((&*edge.protocol, edge.connections, edge.open, edge.failures), ("http", 2, 1, 1));
    assert_eq!((edge.bytes_sent, edge.bytes_received), (18, 38));
    assert_eq!((edge.evidence.connections, edge.evidence.of), (1, 2));
    assert_eq!((edge.server_port, edge.joined_late), (8080, false));
}

#[test]
fn plain_http_is_a_finding() {
    let mut map = map::Map::default();
    map.add(&read_bytes(usual(RAW, &http())));
    let report = map.report();
    let [finding] = &report.findings[..] else { panic!("one finding: {report:?}") };
    assert_eq!((finding.kind, finding.server_port), (Kind::PlaintextHop, 8080));
    assert_eq!((finding.connections, finding.of), (1, 1));
    assert_eq!(report.taken_at.as_nanosecond(), 7_000_007_000);
}

proptest! {
    #[test]
    fn any_bytes_are_read_to_an_end(
        magic in prop::sample::select(vec![
            [0xd4, 0xc3, 0xb2, 0xa1], [0xa1, 0xb2, 0xc3, 0xd4], [0x34, 0xcd, 0xb2, 0xa1],
            [0x0a, 0x0d, 0x0d, 0x0a], [1, 2, 3, 4],
        ]),
        rest in prop::collection::vec(any::<u8>(), 0..2000),
    ) {
        read_bytes([&magic[..], &rest].concat());
    }

    #[test]
    fn any_frames_are_read_to_an_end(
        link in prop::sample::select(vec![0, 1, 9, 50, 51, 101, 113, 276]),
        frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..120), 0..20),
    ) {
        let replayed = read_bytes(usual(link, &frames));
        prop_assert!(replayed.error.is_none());
        prop_assert!(replayed.streams.len() <= 4 * frames.len());
    }

    #[test]
    fn any_change_of_a_frame_is_read_to_an_end(
        changes in prop::collection::vec((0..7usize, 0..70usize, any::<u8>()), 0..30),
    ) {
        let mut packets = http();
        for (packet, at, value) in changes {
            if let Some(byte) = packets[packet].get_mut(at) {
                *byte = value;
            }
        }
        let replayed = read_bytes(usual(RAW, &packets));
        prop_assert!(replayed.error.is_none());
        // A number out of order makes a hole of up to a window, in each stream and direction.
        let sum: u64 = replayed.streams.iter().map(|stream| stream.bytes_sent).sum();
        prop_assert!(sum <= 7 << 31);
    }
}
