use alloc::vec::Vec;
use core::cell::RefCell;
use core::net::SocketAddr;
use core::time::Duration;

use super::super::*;
use crate::{Broadcaster, BroadcasterConfig, BroadcasterEvent, Instant, Machine, Output};

const SECOND: u64 = 1_000_000;

fn at(micros: u64) -> Instant {
    Instant::from_micros(micros)
}

fn host() -> SocketAddr {
    "192.0.2.1:5000".parse().unwrap()
}

fn counter() -> impl FnMut() -> u128 {
    let mut drawn = 0;
    move || {
        drawn += 1;
        drawn
    }
}

/// A file that breaks when it is longer than a limit.
struct Disk<'a> {
    file: &'a RefCell<Vec<u8>>,
    limit: usize,
}

impl Sink for Disk<'_> {
    type Error = &'static str;

    fn write(&mut self, bytes: &[u8]) -> Result<(), Self::Error> {
        assert!(!bytes.is_empty(), "written for nothing");
        let mut file = self.file.borrow_mut();
        if file.len() + bytes.len() > self.limit {
            return Err("disk full");
        }
        file.extend_from_slice(bytes);
        Ok(())
    }
}

fn recorded(
    limits: RecordLimits,
    file: &RefCell<Vec<u8>>,
    limit: usize,
) -> RecordedBroadcaster<impl FnMut() -> u128, Disk<'_>> {
    RecordedBroadcaster::new(
        BroadcasterConfig::default().with_classic(),
        counter(),
        limits,
        Disk { file, limit },
    )
}

fn drain(
    machine: &mut impl Machine<Event = BroadcasterEvent>,
) -> (Vec<Output<BroadcasterEvent>>, Option<Instant>) {
    let mut outputs = Vec::new();
    loop {
        match machine.poll_output() {
            Output::Wait(deadline) => return (outputs, deadline),
            output @ (Output::Transmit(_) | Output::Event(_)) => outputs.push(output),
        }
    }
}

fn replayed(file: &[u8]) -> Result<Summary, Difference> {
    let mut replay = Replay::new();
    entries(file).map(Result::unwrap).try_for_each(|entry| replay.entry(entry))?;
    replay.finish()
}

#[test]
fn it_does_what_a_broadcaster_does_and_can_be_played_again() {
    let file = RefCell::default();
    let mut recorded = recorded(RecordLimits::default(), &file, usize::MAX);
    let mut plain = Broadcaster::new(BroadcasterConfig::default().with_classic(), counter());
    for round in 0..50 {
        let now = at(round * SECOND / 7);
        // Create, list, nonsense, and now and then only time.
        let datagram = [&[0][..], &[2], &[99], &[3, 1]][usize::try_from(round).unwrap() % 4];
        if round % 5 == 4 {
            recorded.handle_timeout(now);
            plain.handle_timeout(now);
        } else {
            recorded.handle_datagram(now, host(), datagram);
            plain.handle_datagram(now, host(), datagram);
        }
        if round % 3 == 1 {
            // One, and the rest later. They may want to be woken at different times.
            let (one, same) = (recorded.poll_output(), plain.poll_output());
            assert!(one == same || matches!((&one, &same), (Output::Wait(_), Output::Wait(_))), "{one:?}");
        } else {
            assert_eq!(drain(&mut recorded).0, drain(&mut plain).0);
        }
    }
    assert_eq!(recorded.stats(), plain.stats());
    drop(recorded);
    let summary = replayed(&file.borrow()).unwrap();
    assert!(summary.polls > 40 && summary.outputs > 60, "{summary:?}");
}

#[test]
fn what_waits_is_written_in_time_though_nothing_comes() {
    let file = RefCell::default();
    let mut recorded = recorded(RecordLimits::default(), &file, usize::MAX);
    recorded.handle_datagram(at(5), host(), &[2]);
    let (_, wakes) = drain(&mut recorded);
    assert_eq!(wakes, Some(at(SECOND + 5)));
    recorded.handle_datagram(at(SECOND / 2), host(), &[2]);
    assert_eq!(drain(&mut recorded).1, wakes, "what came first waits the longest");
    recorded.handle_timeout(at(SECOND + 4));
    assert_eq!(drain(&mut recorded).1, wakes, "early");
    assert_eq!(entries(&file.borrow()).count(), 1, "its start is written at once");
    recorded.handle_timeout(at(SECOND + 5));
    let written = file.borrow().len();
    assert_eq!(drain(&mut recorded).1, None, "there is nothing to wait for");
    // None of that was for the broadcaster.
    recorded.handle_timeout(at(9 * SECOND));
    drain(&mut recorded);
    drop(recorded);
    assert_eq!(file.borrow().len(), written);
    assert_eq!(entries(&file.borrow()).count(), 5, "start, datagram, polled, datagram, polled");
    replayed(&file.borrow()).unwrap();
}

#[test]
fn timeouts_that_are_due_are_recorded() {
    let file = RefCell::default();
    let mut recorded = recorded(RecordLimits::default(), &file, usize::MAX);
    recorded.handle_datagram(at(0), host(), &[0]);
    drain(&mut recorded);
    recorded.handle_timeout(at(SECOND));
    let (outputs, _) = drain(&mut recorded);
    assert_eq!(outputs.len(), 2, "the pool has ended");
    drop(recorded);
    let played: Vec<_> = entries(&file.borrow()).map(|entry| entry.unwrap().input).collect();
    assert_eq!(played[4], Input::Timeout);
    replayed(&file.borrow()).unwrap();
}

#[test]
fn much_is_written_at_once() {
    let file = RefCell::default();
    let limits = RecordLimits { max_waiting: 1_000, ..RecordLimits::default() };
    let mut recorded = recorded(limits, &file, usize::MAX);
    let mut longest = 0;
    for _ in 0..100 {
        let before = file.borrow().len();
        recorded.handle_datagram(at(0), host(), &[99; 50]);
        longest = longest.max(file.borrow().len() - before);
        drain(&mut recorded);
    }
    assert!(file.borrow().len() > 5_000);
    assert!((1_000..1_200).contains(&longest), "{longest}");
}

#[test]
fn a_full_trace_ends_and_the_broadcaster_goes_on() {
    let file = RefCell::default();
    let limits = RecordLimits { max_bytes: 2_000, ..RecordLimits::default() };
    let mut recorded = recorded(limits, &file, usize::MAX);
    for round in 0..100 {
        recorded.handle_datagram(at(round), host(), &[0; 20]);
        assert!(!drain(&mut recorded).0.is_empty());
    }
    assert!(!recorded.is_recording());
    assert_eq!(recorded.stats().pools_created, 100);
    let len = file.borrow().len();
    assert!((2_000..2_100).contains(&len), "{len}");
    replayed(&file.borrow()).unwrap();
}

#[test]
fn a_trace_that_cannot_be_written_ends_and_the_broadcaster_goes_on() {
    let file = RefCell::default();
    let limits = RecordLimits { write_after: Duration::ZERO, ..RecordLimits::default() };
    let mut recorded = recorded(limits, &file, 500);
    for round in 0..100 {
        recorded.handle_datagram(at(round), host(), &[0]);
        assert!(!drain(&mut recorded).0.is_empty());
    }
    assert!(!recorded.is_recording());
    assert_eq!(recorded.stats().pools_created, 100);
    assert!(file.borrow().len() > 300);
    assert!(replayed(&file.borrow()).unwrap().polls > 2);
}

#[test]
fn a_trace_that_cannot_be_begun_is_none() {
    let file = RefCell::default();
    assert!(!recorded(RecordLimits::default(), &file, 1).is_recording());
    assert!(recorded(RecordLimits::default(), &file, 1_000).is_recording());
}

#[test]
fn a_trace_goes_to_memory_or_to_a_writer_all_of_it() {
    fn lists(sink: impl Sink) {
        let limits = RecordLimits::default();
        let mut recorded =
            RecordedBroadcaster::new(BroadcasterConfig::default().with_classic(), counter(), limits, sink);
        recorded.handle_datagram(at(0), host(), &[2]);
        drain(&mut recorded);
    }
    let (mut memory, mut written) = (Vec::new(), Vec::new());
    lists(&mut memory);
    lists(WriterSink(&mut written));
    assert_eq!(memory, written);
    assert_eq!(replayed(&memory).unwrap().entries, 3);
}
