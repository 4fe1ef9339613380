//! A node that means harm: garbage, floods, forgeries, connections that hang.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use poolmesh_proto::wire::{Request, Response, classic};
use poolmesh_proto::{Instant, PoolId, PoolInfo};

use crate::sim::{Actor, ConnId, Rng, Wire};

/// Connections it keeps at a time.
pub(super) const HELD: usize = 6;
/// Datagrams it keeps to send again.
const KEPT: usize = 16;
/// How many join at once when a crowd is forged.
const CROWD: usize = 80;

/// Sends what hurts, without measure and without rest. With forged source addresses only while it may: against those
/// the classic wire has no defence.
#[derive(Debug)]
pub struct Attacker {
    every: Duration,
    next: Instant,
    broadcasters: Vec<SocketAddr>,
    victims: Vec<SocketAddr>,
    forges: Rc<Cell<bool>>,
    crowds: bool,
    pools: Vec<PoolId>,
    heard: Vec<Bytes>,
    conns: Vec<ConnId>,
}

impl Attacker {
    /// An attacker that strikes every so often on average. `forges`: whether with forged addresses, too; may change.
    /// `crowds`: whether then pools are filled with peers, too.
    #[must_use]
    pub fn new(
        every: Duration,
        broadcasters: Vec<SocketAddr>,
        victims: Vec<SocketAddr>,
        forges: Rc<Cell<bool>>,
        crowds: bool,
    ) -> Self {
        Self {
            every,
            next: Instant::ZERO,
            broadcasters,
            victims,
            forges,
            crowds,
            pools: Vec::new(),
            heard: Vec::new(),
            conns: Vec::new(),
        }
    }

    fn strike(&mut self, wire: &mut Wire<'_>) {
        let Some(broadcaster) = some(wire, &self.broadcasters) else { return };
        match wire.rng().below(20) {
            0..4 => {
                let request = self.request(wire.rng());
                wire.send(broadcaster, request);
            }
            4..6 => {
                // A flood.
                for _ in 0..16 {
                    let request = self.request(wire.rng());
                    wire.send(broadcaster, request);
                }
            }
            6..8 => {
                let request = self.request(wire.rng());
                let spoiled = spoil(wire.rng(), &request);
                wire.send(broadcaster, spoiled);
            }
            8..9 => {
                let garbage = garbage(wire.rng(), 2_000);
                wire.send(broadcaster, garbage);
            }
            9..10 => {
                let Some(victim) = some(wire, &self.victims) else { return };
                let answer = if wire.rng().chance(500_000) {
                    garbage(wire.rng(), 200)
                } else {
                    self.answer(wire, broadcaster, victim)
                };
                wire.send(victim, answer);
            }
            10..14 => self.forge(wire, broadcaster),
            14..17 => {
                if self.conns.len() >= HELD {
                    wire.close(self.conns.remove(0));
                }
                if let Some(victim) = some(wire, &self.victims) {
                    self.conns.extend(wire.dial(victim));
                }
            }
            _ => {
                if let Some(conn) = some(wire, &self.conns) {
                    let poison = poison(wire.rng());
                    wire.write(conn, poison);
                }
            }
        }
    }

    fn request(&self, rng: &mut Rng) -> Bytes {
        let pool = match self.pools.get(rng.index(self.pools.len())) {
            Some(pool) => *pool,
            None => guess(rng),
        };
        let request = match rng.below(4) {
            0 => Request::Create,
            1 => Request::List,
            2 => Request::Ping(pool),
            _ => Request::Join(pool),
        };
        encoded(|out| classic::encode_request(&request, out))
    }

    fn forge(&self, wire: &mut Wire<'_>, broadcaster: SocketAddr) {
        let Some(victim) = some(wire, &self.victims) else { return };
        if !self.forges.get() {
            return;
        }
        if wire.rng().chance(500_000) {
            let request = self.request(wire.rng());
            return wire.forge(victim, broadcaster, request);
        }
        if self.crowds && wire.rng().chance(50_000) {
            return self.crowd(wire, broadcaster);
        }
        let answer = self.answer(wire, broadcaster, victim);
        wire.forge(broadcaster, victim, answer);
    }

    /// What a broadcaster might say to a victim, or has said to somebody.
    fn answer(&self, wire: &mut Wire<'_>, broadcaster: SocketAddr, victim: SocketAddr) -> Bytes {
        let pool = match some(wire, &self.pools) {
            Some(pool) => pool,
            None => guess(wire.rng()),
        };
        let answer = match wire.rng().below(4) {
            0 => Response::PoolEnded,
            1 => Response::Pools(vec![pool]),
            2 => Response::Joined(PoolInfo::new(pool, victim, victim, [victim, broadcaster])),
            _ => return some(wire, &self.heard).unwrap_or_default(),
        };
        encoded(|out| classic::encode_response(&answer, out))
    }

    /// Many join a pool, from ports where nobody is.
    fn crowd(&self, wire: &mut Wire<'_>, broadcaster: SocketAddr) {
        let Some(pool) = some(wire, &self.pools) else { return };
        let join = encoded(|out| classic::encode_request(&Request::Join(pool), out));
        for _ in 0..CROWD {
            let Some(mut from) = some(wire, &self.victims) else { return };
            from.set_port(wire.rng().range(10_000, 60_000) as u16);
            wire.forge(from, broadcaster, join.clone());
        }
    }
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

    fn datagram(&mut self, wire: &mut Wire<'_>, _: SocketAddr, datagram: &Bytes) {
        if self.heard.len() >= KEPT && wire.rng().chance(800_000) {
            return;
        }
        if let Ok(Response::Pools(pools)) = classic::decode_response(datagram) {
            self.pools = pools;
        }
        if self.heard.len() >= KEPT {
            self.heard.remove(0);
        }
        self.heard.push(datagram.clone());
    }

    fn broken(&mut self, _: &mut Wire<'_>, conn: ConnId) {
        self.conns.retain(|other| *other != conn);
    }
}

fn some<T: Clone>(wire: &mut Wire<'_>, items: &[T]) -> Option<T> {
    items.get(wire.rng().index(items.len())).cloned()
}

fn encoded(encode: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut out = BytesMut::new();
    encode(&mut out);
    out.freeze()
}

fn guess(rng: &mut Rng) -> PoolId {
    let bits = format!("{:032x}", rng.u128());
    PoolId::new(bits.as_bytes()).unwrap_or_else(|_| unreachable!("hexadecimal digits are an id"))
}

fn garbage(rng: &mut Rng, longest: usize) -> Bytes {
    let len = rng.index(longest);
    let seed = rng.u64().to_le_bytes();
    let mut bytes: Vec<u8> = seed.iter().copied().cycle().take(len).collect();
    if let Some(first) = bytes.first_mut() {
        *first = rng.below(8) as u8;
    }
    bytes.into()
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

/// Bytes for a link: a length far too long, a frame that never ends, empty frames, nonsense.
fn poison(rng: &mut Rng) -> Bytes {
    match rng.below(5) {
        0 => Bytes::from_static(&[0xff, 0xff, 0xff, 0xff]),
        1 => Bytes::from_static(&[100, 0, 0, 0, 3, 0]),
        2 => vec![0; 4 * (1 + rng.index(64))].into(),
        3 => Bytes::from_static(&[4, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]),
        _ => garbage(rng, 300),
    }
}
