//! The link's rules.

use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;

use super::*;

fn at(millis: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(millis)
}

fn link(change: impl FnOnce(&mut LinkConfig)) -> Link {
    let mut config = LinkConfig::default();
    change(&mut config);
    Link::new(config, at(0))
}

/// What it writes until it has nothing more, and whether it then closed its half.
fn written(link: &mut Link) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    loop {
        match link.poll_transmit() {
            Some(Write::Bytes(chunk)) => bytes.extend_from_slice(&chunk),
            Some(Write::Finish) => return (bytes, true),
            None => return (bytes, false),
        }
    }
}

fn events(link: &mut Link) -> Vec<LinkEvent> {
    core::iter::from_fn(|| link.poll_event()).collect()
}

fn closed(reason: CloseReason) -> Vec<LinkEvent> {
    vec![LinkEvent::Closed(reason)]
}

const MSG: &[u8] = b"\x0a\0\0\0\x03\0\0\0msgabc";

#[test]
fn a_frame_looks_as_in_gop2p() {
    let mut link = link(|_| {});
    link.send("msg", &b"abc"[..]).unwrap();
    assert_eq!(written(&mut link), (MSG.to_vec(), false));
}

#[test]
fn full_queues_nothing_and_writable_follows_once() {
    let mut link = link(|config| config.max_queued = 100);
    for _ in 0..2 {
        link.send("e", vec![0; 41]).unwrap();
    }
    assert_eq!(link.send("e", vec![0; 1]), Err(SendError::Full));
    assert_eq!(link.queued(), 100);
    assert_eq!(link.poll_event(), None);
    assert_eq!(written(&mut link).0.len(), 100);
    assert_eq!(link.interest().deadline, Some(Instant::ZERO), "an event waits");
    assert_eq!(events(&mut link), [LinkEvent::Writable]);
    assert_eq!(link.interest().deadline, None);
    link.send("e", vec![0; 1]).unwrap();
}

#[test]
fn a_chunk_in_flight_counts_until_the_next_is_asked_for() {
    let mut link = link(|config| config.max_queued = 100);
    link.send("e", vec![0; 80]).unwrap();
    assert!(link.poll_transmit().is_some());
    assert_eq!(link.send("e", vec![0; 80]), Err(SendError::Full));
    assert!(link.poll_transmit().is_none());
    link.send("e", vec![0; 80]).unwrap();
}

#[test]
fn a_frame_longer_than_the_queue_goes_alone() {
    let mut link = link(|config| config.max_queued = 100);
    link.send("e", vec![0; 1_000]).unwrap();
    assert_eq!(link.send("e", vec![]), Err(SendError::Full));
    written(&mut link);
    link.send("e", vec![]).unwrap();
}

#[test]
fn a_link_without_shared_memory_looks_again_by_itself() {
    let budget = Budget::new(100);
    let mut one = Link::with_budget(LinkConfig::default(), at(0), budget.clone());
    let mut other = Link::with_budget(LinkConfig::default(), at(0), budget);
    one.send("e", vec![0; 80]).unwrap();
    assert_eq!(other.send("e", vec![0; 80]), Err(SendError::Full));
    assert_eq!(other.interest().deadline, Some(at(20)));
    other.handle_timeout(at(30));
    assert_eq!((events(&mut other), other.interest().deadline), (vec![], Some(at(50))));
    written(&mut one);
    other.handle_timeout(at(50));
    assert_eq!(events(&mut other), [LinkEvent::Writable]);
    other.send("e", vec![0; 80]).unwrap();
}

#[test]
fn the_longest_frame_passes_and_one_byte_more_does_not() {
    let mut link = link(|config| config.max_frame = 20);
    assert_eq!(link.send("e", vec![0; 16]), Err(SendError::TooLong { len: 21, max: 20 }));
    link.send("e", vec![0; 15]).unwrap();
    let bytes = Bytes::from(written(&mut link).0);
    link.handle_bytes(at(0), bytes);
    assert!(matches!(events(&mut link)[..], [LinkEvent::Received(_)]));
    link.handle_bytes(at(0), Bytes::from_static(&[21, 0, 0, 0]));
    assert_eq!(events(&mut link), closed(CloseReason::FrameTooLong { len: 21 }));
    assert_eq!(link.send("e", vec![]), Err(SendError::Closed));
}

#[test]
fn empty_and_malformed_frames_are_counted_and_skipped() {
    let mut link = link(|_| {});
    link.handle_bytes(at(0), Bytes::from_static(b"\0\0\0\0\x05\0\0\0\x64\0\0\0a\x04\0\0\0\xff\xff\xff\xff"));
    link.handle_bytes(at(0), Bytes::from_static(MSG));
    assert!(matches!(events(&mut link)[..], [LinkEvent::Received(_)]));
    assert_eq!((link.stats().empty, link.stats().malformed, link.stats().received), (1, 2, 1));
}

#[test]
fn an_application_that_does_not_poll_stops_the_reading() {
    let mut link = link(|config| config.max_received = 2 * MSG.len());
    link.handle_bytes(at(0), Bytes::from_static(MSG));
    assert!(link.interest().read);
    link.handle_bytes(at(0), Bytes::from_static(MSG));
    assert!(!link.interest().read);
    assert_eq!(link.interest().deadline, Some(Instant::ZERO));
    link.poll_event();
    assert!(link.interest().read);
    events(&mut link);
    assert_eq!(link.interest(), Interest { deadline: None, read: true, write: false });
}

#[test]
fn what_came_before_the_end_is_handed_out() {
    for (cut, reason) in [(0, CloseReason::Remote), (2, CloseReason::CutShort), (5, CloseReason::CutShort)] {
        let mut link = link(|_| {});
        link.handle_bytes(at(0), Bytes::from([MSG, &MSG[..cut]].concat()));
        link.handle_eof(at(0));
        let events = events(&mut link);
        assert!(matches!(&events[..], [LinkEvent::Received(_), LinkEvent::Closed(why)] if *why == reason));
        assert!(link.is_ended());
        assert_eq!(link.interest(), Interest { deadline: None, read: false, write: false });
    }
    let mut link = link(|_| {});
    link.handle_bytes(at(0), Bytes::from_static(MSG));
    link.handle_failure(at(0), Fault::Reset);
    let end = LinkEvent::Closed(CloseReason::Failed(Fault::Reset));
    assert!(matches!(&events(&mut link)[..], [LinkEvent::Received(_), last] if *last == end));
}

#[test]
fn an_orderly_close_writes_finishes_and_waits_for_the_peer() {
    let mut link = link(|_| {});
    link.send("msg", &b"abc"[..]).unwrap();
    link.close(at(0));
    assert_eq!(link.send("e", vec![]), Err(SendError::Closed));
    link.handle_bytes(at(0), Bytes::from_static(MSG));
    assert_eq!(written(&mut link), (MSG.to_vec(), true));
    assert_eq!(events(&mut link), [], "the peer has not closed yet, and what it sends is dropped");
    assert_eq!(link.interest(), Interest { deadline: Some(at(1_000)), read: true, write: false });
    link.handle_eof(at(500));
    assert_eq!(events(&mut link), closed(CloseReason::Local));
}

#[test]
fn a_peer_that_closed_first_is_still_written_to() {
    let mut link = link(|_| {});
    link.send("msg", &b"abc"[..]).unwrap();
    link.close(at(0));
    link.handle_eof(at(1));
    assert_eq!(events(&mut link), []);
    assert!(!link.interest().read);
    assert_eq!(written(&mut link), (MSG.to_vec(), false));
    assert_eq!(events(&mut link), closed(CloseReason::Local));
}

#[test]
fn a_close_ends_in_bounded_time_whoever_does_not_read() {
    let mut link = link(|_| {});
    link.send("msg", &b"abc"[..]).unwrap();
    link.close(at(0));
    let _writing = link.poll_transmit();
    link.handle_timeout(at(1_000));
    assert_eq!(events(&mut link), closed(CloseReason::Unwritten { bytes: MSG.len() }));
    assert_eq!(link.poll_transmit(), None);
}

/// Says that it is too late, and looks again.
fn overdue(link: &mut Link, millis: u64) {
    link.handle_timeout(at(millis));
    assert_eq!((events(link), link.interest().deadline), (vec![], Some(at(millis + 100))));
    link.handle_timeout(at(millis + 100));
}

#[test]
fn idle_detection_is_off_until_asked_for() {
    let mut patient = link(|_| {});
    patient.handle_timeout(at(1_000_000_000));
    assert_eq!((patient.interest().deadline, events(&mut patient)), (None, vec![]));

    let mut strict = link(|config| config.idle_timeout = Some(Duration::from_secs(1)));
    assert_eq!(strict.interest().deadline, Some(at(1_000)));
    strict.handle_bytes(at(900), Bytes::from_static(&[1]));
    assert!(events(&mut strict).is_empty());
    strict.handle_timeout(at(1_899));
    assert!(events(&mut strict).is_empty());
    strict.handle_timeout(at(1_900));
    assert_eq!((events(&mut strict), strict.interest().deadline), (vec![], Some(at(2_000))), "a second look");
    strict.handle_timeout(at(1_999));
    assert!(events(&mut strict).is_empty());
    strict.handle_timeout(at(2_000));
    assert_eq!(events(&mut strict), closed(CloseReason::Idle));
}

#[test]
fn an_application_that_takes_its_time_makes_no_peer_idle() {
    let mut link = link(|config| config.idle_timeout = Some(Duration::from_secs(1)));
    link.handle_bytes(at(0), Bytes::from_static(MSG));
    assert!(link.poll_event().is_some());
    assert_eq!(link.interest().deadline, None);
    link.handle_timeout(at(10_000));
    assert_eq!(link.poll_event(), None);
    assert_eq!(link.interest().deadline, Some(at(11_000)));
    overdue(&mut link, 11_000);
    assert_eq!(events(&mut link), closed(CloseReason::Idle));
}

#[test]
fn a_frame_has_to_be_whole_in_time() {
    let mut patient = link(|_| {});
    patient.handle_bytes(at(0), Bytes::from_static(&MSG[..1]));
    assert_eq!(events(&mut patient), []);
    patient.handle_timeout(at(1_000_000_000));
    assert_eq!((patient.interest().deadline, events(&mut patient)), (None, vec![]));

    let strict = |config: &mut LinkConfig| config.frame_timeout = Some(Duration::from_secs(1));
    let mut trickled = link(strict);
    for (millis, byte) in [0, 200, 400, 600, 800, 1_000, 1_050, 1_100].into_iter().zip(&MSG[..8]) {
        trickled.handle_bytes(at(millis), Bytes::copy_from_slice(&[*byte]));
        let end = if millis < 1_100 { vec![] } else { closed(CloseReason::FrameTooSlow { bytes: 8 }) };
        assert_eq!(events(&mut trickled), end, "after {millis} ms");
    }

    // Silence within a frame ends it as well, and each frame has its own time.
    let mut silent = link(strict);
    assert_eq!(silent.interest().deadline, None);
    silent.handle_bytes(at(0), Bytes::from_static(&MSG[..5]));
    assert_eq!((events(&mut silent), silent.interest().deadline), (vec![], Some(at(1_000))));
    silent.handle_bytes(at(900), Bytes::from([&MSG[5..], &MSG[..5]].concat()));
    assert_eq!(events(&mut silent).len(), 1);
    assert_eq!(silent.interest().deadline, Some(at(1_900)));
    silent.handle_timeout(at(1_899));
    assert_eq!(events(&mut silent), []);
    overdue(&mut silent, 1_900);
    assert_eq!(events(&mut silent), closed(CloseReason::FrameTooSlow { bytes: 5 }));
}

#[test]
fn empty_and_malformed_frames_end_a_slow_one() {
    for rest in [&b"\0"[..], &b"\0\x02\0\0\0ab"[..]] {
        let mut link = link(|config| config.frame_timeout = Some(Duration::from_secs(1)));
        link.handle_bytes(at(0), Bytes::from_static(&[0, 0, 0]));
        assert_eq!(events(&mut link), []);
        link.handle_bytes(at(999), Bytes::from_static(rest));
        assert_eq!((events(&mut link), link.interest().deadline), (vec![], None));
    }
}

#[test]
fn a_stall_of_driver_or_application_makes_no_frame_slow() {
    let mut link = link(|config| config.frame_timeout = Some(Duration::from_secs(1)));
    // The application is busy with the event before it.
    link.handle_bytes(at(0), Bytes::from([MSG, &MSG[..5]].concat()));
    assert!(link.poll_event().is_some());
    link.handle_timeout(at(10_000));
    assert_eq!((events(&mut link), link.interest().deadline), (vec![], Some(at(11_000))));
    // What came meanwhile is looked at before the time is.
    link.handle_bytes(at(20_000), Bytes::from_static(&MSG[5..]));
    link.handle_timeout(at(20_000));
    assert!(matches!(events(&mut link)[..], [LinkEvent::Received(_)]));
    assert_eq!(link.interest().deadline, None);
}

#[test]
fn a_driver_that_stands_still_makes_no_peer_idle_and_no_frame_slow() {
    let second = Some(Duration::from_secs(1));
    let mut link = link(|config| (config.idle_timeout, config.frame_timeout) = (second, second));
    let partly = |link: &mut Link, millis| {
        link.handle_bytes(at(millis), Bytes::from_static(&MSG[..1]));
        events(link)
    };
    assert_eq!(partly(&mut link, 0), []);
    // So late that it has stood still: the peer has its whole time again, from now on.
    link.handle_timeout(at(1_100));
    assert_eq!((events(&mut link), link.interest().deadline), (vec![], Some(at(2_100))));
    // Once a frame: it is no excuse for a frame without end.
    link.handle_bytes(at(2_000), Bytes::from_static(&MSG[1..2]));
    assert_eq!((events(&mut link), link.interest().deadline), (vec![], Some(at(2_100))));
    link.handle_bytes(at(5_000), Bytes::from_static(&MSG[2..5]));
    assert_eq!((events(&mut link), link.interest().deadline), (vec![], Some(at(5_100))));
    link.handle_timeout(at(5_100));
    assert_eq!(events(&mut link), closed(CloseReason::FrameTooSlow { bytes: 5 }));
}

#[test]
fn what_comes_after_a_short_stall_is_found_by_a_second_look() {
    let second = Some(Duration::from_secs(1));
    let mut link = link(|config| (config.idle_timeout, config.frame_timeout) = (second, second));
    link.handle_bytes(at(0), Bytes::from_static(&MSG[..1]));
    assert_eq!(events(&mut link), []);
    link.handle_timeout(at(1_050));
    assert_eq!((events(&mut link), link.interest().deadline), (vec![], Some(at(1_150))));
    assert!(link.interest().read);
    link.handle_bytes(at(1_051), Bytes::from_static(&MSG[1..]));
    assert!(matches!(events(&mut link)[..], [LinkEvent::Received(_)]));
    link.handle_timeout(at(1_150));
    assert_eq!((events(&mut link), link.interest().deadline), (vec![], Some(at(2_051))));
    // The next silence has a look of its own.
    link.handle_timeout(at(2_051));
    assert_eq!((events(&mut link), link.interest().deadline), (vec![], Some(at(2_151))));
}

#[test]
fn a_frame_is_given_its_time_again_when_it_comes_in_pieces_after_a_stall() {
    let mut link = link(|config| config.frame_timeout = Some(Duration::from_secs(1)));
    for (piece, deadline) in [(&MSG[..3], 1_000), (&MSG[3..6], 11_000)] {
        link.handle_bytes(at(deadline - 1_000), Bytes::from_static(piece));
        assert_eq!((events(&mut link), link.interest().deadline), (vec![], Some(at(deadline))));
    }
    link.handle_bytes(at(10_500), Bytes::from([&MSG[6..], &MSG[..1]].concat()));
    assert!(matches!(events(&mut link)[..], [LinkEvent::Received(_)]));
    // The next frame may meet a stall of its own.
    link.handle_timeout(at(20_000));
    assert_eq!((events(&mut link), link.interest().deadline), (vec![], Some(at(21_000))));
    overdue(&mut link, 21_099);
    assert_eq!(events(&mut link), closed(CloseReason::FrameTooSlow { bytes: 1 }));
}

#[test]
fn a_silence_is_given_its_time_again_once() {
    let mut link = link(|config| config.idle_timeout = Some(Duration::from_secs(1)));
    link.handle_timeout(at(1_100));
    assert_eq!((events(&mut link), link.interest().deadline), (vec![], Some(at(2_100))));
    overdue(&mut link, 9_000);
    assert_eq!(events(&mut link), closed(CloseReason::Idle));
}

#[test]
fn what_nobody_has_polled_is_no_silence() {
    let mut link = link(|config| config.idle_timeout = Some(Duration::from_secs(1)));
    link.handle_bytes(at(0), Bytes::from_static(MSG));
    link.handle_timeout(at(1_050));
    assert!(matches!(events(&mut link)[..], [LinkEvent::Received(_)]));
    assert_eq!(link.interest().deadline, Some(at(2_050)));
}

#[test]
fn a_connection_that_was_not_read_was_not_silent() {
    let second = Some(Duration::from_secs(1));
    let mut link = link(|config| (config.idle_timeout, config.frame_timeout) = (second, second));
    link.handle_bytes(at(0), Bytes::from_static(&MSG[..1]));
    assert_eq!(events(&mut link), []);
    for millis in (900..9_000).step_by(900) {
        link.handle_bytes(at(millis), Bytes::new());
        assert_eq!((events(&mut link), link.interest().deadline), (vec![], Some(at(millis + 1_000))));
    }
}

#[test]
fn what_the_peer_or_the_application_does_comes_before_the_time() {
    let strict = || link(|config| config.idle_timeout = Some(Duration::from_secs(1)));
    let mut left = strict();
    left.handle_eof(at(1_050));
    assert_eq!(events(&mut left), closed(CloseReason::Remote));
    let mut broken = strict();
    broken.handle_failure(at(1_050), Fault::Reset);
    assert_eq!(events(&mut broken), closed(CloseReason::Failed(Fault::Reset)));
    // Nothing that was queued is lost.
    let mut closing = strict();
    closing.send("e", "last").unwrap();
    closing.close(at(1_050));
    assert_eq!((events(&mut closing), closing.queued()), (vec![], 13));
}

#[test]
fn nothing_follows_the_end() {
    let mut link = link(|_| {});
    link.handle_failure(at(0), Fault::Reset);
    assert_eq!(events(&mut link), closed(CloseReason::Failed(Fault::Reset)));
    link.handle_bytes(at(0), Bytes::from_static(MSG));
    link.handle_eof(at(0));
    link.close(at(0));
    link.handle_timeout(Instant::NEVER);
    assert_eq!((events(&mut link), written(&mut link)), (vec![], (vec![], false)));
}

#[test]
fn a_frame_that_just_fits_is_queued_and_one_byte_more_is_not() {
    let mut link = link(|config| config.max_queued = 100);
    link.send("e", vec![0; 51]).unwrap();
    assert_eq!(link.send("e", vec![0; 32]), Err(SendError::Full));
    link.send("e", vec![0; 31]).unwrap();
    assert_eq!((link.queued(), link.stats().sent, link.stats().full), (100, 2, 1));

    let mut poor = Link::with_budget(LinkConfig::default(), at(0), Budget::new(100));
    assert_eq!(poor.send("e", vec![0; 92]), Err(SendError::TooLong { len: 97, max: 96 }));
    poor.send("e", vec![0; 91]).unwrap();
}

#[test]
fn writable_comes_at_half_of_the_bound_if_the_frame_fits() {
    for (len, room_at) in [(10, 50), (60, 40)] {
        let mut link = link(|config| (config.max_queued, config.pack) = (100, 1));
        for _ in 0..10 {
            link.send("", vec![0; 2]).unwrap();
        }
        assert_eq!(link.send("", vec![0; len - 8]), Err(SendError::Full));
        while link.poll_event().is_none() {
            assert!(link.poll_transmit().is_some(), "no room for {len} at {}", link.queued());
        }
        assert_eq!(link.queued(), room_at);
        link.send("", vec![0; len - 8]).unwrap();
    }
}

#[test]
fn shared_memory_is_looked_at_when_it_is_all_that_is_missing() {
    let budget = Budget::new(165);
    let mut other = Link::with_budget(LinkConfig::default(), at(0), budget.clone());
    other.send("", vec![0; 92]).unwrap();
    let config = LinkConfig { max_queued: 100, ..LinkConfig::default() };
    let mut link = Link::with_budget(config, at(0), budget);
    link.send("", vec![0; 52]).unwrap();
    assert_eq!(link.send("", vec![0; 62]), Err(SendError::Full));
    assert_eq!(link.interest().deadline, None, "it is full itself");
    link.handle_timeout(at(10));
    written(&mut link);
    assert_eq!(link.interest().deadline, Some(at(30)));
}

#[test]
fn the_writing_half_is_closed_once() {
    let mut link = link(|_| {});
    assert!(link.is_open() && !link.is_ended() && !link.interest().write);
    link.send("msg", &b"abc"[..]).unwrap();
    assert!(link.interest().write);
    written(&mut link);
    link.close(at(0));
    assert!(!link.is_open() && !link.is_ended());
    assert!(link.interest().write, "there is nothing to write but the end");
    assert_eq!(link.poll_transmit(), Some(Write::Finish));
    assert_eq!(link.poll_transmit(), None);
    assert!(!link.interest().write);
    link.handle_eof(at(0));
    assert!(link.is_ended());
}

#[test]
fn a_frame_that_is_read_in_part_has_its_time_from_then_on() {
    let mut link = link(|config| config.frame_timeout = Some(Duration::from_millis(500)));
    let mut buffer = bytes::BytesMut::from(&MSG[..3]);
    link.handle_read(at(100), &mut buffer);
    assert_eq!(link.interest().deadline, Some(at(600)), "though nobody polls: there is nothing to poll for");
    buffer.extend_from_slice(&MSG[3..]);
    link.handle_read(at(200), &mut buffer);
    assert!(matches!(link.poll_events(), Some(LinkEvents::Received(frames)) if frames.messages() == 1));
    assert_eq!((link.poll_events(), link.interest().deadline), (None, None));
}
