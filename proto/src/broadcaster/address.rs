//! Addresses in few bytes: a broadcaster holds millions.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use crate::wire::canonical;

/// How an address was written by the socket it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    V4,
    /// IPv4, as a dual-stack socket shows it.
    Mapped,
    V6,
}

/// The address of a host: as peers are told it, and as the driver's socket names it, but for what only few have.
#[derive(Clone, Copy, Debug)]
pub(super) struct HostAddress {
    ip: [u8; 16],
    port: u16,
    form: Form,
}

/// What an IPv6 address may have beside its number: a flow label and a scope.
pub(super) type Zone = (u32, u32);

impl HostAddress {
    /// The zone is the caller's to keep, if there is one.
    pub(super) fn new(address: SocketAddr) -> (Self, Option<Zone>) {
        let told = canonical(address);
        let form = match (address, told) {
            (SocketAddr::V4(_), _) => Form::V4,
            (SocketAddr::V6(_), SocketAddr::V4(_)) => Form::Mapped,
            (SocketAddr::V6(_), SocketAddr::V6(_)) => Form::V6,
        };
        let ip = match told.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        let zone = match address {
            SocketAddr::V4(_) => None,
            SocketAddr::V6(address) => Some((address.flowinfo(), address.scope_id())),
        };
        (Self { ip: ip.octets(), port: told.port(), form }, zone.filter(|zone| *zone != (0, 0)))
    }

    /// As peers are told it.
    #[inline]
    pub(super) fn told(self) -> SocketAddr {
        let ip = Ipv6Addr::from(self.ip);
        match self.form {
            Form::V4 | Form::Mapped => (Ipv4Addr::from_bits(ip.to_bits() as u32), self.port).into(),
            Form::V6 => (ip, self.port).into(),
        }
    }

    /// Whether this is its address, as peers are told it or as any socket names it.
    #[inline]
    pub(super) fn is(&self, address: SocketAddr) -> bool {
        let [.., a, b, c, d] = self.ip;
        match address {
            SocketAddr::V4(v4) => {
                self.form != Form::V6 && v4.ip().octets() == [a, b, c, d] && v4.port() == self.port
            }
            SocketAddr::V6(_) => canonical(address) == self.told(),
        }
    }

    /// As the driver's socket names it.
    pub(super) fn of_socket(self, zone: Option<Zone>) -> SocketAddr {
        let (flow, scope) = zone.unwrap_or_default();
        match self.form {
            Form::V4 => self.told(),
            Form::Mapped | Form::V6 => SocketAddrV6::new(self.ip.into(), self.port, flow, scope).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_told_and_answered_as_before() {
        let all =
            ["192.0.2.1:1", "[::ffff:192.0.2.1]:65535", "[2001:db8::1]:7", "[::192.0.2.1]:1", "192.0.2.2:1"];
        for text in all {
            let address: SocketAddr = text.parse().unwrap();
            let (host, zone) = HostAddress::new(address);
            assert_eq!((host.told(), host.of_socket(zone)), (canonical(address), address));
            for other in all {
                let other: SocketAddr = other.parse().unwrap();
                let same = canonical(other) == canonical(address);
                assert_eq!((host.is(other), host.is(canonical(other))), (same, same));
            }
            assert_eq!(zone, None);
        }
        let zoned: SocketAddr = SocketAddrV6::new("fe80::1".parse().unwrap(), 7, 3, 2).into();
        let (host, zone) = HostAddress::new(zoned);
        assert_eq!((host.told(), host.of_socket(zone)), (canonical(zoned), zoned));
    }
}
