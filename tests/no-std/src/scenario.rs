//! A create and a list between a client and a broadcaster, the end of the pool, and an event over two links.

use alloc::vec::Vec;
use core::net::{Ipv4Addr, SocketAddr};

use poolmesh_proto::{
    Broadcaster, BroadcasterConfig, Client, ClientConfig, ClientEvent, Instant, Link, LinkConfig, LinkEvent,
    Machine, Outcome, Output, Packet, PoolEnd, PoolId, RandomSource, Write,
};

const SERVER: SocketAddr = SocketAddr::new(core::net::IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 6_969);
const ME: SocketAddr = SocketAddr::new(core::net::IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)), 5_000);

/// What failed; the program's exit status.
#[derive(Clone, Copy)]
pub enum Step {
    Create = 1,
    List = 2,
    PoolEnd = 3,
    Link = 4,
    Close = 5,
}

pub fn run() -> Result<(), Step> {
    let mut draw = 0u128;
    let random = move || {
        draw += 1 << 100;
        draw
    };
    let mut broadcaster = Broadcaster::new(BroadcasterConfig::default().with_classic(), random);
    let mut client = Client::new(ClientConfig::classic(), SERVER, [7; 32]);
    let now = Instant::ZERO;

    client.create(now).map_err(|_| Step::Create)?;
    let pool = match outcome(exchange(&mut client, &mut broadcaster, now)) {
        Some(Outcome::Created(info)) if info.host() == ME && info.peers() == [ME] => info.id(),
        _ => return Err(Step::Create),
    };
    check(broadcaster.pool_count() == 1, Step::Create)?;

    client.list(now).map_err(|_| Step::List)?;
    match outcome(exchange(&mut client, &mut broadcaster, now)) {
        Some(Outcome::Listed(pools)) if pools.ids().eq([pool]) => {}
        _ => return Err(Step::List),
    }

    pool_ends(&mut client, &mut broadcaster, pool)?;
    links(now)
}

/// The broadcaster's clock runs while the client is held up: the pool ends, and the client learns of it.
fn pool_ends(
    client: &mut Client,
    broadcaster: &mut Broadcaster<impl RandomSource>,
    pool: PoolId,
) -> Result<(), Step> {
    let late = Instant::ZERO + BroadcasterConfig::default().ping_timeout;
    broadcaster.handle_timeout(late);
    let events = exchange(client, broadcaster, late);
    check(broadcaster.pool_count() == 0, Step::PoolEnd)?;
    check(events == [ClientEvent::PoolEnded { pool, reason: PoolEnd::Quiet }], Step::PoolEnd)
}

/// One event there, and the end of both links.
fn links(now: Instant) -> Result<(), Step> {
    let (mut ann, mut bob) = (Link::new(LinkConfig::default(), now), Link::new(LinkConfig::default(), now));
    ann.send("msg", Packet::new().string("hello")).map_err(|_| Step::Link)?;
    ann.close(now);
    carry(&mut ann, &mut bob, now);
    let Some(LinkEvent::Received(event)) = bob.poll_event() else { return Err(Step::Link) };
    check(event.is("msg") && event.reader().string() == Ok("hello"), Step::Link)?;

    check(matches!(bob.poll_event(), Some(LinkEvent::Closed(_))), Step::Close)?;
    ann.handle_eof(now);
    check(matches!(ann.poll_event(), Some(LinkEvent::Closed(_))), Step::Close)
}

/// Carries all that one link writes to the other.
fn carry(from: &mut Link, to: &mut Link, now: Instant) {
    while let Some(write) = from.poll_transmit() {
        match write {
            Write::Bytes(bytes) => to.handle_bytes(now, bytes),
            Write::Finish => to.handle_eof(now),
        }
    }
}

/// Carries datagrams to and fro until both wait. Returns what the client tells.
fn exchange(
    client: &mut Client,
    broadcaster: &mut Broadcaster<impl RandomSource>,
    now: Instant,
) -> Vec<ClientEvent> {
    let mut told = Vec::new();
    loop {
        let (mut idle, mut events) = (true, Vec::new());
        drain(client, &mut told, |datagram| {
            idle = false;
            broadcaster.handle_datagram(now, ME, datagram);
        });
        drain(broadcaster, &mut events, |datagram| {
            idle = false;
            client.handle_datagram(now, SERVER, datagram);
        });
        if idle {
            return told;
        }
    }
}

fn drain<M: Machine>(machine: &mut M, events: &mut Vec<M::Event>, mut send: impl FnMut(&[u8])) {
    loop {
        match machine.poll_output() {
            Output::Transmit(transmit) => send(&transmit.payload),
            Output::Event(event) => events.push(event),
            Output::Wait(_) => return,
        }
    }
}

/// The outcome of the one call that was made.
fn outcome(events: Vec<ClientEvent>) -> Option<Outcome> {
    events.into_iter().find_map(|event| match event {
        ClientEvent::Finished { outcome, .. } => Some(outcome),
        _ => None,
    })
}

fn check(holds: bool, step: Step) -> Result<(), Step> {
    if holds { Ok(()) } else { Err(step) }
}
