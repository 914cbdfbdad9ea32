//! The command `plainsight replay` as scripts see it: output, complaints and exit status.

use std::{fs, path::PathBuf, process::Command};

/// Exit status, standard output and standard error.
fn replay(path: &PathBuf, output: &str) -> (Option<i32>, String, String) {
    let done = Command::new(env!("CARGO_BIN_EXE_plainsight"))
        .args(["replay", "-o", output])
        .arg(path)
        .output()
        .expect("the command runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (done.status.code(), text(done.stdout), text(done.stderr))
}

/// A folder of this test's own, empty.
fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(folder.join("below")).expect("a folder");
    folder
}

/// A capture (raw IP) of one datagram: a question to a DNS server.
fn capture() -> Vec<u8> {
    let question =
        [&[0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], b"\x07example\x03net\0", &[0, 1, 0, 1]]
            .concat();
    let udp = [&[0x9c, 0x40, 0, 53, 0, 37, 0, 0][..], &question].concat();
    let ip = [&[0x45, 0, 0, 57, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2], &udp[..]];
    let ip = ip.concat();
    let length = u32::try_from(ip.len()).expect("short").to_le_bytes();
    let header = [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 0x40000, 101].map(u32::to_le_bytes).concat();
    [&header[..], &[9, 0, 0, 0, 0, 0, 0, 0], &length, &length, &ip].concat()
}

const HEADER: &str =
    "capture\tsrc\tsport\tdst\tdport\tl4\tprotocol\tenc\ttls_version\tsni\talpn\tmtls\n";
const QUESTION: &str = "192.0.2.1\t40000\t192.0.2.2\t53\tudp\tdns\tplaintext\t\t\t\t\n";

#[test]
fn names_are_relative_to_the_folder_and_in_order() {
    let folder = folder("replay-folder");
    fs::write(folder.join("b.pcap"), capture()).expect("written");
    fs::write(folder.join("below/a.pcap"), capture()).expect("written");
    fs::write(folder.join("notes.txt"), "no capture").expect("written");
    let expect = format!("{HEADER}b.pcap\t{QUESTION}below/a.pcap\t{QUESTION}");
    assert_eq!(replay(&folder, "labels"), (Some(0), expect, String::new()));
    let (status, map, complaints) = replay(&folder, "map");
    assert_eq!((status, &*complaints), (Some(0), ""));
    assert!(map.contains("1 edge, "), "{map}");
}

#[test]
fn a_cut_capture_is_an_error_and_what_stands_before_is_printed() {
    let file = folder("replay-cut").join("cut.pcap");
    let whole = capture();
    let cut = [&whole[..], &whole[24..whole.len() - 1]].concat();
    fs::write(&file, cut).expect("written");
    let complaint = format!(
        "plainsight: cut.pcap: damaged at byte {}: a block is longer than the rest of the file; \
         what stands before it was read\n",
        whole.len()
    );
    let expect = (Some(2), format!("{HEADER}cut.pcap\t{QUESTION}"), complaint);
    assert_eq!(replay(&file, "labels"), expect);
}

#[test]
fn what_is_not_read_is_told() {
    let folder = folder("replay-other");
    let file = folder.join("other.pcap");
    let mut bytes = capture();
    bytes[20] = 147;
    fs::write(&file, bytes).expect("written");
    let complaint = "plainsight: other.pcap: 1 frames of a link that is not read\n";
    assert_eq!(replay(&file, "labels"), (Some(0), HEADER.into(), complaint.into()));
    let foreign = folder.join("foreign.txt");
    fs::write(&foreign, "no capture").expect("written");
    let complaint = "plainsight: foreign.txt: it is neither pcap nor pcapng\n";
    assert_eq!(replay(&foreign, "labels"), (Some(2), HEADER.into(), complaint.into()));
    let (status, _, complaint) = replay(&folder.join("missing"), "flows");
    assert_eq!(status, Some(2));
    assert!(complaint.contains("missing: it cannot be read"), "{complaint}");
}
