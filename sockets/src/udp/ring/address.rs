//! Addresses as the kernel reads and writes them.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// How long an address of IPv4 is (`sockaddr_in`), in bytes.
const V4_LEN: usize = 16;
/// How long an address of IPv6 is (`sockaddr_in6`), in bytes.
const V6_LEN: usize = 28;

/// An address, and how much of it is used.
#[derive(Clone, Copy, Debug)]
pub(super) struct RawAddress {
    bytes: [u8; V6_LEN],
    len: usize,
}

/// How long the addresses are of those who send to a socket at `local`.
pub(super) fn len_at(local: SocketAddr) -> usize {
    if local.is_ipv4() { V4_LEN } else { V6_LEN }
}

impl RawAddress {
    /// The address of nobody.
    pub(super) const EMPTY: Self = Self { bytes: [0; V6_LEN], len: 0 };

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl From<SocketAddr> for RawAddress {
    fn from(address: SocketAddr) -> Self {
        let mut raw = Self { bytes: [0; V6_LEN], len: 0 };
        let [f0, f1] = family(if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 }).to_ne_bytes();
        let [p0, p1] = address.port().to_be_bytes();
        match address {
            SocketAddr::V4(v4) => {
                let [a, b, c, d] = v4.ip().octets();
                raw.put(&[f0, f1, p0, p1, a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0]);
            }
            SocketAddr::V6(v6) => {
                raw.put(&[f0, f1, p0, p1]);
                raw.put(&v6.flowinfo().to_ne_bytes());
                raw.put(&v6.ip().octets());
                raw.put(&v6.scope_id().to_ne_bytes());
            }
        }
        raw
    }
}

impl RawAddress {
    fn put(&mut self, part: &[u8]) {
        let end = self.len + part.len();
        if let Some(room) = self.bytes.get_mut(self.len..end) {
            room.copy_from_slice(part);
            self.len = end;
        }
    }
}

/// The address that the kernel wrote. None if it is of another family or shorter than those of its own.
pub(super) fn read(bytes: &[u8]) -> Option<SocketAddr> {
    let (kind, rest) = bytes.split_first_chunk()?;
    let (port, rest) = rest.split_first_chunk()?;
    let (kind, port) = (u16::from_ne_bytes(*kind), u16::from_be_bytes(*port));
    if kind == family(libc::AF_INET) {
        let (ip, _) = rest.split_first_chunk::<4>()?;
        return Some(SocketAddrV4::new(Ipv4Addr::from(*ip), port).into());
    }
    if kind == family(libc::AF_INET6) {
        let (flow, rest) = rest.split_first_chunk()?;
        let (ip, rest) = rest.split_first_chunk::<16>()?;
        let (scope, _) = rest.split_first_chunk()?;
        let (flow, scope) = (u32::from_ne_bytes(*flow), u32::from_ne_bytes(*scope));
        return Some(SocketAddrV6::new(Ipv6Addr::from(*ip), port, flow, scope).into());
    }
    None
}

/// A family as it is in an address.
const fn family(family: libc::c_int) -> libc::sa_family_t {
    family as libc::sa_family_t
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_again() {
        let ip = "fe80::1:2:3:4".parse().unwrap();
        for address in [
            SocketAddr::from(([192, 0, 2, 7], 6_969)),
            SocketAddr::from(([0; 4], 0)),
            SocketAddrV6::new(ip, 6_969, 0x0102_0304, 5).into(),
            SocketAddrV6::new(Ipv6Addr::LOCALHOST, 1, 0, 0).into(),
        ] {
            let raw = RawAddress::from(address);
            assert_eq!(raw.as_bytes().len(), len_at(address));
            assert_eq!(read(raw.as_bytes()), Some(address));
            assert_eq!(read(&raw.as_bytes()[..7]), None, "cut");
        }
        assert_eq!(read(RawAddress::EMPTY.as_bytes()), None);
        assert_eq!(read(&[0xff; V6_LEN]), None, "of no family");
    }
}
