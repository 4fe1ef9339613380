//! What only the native dialect has.
//!
//! A spec is written as in datagrams, and what a program saves as it saves it.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::BytesMut;
use nom::Parser;
use nom::combinator::map;

use super::fields::{
    Parsed, address, bad, bytes, fitting, fixed_u128, number, pool_id, put_address, put_bytes, put_number,
    put_pool_id, put_size, raw, unknown,
};
use super::{Order, TraceFault};
use crate::wire::native::field::Field;
use crate::wire::native::{Member, PoolCode, PoolSpec, PoolUuid, Spec};
use crate::{Cursor, Door, ListFilter, PoolInfo, PoolMember, Saved};

/// What was read, if it stands for something.
fn meant<'a, T>(input: &'a [u8], rest: &'a [u8], meaning: Option<T>) -> Parsed<'a, T> {
    match meaning {
        Some(value) => Ok((rest, value)),
        None => bad(input, TraceFault::OutOfRange),
    }
}

fn member(input: &[u8]) -> Parsed<'_, Member> {
    let (rest, number) = fitting(input)?;
    meant(input, rest, Member::new(number))
}

fn put_member(member: Member, out: &mut BytesMut) {
    put_number(member.get().into(), out);
}

fn code(input: &[u8]) -> Parsed<'_, PoolCode> {
    let (rest, number) = number(input)?;
    meant(input, rest, PoolCode::new(number))
}

fn flag(input: &[u8]) -> Parsed<'_, bool> {
    let (rest, number) = number(input)?;
    meant(input, rest, (number <= 1).then_some(number == 1))
}

fn put_flag(flag: bool, out: &mut BytesMut) {
    put_number(flag.into(), out);
}

/// `spec = bytes: it, as in datagrams`
pub(super) fn spec(input: &[u8]) -> Parsed<'_, PoolSpec> {
    let (rest, written) = raw(input)?;
    let whole = |(rest, spec): (&[u8], Spec<'_>)| rest.is_empty().then(|| spec.into());
    meant(input, rest, Spec::read(written).ok().and_then(whole))
}

pub(super) fn put_spec(spec: &PoolSpec, out: &mut BytesMut) {
    let mut written = BytesMut::with_capacity(Spec::MAX_LEN);
    spec.as_spec().write(&mut written);
    put_bytes(&written, out);
}

/// `saved = bytes: it, as it is kept`
pub(super) fn saved(input: &[u8]) -> Parsed<'_, Saved> {
    let (rest, written) = raw(input)?;
    meant(input, rest, Saved::from_bytes(written).ok())
}

/// `filter = bytes: prefix, number: free seats, number: whether classic, number: 0, or 1 and 16 bytes: where to go on`
pub(super) fn filter(input: &[u8]) -> Parsed<'_, ListFilter> {
    let (rest, written) = raw(input)?;
    let prefix = core::str::from_utf8(written).ok().map(ToOwned::to_owned);
    let (rest, prefix): (_, String) = meant(input, rest, prefix)?;
    let (rest, (free, classic, goes_on)) = (fitting, flag, flag).parse(rest)?;
    if !goes_on {
        return Ok((rest, ListFilter { prefix, free, classic, after: None }));
    }
    let (rest, id) = fixed_u128(rest)?;
    let after = Some(Cursor(PoolUuid::new(id.to_le_bytes())));
    Ok((rest, ListFilter { prefix, free, classic, after }))
}

pub(super) fn put_filter(filter: &ListFilter, out: &mut BytesMut) {
    let ListFilter { prefix, free, classic, after } = filter;
    put_bytes(prefix.as_bytes(), out);
    put_number((*free).into(), out);
    put_flag(*classic, out);
    put_flag(after.is_some(), out);
    if let Some(Cursor(id)) = after {
        out.extend_from_slice(&id.bytes());
    }
}

const BY_ID: u64 = 0;
const BY_CODE: u64 = 1;

/// `door = 0, bytes: id | 1, number: code`
pub(super) fn door(input: &[u8]) -> Parsed<'_, Door> {
    let (rest, number) = number(input)?;
    match number {
        BY_ID => map(pool_id, Door::Id).parse(rest),
        BY_CODE => map(code, Door::Code).parse(rest),
        number => unknown(input, "way into a pool", number),
    }
}

pub(super) fn put_door(door: &Door, out: &mut BytesMut) {
    match door {
        Door::Id(id) => {
            put_number(BY_ID, out);
            put_pool_id(id, out);
        }
        Door::Code(code) => {
            put_number(BY_CODE, out);
            put_number(code.get(), out);
        }
    }
}

/// The numbers of orders, which are those of their messages.
mod kind {
    pub(super) const LEAVE: u64 = 0x18;
    pub(super) const ABOUT: u64 = 0x19;
    pub(super) const CHANGE: u64 = 0x1a;
    pub(super) const KICK: u64 = 0x1b;
    pub(super) const HAND: u64 = 0x1c;
    pub(super) const CLOSE: u64 = 0x1d;
    /// It becomes a change.
    pub(super) const LOCK: u64 = 0x1e;
}

/// `order = number: which, what it holds`
pub(super) fn order(input: &[u8]) -> Parsed<'_, Order> {
    let (rest, number) = number(input)?;
    let plain = match number {
        kind::LEAVE => Order::Leave,
        kind::CLOSE => Order::Close,
        kind::KICK => return map(member, Order::Kick).parse(rest),
        kind::HAND => return map(member, Order::HandOver).parse(rest),
        kind::CHANGE => return map(spec, |spec| Order::Change(Box::new(spec))).parse(rest),
        kind::LOCK => return map(flag, Order::Lock).parse(rest),
        kind::ABOUT => return map(bytes, Order::SetAbout).parse(rest),
        number => return unknown(input, "order", number),
    };
    Ok((rest, plain))
}

pub(super) fn put_order(order: &Order, out: &mut BytesMut) {
    let number = match order {
        Order::Leave => kind::LEAVE,
        Order::Close => kind::CLOSE,
        Order::Kick(_) => kind::KICK,
        Order::HandOver(_) => kind::HAND,
        Order::Change(_) => kind::CHANGE,
        Order::Lock(_) => kind::LOCK,
        Order::SetAbout(_) => kind::ABOUT,
    };
    put_number(number, out);
    match order {
        Order::Leave | Order::Close => {}
        Order::Kick(member) | Order::HandOver(member) => put_member(*member, out),
        Order::Change(spec) => put_spec(spec, out),
        Order::Lock(locked) => put_flag(*locked, out),
        Order::SetAbout(about) => put_bytes(about, out),
    }
}

/// `pool of members = pool id, code, number of the member itself, of the host, address of the member itself, number: whether
/// it has come back, number: how many members, for each: its number, its address, bytes: what it says`
pub(super) fn pool_of_members(input: &[u8]) -> Parsed<'_, PoolInfo> {
    let (rest, (id, code, me, host, you)) = (pool_id, code, member, member, address).parse(input)?;
    let (mut rest, (returned, count)) = (flag, number).parse(rest)?;
    let mut members = Vec::new();
    for _ in 0..count {
        let one = |(number, address, about)| PoolMember { number, address, about };
        let (behind, one) = map((member, address, bytes), one).parse(rest)?;
        members.push(one);
        rest = behind;
    }
    let info = PoolInfo::of_members(id, code, me, host, you, members);
    Ok((rest, if returned { info.returned() } else { info }))
}

pub(super) fn put_pool_of_members(info: &PoolInfo, out: &mut BytesMut) {
    put_pool_id(&info.id(), out);
    put_number(info.code().map_or(0, PoolCode::get), out);
    for member in [info.me(), info.host_member()] {
        put_number(member.map_or(0, Member::get).into(), out);
    }
    put_address(&info.you(), out);
    put_flag(info.has_returned(), out);
    put_size(info.members().len(), out);
    for member in info.members() {
        put_member(member.number, out);
        put_address(&member.address, out);
        put_bytes(&member.about, out);
    }
}
