//! The attackers' end of the wire: sends from any address, sees what goes to any.

use std::io::{self, ErrorKind, Read};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use nix::errno::Errno;
use socket2::{Domain, Protocol, SockAddr, SockFilter, Socket, Type};

use crate::enclosure::{Enclosure, is_inside};
use crate::{Fallible, packet};

/// Room for this many bytes of packets that wait to be looked at.
const RECEIVE_BUFFER: usize = 4 * 1_024 * 1_024;
/// Packets of the Internet Protocol, in the order of the network.
const ETHERTYPE_IP: u16 = 0x0800;
/// With it, the headers are ours.
const IPPROTO_RAW: i32 = 255;

/// Sends datagrams to one address, from any.
#[derive(Debug)]
pub(crate) struct Injector {
    socket: Socket,
    to: SocketAddrV4,
    address: SockAddr,
    packet: Vec<u8>,
}

impl Injector {
    /// An injector of datagrams for the broadcaster at `to`.
    ///
    /// # Errors
    /// If that is an address which might be somebody's, or the system doesn't let us.
    pub(crate) fn new(_: Enclosure, to: SocketAddrV4) -> Fallible<Self> {
        if !is_inside(*to.ip()) {
            return Err(format!("nothing is sent to {to}, which is not in 198.18.0.0/15").into());
        }
        let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(IPPROTO_RAW)))?;
        Ok(Self { socket, to, address: to.into(), packet: Vec::new() })
    }

    /// Sends one. What finds no room in the interface's queue is lost.
    pub(crate) fn send(&mut self, from: SocketAddrV4, payload: &[u8]) -> io::Result<()> {
        packet::write(from, self.to, payload, &mut self.packet);
        match self.socket.send_to(&self.packet, &self.address) {
            Err(error) if error.raw_os_error() != Some(Errno::ENOBUFS as i32) => Err(error),
            _ => Ok(()),
        }
    }
}

/// A part of the network: the addresses that begin as one does, with so many bits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part(pub(crate) Ipv4Addr, pub(crate) u8);

impl Part {
    fn mask(self) -> u32 {
        u32::MAX.checked_shl(32 - u32::from(self.1)).unwrap_or(0)
    }

    /// The highest number of its addresses.
    pub(crate) fn last(self) -> u32 {
        !self.mask()
    }

    /// One of its addresses.
    pub(crate) fn address(self, number: u32) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.0.to_bits() | number & !self.mask())
    }

    /// Which of its addresses it is.
    pub(crate) fn number(self, address: Ipv4Addr) -> Option<u32> {
        let differs = address.to_bits() ^ self.0.to_bits();
        (differs & self.mask() == 0).then_some(differs)
    }
}

/// Sees what the broadcaster sends to a part of the network, whether somebody is there or not.
#[derive(Debug)]
pub(crate) struct Tap {
    socket: Socket,
    part: Part,
    packet: Box<[u8; 2_048]>,
}

impl Tap {
    /// Begins to look.
    pub(crate) fn new(part: Part) -> Fallible<Self> {
        // Without the headers of the interface, and only what comes in.
        let protocol = Protocol::from(i32::from(ETHERTYPE_IP.to_be()));
        let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(protocol))?;
        socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
        socket.attach_filter(&filter(part))?;
        Ok(Self { socket, part, packet: Box::new([0; 2_048]) })
    }

    /// The next datagram, to whom it goes and what is in it; none if none comes for so long.
    pub(crate) fn next(&mut self, patience: Duration) -> io::Result<Option<(SocketAddrV4, &[u8])>> {
        // No time at all would be for ever.
        self.socket.set_read_timeout(Some(patience.max(Duration::from_micros(1))))?;
        let len = match self.socket.read(&mut self.packet[..]) {
            Ok(len) => len,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        // One that came before there was a filter is of no interest.
        let read = packet::read(self.packet.get(..len).unwrap_or_default());
        Ok(read
            .filter(|(_, to, _)| self.part.number(*to.ip()).is_some())
            .map(|(_, to, payload)| (to, payload)))
    }
}

/// What the kernel looks at, so that no packet for others takes room: UDP, and the first bits of where it goes to.
fn filter(part: Part) -> [SockFilter; 7] {
    const LOAD_BYTE: u16 = 0x30;
    const LOAD_WORD: u16 = 0x20;
    const AND: u16 = 0x54;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    [
        SockFilter::new(LOAD_BYTE, 0, 0, 9),
        SockFilter::new(JUMP_IF_EQUAL, 0, 4, 17),
        SockFilter::new(LOAD_WORD, 0, 0, 16),
        SockFilter::new(AND, 0, 0, part.mask()),
        SockFilter::new(JUMP_IF_EQUAL, 0, 1, part.0.to_bits()),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
        SockFilter::new(RETURN, 0, 0, 0),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_addresses_of_a_part_are_numbered() {
        let part = Part(Ipv4Addr::new(198, 18, 128, 0), 17);
        assert_eq!(part.last(), 0x7fff);
        assert_eq!(part.address(0x7fff), Ipv4Addr::new(198, 18, 255, 255));
        assert_eq!(part.number(Ipv4Addr::new(198, 18, 129, 2)), Some(0x102));
        assert_eq!(part.number(Ipv4Addr::new(198, 18, 127, 2)), None);
    }
}
