//! A client comes into a large pool, over a line (PROTOCOL.md, section 5).

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use super::lobby::*;
use super::recovery::joined;
use crate::broadcaster::RandomSource;
use crate::client::{Client as Arriving, ClientConfig, ClientEvent, Outcome};
use crate::wire::native::*;
use crate::{Machine, Output};

/// A line between a client and its broadcaster.
struct Line {
    /// One way, in milliseconds.
    delay: u64,
    /// One datagram of so many is lost, and one is doubled; none if it is 0.
    loses: u64,
    /// So much later one may come than another, in milliseconds.
    jitter: u64,
    dice: u64,
    sent: u64,
    /// What is on its way, with when it is there, and whether it goes to the client.
    under_way: BTreeMap<(u64, u64), (bool, Vec<u8>)>,
}

impl Line {
    fn put(&mut self, now: u64, down: bool, datagram: &[u8]) {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let copies = match (self.dice >> 33).checked_rem(self.loses) {
            Some(0) => 0,
            Some(1) => 2,
            _ => 1,
        };
        for copy in 0..copies {
            self.sent += 1;
            let late = ((self.dice >> 40) + copy) % (self.jitter + 1);
            self.under_way.insert((now + self.delay + late, self.sent), (down, datagram.into()));
        }
    }

    fn take(&mut self, now: u64) -> Option<(bool, Vec<u8>)> {
        self.under_way.first_entry().filter(|entry| entry.key().0 <= now).map(|entry| entry.remove())
    }
}

/// A pool of 1,000 who say 128 bytes each.
fn full() -> (Lobby<impl RandomSource>, Vec<Client>) {
    let mut lobby = lobby(|config| {
        config.limits.members_per_source = 5_000;
        config.limits.timeout = Duration::from_secs(60);
    });
    let host = lobby.host(1, &spec(1_024));
    let pool = host.joined.unwrap().pool;
    let mut all = [host].to_vec();
    for port in 2..=1_000 {
        let mut client = Client { about: [7; 128].to_vec(), ..Client::new(port) };
        joined(&lobby.join(&mut client, pool));
        let ping = client.message(1, Act::Ping(None));
        lobby.hand_in(client.from, &ping);
        lobby.drain();
        lobby.mail.clear();
        all.push(client);
    }
    (lobby, all)
}

/// How long it takes a client to come in, in milliseconds, while so many times a second a member says something else.
fn comes_in<R: RandomSource>(
    (lobby, all): &mut (Lobby<R>, Vec<Client>),
    (delay, loses, jitter): (u64, u64, u64),
    changes: u64,
) -> Option<u64> {
    let begin = lobby.now;
    let members = lobby.machine.member_count();
    let me = SocketAddr::from(([198, 51, 100, 7], members as u16));
    let there = SocketAddr::from(([192, 0, 2, 250], 6_969));
    let mut client = Arriving::new(ClientConfig::default(), there, [9; 32]);
    client.join(begin, all[0].joined?.pool.into()).ok()?;
    let mut line = Line { delay, loses, jitter, dice: 1, sent: 0, under_way: BTreeMap::new() };
    for millis in 0..8_000 {
        let now = begin + Duration::from_millis(millis);
        lobby.now = now;
        if changes > 0 && millis % (1_000 / changes) == 0 {
            let restless = &mut all[1];
            restless.order += 1;
            let said =
                restless.message(restless.order, Act::About(About::new(&millis.to_le_bytes()).unwrap()));
            lobby.hand_in(restless.from, &said);
            lobby.drain();
        }
        while let Some((down, datagram)) = line.take(millis) {
            if down {
                client.handle_datagram(now, there, &datagram);
            } else {
                lobby.hand_in(me, &datagram);
                lobby.drain();
            }
        }
        client.handle_timeout(now);
        for datagram in lobby.mail.remove(&me).unwrap_or_default() {
            line.put(millis, true, &datagram);
        }
        lobby.mail.clear();
        loop {
            match client.poll_output() {
                Output::Transmit(sent) => line.put(millis, false, &sent.payload),
                Output::Event(ClientEvent::Finished { outcome: Outcome::Joined(info), .. }) => {
                    assert_eq!(info.members().len(), members + 1);
                    return Some(millis);
                }
                Output::Event(_) => {}
                Output::Wait(_) => break,
            }
        }
    }
    None
}

#[test]
fn everybody_comes_into_the_largest_pools_before_the_call_is_over() {
    let mut pool = full();
    let lines = [(5, 0, 0), (125, 0, 0), (30, 50, 0), (30, 0, 20), (30, 50, 20)];
    for (line, changes) in lines.map(|line| (line, 0)).into_iter().chain([((30, 0, 0), 10)]) {
        let took = comes_in(&mut pool, line, changes);
        assert!(
            took.is_some(),
            "(ms one way, one in so many lost, jitter): {line:?}, {changes} changes a second"
        );
    }
}
