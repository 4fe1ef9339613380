//! A trace played against the machines: whatever its entries say.

use std::sync::OnceLock;

use bytes::Bytes;
use poolmesh_proto::trace::{Entry, Input, PeerStart, Recorder, Replay, Start, entries};
use poolmesh_proto::wire::Dialect;
use poolmesh_proto::{BroadcasterConfig, ClientConfig, Instant, MeshConfig};

use crate::memory::Live;

/// The bit of the first byte that has a second set of machines told the same.
const TWICE: u8 = 1;

/// Entries that are played.
const PLAYED_ENTRIES: usize = 96;

/// What a program may take for itself, in bytes: a broadcaster takes most, see [`BroadcasterConfig`].
const PROGRAM: usize = 128 * 1_024;

/// What a broadcaster takes besides for the native dialect, once something came that says it is of that: of itself, and a
/// place of the table of sources.
const NATIVE: usize = 256 * 1_024;
const SOURCE: usize = 24;

/// Plays the entries that the bytes are, behind the starts of a broadcaster and a peer.
///
/// # Panics
/// If playing takes more memory than is stated, or two machines that are told the same don't do the same.
pub fn check(data: &[u8]) {
    let Some((flags, rest)) = data.split_first() else { return };
    static FRONT: OnceLock<Bytes> = OnceLock::new();
    let file = [FRONT.get_or_init(|| front(starts())), rest].concat();
    let all: Vec<Entry> = entries(&file).map_while(Result::ok).take(PLAYED_ENTRIES).collect();
    play(&all, flags & TWICE != 0);
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
    let mut config = BroadcasterConfig::default().with_classic();
    config.max_queued = 8;
    let mut mesh = MeshConfig::default();
    mesh.link.max_frame = 256;
    mesh.link.max_queued = 256;
    mesh.link.max_received = 256;
    mesh.link.idle_timeout = Some(core::time::Duration::from_millis(1));
    mesh.max_queued_total = 512;
    mesh.max_dialing = 2;
    let broadcaster = ([192, 0, 2, 1], 1).into();
    let peer = PeerStart { client: ClientConfig::classic(), broadcaster, mesh, seed: [7; 32] };
    [Start::Broadcaster(Box::new(config)), Start::Peer(Box::new(peer))]
}

/// Plays entries, whatever they say that came of them.
fn play(all: &[Entry], twice: bool) {
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
    live.check(most(all).saturating_mul(count));
    if let Some(twin) = &mut twin {
        assert_eq!(twin.finish(), finished);
    }
}

/// The most memory that machines may take that were told this, in bytes: as much for each program, link and entry, and in
/// proportion to what was handed in and is queued.
#[expect(clippy::wildcard_enum_match_arm, reason = "what holds nothing of any length")]
fn most(all: &[Entry]) -> usize {
    let (mut programs, mut links, mut addresses, mut sent, mut told) = (0, 0, 0, 0, 0);
    let (mut native, mut is_native) = (0, false);
    for entry in all {
        match &entry.input {
            Input::Start(start) => {
                programs += 1;
                if let Start::Broadcaster(config) = start {
                    let table = config.limits.sources.saturating_mul(SOURCE);
                    native = table.saturating_add(NATIVE).saturating_add(native);
                }
            }
            Input::Dialed(_) | Input::Accepted(_) => links += 1,
            Input::Send { name, payload, .. } | Input::SendToAll { name, payload } => {
                sent += name.len() + payload.len() + 12;
            }
            Input::Datagram { datagram, .. } => {
                told += datagram.len();
                is_native |= Dialect::of(datagram) == Dialect::Native;
            }
            Input::Bytes(_, bytes) => told += bytes.len(),
            Input::Connect(all) => addresses += all.len(),
            Input::Enter(pool) => addresses += pool.peers().len(),
            Input::Meet(_) => addresses += 1,
            _ => {}
        }
    }
    let apart = (programs + 1) * PROGRAM + all.len() * 2_048 + addresses * 1_024;
    let native = if is_native { native } else { 0 };
    native.saturating_add(apart + told * 128 + links * (8 * 1_024 + 4 * sent))
}
