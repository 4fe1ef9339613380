//! The captured requests, played against our broadcaster.
//!
//! Addresses are the captured ones. Only the ids of pools differ: they are translated both ways.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use poolmesh_proto::wire::{Request, Response, classic};
use poolmesh_proto::{
    Broadcaster, BroadcasterConfig, Instant, Machine, Output, PoolId, PoolInfo, RandomSource,
};

use crate::file::{Vector, shown, vectors};
use crate::responses::pool_info;

/// The requests without a captured answer, and how ours is to look: the text of an error, or nothing.
const NOT_ANSWERED: [(&str, Option<&str>); 4] = [
    ("ping_request_by_host", None),
    ("empty_datagram_request", None),
    // The capture lost its answer: a list of three pools.
    ("list_request_raw", Some("")),
    // The original dies of it.
    ("crash_join_length_0xFFFFFFFF", Some("ERROR: out of bound by 4294967295 elements")),
];

struct Play<R> {
    machine: Broadcaster<R>,
    now: Instant,
    /// Our id of each captured pool.
    ids: BTreeMap<Vec<u8>, Vec<u8>>,
}

fn play() -> Play<impl RandomSource> {
    let mut number = 0u128;
    let random = move || {
        number += 0x0123_4567_89ab_cdef_0000_0000_0000_0001;
        number
    };
    let machine = Broadcaster::new(BroadcasterConfig::default().with_classic(), random);
    Play { machine, now: Instant::ZERO, ids: BTreeMap::new() }
}

impl<R: RandomSource> Play<R> {
    fn drain(&mut self) -> Vec<(SocketAddr, Bytes)> {
        let mut sent = Vec::new();
        loop {
            match self.machine.poll_output() {
                Output::Transmit(transmit) => sent.push((transmit.destination, transmit.payload)),
                Output::Event(_) => {}
                Output::Wait(_) => return sent,
            }
        }
    }

    fn ask(&mut self, from: SocketAddr, datagram: &[u8]) -> Option<Bytes> {
        let datagram = self.translated(datagram);
        self.machine.handle_datagram(self.now, from, &datagram);
        let mut answers = self.drain();
        assert!(answers.len() <= 1, "one request, one answer: {answers:?}");
        let (to, answer) = answers.pop()?;
        assert_eq!(to, from);
        Some(answer)
    }

    /// The bytes with the captured ids in them replaced by ours, which are as long.
    fn translated(&self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for (theirs, ours) in &self.ids {
            assert_eq!(theirs.len(), ours.len());
            while let Some(at) = bytes.windows(theirs.len()).position(|window| window == theirs) {
                bytes[at..at + theirs.len()].copy_from_slice(ours);
            }
        }
        bytes
    }

    fn compare(&mut self, captured: &Vector, answer: &[u8]) {
        let name = &captured.name;
        let response = classic::decode_response(answer).unwrap();
        match captured.number("type") {
            Some(2) => {
                let Response::Pools(ids) = response else { panic!("{name}: {response:?}") };
                let ids: BTreeSet<Vec<u8>> = ids.iter().map(|id| id.as_bytes().to_vec()).collect();
                let theirs = captured.texts("pool_ids").into_iter();
                let expected: BTreeSet<Vec<u8>> = theirs.map(|id| self.translated(id.as_bytes())).collect();
                assert_eq!(ids, expected, "{name}");
            }
            Some(3) => {
                let Response::Joined(ours) = response else { panic!("{name}: {response:?}") };
                let theirs = pool_info(captured);
                let id = theirs.id().as_bytes().to_vec();
                let known = self.ids.entry(id).or_insert_with(|| ours.id().as_bytes().to_vec());
                assert_eq!(known, ours.id().as_bytes(), "{name}");
                assert_eq!((ours.host(), ours.you()), (theirs.host(), theirs.you()), "{name}");
                assert_eq!(sorted(&ours), sorted(&theirs), "{name}");
                assert_eq!(answer.len(), captured.len, "{name}");
            }
            _ => {
                let expected = self.translated(&captured.bytes);
                assert_eq!(shown(answer), shown(&expected), "{name}: byte for byte");
                assert_eq!(answer, expected, "{name}: byte for byte");
            }
        }
    }
}

fn sorted(info: &PoolInfo) -> Vec<SocketAddr> {
    let mut peers = info.peers().to_vec();
    peers.sort_unstable();
    peers
}

fn address(vector: &Vector, field: &str) -> SocketAddr {
    vector.text(field).unwrap_or("127.0.0.1:57953").parse().unwrap()
}

#[test]
fn every_captured_request_is_answered_as_the_original_did() {
    let vectors = vectors();
    let mut play = play();
    let mut unanswered = 0;
    let mut compared = 0;
    for (at, request) in vectors.iter().enumerate().filter(|(_, vector)| vector.is_for_broadcaster()) {
        let from = address(request, "src");
        let captured = vectors.get(at + 1).filter(|next| next.is_from_broadcaster());
        let answer = play.ask(from, &request.bytes);
        if let Some((_, expected)) = NOT_ANSWERED.iter().find(|(name, _)| *name == request.name) {
            unanswered += 1;
            match expected {
                None => assert_eq!(answer, None, "{}", request.name),
                Some("") => {
                    let Ok(Response::Pools(ids)) = classic::decode_response(&answer.unwrap()) else {
                        panic!("{}", request.name)
                    };
                    assert_eq!(ids.len(), 3);
                }
                Some(text) => assert_eq!(shown(&answer.unwrap()[5..]), *text, "{}", request.name),
            }
            continue;
        }
        let captured = captured.unwrap_or_else(|| panic!("{} has no captured answer", request.name));
        assert_eq!(address(captured, "dst"), from, "{}", request.name);
        let answer = answer.unwrap_or_else(|| panic!("{} has no answer", request.name));
        play.compare(captured, &answer);
        compared += 1;
    }
    assert_eq!(unanswered, NOT_ANSWERED.len());
    // Two answers, of the pool that timed out, are played below.
    let answers = vectors.iter().filter(|vector| vector.is_from_broadcaster()).count();
    assert_eq!(compared, answers - 2);
}

#[test]
fn a_pool_that_times_out_is_told_of_and_answered_as_captured() {
    let vectors = vectors();
    let named = |name: &str| vectors.iter().find(|vector| vector.name == name).unwrap();
    let (notice, error) = (named("ping_timeout_notice"), named("error_ping_after_timeout"));
    let host = address(notice, "dst");
    let mut play = play();
    let created = play.ask(host, &[0]).unwrap();
    let Ok(Response::Joined(info)) = classic::decode_response(&created) else { panic!("{created:?}") };
    let text = error.text("error_text").unwrap();
    let theirs = text.strip_prefix("ERROR: pool with id ").unwrap().strip_suffix(" doesn't exist").unwrap();
    play.ids.insert(theirs.into(), info.id().as_bytes().to_vec());

    play.now = play.now + Duration::from_secs(1);
    play.machine.handle_timeout(play.now);
    let notices = play.drain();
    assert_eq!(notices, [(host, Bytes::from(notice.bytes.clone()))]);

    let mut ping = bytes::BytesMut::new();
    let pool: PoolId = theirs.parse().unwrap();
    classic::encode_request(&Request::Ping(pool), &mut ping);
    let answer = play.ask(host, &ping).unwrap();
    play.compare(error, &answer);
}
