//! A mesh that dials, accepts, and loses peers.

use std::hint::black_box;

use poolmesh_proto::{CloseReason, DialId, Fault, Instant, Mesh, MeshConfig, MeshOutput, PeerId};

use super::address;
use crate::counter::count_with;

const ZERO: Instant = Instant::ZERO;
/// Peers of a mesh.
const PEERS: u32 = 60;

fn mesh() -> Mesh {
    Mesh::new(MeshConfig::default())
}

/// Tells what it wants to have dialed.
#[inline(never)]
fn drain(mesh: &mut Mesh, mut tell: impl FnMut(DialId)) {
    loop {
        match black_box(mesh.poll_output()) {
            MeshOutput::Dial { dial, .. } => tell(dial),
            MeshOutput::Wait(_) => return,
            MeshOutput::Abandon { .. }
            | MeshOutput::Listen { .. }
            | MeshOutput::StopListening
            | MeshOutput::Close { .. }
            | MeshOutput::Event(_) => {}
        }
    }
}

fn dialing() -> (Mesh, Vec<DialId>) {
    let mut mesh = mesh();
    mesh.connect(ZERO, (0..PEERS).map(address)).expect("it is open, and they are few");
    let mut dials = Vec::new();
    drain(&mut mesh, |dial| dials.push(dial));
    (mesh, dials)
}

fn accepted() -> (Mesh, Vec<PeerId>) {
    let mut mesh = mesh();
    let accept = |number| {
        let (peer, _link) = mesh.handle_accepted(ZERO, address(number)).expect("they are few");
        peer
    };
    let peers = (0..PEERS).map(accept).collect();
    drain(&mut mesh, |_| {});
    (mesh, peers)
}

pub(super) fn all() {
    count_with("mesh, connect, to the dial", PEERS, mesh, |mesh| {
        mesh.connect(ZERO, (0..PEERS).map(address)).expect("it is open, and they are few");
        drain(mesh, |_| {});
    });
    count_with("mesh, a dial that succeeds", PEERS, dialing, |(mesh, dials)| {
        for dial in dials {
            assert!(black_box(mesh.handle_dialed(ZERO, *dial)).is_some());
            drain(mesh, |_| {});
        }
    });
    count_with("mesh, a dial that fails", PEERS, dialing, |(mesh, dials)| {
        for dial in dials {
            mesh.handle_dial_failed(ZERO, *dial, Fault::Refused);
            drain(mesh, |_| {});
        }
        assert_eq!(mesh.stats().dials, u64::from(PEERS));
    });
    count_with("mesh, accept", PEERS, mesh, |mesh| {
        for number in 0..PEERS {
            assert!(black_box(mesh.handle_accepted(ZERO, address(number))).is_some());
            drain(mesh, |_| {});
        }
    });
    count_with("mesh, the end of a link", PEERS, accepted, |(mesh, peers)| {
        for peer in peers {
            mesh.handle_closed(ZERO, *peer, CloseReason::Remote);
            drain(mesh, |_| {});
        }
        assert_eq!(mesh.peers().count(), 0);
    });
}
