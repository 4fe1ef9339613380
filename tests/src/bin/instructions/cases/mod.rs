//! What is counted. A case does the same a thousand times or so: what a loop around it takes is little beside it, and
//! what is done only now and then, like taking the next block of memory, has its share.
//!
//! What calls the machines is never inlined, or each case that is added here would change what the compiler makes of the
//! others.

mod broadcaster;
mod client;
mod link;
mod links;
mod mesh;
mod native;
mod native_client;
mod wire;

use std::net::SocketAddr;

use bytes::BytesMut;
use poolmesh_proto::wire::{Request, Response, classic};
use poolmesh_proto::{PoolId, PoolInfo};

/// How often what is small is done.
const TIMES: u32 = 1_000;

/// The name of an event: with a payload of 21 bytes a frame of 32.
const NAME: &str = "pos";

/// What counts the cases of a group.
type Cases = fn();

/// What is counted in one process. A million pools take as long to make as everything else takes together.
pub(crate) const GROUPS: [(&str, Cases); 3] =
    [("million", broadcaster::million), ("many", native::many), ("small", small)];

fn small() {
    wire::all();
    broadcaster::all();
    client::all();
    link::all();
    links::all();
    mesh::all();
    native::all();
    native_client::all();
}

fn times(mut work: impl FnMut()) {
    for _ in 0..TIMES {
        work();
    }
}

fn address(number: u32) -> SocketAddr {
    SocketAddr::from(((0x0100_0000 + number).to_be_bytes(), 5_000))
}

fn pool(number: u32) -> PoolId {
    let id = format!("{number:08x}-4b65-451f-a914-68a573d71508");
    PoolId::new(id.as_bytes()).expect("it is neither empty nor long")
}

/// What a peer is told of a pool with so many.
fn info(number: u32, host: SocketAddr, you: SocketAddr, peers: u32) -> PoolInfo {
    PoolInfo::new(pool(number), host, you, (0..peers).map(address))
}

fn request(request: &Request) -> BytesMut {
    let mut out = BytesMut::new();
    classic::encode_request(request, &mut out);
    out
}

fn response(response: &Response) -> BytesMut {
    let mut out = BytesMut::new();
    classic::encode_response(response, &mut out);
    out
}
