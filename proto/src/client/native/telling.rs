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

    /// Whether the application was told that it is in a pool, and not that this is over.
    fn knows(&self, pool: PoolId) -> bool {
        self.known.iter().any(|(known, _)| *known == pool)
    }

    /// A call is cancelled that has its outcome: it is not told, if that wasn't done. Whether it wasn't.
    pub(super) fn take_back(&mut self, id: CallId) -> bool {
        let of_call =
            |event: &ClientEvent| matches!(event, ClientEvent::Finished { call, .. } if *call == id);
        let found = self.core.outbox.events().find(|(_, event)| of_call(event)).map(|(at, _)| at);
        let Some((at, event)) = found.and_then(|at| Some((at, self.core.outbox.take_back_at(at)?))) else {
            return false;
        };
        self.count_off(&event);
        if let Some((pool, Said::Entered)) = said(&event) {
            self.forget_entered(pool, at);
        }
        true
    }

    /// A call is cancelled whose outcome was polled: an adapter may have had it, and nobody to tell it to. If no other has led
    /// into the pool that it led into, nothing more is told of that, and it is left.
    pub(super) fn give_up(&mut self, id: CallId) {
        let Some(at) = self.known.iter().position(|(_, by)| *by == Some(id)) else { return };
        let (pool, _) = self.known.remove(at);
        self.forget_from(pool, 0);
    }

    /// An outcome that led into a pool is taken back from this place in the queue. If it was what tells of the pool, nothing
    /// is told of it behind that place either, up to the outcome of another call, which tells all as it is by then; if there
    /// is none, the pool is left.
    fn forget_entered(&mut self, pool: PoolId, place: usize) {
        let before = self.waiting(pool).take_while(|(at, _)| *at < place);
        let turned = before.filter(|(_, said)| *said != Said::New).last();
        let told = turned.map_or_else(|| self.knows(pool), |(_, said)| said == Said::Entered);
        if !told {
            self.forget_from(pool, place);
        }
    }

    /// Nothing is told of a pool behind this place, up to the outcome of another call; if there is none, the pool is left.
    fn forget_from(&mut self, pool: PoolId, place: usize) {
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
            Some((pool, Said::Entered)) => self.note_entered(pool, event),
            Some((pool, Said::Ended)) => self.known.retain(|(known, _)| *known != pool),
            Some((_, Said::New)) | None => {}
        }
    }

    fn note_entered(&mut self, pool: PoolId, event: &ClientEvent) {
        if let Some((_, by)) = self.known.iter_mut().find(|(known, _)| *known == pool) {
            *by = None;
            return;
        }
        // Unless the application has left it since, and will be told nothing more of it.
        let is_in = self.memberships().any(|membership| membership.id() == pool);
        if let (true, ClientEvent::Finished { call, .. }) = (is_in || self.ends(pool), event) {
            self.known.push((pool, Some(*call)));
        }
    }

    /// The application leaves a pool, and is told nothing of that.
    pub(super) fn forget_known(&mut self, pool: PoolId) {
        if !self.ends(pool) {
            self.known.retain(|(known, _)| *known != pool);
        }
    }

    /// Whether it waits to be polled that a pool is over.
    fn ends(&self, pool: PoolId) -> bool {
        self.waiting(pool).any(|(_, said)| said == Said::Ended)
    }
}
