use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::net::SocketAddr;

use bytes::Bytes;

use super::super::*;
use crate::{
    BroadcasterConfig, Client, ClientConfig, DialId, Instant, LinkEvent, Links, LinksOutput, Machine, Mesh,
    MeshConfig, MeshOutput, Output, PeerId,
};

const NOW: Instant = Instant::from_micros(7);

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn entry(program: u32, input: Input) -> Entry {
    Entry { program, now: NOW, input }
}

fn peer_start() -> Input {
    let broadcaster = address("192.0.2.1:6969");
    let start = PeerStart {
        client: ClientConfig::classic(),
        broadcaster,
        mesh: MeshConfig::default(),
        seed: [0; 32],
    };
    Input::Start(Start::Peer(Box::new(start)))
}

fn broadcaster_start() -> Input {
    Input::Start(Start::Broadcaster(Box::new(BroadcasterConfig::default().with_classic())))
}

fn create() -> Input {
    Input::Datagram { from: address("192.0.2.2:1"), datagram: Bytes::from_static(&[0]) }
}

/// What all the outputs there are come to.
fn polled<O: Digested>(machine: Polled, mut poll: impl FnMut() -> (O, bool)) -> Input {
    let (mut digest, mut outputs) = (Digest::default(), 0);
    loop {
        let (output, waits) = poll();
        digest.output(&output);
        outputs += 1;
        if waits {
            return Input::Polled { machine, outputs, digest: digest.get() };
        }
    }
}

/// A peer that lists, dials, is dialed, sends, hears and closes, and the trace of that.
fn peers_trace() -> Vec<Entry> {
    let mut client = Client::new(ClientConfig::classic(), address("192.0.2.1:6969"), [0; 32]);
    let mut mesh = Mesh::new(MeshConfig::default());
    let mut links = Links::new();
    let mut trace = vec![entry(3, peer_start())];
    let mut told = |inputs: Vec<Input>| trace.extend(inputs.into_iter().map(|input| entry(3, input)));

    let _ = client.list(NOW);
    let output = polled(Polled::Client, || {
        let output = client.poll_output();
        let waits = matches!(output, Output::Wait(_));
        (output, waits)
    });
    told(vec![Input::List, output]);

    let to = address("192.0.2.3:3");
    let _ = mesh.connect(NOW, [to]);
    let poll_mesh = |mesh: &mut Mesh| {
        polled(Polled::Mesh, || {
            let output = mesh.poll_output();
            let waits = matches!(output, MeshOutput::Wait(_));
            (output, waits)
        })
    };
    told(vec![Input::Connect(vec![to]), poll_mesh(&mut mesh)]);
    let (dialed, link) = mesh.handle_dialed(NOW, DialId(0)).unwrap();
    links.insert(dialed, link);
    let (accepted, link) = mesh.handle_accepted(NOW, to).unwrap();
    links.insert(accepted, link);
    told(vec![Input::Dialed(DialId(0)), Input::Accepted(to), poll_mesh(&mut mesh)]);

    let poll_links = |links: &mut Links| {
        polled(Polled::Links, || {
            let output = links.poll_output();
            let waits = matches!(output, LinksOutput::Wait(_));
            (output, waits)
        })
    };
    let (name, payload) = (Bytes::from_static(b"msg"), Bytes::from_static(b"hello"));
    let _ = links.send_to_all(&name, payload.clone());
    told(vec![Input::SendToAll { name, payload }, poll_links(&mut links)]);
    let frame = Bytes::from_static(b"\x09\0\0\0\x03\0\0\0msghi");
    links.handle_bytes(NOW, dialed, frame.clone());
    told(vec![Input::Bytes(dialed, frame), poll_links(&mut links)]);
    links.handle_eof(NOW, accepted);
    let output = links.poll_output();
    let LinksOutput::Event { event: LinkEvent::Closed(reason), .. } = output else { panic!() };
    mesh.handle_closed(NOW, accepted, reason);
    // Polled once only.
    let mut digest = Digest::new();
    digest.output(&output);
    let once = Input::Polled { machine: Polled::Links, outputs: 1, digest: digest.get() };
    told(vec![Input::Eof(accepted), once, Input::LinkClosed(accepted, reason), poll_mesh(&mut mesh)]);
    trace
}

fn play(trace: Vec<Entry>) -> Result<Summary, Difference> {
    let mut replay = Replay::new();
    for entry in trace {
        replay.entry(entry)?;
    }
    replay.finish()
}

fn departure(trace: Vec<Entry>) -> (u64, Departure) {
    let difference = play(trace).unwrap_err();
    (difference.number, difference.departure)
}

#[test]
fn a_peer_does_what_it_did() {
    let summary = play(peers_trace()).unwrap();
    assert_eq!((summary.entries, summary.programs, summary.polls), (16, 1, 7));
    assert!(summary.outputs > 12, "{summary:?}");
}

#[test]
fn an_input_that_is_not_there_shows_at_the_next_poll() {
    let whole = peers_trace();
    let mut shown = 0;
    for (place, taken) in whole.iter().enumerate().skip(1) {
        if matches!(taken.input, Input::Polled { .. }) {
            continue;
        }
        let mut trace = whole.clone();
        trace.remove(place);
        let (number, departure) = departure(trace);
        assert!(number as usize > place, "{:?}: {departure}", taken.input);
        assert!(matches!(departure, Departure::Digest { .. } | Departure::Outputs { .. }), "{departure}");
        shown += 1;
    }
    assert_eq!(shown, 8);
}

#[test]
fn what_a_peer_hears_counts_by_its_bytes() {
    let mut trace = peers_trace();
    let Some(Input::Bytes(_, bytes)) = trace.iter_mut().map(|entry| &mut entry.input).nth(10) else {
        panic!()
    };
    *bytes = Bytes::from_static(b"\x09\0\0\0\x03\0\0\0msgho");
    assert!(matches!(departure(trace), (12, Departure::Digest { machine: Polled::Links, .. })));
}

#[test]
fn outputs_are_there_to_be_looked_at() {
    let mut replay = Replay::new();
    let mut trace = peers_trace().into_iter();
    for _ in 0..3 {
        replay.entry(trace.next().unwrap()).unwrap();
    }
    assert_eq!(replay.outputs().len(), 2);
    assert!(
        matches!(&replay.outputs()[0], AnyOutput::Client(Output::Transmit(list)) if list.payload[..] == [2])
    );
    assert!(replay.outputs()[1].waits());
    replay.entry(trace.next().unwrap()).unwrap();
    assert_eq!(replay.outputs(), []);
}

#[test]
fn polling_ends_with_the_wait() {
    let all = Input::Polled { machine: Polled::Mesh, outputs: u32::MAX, digest: 0 };
    let expected = Departure::Outputs { machine: Polled::Mesh, expected: u32::MAX, came: 1 };
    assert_eq!(departure(vec![entry(0, peer_start()), entry(0, all)]), (2, expected));
}

#[test]
fn random_numbers_are_those_behind_the_input() {
    let polled = |digest| Input::Polled { machine: Polled::Broadcaster, outputs: 3, digest };
    let trace = |drawn: &[u128], digest| {
        let mut trace = vec![entry(0, broadcaster_start()), entry(0, create())];
        trace.extend(drawn.iter().map(|bits| entry(0, Input::Drawn(*bits))));
        trace.push(entry(0, polled(digest)));
        trace
    };
    let nine = 9 << 64;
    let (4, Departure::Digest { came, .. }) = departure(trace(&[nine], 0)) else { panic!() };
    assert!(play(trace(&[nine], came)).is_ok());
    assert!(matches!(departure(trace(&[8 << 64], came)), (4, Departure::Digest { .. })));
    assert_eq!(departure(trace(&[], came)), (2, Departure::Draws { expected: 0, came: 1 }));
    assert_eq!(departure(trace(&[nine, nine], came)), (2, Departure::Draws { expected: 2, came: 1 }));
}

#[test]
fn a_trace_may_end_before_all_that_was_drawn_is_written() {
    let mut trace = vec![entry(0, broadcaster_start()), entry(0, create())];
    assert_eq!(play(trace.clone()).unwrap().entries, 2);
    trace.extend([7, 7].map(|bits| entry(0, Input::Drawn(bits))));
    let difference = play(trace).unwrap_err();
    assert_eq!((difference.number, difference.now), (2, NOW), "but not with more than that");
    assert_eq!(difference.departure, Departure::Draws { expected: 2, came: 1 });
}

#[test]
fn what_makes_no_sense_is_named() {
    assert_eq!(departure(vec![entry(0, Input::Timeout)]), (1, Departure::NotStarted));
    let other = vec![entry(0, broadcaster_start()), entry(0, Input::Written(PeerId(0)))];
    assert_eq!(departure(other), (2, Departure::OtherProgram));
    let polled = Input::Polled { machine: Polled::Broadcaster, outputs: 1, digest: 0 };
    assert_eq!(departure(vec![entry(0, peer_start()), entry(0, polled)]), (2, Departure::OtherProgram));
    let drawn = vec![entry(0, peer_start()), entry(0, Input::List), entry(0, Input::Drawn(1))];
    assert_eq!(departure(drawn), (3, Departure::DrawnByNobody));
    let others = vec![entry(0, broadcaster_start()), entry(0, create()), entry(1, Input::Drawn(1))];
    assert_eq!(departure(others), (3, Departure::DrawnByNobody));
}

#[test]
fn a_program_that_starts_anew_has_nothing() {
    let mut trace = peers_trace();
    let again = peers_trace();
    trace.extend(again);
    assert_eq!(play(trace).unwrap().programs, 1);
}

#[test]
fn what_a_mesh_says_counts() {
    let mut trace = peers_trace();
    let Some(Input::Connect(to)) = trace.iter_mut().map(|entry| &mut entry.input).nth(3) else { panic!() };
    *to = vec![address("192.0.2.3:4")];
    assert!(matches!(departure(trace), (5, Departure::Digest { machine: Polled::Mesh, .. })));
}

#[test]
fn what_is_for_a_peer_is_not_for_a_broadcaster() {
    for input in super::format::inputs() {
        if matches!(input, Input::Start(_) | Input::Polled { .. } | Input::Drawn(_)) {
            continue;
        }
        let both = matches!(input, Input::Datagram { .. } | Input::Timeout);
        assert!(play(vec![entry(0, peer_start()), entry(0, input.clone())]).is_ok(), "{input:?}");
        let played = play(vec![entry(0, broadcaster_start()), entry(0, input)]);
        assert_eq!(
            played.map_err(|difference| difference.departure).err(),
            (!both).then_some(Departure::OtherProgram)
        );
    }
}
