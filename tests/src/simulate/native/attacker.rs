//! A node that means harm to those who speak the native dialect.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use poolmesh_proto::Instant;
use poolmesh_proto::wire::native::{
    About, Act, Answer, Application, Call, Challenge, Cookie, EndReason, FIRST_BYTE, Key, Member, Message,
    Name, News, Notice, PoolCode, PoolUuid, Refusal, Reply, Tx,
};

use super::liar::{Liar, request, some, spec, written};
use crate::sim::{Actor, Rng, Wire};

/// Datagrams at a time when it floods.
const FLOOD: u32 = 16;

/// Forges, replays, guesses, floods and lies, without measure and without rest. It doesn't see what others say, but for
/// what is overheard at places that are tapped: that it sends again, as it is.
#[derive(Debug)]
pub struct Attacker {
    every: Duration,
    next: Instant,
    broadcasters: Vec<SocketAddr>,
    victims: Vec<SocketAddr>,
    /// Whether it comes into pools, and speaks in those that it is in.
    comes_in: Rc<Cell<bool>>,
    liar: Liar,
}

impl Attacker {
    /// An attacker that strikes every so often on average. `comes_in`: whether it may be a member of pools; may change.
    #[must_use]
    pub fn new(
        every: Duration,
        broadcasters: Vec<SocketAddr>,
        victims: Vec<SocketAddr>,
        comes_in: Rc<Cell<bool>>,
    ) -> Self {
        Self { every, next: Instant::ZERO, broadcasters, victims, comes_in, liar: Liar::default() }
    }

    fn strike(&mut self, wire: &mut Wire<'_>) {
        let Some(broadcaster) = some(wire.rng(), &self.broadcasters) else { return };
        match wire.rng().below(24) {
            0..4 if self.comes_in.get() => self.liar.ask(wire, broadcaster),
            4..10 if self.comes_in.get() => self.liar.speak(wire),
            0..2 => self.flood(wire, broadcaster),
            2..4 => {
                let datagram = self.anything(wire);
                let datagram = spoil(wire.rng(), &datagram);
                let from = self.somebody(wire);
                wire.forge(from, broadcaster, datagram);
            }
            4..10 => {
                let datagram = self.anything(wire);
                let from = self.somebody(wire);
                wire.forge(from, broadcaster, datagram);
            }
            10..14 => self.mislead(wire, broadcaster),
            14..22 => self.replay(wire),
            22 => {
                let datagram = garbage(wire.rng());
                wire.send(broadcaster, datagram);
            }
            _ => {
                // A broadcaster is set on another, or on itself.
                let Some(other) = some(wire.rng(), &self.broadcasters) else { return };
                let datagram =
                    if wire.rng().chance(500_000) { self.anything(wire) } else { said(wire.rng()) };
                wire.forge(other, broadcaster, datagram);
            }
        }
    }

    fn flood(&self, wire: &mut Wire<'_>, broadcaster: SocketAddr) {
        for _ in 0..FLOOD {
            let datagram = self.anything(wire);
            let from = self.somebody(wire);
            wire.forge(from, broadcaster, datagram);
        }
    }

    /// The address of a victim, or one of the victim's neighbours, or its own.
    fn somebody(&self, wire: &mut Wire<'_>) -> SocketAddr {
        let own = wire.address();
        let mut from = some(wire.rng(), &self.victims).unwrap_or(own);
        match wire.rng().below(4) {
            0 => own,
            1 => {
                from.set_port(wire.rng().range(1_024, 60_000) as u16);
                from
            }
            _ => from,
        }
    }

    /// A request or a message as a client might send it.
    fn anything(&self, wire: &mut Wire<'_>) -> Bytes {
        let cookie = match (wire.rng().below(3), some(wire.rng(), &self.broadcasters)) {
            (0, _) => None,
            (1, Some(broadcaster)) => self.liar.cookie(broadcaster),
            (_, _) => Cookie::new(wire.rng().u64()),
        };
        let rng = wire.rng();
        let (Some(tx), Some(member)) = (Tx::new(rng.u64() | 1), Member::new(rng.range(1, 9) as u32)) else {
            return Bytes::new();
        };
        let (application, about) = (Application::POOLMESH, About::default());
        let spec = spec(rng);
        let guess = PoolUuid::new(rng.u128().to_le_bytes());
        let call = match rng.below(8) {
            0 => {
                let after = PoolUuid::NIL;
                Call::List { application: Some(application), after, free: 0, prefix: Name::default() }
            }
            1 => Call::Create { application, spec: spec.as_spec(), about },
            2 => Call::Join { application, pool: guess, about },
            3 => match PoolCode::new(rng.below(PoolCode::END)) {
                Some(code) => Call::JoinByCode { application, code, about },
                None => Call::Join { application, pool: guess, about },
            },
            _ => {
                let act = match rng.below(8) {
                    0 => Act::Leave,
                    1 => Act::Close,
                    2 => Act::Kick(member),
                    3 => Act::Hand(member),
                    4 => Act::Change(spec.as_spec()),
                    5 => cookie.map_or(Act::Leave, Act::Move),
                    _ => Act::Ping(None),
                };
                let key = Key::new(if rng.chance(500_000) { [0; 16] } else { rng.u128().to_le_bytes() });
                let count = if rng.chance(500_000) { rng.below(2_000) as u32 } else { u32::MAX };
                let handle = Liar::handle(rng);
                return written(|out| Message { handle, count, act }.write(&key, out));
            }
        };
        request(tx, cookie, call)
    }

    /// Says something to a victim in the name of its broadcaster. What needs no key may be believed.
    fn mislead(&self, wire: &mut Wire<'_>, broadcaster: SocketAddr) {
        let Some(victim) = some(wire.rng(), &self.victims) else { return };
        let times = if wire.rng().chance(200_000) { FLOOD } else { 1 };
        for _ in 0..times {
            let datagram = said(wire.rng());
            wire.forge(broadcaster, victim, datagram);
        }
    }

    /// Sends something again that was overheard, as it was, or from elsewhere, or to elsewhere.
    fn replay(&self, wire: &mut Wire<'_>) {
        let times = wire.rng().range(1, 4);
        for _ in 0..times {
            let Some((mut from, mut to, datagram)) = wire.overheard() else { return };
            match wire.rng().below(6) {
                0 => from = wire.address(),
                1 => from = self.somebody(wire),
                2 => to = some(wire.rng(), &self.broadcasters).unwrap_or(to),
                _ => {}
            }
            wire.forge(from, to, datagram);
        }
    }
}

/// Something that a broadcaster might say, tagged without any key.
fn said(rng: &mut Rng) -> Bytes {
    let (handle, count) = (Liar::handle(rng), rng.below(1_500) as u32);
    let Some(tx) = Tx::new(rng.u64() | 1) else { return Bytes::new() };
    let cookie = Cookie::new(rng.u64() | 1);
    let notice = |news| written(|out| _ = Notice { handle, news }.write(&Key::ZERO, out));
    let answer = |reply| written(|out| Answer { tx, reply }.write(&Key::of_request(tx, None), out));
    match rng.below(10) {
        0..4 => written(|out| Challenge { handle, count, prove: None }.write(out)),
        4..6 => written(|out| Challenge { handle, count, prove: cookie }.write(out)),
        6 => notice(News::Ended(EndReason::Kicked)),
        7 => notice(News::Done { count, outcome: Ok(()) }),
        8 => answer(Reply::Refused(Refusal::Stale)),
        _ => cookie.map_or_else(Bytes::new, |cookie| answer(Reply::Cookie(cookie))),
    }
}

/// The first bytes of a datagram of the dialect, and anything behind them.
fn garbage(rng: &mut Rng) -> Bytes {
    let len = rng.index(1_400);
    let seed = rng.u64().to_le_bytes();
    let start = [FIRST_BYTE, rng.below(256) as u8];
    start.into_iter().chain(seed.iter().copied().cycle()).take(len).collect()
}

/// A datagram with one byte set to something else, or cut, or with more behind it.
fn spoil(rng: &mut Rng, datagram: &[u8]) -> Bytes {
    let mut bytes = datagram.to_vec();
    let place = rng.index(bytes.len());
    match rng.below(3) {
        0 => {
            if let Some(byte) = bytes.get_mut(place) {
                *byte = rng.below(256) as u8;
            }
        }
        1 => bytes.truncate(place),
        _ => bytes.extend_from_slice(datagram),
    }
    bytes.into()
}

impl Actor for Attacker {
    fn deadline(&self) -> Option<Instant> {
        Some(self.next)
    }

    fn wake(&mut self, wire: &mut Wire<'_>) {
        self.strike(wire);
        let wait = wire.rng().exponential(self.every).max(1_000);
        self.next = wire.now() + Duration::from_micros(wait);
    }

    fn datagram(&mut self, wire: &mut Wire<'_>, from: SocketAddr, datagram: &Bytes) {
        self.liar.hear(wire, from, datagram);
    }
}
