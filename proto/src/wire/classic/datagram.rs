//! Datagrams between clients and a broadcaster.

use alloc::vec::Vec;
use core::net::SocketAddr;

use bytes::{BufMut, BytesMut};

use super::filling::{ANSWER_HEADER, Filling, put_header};
use super::refusal_text;
use crate::wire::{
    Asked, PoolId, PoolInfo, Refusal, Request, RequestFault, Response, ResponseFault, fields, uuid,
};

const CREATE: u8 = 0;
const PING: u8 = 1;
const LIST: u8 = 2;
const JOIN: u8 = 3;
const ERROR: u8 = 4;
const PING_TIMEOUT: u8 = 5;

/// A UUID and the space before the next.
const UUID_ITEM: usize = 37;
/// The shortest peer (`1.1.1.1:1`) and the space before it.
const SHORTEST_PEER: usize = 10;

/// The longest answer a broadcaster gives, in bytes: what a gop2p client reads of a datagram.
pub const MAX_ANSWER: usize = 1_024;

/// Where an answer is written, and some bytes more: an item is written before it is seen that it doesn't fit. The longest
/// is an id of 63 bytes with the space behind it.
pub(crate) type AnswerRoom = [u8; MAX_ANSWER + 64 + 1];

/// What decoding one datagram may allocate beyond the datagram's own length, in bytes.
pub const MAX_DECODED: usize = 128 * 1_024;

/// How many pool ids made by [`Broadcaster`](crate::Broadcaster) fit one answer: 27.
pub const LIST_CAPACITY: usize = (MAX_ANSWER - ANSWER_HEADER + 1) / UUID_ITEM;
/// How many peers can at most fit one answer, whatever their addresses are.
pub const PEER_CAPACITY: usize = (MAX_ANSWER - ANSWER_HEADER) / SHORTEST_PEER;

/// Reads a request, whose id is left as it stands there. Nothing is copied.
///
/// `request = create | ping, string | list | join, string`; what follows is ignored.
pub(crate) fn read_request(datagram: &[u8]) -> Result<Asked<'_>, RequestFault<'_>> {
    let (fields, kind) = fields::byte(datagram).map_err(|_| RequestFault::Empty)?;
    match kind {
        CREATE => Ok(Asked::Create),
        PING => Ok(Asked::Ping(id(fields)?)),
        LIST if is_list_answer(fields) => Err(RequestFault::Answer),
        LIST => Ok(Asked::List),
        JOIN => Ok(Asked::Join(id(fields)?)),
        ERROR if is_answer_to_answers(fields) => Err(RequestFault::Answer),
        other => Err(RequestFault::UnknownType(other)),
    }
}

/// The id of the pool that a request may be about, if it is one that [`Broadcaster`](crate::Broadcaster) makes: found with
/// as little as can be, for one that is about none has nobody's id. Where it stands in a ping and in a join: behind the type byte and its length.
#[inline]
pub(crate) fn guess_pool(datagram: &[u8]) -> Option<&[u8; uuid::LEN]> {
    datagram.get(ANSWER_HEADER..)?.first_chunk()
}

/// A list answer reads like a list request with bytes behind it: two broadcasters would list to each other for ever.
fn is_list_answer(fields: &[u8]) -> bool {
    matches!(fields::string(fields), Ok(([], _)))
}

/// A broadcaster answers an error of another one by one of these errors.
fn is_answer_to_answers(fields: &[u8]) -> bool {
    let Ok(([], text)) = fields::string(fields) else { return false };
    matches!(refusal_text::parse(text), Refusal::UnknownRequest | Refusal::TooLong { .. })
}

fn id(fields: &[u8]) -> Result<&[u8], RequestFault<'_>> {
    let (_, id) = fields::string(fields)
        .map_err(|error| RequestFault::Truncated { missing: fields::shortfall(error).missing })?;
    Ok(id)
}

/// Reads a request to a broadcaster. Bytes after the request's fields are ignored.
///
/// # Errors
/// What is wrong with the datagram, so that a broadcaster can say it.
pub fn decode_request(datagram: &[u8]) -> Result<Request, RequestFault<'_>> {
    let pool_id = |id| PoolId::new(id).map_err(|_| RequestFault::NotAPoolId(id));
    Ok(match read_request(datagram)? {
        Asked::Create => Request::Create,
        Asked::Ping(id) => Request::Ping(pool_id(id)?),
        Asked::List => Request::List,
        Asked::Join(id) => Request::Join(pool_id(id)?),
    })
}

/// Appends a request to `out`: at most 68 bytes.
pub fn encode_request(request: &Request, out: &mut BytesMut) {
    match request {
        Request::Create => out.put_u8(CREATE),
        Request::Ping(id) => {
            out.put_u8(PING);
            fields::put_string(out, id.as_bytes());
        }
        Request::List => out.put_u8(LIST),
        Request::Join(id) => {
            out.put_u8(JOIN);
            fields::put_string(out, id.as_bytes());
        }
    }
}

/// Reads an answer or a notice of a broadcaster. Lists longer than what [`MAX_DECODED`] bytes hold (2,048 pool ids, 4,096
/// peers) are cut there.
///
/// `response = list, string array | join, string array | error, string | ping timeout`
///
/// # Errors
/// What is wrong with the datagram. It is for counters and logs: a spoiled answer is to be ignored.
pub fn decode_response(datagram: &[u8]) -> Result<Response, ResponseFault> {
    let (fields, kind) = fields::byte(datagram).map_err(|_| ResponseFault::Empty)?;
    match kind {
        LIST => Ok(Response::Pools(pool_ids(only_string(fields)?)?)),
        JOIN => Ok(Response::Joined(pool_info(only_string(fields)?)?)),
        ERROR => Ok(Response::Refused(refusal_text::parse(only_string(fields)?))),
        PING_TIMEOUT => nothing_after(fields).map(|()| Response::PoolEnded),
        other => Err(ResponseFault::UnknownType(other)),
    }
}

fn only_string(fields: &[u8]) -> Result<&[u8], ResponseFault> {
    let (rest, text) = fields::string(fields)
        .map_err(|error| ResponseFault::Truncated { missing: fields::shortfall(error).missing })?;
    nothing_after(rest)?;
    Ok(text)
}

fn nothing_after(rest: &[u8]) -> Result<(), ResponseFault> {
    if rest.is_empty() { Ok(()) } else { Err(ResponseFault::TrailingBytes { count: rest.len() }) }
}

/// Collects a list of which the first item stands at place `first`, as much as [`MAX_DECODED`] bytes hold.
fn collect<'a, T>(
    items: impl Iterator<Item = &'a [u8]> + Clone,
    first: usize,
    parse: impl Fn(&[u8]) -> Option<T>,
) -> Result<Vec<T>, ResponseFault> {
    let most = MAX_DECODED / size_of::<T>().max(1);
    let mut parsed = Vec::with_capacity(items.clone().take(most).count());
    for (index, item) in items.take(most).enumerate() {
        parsed.push(parse(item).ok_or(ResponseFault::BadItem { index: first + index })?);
    }
    Ok(parsed)
}

fn pool_ids(joined: &[u8]) -> Result<Vec<PoolId>, ResponseFault> {
    collect(fields::items(joined), 0, |item| PoolId::new(item).ok())
}

/// `pool info = id, host, you, peer …`
fn pool_info(joined: &[u8]) -> Result<PoolInfo, ResponseFault> {
    let mut items = fields::items(joined);
    let mut next = |index| items.next().ok_or(ResponseFault::BadItem { index });
    let id = PoolId::new(next(0)?).map_err(|_| ResponseFault::BadItem { index: 0 })?;
    let host = address(next(1)?).ok_or(ResponseFault::BadItem { index: 1 })?;
    let you = address(next(2)?).ok_or(ResponseFault::BadItem { index: 2 })?;
    Ok(PoolInfo::new(id, host, you, collect(items, 3, address)?))
}

/// `address = ip ":" port`, IPv6 in brackets; a zone, which means something on one machine only, is dropped later
fn address(text: &[u8]) -> Option<SocketAddr> {
    core::str::from_utf8(text).ok()?.parse().ok()
}

/// Appends an answer or a notice to `out`: at most [`MAX_ANSWER`] bytes. A list that would be longer is cut at a whole item,
/// from the end.
pub fn encode_response(response: &Response, out: &mut BytesMut) {
    match response {
        Response::Joined(info) => append(out, |room| {
            let (host, you, peers) = (info.host(), info.you(), info.peers().iter().copied());
            joined(|filling| filling.item(info.id().as_bytes()), host, you, peers, room)
        }),
        Response::Pools(ids) => append(out, |room| {
            let mut filling = Filling::new(room);
            let _all = ids.iter().all(|id| filling.item(id.as_bytes()));
            filling.finish(LIST)
        }),
        Response::Refused(refusal) => {
            out.put_u8(ERROR);
            fields::put_string_with(out, |out| refusal_text::put(refusal, out));
        }
        Response::PoolEnded => out.put_u8(PING_TIMEOUT),
    }
}

/// Appends an answer to `out`.
fn append(out: &mut BytesMut, write: impl FnOnce(&mut AnswerRoom) -> usize) {
    let start = out.len();
    out.resize(start + size_of::<AnswerRoom>(), 0);
    let len = out.get_mut(start..).and_then(|room| room.first_chunk_mut()).map_or(0, write);
    out.truncate(start + len);
}

/// Names as many pools, whose ids are UUIDs, as fit. How long the answer is.
pub(crate) fn write_pools<'a>(uuids: impl Iterator<Item = &'a [u8; 16]>, room: &mut AnswerRoom) -> usize {
    let mut filling = Filling::new(room);
    let mut uuids = uuids;
    let _all = uuids.all(|uuid| filling.uuid(uuid));
    filling.finish(LIST)
}

/// Names a pool, whose id is a UUID, its host, the asker, and as many peers as fit. How long the answer is.
pub(crate) fn write_joined(
    uuid: &[u8; 16],
    host: SocketAddr,
    you: SocketAddr,
    peers: impl Iterator<Item = SocketAddr>,
    room: &mut AnswerRoom,
) -> usize {
    joined(|filling| filling.uuid(uuid), host, you, peers, room)
}

/// An id is at most 63 bytes and an address 47: the first three always fit.
#[inline]
fn joined(
    id: impl FnOnce(&mut Filling<'_>) -> bool,
    host: SocketAddr,
    you: SocketAddr,
    peers: impl Iterator<Item = SocketAddr>,
    room: &mut AnswerRoom,
) -> usize {
    let mut filling = Filling::new(room);
    id(&mut filling);
    let mut addresses = [host, you].into_iter().chain(peers);
    let _all = addresses.all(|address| filling.address(address));
    filling.finish(JOIN)
}

/// Says why a request is refused. How long the answer is.
pub(crate) fn write_refusal(refusal: &Refusal, room: &mut AnswerRoom) -> usize {
    refused(|text| refusal_text::put(refusal, text), room)
}

/// The same of a pool that doesn't exist, by the id as it came. Nothing is allocated.
pub(crate) fn write_no_such_pool(id: &[u8], room: &mut AnswerRoom) -> usize {
    refused(|text| refusal_text::put_no_such_pool(id, text), room)
}

/// A text is shorter than 600 bytes.
fn refused(put: impl FnOnce(&mut &mut [u8]), room: &mut AnswerRoom) -> usize {
    let (_, mut text) = room.split_at_mut(ANSWER_HEADER);
    let before = text.len();
    put(&mut text);
    let len = before - text.len();
    put_header(ERROR, len, room);
    ANSWER_HEADER + len
}

/// Says that a pool has ended. How long the notice is.
pub(crate) fn write_pool_ended(room: &mut AnswerRoom) -> usize {
    let [kind, ..] = room;
    *kind = PING_TIMEOUT;
    1
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    fn encoded(response: &Response) -> BytesMut {
        let mut out = BytesMut::new();
        encode_response(response, &mut out);
        out
    }

    #[test]
    fn a_list_is_cut_at_a_whole_id() {
        let ids: Vec<PoolId> =
            (0..100).map(|n| PoolId::new(format!("{n:036}").as_bytes()).unwrap()).collect();
        let out = encoded(&Response::Pools(ids.clone()));
        assert_eq!(out.len(), 5 + 27 * 37 - 1);
        assert_eq!(decode_response(&out), Ok(Response::Pools(ids[..LIST_CAPACITY].to_vec())));
    }

    #[test]
    fn an_answer_is_filled_to_the_last_byte_and_no_further() {
        let id = |len| PoolId::new(&[b'x'; 63][..len]).unwrap();
        for first in [1, 2] {
            let ids: Vec<PoolId> = [id(first)].into_iter().chain([id(1); 600]).collect();
            assert_eq!(encoded(&Response::Pools(ids)).len(), MAX_ANSWER - (first - 1));
        }
        let peers: Vec<SocketAddr> = (0..200).map(|n| ([100, 100, 100, n], 60_000).into()).collect();
        let len = |id| encoded(&Response::Joined(PoolInfo::new(id, peers[0], peers[1], peers.clone()))).len();
        assert_eq!((1..=63).map(|idlen| len(id(idlen))).max(), Some(MAX_ANSWER));
    }

    #[test]
    fn a_bad_item_is_named_by_its_place() {
        let fault = |kind, text: &str| {
            let mut datagram = BytesMut::from(&[kind][..]);
            fields::put_string(&mut datagram, text.as_bytes());
            decode_response(&datagram).unwrap_err()
        };
        for (index, text) in ["", "p", "p 1.1.1.1:1", "p 1.1.1.1:1 1.1.1.1:1 x"].into_iter().enumerate() {
            assert_eq!(fault(JOIN, text), ResponseFault::BadItem { index });
        }
        let second = "p 1.1.1.1:1 1.1.1.1:1 1.1.1.1:1 1.1.1.1";
        assert_eq!(fault(JOIN, second), ResponseFault::BadItem { index: 4 });
        assert_eq!(fault(LIST, "a b  c"), ResponseFault::BadItem { index: 2 });
    }

    #[test]
    fn a_join_answer_is_cut_at_a_whole_peer() {
        let id = PoolId::new(&[b'a'; 36]).unwrap();
        let peers: Vec<SocketAddr> = (0..200).map(|n| ([100, 100, 100, n], 60_000).into()).collect();
        let info = PoolInfo::new(id, peers[0], peers[1], peers.clone());
        let out = encoded(&Response::Joined(info));
        assert!(out.len() <= MAX_ANSWER && out.len() > MAX_ANSWER - 22);
        let Ok(Response::Joined(cut)) = decode_response(&out) else { panic!("not a join answer") };
        assert_eq!(cut.peers(), &peers[..cut.peers().len()]);
        assert!(cut.peers().len() <= PEER_CAPACITY);
        assert_eq!((LIST_CAPACITY, PEER_CAPACITY), (27, 101), "so much fits at the very most");
    }

    #[test]
    fn what_could_make_two_broadcasters_talk_for_ever_is_no_request() {
        for answer in [
            Response::Pools(Vec::new()),
            Response::Pools([PoolId::new(b"p").unwrap()].to_vec()),
            Response::Refused(Refusal::UnknownRequest),
            Response::Refused(Refusal::TooLong { limit: 41 }),
        ] {
            assert_eq!(decode_request(&encoded(&answer)), Err(RequestFault::Answer));
        }
        assert_eq!(decode_request(b"\x02and more"), Ok(Request::List));
        assert_eq!(decode_request(b"\x04\x01\0\0\0x"), Err(RequestFault::UnknownType(4)));
    }

    #[test]
    fn what_follows_an_answer_spoils_it() {
        assert_eq!(decode_response(b"\x05x"), Err(ResponseFault::TrailingBytes { count: 1 }));
        assert_eq!(decode_response(b"\x02\0\0\0\0x"), Err(ResponseFault::TrailingBytes { count: 1 }));
    }

    #[test]
    fn a_decoded_list_stays_within_its_memory() {
        let mut datagram = BytesMut::from(&[LIST][..]);
        let joined = [b"a ".repeat(32_000), b"a".to_vec()].concat();
        fields::put_string(&mut datagram, &joined);
        let Ok(Response::Pools(ids)) = decode_response(&datagram) else { panic!("not a list") };
        assert_eq!(ids.capacity() * size_of::<PoolId>(), MAX_DECODED);
    }
}
