//! Who sends a frame, and who sends it back.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use clap::ValueEnum;
use poolmesh_testkit::patience::now;

use super::obey;
use crate::Fallible;
use crate::stats::percentile;
use crate::yardstick::frames::{NAME, NAME_TEXT, Shape};
#[cfg(feature = "bench-peers")]
use crate::yardstick::peers;
use crate::yardstick::{codec, rtt};

/// The length of the frames.
pub(crate) const SHAPE: Shape = Shape::Small;

/// By what frames are carried.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Player {
    /// Bare connections that block.
    Raw,
    /// Bare connections on smol.
    RawSmol,
    /// tokio with a codec.
    Tokio,
    #[cfg(feature = "bench-peers")]
    Libp2p,
    #[cfg(feature = "bench-peers")]
    Quinn,
    Std,
    Smol,
}

/// Sends back what comes over one connection.
pub(crate) fn echo(player: Player) -> Fallible<()> {
    let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    // A mesh lives as long as this process does. A frame that can't be sent doesn't come back, which the pinger notices.
    let place = match player {
        Player::Raw => rtt::echo()?.to_string(),
        Player::RawSmol => rtt::echo_on_smol()?.to_string(),
        Player::Tokio => codec::echo()?.to_string(),
        #[cfg(feature = "bench-peers")]
        Player::Libp2p => peers::echo(peers::Peer::Libp2p)?,
        #[cfg(feature = "bench-peers")]
        Player::Quinn => peers::echo(peers::Peer::Quinn)?,
        Player::Std => {
            let mesh = Box::leak(Box::new(poolmesh_std::Mesh::new()));
            mesh.on(NAME_TEXT, |peer, message| {
                let _ = peer.try_send(NAME, message.payload());
            });
            mesh.listen_on(local)?.to_string()
        }
        Player::Smol => {
            let mesh = Box::leak(Box::new(poolmesh_smol::Mesh::new()));
            mesh.on(NAME_TEXT, |peer, message| {
                let _ = peer.try_send(NAME, message.payload());
            });
            smol::block_on(mesh.listen_on(local))?.to_string()
        }
    };
    super::serve(&place)
}

/// How long each of so many frames took there and back, in nanoseconds.
pub(crate) type Pinging = Box<dyn FnMut(usize) -> Fallible<Vec<u64>>>;

/// Is told `N`: sends so many frames, and says the median and the 99th percentile of their times, in nanoseconds.
pub(crate) fn ping(player: Player, place: String) -> Fallible<()> {
    let mut pinging = match player {
        Player::Raw => rtt::pinger(place.parse()?)?,
        Player::RawSmol => rtt::pinger_on_smol(place.parse()?)?,
        Player::Tokio => codec::pinger(place.parse()?)?,
        #[cfg(feature = "bench-peers")]
        Player::Libp2p => peers::pinger(peers::Peer::Libp2p, place)?,
        #[cfg(feature = "bench-peers")]
        Player::Quinn => peers::pinger(peers::Peer::Quinn, place)?,
        Player::Std => std_pinger(place.parse()?)?,
        Player::Smol => smol_pinger(place.parse()?)?,
    };
    obey("", |count| {
        let mut times = pinging(count.parse()?)?;
        let mut percentile = |percent| percentile(&mut times, percent).ok_or("no frame came back");
        Ok(format!("{} {}", percentile(50)?, percentile(99)?))
    })
}

/// The handler sends the next frame itself, so that no thread has to be woken for it.
fn std_pinger(echo: SocketAddr) -> Fallible<Pinging> {
    let mesh = poolmesh_std::Mesh::new();
    let (game, over) = Game::new();
    let (returned, payload) = (Arc::clone(&game), Bytes::from(SHAPE.payload()));
    mesh.on(NAME_TEXT, move |peer, message| {
        if returned.returned() {
            let _ = peer.try_send(NAME, message.payload());
        }
    });
    let peer = mesh.connect_to_peer(echo)?;
    Ok(Box::new(move |count| {
        let _open = &mesh;
        game.start(count);
        peer.try_send(NAME, payload.clone())?;
        Ok(over.recv()?)
    }))
}

fn smol_pinger(echo: SocketAddr) -> Fallible<Pinging> {
    let mesh = poolmesh_smol::Mesh::new();
    let (game, over) = Game::new();
    let (returned, payload) = (Arc::clone(&game), Bytes::from(SHAPE.payload()));
    mesh.on(NAME_TEXT, move |peer, message| {
        if returned.returned() {
            let _ = peer.try_send(NAME, message.payload());
        }
    });
    let peer = smol::block_on(mesh.connect_to_peer(echo))?;
    Ok(Box::new(move |count| {
        let _open = &mesh;
        game.start(count);
        peer.try_send(NAME, payload.clone())?;
        Ok(over.recv()?)
    }))
}

/// A number of frames, sent one after the other.
#[derive(Debug)]
struct Game {
    state: Mutex<State>,
    over: SyncSender<Vec<u64>>,
}

#[derive(Debug)]
struct State {
    left: usize,
    sent: Instant,
    times: Vec<u64>,
}

impl Game {
    fn new() -> (Arc<Self>, Receiver<Vec<u64>>) {
        let (over, told) = sync_channel(1);
        let state = Mutex::new(State { left: 0, sent: now(), times: Vec::new() });
        (Arc::new(Self { state, over }), told)
    }

    /// The first of so many frames is about to be sent.
    fn start(&self, count: usize) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        *state = State { left: count, sent: now(), times: Vec::with_capacity(count) };
    }

    /// A frame came back. Whether the next is to be sent.
    fn returned(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let time = now();
        let nanos = (time - state.sent).as_nanos();
        state.times.push(u64::try_from(nanos).unwrap_or(u64::MAX));
        state.left -= 1;
        if state.left == 0 {
            let times = std::mem::take(&mut state.times);
            drop(state);
            // Nobody waits any more if the process ends.
            let _ = self.over.send(times);
            return false;
        }
        state.sent = time;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_game_is_over_when_all_frames_came_back() {
        let (game, over) = Game::new();
        for count in [3, 1] {
            game.start(count);
            for left in (0..count).rev() {
                assert!(over.try_recv().is_err());
                assert_eq!(game.returned(), left > 0);
            }
            assert_eq!(over.try_recv().unwrap().len(), count);
        }
    }
}
