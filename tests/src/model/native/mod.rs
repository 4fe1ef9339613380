//! What a broadcaster of the native dialect says, looked up in what was said to it.

mod cookies;
mod due;
mod ended;
mod judge;
mod line;
mod lists;
mod members;
mod rates;
mod recovery;
mod requests;
mod state;

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use poolmesh_proto::wire::native::{Epoch, FromClient, Keys, PoolUuid, Secret};
use poolmesh_proto::{Instant, Limits, PoolId};

use super::{Kind, Verdict, Wrong};
use state::{Stage, State};

/// Twice, as in two intervals.
pub(super) const TWO: u32 = 2;

/// Tickets hold for so long at least, from the first on.
pub(super) const HOLDS: Duration = Duration::from_secs(8);

/// What was taken where the protocol leaves it open, or where only the broadcaster knows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Luck {
    /// The cookie is good.
    pub(super) cookie: bool,
    /// The source is within its rate.
    pub(super) rate: bool,
    /// And may guess codes.
    pub(super) codes: bool,
    /// Who may have to be told that a pool has ended takes no room from others.
    pub(super) room: bool,
}

/// What a broadcaster of the native dialect says.
///
/// Tell it every datagram of that dialect and every time that the implementation is told, and everything that the
/// implementation sends, in order. What the protocol leaves to the broadcaster, such as handles, sessions, codes and
/// whether a cookie of 60 to 120 seconds is good, it takes from what is sent. Where that isn't seen at once, it goes on with
/// all that may be, until what is sent tells them apart.
#[derive(Debug)]
pub struct NativeModel {
    states: Vec<State>,
    classic: Vec<PoolId>,
}

/// More there are not: what is sent tells them apart.
const MOST: usize = 4_096;

impl NativeModel {
    /// A broadcaster without pools.
    #[must_use]
    pub fn new(limits: Limits, secret: &Secret) -> Self {
        let state = State::new(Rc::new(limits), Rc::new(Keys::of(secret)));
        Self { states: vec![state], classic: Vec::new() }
    }

    /// The pools of the classic dialect that it has beside, from now on.
    pub fn set_classic(&mut self, pools: impl IntoIterator<Item = PoolId>) {
        self.classic.clear();
        self.classic.extend(pools);
    }

    /// The implementation was told the time.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.states.iter_mut().for_each(|state| state.advance(now));
    }

    /// The implementation was told of a datagram.
    pub fn handle_datagram(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        self.handle_timeout(now);
        match FromClient::read(datagram) {
            Ok(FromClient::Request(request)) => self.split(
                |state| state.lucks(from, &request),
                |state, classic, luck| state.request(from, &request, luck, classic),
            ),
            Ok(FromClient::Message(message)) => self.split(
                |state| state.hearings(from, &message),
                |state, _, how| state.message(from, &message, how),
            ),
            Err(_) => {}
        }
    }

    /// Goes on with all that may be. What is likeliest each time stays first, so that it is never among those of which
    /// there are too many: who shares a rate with whom may be open for hundreds of requests that come at once.
    fn split<H>(&mut self, may_be: impl Fn(&mut State) -> Vec<H>, go_on: impl Fn(&mut State, &[PoolId], H)) {
        let mut others = Vec::new();
        for state in &mut self.states {
            let mut hows = may_be(state).into_iter();
            let first = hows.next();
            for how in hows {
                let mut other = state.clone();
                go_on(&mut other, &self.classic, how);
                others.push(other);
            }
            if let Some(how) = first {
                go_on(state, &self.classic, how);
            }
        }
        self.states.append(&mut others);
        self.states.truncate(MOST);
    }

    /// The implementation sent a datagram.
    ///
    /// # Errors
    /// If it was not due, or is not what was due.
    pub fn sent(&mut self, to: SocketAddr, datagram: &[u8]) -> Verdict<Kind> {
        let mut kind = None;
        self.keep(|state| {
            kind = Some(state.sent(to, datagram)?);
            Ok(())
        })?;
        Ok(kind.unwrap_or("nothing"))
    }

    /// The implementation has nothing left to send.
    ///
    /// # Errors
    /// If something was due.
    pub fn rests(&mut self) -> Verdict {
        self.keep(State::rests)
    }

    /// When the implementation must be told the time at the latest; none if nothing ends by itself.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let ends = self.states.iter().map(|state| state.next_end().unwrap_or(Instant::NEVER));
        ends.max().filter(|at| *at != Instant::NEVER)
    }

    /// The pools there are, offered ones not among them, how many have come to them, and where these are.
    #[must_use]
    pub fn pools(&self) -> Vec<(PoolId, Option<Epoch>, Vec<SocketAddr>)> {
        let Some(state) = self.states.first() else { return Vec::new() };
        let there = |(id, stage): (&PoolUuid, &Stage)| match stage {
            Stage::Offered(_) => None,
            Stage::Gathering => Some((PoolId::from(*id), None, Vec::new())),
            Stage::Live(line) => {
                let members = line.now().members.values().map(|(address, _)| *address).collect();
                Some((PoolId::from(*id), line.epoch(), members))
            }
        };
        state.pools.iter().filter_map(|(id, pool)| there((id, &pool.stage))).collect()
    }

    /// How many pools and places there are, offered ones among them.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        self.states.first().map_or((0, 0), |state| (state.pools.len(), state.places.len()))
    }

    /// Keeps the states that agree. Wrong if none does.
    fn keep(&mut self, mut agrees: impl FnMut(&mut State) -> Result<(), String>) -> Verdict {
        let mut wrongs = Vec::new();
        self.states.retain_mut(|state| match agrees(state) {
            Ok(()) => true,
            Err(what) => {
                wrongs.push(what);
                false
            }
        });
        if self.states.is_empty() && !wrongs.is_empty() {
            wrongs.dedup();
            return Err(Wrong(wrongs.join("; or ")));
        }
        Ok(())
    }
}
