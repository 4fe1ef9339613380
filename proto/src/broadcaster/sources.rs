//! How much each source has.

use alloc::collections::BTreeMap;
use core::net::{IpAddr, Ipv6Addr};

/// How many of something each source has: an IPv4 address, or the /64 that an IPv6 user has to himself.
#[derive(Debug, Default)]
pub(super) struct Sources {
    v4: BTreeMap<u32, u32>,
    v6: BTreeMap<u64, u32>,
}

impl Sources {
    pub(super) fn count(&self, ip: IpAddr) -> usize {
        let count = match ip.to_canonical() {
            IpAddr::V4(ip) => self.v4.get(&ip.to_bits()),
            IpAddr::V6(ip) => self.v6.get(&network(ip)),
        };
        count.copied().unwrap_or(0) as usize
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    pub(super) fn add(&mut self, ip: IpAddr) {
        let count = match ip.to_canonical() {
            IpAddr::V4(ip) => self.v4.entry(ip.to_bits()).or_default(),
            IpAddr::V6(ip) => self.v6.entry(network(ip)).or_default(),
        };
        *count += 1;
    }

    pub(super) fn take(&mut self, ip: IpAddr) {
        match ip.to_canonical() {
            IpAddr::V4(ip) => take_one(&mut self.v4, ip.to_bits()),
            IpAddr::V6(ip) => take_one(&mut self.v6, network(ip)),
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

fn network(ip: Ipv6Addr) -> u64 {
    (ip.to_bits() >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_source_is_a_64() {
        let mut sources = Sources::default();
        let ip = |ip: &str| -> IpAddr { ip.parse().unwrap() };
        for taken in ["2001:db8::1", "2001:db8::ffff:2", "2001:db8:0:1::1", "::ffff:192.0.2.1", "192.0.2.1"] {
            sources.add(ip(taken));
        }
        let counts =
            ["2001:db8::5", "2001:db8:0:1::", "192.0.2.1", "192.0.2.2"].map(|of| sources.count(ip(of)));
        assert_eq!(counts, [2, 1, 2, 0]);
        sources.take(ip("2001:db8::"));
        sources.take(ip("2001:db8::"));
        assert_eq!((sources.v6.len(), sources.v4.len()), (1, 1));
    }
}
