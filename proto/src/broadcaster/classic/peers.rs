//! The peers of pools, in few bytes: a broadcaster holds millions.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The peers of a pool in the order they joined. They never leave on the classic wire.
///
/// Without peers it is a pointer that points nowhere, for many pools have none.
#[derive(Debug, Default)]
pub(super) struct PeerList(Option<Box<Peers>>);

#[derive(Debug, Default)]
struct Peers {
    count: usize,
    /// Seven bytes each, or nineteen: its octets, its port and how many octets there are, so that it can be read from
    /// behind. Who joined last is named first.
    packed: Vec<u8>,
}

/// Bytes of an address beside its octets.
const PORT_AND_LEN: usize = 3;

impl PeerList {
    /// How many.
    pub(super) fn count(&self) -> usize {
        self.0.as_ref().map_or(0, |peers| peers.count)
    }

    /// Adds a peer as others are told it.
    pub(super) fn push(&mut self, peer: SocketAddr) {
        let peers = self.0.get_or_insert_default();
        peers.count += 1;
        let [high, low] = peer.port().to_be_bytes();
        match peer.ip() {
            IpAddr::V4(ip) => {
                let [a, b, c, d] = ip.octets();
                peers.packed.extend_from_slice(&[a, b, c, d, high, low, 4]);
            }
            IpAddr::V6(ip) => {
                peers.packed.extend_from_slice(&ip.octets());
                peers.packed.extend_from_slice(&[high, low, 16]);
            }
        }
    }

    /// Whether this one is among them, as others are told it.
    pub(super) fn has(&self, peer: SocketAddr) -> bool {
        self.newest_first().any(|other| other == peer)
    }

    /// Who joined last comes first.
    pub(super) fn newest_first(&self) -> NewestFirst<'_> {
        NewestFirst { packed: self.0.as_ref().map_or(&[], |peers| &peers.packed) }
    }
}

/// The peers from behind.
#[derive(Debug)]
pub(super) struct NewestFirst<'a> {
    packed: &'a [u8],
}

impl Iterator for NewestFirst<'_> {
    type Item = SocketAddr;

    fn next(&mut self) -> Option<SocketAddr> {
        let len = usize::from(*self.packed.last()?) + PORT_AND_LEN;
        let (before, peer) = self.packed.split_at_checked(self.packed.len().checked_sub(len)?)?;
        self.packed = before;
        if let [a, b, c, d, high, low, 4] = peer {
            return Some(([*a, *b, *c, *d], u16::from_be_bytes([*high, *low])).into());
        }
        let (octets, rest) = peer.split_first_chunk::<16>()?;
        let (port, _) = rest.split_first_chunk()?;
        Some((Ipv6Addr::from(*octets), u16::from_be_bytes(*port)).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_come_back_last_first() {
        let mut peers = PeerList::default();
        let all: Vec<SocketAddr> =
            ["192.0.2.1:1", "[2001:db8::1]:7", "[::]:0", "255.255.255.255:65535", "[::1]:4"]
                .map(|peer| peer.parse().unwrap())
                .into();
        for (at, peer) in all.iter().enumerate() {
            peers.push(*peer);
            assert_eq!(peers.count(), at + 1);
            let back: Vec<SocketAddr> = peers.newest_first().collect();
            assert!(back.iter().rev().eq(&all[..=at]));
            assert!(all.iter().enumerate().all(|(other, peer)| peers.has(*peer) == (other <= at)));
        }
    }
}
