//! Calls of a client: what it sends, and what it makes of the answers.

use std::hint::black_box;

use bytes::BytesMut;
use poolmesh_proto::wire::{Request, Response};
use poolmesh_proto::{Client, ClientConfig, Instant, Machine, Output};

use super::{TIMES, address, info, pool, response};
use crate::counter::{count, count_with};

const ZERO: Instant = Instant::ZERO;
const BROADCASTER: u32 = 1_000_000;

fn client() -> Client {
    Client::new(ClientConfig::classic(), address(BROADCASTER), [7; 32])
}

/// Until there is nothing more to do: the deadline.
#[inline(never)]
fn drain(client: &mut Client) -> Option<Instant> {
    loop {
        if let Output::Wait(deadline) = black_box(client.poll_output()) {
            return deadline;
        }
    }
}

/// A call, which is sent, and its answer, which is told.
#[inline(never)]
fn answered(client: &mut Client, call: Request, answer: &BytesMut) {
    let made = match call {
        Request::Create => client.create(ZERO),
        Request::Join(pool) => client.join(ZERO, pool),
        Request::List | Request::Ping(_) => client.list(ZERO),
    };
    made.expect("the call before has its outcome");
    drain(client);
    client.handle_datagram(ZERO, address(BROADCASTER), answer);
    drain(client);
}

pub(super) fn all() {
    let list = response(&Response::Pools((0..20).map(pool).collect()));
    let joined = response(&Response::Joined(info(1, address(0), address(1), 8)));
    for (name, call, answer) in [
        ("list of 20 pools, and the answer", Request::List, list),
        ("join of 8 peers, and the answer", Request::Join(pool(1)), joined),
    ] {
        let mut client = client();
        count(&format!("client, {name}"), TIMES, || {
            for _ in 0..TIMES {
                answered(&mut client, call, &answer);
            }
        });
        assert_eq!(client.stats().unexpected + client.stats().spoiled, 0);
    }
    create_and_host();
    let mut foreign = client();
    count("client, an answer to no call", TIMES, || {
        let notice = [2, 0, 0, 0, 0];
        for _ in 0..TIMES {
            foreign.handle_datagram(ZERO, address(BROADCASTER), &notice);
            drain(&mut foreign);
        }
    });
    assert_eq!(foreign.stats().unexpected, 2 * u64::from(TIMES));
}

/// As many as one may host.
fn create_and_host() {
    const HOSTED: u32 = 64;
    let me = address(1);
    let answers: Vec<_> =
        (0..HOSTED).map(|number| response(&Response::Joined(info(number, me, me, 1)))).collect();
    let host = |client: &mut Client| {
        for answer in &answers {
            answered(client, Request::Create, answer);
        }
    };
    count_with("client, create, and the answer", HOSTED, client, host);
    let mut client = client();
    host(&mut client);
    count("client, ping of a pool that is hosted", 10 * HOSTED, || {
        // They fall due together.
        for _ in 0..10 {
            let deadline = drain(&mut client).expect("it hosts");
            client.handle_timeout(deadline);
        }
        drain(&mut client);
    });
    // As the pools were made, too.
    assert_eq!(client.stats().sent, u64::from(2 * HOSTED + 20 * HOSTED));
}
