//! Machines that are a broadcaster together, as one.

use core::net::SocketAddr;
use std::collections::VecDeque;

use poolmesh_proto::{
    Broadcaster, BroadcasterConfig, BroadcasterEvent, BroadcasterStats, Instant, Machine, Output,
    RandomSource, Shard,
};

/// What is held against the model.
pub(crate) trait Broadcasts: Machine<Event = BroadcasterEvent> {
    fn stats(&self) -> BroadcasterStats;
    fn pool_count(&self) -> usize;
    fn peer_count(&self) -> usize;
    /// Datagrams that came to one machine and were another one's.
    fn passed_on(&self) -> u64;
}

impl<R: RandomSource> Broadcasts for Broadcaster<R> {
    fn stats(&self) -> BroadcasterStats {
        Self::stats(self)
    }

    fn pool_count(&self) -> usize {
        Self::pool_count(self)
    }

    fn peer_count(&self) -> usize {
        Self::peer_count(self)
    }

    fn passed_on(&self) -> u64 {
        0
    }
}

/// Shards in one thread. Datagrams come to each in turn, and what they say goes through one queue.
#[derive(Debug)]
pub(crate) struct Together<R> {
    shards: Vec<Shard>,
    machines: Vec<Broadcaster<R>>,
    outputs: VecDeque<Output<BroadcasterEvent>>,
    came: usize,
    passed_on: u64,
}

impl<R: RandomSource> Together<R> {
    /// `random` makes the source of a machine from its number.
    pub(crate) fn new(count: usize, config: &BroadcasterConfig, random: fn(u128) -> R) -> Self {
        let shards = Shard::split(count);
        let make =
            |(shard, number): (&Shard, u128)| Broadcaster::of_shard(config.clone(), random(number), shard);
        let machines = shards.iter().zip(0..).map(make).collect();
        Self { shards, machines, outputs: VecDeque::new(), came: 0, passed_on: 0 }
    }

    /// Takes over what they have to say. Until when all wait.
    fn drain(&mut self) -> Option<Instant> {
        let mut until = None;
        for machine in &mut self.machines {
            loop {
                match machine.poll_output() {
                    Output::Wait(deadline) => {
                        until = [until, deadline].into_iter().flatten().min();
                        break;
                    }
                    said => self.outputs.push_back(said),
                }
            }
        }
        until
    }
}

impl<R: RandomSource> Machine for Together<R> {
    type Event = BroadcasterEvent;

    fn handle_datagram(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        self.handle_timeout(now);
        let came = self.came % self.machines.len();
        self.came += 1;
        let owner = self.shards[came].owner(datagram);
        self.passed_on += u64::from(owner.is_some());
        self.machines[owner.unwrap_or(came)].handle_datagram(now, from, datagram);
        self.drain();
    }

    fn handle_timeout(&mut self, now: Instant) {
        for machine in &mut self.machines {
            machine.handle_timeout(now);
        }
        self.drain();
    }

    fn poll_output(&mut self) -> Output<BroadcasterEvent> {
        if let Some(said) = self.outputs.pop_front() {
            return said;
        }
        let until = self.drain();
        self.outputs.pop_front().unwrap_or(Output::Wait(until))
    }
}

impl<R: RandomSource> Broadcasts for Together<R> {
    fn stats(&self) -> BroadcasterStats {
        self.machines.iter().map(Broadcaster::stats).sum()
    }

    fn pool_count(&self) -> usize {
        self.machines.iter().map(Broadcaster::pool_count).sum()
    }

    fn peer_count(&self) -> usize {
        self.machines.iter().map(Broadcaster::peer_count).sum()
    }

    fn passed_on(&self) -> u64 {
        self.passed_on
    }
}
