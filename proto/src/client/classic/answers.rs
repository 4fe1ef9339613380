//! Which call an answer is for.

use super::ClassicClient;
use crate::client::{CallId, ClientEvent, Outcome, PoolEnd, PoolPage};
use crate::log::debug;
use crate::wire::{Refusal, Request, Response, Words};
use crate::{PoolId, PoolInfo};

impl ClassicClient {
    pub(super) fn handle_response(&mut self, response: Response) {
        match response {
            Response::Pools(ids) => match self.oldest(|request| *request == Request::List) {
                Some(call) => self.finish(call, Outcome::Listed(PoolPage::from_iter(ids))),
                None => self.stats.unexpected += 1,
            },
            Response::Joined(info) => self.handle_joined(info),
            Response::Refused(refusal) => self.handle_refusal(refusal),
            Response::PoolEnded => {
                let now = self.now;
                self.hosting.hasten(now, self.config.ping_interval);
                self.advance(now);
            }
        }
    }

    /// The oldest call whose request `matches`.
    fn oldest(&self, matches: impl Fn(&Request) -> bool) -> Option<CallId> {
        self.calls.iter().find(|call| matches(&call.request)).map(|call| call.id)
    }

    /// A join's answer names the pool that was asked for. A create's answer names a pool that is new, with you as
    /// its host.
    fn handle_joined(&mut self, info: PoolInfo) {
        let pool = info.id();
        if let Some(call) = self.oldest(|request| *request == Request::Join(pool)) {
            return self.finish(call, Outcome::Joined(info));
        }
        let create = self.oldest(|request| *request == Request::Create);
        match create {
            Some(call) if info.is_host() && !self.hosting.knows(&pool) => {
                self.hosting.remember(pool);
                self.hosting.add(pool, call, self.now);
                self.finish(call, Outcome::Created(info));
                self.advance(self.now);
            }
            _ => self.stats.unexpected += 1,
        }
    }

    fn handle_refusal(&mut self, refusal: Refusal) {
        let call = match &refusal {
            Refusal::NoSuchPool(id) => {
                let ended = self.end_hosted(id);
                let join = self.oldest(|request| names(request, id));
                if ended && join.is_none() {
                    return;
                }
                join
            }
            // Only pings are refused so, and they are no calls. It names no pool: if it is about the one pool there
            // is, the next ping to it will fail as well, until the pool is gone and the refusal says so.
            Refusal::NotHost => None,
            Refusal::PoolFull { pool, .. } => {
                let pool = *pool;
                self.oldest(move |request| *request == Request::Join(pool))
            }
            Refusal::TooManyPools { .. } | Refusal::TooManyPoolsFromSource { .. } | Refusal::NoFreshId => {
                self.oldest(|request| *request == Request::Create)
            }
            Refusal::TooManyPeers { .. } => self.oldest(|request| matches!(request, Request::Join(_))),
            Refusal::UnknownRequest
            | Refusal::Truncated { .. }
            | Refusal::TooLong { .. }
            | Refusal::Other(_)
            | Refusal::Native(_) => match &self.calls[..] {
                [only] => Some(only.id),
                _ => None,
            },
        };
        match call {
            Some(call) => self.finish(call, Outcome::Refused(refusal)),
            None => self.stats.unexpected += 1,
        }
    }

    /// Whether `id` was a hosted pool, which is so no more.
    fn end_hosted(&mut self, id: &Words) -> bool {
        let Ok(pool) = PoolId::new(id.as_bytes()) else { return false };
        let ended = self.hosting.remove(&pool);
        if ended {
            debug!(%pool, "hosted pool ended");
            self.outbox.event(ClientEvent::PoolEnded { pool, reason: PoolEnd::Quiet });
        }
        ended
    }
}

/// Whether a request is the join of the pool that the words name.
fn names(request: &Request, id: &Words) -> bool {
    matches!(request, Request::Join(pool) if pool.as_bytes() == id.as_bytes())
}
