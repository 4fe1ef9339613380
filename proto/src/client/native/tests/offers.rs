//! Offers that come to nothing, or are made to several calls at once; and how much anybody can have a client send.

use super::*;

/// Draws numbers that are the same each time.
struct Draws(u64);

impl Draws {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

/// A second offer of the same handle, and its key.
fn later(me: u32) -> (Joined, Key) {
    let key = Key::new([0x4c; 16]);
    (Joined { session: Session(2), key, ..offer(me) }, key)
}

#[test]
fn a_request_whose_offers_are_void_is_sent_by_growing_waits_and_not_at_once() {
    let mut rig = Rig::new();
    rig.client.create(rig.time(), &PoolSpec::default(), b"").unwrap();
    let mut requests = vec![rig.give_cookie(5)];
    while rig.now < 7_000 {
        let request = requests.last().unwrap().clone();
        rig.answer(&request, Reply::Joined(offer(1)));
        rig.unknown();
        requests.push(rig.until("create"));
    }
    let waits: Vec<_> = requests.windows(2).map(|two| two[1].at - two[0].at).collect();
    // The request was sent twice before, once for the cookie.
    for (wait, about) in waits.iter().zip([562, 843, 1_000, 1_000, 1_000]) {
        assert!((about * 3 / 4..=about * 5 / 4 + 1).contains(wait), "{waits:?}");
    }
}

#[test]
fn of_two_offers_of_one_pool_the_later_is_taken_and_both_calls_join() {
    let mut rig = Rig::new();
    let now = rig.time();
    rig.client.join(now, Door::Id(id()), b"one").unwrap();
    rig.client.join(now, Door::Code(PoolCode::new(7).unwrap()), b"two").unwrap();
    let requests = rig.take_sent();
    rig.answer(&requests[0], Reply::Joined(offer(2)));
    let withdrawn = rig.last();
    assert_eq!(withdrawn.text, "ping");
    let (joined, key) = later(3);
    rig.keys.insert(0, key);
    rig.answer(&requests[1], Reply::Joined(joined));
    let taken = rig.last();
    assert_eq!((taken.text.as_str(), taken.handle, rig.sent.len()), ("ping", Some(HANDLE), 2));
    rig.challenge(&withdrawn, None);
    assert_eq!(rig.client.stats().unexpected, 1, "it was the earlier one that nobody knows");
    rig.page_at(&taken, &pool(&[(1, "a"), (3, "two")]), None, &[(1, "a"), (3, "two")], false);
    assert_eq!(rig.news(), ["joined", "joined"]);
    assert_eq!((rig.membership().me(), &rig.membership().about[..]), (member(3), &b"two"[..]));
    assert!(rig.take_sent().iter().all(|sent| sent.tx.is_none()), "nothing is asked again");
}

#[test]
fn an_offer_that_is_overtaken_by_a_later_one_is_not_taken() {
    let mut rig = Rig::new();
    let now = rig.time();
    rig.client.join(now, Door::Id(id()), b"one").unwrap();
    rig.client.join(now, Door::Id(id()), b"two").unwrap();
    let requests = rig.take_sent();
    let (joined, key) = later(3);
    rig.keys.insert(0, key);
    rig.answer(&requests[1], Reply::Joined(joined));
    rig.answer(&requests[0], Reply::Joined(offer(2)));
    assert_eq!(rig.said(), ["ping"]);
    rig.wait(1_300);
    rig.roster(&pool(&[(3, "two")]));
    assert_eq!(rig.news(), ["joined", "joined"]);
}

#[test]
fn what_is_not_known_twice_is_void_whoever_had_the_handle_before() {
    let mut rig = Rig::new();
    let now = rig.time();
    rig.client.join(now, Door::Id(id()), b"one").unwrap();
    rig.client.join(now, Door::Id(id()), b"two").unwrap();
    let requests = rig.take_sent();
    rig.answer(&requests[0], Reply::Joined(offer(2)));
    let (joined, key) = later(3);
    rig.keys.insert(0, key);
    rig.answer(&requests[1], Reply::Joined(joined));
    rig.unknown();
    rig.until("ping");
    rig.unknown();
    let txs: Vec<_> = [rig.until("join"), rig.until("join")].iter().map(|sent| sent.tx).collect();
    assert!(requests.iter().all(|request| txs.contains(&request.tx)), "both go on by their requests");
}

#[test]
fn who_has_come_into_a_pool_has_it_for_all_calls_that_ask_for_it() {
    let mut rig = Rig::new();
    let now = rig.time();
    rig.client.join(now, Door::Id(id()), b"one").unwrap();
    rig.client.join(now, Door::Id(id()), b"two").unwrap();
    rig.client.join(now, Door::Code(PoolCode::new(7).unwrap()), b"three").unwrap();
    rig.client.join(now, Door::Code(PoolCode::new(8).unwrap()), b"four").unwrap();
    let request = rig.take_sent().remove(0);
    rig.answer(&request, Reply::Joined(offer(2)));
    rig.roster(&pool(&[(2, "one")]));
    assert_eq!(rig.news(), ["joined", "joined", "joined"]);
    rig.client.join(now, Door::Code(PoolCode::new(7).unwrap()), b"five").unwrap();
    assert_eq!(rig.news(), ["joined"], "and for those that come later");
}

/// The most datagrams that a call to create or join may cost, and one to resume, whatever broadcasters say.
const MOST: [u64; 2] = [256, 512];

/// What a broadcaster that wants a client to send answers to a datagram.
fn lie(rig: &mut Rig, draws: &mut Draws, sent: &Sent, me: u32, pages: bool) {
    if sent.tx.is_none() {
        let many: &[(u32, &str)] = &[(1, "a"), (me, "me")];
        let number = u32::try_from(draws.next(200) + 1).unwrap();
        let lying = Pool { era: draws.next(3) + 1, number, ..pool(many) };
        return match draws.next(if pages { 4 } else { 2 }) {
            0 | 1 => rig.challenge(sent, None),
            2 => rig.challenge(sent, Cookie::new(draws.next(99) + 1)),
            _ => {
                let from = (draws.next(2) == 0).then(|| u32::try_from(draws.next(9) + 1).unwrap());
                let last = u32::try_from(draws.next(50) + 10).unwrap();
                rig.page_at(sent, &lying, from, &[(last, "x")], true);
            }
        };
    }
    match draws.next(8) {
        0 => rig.answer(sent, Reply::Cookie(Cookie::new(draws.next(99) + 1).unwrap())),
        1 => rig.refuse(sent, Refusal::Busy { wait: 0 }),
        2 => rig.refuse(sent, Refusal::Recovering { wait: 1 }),
        _ => {
            let session = Session(draws.next(9));
            let you = u32::try_from(draws.next(3)).unwrap();
            rig.answer(
                sent,
                Reply::Joined(Joined { session, interval: Millis::new(1).unwrap(), ..offer(me + you) }),
            );
        }
    }
}

#[test]
fn no_lies_have_a_client_send_without_end() {
    let saved = Rig::joined_as(2, &pool(&[(1, "a"), (2, "me")])).membership().save();
    for seed in 0..24 {
        let mut draws = Draws(seed);
        let mut rig = Rig::with_several();
        let now = rig.time();
        let most = match seed % 4 {
            0 => rig.client.create(now, &PoolSpec::default(), b"").map(|_| MOST[0]),
            1 => rig.client.join(now, Door::Id(id()), b"").map(|_| MOST[0]),
            2 => rig.client.join(now, Door::Code(PoolCode::new(7).unwrap()), b"").map(|_| MOST[0]),
            _ => rig.client.resume(now, &saved).map(|_| MOST[1]),
        };
        // All that it ever said is answered again and again, as fast as the line goes.
        let mut heard: Vec<Sent> = Vec::new();
        while rig.now < 17_000 && rig.told().is_empty() {
            heard.extend(rig.take_sent());
            for _ in 0..4 {
                // Half of what it answers are requests, which may be old.
                let request = draws.next(2) == 0;
                let recent = heard.iter().rev().filter(|sent| !request || sent.tx.is_some());
                let recent: Vec<&Sent> = recent.take(3).collect();
                let Some(sent) = recent.get(usize::try_from(draws.next(3)).unwrap()) else { continue };
                let sent = (*sent).clone();
                lie(&mut rig, &mut draws, &sent, 2, seed % 8 < 4);
            }
            rig.wait(2);
        }
        let sent = rig.client.stats().sent;
        assert!(
            rig.now <= 16_100 && sent <= most.unwrap(),
            "seed {seed}: {sent} datagrams in {} ms",
            rig.now
        );
    }
}
