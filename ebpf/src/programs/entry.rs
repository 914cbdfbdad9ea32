//! A way into the judging that needs no connection: bytes come in as a packet of a test run, and the
//! answer goes out in it. Only for tests, which compare it with what user space says of the same bytes.

use core::ptr;

use aya_ebpf::{
    EbpfContext as _,
    helpers::{bpf_skb_load_bytes, bpf_skb_store_bytes},
    macros::classifier,
    programs::TcContext,
};
use plainsight_ebpf::{
    abi::entry::{ANSWERED, AT, Answer, CLIENT, FIRST, FOLLOW, Question, SEARCH},
    wire::{
        head::Tell,
        talk::{Side, Talk},
        words,
    },
};

use super::{context::zero, datagram, listen, search};

#[classifier]
fn entry(ctx: TcContext) -> i32 {
    let Some(question) = question(&ctx) else { return 0 };
    let answer = match question.kind {
        FIRST => of_datagram(datagram::judge_words(question.start, question.of)),
        FOLLOW => of_datagram(follow(&question)),
        SEARCH => window(&question),
        _ => message(&question),
    };
    if give(&ctx, &answer) { ANSWERED as i32 } else { 0 }
}

/// As when a segment completes what is wanted of a message.
#[inline(always)]
fn message(question: &Question) -> Answer {
    let Question { start: [a, b, c, d], kind, known, of } = *question;
    let is_client = kind == CLIENT;
    let side = if is_client { Side::Client } else { Side::Server };
    let (len, looked) = ((of >> 32) as u32, of as u8);
    let before = Talk::from_word(known).before(side);
    let head = listen::judge(a, b, c, d, words::circumstances(len, before));
    let is_proxy = words::tell(head) == Tell::Proxy as u8;
    let proxy = if is_proxy { listen::proxy_len(a, b, len.into()) } else { zero() };
    let talk = listen::hear(known, is_client, head);
    Answer { head, talk, reading: listen::read(talk, words::of(is_client, looked)), proxy }
}

/// As when a message is searched.
#[inline(always)]
fn window(question: &Question) -> Answer {
    let Question { start: [a, b, c, d], of, .. } = *question;
    let head = search::search_step(a, b, c, d, of);
    Answer { head, talk: zero(), reading: zero(), proxy: zero() }
}

/// As when a datagram follows one whose reading is open.
#[inline(always)]
fn follow(question: &Question) -> u64 {
    let Question { start: [a, b, c, d], known, of, .. } = *question;
    datagram::follow_datagram(a, b, c, d, of >> 32 << 32 | known)
}

#[inline(always)]
fn of_datagram(reading: u64) -> Answer {
    Answer { head: zero(), talk: zero(), reading, proxy: zero() }
}

#[inline(always)]
fn question(ctx: &TcContext) -> Option<Question> {
    let start = [zero(), zero(), zero(), zero()];
    let mut question = Question { start, kind: zero(), known: zero(), of: zero() };
    let (at, into) = (AT as u32, ptr::from_mut(&mut question).cast());
    // SAFETY: the helper writes all of the question, of which any bytes are one, or fails.
    let failed =
        unsafe { bpf_skb_load_bytes(ctx.as_ptr().cast(), at, into, size_of::<Question>() as u32) };
    if failed == 0 { Some(question) } else { None }
}

#[inline(always)]
fn give(ctx: &TcContext, answer: &Answer) -> bool {
    let (at, from) = (AT as u32, ptr::from_ref(answer).cast());
    // SAFETY: the helper reads the answer, which is whole words without padding.
    unsafe {
        bpf_skb_store_bytes(ctx.as_ptr().cast(), at, from, size_of::<Answer>() as u32, 0) == 0
    }
}
