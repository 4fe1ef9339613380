//! Who is where: every address of a world follows from the number of a node or of a NAT.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

/// An IPv4 address and a port, in eight bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Addr {
    pub(super) ip: u32,
    pub(super) port: u16,
}

impl Addr {
    pub(super) const fn new(ip: u32, port: u16) -> Self {
        Self { ip, port }
    }

    /// None for IPv6, which nobody here has.
    pub(super) fn of(address: SocketAddr) -> Option<Self> {
        match address {
            SocketAddr::V4(address) => Some(Self::new(address.ip().to_bits(), address.port())),
            SocketAddr::V6(_) => None,
        }
    }

    pub(super) fn to_socket(self) -> SocketAddr {
        SocketAddrV4::new(Ipv4Addr::from_bits(self.ip), self.port).into()
    }
}

/// The first of the addresses of nodes: 198.18.0.0, set aside for tests by RFC 2544.
const NODES: u32 = 0xc612_0000;
/// The first of the addresses of NATs: 198.19.0.0.
const NATS: u32 = 0xc613_0000;
/// The first of the addresses behind NATs: 10.0.0.0. Each NAT has 256.
const PRIVATE: u32 = 0x0a00_0000;

/// What an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A node that everyone reaches.
    Node(usize),
    /// The outside of a NAT.
    Nat(usize),
    /// The node with this number behind that NAT.
    Behind(usize, usize),
    Nowhere,
}

pub(super) const fn of_node(node: usize) -> u32 {
    NODES | node as u32 & 0xffff
}

pub(super) const fn of_nat(nat: usize) -> u32 {
    NATS | nat as u32 & 0xffff
}

pub(super) const fn behind(nat: usize, number: usize) -> u32 {
    PRIVATE | (nat as u32 & 0xffff) << 8 | number as u32 & 0xff
}

pub(super) const fn place(ip: u32) -> Place {
    let low = (ip & 0xffff) as usize;
    match ip & 0xffff_0000 {
        NODES => Place::Node(low),
        NATS => Place::Nat(low),
        _ if ip & 0xff00_0000 == PRIVATE => Place::Behind((ip >> 8 & 0xffff) as usize, (ip & 0xff) as usize),
        _ => Place::Nowhere,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_whose_it_is() {
        assert_eq!(place(of_node(300)), Place::Node(300));
        assert_eq!(place(of_nat(7)), Place::Nat(7));
        assert_eq!(place(behind(7, 2)), Place::Behind(7, 2));
        assert_eq!(place(0x0101_0101), Place::Nowhere);
        let addr = Addr::new(of_node(1), 80);
        assert_eq!(addr.to_socket().to_string(), "198.18.0.1:80");
        assert_eq!(Addr::of(addr.to_socket()), Some(addr));
    }
}
