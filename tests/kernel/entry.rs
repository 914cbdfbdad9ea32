//! The judging as the kernel runs it, compared with the same functions here, message by message. A
//! program of the tests' own takes bytes and answers, by test runs: there is no connection.

use std::{collections::BTreeMap, env, fs::File, path::Path};

use aya::{
    Ebpf, EbpfLoader, include_bytes_aligned,
    programs::{SchedClassifier, TestRun as _, TestRunOptions},
};
use plainsight::replay::{self, FileError, Said};
use plainsight_core::protocol::conversation::{Conversation, Exchange};
use plainsight_ebpf::{
    abi::entry::{ANSWERED, AT, Answer, CLIENT, FIRST, FOLLOW, Question, SEARCH, SERVER},
    wire::{
        datagram,
        head::{self, HEAD_LEN, Start, Tell},
        protocol::Protocol,
        search::{self, Find, Search},
        stage::Stage,
        talk::{Side, Talk},
        words,
    },
};
use plainsight_fuzz::Script;
use plainsight_tests::harness::{Stage as Alone, count, is_guest, report, skip};

use messages::{DATAGRAMS, MESSAGES, PARTS};

mod messages;

/// The kernel half with the tests' own program.
static OBJECT: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/entry"));

/// What fuzzing kept: target and input.
static CORPUS: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/corpus.rs"));

/// Ports that mean nothing to any rule.
const PORTS: (u16, u16) = (40_009, 40_013);

/// Messages of a captured connection that are compared: as many as the kernel looks at.
const MOST: usize = 16;

/// What was asked, and how often the answer was another than here.
struct Comparison {
    ebpf: Ebpf,
    messages: u64,
    differences: u64,
    /// The first of them.
    shown: Vec<String>,
    /// How many answers named each protocol: without any, nothing would have been compared.
    named: BTreeMap<u8, u64>,
}

/// One direction of a conversation that is compared.
#[derive(Clone, Copy, Default)]
struct Way {
    /// Where its current message begins.
    begins: usize,
    /// How far it has got.
    at: usize,
    /// Segments that were looked at.
    looked: u8,
    /// Whether its current message was recognised.
    is_judged: bool,
}

/// Numbers that look random and are the same each time (xorshift64*).
struct Noise(u64);

#[test]
fn kernel_and_core_agree_on_messages() {
    let _alone = Alone::alone();
    let mut compare = Comparison::new();
    for (side, bytes) in MESSAGES {
        compare.alone(*side, bytes);
    }
    let mut readings = Vec::new();
    for (port, len, bytes) in DATAGRAMS {
        for ports in [(PORTS.0, *port), (*port, PORTS.1)] {
            let (protocol, stage) = compare.datagram(ports, *len, bytes);
            for reading in [(protocol, stage), (protocol, Stage::Handshake)] {
                if !readings.contains(&reading) {
                    readings.push(reading);
                }
            }
        }
    }
    for reading in readings {
        for (_, len, bytes) in DATAGRAMS {
            compare.follow(reading, true, *len, bytes);
            compare.follow(reading, false, *len, bytes);
        }
    }
    compare.close("messages and datagrams of every rule, and their beginnings");
    // A rule that no message of the list meets would go untested.
    let met = |code: &u8| Protocol::from_code(*code).is_some_and(|p| p != Protocol::Unknown);
    let named = compare.named.keys().filter(|code| met(code)).count();
    report("protocols that the kernel named among them", "more than 60", named);
    assert!(named > 60, "{:?}", compare.named);
}

#[test]
fn kernel_and_core_agree_on_what_stands_behind_a_head() {
    let _alone = Alone::alone();
    let mut compare = Comparison::new();
    let mut met = [0_u64; Find::ALL.len()];
    for part in PARTS {
        for len in 1..=part.len().min(HEAD_LEN) {
            for (search, place) in Search::ALL.iter().flat_map(|search| places(*search)) {
                met[usize::from(compare.window(search, place, &part[..len]))] += 1;
            }
        }
    }
    compare.close("windows of what is searched for, and their beginnings");
    assert!(met.iter().all(|count| *count > 0), "not everything was found: {met:?}");
}

/// A search at each of its places, and at one that there is not.
fn places(search: Search) -> impl Iterator<Item = (Search, u8)> {
    (0..6).map(move |place| (search, place))
}

#[test]
fn kernel_and_core_agree_on_what_fuzzing_kept() {
    let _alone = Alone::alone();
    let mut compare = Comparison::new();
    for (target, input) in CORPUS {
        match (*target, input) {
            ("datagrams", input) => compare.exchange_of(input),
            // The first byte is one of options.
            ("conversation", [_, rest @ ..]) => compare.conversation_of(rest),
            (_, input) => compare.conversation_of(input),
        }
    }
    compare.close("messages that fuzzing kept");
}

#[test]
fn kernel_and_core_agree_on_noise() {
    let _alone = Alone::alone();
    let mut compare = Comparison::new();
    let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
    let most = if is_guest() { 1_009 } else { count(10_007, 100_003) };
    for _ in 0..most {
        compare.altered_conversation(&mut noise);
        compare.altered_exchange(&mut noise);
    }
    compare
        .close(&format!("messages of {most} altered conversations over TCP and as many over UDP"));
}

/// Captures are others' and no part of the project: whoever has some names their folder.
#[test]
fn kernel_and_core_agree_on_captures() {
    let Some(folder) = env::var_os("PLAINSIGHT_CAPTURES") else {
        return skip("kernel_and_core_agree_on_captures", "PLAINSIGHT_CAPTURES names no folder");
    };
    let _alone = Alone::alone();
    let (mut compare, mut captures, mut firsts) = (Comparison::new(), 0, 0);
    let files = replay::files(Path::new(&folder)).expect("the folder can be read");
    for (_, path) in &files {
        let file = File::open(path).expect("the file can be opened");
        let end = replay::show(file, |said| match said {
            Said::Tcp(conversation) => {
                firsts += u64::from(!conversation.client.is_empty());
                firsts += u64::from(!conversation.server.is_empty());
                compare.conversation(conversation);
            }
            Said::Udp(exchange) => {
                let sides = [Side::Client, Side::Server];
                let spoke = |side| exchange.datagrams.iter().any(|one| one.side == side);
                firsts += sides.into_iter().filter(|side| spoke(*side)).count() as u64;
                compare.exchange(exchange);
            }
        });
        // One that is damaged is compared as far as it goes.
        captures += u64::from(!matches!(end, Err(FileError::Foreign)));
    }
    compare.close(&format!("messages of {captures} captures, {firsts} of them first payloads"));
    assert!(firsts > 0, "there are no streams in {}", folder.display());
}

// === impl Comparison ===

impl Comparison {
    fn new() -> Self {
        assert!(!OBJECT.is_empty(), "built without the entry: run `cargo xtask test kernel`");
        let mut loader = EbpfLoader::new();
        loader.map_max_entries("EDGES", 101).map_max_entries("EVENTS", 4096);
        let mut ebpf = loader.load(OBJECT).expect("the kernel takes the maps");
        let program = ebpf.program_mut("entry").expect("the object has the entry");
        let program: &mut SchedClassifier = program.try_into().expect("it is a classifier");
        program.load().unwrap_or_else(|error| panic!("{error:?}"));
        Self { ebpf, messages: 0, differences: 0, shown: Vec::new(), named: BTreeMap::new() }
    }

    /// The kernel's answer.
    fn ask(&self, question: &Question) -> Answer {
        let mut packet = [0; AT + size_of::<Question>()];
        let Question { start: [a, b, c, d], kind, known, of } = *question;
        let words = [a, b, c, d, kind, known, of].map(u64::to_ne_bytes);
        packet[AT..].copy_from_slice(words.as_flattened());
        let mut out = [0; AT + size_of::<Question>()];
        let mut options = TestRunOptions::new();
        options.data_in = Some(&packet);
        options.data_out = Some(&mut out);
        let program = self.ebpf.program("entry").expect("it was loaded");
        let program: &SchedClassifier = program.try_into().expect("it is a classifier");
        let result = program.test_run(options).expect("the kernel runs it");
        assert_eq!(result.return_value, ANSWERED, "{question:?}");
        let word = |at: usize| {
            let bytes = out[AT..].as_chunks::<8>().0[at];
            u64::from_ne_bytes(bytes)
        };
        Answer { head: word(0), talk: word(1), reading: word(2), proxy: word(3) }
    }

    fn compare(&mut self, question: &Question, expect: &Answer) {
        let found = self.ask(question);
        self.messages += 1;
        *self.named.entry(found.reading as u8).or_default() += 1;
        if found == *expect {
            return;
        }
        self.differences += 1;
        if self.shown.len() < 7 {
            self.shown.push(format!("{question:x?}: {found:x?} instead of {expect:x?}"));
        }
    }

    /// Compares one message, and returns the conversation after it.
    fn message(
        &mut self,
        talk: Talk,
        side: Side,
        bytes: &[u8],
        len: u32,
        looked: u8,
    ) -> (Talk, Tell) {
        let start = Start::new(bytes);
        let head = head::head(&start, len, talk.before(side));
        let mut after = talk;
        after.hear(side, head);
        let (protocol, stage) = after.reading();
        let settled = u64::from(after.is_settled()) | u64::from(after.wants(side, looked)) << 1;
        let reading = pair(protocol, stage) | (after.secret() as u64) << 16 | settled << 24;
        let is_proxy = head.tell == Tell::Proxy;
        let proxy = if is_proxy { head::proxy_len(&start, len).unwrap_or(0).into() } else { 0 };
        let question = Question {
            start: start.0,
            kind: if side == Side::Client { CLIENT } else { SERVER },
            known: talk.to_word(),
            of: u64::from(len) << 32 | u64::from(looked),
        };
        let head_word = words::from_head(head);
        self.compare(&question, &Answer { head: head_word, talk: after.to_word(), reading, proxy });
        (after, head.tell)
    }

    /// A message on its own, each of its beginnings, and what follows when the other end has heard it.
    fn alone(&mut self, side: Side, bytes: &[u8]) {
        for len in 1..=bytes.len() {
            for side in [side, other(side)] {
                let (talk, _) =
                    self.message(Talk::default(), side, &bytes[..len], len as u32, len as u8);
                for by in [side, other(side)] {
                    self.message(talk, by, &bytes[..len], len as u32, 1);
                }
            }
        }
    }

    /// What is found in a window.
    fn window(&mut self, search: Search, place: u8, bytes: &[u8]) -> u8 {
        let of = search::of(search as u8, place, bytes.len() as u32);
        let start = Start::new(bytes).0;
        let head = search::step(start, of);
        let question = Question { start, kind: SEARCH, known: 0, of };
        self.compare(&question, &Answer { head, ..Answer::default() });
        search::found(head)
    }

    /// What a conversation is by its first datagram.
    fn datagram(&mut self, ports: (u16, u16), len: u32, bytes: &[u8]) -> (Protocol, Stage) {
        let start = Start::new(bytes);
        let (protocol, stage) = datagram::first(&start, len, ports.0, ports.1);
        let of = u64::from(len) << 32 | u64::from(ports.0) << 16 | u64::from(ports.1);
        let question = Question { start: start.0, kind: FIRST, known: 0, of };
        self.compare(&question, &Answer { reading: pair(protocol, stage), ..Answer::default() });
        (protocol, stage)
    }

    /// What it is after a further one.
    fn follow(
        &mut self,
        known: (Protocol, Stage),
        is_answer: bool,
        len: u32,
        bytes: &[u8],
    ) -> (Protocol, Stage) {
        let start = Start::new(bytes);
        let step = if is_answer { datagram::answer } else { datagram::later };
        let (protocol, stage) = step(known, &start, len);
        let question = Question {
            start: start.0,
            kind: FOLLOW,
            known: pair(known.0, known.1) | u64::from(is_answer) << 16,
            of: u64::from(len) << 32,
        };
        self.compare(&question, &Answer { reading: pair(protocol, stage), ..Answer::default() });
        (protocol, stage)
    }

    /// Segment by segment, as the kernel hears them.
    fn conversation(&mut self, conversation: &Conversation<'_>) {
        let (mut talk, mut ways, mut last) = (Talk::default(), [Way::default(); 2], None);
        for turn in conversation.turns.iter().take(MOST) {
            let (said, way) = match turn.side {
                Side::Client => (conversation.client, &mut ways[0]),
                Side::Server => (conversation.server, &mut ways[1]),
            };
            if last.replace(turn.side) != Some(turn.side) {
                (way.begins, way.is_judged) = (way.at, false);
            }
            way.at = (way.at + turn.length).min(said.len());
            way.looked = way.looked.saturating_add(1);
            let message = &said[way.begins..way.at];
            if message.is_empty() || way.is_judged {
                continue;
            }
            let len = message.len() as u32;
            let (after, tell) = self.message(talk, turn.side, message, len, way.looked);
            way.is_judged = tell != Tell::None || message.len() >= HEAD_LEN;
            if way.is_judged {
                talk = after;
            }
        }
    }

    fn conversation_of(&mut self, script: &[u8]) {
        let mut talk = Talk::default();
        for part in Script::new(script) {
            let len = part.bytes.len() as u32;
            (talk, _) = self.message(talk, part.side, part.bytes, len, 1);
        }
    }

    /// Datagram by datagram: each as a first one, and as what follows those before.
    fn exchange(&mut self, exchange: &Exchange<'_>) {
        let (ports, mut known) = ((exchange.client_port, exchange.server_port), None);
        for datagram in exchange.datagrams.iter().take(MOST) {
            let len = datagram.length as u32;
            let first = self.datagram(ports, len, datagram.payload);
            known = Some(match known {
                None => first,
                Some(reading) => {
                    let is_answer = datagram.side == Side::Server;
                    self.follow(reading, is_answer, len, datagram.payload)
                }
            });
        }
    }

    fn exchange_of(&mut self, script: &[u8]) {
        let mut known = None;
        for part in Script::new(script) {
            let len = part.bytes.len() as u32;
            let first = self.datagram(PORTS, len, part.bytes);
            let is_answer = part.side == Side::Server;
            known = Some(match known {
                None => first,
                Some(reading) => self.follow(reading, is_answer, len, part.bytes),
            });
        }
    }

    /// A few messages, mostly neighbours in the list, of which some are altered.
    fn altered_conversation(&mut self, noise: &mut Noise) {
        let (mut talk, mut at) = (Talk::default(), noise.below(MESSAGES.len()));
        for _ in 0..=noise.below(5) {
            let (side, message) = MESSAGES[at];
            let side = if noise.below(5) == 0 { other(side) } else { side };
            let mut message = message.to_vec();
            let len = noise.alter(&mut message);
            (talk, _) = self.message(talk, side, &message, len, noise.below(20) as u8);
            at = noise.next_to(at, MESSAGES.len());
        }
    }

    fn altered_exchange(&mut self, noise: &mut Noise) {
        let (mut known, mut at) = (None, noise.below(DATAGRAMS.len()));
        for _ in 0..=noise.below(3) {
            let (port, len, bytes) = DATAGRAMS[at];
            let mut bytes = bytes.to_vec();
            let altered = noise.alter(&mut bytes);
            let len = if noise.below(3) == 0 { altered } else { len };
            let ports = if noise.below(2) == 0 { (PORTS.0, port) } else { (port, PORTS.1) };
            let first = self.datagram(ports, len, &bytes);
            known = Some(match known {
                None => first,
                Some(reading) => self.follow(reading, noise.below(2) == 0, len, &bytes),
            });
            at = noise.next_to(at, DATAGRAMS.len());
        }
    }

    fn close(&self, what: &str) {
        let compared = self.messages;
        report(&format!("kernel and core on {compared} {what}: differences"), 0, self.differences);
        assert!(compared > 0 && self.differences == 0, "{:#?}", self.shown);
    }
}

// === impl Noise ===

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 32) as usize % bound
    }

    /// Another place in a list, not far away as a rule.
    fn next_to(&mut self, at: usize, of: usize) -> usize {
        if self.below(3) == 0 { self.below(of) } else { (at + self.below(7)) % of }
    }

    /// Changes some bytes, or none, and says how long the message is.
    fn alter(&mut self, bytes: &mut Vec<u8>) -> u32 {
        for _ in 0..self.below(4) {
            let (at, value) = (self.below(bytes.len()), self.next() as u8);
            bytes[at] = if self.below(2) == 0 { value } else { bytes[at] ^ 1 << (value & 7) };
        }
        match self.below(4) {
            0 => bytes.truncate(1 + self.below(bytes.len())),
            1 => return (bytes.len() + self.below(1500)) as u32,
            _ => {}
        }
        bytes.len() as u32
    }
}

fn other(side: Side) -> Side {
    match side {
        Side::Client => Side::Server,
        Side::Server => Side::Client,
    }
}

fn pair(protocol: Protocol, stage: Stage) -> u64 {
    protocol as u64 | (stage as u64) << 8
}
