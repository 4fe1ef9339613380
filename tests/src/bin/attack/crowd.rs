//! Many honest clients, each at an address of its own, in one loop.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use poolmesh_proto::wire::native::{Application, Joined};
use poolmesh_testkit::sim::Rng;

use crate::Fallible;
use crate::client::{Client, Event, Roster};
use crate::clock::now;
use crate::enclosure::Enclosure;
use crate::wire::{Injector, Part, Tap};

/// Where honest clients are.
pub(crate) const HOMES: Part = Part(Ipv4Addr::new(198, 18, 0, 0), 18);
/// The longest wait in one go.
const LOOK: Duration = Duration::from_millis(10);
/// In how small pieces of time the traffic is counted.
const SLICE: Duration = Duration::from_millis(100);
const SLICES_A_SECOND: usize = 10;

/// Which client of a crowd.
pub(crate) type Who = usize;

/// What has happened to whom, in order.
pub(crate) type Events = Vec<(Who, Event)>;

/// What somebody on the way has seen: from where, and what.
pub(crate) type Seen = (SocketAddrV4, Vec<u8>);

/// All that somebody has seen.
pub(crate) type Recording = Arc<Mutex<Vec<Seen>>>;

/// Many clients of one broadcaster.
#[derive(Debug)]
pub(crate) struct Crowd {
    clients: Vec<Client>,
    at: BTreeMap<SocketAddrV4, Who>,
    alarms: BinaryHeap<Reverse<(Instant, Who)>>,
    /// The one alarm of each client that counts. Others were set before, and are passed over.
    set: Vec<Option<Instant>>,
    injector: Injector,
    tap: Tap,
    rng: Rng,
    began: Instant,
    /// When it was looked last what is due, and how long it was not.
    looked: Instant,
    pause: Duration,
    /// What was sent, in pieces of time.
    slices: Vec<u64>,
    /// How much has come for the crowd.
    pub(crate) received: u64,
    /// What is sent, if somebody sees it.
    recording: Option<Recording>,
    out: BytesMut,
}

/// The application of all of them.
pub(crate) fn application() -> Application {
    Application::named("attack").unwrap_or_else(|_| unreachable!("it is a name"))
}

impl Crowd {
    /// A crowd of nobody.
    pub(crate) fn new(enclosure: Enclosure, broadcaster: SocketAddrV4, seed: u64) -> Fallible<Self> {
        Ok(Self {
            clients: Vec::new(),
            at: BTreeMap::new(),
            alarms: BinaryHeap::new(),
            set: Vec::new(),
            injector: Injector::new(enclosure, broadcaster)?,
            tap: Tap::new(HOMES)?,
            rng: Rng::new(seed),
            began: now(),
            looked: now(),
            pause: Duration::ZERO,
            slices: Vec::new(),
            received: 0,
            recording: None,
            out: BytesMut::new(),
        })
    }

    /// One more, at an address where nobody is, as long as there are any: then where the first was.
    pub(crate) fn enter(&mut self) -> Who {
        let who = self.clients.len();
        let number = u32::try_from(who).unwrap_or(u32::MAX) % HOMES.last() + 1;
        // Whoever comes to an address of another has another port, as after a time any NAT.
        let port = 1_024 + u16::try_from(self.rng.below(60_000)).unwrap_or(0);
        let address = SocketAddrV4::new(HOMES.address(number), port);
        self.clients.push(Client::new(address, application(), self.rng.fork()));
        self.set.push(None);
        self.at.insert(address, who);
        who
    }

    pub(crate) fn client(&self, who: Who) -> Option<&Client> {
        self.clients.get(who)
    }

    pub(crate) fn clients(&self) -> &[Client] {
        &self.clients
    }

    /// What a client knows of its pool, if it has a place.
    pub(crate) fn roster(&self, who: Who) -> Option<&Roster> {
        self.client(who)?.roster()
    }

    /// How a client came to its place, if it has one.
    pub(crate) fn joined(&self, who: Who) -> Option<&Joined> {
        self.client(who)?.joined()
    }

    /// Has somebody on the way see all that is sent from now on.
    pub(crate) fn record(&mut self) -> Recording {
        Arc::clone(self.recording.get_or_insert_default())
    }

    /// Has a client do something now.
    pub(crate) fn with<T>(&mut self, who: Who, act: impl FnOnce(&mut Client, Instant) -> T) -> Option<T> {
        let client = self.clients.get_mut(who)?;
        let done = act(client, now());
        self.set_alarm(who);
        Some(done)
    }

    /// Says for how long nobody could do anything, at the most: on a machine that is too busy honest clients fall silent.
    pub(crate) fn longest_pause(&self) -> String {
        format!("the longest pause of the clients: {:.1?}", self.pause)
    }

    /// Forgets how much was sent so far, and how long it paused.
    pub(crate) fn forget_peaks(&mut self) {
        (self.began, self.looked, self.pause) = (now(), now(), Duration::ZERO);
        self.slices.clear();
        self.clients.iter_mut().for_each(|client| client.peak = 0);
    }

    /// The most datagrams that were sent within a second: by all, and by one client.
    pub(crate) fn peaks(&self) -> (u64, usize) {
        let all = self.slices.windows(SLICES_A_SECOND).map(|second| second.iter().sum()).max();
        let one = self.clients.iter().map(|client| client.peak).max();
        (all.unwrap_or_else(|| self.slices.iter().sum()), one.unwrap_or(0))
    }

    /// Sends what is due and takes what comes, until something has happened to somebody, or until then.
    pub(crate) fn step(&mut self, until: Instant, events: &mut Events) -> io::Result<()> {
        let mut news = Vec::new();
        loop {
            let time = now();
            self.pause = self.pause.max(time.saturating_duration_since(self.looked));
            self.looked = time;
            while let Some(who) = self.next_alarm(time) {
                while let Some(client) = self.clients.get_mut(who) {
                    let sends = client.send(time, &mut self.out, &mut news);
                    let from = client.address;
                    events.extend(news.drain(..).map(|event| (who, event)));
                    if !sends {
                        break;
                    }
                    self.transmit(from, time)?;
                }
                self.set_alarm(who);
            }
            if !events.is_empty() {
                return Ok(());
            }
            let alarm = self.alarms.peek().map_or(until, |Reverse((at, _))| *at);
            let patience = alarm.min(until).saturating_duration_since(time).min(LOOK);
            self.receive(patience, events)?;
            if until <= time {
                return Ok(());
            }
        }
    }

    /// Takes the next datagram.
    fn receive(&mut self, patience: Duration, events: &mut Events) -> io::Result<()> {
        let Some((to, datagram)) = self.tap.next(patience)? else { return Ok(()) };
        self.received += 1;
        let Some(who) = self.at.get(&to).copied() else { return Ok(()) };
        let Some(client) = self.clients.get_mut(who) else { return Ok(()) };
        let mut news = Vec::new();
        client.handle(datagram, now(), &mut news);
        events.extend(news.into_iter().map(|event| (who, event)));
        self.set_alarm(who);
        Ok(())
    }

    fn set_alarm(&mut self, who: Who) {
        let at = self.clients.get(who).and_then(Client::deadline);
        if let Some(set) = self.set.get_mut(who).filter(|set| **set != at) {
            *set = at;
            self.alarms.extend(at.map(|at| Reverse((at, who))));
        }
    }

    /// Whose alarm is due. It is to be set anew then.
    fn next_alarm(&mut self, time: Instant) -> Option<Who> {
        loop {
            self.alarms.peek().filter(|Reverse((at, _))| *at <= time)?;
            let Reverse((at, who)) = self.alarms.pop()?;
            if self.set.get_mut(who)?.take_if(|set| *set == at).is_some() {
                return Some(who);
            }
        }
    }

    fn transmit(&mut self, from: SocketAddrV4, time: Instant) -> io::Result<()> {
        self.injector.send(from, &self.out)?;
        let slice = time.saturating_duration_since(self.began).as_millis() / SLICE.as_millis();
        let slice = usize::try_from(slice).unwrap_or(usize::MAX);
        if self.slices.len() <= slice {
            self.slices.resize(slice + 1, 0);
        }
        if let Some(count) = self.slices.get_mut(slice) {
            *count += 1;
        }
        if let Some(recording) = &self.recording {
            recording.lock().unwrap_or_else(PoisonError::into_inner).push((from, self.out.to_vec()));
        }
        Ok(())
    }
}
