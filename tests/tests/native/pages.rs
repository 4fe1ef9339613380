//! Lists are written as far as they fit, item by item.

use core::num::NonZeroU32;

use bytes::BytesMut;
use poolmesh_proto::wire::native::{
    About, Address, Change, ChangedWriter, Entry, Epoch, FromBroadcaster, Handle, Key, LeaveReason, Listed,
    Listing, MAX_DATAGRAM, Member, Metadata, Name, News, Notice, PageStart, PageWriter, PoolCode, PoolSpec,
    PoolUuid, PoolsWriter, Reply, Seal, Seats, State, Term, Tx,
};
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

use crate::any::address;

const KEY: Key = Key::new([7; 16]);

fn state() -> State {
    let first = Member::new(1).unwrap();
    State {
        epoch: Epoch::new(1, 1).unwrap(),
        generation: 0,
        base: None,
        came: 0,
        term: Term::new(1).unwrap(),
        host: first,
        next: first,
        purged: 0,
        count: Seats::new(1).unwrap(),
        seal: Seal::new([7; 16]),
    }
}

fn spec(metadata: usize) -> PoolSpec {
    PoolSpec::new(Seats::new(9).unwrap()).with_metadata(&vec![7; metadata]).unwrap()
}

fn news<'a>(datagram: &'a [u8]) -> Notice<'a> {
    let Ok(FromBroadcaster::Notice(notice)) = FromBroadcaster::read(datagram) else { panic!("{datagram:?}") };
    notice.verify(&KEY).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_page_holds_as_many_members_as_fit(
        numbers in btree_set(any::<NonZeroU32>(), 0..120),
        texts in vec((address(), vec(any::<u8>(), 0..=128)), 120),
        short in any::<bool>(),
        metadata in 0..=512usize,
        first in any::<bool>(),
    ) {
        let roster: Vec<(Member, Address, &[u8])> = numbers.iter().zip(&texts).map(|(number, (address, about))| {
            let about = if short { &about[..about.len() % 4] } else { about };
            (Member::new(number.get()).unwrap(), *address, about)
        }).collect();
        let entries = roster.iter().map(|(member, address, about)| {
            Entry { member: *member, address: *address, about: About::new(about).unwrap() }
        });
        let spec = spec(metadata);
        let start = match roster.first() {
            Some((member, ..)) if !first => PageStart::From(*member),
            _ => PageStart::First(spec.as_spec()),
        };
        let mut out = BytesMut::from(&b"before"[..]);
        let mut writer = PageWriter::new(&mut out, Handle(7), 7, &start, &state());
        let fit = entries.clone().take_while(|entry| writer.push(entry)).count();
        let next = writer.next();
        writer.finish(&KEY, fit < roster.len());
        let datagram = &out[6..];
        prop_assert!(datagram.len() <= MAX_DATAGRAM);
        prop_assert!(fit > 0 || roster.is_empty(), "the first one always fits");

        let News::Page(page) = news(datagram).news else { panic!() };
        prop_assert!(page.entries.eq(entries.take(fit)));
        prop_assert_eq!((page.start, page.more), (start, fit < roster.len()));
        if let Some((member, address, about)) = roster.get(fit) {
            let len = 4 + if address.get().is_ipv4() { 7 } else { 19 } + 1 + about.len();
            prop_assert!(datagram.len() + len > MAX_DATAGRAM, "the next would have fit");
            prop_assert!(next.unwrap() <= *member);
        }

        let mut again = BytesMut::new();
        prop_assert_eq!(news(datagram).write(&KEY, &mut again), 0);
        prop_assert_eq!(&again[..], datagram);
    }

    #[test]
    fn a_list_holds_as_many_pools_as_fit(
        ids in btree_set(any::<[u8; 16]>(), 0..60),
        texts in vec((any::<bool>(), "[a-z]{0,64}", vec(any::<u8>(), 0..=512)), 60),
        short in any::<bool>(),
    ) {
        let listings = || ids.iter().zip(&texts).map(|(id, (classic, name, metadata))| {
            let metadata = if short { &metadata[..metadata.len() % 4] } else { metadata };
            let listed = Listed {
                code: PoolCode::new(u64::from(id[0])).unwrap(),
                locked: name.is_empty(),
                members: 7,
                seats: Seats::new(7).unwrap(),
                name: Name::new(name).unwrap(),
                metadata: Metadata::new(metadata).unwrap(),
            };
            Listing { pool: PoolUuid::new(*id), listed: (!classic).then_some(listed) }
        });
        let tx = Tx::new(7).unwrap();
        let mut out = BytesMut::new();
        let mut writer = PoolsWriter::new(&mut out, tx);
        let fit = listings().take_while(|listing| writer.push(listing)).count();
        // Too low, as of a broadcaster that looked at fewer pools than it listed.
        writer.finish(&KEY, (fit < ids.len()).then_some(PoolUuid::NIL));
        prop_assert!(out.len() <= MAX_DATAGRAM);

        let Ok(FromBroadcaster::Answer(answer)) = FromBroadcaster::read(&out) else { panic!() };
        let answer = answer.verify(&KEY).unwrap();
        let Reply::Pools { next, listings: read } = answer.reply else { panic!() };
        prop_assert!(read.eq(listings().take(fit)));
        match listings().nth(fit) {
            None => prop_assert_eq!(next, None),
            Some(over) => {
                let last = listings().nth(fit - 1).unwrap().pool;
                prop_assert_eq!(next, Some(last));
                let len = over.listed.map_or(32, |listed| 32 + listed.name.get().len() + listed.metadata.get().len());
                prop_assert!(out.len() + len > MAX_DATAGRAM, "the next would have fit");
            }
        }
        let mut again = BytesMut::new();
        answer.write(&KEY, &mut again);
        prop_assert_eq!(again, out);
    }

    #[test]
    fn as_many_changes_are_told_as_fit(abouts in vec(proptest::option::of(vec(any::<u8>(), 0..=128)), 0..220)) {
        let member = Member::new(7).unwrap();
        let changes = || abouts.iter().map(|about| match about {
            Some(about) => Change::About { member, about: About::new(about).unwrap() },
            None => Change::Left { member, reason: LeaveReason::TimedOut },
        });
        let mut out = BytesMut::new();
        let mut writer = ChangedWriter::new(&mut out, Handle(7), &state());
        let fit = changes().take_while(|change| writer.push(change)).count();
        writer.finish(&KEY);
        prop_assert!(out.len() <= MAX_DATAGRAM);
        let News::Changed { changes: read, .. } = news(&out).news else { panic!() };
        prop_assert!(read.eq(changes().take(fit)));
        if let Some(over) = abouts.get(fit) {
            let len = over.as_ref().map_or(6, |about| 6 + about.len());
            prop_assert!(out.len() + len > MAX_DATAGRAM, "the next would have fit");
        }
    }
}

#[test]
fn what_is_out_of_order_is_not_added() {
    let entry = |member| {
        let address = Address::new("192.0.2.1:1".parse().unwrap()).unwrap();
        Entry { member: Member::new(member).unwrap(), address, about: About::default() }
    };
    let mut out = BytesMut::new();
    let mut page =
        PageWriter::new(&mut out, Handle(7), 7, &PageStart::From(Member::new(4).unwrap()), &state());
    assert_eq!(
        [3, 4, 4, 2, 9, u32::MAX, u32::MAX].map(|member| page.push(&entry(member))),
        [false, true, false, false, true, true, false]
    );
    assert_eq!(page.next(), None);
    page.finish(&KEY, true);
    let News::Page(page) = news(&out).news else { panic!() };
    assert_eq!(page.entries.map(|entry| entry.member.get()).collect::<Vec<_>>(), [4, 9, u32::MAX]);

    let mut out = BytesMut::new();
    let mut pools = PoolsWriter::new(&mut out, Tx::new(7).unwrap());
    let listing = |id| Listing { pool: PoolUuid::new([id; 16]), listed: None };
    assert_eq!([4, 3, 4, 5].map(|id| pools.push(&listing(id))), [true, false, false, true]);
}

#[test]
fn a_page_of_nobody_has_no_others() {
    let mut out = BytesMut::new();
    PageWriter::new(&mut out, Handle(7), 7, &PageStart::First(spec(0).as_spec()), &state())
        .finish(&KEY, true);
    let News::Page(page) = news(&out).news else { panic!() };
    assert_eq!((page.entries.len(), page.more), (0, false));
}

#[test]
fn a_page_pieced_together_says_what_does_not_fit() {
    let abouts = [[7; 128]; 7];
    let address = Address::new("[2001:db8::1]:1".parse().unwrap()).unwrap();
    let from = PageStart::From(Member::new(1).unwrap());
    let mut out = BytesMut::new();
    let mut writer = PageWriter::new(&mut out, Handle(7), 7, &from, &state());
    for (about, number) in abouts.iter().zip(1..) {
        let member = Member::new(number).unwrap();
        assert!(writer.push(&Entry { member, address, about: About::new(about).unwrap() }));
    }
    writer.finish(&KEY, false);
    let Notice { handle, news: News::Page(mut page) } = news(&out) else { panic!() };
    let spec = spec(512);
    page.start = PageStart::First(spec.as_spec());
    let mut whole = BytesMut::new();
    assert_eq!(Notice { handle, news: News::Page(page) }.write(&KEY, &mut whole), 7 - 3);
    let News::Page(first) = news(&whole).news else { panic!() };
    assert_eq!((first.entries.len(), first.more), (3, true));
}

#[test]
fn a_page_that_is_not_finished_leaves_nothing() {
    let mut out = BytesMut::from(&b"before"[..]);
    let mut pools = PoolsWriter::new(&mut out, Tx::new(7).unwrap());
    assert!(pools.push(&Listing { pool: PoolUuid::NIL, listed: None }));
    drop(pools);
    assert_eq!(&out[..], b"before");
}
