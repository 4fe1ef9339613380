//! One node: a program, its clock, and how well it is driven.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;

use poolmesh_proto::{Broadcaster, BroadcasterConfig, Instant};

use super::actor::Actor;
use super::address::Addr;
use super::app::App;
use super::check::ServerCheck;
use super::clock::Clock;
use super::core::What;
use super::machines::Machines;
use super::rng::Rng;
use super::streams::{ConnId, Side};
use super::weather::Lateness;

/// Whether a node's program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It does.
    Running,
    /// It is stopped and can go on: its system still takes what comes, as much as fits.
    Frozen,
    /// It does not: it has crashed, and its system says so to those who ask.
    Crashed,
    /// The whole machine is without power: nobody answers.
    Dark,
}

#[derive(Debug)]
pub(super) struct Node<A> {
    pub(super) own: Addr,
    pub(super) kind: Kind<A>,
    pub(super) state: State,
    pub(super) clock: Clock,
    pub(super) lateness: Lateness,
    /// When it is to be woken, by true time.
    pub(super) wake: u64,
    /// That is before its deadline, by mistake.
    pub(super) early: bool,
    /// It will drain later.
    pub(super) draining: bool,
    /// What came while it was frozen.
    pub(super) held: VecDeque<What>,
    /// Ends of connections from which something has arrived that was not read.
    pub(super) unread: Vec<(ConnId, Side)>,
}

#[derive(Debug)]
pub(super) enum Kind<A> {
    Server(Box<Server>),
    Peer(Box<Peer<A>>),
    Actor(Box<dyn Actor>),
    /// Its program has crashed.
    Nothing,
}

/// What a broadcaster draws its ids with; what was drawn can be looked up.
pub(super) type Draws = Box<dyn FnMut() -> u128>;

pub(super) struct Server {
    pub(super) machine: Broadcaster<Draws>,
    pub(super) drawn: Rc<RefCell<Vec<u128>>>,
    pub(super) check: ServerCheck,
    pub(super) deadline: Option<Instant>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("check", &self.check).finish_non_exhaustive()
    }
}

impl Server {
    pub(super) fn new(config: BroadcasterConfig, own: SocketAddr, mut rng: Rng) -> Self {
        let drawn = Rc::new(RefCell::new(Vec::new()));
        let draws = Rc::clone(&drawn);
        let random: Draws = Box::new(move || {
            let bits = rng.u128();
            draws.borrow_mut().push(bits);
            bits
        });
        let check = ServerCheck::new(config.clone(), own);
        Self { machine: Broadcaster::new(config, random), drawn, check, deadline: None }
    }
}

#[derive(Debug)]
pub(super) struct Peer<A> {
    pub(super) machines: Machines,
    pub(super) app: A,
    /// Of client, mesh and links.
    pub(super) deadlines: [Option<Instant>; 3],
    pub(super) started: bool,
}

impl<A: App> Node<A> {
    pub(super) fn new(own: Addr, kind: Kind<A>) -> Self {
        Self {
            own,
            kind,
            state: State::Running,
            clock: Clock::new(0),
            lateness: Lateness::none(),
            wake: u64::MAX,
            early: false,
            draining: false,
            held: VecDeque::new(),
            unread: Vec::new(),
        }
    }

    pub(super) fn peer(&self) -> Option<&Peer<A>> {
        match &self.kind {
            Kind::Peer(peer) => Some(peer),
            Kind::Server(_) | Kind::Actor(_) | Kind::Nothing => None,
        }
    }

    pub(super) fn peer_mut(&mut self) -> Option<&mut Peer<A>> {
        match &mut self.kind {
            Kind::Peer(peer) => Some(peer),
            Kind::Server(_) | Kind::Actor(_) | Kind::Nothing => None,
        }
    }

    pub(super) fn server(&self) -> Option<&Server> {
        match &self.kind {
            Kind::Server(server) => Some(server),
            Kind::Peer(_) | Kind::Actor(_) | Kind::Nothing => None,
        }
    }

    pub(super) fn runs(&self) -> bool {
        self.state == State::Running
    }

    /// Whether it accepts connections there.
    pub(super) fn listens(&self, port: u16) -> bool {
        match &self.kind {
            Kind::Peer(peer) => peer.machines.listening == Some(port),
            Kind::Actor(actor) => actor.listens(port),
            Kind::Server(_) | Kind::Nothing => false,
        }
    }

    /// The latest time that its machines were told.
    pub(super) fn latest(&self) -> Instant {
        match &self.kind {
            Kind::Server(server) => server.check.latest(),
            Kind::Peer(peer) => peer.machines.check.latest().into_iter().max().unwrap_or_default(),
            Kind::Actor(_) | Kind::Nothing => Instant::ZERO,
        }
    }

    /// The earliest time at which it has something to do, by its own clock.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match &self.kind {
            Kind::Server(server) => server.deadline,
            Kind::Peer(peer) => {
                peer.deadlines.iter().copied().chain([peer.machines.next_timer()]).flatten().min()
            }
            Kind::Actor(actor) => actor.deadline(),
            Kind::Nothing => None,
        }
    }
}
