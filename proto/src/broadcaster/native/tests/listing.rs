//! Lists, page by page.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::lobby::*;
use crate::broadcaster::{Broadcaster, BroadcasterEvent, RandomSource};
use crate::wire::native::*;
use crate::wire::{self, classic};
use crate::{Instant, Machine, Output};

fn list(after: PoolUuid, free: u16, prefix: &str) -> Call<'_> {
    Call::List { application: Some(GAME), after, free, prefix: Name::new(prefix).unwrap() }
}

/// Asks for one page after the other, and checks that they go on.
fn all_pages<R: RandomSource>(lobby: &mut Lobby<R>, client: &mut Client, call: Call<'_>) -> Vec<Vec<Row>> {
    let mut pages = Vec::new();
    let mut call = call;
    loop {
        let Call::List { after: from, .. } = call else { panic!() };
        let got = lobby.ask(client, call);
        let Got::Pools { ids, next } = got else { panic!("{got:?}") };
        assert!(ids.iter().all(|(id, _)| *id > from) && ids.is_sorted_by_key(|(id, _)| *id));
        let last = ids.last().map(|(id, _)| *id);
        pages.push(ids);
        let Some(next) = next else { return pages };
        assert!(next >= last.unwrap_or(next) && next > from, "it goes on");
        let Call::List { after, .. } = &mut call else { panic!() };
        *after = next;
    }
}

#[test]
fn all_pools_are_listed_in_pages_in_the_order_of_their_ids() {
    let mut lobby = lobby(|config| config.limits.pools_per_source = 1_000);
    let mut expected = BTreeSet::new();
    for port in 1..=100 {
        let name = if port % 2 == 0 { "even" } else { "odd" };
        let spec = spec(port).named(name).unwrap().with_metadata(&[7; 100]).unwrap();
        let host = lobby.host(port, &spec.hidden(port % 10 == 5));
        if port % 10 != 5 {
            expected.insert((host.joined.unwrap().pool, Some((1, port, false))));
        }
    }
    let mut client = Client::new(500);
    let pages = all_pages(&mut lobby, &mut client, list(PoolUuid::NIL, 0, ""));
    assert!(pages.len() > 8, "{}", pages.len());
    assert!(pages.concat().into_iter().eq(expected.iter().copied()));
    let evens = all_pages(&mut lobby, &mut client, list(PoolUuid::NIL, 50, "ev")).concat();
    let filtered = |row: &&Row| row.1.is_some_and(|(_, seats, _)| seats >= 51 && seats % 2 == 0);
    assert!(evens.into_iter().eq(expected.iter().filter(filtered).copied()));
    let none = Call::List {
        application: Application::new([9; 16]),
        after: PoolUuid::NIL,
        free: 0,
        prefix: Name::default(),
    };
    assert_eq!(lobby.ask(&mut client, none), Got::Pools { ids: Vec::new(), next: None });
    let last = list(PoolUuid::new([u8::MAX; 16]), 0, "");
    assert_eq!(lobby.ask(&mut client, last), Got::Pools { ids: Vec::new(), next: None });
}

#[test]
fn a_page_looks_at_so_many_pools_and_a_list_goes_on_behind_them() {
    for scan in [1, 3, 10, 11] {
        let mut lobby = lobby(|config| config.limits.list_scan = scan);
        for port in 1..=10 {
            lobby.host(port, &spec(2));
        }
        let pages = all_pages(&mut lobby, &mut Client::new(50), list(PoolUuid::NIL, 0, ""));
        assert_eq!((pages.len(), pages.concat().len()), (10usize.div_ceil(scan), 10));
        // None fits, and still it comes to its end.
        let pages = all_pages(&mut lobby, &mut Client::new(51), list(PoolUuid::NIL, 2, ""));
        assert_eq!((pages.len(), pages.concat().len()), (10usize.div_ceil(scan), 0));
    }
}

#[test]
fn a_list_says_what_there_is() {
    let mut lobby = lobby(|_| {});
    let mut all = lobby.pool(3, &spec(9));
    let locked = spec(4).locked(true).named("x").unwrap();
    lobby.act(&mut all[0], Act::Change(locked.as_spec()));
    let _offered = lobby.create(&mut Client::new(70), &spec(2));
    let got = lobby.ask(&mut Client::new(50), list(PoolUuid::NIL, 1, "x"));
    let row = (all[0].joined.unwrap().pool, Some((3, 4, true)));
    assert_eq!(got, Got::Pools { ids: [row].to_vec(), next: None }, "not what is only offered");
    assert_eq!(lobby.machine.stats().lists, 1);
}

fn classic_pool<R: RandomSource>(machine: &mut Broadcaster<R>, now: Instant, port: u16) -> PoolUuid {
    machine.handle_datagram(now, address(port), &[0]);
    let mut made = None;
    loop {
        match machine.poll_output() {
            Output::Event(BroadcasterEvent::PoolCreated { pool, .. }) => made = Some(pool),
            Output::Event(_) | Output::Transmit(_) => {}
            Output::Wait(_) => return made.unwrap().try_into().unwrap(),
        }
    }
}

fn classic_list() -> Call<'static> {
    Call::List { application: None, after: PoolUuid::NIL, free: 0, prefix: Name::default() }
}

#[test]
fn pools_of_the_classic_dialect_are_listed_as_such_and_ours_are_not_offered_to_it() {
    let mut lobby = lobby(|config| config.classic = true);
    let expected: BTreeSet<PoolUuid> =
        (0..300).map(|port| classic_pool(&mut lobby.machine, Instant::ZERO, port + 1)).collect();
    lobby.host(900, &spec(2));
    let mut client = Client::new(5_000);
    let pages = all_pages(&mut lobby, &mut client, classic_list());
    assert!(pages.len() > 6, "{}", pages.len());
    assert!(pages.concat().into_iter().eq(expected.iter().map(|id| (*id, None))));
    // To the classic dialect it isn't there.
    lobby.mail.clear();
    for _ in 0..15 {
        lobby.hand_in(address(2), &[2]);
    }
    lobby.drain();
    let mut named = BTreeSet::new();
    for answer in lobby.mail.remove(&address(2)).unwrap() {
        match classic::decode_response(&answer) {
            Ok(wire::Response::Pools(ids)) => {
                named.extend(ids.into_iter().map(|id| PoolUuid::try_from(id).unwrap()));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(named, expected);
    // Those that end are listed no more.
    let kept = classic_pool(&mut lobby.machine, at(999), 1);
    lobby.now = at(1_000);
    let pages = all_pages(&mut lobby, &mut client, classic_list());
    assert_eq!(pages.concat(), [(kept, None)]);
}

#[test]
fn without_the_classic_dialect_its_pools_are_none_and_its_datagrams_are_counted() {
    let mut lobby = lobby(|_| {});
    lobby.hand_in(address(1), &[0]);
    lobby.hand_in(address(1), &[]);
    lobby.drain();
    let stats = lobby.machine.stats();
    assert_eq!((lobby.mail.len(), stats.dropped_classic, lobby.machine.pool_count()), (0, 2, 0));
    assert_eq!(lobby.ask(&mut Client::new(50), classic_list()), Got::Pools { ids: Vec::new(), next: None });
}

#[cfg(feature = "std")]
mod shards {
    use bytes::BytesMut;

    use super::*;
    use crate::broadcaster::{BroadcasterConfig, Shard};

    #[test]
    fn the_first_shard_speaks_and_lists_the_pools_of_all() {
        let shards = Shard::split(3);
        let config = || BroadcasterConfig::default().with_classic();
        let mut machines: Vec<_> = shards
            .iter()
            .zip(1..)
            .map(|(shard, seed)| Broadcaster::of_shard(config(), random(seed), shard))
            .collect();
        let expected: BTreeSet<PoolUuid> = (0..90u16)
            .map(|port| classic_pool(&mut machines[usize::from(port) % 3], Instant::ZERO, port))
            .collect();
        let client = Client::new(50);
        let datagram = client.request(classic_list());
        let owners: Vec<_> = shards.iter().map(|shard| shard.owner(&datagram)).collect();
        assert_eq!(owners, [None, Some(0), Some(0)]);
        machines[1].handle_datagram(Instant::ZERO, client.from, &datagram);
        assert!(matches!(machines[1].poll_output(), Output::Wait(_)) && machines[1].stats().ignored == 1);
        let first = machines.remove(0);
        let mut lobby = lobby_over(first);
        let pages = all_pages(&mut lobby, &mut Client::new(50), classic_list());
        assert!(pages.concat().into_iter().eq(expected.into_iter().map(|id| (id, None))));
        let mut out = BytesMut::new();
        classic::encode_request(&wire::Request::List, &mut out);
        assert_eq!(shards[1].owner(&out), None);
    }
}
