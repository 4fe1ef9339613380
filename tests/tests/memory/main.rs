//! What comes from the network takes no more memory than is stated.
//!
//! The allocator counts for the whole process, so this has no test harness: the rules run one after the other, in the
//! one thread there is. A name, or a part of it, as an argument runs only the rules of that name.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a rule that can't be checked fails")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a test names what it looks for")]

mod broadcaster;
mod client;
mod links;
mod lobby;
mod native;

use core::net::SocketAddr;
use std::alloc::System;

use bytes::Bytes;
use poolmesh_proto::trace::{
    Input, Reader, RecordLimits, RecordedBroadcaster, Recorder, Sink, TraceFault, entries,
};
use poolmesh_proto::wire::{FrameReader, MAX_DECODED, classic};
use poolmesh_proto::{
    Broadcaster, BroadcasterConfig, BroadcasterEvent, Instant, Link, LinkConfig, Machine, Output, SendError,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static COUNTING: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// What a reader or a link needs for itself, apart from what it holds: a queue of chunks and the like, in bytes.
const OWN: usize = 2_048;

/// The largest datagram there is.
const DATAGRAM: usize = 65_507;

const RULES: [(&str, fn()); 28] = [
    ("decoding_hostile_lists_stays_within_what_is_stated", decoding_hostile_lists),
    ("decoding_arbitrary_datagrams_stays_within_what_is_stated", decoding_arbitrary_datagrams),
    ("datagrams_of_the_native_dialect_allocate_nothing", native::datagrams),
    ("claimed_items_of_the_native_dialect_reserve_nothing", native::claimed),
    ("an_announced_length_reserves_nothing", announced_lengths),
    ("frames_in_any_chunks_take_what_was_received", frames_in_any_chunks),
    ("arbitrary_streams_take_what_was_received", arbitrary_streams),
    ("what_waits_unpolled_takes_what_was_received", unpolled_chunks),
    ("a_link_that_is_not_polled_asks_for_no_more", unpolled_link),
    ("a_link_whose_peer_does_not_read_stays_within_its_queue", unread_link),
    ("busy_links_allocate_nothing", links::busy),
    ("overlapping_writes_allocate_nothing", links::overlapping),
    ("what_is_read_in_place_takes_what_was_received", links::read_in_place),
    ("a_long_frame_is_not_copied_for_each_piece", links::long_in_pieces),
    ("a_flooded_broadcaster_stays_within_its_limits", broadcaster::flooded),
    ("a_broadcaster_that_is_filled_again_takes_no_more_than_at_first", broadcaster::refilled),
    ("a_pool_takes_what_is_stated", broadcaster::many_pools),
    ("a_busy_broadcaster_allocates_nothing", broadcaster::busy),
    ("a_flooded_client_stays_within_its_limits", client::flooded),
    ("lists_take_what_is_stated", client::listed),
    ("datagrams_of_any_bytes_take_nothing_of_a_client", client::arbitrary),
    ("a_member_and_its_pool_take_what_is_stated", lobby::members_and_pools),
    ("of_who_has_proven_nothing_nothing_is_kept", lobby::spoofed),
    ("changes_that_are_not_told_take_what_is_stated", lobby::untold),
    ("a_busy_lobby_allocates_nothing", lobby::busy),
    ("an_entry_of_a_trace_takes_five_times_its_bytes", trace_entry),
    ("a_trace_in_chunks_takes_two_entries_and_chunks", trace_in_chunks),
    ("a_recorded_broadcaster_takes_what_waits_to_be_written", recorded_broadcaster),
];

fn main() {
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    for (name, rule) in RULES.into_iter().filter(|(name, _)| name.contains(&filter)) {
        print!("test {name} ... ");
        rule();
        println!("ok");
    }
}

/// All bytes that `act` allocates, those it gives back at once among them.
fn allocated<T>(act: impl FnOnce() -> T) -> (usize, T) {
    let region = Region::new(COUNTING);
    let result = act();
    (region.change().bytes_allocated, result)
}

/// How often `act` allocates, or makes larger what was allocated.
fn allocations(act: impl FnOnce()) -> usize {
    let region = Region::new(COUNTING);
    act();
    let change = region.change();
    change.allocations + change.reallocations
}

/// Bytes allocated and not given back since a point in time.
struct Live(usize);

impl Live {
    fn start() -> Self {
        Self(Self::total())
    }

    fn bytes(&self) -> usize {
        Self::total().saturating_sub(self.0)
    }

    fn total() -> usize {
        let stats = COUNTING.stats();
        stats.bytes_allocated - stats.bytes_deallocated
    }
}

/// Numbers that look random and are the same each time.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next()).unwrap() % end
    }
}

fn decode_within(datagram: &[u8]) {
    let (bytes, _) = allocated(|| classic::decode_request(datagram).is_ok());
    assert!(bytes <= datagram.len() + MAX_DECODED, "request: {bytes} bytes for {}", datagram.len());
    let (bytes, _) = allocated(|| classic::decode_response(datagram));
    assert!(bytes <= datagram.len() + MAX_DECODED, "response: {bytes} bytes for {}", datagram.len());
}

fn datagram(kind: u8, claimed: usize, fields: &[u8]) -> Vec<u8> {
    [&[kind][..], &u32::try_from(claimed).unwrap().to_le_bytes(), fields].concat()
}

/// `item` as often as a datagram holds it, behind `head`.
fn list(head: &str, item: &str) -> Vec<u8> {
    let mut joined = head.as_bytes().to_vec();
    while joined.len() + 1 + item.len() <= DATAGRAM - 5 {
        joined.extend_from_slice(if joined.is_empty() { b"" } else { b" " });
        joined.extend_from_slice(item.as_bytes());
    }
    joined
}

fn decoding_hostile_lists() {
    for (kind, joined) in [
        (2, list("", "a")),
        (2, list("", "306c97f9-4b65-451f-a914-68a573d71508")),
        (2, vec![b' '; DATAGRAM - 5]),
        (3, list("a 1.1.1.1:1 1.1.1.1:1", "1.1.1.1:1")),
        (3, list("a 1.1.1.1:1 1.1.1.1:1", "[::]:1")),
        (3, list("a 1.1.1.1:1 1.1.1.1:1", "x")),
        (3, vec![b' '; DATAGRAM - 5]),
        (4, vec![b'x'; DATAGRAM - 5]),
        (4, list("ERROR: pool with id", "doesn't exist")),
    ] {
        let whole = datagram(kind, joined.len(), &joined);
        assert!(whole.len() <= DATAGRAM);
        decode_within(&whole);
        decode_within(&whole[..whole.len() - 1]);
        decode_within(&datagram(kind, usize::try_from(u32::MAX).unwrap(), &joined));
    }
    // The bound is not idle: what a list of the shortest ids decodes to reaches it.
    let ids = list("", "a");
    let (bytes, decoded) = allocated(|| classic::decode_response(&datagram(2, ids.len(), &ids)));
    assert!(decoded.is_ok() && bytes > MAX_DECODED, "{bytes}");
}

fn decoding_arbitrary_datagrams() {
    let mut numbers = Numbers(1);
    for _ in 0..3_000 {
        let scale = numbers.below(16);
        let len = 1 + numbers.below(DATAGRAM >> scale);
        let alphabet: &[u8] = [&b" a"[..], b" 1.:1", b" []:1.", &[0, 1, 2, 3, 4, 5, 255]][numbers.below(4)];
        let mut bytes: Vec<u8> = (0..len).map(|_| alphabet[numbers.below(alphabet.len())]).collect();
        if len >= 5 && numbers.below(4) > 0 {
            let claimed = u32::try_from(len - 5).unwrap();
            bytes[1..5].copy_from_slice(&claimed.to_le_bytes());
            bytes[0] = u8::try_from(numbers.below(6)).unwrap();
        }
        decode_within(&bytes);
    }
}

/// Feeds a reader chunk by chunk, takes what frames there are, and holds it to what has come in.
fn read_within(max_frame: usize, chunks: impl Iterator<Item = Bytes>) {
    let live = Live::start();
    let mut reader = FrameReader::new(max_frame);
    let mut received = 0;
    for chunk in chunks {
        received += chunk.len();
        reader.push(chunk);
        while let Ok(Some(frame)) = reader.next_frame() {
            drop(frame);
        }
        let bytes = live.bytes();
        assert!(bytes <= received + FrameReader::SLACK + OWN, "{bytes} bytes for {received} received");
    }
    drop(reader);
    assert_eq!(live.bytes(), 0, "all is given back");
}

/// `total` bytes in chunks of `size`, each in memory of its own, as from a socket. `byte` says what stands where.
fn chunks(total: usize, size: usize, byte: impl Fn(usize) -> u8) -> impl Iterator<Item = Bytes> {
    let chunk = move |at| (at..total.min(at + size)).map(&byte).collect::<Vec<u8>>().into();
    (0..total).step_by(size).map(chunk)
}

fn announced_lengths() {
    for announced in [1u32 << 24, 1 << 20, (1 << 24) - 1] {
        let head = announced.to_le_bytes();
        let byte = move |at: usize| head.get(at).copied().unwrap_or(b'x');
        for (total, size) in
            [(4, 1), (5, 5), (3_000, 1), (300_000, 7), (1_000_000, 1_448), (4_000_000, 65_536)]
        {
            read_within(1 << 24, chunks(total, size, byte));
        }
    }
    // A limit above what 32 bits can say takes nothing either.
    read_within(usize::MAX, chunks(1_000, 10, |_| 0xff));
    read_within(1 << 24, chunks(1_000_000, 10_000, |_| 0xff));
}

fn frames_in_any_chunks() {
    for len in [1usize, 100, 5_000, 300_000] {
        let head = u32::try_from(len).unwrap().to_le_bytes();
        let byte = move |at: usize| head.get(at % (4 + len)).copied().unwrap_or(0);
        for size in [3, 1_448, 65_536] {
            read_within(len, chunks((4 + len) * 3 + 2_000, size, byte));
        }
    }
}

fn arbitrary_streams() {
    let mut numbers = Numbers(2);
    for _ in 0..200 {
        let seed = numbers.next();
        let size = 1 + numbers.below(3_000);
        // Mostly zeros, so that lengths are small enough to be frames.
        let byte = move |at: usize| {
            let number = Numbers(seed ^ (at as u64) << 20).next();
            if number % 3 == 0 { (number >> 8) as u8 } else { 0 }
        };
        read_within(1 << 24, chunks(20_000, size, byte));
    }
}

/// Chunks of any size that nobody has looked at.
fn unpolled_chunks() {
    for size in [1, 7, 100, 1_023, 1_024, 1_448, 65_536] {
        let live = Live::start();
        let mut reader = FrameReader::new(1 << 24);
        let mut received = 0;
        for chunk in chunks(if size < 100 { 400_000 } else { 4_000_000 }, size, |at| u8::from(at % 8 == 0)) {
            received += chunk.len();
            reader.push(chunk);
            assert!(live.bytes() <= received + FrameReader::SLACK + OWN, "{} of {received}", live.bytes());
        }
    }
}

fn unpolled_link() {
    let config = LinkConfig::default();
    for size in [1, 100, 1_024, 1_448, 16_384] {
        let live = Live::start();
        let mut link = Link::new(config.clone(), Instant::ZERO);
        let mut endless = chunks(usize::MAX, size, |_| 0);
        while link.interest().read {
            link.handle_bytes(Instant::ZERO, endless.next().unwrap());
        }
        let most = config.max_received + size + FrameReader::SLACK + OWN;
        assert!(live.bytes() <= most, "{} of {most}", live.bytes());
        assert!(live.bytes() >= config.max_received, "it did take something");
    }
}

/// Sends until the link takes no more, with one write in the hands of a driver that gets no further.
fn fill(config: LinkConfig, payload: usize) -> Link {
    let mut link = Link::new(config, Instant::ZERO);
    let mut sent = 0;
    loop {
        match link.send("event", vec![7; payload]) {
            Ok(()) => sent += 1,
            Err(error) => break assert_eq!(error, SendError::Full),
        }
        if sent == 1 {
            drop(link.poll_transmit());
        }
    }
    link
}

/// What `LinkConfig` states: an eighth and twice what is packed beyond the frames, and 100 bytes for each write.
fn unread_link() {
    let pack = LinkConfig::default().pack;
    let packed = [0, 10, 100, 1_000, 15_000, 20_000, 100_000].map(|payload| (pack, payload));
    let written_small = [(1, 0), (1, 100), (1, 1_000), (1, 20_000), (4_096, 0), (4_096, 100), (4_096, 1_000)];
    for (pack, payload) in packed.into_iter().chain(written_small) {
        let mut config = LinkConfig::default();
        config.pack = pack;
        let max_queued = config.max_queued;
        let live = Live::start();
        let link = fill(config, payload);
        assert!(link.queued() <= max_queued && link.queued() + payload + 13 > max_queued);
        let writes = max_queued / pack.max(payload + 13);
        let most = max_queued + max_queued / 8 + 2 * pack.max(4_096) + 100 * writes + OWN;
        assert!(live.bytes() <= most, "pack {pack}, payloads of {payload}: {} of {most}", live.bytes());
        drop(link);
        assert_eq!(live.bytes(), 0, "all is given back");
    }
}

fn trace_entry() {
    // Connect, which claims more addresses than follow.
    let entry = [&[0, 0, 34, 0xff, 0xff, 0xff, 0x7f][..], &[4, 192, 0, 2, 1, 0, 9].repeat(1_000)].concat();
    let len = [0x80 | (entry.len() % 128) as u8, (entry.len() / 128) as u8];
    let file = [&Recorder::new().take()[..], &len, &entry].concat();
    let (bytes, read) = allocated(|| entries(&file).last().unwrap());
    assert!(matches!(read.unwrap_err().fault, TraceFault::Short { .. }));
    assert!(bytes <= 5 * entry.len() + 1_024, "{bytes}");
}

fn trace_in_chunks() {
    const ENTRY: usize = 3_000;
    const CHUNK: usize = 4_096;
    let datagram = Bytes::from(vec![7; ENTRY - 20]);
    let from = SocketAddr::from(([192, 0, 2, 1], 1));
    let mut recorder = Recorder::new();
    for _ in 0..500 {
        recorder.record(0, Instant::ZERO, &Input::Datagram { from, datagram: datagram.clone() });
    }
    let mut file = recorder.take().to_vec();
    // At last one that claims to be as long as they may be, and isn't there.
    file.extend_from_slice(&[0x80, 0x80, 0x80, 0x20]);
    let live = Live::start();
    let (mut reader, mut read, mut most) = (Reader::new(), 0, 0);
    for chunk in file.chunks(CHUNK) {
        reader.push(chunk);
        most = most.max(live.bytes());
        while reader.next_entry().unwrap().is_some() {
            read += 1;
        }
        most = most.max(live.bytes());
    }
    assert_eq!(read, 500);
    assert!(most <= 2 * (ENTRY + CHUNK) + OWN, "{most}");
}

fn recorded_broadcaster() {
    const WAITING: usize = 10_000;
    let (mut limits, config) = (RecordLimits::default(), BroadcasterConfig::default().with_classic());
    limits.max_waiting = WAITING;
    let from = SocketAddr::from(([192, 0, 2, 1], 1));
    let mut plain = Broadcaster::new(config.clone(), || 7);
    let mut recorded = RecordedBroadcaster::new(config, || 7, limits, Nowhere);
    let datagram = [99; 1_000];
    let flood = |machine: &mut dyn Machine<Event = BroadcasterEvent>| {
        let (live, mut most) = (Live::start(), 0);
        for _ in 0..1_000 {
            machine.handle_datagram(Instant::ZERO, from, &datagram);
            most = most.max(live.bytes());
            while !matches!(machine.poll_output(), Output::Wait(_)) {}
        }
        most
    };
    let (plain, recorded) = (flood(&mut plain), flood(&mut recorded));
    // What waits, what is being written, and the room to grow of either.
    assert!(recorded <= plain + 2 * (WAITING + datagram.len()) + OWN, "{recorded} and {plain} without");
}

struct Nowhere;

impl Sink for Nowhere {
    type Error = core::convert::Infallible;

    fn write(&mut self, _: &[u8]) -> Result<(), Self::Error> {
        Ok(())
    }
}
