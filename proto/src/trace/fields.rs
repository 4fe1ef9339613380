//! The fields that entries are made of: numbers, bytes, addresses.

use core::net::{Ipv6Addr, SocketAddr, SocketAddrV6};

use bytes::{BufMut, Bytes, BytesMut};
use nom::IResult;
use nom::Parser;
use nom::bytes::complete::take;
use nom::combinator::map;
use nom::error::{ErrorKind, ParseError};
use nom::number::complete::{be_u16, be_u32, be_u128, le_u64, le_u128, u8};

use super::TraceFault;
use crate::{Instant, PoolId, PoolInfo};

/// What is wrong, and what was left to be read there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bad<'a> {
    pub(super) rest: &'a [u8],
    pub(super) fault: TraceFault,
}

impl<'a> ParseError<&'a [u8]> for Bad<'a> {
    /// nom's own parsers are used only where nothing but the end of the bytes can be wrong.
    fn from_error_kind(rest: &'a [u8], _: ErrorKind) -> Self {
        Self { rest, fault: TraceFault::Short { missing: 1 } }
    }

    fn append(_: &'a [u8], _: ErrorKind, other: Self) -> Self {
        other
    }
}

pub(super) type Parsed<'a, T> = IResult<&'a [u8], T, Bad<'a>>;

pub(super) fn bad<T>(rest: &[u8], fault: TraceFault) -> Parsed<'_, T> {
    Err(nom::Err::Error(Bad { rest, fault }))
}

pub(super) fn unknown<'a, T>(rest: &'a [u8], what: &'static str, number: u64) -> Parsed<'a, T> {
    bad(rest, TraceFault::Unknown { what, number })
}

/// Out of nom's wrapping. Complete parsers never answer `Incomplete`.
pub(super) fn unwrapped(error: nom::Err<Bad<'_>>) -> Bad<'_> {
    match error {
        nom::Err::Error(bad) | nom::Err::Failure(bad) => bad,
        nom::Err::Incomplete(_) => Bad { rest: &[], fault: TraceFault::Short { missing: 1 } },
    }
}

/// `number = up to 18 bytes with the highest bit set, then one without; seven bits each, the lowest first`
///
/// At most `bits` bits of it may be used.
fn varint(input: &[u8], bits: u32) -> Parsed<'_, u128> {
    let mut value = 0u128;
    let mut shift = 0;
    let mut rest = input;
    loop {
        let (behind, byte) = u8(rest)?;
        let low = u128::from(byte & 0x7f);
        let fits = bits.saturating_sub(shift).min(7);
        if low >> fits != 0 {
            return bad(input, TraceFault::OutOfRange);
        }
        if fits > 0 {
            value |= low << shift;
        }
        if byte & 0x80 == 0 {
            return Ok((behind, value));
        }
        if shift >= bits {
            return bad(input, TraceFault::OutOfRange);
        }
        shift += 7;
        rest = behind;
    }
}

/// A number of 64 bits.
pub(super) fn number(input: &[u8]) -> Parsed<'_, u64> {
    // Most are short.
    match input.split_first() {
        Some((byte, rest)) if byte & 0x80 == 0 => Ok((rest, u64::from(*byte))),
        _ => map(|input| varint(input, u64::BITS), |value| value as u64).parse(input),
    }
}

/// A number of 128 bits.
pub(super) fn wide(input: &[u8]) -> Parsed<'_, u128> {
    varint(input, u128::BITS)
}

/// A number that fits another type.
pub(super) fn fitting<T: TryFrom<u64>>(input: &[u8]) -> Parsed<'_, T> {
    let (rest, value) = number(input)?;
    match T::try_from(value) {
        Ok(value) => Ok((rest, value)),
        Err(_) => bad(input, TraceFault::OutOfRange),
    }
}

pub(super) fn put_number(value: u64, out: &mut BytesMut) {
    put_wide(value.into(), out);
}

pub(super) fn put_wide(mut value: u128, out: &mut BytesMut) {
    while value > 0x7f {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

pub(super) fn put_size(value: usize, out: &mut BytesMut) {
    put_number(value as u64, out);
}

/// `signed = number: 0, -1, 1, -2, 2, … as 0, 1, 2, 3, 4, …`
///
/// How far `now` is from `since`, modulo 2^64, so that any time can follow any other.
pub(super) fn put_step(since: Instant, now: Instant, out: &mut BytesMut) {
    let step = now.as_micros().wrapping_sub(since.as_micros()) as i64;
    put_number(((step << 1) ^ (step >> 63)) as u64, out);
}

pub(super) fn step(since: Instant, input: &[u8]) -> Parsed<'_, Instant> {
    let (rest, folded) = number(input)?;
    let step = (folded >> 1) ^ (folded & 1).wrapping_neg();
    Ok((rest, Instant::from_micros(since.as_micros().wrapping_add(step))))
}

/// `bytes = number: how many, then they`
pub(super) fn raw(input: &[u8]) -> Parsed<'_, &[u8]> {
    let (rest, len) = number(input)?;
    match len.checked_sub(rest.len() as u64) {
        Some(missing) if missing > 0 => bad(input, TraceFault::Short { missing }),
        // It is at most what is there.
        _ => take(len as usize).parse(rest),
    }
}

/// Copied, so that an event that is kept doesn't keep the file.
pub(super) fn bytes(input: &[u8]) -> Parsed<'_, Bytes> {
    map(raw, Bytes::copy_from_slice).parse(input)
}

pub(super) fn put_bytes(bytes: &[u8], out: &mut BytesMut) {
    put_size(bytes.len(), out);
    out.put_slice(bytes);
}

pub(super) fn fixed_u64(input: &[u8]) -> Parsed<'_, u64> {
    le_u64(input)
}

pub(super) fn fixed_u128(input: &[u8]) -> Parsed<'_, u128> {
    le_u128(input)
}

const IPV4: u64 = 4;
const IPV6: u64 = 6;
const IPV6_SCOPED: u64 = 7;

/// The shortest address, in bytes.
pub(super) const SHORTEST_ADDRESS: usize = 7;

/// `address = 4, 4 bytes, port | 6, 16 bytes, port | 7, 16 bytes, port, flow label, scope`, all big endian
pub(super) fn address(input: &[u8]) -> Parsed<'_, SocketAddr> {
    let (rest, family) = number(input)?;
    match family {
        IPV4 => map((be_u32, be_u16), |(ip, port)| SocketAddr::from((ip.to_be_bytes(), port))).parse(rest),
        IPV6 => map((be_u128, be_u16), |(ip, port)| SocketAddr::from((Ipv6Addr::from(ip), port))).parse(rest),
        IPV6_SCOPED => {
            let scoped = |(ip, port, flow, scope)| {
                SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::from_bits(ip), port, flow, scope))
            };
            map((be_u128, be_u16, be_u32, be_u32), scoped).parse(rest)
        }
        number => unknown(input, "family of addresses", number),
    }
}

pub(super) fn put_address(address: &SocketAddr, out: &mut BytesMut) {
    match address {
        SocketAddr::V4(address) => {
            put_number(IPV4, out);
            out.put_slice(&address.ip().octets());
            out.put_u16(address.port());
        }
        SocketAddr::V6(address) => {
            let scoped = (address.flowinfo(), address.scope_id()) != (0, 0);
            put_number(if scoped { IPV6_SCOPED } else { IPV6 }, out);
            out.put_slice(&address.ip().octets());
            out.put_u16(address.port());
            if scoped {
                out.put_u32(address.flowinfo());
                out.put_u32(address.scope_id());
            }
        }
    }
}

/// `addresses = number: how many, then they`
pub(super) fn addresses(input: &[u8]) -> Parsed<'_, alloc::vec::Vec<SocketAddr>> {
    let (mut rest, count) = number(input)?;
    // Not more than there can be.
    let most = rest.len() / SHORTEST_ADDRESS;
    let mut all = alloc::vec::Vec::with_capacity(most.min(usize::try_from(count).unwrap_or(most)));
    for _ in 0..count {
        let (behind, one) = address(rest)?;
        all.push(one);
        rest = behind;
    }
    Ok((rest, all))
}

pub(super) fn put_addresses(addresses: &[SocketAddr], out: &mut BytesMut) {
    put_size(addresses.len(), out);
    for address in addresses {
        put_address(address, out);
    }
}

/// `pool id = bytes`
pub(super) fn pool_id(input: &[u8]) -> Parsed<'_, PoolId> {
    let (rest, id) = raw(input)?;
    match PoolId::new(id) {
        Ok(id) => Ok((rest, id)),
        Err(invalid) => bad(input, TraceFault::PoolId(invalid)),
    }
}

pub(super) fn put_pool_id(id: &PoolId, out: &mut BytesMut) {
    put_bytes(id.as_bytes(), out);
}

/// `pool = pool id, address of the host, address of the peer itself, addresses of the peers`
pub(super) fn pool_info(input: &[u8]) -> Parsed<'_, PoolInfo> {
    let info = |(id, host, you, peers): (_, _, _, alloc::vec::Vec<_>)| PoolInfo::new(id, host, you, peers);
    map((pool_id, address, address, addresses), info).parse(input)
}

pub(super) fn put_pool_info(info: &PoolInfo, out: &mut BytesMut) {
    put_pool_id(&info.id(), out);
    put_address(&info.host(), out);
    put_address(&info.you(), out);
    put_addresses(info.peers(), out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_any_size_are_read_as_they_were_written() {
        for value in [0, 1, 127, 128, 300, u64::MAX - 1, u64::MAX] {
            let mut out = BytesMut::new();
            put_number(value, &mut out);
            assert_eq!(number(&out), Ok((&[][..], value)));
        }
        let mut out = BytesMut::new();
        put_number(127, &mut out);
        put_number(128, &mut out);
        assert_eq!(&out[..], [127, 0x80, 1], "as short as can be");
        out.clear();
        put_wide(u128::MAX, &mut out);
        assert_eq!(out.len(), 19);
        assert_eq!(wide(&out), Ok((&[][..], u128::MAX)));
        assert_eq!(unwrapped(number(&out).unwrap_err()).fault, TraceFault::OutOfRange);
    }

    #[test]
    fn a_number_may_be_longer_than_it_needs_but_ends() {
        assert_eq!(number(&[0x85, 0x80, 0x00, 9]), Ok((&[9][..], 5)));
        let mut long = [0x80; 20];
        long[19] = 0;
        assert_eq!(wide(&long), Ok((&[][..], 0)));
        assert_eq!(unwrapped(number(&[0x80; 40]).unwrap_err()).fault, TraceFault::OutOfRange);
        assert_eq!(unwrapped(number(&[0x80; 3]).unwrap_err()).fault, TraceFault::Short { missing: 1 });
        let mut beyond = [0xff; 10];
        beyond[9] = 2;
        assert_eq!(unwrapped(number(&beyond).unwrap_err()).fault, TraceFault::OutOfRange);
    }

    #[test]
    fn any_time_follows_any_other() {
        let times = [0, 1, 63, 64, 1 << 40, u64::MAX / 2, u64::MAX - 1, u64::MAX].map(Instant::from_micros);
        for since in times {
            for now in times {
                let mut out = BytesMut::new();
                put_step(since, now, &mut out);
                assert_eq!(step(since, &out), Ok((&[][..], now)));
            }
        }
        let mut out = BytesMut::new();
        put_step(Instant::from_micros(100), Instant::from_micros(90), &mut out);
        assert_eq!(&out[..], [19], "a small step back is short");
    }

    #[test]
    fn an_announced_length_reserves_nothing() {
        let mut out = BytesMut::new();
        put_number(u64::MAX, &mut out);
        let fault = unwrapped(raw(&out).unwrap_err()).fault;
        assert_eq!(fault, TraceFault::Short { missing: u64::MAX });
        let fault = unwrapped(addresses(&out).unwrap_err()).fault;
        assert_eq!(fault, TraceFault::Short { missing: 1 });
        out.clear();
        put_addresses(&[([192, 0, 2, 1], 1).into(); 3], &mut out);
        assert_eq!(addresses(&out).unwrap().1.capacity(), 3);
    }
}
