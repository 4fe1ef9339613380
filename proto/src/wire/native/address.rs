//! Addresses as they stand in datagrams.

use core::fmt;
use core::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::field::{self, Field, Parsed, Put, allowed};
use crate::wire::canonical;

/// A UDP address that means the same on every machine: [`canonical`], and its port is not 0 (PROTOCOL.md, section 1.1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(SocketAddr);

const IPV4: u8 = 4;
const IPV6: u8 = 6;

impl Address {
    /// The most bytes that one takes in a datagram.
    pub const MAX_LEN: usize = 19;

    /// Takes an address and makes it [`canonical`]; none if its port is 0.
    #[must_use]
    pub fn new(address: SocketAddr) -> Option<Self> {
        (address.port() != 0).then(|| Self(canonical(address)))
    }

    /// The address.
    #[must_use]
    pub fn get(self) -> SocketAddr {
        self.0
    }

    /// The IP address in 16 bytes in network order, an IPv4 address mapped into IPv6.
    pub(super) fn ip_bytes(self) -> [u8; 16] {
        match self.0.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
            IpAddr::V6(ip) => ip.octets(),
        }
    }
}

impl From<Address> for SocketAddr {
    fn from(address: Address) -> Self {
        address.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'a> Field<'a> for Address {
    /// `address = 4, 4 bytes, u16 port | 6, 16 bytes, u16 port`; no IPv4 address in IPv6, no port 0
    fn read(input: &'a [u8]) -> Parsed<'a, Self> {
        let (input, family) = field::byte(input)?;
        let (input, ip) = match family {
            IPV4 => {
                let (input, ip) = field::array::<4>(input)?;
                (input, IpAddr::from(ip))
            }
            IPV6 => {
                let (input, ip) = field::array::<16>(input)?;
                let ip = Ipv6Addr::from(ip);
                allowed(input, ip.to_ipv4_mapped().is_none().then_some(IpAddr::V6(ip)))?
            }
            _ => return allowed(input, None),
        };
        let (input, port) = field::u16(input)?;
        allowed(input, Self::new(SocketAddr::new(ip, port)))
    }

    fn write(&self, out: &mut impl Put) {
        match self.0.ip() {
            IpAddr::V4(ip) => {
                out.put_u8(IPV4);
                out.put(&ip.octets());
            }
            IpAddr::V6(ip) => {
                out.put_u8(IPV6);
                out.put(&ip.octets());
            }
        }
        out.put_u16(self.0.port());
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::super::fault::{Fault, fault};
    use super::*;

    fn bytes(address: &str) -> BytesMut {
        let mut out = BytesMut::new();
        Address::new(address.parse().unwrap()).unwrap().write(&mut out);
        out
    }

    #[test]
    fn the_ip_is_in_network_order_and_the_port_is_not() {
        assert_eq!(&bytes("192.0.2.1:258")[..], [4, 192, 0, 2, 1, 2, 1]);
        let six = bytes("[2001:db8::1]:258");
        assert_eq!(&six[..5], [6, 0x20, 0x01, 0x0d, 0xb8]);
        assert_eq!(&six[15..], [0, 1, 2, 1]);
        assert_eq!(six.len(), Address::MAX_LEN);
    }

    #[test]
    fn what_is_mapped_is_written_as_ipv4_and_not_read_otherwise() {
        assert_eq!(bytes("[::ffff:192.0.2.1]:258"), bytes("192.0.2.1:258"));
        let mut mapped = [0; 19];
        mapped[0] = 6;
        mapped[11..13].copy_from_slice(&[0xff, 0xff]);
        mapped[17] = 1;
        assert_eq!(Address::read(&mapped).map_err(fault), Err(Fault::BadValue));
        mapped[10] = 1;
        assert!(Address::read(&mapped).is_ok());
    }

    #[test]
    fn neither_port_0_nor_another_family_is_an_address() {
        assert_eq!(Address::new("192.0.2.1:0".parse().unwrap()), None);
        assert_eq!(Address::read(&[4, 192, 0, 2, 1, 0, 0]).map_err(fault), Err(Fault::BadValue));
        assert_eq!(Address::read(&[5, 192, 0, 2, 1, 2, 1]).map_err(fault), Err(Fault::BadValue));
    }

    #[test]
    fn sixteen_bytes_of_either_family() {
        let ip = |text: &str| Address::new(text.parse().unwrap()).unwrap().ip_bytes();
        assert_eq!(ip("192.0.2.1:7"), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 192, 0, 2, 1]);
        assert_eq!(ip("[::1]:7"), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    }

    #[test]
    fn it_shows_itself_as_an_address() {
        let address = Address::new("192.0.2.1:258".parse().unwrap()).unwrap();
        assert_eq!(alloc::format!("{address} {address:?}"), "192.0.2.1:258 192.0.2.1:258");
    }
}
