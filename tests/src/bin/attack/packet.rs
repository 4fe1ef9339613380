//! UDP in IPv4 packets, as raw sockets take and give them (RFC 791, RFC 768).

use std::net::{Ipv4Addr, SocketAddrV4};

const UDP: u8 = 17;
const IP_HEADER: usize = 20;
const UDP_HEADER: usize = 8;

/// Writes a packet in place of what is in `out`. The system adds the length and the checksum of the IP header; in UDP, a
/// checksum of 0 says that there is none.
pub(crate) fn write(from: SocketAddrV4, to: SocketAddrV4, payload: &[u8], out: &mut Vec<u8>) {
    let udp_len = u16::try_from(UDP_HEADER + payload.len()).unwrap_or(u16::MAX);
    out.clear();
    // Version 4 and a header of five words; no service, length, number or fragments; 64 hops.
    out.extend([0x45, 0, 0, 0, 0, 0, 0, 0, 64, UDP, 0, 0]);
    out.extend(from.ip().octets());
    out.extend(to.ip().octets());
    for field in [from.port(), to.port(), udp_len, 0] {
        out.extend(field.to_be_bytes());
    }
    out.extend(payload);
}

/// Where a packet comes from, where it goes to, and what is in it; none if it isn't UDP, or a fragment.
pub(crate) fn read(packet: &[u8]) -> Option<(SocketAddrV4, SocketAddrV4, &[u8])> {
    let (header, udp) = packet.split_first_chunk::<IP_HEADER>()?;
    let [0x45, _, _, _, _, _, flags, offset, _, UDP, _, _, from @ .., t0, t1, t2, t3] = header else {
        return None;
    };
    if (flags & 0x3f, offset) != (0, &0) {
        return None;
    }
    let (udp_header, payload) = udp.split_first_chunk::<UDP_HEADER>()?;
    let [f0, f1, p0, p1, l0, l1, _, _] = *udp_header;
    let payload = payload.get(..usize::from(u16::from_be_bytes([l0, l1])).checked_sub(UDP_HEADER)?)?;
    let from = SocketAddrV4::new(Ipv4Addr::from(*from), u16::from_be_bytes([f0, f1]));
    let to = SocketAddrV4::new(Ipv4Addr::new(*t0, *t1, *t2, *t3), u16::from_be_bytes([p0, p1]));
    Some((from, to, payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_read_as_it_was_written() {
        let (from, to) = ("198.18.1.2:772".parse().unwrap(), "198.19.0.1:7777".parse().unwrap());
        let mut packet = b"of before".to_vec();
        write(from, to, b"payload", &mut packet);
        assert_eq!(packet.len(), IP_HEADER + UDP_HEADER + 7);
        assert_eq!(packet[20..28], [3, 4, 0x1e, 0x61, 0, 15, 0, 0]);
        assert_eq!(read(&packet), Some((from, to, &b"payload"[..])));
        packet.push(0);
        assert_eq!(
            read(&packet).map(|(_, _, payload)| payload),
            Some(&b"payload"[..]),
            "an interface may pad"
        );
    }

    #[test]
    fn what_is_not_udp_is_not_read() {
        let (from, to) = ("198.18.1.2:772".parse().unwrap(), "198.19.0.1:7777".parse().unwrap());
        let mut packet = Vec::new();
        write(from, to, b"payload", &mut packet);
        for (place, value) in [(0, 0x46), (0, 0x65), (6, 0x20), (7, 1), (9, 1), (25, 16), (25, 7)] {
            let mut other = packet.clone();
            other[place] = value;
            assert_eq!(read(&other), None, "{place}: {value}");
        }
        assert!((0..packet.len()).all(|len| read(&packet[..len]).is_none()), "cut off");
    }
}
