//! Sources, and how much each of them has.

use alloc::collections::BTreeMap;
use core::net::IpAddr;

/// Who may be one and the same: an IPv4 address, or the /64 that an IPv6 user has to himself.
///
/// The network, or the address behind bits that no address of a peer begins with (`ff` is multicast).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Source(u64);

const IPV4: u64 = 0xffff_ffff << 32;

impl Source {
    #[inline]
    pub(super) fn of(ip: IpAddr) -> Self {
        Self(match ip.to_canonical() {
            IpAddr::V4(ip) => IPV4 | u64::from(ip.to_bits()),
            IpAddr::V6(ip) => (ip.to_bits() >> 64) as u64,
        })
    }

    /// As bytes to be hashed.
    pub(super) fn bytes(self) -> [u8; 8] {
        self.0.to_le_bytes()
    }

    fn v4(self) -> Option<u32> {
        (self.0 & IPV4 == IPV4).then_some(self.0 as u32)
    }
}

/// How many of something each source has.
#[derive(Debug, Default)]
pub(super) struct Sources {
    v4: BTreeMap<u32, u32>,
    v6: BTreeMap<u64, u32>,
}

impl Sources {
    pub(super) fn count(&self, source: Source) -> usize {
        let count = match source.v4() {
            Some(ip) => self.v4.get(&ip),
            None => self.v6.get(&source.0),
        };
        count.copied().unwrap_or(0) as usize
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    pub(super) fn add(&mut self, source: Source) {
        let count = match source.v4() {
            Some(ip) => self.v4.entry(ip).or_default(),
            None => self.v6.entry(source.0).or_default(),
        };
        *count += 1;
    }

    pub(super) fn take(&mut self, source: Source) {
        match source.v4() {
            Some(ip) => take_one(&mut self.v4, ip),
            None => take_one(&mut self.v6, source.0),
        }
    }
}

fn take_one<K: Ord>(counts: &mut BTreeMap<K, u32>, source: K) {
    if let Some(count) = counts.get_mut(&source) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&source);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_source_is_a_64() {
        let mut sources = Sources::default();
        let of = |ip: &str| Source::of(ip.parse().unwrap());
        for taken in ["2001:db8::1", "2001:db8::ffff:2", "2001:db8:0:1::1", "::ffff:192.0.2.1", "192.0.2.1"] {
            sources.add(of(taken));
        }
        let counts = ["2001:db8::5", "2001:db8:0:1::", "192.0.2.1", "192.0.2.2", "::192.0.2.1"];
        assert_eq!(counts.map(|source| sources.count(of(source))), [2, 1, 2, 0, 0]);
        sources.take(of("2001:db8::"));
        sources.take(of("2001:db8::"));
        assert_eq!((sources.v6.len(), sources.v4.len()), (1, 1));
    }
}
