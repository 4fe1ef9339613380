//! What draws nothing at a victim: addresses that have proven nothing.

use core::time::Duration;

use bytes::BytesMut;
use poolmesh_proto::wire::native::{
    About, Act, Call, Cookie, FromBroadcaster, Handle, Joined, Key, Message, PoolCode, PoolSpec, Reply,
    Request, Tx,
};
use poolmesh_proto::{Broadcaster, Instant, Machine, Output, RandomSource};
use proptest::collection::vec;
use proptest::prelude::*;

use super::{GAME, address, broadcaster};
use crate::config;

/// What somebody sends who doesn't see what is sent to its address.
#[derive(Clone, Debug)]
enum Spoofed {
    /// Requests, with a cookie of some other address or none.
    Create(Option<u64>),
    Join(Option<u64>, u8),
    JoinByCode(u64),
    /// A member's message as it was sent, from elsewhere, with bytes behind it or not.
    Overheard(u8, usize),
    /// A message of a member that is there, by some key.
    Forged(u8, u32, [u8; 16]),
    Bytes(Vec<u8>),
    /// Bytes that look like a datagram of this dialect.
    Dressed(u8, Vec<u8>),
}

fn spoofed() -> impl Strategy<Value = Spoofed> {
    let cookie = || prop_oneof![Just(None), any::<u64>().prop_map(Some)];
    prop_oneof![
        cookie().prop_map(Spoofed::Create),
        (cookie(), any::<u8>()).prop_map(|(cookie, about)| Spoofed::Join(cookie, about)),
        any::<u64>().prop_map(Spoofed::JoinByCode),
        (0..9u8, 0..40usize).prop_map(|(act, padding)| Spoofed::Overheard(act, padding)),
        (0..9u8, any::<u32>(), any::<[u8; 16]>())
            .prop_map(|(act, count, key)| Spoofed::Forged(act, count, key)),
        vec(any::<u8>(), 0..60).prop_map(Spoofed::Bytes),
        (any::<u8>(), vec(any::<u8>(), 0..1_300)).prop_map(|(kind, bytes)| Spoofed::Dressed(kind, bytes)),
    ]
}

fn act(number: u8, spec: &PoolSpec) -> Act<'_> {
    let member = poolmesh_proto::wire::native::Member::new(1).unwrap();
    match number {
        0 => Act::Ping(None),
        1 => Act::Ask(None),
        2 => Act::Move(Cookie::new(7).unwrap()),
        3 => Act::Leave,
        4 => Act::About(About::new(b"x").unwrap()),
        5 => Act::Change(spec.as_spec()),
        6 => Act::Kick(member),
        7 => Act::Hand(member),
        _ => Act::Close,
    }
}

fn drain(machine: &mut Broadcaster<impl RandomSource>) -> Vec<(core::net::SocketAddr, usize, Vec<u8>)> {
    let mut sent = Vec::new();
    loop {
        match machine.poll_output() {
            Output::Transmit(out) => sent.push((out.destination, out.payload.len(), out.payload.to_vec())),
            Output::Event(_) => {}
            Output::Wait(_) => return sent,
        }
    }
}

/// A host at port 3 and a guest at port 6, of the same pool.
fn members(machine: &mut Broadcaster<impl RandomSource>) -> [Joined; 2] {
    let spec = PoolSpec::default();
    let mut pool = None;
    [3, 6].map(|port| {
        let tx = Tx::new(u64::from(port)).unwrap();
        let about = About::default();
        let call = match pool {
            None => Call::Create { application: GAME, spec: spec.as_spec(), about },
            Some(pool) => Call::Join { application: GAME, pool, about },
        };
        let mut cookie = None;
        loop {
            let mut out = BytesMut::new();
            Request { tx, cookie, call }.write(&mut out);
            machine.handle_datagram(Instant::ZERO, address(port), &out);
            let sent = drain(machine);
            let FromBroadcaster::Answer(answer) = FromBroadcaster::read(&sent[0].2).unwrap() else {
                panic!()
            };
            match answer.verify(&Key::of_request(tx, cookie)).unwrap().reply {
                Reply::Cookie(given) => cookie = Some(given),
                Reply::Joined(joined) => {
                    pool = Some(joined.pool);
                    machine.handle_datagram(
                        Instant::ZERO,
                        address(port),
                        &said(&joined, 1, Act::Ping(None), 0),
                    );
                    drain(machine);
                    return joined;
                }
                other => panic!("{other:?}"),
            }
        }
    })
}

fn said(joined: &Joined, count: u32, act: Act<'_>, padding: usize) -> BytesMut {
    let mut out = BytesMut::new();
    let Joined { handle, key, .. } = joined;
    Message { handle: *handle, count, act }.write(key, &mut out);
    if padding > 0 {
        // Bytes behind the fields are skipped; the tag is over them.
        out.truncate(out.len() - 8);
        out.resize(out.len() + padding, 0);
        let tag = poolmesh_proto::wire::native::tag(key, &out);
        out.extend_from_slice(&tag);
    }
    out
}

proptest! {
    #![proptest_config(config(600))]

    #[test]
    fn an_address_that_has_proven_nothing_gets_no_more_than_it_sends_and_nothing_is_kept(
        sends in vec((any::<u16>(), spoofed()), 0..60), from in 300..60_000u16
    ) {
        let mut machine = broadcaster(1, 4_096);
        let [host, guest] = members(&mut machine);
        let spec = PoolSpec::default();
        let mut count = 10;
        let mut gone = false;
        for (port, spoofed) in sends {
            // From some other port of the members' addresses, too.
            let from = address(from.wrapping_add(port % 5).max(300));
            let mut out = BytesMut::new();
            let tx = Tx::new(1 + u64::from(port)).unwrap();
            let about = About::default();
            let is_overheard = matches!(spoofed, Spoofed::Overheard(..));
            match &spoofed {
                Spoofed::Create(cookie) => {
                    let call = Call::Create { application: GAME, spec: spec.as_spec(), about };
                    Request { tx, cookie: cookie.and_then(Cookie::new), call }.write(&mut out);
                }
                Spoofed::Join(cookie, word) => {
                    let words = [*word; 100];
                    let about = About::new(&words).unwrap();
                    let call = Call::Join { application: GAME, pool: host.pool, about };
                    Request { tx, cookie: cookie.and_then(Cookie::new), call }.write(&mut out);
                }
                Spoofed::JoinByCode(code) => {
                    let code = PoolCode::new(code % PoolCode::END).unwrap();
                    Request { tx, cookie: None, call: Call::JoinByCode { application: GAME, code, about } }
                        .write(&mut out);
                }
                Spoofed::Overheard(number, padding) => {
                    count += 1;
                    out = said(&guest, count, act(*number, &spec), *padding);
                }
                Spoofed::Forged(number, count, key) => {
                    let handle = Handle(guest.handle.0 + u32::from(*number) % 2);
                    Message { handle, count: *count, act: act(*number, &spec) }.write(&Key::new(*key), &mut out);
                }
                Spoofed::Bytes(bytes) => out.extend_from_slice(bytes),
                Spoofed::Dressed(kind, bytes) => {
                    out.extend_from_slice(&[0xa1, *kind]);
                    out.extend_from_slice(bytes);
                }
            }
            let before = (machine.pool_count(), machine.member_count());
            let now = Instant::ZERO + Duration::from_micros(count.into());
            machine.handle_datagram(now, from, &out);
            let sent = drain(&mut machine);
            let back: Vec<usize> =
                sent.iter().filter(|(to, ..)| *to == from).map(|(_, len, _)| *len).collect();
            prop_assert!(back.len() <= 1, "{:?} draws {:?}", spoofed, back);
            prop_assert!(back.iter().sum::<usize>() <= out.len(), "{:?} draws {:?}", spoofed, back);
            // What is really a member's is taken, wherever it comes from; to others something may be told then.
            if !is_overheard {
                prop_assert_eq!((machine.pool_count(), machine.member_count()), before);
                prop_assert_eq!(sent.len(), back.len(), "nobody else is told");
            }
            gone |= machine.member_count() < 2;
        }
        prop_assert!(gone || machine.member_count() == 2);
    }
}
