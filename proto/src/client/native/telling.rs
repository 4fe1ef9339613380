//! What the application was told of its pools, and what it is not told any more since it has cancelled a call.

use super::NativeClient;
use crate::PoolId;
use crate::client::{CallId, ClientEvent, Outcome, PoolEvent};

/// What an event says of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    /// That the client is in it, by the outcome of a call.
    Entered,
    New,
    Ended,
}

fn said(event: &ClientEvent) -> Option<(PoolId, Said)> {
    match event {
        ClientEvent::Finished { outcome: Outcome::Created(info) | Outcome::Joined(info), .. } => {
            Some((info.id(), Said::Entered))
        }
        ClientEvent::Finished { .. } => None,
        ClientEvent::Pool { pool, .. } => Some((*pool, Said::New)),
        ClientEvent::PoolEnded { pool, .. } => Some((*pool, Said::Ended)),
    }
}

impl NativeClient {
    /// What waits to be polled and is said of a pool, with its place in the queue.
    fn waiting(&self, pool: PoolId) -> impl Iterator<Item = (usize, Said)> {
        let of_pool = move |(of, said): (PoolId, Said)| (of == pool).then_some(said);
        self.core.outbox.events().filter_map(move |(at, event)| Some((at, said(event).and_then(of_pool)?)))
    }

    /// A call is cancelled that has its outcome: it is not told, if that wasn't done.
    pub(super) fn take_back(&mut self, id: CallId) {
        let of_call =
            |event: &ClientEvent| matches!(event, ClientEvent::Finished { call, .. } if *call == id);
        let found = self.core.outbox.events().find(|(_, event)| of_call(event)).map(|(at, _)| at);
        let Some((at, event)) = found.and_then(|at| Some((at, self.core.outbox.take_back_at(at)?))) else {
            return;
        };
        self.count_off(&event);
        if let Some((pool, Said::Entered)) = said(&event) {
            self.forget_entered(pool, at);
        }
    }

    /// An outcome that led into a pool is taken back from this place in the queue. If it was what tells of the pool, nothing
    /// is told of it behind that place either, up to the outcome of another call, which tells all as it is by then; if there
    /// is none, the pool is left.
    fn forget_entered(&mut self, pool: PoolId, place: usize) {
        let before = self.waiting(pool).take_while(|(at, _)| *at < place);
        let turned = before.filter(|(_, said)| *said != Said::New).last();
        let told = turned.map_or_else(|| self.known.contains(&pool), |(_, said)| said == Said::Entered);
        if told {
            return;
        }
        loop {
            let next = self.waiting(pool).find(|(at, _)| *at >= place);
            match next {
                Some((_, Said::Entered)) => return,
                Some((at, Said::New | Said::Ended)) => {
                    if let Some(event) = self.core.outbox.take_back_at(at) {
                        self.count_off(&event);
                    }
                }
                None => {
                    self.release(pool);
                    return;
                }
            }
        }
    }

    /// An event is polled, or taken back.
    fn count_off(&mut self, event: &ClientEvent) {
        match event {
            ClientEvent::Finished { .. } => self.core.unpolled = self.core.unpolled.saturating_sub(1),
            ClientEvent::PoolEnded { .. } => {}
            ClientEvent::Pool { pool, event: PoolEvent::Missed } => {
                if let Some(place) = self.places.iter_mut().find(|place| place.id() == *pool) {
                    place.missed = false;
                }
            }
            ClientEvent::Pool { .. } => self.core.told = self.core.told.saturating_sub(1),
        }
    }

    /// An event is polled.
    pub(super) fn note_told(&mut self, event: &ClientEvent) {
        self.count_off(event);
        match said(event) {
            Some((pool, Said::Entered)) => {
                // Unless the application has left it since, and will be told nothing more of it.
                let is_in = self.memberships().any(|membership| membership.id() == pool);
                if !self.known.contains(&pool) && (is_in || self.ends(pool)) {
                    self.known.push(pool);
                }
            }
            Some((pool, Said::Ended)) => self.known.retain(|known| *known != pool),
            Some((_, Said::New)) | None => {}
        }
    }

    /// The application leaves a pool, and is told nothing of that.
    pub(super) fn forget_known(&mut self, pool: PoolId) {
        if !self.ends(pool) {
            self.known.retain(|known| *known != pool);
        }
    }

    /// Whether it waits to be polled that a pool is over.
    fn ends(&self, pool: PoolId) -> bool {
        self.waiting(pool).any(|(_, said)| said == Said::Ended)
    }
}
