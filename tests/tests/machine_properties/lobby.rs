//! The broadcaster in the native dialect: clients that do anything, and what anybody sends.

mod player;
mod unproven;

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::BTreeSet;

use bytes::BytesMut;
use poolmesh_proto::wire::native::{
    About, Act, Application, Call, Epoch, Member, Name, PoolSpec, PoolUuid, Request, Seats, Secret, Tx,
};
use poolmesh_proto::{
    Broadcaster, BroadcasterConfig, BroadcasterEvent, Instant, Machine, Output, RandomSource,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::config;
use player::{Known, Player};

pub(crate) const GAME: Application = Application::POOLMESH;

/// What a client does.
#[derive(Clone, Debug)]
enum Does {
    Create(u16, bool),
    Join(usize),
    Resume,
    List,
    Ping(bool),
    Ask(u32),
    Leave,
    About(u8),
    Change(u16),
    Kick(u32),
    Hand(u32),
    Close,
    /// It speaks from another address from now on.
    Rebind(u16),
}

#[derive(Clone, Debug)]
enum Op {
    Does(usize, Does),
    /// What was sent as the so-many-th is sent again, from there.
    Replay(usize, u16),
    /// The same with a bit that is another.
    Damage(usize, usize),
    Wait(u64),
    Drain,
    /// Another broadcaster of the same secret takes its place, which knows nothing.
    Restart,
}

fn does() -> impl Strategy<Value = Does> {
    prop_oneof![
        3 => (1..5u16, any::<bool>()).prop_map(|(seats, ends)| Does::Create(seats, ends)),
        6 => (0..4usize).prop_map(Does::Join),
        3 => Just(Does::Resume),
        1 => Just(Does::List),
        12 => any::<bool>().prop_map(Does::Ping),
        2 => (0..6u32).prop_map(Does::Ask),
        2 => Just(Does::Leave),
        3 => any::<u8>().prop_map(Does::About),
        2 => (1..6u16).prop_map(Does::Change),
        2 => (1..8u32).prop_map(Does::Kick),
        2 => (1..8u32).prop_map(Does::Hand),
        1 => Just(Does::Close),
        2 => (1..9u16).prop_map(Does::Rebind),
    ]
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        40 => (0..6usize, does()).prop_map(|(who, does)| Op::Does(who, does)),
        3 => (any::<usize>(), 1..20u16).prop_map(|(which, from)| Op::Replay(which, from)),
        2 => (any::<usize>(), any::<usize>()).prop_map(|(which, bit)| Op::Damage(which, bit)),
        6 => prop_oneof![0..50u64, 500..4_000u64, 7_000..11_000u64].prop_map(Op::Wait),
        10 => Just(Op::Drain),
        1 => Just(Op::Restart),
    ];
    vec(op, 0..120)
}

pub(crate) fn address(port: u16) -> SocketAddr {
    // Few sources, one of them in IPv6.
    match port % 3 {
        0 => ([192, 0, 2, 1], port).into(),
        1 => ([192, 0, 2, 2], port).into(),
        _ => (core::net::Ipv6Addr::from(0x2001_0db8_u128 << 96 | u128::from(port)), port).into(),
    }
}

pub(crate) fn broadcaster(seed: u128, max_queued: usize) -> Broadcaster<impl RandomSource + use<>> {
    let mut config = BroadcasterConfig::default();
    config.secret = Some(Secret::new([7; 32]));
    config.max_queued = max_queued;
    config.limits.sources = 64;
    (config.limits.pools, config.limits.pools_per_source) = (4, 3);
    (config.limits.members, config.limits.members_per_source) = (9, 6);
    let mut state = seed;
    Broadcaster::new(config, move || {
        state =
            state.wrapping_mul(0x2d99_7879_26d4_6932_a4c1_f326_80f7_0c55).wrapping_add(0x1405_7b7e_f767_814f);
        state ^ state.rotate_left(64)
    })
}

/// What was said by the network, and what was seen.
struct World<R> {
    machine: Broadcaster<R>,
    now: Instant,
    players: Vec<Player>,
    made: Vec<PoolUuid>,
    sent: Vec<Vec<u8>>,
    known: Known,
    /// Everything that came out, to be compared.
    outputs: Vec<Output<BroadcasterEvent>>,
    next_tx: u64,
}

impl<R: RandomSource> World<R> {
    fn hand_in(&mut self, from: SocketAddr, datagram: &[u8]) {
        self.sent.push(datagram.to_vec());
        self.machine.handle_datagram(self.now, from, datagram);
        let limits = (self.machine.pool_count() <= 4, self.machine.member_count() <= 9);
        assert_eq!(limits, (true, true), "within its limits");
    }

    fn drain(&mut self) -> Option<Instant> {
        loop {
            let output = self.machine.poll_output();
            match &output {
                Output::Wait(deadline) => return *deadline,
                Output::Transmit(sent) => {
                    for player in self.players.iter_mut().filter(|player| player.from == sent.destination) {
                        player.read(&sent.payload, &mut self.known);
                    }
                }
                Output::Event(BroadcasterEvent::PoolCreated { pool, .. }) => {
                    self.made.push((*pool).try_into().unwrap());
                }
                Output::Event(_) => {}
            }
            self.outputs.push(output);
        }
    }

    fn call(&mut self, who: usize, call: Call<'_>) {
        self.next_tx += 1;
        let tx = Tx::new(self.next_tx).unwrap();
        for _ in 0..2 {
            let player = &mut self.players[who];
            player.tx = Some(tx);
            let mut out = BytesMut::new();
            Request { tx, cookie: player.cookie, call }.write(&mut out);
            let (from, had) = (player.from, player.cookie);
            self.hand_in(from, &out);
            self.drain();
            if self.players[who].cookie == had {
                return;
            }
        }
    }

    fn act(&mut self, who: usize, act: Act<'_>) {
        let Some((datagram, from)) = self.players[who].message(act) else { return };
        self.hand_in(from, &datagram);
    }

    fn does(&mut self, who: usize, does: &Does) {
        let spec = |seats| PoolSpec::new(Seats::new(seats).unwrap());
        match does {
            Does::Create(seats, ends) => {
                let spec = spec(*seats).ending_with_host(*ends);
                self.call(
                    who,
                    Call::Create { application: GAME, spec: spec.as_spec(), about: About::default() },
                );
            }
            Does::Join(which) => {
                if let Some(pool) = self.made.iter().rev().nth(*which).copied() {
                    self.call(who, Call::Join { application: GAME, pool, about: About::default() });
                }
            }
            Does::Resume => {
                if let Some((ticket, spec)) = self.players[who].ticket.clone() {
                    self.call(who, Call::Resume { ticket, spec: spec.as_spec(), about: About::default() });
                }
            }
            Does::List => {
                let (application, after, prefix) = (Some(GAME), PoolUuid::NIL, Name::default());
                self.call(who, Call::List { application, after, free: 0, prefix });
            }
            Does::Ping(named) => {
                let epoch: Option<Epoch> = self.players[who].epoch().filter(|_| *named);
                self.act(who, Act::Ping(epoch));
            }
            Does::Ask(from) => self.act(who, Act::Ask(Member::new(*from))),
            Does::Leave => self.act(who, Act::Leave),
            Does::About(word) => self.act(who, Act::About(About::new(&[*word; 100]).unwrap())),
            Does::Change(seats) => self.act(who, Act::Change(spec(*seats).as_spec())),
            Does::Kick(member) => self.act(who, Act::Kick(Member::new(*member).unwrap())),
            Does::Hand(member) => self.act(who, Act::Hand(Member::new(*member).unwrap())),
            Does::Close => self.act(who, Act::Close),
            Does::Rebind(port) => {
                let taken: BTreeSet<SocketAddr> = self.players.iter().map(|player| player.from).collect();
                let to = address(100 * (1 + u16::try_from(who).unwrap()) + port);
                if !taken.contains(&to) {
                    self.players[who].moves_to(to);
                }
            }
        }
        // Who was asked for a proof gives it.
        if let Some(cookie) = self.players[who].proof.take() {
            self.act(who, Act::Move(cookie));
        }
    }
}

fn run(seed: u128, max_queued: usize, ops: &[Op]) -> Vec<Output<BroadcasterEvent>> {
    let mut world = World {
        machine: broadcaster(seed, max_queued),
        now: Instant::ZERO,
        players: (1..=6).map(|port| Player::new(address(port))).collect(),
        made: Vec::new(),
        sent: Vec::new(),
        known: Known::default(),
        outputs: Vec::new(),
        next_tx: 0,
    };
    for (step, op) in ops.iter().enumerate() {
        match op {
            Op::Does(who, does) => world.does(*who, does),
            Op::Replay(which, from) => {
                if let Some(datagram) = world.sent.get(which % world.sent.len().max(1)).cloned() {
                    world.hand_in(address(*from), &datagram);
                }
            }
            Op::Damage(which, bit) => {
                if let Some(mut datagram) = world.sent.get(which % world.sent.len().max(1)).cloned() {
                    let bit = bit % (8 * datagram.len().max(1));
                    datagram[bit / 8] ^= 1 << (bit % 8);
                    world.hand_in(address(50), &datagram);
                }
            }
            Op::Wait(millis) => {
                world.now = world.now + Duration::from_millis(*millis);
                world.machine.handle_timeout(world.now);
                let deadline = world.drain();
                assert!(
                    deadline.is_none_or(|at| at > world.now),
                    "{deadline:?} is not after {:?}",
                    world.now
                );
            }
            Op::Drain => drop(world.drain()),
            Op::Restart => {
                world.drain();
                let seed = seed + 1 + step as u128;
                world.machine = broadcaster(seed, max_queued);
                world.players.iter_mut().for_each(Player::forget_broadcaster);
            }
        }
    }
    // Nobody says anything any more: nothing is left, and there is room for as much again.
    for _ in 0..3 {
        world.now = world.now + Duration::from_secs(10);
        world.machine.handle_timeout(world.now);
        world.drain();
    }
    assert_eq!((world.machine.pool_count(), world.machine.member_count()), (0, 0));
    let created = world.machine.stats().pools_created;
    for who in 0..3 {
        world.players[who] = Player::new(address(3 * (1 + u16::try_from(who).unwrap())));
        world.does(who, &Does::Create(2, false));
        world.does(who, &Does::Ping(false));
        world.drain();
    }
    assert_eq!(world.machine.stats().pools_created, created + 3, "what a source had is given back");
    world.outputs
}

proptest! {
    #![proptest_config(config(400))]

    #[test]
    fn whatever_members_do_rosters_agree_and_the_same_inputs_give_the_same_outputs(
        seed in any::<u64>(), queued in prop_oneof![4 => Just(4_096usize), 1 => 1..6usize], ops in ops()
    ) {
        let (one, other) = (run(seed.into(), queued, &ops), run(seed.into(), queued, &ops));
        prop_assert_eq!(one, other);
    }
}
