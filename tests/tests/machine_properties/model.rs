//! A broadcaster beside the plainest model of one: a map of pools, each with the time of its last ping.

use core::net::SocketAddr;
use std::collections::{BTreeMap, BTreeSet};

use poolmesh_proto::wire::{Dialect, Response, Words, canonical};
use poolmesh_proto::{BroadcasterConfig, Instant, Machine, Output, PoolId, Refusal};
use proptest::prelude::*;

use crate::broadcaster::{Ask, Op, broadcaster, datagram, ops};
use crate::{calm, config, wild};

struct Pool {
    host: SocketAddr,
    pinged: Instant,
    peers: BTreeSet<SocketAddr>,
}

#[derive(Default)]
struct Model {
    config: BroadcasterConfig,
    now: Instant,
    pools: BTreeMap<PoolId, Pool>,
}

impl Model {
    /// Moves on, and says to whom notices of an end are due.
    fn advance(&mut self, now: Instant) -> Vec<SocketAddr> {
        self.now = self.now.max(now);
        let (now, timeout) = (self.now, self.config.ping_timeout);
        let ended = |pool: &Pool| (pool.pinged + timeout).is_due(now);
        let mut notices: Vec<SocketAddr> =
            self.pools.values().filter(|pool| ended(pool)).map(|pool| pool.host).collect();
        self.pools.retain(|_, pool| !ended(pool));
        notices.sort_unstable();
        notices
    }

    /// Holds one answer, or none, to what the model says; a new pool's id is taken from the answer.
    fn answer(
        &mut self,
        from: SocketAddr,
        ask: &Ask,
        made: &[PoolId],
        answer: Option<Response>,
    ) -> Option<PoolId> {
        let you = canonical(from);
        let unknown: PoolId = "nobody's".parse().unwrap();
        let asked = |at: usize| made.get(at).copied().unwrap_or(unknown);
        let missing = |id: PoolId| Some(Response::Refused(Refusal::NoSuchPool(Words::new(id.as_bytes()))));
        match ask {
            Ask::Create => {
                let Some(Response::Joined(info)) = answer else { panic!("create: {answer:?}") };
                assert_eq!((info.host(), info.you(), info.peers()), (you, you, &[you][..]));
                let pool = Pool { host: you, pinged: self.now, peers: [you].into() };
                assert!(self.pools.insert(info.id(), pool).is_none());
                return Some(info.id());
            }
            Ask::List => {
                let Some(Response::Pools(ids)) = answer else { panic!("list: {answer:?}") };
                assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "each once");
                let all = self.pools.len();
                assert_eq!(ids.len(), all.min(Dialect::Classic.list_capacity()));
                assert!(ids.iter().all(|id| self.pools.contains_key(id)), "no dead pool is listed");
            }
            Ask::Ping(at) => match self.pools.get_mut(&asked(*at)) {
                None => assert_eq!(answer, missing(asked(*at)), "a dead pool is not revived"),
                Some(pool) if pool.host == you => {
                    assert_eq!(answer, None, "a pool pinged in time is alive");
                    pool.pinged = self.now;
                }
                Some(_) => assert_eq!(answer, Some(Response::Refused(Refusal::NotHost))),
            },
            Ask::Join(at) => match self.pools.get_mut(&asked(*at)) {
                None => assert_eq!(answer, missing(asked(*at))),
                Some(pool) => {
                    pool.peers.insert(you);
                    let Some(Response::Joined(info)) = answer else { panic!("join: {answer:?}") };
                    assert_eq!((info.id(), info.host(), info.you()), (asked(*at), pool.host, you));
                    assert_eq!(info.peers()[0], you, "the asker comes first");
                    assert_eq!(info.peers().iter().copied().collect::<BTreeSet<_>>(), pool.peers);
                    assert_eq!(info.peers().len(), pool.peers.len(), "each once");
                }
            },
            Ask::Bytes(_) => {}
        }
        None
    }
}

proptest! {
    #![proptest_config(config(500))]

    #[test]
    fn a_pool_lives_while_it_is_pinged_in_time_and_no_longer(
        ops in prop_oneof![3 => ops(&calm()), 1 => ops(&wild())]
    ) {
        let mut config = BroadcasterConfig::default();
        config.ping_timeout = core::time::Duration::from_millis(1_500);
        let mut machine = broadcaster(&config);
        let mut model = Model { config, ..Model::default() };
        let mut made = Vec::new();
        for op in &ops {
            let (now, request) = match op {
                // What other bytes do is another property; some of them are requests.
                Op::Ask(_, _, Ask::Bytes(_)) | Op::PollOnce | Op::Drain => continue,
                Op::Ask(now, from, ask) => (*now, Some((*from, ask))),
                Op::Timeout(now) | Op::Settle(now) => (*now, None),
            };
            match request {
                Some((from, ask)) => machine.handle_datagram(now, from, &datagram(ask, &made)),
                None => machine.handle_timeout(now),
            }
            let (mut notices, mut answers) = (Vec::new(), Vec::new());
            let deadline = loop {
                match machine.poll_output() {
                    Output::Transmit(transmit) => match Dialect::Classic.decode_response(&transmit.payload) {
                        Ok(Response::PoolEnded) => notices.push(canonical(transmit.destination)),
                        response => answers.push((transmit.destination, response.unwrap())),
                    },
                    Output::Event(_) => {}
                    Output::Wait(deadline) => break deadline,
                }
            };
            notices.sort_unstable();
            prop_assert_eq!(notices, model.advance(now), "each host whose pool ended is told, once");
            if let Some((from, ask)) = request {
                prop_assert!(answers.len() <= 1);
                let answer = answers.pop().map(|(to, response)| {
                    assert_eq!(to, from, "to the address the driver named");
                    response
                });
                made.extend(model.answer(from, ask, &made, answer));
            }
            prop_assert!(answers.is_empty());
            prop_assert_eq!(machine.pool_count(), model.pools.len());
            let first = model.pools.values().map(|pool| pool.pinged + model.config.ping_timeout).min();
            if let Some(first) = first.filter(|at| *at != Instant::NEVER) {
                prop_assert!(deadline.is_some_and(|at| at <= first), "it does not sleep over an end");
            }
        }
    }
}
