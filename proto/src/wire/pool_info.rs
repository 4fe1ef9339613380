//! What a broadcaster tells a peer of a pool.

use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr, SocketAddrV6};

use super::PoolId;

/// What a broadcaster tells a peer of a pool: who hosts it, who is in it, and as whom the peer itself is seen.
///
/// Addresses are [`canonical`]: they mean the same on every machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolInfo {
    id: PoolId,
    host: SocketAddr,
    you: SocketAddr,
    peers: Vec<SocketAddr>,
}

impl PoolInfo {
    /// Describes pool `id` to the peer at `you`. Every address is made [`canonical`].
    #[must_use]
    pub fn new(
        id: PoolId,
        host: SocketAddr,
        you: SocketAddr,
        peers: impl IntoIterator<Item = SocketAddr>,
    ) -> Self {
        let peers = peers.into_iter().map(canonical).collect();
        Self { id, host: canonical(host), you: canonical(you), peers }
    }

    /// The pool's name.
    #[must_use]
    pub fn id(&self) -> PoolId {
        self.id
    }

    /// The UDP address of the host, as the broadcaster sees it.
    #[must_use]
    pub fn host(&self) -> SocketAddr {
        self.host
    }

    /// The UDP address of the peer that asked, as the broadcaster sees it. Other peers dial its port number on TCP.
    #[must_use]
    pub fn you(&self) -> SocketAddr {
        self.you
    }

    /// Whether the peer that asked is the host.
    #[must_use]
    pub fn is_host(&self) -> bool {
        self.host == self.you
    }

    /// The peers as listed, yourself and the host among them. The classic dialect has no leave: some may be gone.
    #[must_use]
    pub fn peers(&self) -> &[SocketAddr] {
        &self.peers
    }

    /// The listed peers but yourself: whom to dial.
    pub fn others(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.peers.iter().copied().filter(|peer| *peer != self.you)
    }
}

/// The form of `address` that means the same on every machine: an IPv4 address that a dual-stack socket shows as
/// IPv6 becomes IPv4 again, the flow label and the scope (an interface number of one machine) go.
#[inline]
#[must_use]
pub fn canonical(address: SocketAddr) -> SocketAddr {
    let SocketAddr::V6(v6) = address else { return address };
    match v6.ip().to_canonical() {
        IpAddr::V4(ip) => SocketAddr::from((ip, v6.port())),
        IpAddr::V6(ip) => SocketAddr::V6(SocketAddrV6::new(ip, v6.port(), 0, 0)),
    }
}

/// The address to talk to of those that a name has: an IPv4 one if there is one, for broadcasters are commonly bound
/// to IPv4, and a datagram that nobody takes is not reported reliably. Port 0 is nobody's.
#[must_use]
pub fn preferred(addresses: impl IntoIterator<Item = SocketAddr>) -> Option<SocketAddr> {
    addresses.into_iter().filter(|address| address.port() != 0).min_by_key(SocketAddr::is_ipv6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapped_address_is_shown_as_ipv4() {
        let mapped: SocketAddr = "[::ffff:192.0.2.1]:7".parse().unwrap();
        assert_eq!(canonical(mapped), "192.0.2.1:7".parse().unwrap());
    }

    #[test]
    fn a_name_is_talked_to_by_ipv4_and_never_at_port_0() {
        let [six, nobody, four, other] = ["[2001:db8::1]:1", "192.0.2.1:0", "192.0.2.1:1", "192.0.2.2:1"]
            .map(|text| text.parse().unwrap());
        assert_eq!(preferred([six, nobody, four, other]), Some(four));
        assert_eq!(preferred([nobody, six]), Some(six));
        assert_eq!(preferred([nobody]), None);
    }

    #[test]
    fn others_leaves_yourself_out() {
        let [a, b] = ["192.0.2.1:1", "192.0.2.1:2"].map(|text| text.parse::<SocketAddr>().unwrap());
        let info = PoolInfo::new(PoolId::new(b"p").unwrap(), a, b, [b, a]);
        assert_eq!(info.others().collect::<Vec<_>>(), [a]);
        assert!(!info.is_host());
    }
}
