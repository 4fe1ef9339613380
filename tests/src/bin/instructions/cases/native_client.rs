//! A client of the native dialect, handed what a broadcaster has answered to another one that did the same.

use std::collections::VecDeque;
use std::hint::black_box;

use bytes::BytesMut;
use poolmesh_proto::{
    Broadcaster, BroadcasterConfig, Client, ClientConfig, ClientEvent, Instant, Machine, Output,
};

use super::{TIMES, address};
use crate::counter::count_with;

const ME: u32 = 1;
const BROADCASTER: u32 = 1_000_000;
/// Clients that make a pool each.
const MAKERS: u32 = 100;

/// What a client is handed.
enum Input {
    Create,
    Datagram(Instant, BytesMut),
    Timeout(Instant),
}

impl Input {
    fn now(&self) -> Instant {
        match self {
            Self::Create => Instant::ZERO,
            Self::Datagram(now, _) | Self::Timeout(now) => *now,
        }
    }

    fn hand_in(&self, client: &mut Client) {
        match self {
            Self::Create => _ = client.create(Instant::ZERO).expect("it has no other call"),
            Self::Datagram(now, datagram) => client.handle_datagram(*now, address(BROADCASTER), datagram),
            Self::Timeout(now) => client.handle_timeout(*now),
        }
    }
}

fn client() -> Client {
    Client::new(ClientConfig::default(), address(BROADCASTER), [7; 32])
}

/// What a client is handed that makes a pool, and is its only member: until it has made it, and then with so many pings.
fn inputs(pings: u32) -> (Vec<Input>, Vec<Input>) {
    let mut drawn = 0;
    let mut broadcaster = Broadcaster::new(BroadcasterConfig::default(), || {
        drawn += 1;
        drawn
    });
    let mut client = client();
    let (mut made, mut then) = (Vec::new(), Vec::new());
    let mut has_made = false;
    let mut coming = VecDeque::from([Input::Create]);
    let mut deadline = Instant::ZERO;
    while then.len() < 2 * pings as usize {
        let input = coming.pop_front().unwrap_or(Input::Timeout(deadline));
        let now = input.now();
        input.hand_in(&mut client);
        // What else comes of the making belongs to it.
        if has_made && (!then.is_empty() || matches!(input, Input::Timeout(_))) {
            then.push(input);
        } else {
            made.push(input);
        }
        loop {
            match client.poll_output() {
                Output::Transmit(sent) => broadcaster.handle_datagram(now, address(ME), &sent.payload),
                Output::Event(event) => has_made |= matches!(event, ClientEvent::Finished { .. }),
                Output::Wait(next) => {
                    deadline = next.expect("it has pings to send");
                    break;
                }
            }
        }
        loop {
            match broadcaster.poll_output() {
                Output::Transmit(sent) => {
                    coming.push_back(Input::Datagram(now, BytesMut::from(&sent.payload[..])));
                }
                Output::Event(_) => {}
                Output::Wait(_) => break,
            }
        }
    }
    (made, then)
}

/// Hands in each of them, and drains.
#[inline(never)]
fn hand_in(client: &mut Client, inputs: &[Input]) {
    for input in inputs {
        input.hand_in(client);
        while !matches!(black_box(client.poll_output()), Output::Wait(_)) {}
    }
}

pub(super) fn all() {
    let (made, pings) = inputs(TIMES);
    count_with(
        "client, native create, with cookie, offer and page",
        MAKERS,
        || (0..MAKERS).map(|_| client()).collect::<Vec<_>>(),
        |clients| clients.iter_mut().for_each(|client| hand_in(client, &made)),
    );
    count_with(
        "client, native ping and its answer",
        TIMES,
        || {
            let mut client = client();
            hand_in(&mut client, &made);
            client
        },
        |client| {
            let before = client.stats();
            hand_in(client, &pings);
            let after = client.stats();
            assert_eq!((after.sent, after.forged), (before.sent + u64::from(TIMES), 0));
        },
    );
}
