//! What a developer is sent: any bytes as a trace file, and any trace played against the machines.

use std::sync::OnceLock;

use bytes::Bytes;
use poolmesh_proto::trace::{
    Entry, Input, PeerStart, Reader, Recorder, Replay, Start, TraceError, TraceFault, entries,
};
use poolmesh_proto::{BroadcasterConfig, ClientConfig, Instant, MeshConfig};

use crate::memory::Live;

/// The bits of the first byte. Without any of them the rest is a whole file, and is only read.
const HEADED: u8 = 1;
const PLAYED: u8 = 2;
const TWICE: u8 = 4;

/// Entries that are played.
const PLAYED_ENTRIES: usize = 96;

/// Reads the bytes as a trace, at once and in two pieces, writes what was read and reads that; and plays it, if the first
/// byte says so.
///
/// # Panics
/// If a file reads differently in pieces, what was read is not what was written, an error is not within the file, reading
/// or playing takes more memory than is stated, or two machines that are told the same don't do the same.
pub fn check(data: &[u8]) {
    let Some(([flags, cut], rest)) = data.split_first_chunk() else { return };
    if flags & (HEADED | PLAYED) == 0 {
        read(rest, *cut);
        return;
    }
    static FRONTS: OnceLock<[Bytes; 2]> = OnceLock::new();
    let [headed, played] = FRONTS.get_or_init(|| [front([]), front(starts())]);
    let front = if flags & PLAYED == 0 { headed } else { played };
    let file = [front, rest].concat();
    let all = read(&file, *cut);
    if flags & PLAYED != 0 {
        play(&all, flags & TWICE != 0);
    }
}

/// A header, and the starts of programs: something to talk to from the first byte on.
fn front(starts: impl IntoIterator<Item = Start>) -> Bytes {
    let mut recorder = Recorder::new();
    for (program, start) in (0..).zip(starts) {
        recorder.record(program, Instant::ZERO, &Input::Start(start));
    }
    recorder.take()
}

fn starts() -> [Start; 2] {
    let mut config = BroadcasterConfig::default();
    config.max_queued = 8;
    let mut mesh = MeshConfig::default();
    mesh.link.max_frame = 256;
    mesh.link.max_queued = 256;
    mesh.link.max_received = 256;
    mesh.link.idle_timeout = Some(core::time::Duration::from_millis(1));
    mesh.max_queued_total = 512;
    mesh.max_dialing = 2;
    let broadcaster = ([192, 0, 2, 1], 1).into();
    let peer = PeerStart { client: ClientConfig::default(), broadcaster, mesh };
    [Start::Broadcaster(Box::new(config)), Start::Peer(Box::new(peer))]
}

/// Reads a file, and answers what could be read.
fn read(file: &[u8], cut: u8) -> Vec<Entry> {
    let (all, ended) = at_once(file);
    let (first, second) = file.split_at(usize::from(cut).min(file.len()));
    let mut reader = Reader::new();
    let mut expected = all.iter();
    let in_pieces = pieces(&mut reader, [first, second], &mut expected);
    assert_eq!(in_pieces, ended, "in pieces it ends otherwise");
    assert!(expected.next().is_none(), "in pieces it ends early");
    if let Err(error) = ended {
        assert!(error.offset <= file.len() as u64, "{error}");
        if let TraceFault::Cut { missing } = error.fault {
            assert!(missing > 0);
        }
    }

    let mut recorder = Recorder::new();
    for Entry { program, now, input } in &all {
        recorder.record(*program, *now, input);
    }
    let written = recorder.take();
    let mut read_again = entries(&written);
    for entry in &all {
        assert_eq!(read_again.next(), Some(Ok(entry.clone())), "what was read is not what was written");
    }
    assert!(read_again.next().is_none());
    all
}

/// All entries of a file, each held to the memory it may take.
fn at_once(file: &[u8]) -> (Vec<Entry>, Result<(), TraceError>) {
    let mut all = Vec::with_capacity(file.len() / 4);
    let mut read = entries(file);
    let live = Live::start();
    loop {
        let (offset, before) = (read.offset(), live.bytes());
        let next = read.next();
        let len = usize::try_from(read.offset() - offset).expect("it is within the file");
        live.check(before + 5 * len + 1_024);
        match next {
            Some(Ok(entry)) => all.push(entry),
            Some(Err(error)) => return (all, Err(error)),
            None => return (all, Ok(())),
        }
    }
}

fn pieces<'a>(
    reader: &mut Reader,
    pieces: [&[u8]; 2],
    expected: &mut impl Iterator<Item = &'a Entry>,
) -> Result<(), TraceError> {
    for piece in pieces {
        reader.push(piece);
        while let Some(entry) = reader.next_entry()? {
            assert_eq!(Some(&entry), expected.next(), "in pieces it is otherwise");
        }
    }
    reader.finish()
}

/// Plays entries, whatever they say that came of them.
fn play(all: &[Entry], twice: bool) {
    let all = all.get(..PLAYED_ENTRIES).unwrap_or(all);
    let entries = all.to_vec();
    let mut twin = twice.then(Replay::new);
    let live = Live::start();
    let mut replay = Replay::new();
    for (entry, same) in entries.into_iter().zip(all) {
        let played = replay.entry(entry);
        if let Some(twin) = &mut twin {
            assert_eq!(twin.entry(same.clone()), played, "the same inputs, other outputs");
            assert_eq!(twin.outputs(), replay.outputs());
        }
    }
    let finished = replay.finish();
    let count = 1 + usize::from(twin.is_some());
    live.check(count * most(all));
    if let Some(twin) = &mut twin {
        assert_eq!(twin.finish(), finished);
    }
}

/// The most memory that machines may take that were told this, in bytes: as much for each program, link and entry, and in
/// proportion to what was handed in and is queued.
#[expect(clippy::wildcard_enum_match_arm, reason = "what holds nothing of any length")]
fn most(all: &[Entry]) -> usize {
    let (mut programs, mut links, mut addresses, mut sent, mut told) = (0, 0, 0, 0, 0);
    for entry in all {
        match &entry.input {
            Input::Start(_) => programs += 1,
            Input::Dialed(_) | Input::Accepted(_) => links += 1,
            Input::Send { name, payload, .. } | Input::SendToAll { name, payload } => {
                sent += name.len() + payload.len() + 12;
            }
            Input::Datagram { datagram, .. } => told += datagram.len(),
            Input::Bytes(_, bytes) => told += bytes.len(),
            Input::Connect(all) => addresses += all.len(),
            Input::Enter(pool) => addresses += pool.peers().len(),
            _ => {}
        }
    }
    let apart = (programs + 1) * 16 * 1_024 + all.len() * 2_048 + addresses * 1_024;
    apart + told * 128 + links * (8 * 1_024 + 4 * sent)
}
