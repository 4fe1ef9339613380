//! An entry as bytes and back: program, time, kind, and what that kind of input holds.

use alloc::boxed::Box;

use bytes::{BufMut, BytesMut};
use nom::Parser;
use nom::combinator::map;

use super::codes::{fault, machine, put_fault, put_machine, put_reason, reason};
use super::fields::{
    Bad, Parsed, address, addresses, bytes, fitting, fixed_u64, fixed_u128, number, pool_id, pool_info,
    put_address, put_addresses, put_bytes, put_number, put_pool_id, put_pool_info, put_step, step, unknown,
    unwrapped,
};
use super::native::{
    door, filter, order, pool_of_members, put_door, put_filter, put_order, put_pool_of_members, put_spec,
    saved, spec,
};
use super::settings::{broadcaster, client, mesh, put_broadcaster, put_client, put_mesh};
use super::{Entry, Input, PeerStart, Start, TraceFault};
use crate::{CallId, ClientConfig, ConnectId, DialId, Instant, PeerId};

/// The numbers of the inputs. One that is new takes a number that is new.
mod kind {
    pub(super) const START: u64 = 1;
    pub(super) const POLLED: u64 = 2;
    pub(super) const DRAWN: u64 = 3;
    pub(super) const DATAGRAM: u64 = 4;
    pub(super) const TIMEOUT: u64 = 5;

    pub(super) const LIST: u64 = 16;
    pub(super) const CREATE: u64 = 17;
    pub(super) const JOIN: u64 = 18;
    pub(super) const CANCEL: u64 = 19;
    pub(super) const RELEASE: u64 = 20;
    pub(super) const CLOSE_CLIENT: u64 = 21;
    pub(super) const LIST_WITH: u64 = 22;
    pub(super) const CREATE_WITH: u64 = 23;
    pub(super) const JOIN_WITH: u64 = 24;
    pub(super) const RESUME: u64 = 25;
    pub(super) const ORDER: u64 = 26;

    pub(super) const MESH_TIMEOUT: u64 = 32;
    pub(super) const ENTER: u64 = 33;
    pub(super) const CONNECT: u64 = 34;
    pub(super) const CANCEL_CONNECT: u64 = 35;
    pub(super) const LISTEN: u64 = 36;
    pub(super) const DISCONNECT: u64 = 37;
    pub(super) const CLOSE_MESH: u64 = 38;
    pub(super) const DIALED: u64 = 39;
    pub(super) const DIAL_FAILED: u64 = 40;
    pub(super) const ACCEPTED: u64 = 41;
    pub(super) const LINK_CLOSED: u64 = 42;
    pub(super) const LISTENING: u64 = 43;
    pub(super) const LISTEN_FAILED: u64 = 44;
    pub(super) const ENTER_AS_MEMBER: u64 = 45;
    pub(super) const MEET: u64 = 46;

    pub(super) const LINKS_TIMEOUT: u64 = 48;
    pub(super) const SEND: u64 = 49;
    pub(super) const SEND_TO_ALL: u64 = 50;
    pub(super) const CLOSE_LINK: u64 = 51;
    pub(super) const BYTES: u64 = 52;
    pub(super) const EOF: u64 = 53;
    pub(super) const FAILURE: u64 = 54;
    pub(super) const WRITTEN: u64 = 55;
}

/// The numbers of what a program can be.
const BROADCASTER: u64 = 0;
/// As it was when clients had no seed and one broadcaster.
const PEER_WITHOUT_SEED: u64 = 1;
const PEER: u64 = 2;

/// Appends an entry, without its length. `since` is the time of the one before.
pub(super) fn put_entry(since: Instant, program: u32, now: Instant, input: &Input, out: &mut BytesMut) {
    put_number(program.into(), out);
    put_step(since, now, out);
    put_number(number_of(input), out);
    put_input(input, out);
}

fn number_of(input: &Input) -> u64 {
    match input {
        Input::Start(_) => kind::START,
        Input::Polled { .. } => kind::POLLED,
        Input::Drawn(_) => kind::DRAWN,
        Input::Datagram { .. } => kind::DATAGRAM,
        Input::Timeout => kind::TIMEOUT,
        Input::List => kind::LIST,
        Input::Create => kind::CREATE,
        Input::Join(_) => kind::JOIN,
        Input::Cancel(_) => kind::CANCEL,
        Input::Release(_) => kind::RELEASE,
        Input::CloseClient => kind::CLOSE_CLIENT,
        Input::ListWith(_) => kind::LIST_WITH,
        Input::CreateWith(..) => kind::CREATE_WITH,
        Input::JoinWith(..) => kind::JOIN_WITH,
        Input::Resume(_) => kind::RESUME,
        Input::Order(..) => kind::ORDER,
        Input::MeshTimeout => kind::MESH_TIMEOUT,
        Input::Enter(pool) if pool.me().is_some() => kind::ENTER_AS_MEMBER,
        Input::Enter(_) => kind::ENTER,
        Input::Connect(_) => kind::CONNECT,
        Input::CancelConnect(_) => kind::CANCEL_CONNECT,
        Input::Meet(_) => kind::MEET,
        Input::Listen(_) => kind::LISTEN,
        Input::Disconnect(_) => kind::DISCONNECT,
        Input::CloseMesh => kind::CLOSE_MESH,
        Input::Dialed(_) => kind::DIALED,
        Input::DialFailed(..) => kind::DIAL_FAILED,
        Input::Accepted(_) => kind::ACCEPTED,
        Input::LinkClosed(..) => kind::LINK_CLOSED,
        Input::Listening(_) => kind::LISTENING,
        Input::ListenFailed(..) => kind::LISTEN_FAILED,
        Input::LinksTimeout => kind::LINKS_TIMEOUT,
        Input::Send { .. } => kind::SEND,
        Input::SendToAll { .. } => kind::SEND_TO_ALL,
        Input::CloseLink(_) => kind::CLOSE_LINK,
        Input::Bytes(..) => kind::BYTES,
        Input::Eof(_) => kind::EOF,
        Input::Failure(..) => kind::FAILURE,
        Input::Written(_) => kind::WRITTEN,
    }
}

fn put_input(input: &Input, out: &mut BytesMut) {
    match input {
        Input::Start(start) => put_start(start, out),
        Input::Polled { machine, outputs, digest } => {
            put_machine(*machine, out);
            put_number((*outputs).into(), out);
            out.put_u64_le(*digest);
        }
        Input::Drawn(bits) => out.put_u128_le(*bits),
        Input::Datagram { from, datagram } => {
            put_address(from, out);
            put_bytes(datagram, out);
        }
        Input::Join(pool) | Input::Release(pool) => put_pool_id(pool, out),
        Input::Cancel(call) => put_number(call.0, out),
        Input::ListWith(filter) => put_filter(filter, out),
        Input::CreateWith(spec, about) => {
            put_spec(spec, out);
            put_bytes(about, out);
        }
        Input::JoinWith(door, about) => {
            put_door(door, out);
            put_bytes(about, out);
        }
        Input::Resume(saved) => put_bytes(&saved.to_bytes(), out),
        Input::Order(pool, order) => {
            put_pool_id(pool, out);
            put_order(order, out);
        }
        Input::Enter(pool) if pool.me().is_some() => put_pool_of_members(pool, out),
        Input::Enter(pool) => put_pool_info(pool, out),
        Input::Connect(addresses) => put_addresses(addresses, out),
        Input::CancelConnect(call) => put_number(call.0, out),
        Input::Listen(address)
        | Input::Meet(address)
        | Input::Accepted(address)
        | Input::Listening(address) => put_address(address, out),
        Input::Dialed(dial) => put_number(dial.0, out),
        Input::DialFailed(dial, fault) => {
            put_number(dial.0, out);
            put_fault(*fault, out);
        }
        Input::LinkClosed(peer, reason) => {
            put_number(peer.0, out);
            put_reason(*reason, out);
        }
        Input::ListenFailed(address, fault) => {
            put_address(address, out);
            put_fault(*fault, out);
        }
        Input::Send { peer, name, payload } => {
            put_number(peer.0, out);
            put_bytes(name, out);
            put_bytes(payload, out);
        }
        Input::SendToAll { name, payload } => {
            put_bytes(name, out);
            put_bytes(payload, out);
        }
        Input::Bytes(peer, bytes) => {
            put_number(peer.0, out);
            put_bytes(bytes, out);
        }
        Input::Failure(peer, fault) => {
            put_number(peer.0, out);
            put_fault(*fault, out);
        }
        Input::Disconnect(peer) | Input::CloseLink(peer) | Input::Eof(peer) | Input::Written(peer) => {
            put_number(peer.0, out);
        }
        Input::Timeout
        | Input::List
        | Input::Create
        | Input::CloseClient
        | Input::MeshTimeout
        | Input::CloseMesh
        | Input::LinksTimeout => {}
    }
}

fn put_start(start: &Start, out: &mut BytesMut) {
    match start {
        Start::Broadcaster(config) => {
            put_number(BROADCASTER, out);
            put_broadcaster(config, out);
        }
        Start::Peer(peer) => {
            put_number(PEER, out);
            put_address(&peer.broadcaster, out);
            put_client(&peer.client, out);
            put_mesh(&peer.mesh, out);
            out.put_slice(&peer.seed);
            put_addresses(&peer.client.broadcasters, out);
        }
    }
}

/// Reads an entry that is `body`, all of it. `since` is the time of the one before.
pub(super) fn entry(since: Instant, body: &[u8]) -> Result<Entry, Bad<'_>> {
    let (rest, entry) = fields(since, body).map_err(unwrapped)?;
    if rest.is_empty() {
        Ok(entry)
    } else {
        Err(Bad { rest, fault: TraceFault::Trailing { bytes: rest.len() } })
    }
}

fn fields(since: Instant, body: &[u8]) -> Parsed<'_, Entry> {
    let (rest, program) = fitting(body)?;
    let (rest, now) = step(since, rest)?;
    let (rest, input) = input(rest)?;
    Ok((rest, Entry { program, now, input }))
}

fn call(input: &[u8]) -> Parsed<'_, CallId> {
    map(number, CallId).parse(input)
}

fn connect(input: &[u8]) -> Parsed<'_, ConnectId> {
    map(number, ConnectId).parse(input)
}

fn dial(input: &[u8]) -> Parsed<'_, DialId> {
    map(number, DialId).parse(input)
}

fn peer(input: &[u8]) -> Parsed<'_, PeerId> {
    map(number, PeerId).parse(input)
}

fn input(input: &[u8]) -> Parsed<'_, Input> {
    let (rest, kind) = number(input)?;
    let plain = match kind {
        kind::START => return start(rest),
        kind::POLLED => {
            let polled = |(machine, outputs, digest)| Input::Polled { machine, outputs, digest };
            return map((machine, fitting, fixed_u64), polled).parse(rest);
        }
        kind::DRAWN => return map(fixed_u128, Input::Drawn).parse(rest),
        kind::DATAGRAM => {
            return map((address, bytes), |(from, datagram)| Input::Datagram { from, datagram }).parse(rest);
        }
        kind::TIMEOUT => Input::Timeout,

        kind::LIST => Input::List,
        kind::CREATE => Input::Create,
        kind::JOIN => return map(pool_id, Input::Join).parse(rest),
        kind::CANCEL => return map(call, Input::Cancel).parse(rest),
        kind::RELEASE => return map(pool_id, Input::Release).parse(rest),
        kind::CLOSE_CLIENT => Input::CloseClient,
        kind::LIST_WITH => return map(filter, Input::ListWith).parse(rest),
        kind::CREATE_WITH => {
            return map((spec, bytes), |(spec, about)| Input::CreateWith(Box::new(spec), about)).parse(rest);
        }
        kind::JOIN_WITH => {
            return map((door, bytes), |(door, about)| Input::JoinWith(door, about)).parse(rest);
        }
        kind::RESUME => return map(saved, |saved| Input::Resume(Box::new(saved))).parse(rest),
        kind::ORDER => return map((pool_id, order), |(pool, order)| Input::Order(pool, order)).parse(rest),

        kind::MESH_TIMEOUT => Input::MeshTimeout,
        kind::ENTER => return map(pool_info, Input::Enter).parse(rest),
        kind::ENTER_AS_MEMBER => return map(pool_of_members, Input::Enter).parse(rest),
        kind::CONNECT => return map(addresses, Input::Connect).parse(rest),
        kind::CANCEL_CONNECT => return map(connect, Input::CancelConnect).parse(rest),
        kind::MEET => return map(address, Input::Meet).parse(rest),
        kind::LISTEN => return map(address, Input::Listen).parse(rest),
        kind::DISCONNECT => return map(peer, Input::Disconnect).parse(rest),
        kind::CLOSE_MESH => Input::CloseMesh,
        kind::DIALED => return map(dial, Input::Dialed).parse(rest),
        kind::DIAL_FAILED => {
            return map((dial, fault), |(dial, fault)| Input::DialFailed(dial, fault)).parse(rest);
        }
        kind::ACCEPTED => return map(address, Input::Accepted).parse(rest),
        kind::LINK_CLOSED => {
            return map((peer, reason), |(peer, reason)| Input::LinkClosed(peer, reason)).parse(rest);
        }
        kind::LISTENING => return map(address, Input::Listening).parse(rest),
        kind::LISTEN_FAILED => {
            return map((address, fault), |(at, fault)| Input::ListenFailed(at, fault)).parse(rest);
        }

        kind::LINKS_TIMEOUT => Input::LinksTimeout,
        kind::SEND => {
            let send = |(peer, name, payload)| Input::Send { peer, name, payload };
            return map((peer, bytes, bytes), send).parse(rest);
        }
        kind::SEND_TO_ALL => {
            let send = |(name, payload)| Input::SendToAll { name, payload };
            return map((bytes, bytes), send).parse(rest);
        }
        kind::CLOSE_LINK => return map(peer, Input::CloseLink).parse(rest),
        kind::BYTES => return map((peer, bytes), |(peer, bytes)| Input::Bytes(peer, bytes)).parse(rest),
        kind::EOF => return map(peer, Input::Eof).parse(rest),
        kind::FAILURE => {
            return map((peer, fault), |(peer, fault)| Input::Failure(peer, fault)).parse(rest);
        }
        kind::WRITTEN => return map(peer, Input::Written).parse(rest),
        number => return unknown(input, "kind of input", number),
    };
    Ok((rest, plain))
}

/// `seed = 32 bytes`
fn seed(input: &[u8]) -> Parsed<'_, [u8; 32]> {
    let halves = |(first, second): (u128, u128)| {
        let mut seed = [0; 32];
        let (left, right) = seed.split_at_mut(16);
        left.copy_from_slice(&first.to_le_bytes());
        right.copy_from_slice(&second.to_le_bytes());
        seed
    };
    map((fixed_u128, fixed_u128), halves).parse(input)
}

fn start(input: &[u8]) -> Parsed<'_, Input> {
    let (rest, number) = number(input)?;
    match number {
        BROADCASTER => {
            map(broadcaster, |config| Input::Start(Start::Broadcaster(Box::new(config)))).parse(rest)
        }
        PEER_WITHOUT_SEED => {
            let peer = |(broadcaster, client, mesh)| PeerStart { client, broadcaster, mesh, seed: [0; 32] };
            map((address, client, mesh), peer)
                .map(|peer| Input::Start(Start::Peer(Box::new(peer))))
                .parse(rest)
        }
        PEER => {
            let peer = |(broadcaster, mut client, mesh, seed, broadcasters): (_, ClientConfig, _, _, _)| {
                client.broadcasters = broadcasters;
                PeerStart { client, broadcaster, mesh, seed }
            };
            let parts = (address, client, mesh, seed, addresses);
            map(parts, peer).map(|peer| Input::Start(Start::Peer(Box::new(peer)))).parse(rest)
        }
        number => unknown(input, "kind of program", number),
    }
}
