//! A world without sockets and without time: both are on a script.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "part of the tests: what fails here fails the check"
)]

mod driver_side;
mod state;
mod world_side;

use std::cell::{RefCell, RefMut};
use std::fmt;
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::Duration;

use poolmesh_proto::Instant;

use super::{Recording, SocketId};
use state::{Slot, State};

/// What a connection holds of what was written and not read, in bytes: little, so that writes are taken in pieces.
const CAPACITY: usize = 4_096;
/// At most this much is written or read by one call.
const PIECE: usize = 1_000;
/// So many calls at one time are made by a driver that turns in circles.
const CALLS: u64 = 2_000_000;
/// So many turns at one time are too many.
const TURNS: u32 = 20_000;
/// So many times in a row may a driver ask to be woken at once and then have nothing to do.
const HURRIES: u32 = 10;

/// Sockets in memory and a clock that goes when everybody sleeps: a [`Network`](super::Network) to the driver, a
/// [`World`](super::World) to the check. Clones are the same.
#[derive(Clone, Default)]
pub struct Scripted {
    state: Rc<RefCell<State>>,
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scripted").field("now", &self.state.borrow().now).finish_non_exhaustive()
    }
}

/// A socket that the driver holds. It is closed when it is dropped.
pub struct ScriptedSocket {
    id: SocketId,
    state: Rc<RefCell<State>>,
}

impl fmt::Debug for ScriptedSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ScriptedSocket").field(&self.id).finish()
    }
}

impl Drop for ScriptedSocket {
    fn drop(&mut self) {
        self.state.borrow_mut().close(self.id);
    }
}

impl Scripted {
    fn state(&self) -> RefMut<'_, State> {
        self.state.borrow_mut()
    }

    /// What the driver has done so far.
    #[must_use]
    pub fn recording(&self) -> Recording {
        self.state().recording.clone()
    }

    /// The sockets that the driver holds, by the names they have in the recording.
    #[must_use]
    pub fn held(&self) -> Vec<String> {
        let state = self.state();
        state.sockets.values().filter_map(|slot| slot.name.clone()).collect()
    }

    /// The next receive of a datagram that the driver makes fails so, once for each of `errors`.
    pub fn fail_receives(&self, errors: &[ErrorKind]) {
        self.state().receive_errors.extend(errors);
    }

    /// The next datagrams that the driver sends are not sent, and it is told why.
    pub fn fail_sends(&self, errors: &[ErrorKind]) {
        self.state().send_errors.extend(errors);
    }

    /// The driver's next accepts fail with these errors of the system, by their numbers.
    pub fn fail_accepts(&self, errors: &[i32]) {
        self.state().accept_errors.extend(errors);
    }

    /// How often the driver has tried to accept so far.
    #[must_use]
    pub fn accepts(&self) -> u64 {
        self.state().accepts
    }

    /// Has a silent port answer the dials that wait, and those to come.
    pub fn answer_dials(&self, port: SocketId) {
        self.state().answer_dials(port);
    }

    /// Lets a connection hold that much of what the world writes to the driver.
    pub fn widen(&self, stream: SocketId, capacity: usize) {
        let mut state = self.state();
        let Some(other) = state.other(stream) else { return };
        if let Some(Slot { end: Some(end), .. }) = state.sockets.get_mut(&other) {
            end.capacity = capacity;
        }
    }

    /// How much of what the world wrote the driver has not read.
    #[must_use]
    pub fn unread(&self, stream: SocketId) -> usize {
        let state = self.state();
        let other = state.other(stream).and_then(|other| state.sockets.get(&other));
        other.and_then(|slot| slot.end.as_ref()).map_or(0, |end| end.incoming.len())
    }
}

/// Moves the clock.
fn advance(state: &mut State, to: Instant) {
    if to > state.now {
        state.now = to;
        state.calls = 0;
    }
}

/// Far beyond every timeout of the checks.
const PATIENCE: Duration = Duration::from_secs(300);
