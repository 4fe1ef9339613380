//! Whether what a broadcaster said was due.

use core::net::SocketAddr;

use poolmesh_proto::BroadcasterEvent;

use super::{BroadcasterModel, Due, Pool, Told, Turns};
use crate::model::{Kind, Verdict, Wrong, check, wire};

/// As many ids of 36 bytes fit a list.
const LISTED: usize = 27;

impl BroadcasterModel {
    /// The implementation sent a datagram.
    ///
    /// # Errors
    /// If it should have sent something else, or nothing.
    pub fn sent(&mut self, to: SocketAddr, datagram: &[u8]) -> Verdict<Kind> {
        if self.due.is_empty() && self.held() > self.alive().len() {
            self.end_one();
        }
        let shown = || format!("{to} was sent \"{}\"", datagram.escape_ascii());
        if self.due.is_empty() {
            return Err(Wrong(format!("{}, but nothing was due", shown())));
        }
        match self.due.remove(0) {
            Due::Bytes(asker, answer, kind) => {
                check(asker == to && answer == datagram, || {
                    format!("{}, but due was \"{}\" to {asker} ({kind})", shown(), answer.escape_ascii())
                })?;
                Ok(kind)
            }
            Due::Notice => {
                let told = self.noticed.iter().filter(|host| **host == to).count();
                let over = |pool: &&Pool| self.ends_at(pool).is_due(self.now);
                let ended = self.pools.iter().filter(over).filter(|pool| pool.notify == to).count();
                check(datagram == [5] && told < ended, || {
                    format!(
                        "{}, but due at {:?} was a notice that a pool ended{}",
                        shown(),
                        self.now,
                        self.ends()
                    )
                })?;
                self.noticed.push(to);
                Ok("pool ended")
            }
            Due::Created(asker, number) => {
                check(asker == to, || format!("{}, but due was the answer to a create of {asker}", shown()))?;
                self.created(number, datagram)
            }
            Due::List(asker, pools, all_alive) => {
                check(asker == to, || format!("{}, but due was a list to {asker}", shown()))?;
                self.listed(pools, all_alive, datagram)
            }
        }
    }

    /// The pools that have ended, and how many notices each host got.
    fn ends(&self) -> String {
        let over = self.pools.iter().filter(|pool| self.ends_at(pool).is_due(self.now));
        let one = |pool: &Pool| {
            let id = pool.id.as_deref().unwrap_or(b"(not seen yet)").escape_ascii().to_string();
            let told = self.noticed.iter().filter(|host| **host == pool.notify).count();
            format!(
                "; {id} of {} ended at {:?}, its host got {told} notices",
                pool.notify,
                self.ends_at(pool)
            )
        };
        over.map(one).collect()
    }

    /// A create's answer names a new pool, its host, you and its only peer, all the same.
    fn created(&mut self, number: usize, answer: &[u8]) -> Verdict<Kind> {
        let id = answer.get(5..41).unwrap_or_default().to_vec();
        self.name(number, &id)?;
        let host = self.pools.get(number).map(|pool| pool.host.to_string()).unwrap_or_default();
        let items = [&id[..], host.as_bytes(), host.as_bytes(), host.as_bytes()];
        let due = wire::with_items(3, &items);
        check(answer == due, || {
            format!(
                "a create was answered by \"{}\", not by \"{}\"",
                answer.escape_ascii(),
                due.escape_ascii()
            )
        })?;
        Ok("created")
    }

    /// Takes `id` for the name of a pool: the one it has, or if it has none a fresh and valid one.
    fn name(&mut self, number: usize, id: &[u8]) -> Verdict {
        let taken = self.pools.iter().position(|pool| pool.is_named(id));
        let Some(pool) = self.pools.get_mut(number) else { return Ok(()) };
        check(wire::is_uuid_v4(id), || format!("\"{}\" is no UUID of version 4", id.escape_ascii()))?;
        check(taken.is_none_or(|taken| taken == number), || {
            format!("{} was the name of another pool", id.escape_ascii())
        })?;
        let id = id.to_vec();
        check(*pool.id.get_or_insert_with(|| id.clone()) == id, || "a pool has two names".into())
    }

    /// A list names living pools, each once, all or as many as fit; lists that are cut name all in turn.
    fn listed(&mut self, pools: Vec<usize>, all_alive: bool, answer: &[u8]) -> Verdict<Kind> {
        let ids: Vec<&[u8]> = match answer.get(5..) {
            None | Some([]) => Vec::new(),
            Some(text) => text.split(|byte| *byte == b' ').collect(),
        };
        let shown = || format!("a list of {} pools was \"{}\"", pools.len(), answer.escape_ascii());
        check(answer == wire::with_items(2, &ids), || format!("{}, which is spoiled", shown()))?;
        check(ids.len() == pools.len().min(LISTED), || format!("{}, which is {} pools", shown(), ids.len()))?;
        let nameless = |number: &usize| self.pools.get(*number).is_some_and(|pool| pool.id.is_none());
        // Pools whose answers were dropped: if it is one, the list gives it its name.
        let mut unnamed: Vec<usize> = pools.iter().copied().filter(nameless).collect();
        let (only, all_alive) = (unnamed.len() == 1, all_alive && unnamed.len() <= 1);
        let mut listed = Vec::new();
        for id in ids {
            let known = self.pools.iter().position(|pool| pool.is_named(id));
            let number = known.or_else(|| unnamed.pop());
            let number = number.filter(|number| pools.contains(number) && !listed.contains(number));
            let Some(number) = number else {
                return Err(Wrong(format!("{}: {} doesn't belong there", shown(), id.escape_ascii())));
            };
            if known.is_some() || only {
                self.name(number, id)?;
            }
            listed.push(number);
        }
        if pools.len() <= LISTED {
            self.turns = Turns::default();
            return Ok(if pools.is_empty() { "list, empty" } else { "list, whole" });
        }
        self.turns.check(&pools, all_alive, listed)
    }

    /// The implementation told an event.
    ///
    /// # Errors
    /// If it should have told something else, or nothing.
    pub fn told(&mut self, event: &BroadcasterEvent) -> Verdict<Kind> {
        check(!self.events.is_empty(), || format!("{event:?}, but nothing had happened"))?;
        let due = self.events.remove(0);
        let right = match (event, &due) {
            (BroadcasterEvent::PoolCreated { pool, host }, Told::Created(number)) => {
                self.name(*number, pool.as_bytes())?;
                self.pools.get(*number).is_some_and(|made| made.host == *host)
            }
            (BroadcasterEvent::PeerJoined { pool, peer }, Told::Joined(number, joined)) => {
                peer == joined && self.pools.get(*number).is_some_and(|named| named.is_named(pool.as_bytes()))
            }
            (BroadcasterEvent::PoolEnded { pool, host }, Told::Ended) => self.ended(pool.as_bytes(), *host),
            _ => false,
        };
        check(right, || format!("{event:?}, but due was {due:?}"))?;
        Ok(match due {
            Told::Created(_) => "event: created",
            Told::Joined(..) => "event: joined",
            Told::Ended => "event: ended",
        })
    }

    /// Whether a pool of that name and host has ended, and no event has said so before.
    fn ended(&mut self, id: &[u8], host: SocketAddr) -> bool {
        let over = |pool: &Pool| pool.host == host && !pool.end_told && self.ends_at(pool).is_due(self.now);
        let named = self.pools.iter().position(|pool| pool.is_named(id));
        // Or one of those whose answers were dropped.
        let nameless = || self.pools.iter().position(|pool| pool.id.is_none() && over(pool));
        let number = named.or_else(nameless).filter(|number| self.pools.get(*number).is_some_and(over));
        let pool = number.and_then(|number| self.pools.get_mut(number));
        pool.map(|pool| pool.end_told = true).is_some()
    }

    /// The implementation says that nothing is left to do.
    ///
    /// # Errors
    /// If something is.
    pub fn rests(&mut self) -> Verdict {
        check(self.due.is_empty(), || format!("nothing was sent, but due was {:?}", self.due))?;
        check(self.events.is_empty(), || format!("nothing was told, but due was {:?}", self.events))?;
        while self.held() > self.alive().len() {
            check(!self.has_room(), || {
                format!("a pool's time was up at {:?}, and nobody was told{}", self.now, self.ends())
            })?;
            self.end_one();
        }
        Ok(())
    }
}
