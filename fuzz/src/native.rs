//! What either side reads of the native dialect: any bytes, with a tag that the target makes right, for nothing else
//! would get past it.

use bytes::BytesMut;
use poolmesh_proto::wire::native::{
    Act, Address, Answer, Call, Challenge, Change, FIRST_BYTE, Fault, FromBroadcaster, FromClient, Items,
    Key, LEAST_MESSAGE, LEAST_REQUEST, LONGEST_TO_UNPROVEN, MAX_DATAGRAM, Message, News, Notice, PageStart,
    PoolSpec, Refusal, Reply, Request, Spec, tag,
};
use poolmesh_proto::wire::{Dialect, classic};

use crate::memory::allocations;

/// The key of what has none of its own: answers, messages of members and what is said to them.
const KEY: Key = Key::new([7; 16]);

/// The bytes of a tag, and of what stands before the fields.
const TAG: usize = 8;
const HEADER: usize = 2;

/// The longest request and the longest message of a member, in bytes, as their writers promise it.
const MAX_REQUEST: usize = 930;
const MAX_MESSAGE: usize = 677;

/// What stands in the buffer already: writing appends.
const BEFORE: &[u8] = b"before";

/// Reads `data` for both sides, as it is and with a right tag. One side at most reads it, and allocates nothing; what
/// is read is written as the bytes it was read from, and reads the same again; a fault is true of the bytes.
///
/// # Panics
/// If not.
pub fn check(data: &[u8]) {
    decodes(data);
}

/// The same, and whether it means something.
///
/// # Panics
/// As [`check`].
pub fn decodes(data: &[u8]) -> bool {
    let as_it_is = read(data);
    assert_eq!(Dialect::of(data) == Dialect::Native, data.first() == Some(&FIRST_BYTE));
    let untagged = data.get(..data.len().saturating_sub(TAG)).unwrap_or_default();
    let tagged = with_tag(untagged);
    if data.len() < HEADER + TAG || data.len() > MAX_DATAGRAM {
        check_fault(data, as_it_is.expect_err("it is too short or too long"));
        return false;
    }
    let right = read(&tagged);
    assert!(as_it_is == right || as_it_is == Err(Fault::WrongTag), "{as_it_is:?}, tagged {right:?}");
    match right {
        Ok(meaning) => {
            check_meaning(&meaning, untagged);
            true
        }
        Err(fault) => {
            check_fault(&tagged, fault);
            check_more(untagged, fault);
            false
        }
    }
}

/// What a datagram says, whoever writes it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Meaning<'a> {
    Request(Request<'a>),
    Message(Message<'a>),
    Answer(Answer<'a>),
    Notice(Notice<'a>),
    Challenge(Challenge),
}

/// These bytes, and the tag that belongs behind them.
fn with_tag(untagged: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(untagged.len() + TAG);
    bytes.extend_from_slice(untagged);
    bytes.extend_from_slice(&tag(&key(untagged), untagged));
    bytes
}

/// The key of a datagram's tag: a request has it in itself.
fn key(datagram: &[u8]) -> Key {
    match datagram {
        [_, 0x01..=0x0f, fields @ ..] => fields.first_chunk().map_or(Key::ZERO, |key| Key::new(*key)),
        [_, 0xa0..=0xaf, ..] => Key::ZERO,
        _ => KEY,
    }
}

/// Reads it for both sides, with every item in it. It allocates nothing, and is for one side at most.
fn read(datagram: &[u8]) -> Result<Meaning<'_>, Fault> {
    let before = allocations();
    let to_broadcaster = FromClient::read(datagram).and_then(|read| match read {
        FromClient::Request(request) => Ok(Meaning::Request(request)),
        FromClient::Message(message) => message.verify(&KEY).map(Meaning::Message),
    });
    let to_client = FromBroadcaster::read(datagram).and_then(|read| match read {
        FromBroadcaster::Answer(answer) => answer.verify(&KEY).map(Meaning::Answer),
        FromBroadcaster::Notice(notice) => notice.verify(&KEY).map(Meaning::Notice),
        FromBroadcaster::Challenge(challenge) => Ok(Meaning::Challenge(challenge)),
    });
    let items = [&to_broadcaster, &to_client].map(|read| read.map_or((0, 0), |meaning| items(&meaning)));
    assert_eq!(allocations(), before, "reading allocates");
    for (claimed, there) in items {
        assert_eq!(claimed, there, "items that were checked are not there");
    }
    match (to_broadcaster, to_client) {
        (read, Err(Fault::WrongSide)) | (Err(Fault::WrongSide), read) => {
            assert_ne!(read, Err(Fault::WrongSide), "it is nobody's");
            read
        }
        (Err(one), Err(other)) if one == other => Err(one),
        (one, other) => panic!("{one:?} to a broadcaster, {other:?} to a client"),
    }
}

/// How many items a list says that it has, and how many there are.
fn items(meaning: &Meaning<'_>) -> (usize, usize) {
    match meaning {
        Meaning::Answer(Answer { reply: Reply::Pools { listings, .. }, .. }) => {
            (listings.len(), listings.count())
        }
        Meaning::Notice(Notice { news: News::Page(page), .. }) => (page.entries.len(), page.entries.count()),
        Meaning::Notice(Notice { news: News::Changed { changes, .. }, .. }) => {
            (changes.len(), changes.count())
        }
        Meaning::Request(_)
        | Meaning::Message(_)
        | Meaning::Answer(_)
        | Meaning::Notice(_)
        | Meaning::Challenge(_) => (0, 0),
    }
}

/// Writes it, and answers the bytes without their tag.
fn write(meaning: &Meaning<'_>) -> BytesMut {
    let mut out = BytesMut::from(BEFORE);
    match meaning {
        Meaning::Request(request) => request.write(&mut out),
        Meaning::Message(message) => message.write(&KEY, &mut out),
        Meaning::Answer(answer) => answer.write(&KEY, &mut out),
        Meaning::Notice(notice) => assert_eq!(notice.write(&KEY, &mut out), 0, "items that had room before"),
        Meaning::Challenge(challenge) => challenge.write(&mut out),
    }
    let mut written = out.split_off(BEFORE.len());
    assert_eq!(out, BEFORE);
    let tag = written.split_off(written.len() - TAG);
    assert_eq!(tag[..], self::tag(&key(&written), &written), "of its own key");
    written
}

/// What was read from `untagged` and its tag is written as the same bytes, but for those that are skipped; there is no
/// other form of it; and with a byte less it is not whole.
fn check_meaning(meaning: &Meaning<'_>, untagged: &[u8]) {
    let _shown = format!("{meaning:?}");
    let written = write(meaning);
    let fields = written.len() - skipped(meaning);
    assert!(written.len() <= untagged.len(), "{meaning:?} was shorter");
    assert_eq!(written.get(..fields), untagged.get(..fields), "{meaning:?} is not what was read");
    let tagged = with_tag(&written);
    assert_eq!(read(&tagged), Ok(*meaning), "what was written reads as something else");
    let less = with_tag(written.get(..written.len() - 1).unwrap_or_default());
    assert_eq!(read(&less), Err(Fault::Truncated), "{meaning:?} has a byte too many");
    assert!(classic::decode_request(&tagged).is_err() && classic::decode_response(&tagged).is_err());
    check_kind(meaning, tagged.len());
}

/// How many bytes at the end say nothing: what messages are filled up with, and how long to wait for what has a code of
/// a later version.
fn skipped(meaning: &Meaning<'_>) -> usize {
    match meaning {
        Meaning::Message(message) => {
            let act = match &message.act {
                Act::Ping(_) => 12,
                Act::Move(_) => 8,
                Act::Ask(_) | Act::Kick(_) | Act::Hand(_) => 4,
                Act::Leave | Act::Close => 0,
                Act::About(about) => 1 + about.get().len(),
                Act::Change(spec) => {
                    let addresses = spec.broadcasters().len() * Address::MAX_LEN;
                    7 + spec.name().get().len() + spec.metadata().get().len() + addresses
                }
            };
            LEAST_MESSAGE.saturating_sub(HEADER + 8 + act + TAG)
        }
        Meaning::Answer(Answer { reply: Reply::Refused(Refusal::Other(_)), .. })
        | Meaning::Notice(Notice { news: News::Done { outcome: Err(Refusal::Other(_)), .. }, .. }) => 2,
        Meaning::Request(_) | Meaning::Answer(_) | Meaning::Notice(_) | Meaning::Challenge(_) => 0,
    }
}

/// It is as long as it may be, and what can be kept of it is the same.
fn check_kind(meaning: &Meaning<'_>, len: usize) {
    match meaning {
        Meaning::Request(request) => {
            assert!((LEAST_REQUEST..=MAX_REQUEST).contains(&len), "a request of {len} bytes");
            match &request.call {
                Call::Create { spec, .. } | Call::Resume { spec, .. } => check_spec(spec),
                Call::List { .. } | Call::Join { .. } => {}
                Call::JoinByCode { code, .. } => assert_eq!(code.to_string().parse(), Ok(*code)),
            }
        }
        Meaning::Message(message) => {
            assert!((LEAST_MESSAGE..=MAX_MESSAGE).contains(&len), "a message of {len} bytes");
            if let Act::Change(spec) = &message.act {
                check_spec(spec);
            }
        }
        Meaning::Answer(Answer { reply: Reply::Cookie(_), .. }) | Meaning::Challenge(_) => {
            assert!(len <= LONGEST_TO_UNPROVEN);
        }
        Meaning::Answer(Answer { reply: Reply::Pools { next, listings }, .. }) => {
            let ids = listings.map(|listing| listing.pool);
            let ascending = ids.clone().is_sorted_by(|one, other| one < other);
            assert!(ascending && next.is_none_or(|next| ids.clone().all(|id| id <= next)));
        }
        Meaning::Answer(_) => {}
        Meaning::Notice(notice) => match &notice.news {
            News::Page(page) => {
                let numbers = page.entries.map(|entry| entry.member);
                let ascending = numbers.clone().is_sorted_by(|one, other| one < other);
                assert!(ascending && (!page.more || numbers.count() > 0));
                match &page.start {
                    PageStart::First(spec) => check_spec(spec),
                    PageStart::From(from) => {
                        assert!(page.entries.map(|entry| entry.member).all(|at| at >= *from))
                    }
                }
            }
            News::Changed { changes, .. } => check_specs(*changes),
            News::Pong { .. } | News::Done { .. } | News::Ended(_) => {}
        },
    }
}

fn check_specs(changes: Items<'_, Change<'_>>) {
    for change in changes {
        if let Change::Spec(spec) = change {
            check_spec(&spec);
        }
    }
}

/// What is kept of a spec is the same spec, and so is what is built of all that can be asked of it.
fn check_spec(spec: &Spec<'_>) {
    assert_eq!(PoolSpec::from(*spec).as_spec(), *spec);
    let flags = PoolSpec::new(spec.seats()).hidden(spec.hidden()).locked(spec.locked());
    let built = flags.ending_with_host(spec.ends_with_host()).named(spec.name().get());
    let built = built.and_then(|built| built.with_metadata(spec.metadata().get()));
    let broadcasters: Vec<_> = spec.broadcasters().collect();
    let built = built.and_then(|built| built.with_broadcasters(&broadcasters));
    assert_eq!(built.as_ref().map(PoolSpec::as_spec), Ok(*spec));
}

/// Whether the type is one of PROTOCOL.md.
fn is_known(kind: u8) -> bool {
    matches!(kind, 0x01..=0x05 | 0x10..=0x12 | 0x18..=0x1d)
        || matches!(kind, 0x80..=0x83 | 0x90..=0x92 | 0x98 | 0x99 | 0xa0 | 0xa1)
}

fn check_fault(datagram: &[u8], fault: Fault) {
    assert!(!fault.to_string().is_empty());
    let known = datagram.get(1).is_some_and(|kind| is_known(*kind));
    let is_of_us = datagram.first() == Some(&FIRST_BYTE);
    match fault {
        Fault::TooLong => assert!(datagram.len() > MAX_DATAGRAM),
        Fault::OtherDialect => assert!(!is_of_us),
        Fault::UnknownType => assert!(is_of_us && !known),
        Fault::Truncated => assert!(datagram.len() < HEADER + TAG || known),
        Fault::BadValue => assert!(known),
        Fault::WrongSide | Fault::WrongTag | _ => {
            panic!("{fault}, though the tag is right, and it was read for both sides")
        }
    }
}

/// Whatever comes behind it, a wrong value stays wrong; and what is too short is too short with a byte less.
fn check_more(untagged: &[u8], fault: Fault) {
    if fault == Fault::BadValue && untagged.len() + TAG < MAX_DATAGRAM {
        let more = [untagged, &[0]].concat();
        assert_eq!(read(&with_tag(&more)), Err(fault));
    }
    if fault == Fault::Truncated && untagged.len() > HEADER {
        let less = untagged.get(..untagged.len() - 1).unwrap_or_default();
        assert_eq!(read(&with_tag(less)), Err(fault));
    }
}
