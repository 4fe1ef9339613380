//! The datagrams of the classic wire, written and read by hand.
//!
//! A datagram is one type byte and its fields. Little endian; a string is its length as a u32 and its bytes; an array of
//! strings is one string of the items, joined by single spaces; an address is its text, as in `192.0.2.1:5000` and
//! `[2001:db8::1]:5000`, of an IPv4 one always the former (see [`canonical`]).
//!
//! | to the broadcaster | type | fields, behind which anything may follow |
//! | --- | --- | --- |
//! | create | 0 | |
//! | ping | 1 | string: the pool's id |
//! | list | 2 | |
//! | join | 3 | string: the pool's id |
//!
//! | to a client | type | fields, and nothing behind them |
//! | --- | --- | --- |
//! | the answer to a list | 2 | array: the ids of the pools, at most 27; if there are more, in turns |
//! | the answer to a create or join | 3 | array: the pool's id, its host, you, its peers: you first, then the host unless that is you, then who joined, the latest first |
//! | an error | 4 | string: `ERROR: ` and one of the texts below |
//! | a pool has ended, to its host | 5 | |
//!
//! An answer is at most [`MAX_ANSWER`] bytes; an array is cut behind the last item that fits. A pool's id is a UUID of
//! version 4, see [`is_uuid_v4`]. A create is answered once for each time it comes, a join of one who is in the pool as
//! the first, a ping only if it fails. A pool ends when its last ping is `ping_timeout` old, not later, and its notice
//! comes before the answer to what comes then. A list that is cut begins where the one before ended.
//!
//! A broadcaster doesn't answer what another one may say of such an answer ([`Asked::Answer`]): type 2 with exactly one
//! whole string behind it, and type 4 with exactly one, which is `ERROR: unknown message type` or `ERROR: request is
//! longer than N bytes`. These are the errors, the limits as set in [`BroadcasterConfig`](poolmesh_proto::BroadcasterConfig):
//!
//! | text | when |
//! | --- | --- |
//! | `unknown message type` | any other type |
//! | `out of bound by N elements` | so many bytes of the fields are missing |
//! | `request is longer than N bytes` | `max_datagram` |
//! | `pool with id ID doesn't exist` | ping and join; of an id at most 512 bytes are said again, whatever they are |
//! | `only the host can send ping messages` | a ping of somebody else |
//! | `broadcaster holds its limit of N pools` | create, `max_pools` |
//! | `your address hosts its limit of N pools` | create, `max_pools_per_source` |
//! | `pool ID has its limit of N peers` | join, `max_peers`, its host included |
//! | `broadcaster holds its limit of N peers` | join, `max_peers_total`, hosts not included |

use core::net::{SocketAddr, SocketAddrV6};

use poolmesh_proto::wire::Words;
use poolmesh_proto::{PoolId, PoolInfo, Refusal};

/// The longest answer, in bytes.
pub const MAX_ANSWER: usize = 1_024;

/// As many ids of a list, and as many peers of a pool, are read of an answer at most.
const MAX_IDS: usize = 2_048;
const MAX_PEERS: usize = 4_096;

/// What a datagram asks of a broadcaster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// It is empty.
    Nothing,
    /// It is what broadcasters say, and could make two of them talk for ever.
    Answer,
    /// Type 0.
    Create,
    /// Type 1, with the id as it stands there.
    Ping(Vec<u8>),
    /// Type 2.
    List,
    /// Type 3, with the id as it stands there.
    Join(Vec<u8>),
    /// It has a type that no request has.
    Unknown,
    /// So many bytes of its fields are missing.
    Short(u64),
}

/// What a datagram says to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// Type 2.
    Pools(Vec<PoolId>),
    /// Type 3.
    Pool(PoolInfo),
    /// Type 4.
    Error(Refusal),
    /// Type 5.
    PoolEnded,
}

/// Reads a string, and what follows it; or says how many bytes are missing.
fn string(bytes: &[u8]) -> Result<(&[u8], &[u8]), u64> {
    let have = bytes.len() as u64;
    let Some((length, rest)) = bytes.split_first_chunk::<4>() else { return Err(4 - have) };
    let length = u32::from_le_bytes(*length);
    let cut = usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length));
    cut.ok_or_else(|| u64::from(length).saturating_sub(rest.len() as u64))
}

/// Reads a datagram as a broadcaster does. What follows the fields is ignored.
#[must_use]
pub fn asked(datagram: &[u8]) -> Asked {
    let Some((kind, fields)) = datagram.split_first() else { return Asked::Nothing };
    let only_string = match string(fields) {
        Ok((text, [])) => Some(text),
        _ => None,
    };
    let with_id = |request: fn(Vec<u8>) -> Asked| match string(fields) {
        Ok((id, _)) => request(id.to_vec()),
        Err(missing) => Asked::Short(missing),
    };
    match kind {
        0 => Asked::Create,
        1 => with_id(Asked::Ping),
        2 if only_string.is_some() => Asked::Answer,
        2 => Asked::List,
        3 => with_id(Asked::Join),
        4 if only_string.is_some_and(answers_an_answer) => Asked::Answer,
        _ => Asked::Unknown,
    }
}

/// Whether a broadcaster says this of what another broadcaster says.
fn answers_an_answer(text: &[u8]) -> bool {
    matches!(meaning(text), Refusal::UnknownRequest | Refusal::TooLong { .. })
}

/// Reads a datagram as a client does: every byte counts, and none if it is spoiled.
#[must_use]
pub fn said(datagram: &[u8]) -> Option<Said> {
    let (kind, fields) = datagram.split_first()?;
    if *kind == 5 {
        return fields.is_empty().then_some(Said::PoolEnded);
    }
    let Ok((text, [])) = string(fields) else { return None };
    match kind {
        2 => items(text).into_iter().take(MAX_IDS).map(pool_id).collect::<Option<_>>().map(Said::Pools),
        3 => match &items(text)[..] {
            [id, host, you, peers @ ..] => {
                let peers = peers.iter().take(MAX_PEERS).map(|peer| address(peer));
                let peers: Vec<SocketAddr> = peers.collect::<Option<_>>()?;
                Some(Said::Pool(PoolInfo::new(pool_id(id)?, address(host)?, address(you)?, peers)))
            }
            _ => None,
        },
        4 => Some(Said::Error(meaning(text))),
        _ => None,
    }
}

/// The items of a string array. The empty string is the empty array.
fn items(text: &[u8]) -> Vec<&[u8]> {
    if text.is_empty() { Vec::new() } else { text.split(|byte| *byte == b' ').collect() }
}

fn pool_id(item: &[u8]) -> Option<PoolId> {
    PoolId::new(item).ok()
}

fn address(item: &[u8]) -> Option<SocketAddr> {
    core::str::from_utf8(item).ok()?.parse().ok()
}

/// A datagram of that type whose only field is one string.
#[must_use]
pub fn with_string(kind: u8, text: &[u8]) -> Vec<u8> {
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    [&[kind], &length.to_le_bytes()[..], text].concat()
}

/// An answer of that type whose only field is an array of strings, as many of them as it may be long.
#[must_use]
pub fn with_items<T: AsRef<[u8]>>(kind: u8, items: &[T]) -> Vec<u8> {
    let mut text: Vec<u8> = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let longer =
            if index == 0 { item.as_ref().to_vec() } else { [&text, &b" "[..], item.as_ref()].concat() };
        if 1 + 4 + longer.len() > MAX_ANSWER {
            break;
        }
        text = longer;
    }
    with_string(kind, &text)
}

/// The form in which addresses stand in answers: IPv4 wherever it is IPv4, no flow label, no scope.
#[must_use]
pub fn canonical(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(_) => address,
        SocketAddr::V6(v6) => match v6.ip().to_ipv4_mapped() {
            Some(ip) => SocketAddr::from((ip, v6.port())),
            None => SocketAddrV6::new(*v6.ip(), v6.port(), 0, 0).into(),
        },
    }
}

/// Whether an id is a UUID of version 4 in lower case.
#[must_use]
pub fn is_uuid_v4(id: &[u8]) -> bool {
    let fits = |(place, byte): (usize, &u8)| match place {
        8 | 13 | 18 | 23 => *byte == b'-',
        14 => *byte == b'4',
        19 => b"89ab".contains(byte),
        _ => b"0123456789abcdef".contains(byte),
    };
    id.len() == 36 && id.iter().enumerate().all(fits)
}

/// What the text of an error means.
#[must_use]
pub fn meaning(text: &[u8]) -> Refusal {
    let words = text.strip_prefix(b"ERROR: ").unwrap_or(text);
    let numbered = |before: &str, after: &str| between(words, before, after).and_then(number);
    if let Some(id) = between(words, "pool with id ", " doesn't exist") {
        return Refusal::NoSuchPool(Words::new(id));
    }
    if let Some((pool, limit)) = full(words) {
        return Refusal::PoolFull { pool, limit };
    }
    if let Some(missing) = numbered("out of bound by ", " elements") {
        return Refusal::Truncated { missing };
    }
    if let Some(limit) = numbered("request is longer than ", " bytes") {
        return Refusal::TooLong { limit };
    }
    if let Some(limit) = numbered("broadcaster holds its limit of ", " pools") {
        return Refusal::TooManyPools { limit };
    }
    if let Some(limit) = numbered("your address hosts its limit of ", " pools") {
        return Refusal::TooManyPoolsFromSource { limit };
    }
    if let Some(limit) = numbered("broadcaster holds its limit of ", " peers") {
        return Refusal::TooManyPeers { limit };
    }
    match words {
        b"only the host can send ping messages" => Refusal::NotHost,
        b"unknown message type" => Refusal::UnknownRequest,
        b"broadcaster has no fresh pool id" => Refusal::NoFreshId,
        _ => Refusal::Other(Words::new(words)),
    }
}

/// `pool ID has its limit of N peers`
fn full(words: &[u8]) -> Option<(PoolId, u64)> {
    let rest = words.strip_prefix(b"pool ")?;
    let end = rest.iter().position(|byte| *byte == b' ')?;
    let (id, rest) = rest.split_at_checked(end)?;
    Some((pool_id(id)?, number(between(rest, " has its limit of ", " peers")?)?))
}

fn between<'a>(words: &'a [u8], before: &str, after: &str) -> Option<&'a [u8]> {
    words.strip_prefix(before.as_bytes())?.strip_suffix(after.as_bytes())
}

fn number(digits: &[u8]) -> Option<u64> {
    let text = core::str::from_utf8(digits).ok()?;
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}
