//! A peer of another make: it speaks the classic wire in its own way, right but unlike ours.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use poolmesh_proto::Instant;

use crate::sim::{Actor, ConnId, Wire};

/// Creates a pool or joins one, pings it, accepts links and dials those who are named; writes frames in pieces, with
/// empty ones between them.
#[derive(Debug)]
pub struct Foreign {
    every: Duration,
    next: Instant,
    broadcaster: SocketAddr,
    hosted: Option<Vec<u8>>,
    /// Where it listens: at the port by which the broadcaster knows it.
    port: Option<u16>,
    conns: Vec<ConnId>,
}

impl Foreign {
    /// A peer that does something every so often, and pings as often.
    #[must_use]
    pub fn new(every: Duration, broadcaster: SocketAddr) -> Self {
        Self { every, next: Instant::ZERO, broadcaster, hosted: None, port: None, conns: Vec::new() }
    }

    /// What comes of an answer to create or join: the pool is pinged if it is one's own, the others are dialed.
    fn joined(&mut self, wire: &mut Wire<'_>, text: &[u8]) {
        let mut words = text.split(|byte| *byte == b' ');
        let (Some(pool), Some(host), Some(you)) = (words.next(), words.next(), words.next()) else { return };
        let address =
            |word: &[u8]| std::str::from_utf8(word).ok().and_then(|text| text.parse::<SocketAddr>().ok());
        self.port = address(you).map(|you| you.port());
        if host == you {
            self.hosted = Some(pool.to_vec());
        }
        for word in words.filter(|word| *word != you) {
            if self.conns.len() < 8 {
                self.conns.extend(address(word).and_then(|address| wire.dial(address)));
            }
        }
    }
}

/// A type byte, and a string unless it is empty.
fn request(kind: u8, text: &[u8]) -> Bytes {
    let mut bytes = vec![kind];
    if !text.is_empty() {
        bytes.extend_from_slice(&(text.len() as u32).to_le_bytes());
        bytes.extend_from_slice(text);
    }
    bytes.into()
}

impl Actor for Foreign {
    fn deadline(&self) -> Option<Instant> {
        Some(self.next)
    }

    fn wake(&mut self, wire: &mut Wire<'_>) {
        let ask = match (&self.hosted, wire.rng().below(20)) {
            (_, 0) => request(2, b""),
            (None, 1..4) => request(0, b""),
            (Some(pool), _) => request(1, pool),
            (None, _) => Bytes::new(),
        };
        wire.send(self.broadcaster, ask);
        if let Some(conn) = self.conns.get(wire.rng().index(self.conns.len())).copied() {
            // An empty frame, then one that comes in two pieces.
            wire.write(conn, Bytes::from_static(b"\0\0\0\0\x0b\0\0\0\x03"));
            wire.write(conn, Bytes::from_static(b"\0\0\0msghola"));
        }
        if wire.rng().chance(20_000) && !self.conns.is_empty() {
            wire.close(self.conns.remove(0));
        }
        self.next = wire.now() + self.every;
    }

    fn datagram(&mut self, wire: &mut Wire<'_>, _: SocketAddr, datagram: &Bytes) {
        match datagram.first() {
            Some(2) => {
                // The first pool that is listed.
                let ids = datagram.get(5..).unwrap_or_default();
                let first = ids.split(|byte| *byte == b' ').next().unwrap_or_default();
                if !first.is_empty() {
                    wire.send(self.broadcaster, request(3, first));
                }
            }
            Some(3) => self.joined(wire, datagram.get(5..).unwrap_or_default()),
            Some(5) => self.hosted = None,
            Some(4) => {
                let unknown = |pool: &Vec<u8>| datagram.windows(pool.len()).any(|part| part == &pool[..]);
                self.hosted = self.hosted.take().filter(|pool| !unknown(pool));
            }
            _ => {}
        }
    }

    fn listens(&self, port: u16) -> bool {
        self.port == Some(port)
    }

    fn connected(&mut self, wire: &mut Wire<'_>, conn: ConnId) {
        if self.conns.contains(&conn) {
            return;
        }
        if self.conns.len() < 16 {
            self.conns.push(conn);
        } else {
            wire.close(conn);
        }
    }

    fn received(&mut self, wire: &mut Wire<'_>, conn: ConnId, bytes: Option<Bytes>) {
        if bytes.is_none() {
            wire.close(conn);
            self.conns.retain(|other| *other != conn);
        }
    }

    fn broken(&mut self, _: &mut Wire<'_>, conn: ConnId) {
        self.conns.retain(|other| *other != conn);
    }
}
