//! What the native dialect asks of a driver: broadcasters at several addresses, places in pools that are kept by deadlines
//! alone, news of pools, and a last word.

use std::time::Duration;

use poolmesh_proto::driver::PoolNews;
use poolmesh_proto::wire::native::LeaveReason;
use poolmesh_proto::{
    Broadcaster, BroadcasterConfig, BroadcasterEvent, Client, ClientConfig, ClientEvent, Machine, Outcome,
    Output, PoolEvent, PoolId, PoolInfo, RandomSource,
};

use super::{Check, check};
use crate::driver::stage::{Play, Stage};
use crate::driver::{SocketId, Told};

pub(super) const CHECKS: &[Check] = &[
    check("native::a_place_is_kept", a_place_is_kept),
    check("native::news_are_told_in_order", news_are_told_in_order),
    check("native::other_broadcasters_are_asked", other_broadcasters_are_asked),
    check("native::who_closes_says_so", who_closes_says_so),
];

const INTERVAL: Duration = Duration::from_millis(100);
const TIMEOUT: Duration = Duration::from_millis(1_000);

/// A broadcaster's machine at a socket of the world, and a guest's.
struct Lobby<R: RandomSource> {
    broadcaster: Broadcaster<R>,
    at: SocketId,
    guest: Client,
    guest_at: SocketId,
    told: Vec<BroadcasterEvent>,
    outcomes: Vec<Outcome>,
}

fn lobby(stage: &mut Stage, at: SocketId) -> Lobby<impl RandomSource + use<>> {
    let mut config = BroadcasterConfig::default();
    (config.limits.interval, config.limits.timeout) = (INTERVAL, TIMEOUT);
    let mut drawn = 0;
    let random = move || {
        drawn += 1;
        drawn
    };
    let guest_at = stage.world.open_udp();
    let guest = Client::new(ClientConfig::default(), stage.world.address(at), [9; 32]);
    let broadcaster = Broadcaster::new(config, random);
    Lobby { broadcaster, at, guest, guest_at, told: Vec::new(), outcomes: Vec::new() }
}

impl<R: RandomSource> Lobby<R> {
    /// Lets both take in what has come to them, and answer.
    fn turn(&mut self, stage: &mut Stage) {
        let now = stage.now();
        while let Some((datagram, from)) = stage.world.receive(self.at) {
            self.broadcaster.handle_datagram(now, from, &datagram);
        }
        while let Some((datagram, from)) = stage.world.receive(self.guest_at) {
            self.guest.handle_datagram(now, from, &datagram);
        }
        self.broadcaster.handle_timeout(now);
        self.guest.handle_timeout(now);
        loop {
            match self.broadcaster.poll_output() {
                Output::Transmit(it) => stage.world.send(self.at, it.destination, &it.payload),
                Output::Event(event) => self.told.push(event),
                Output::Wait(_) => break,
            }
        }
        loop {
            match self.guest.poll_output() {
                Output::Transmit(it) => stage.world.send(self.guest_at, it.destination, &it.payload),
                Output::Event(ClientEvent::Finished { outcome, .. }) => self.outcomes.push(outcome),
                Output::Event(_) => {}
                Output::Wait(_) => break,
            }
        }
    }

    /// What the program is told next, while the lobby goes on.
    fn told(&mut self, stage: &mut Stage) -> Told {
        stage.until("something is told", |stage| {
            self.turn(stage);
            stage.take()
        })
    }

    /// The pool that the program makes.
    fn pool(&mut self, stage: &mut Stage) -> PoolInfo {
        stage.driver().create();
        match self.told(stage) {
            Told::Pool(pool) => pool,
            other => panic!("a pool was created, and it is told {other:?}"),
        }
    }

    /// Has the guest join.
    fn join(&mut self, stage: &mut Stage, pool: PoolId) {
        self.guest.join(stage.now(), pool).unwrap();
        stage.until("the guest has joined", |stage| {
            self.turn(stage);
            matches!(self.outcomes.pop()?, Outcome::Joined(_)).then_some(())
        });
    }

    /// Lets time pass.
    fn pass(&mut self, stage: &mut Stage, time: Duration) {
        stage.throughout(time, |stage| self.turn(stage));
    }
}

fn news(told: Told) -> PoolEvent {
    match told {
        Told::News(PoolNews::Event { event, .. }) => event,
        other => panic!("not what is new in a pool: {other:?}"),
    }
}

/// A member is there as long as it pings, for which nothing comes in but answers.
fn a_place_is_kept(play: &dyn Play) {
    let (mut stage, _) = play.native(0);
    let at = stage.broadcaster;
    let mut lobby = lobby(&mut stage, at);
    let pool = lobby.pool(&mut stage);
    assert!(pool.is_host());
    lobby.pass(&mut stage, TIMEOUT * 2);
    assert_eq!((lobby.broadcaster.pool_count(), lobby.broadcaster.stats().members_timed_out), (1, 0));
    let pings = lobby.broadcaster.stats().pings;
    assert!((15..=40).contains(&pings), "{pings} pings in {:?}, one is due each {INTERVAL:?}", TIMEOUT * 2);
}

/// Who comes and who goes, each once.
fn news_are_told_in_order(play: &dyn Play) {
    let (mut stage, _) = play.native(0);
    let at = stage.broadcaster;
    let mut lobby = lobby(&mut stage, at);
    let pool = lobby.pool(&mut stage);
    for _ in 0..3 {
        lobby.join(&mut stage, pool.id());
        let PoolEvent::Joined(joined) = news(lobby.told(&mut stage)) else { panic!("nobody came") };
        assert!(lobby.guest.release(pool.id()));
        let PoolEvent::Left { member, reason } = news(lobby.told(&mut stage)) else { panic!("nobody went") };
        assert_eq!((member, reason), (joined, Some(LeaveReason::Left)));
    }
}

/// A datagram goes where the machine says, and what comes is said to come from where it does.
fn other_broadcasters_are_asked(play: &dyn Play) {
    let (mut stage, others) = play.native(1);
    let [second] = others[..] else { panic!("there is another") };
    let mut lobby = lobby(&mut stage, second);
    let pool = lobby.pool(&mut stage);
    assert!(stage.world.receive(stage.broadcaster).is_some(), "the first was asked, too");
    lobby.join(&mut stage, pool.id());
    assert!(matches!(news(lobby.told(&mut stage)), PoolEvent::Joined(_)));
}

/// What a machine says when it is closed is sent before the socket is.
fn who_closes_says_so(play: &dyn Play) {
    let (mut stage, _) = play.native(0);
    let at = stage.broadcaster;
    let mut lobby = lobby(&mut stage, at);
    let pool = lobby.pool(&mut stage);
    lobby.join(&mut stage, pool.id());
    stage.driver().close();
    let reason = stage.until("it has left", |stage| {
        lobby.turn(stage);
        lobby.told.iter().find_map(|event| match event {
            BroadcasterEvent::MemberLeft { reason, .. } => Some(*reason),
            _ => None,
        })
    });
    assert_eq!(reason, LeaveReason::Left);
}
