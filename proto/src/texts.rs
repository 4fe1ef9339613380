//! What errors say: that it is said, in one line, with the numbers that it is about.

use alloc::string::ToString;
use alloc::vec::Vec;
use core::error::Error;
use core::net::SocketAddr;

use crate::wire::{FrameTooLong, RequestFault, ResponseFault, Words};
use crate::{
    AmbiguousArray, CallError, CallFailed, CloseReason, ConnectError, DialFailure, Fault, InvalidPoolId,
    PacketError, PeerId, Refusal, SendError,
};

fn address() -> SocketAddr {
    ([192, 0, 2, 1], 77).into()
}

/// Texts that differ, are one line each, and hold what they are about.
fn check<T: ToString>(told: impl IntoIterator<Item = (T, &'static str)>) {
    let mut texts = Vec::new();
    for (what, about) in told {
        let text = what.to_string();
        assert!(text.contains(about), "{text:?} does not say {about:?}");
        assert!(!text.is_empty() && !text.contains('\n') && !text.ends_with('.'), "{text:?}");
        assert!(!texts.contains(&text), "{text:?} is said of two things");
        texts.push(text);
    }
}

fn boxed(error: impl Error + 'static) -> alloc::boxed::Box<dyn Error> {
    alloc::boxed::Box::new(error)
}

#[test]
fn faults_and_ends_say_what_happened() {
    check(Fault::EACH.map(|fault| (fault, "")));
    check([
        (CloseReason::Local, "here"),
        (CloseReason::Unwritten { bytes: 77 }, "77"),
        (CloseReason::Remote, "peer"),
        (CloseReason::CutShort, "frame"),
        (CloseReason::FrameTooLong { len: 77 }, "77"),
        (CloseReason::FrameTooSlow { bytes: 77 }, "77"),
        (CloseReason::Idle, "idle"),
        (CloseReason::Failed(Fault::Reset), "connection reset"),
    ]);
    check([
        (DialFailure::Failed { fault: Fault::Refused, attempts: 1 }, "connection refused"),
        (DialFailure::Failed { fault: Fault::Refused, attempts: 77 }, "77"),
        (DialFailure::TooManyLinks, "links"),
        (DialFailure::TooManyDials, "dialed"),
        (DialFailure::Closed, "closed"),
    ]);
    assert_eq!(PeerId(77).to_string(), "#77");
}

#[test]
fn the_callers_errors_say_the_limit() {
    check([
        (boxed(CallError::TooManyCalls { limit: 77 }), "77"),
        (boxed(CallError::TooManyPools { limit: 77 }), "77"),
        (boxed(CallError::Closed), "client"),
        (boxed(SendError::Full), "slowly"),
        (boxed(SendError::TooLong { len: 77, max: 9 }), "77"),
        (boxed(SendError::Closed), "link"),
        (boxed(ConnectError::TooManyDials { limit: 77 }), "77"),
        (boxed(ConnectError::Closed), "mesh"),
        (boxed(AmbiguousArray { index: 77 }), "77"),
        (boxed(InvalidPoolId::Empty), "empty"),
        (boxed(InvalidPoolId::TooLong { len: 77 }), "77"),
        (boxed(InvalidPoolId::Space { at: 77 }), "77"),
        (boxed(PacketError::Missing { what: "u64", needed: 8, missing: 7 }), "7 of its 8"),
        (boxed(PacketError::NotUtf8 { valid_up_to: 77 }), "77"),
        (boxed(FrameTooLong { len: 77, max: 9 }), "77"),
    ]);
    let refusal = Refusal::Other(Words::new(b"no\nway"));
    check([
        (CallFailed::from(CallError::TooManyCalls { limit: 77 }), "77"),
        (CallFailed::Refused(refusal), "no\\nway"),
        (CallFailed::TimedOut { broadcaster: address(), sent: 3 }, "192.0.2.1:77 (asked 3 times)"),
        (CallFailed::from(CallError::Closed), "closed"),
    ]);
}

#[test]
fn refusals_say_the_limit() {
    let (limit, pool) = (77, "p".parse().unwrap());
    check([
        (Refusal::NoSuchPool(Words::new(b"p\n")), "p\\n"),
        (Refusal::NotHost, "host"),
        (Refusal::UnknownRequest, "unknown"),
        (Refusal::Truncated { missing: 77 }, "77"),
        (Refusal::TooLong { limit }, "77"),
        (Refusal::TooManyPools { limit }, "77 pools"),
        (Refusal::TooManyPoolsFromSource { limit }, "77 pools"),
        (Refusal::PoolFull { pool, limit }, "p has its limit of 77"),
        (Refusal::TooManyPeers { limit }, "77 peers"),
        (Refusal::NoFreshId, "fresh"),
        (Refusal::Other(Words::new(b"come back")), "come back"),
    ]);
}

#[test]
fn faults_of_datagrams_say_what_is_missing() {
    check([
        (RequestFault::Empty, "empty"),
        (RequestFault::UnknownType(77), "77"),
        (RequestFault::Truncated { missing: 77 }, "77"),
        (RequestFault::Answer, "answer"),
        (RequestFault::NotAPoolId(b"\n"), "\\n"),
    ]);
    check([
        (ResponseFault::Empty, "empty"),
        (ResponseFault::UnknownType(77), "77"),
        (ResponseFault::Truncated { missing: 77 }, "77"),
        (ResponseFault::TrailingBytes { count: 77 }, "77"),
        (ResponseFault::BadItem { index: 77 }, "77"),
    ]);
}

#[test]
#[cfg(feature = "std")]
fn failed_connects_say_where() {
    use crate::driver::ConnectFailed;
    use crate::{ConnectId, ConnectReport};

    let failure = DialFailure::TooManyLinks;
    let report = |failed| ConnectReport { id: ConnectId(0), connected: Vec::new(), failed };
    check([
        (ConnectFailed::from(ConnectError::Closed), "mesh"),
        (ConnectFailed::Resolve(std::io::Error::other("no such name")), "no such name"),
        (
            ConnectFailed::of(&report([(address(), failure)].to_vec()), address()),
            "192.0.2.1:77 can't be reached",
        ),
        (ConnectFailed::of(&report(Vec::new()), address()), "192.0.2.1:77 has closed"),
    ]);
}

#[test]
#[cfg(feature = "trace")]
fn faults_of_traces_say_where_and_what() {
    use crate::Instant;
    use crate::trace::{Departure, Difference, Polled, TraceError, TraceFault};

    let machine = Polled::Mesh;
    check([
        (TraceFault::NotATrace, "no trace"),
        (TraceFault::UnknownVersion { version: 77 }, "77"),
        (TraceFault::Cut { missing: 77 }, "77"),
        (TraceFault::TooLong { len: 77, max: 9 }, "77"),
        (TraceFault::Short { missing: 77 }, "77"),
        (TraceFault::Trailing { bytes: 77 }, "77"),
        (TraceFault::Unknown { what: "fault", number: 77 }, "77 is no known fault"),
        (TraceFault::Missing { what: "setting", number: 77 }, "setting with number 77"),
        (TraceFault::OutOfRange, "large"),
        (TraceFault::PoolId(InvalidPoolId::Empty), "empty"),
    ]);
    check([
        (Departure::Outputs { machine, expected: 77, came: 9 }, "77"),
        (Departure::Digest { machine, expected: 0x77, came: 9 }, "77"),
        (Departure::Draws { expected: 77, came: 9 }, "77"),
        (Departure::DrawnByNobody, "nothing"),
        (Departure::NotStarted, "started"),
        (Departure::OtherProgram, "no such machine"),
    ]);
    let departure = Departure::NotStarted;
    let difference = Difference { number: 77, program: 5, now: Instant::from_micros(9), departure };
    check([
        (boxed(TraceError { offset: 77, fault: TraceFault::NotATrace }), "byte 77"),
        (boxed(difference), "77"),
    ]);
}
