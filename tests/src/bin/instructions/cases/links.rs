//! Many links in one thread.

use std::hint::black_box;

use poolmesh_proto::{Instant, Links, LinksOutput, Mesh, MeshConfig, PeerId};

use super::wire::stream;
use super::{NAME, address};
use crate::counter::count;

const ZERO: Instant = Instant::ZERO;
const LINKS: u32 = 100;

fn links() -> (Links, Vec<PeerId>) {
    let mut config = MeshConfig::default();
    config.max_pending_accepts = LINKS as usize;
    let mut mesh = Mesh::new(config);
    let mut links = Links::new();
    for number in 0..LINKS {
        let (peer, link) = mesh.handle_accepted(ZERO, address(number)).expect("they are few");
        links.insert(peer, link);
    }
    let peers = links.peers().collect();
    (links, peers)
}

#[inline(never)]
fn drain(links: &mut Links) {
    loop {
        match black_box(links.poll_output()) {
            LinksOutput::Write { peer, .. } => links.handle_written(peer),
            LinksOutput::Event { .. } => {}
            LinksOutput::Wait(_) => return,
        }
    }
}

pub(super) fn all() {
    let (mut links, peers) = links();
    drain(&mut links);
    count("links, send to all of 100 and write, each", LINKS, || {
        let failed = links.send_to_all(NAME, &[7; 21]);
        assert!(failed.is_empty(), "there is room");
        drain(&mut links);
    });
    let frame = stream(1);
    count("links, receive from each of 100", LINKS, || {
        for peer in &peers {
            links.handle_bytes(ZERO, *peer, frame.clone());
            drain(&mut links);
        }
    });
}
