//! What must hold of a client of the native dialect: its calls, and what it says and tells of pools.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use poolmesh_proto::trace;
use poolmesh_proto::wire::native::{Act, Call, Epoch, FromClient, Member, PoolSpec, PoolUuid, Request, Term};
use poolmesh_proto::{
    CallError, CallId, Client, ClientConfig, ClientEvent, Instant, Membership, Outcome, PoolEvent, PoolId,
    PoolMember, Transmit,
};

use super::book::Book;

/// What an application asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::sim) enum Asked {
    List,
    Create,
    Join(Option<PoolId>),
    Resume(PoolId),
    Order(PoolId, Order),
}

/// What an application wants done in a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::sim) enum Order {
    Leave,
    Close,
    Kick(Member),
    Hand(Member),
    Change(Box<PoolSpec>),
    Lock(bool),
    About(Vec<u8>),
}

impl Order {
    /// As it is written down.
    pub(in crate::sim) fn recorded(&self) -> trace::Order {
        match self {
            Self::Leave => trace::Order::Leave,
            Self::Close => trace::Order::Close,
            Self::Kick(member) => trace::Order::Kick(*member),
            Self::Hand(member) => trace::Order::HandOver(*member),
            Self::Change(spec) => trace::Order::Change(spec.clone()),
            Self::Lock(locked) => trace::Order::Lock(*locked),
            Self::About(about) => trace::Order::SetAbout(Bytes::copy_from_slice(about)),
        }
    }

    fn is(&self, act: &Act<'_>) -> bool {
        match (self, act) {
            (Self::Leave, Act::Leave) | (Self::Close, Act::Close) => true,
            (Self::Kick(member), Act::Kick(said)) | (Self::Hand(member), Act::Hand(said)) => member == said,
            (Self::Change(spec), Act::Change(said)) => spec.as_spec() == *said,
            (Self::Lock(locked), Act::Change(said)) => said.locked() == *locked,
            (Self::About(about), Act::About(said)) => about == said.get(),
            _ => false,
        }
    }
}

#[derive(Debug)]
struct Made {
    deadline: Instant,
    asked: Asked,
    told: u64,
}

/// What an application knows of a pool by what it was told.
#[derive(Debug)]
struct Mirror {
    members: Vec<PoolMember>,
    host: Member,
    /// It was told that it was not told all.
    missed: bool,
    /// The latest that the client knew.
    epoch: Option<Epoch>,
    term: Option<Term>,
    me: Option<Member>,
    /// At which broadcaster.
    at: Option<SocketAddr>,
    /// The call that led into it, if only one did.
    by: Option<CallId>,
}

/// How many orders are remembered.
const REMEMBERED: usize = 64;
/// The most datagrams a second of a member that looks for a broadcaster.
const MOST: usize = 2;
const SECOND: Duration = Duration::from_secs(1);

/// Follows a client from outside.
#[derive(Debug)]
pub(in crate::sim) struct NativeCalls {
    config: ClientConfig,
    broadcasters: BTreeSet<SocketAddr>,
    calls: BTreeMap<CallId, Made>,
    told: u64,
    /// What the application asked for last, whatever came of it.
    orders: VecDeque<(PoolId, Order)>,
    /// Whom it left as since the last drain without having been asked to.
    left: Vec<(PoolId, SocketAddr, Member)>,
    pools: BTreeMap<PoolId, Mirror>,
    /// When each pool's member said something to a broadcaster to come back or to stay, at the earliest and the latest,
    /// and whether it was to come back.
    said: BTreeMap<PoolUuid, VecDeque<(Instant, Instant, bool)>>,
}

impl NativeCalls {
    pub(in crate::sim) fn new(config: &ClientConfig, broadcaster: SocketAddr) -> Self {
        Self {
            config: config.clone(),
            broadcasters: config.broadcasters.iter().copied().chain([broadcaster]).collect(),
            calls: BTreeMap::new(),
            told: 0,
            orders: VecDeque::new(),
            left: Vec::new(),
            pools: BTreeMap::new(),
            said: BTreeMap::new(),
        }
    }

    pub(in crate::sim) fn tell(&mut self) {
        self.told += 1;
    }

    pub(in crate::sim) fn is_due_next(&self, now: Instant) -> bool {
        self.calls.values().any(|call| call.told == self.told && call.deadline.is_due(now))
    }

    pub(in crate::sim) fn called(
        &mut self,
        call: Result<CallId, CallError>,
        asked: Asked,
        now: Instant,
    ) -> Result<CallId, CallError> {
        let id = call?;
        if let Asked::Order(pool, order) = &asked {
            self.order(*pool, order.clone());
        }
        if let Asked::Resume(pool) = &asked {
            // It begins anew.
            self.said.retain(|of, _| PoolId::from(*of) != *pool);
        }
        let times = if matches!(asked, Asked::Resume(_)) { 2 } else { 1 };
        let deadline = now + self.config.call_timeout.saturating_mul(times);
        self.calls.insert(id, Made { deadline, asked, told: self.told });
        Ok(id)
    }

    fn order(&mut self, pool: PoolId, order: Order) {
        if self.orders.len() >= REMEMBERED {
            self.orders.pop_front();
        }
        self.orders.push_back((pool, order));
    }

    pub(in crate::sim) fn cancelled(&mut self, call: CallId) {
        self.calls.remove(&call);
        let led = self.pools.iter().find(|(_, mirror)| mirror.by == Some(call)).map(|(pool, _)| *pool);
        if let Some(pool) = led {
            self.released(pool);
        }
    }

    pub(in crate::sim) fn released(&mut self, pool: PoolId) {
        self.order(pool, Order::Leave);
        self.pools.remove(&pool);
        // Who joins it again is somebody new.
        self.said.retain(|of, _| PoolId::from(*of) != pool);
    }

    pub(in crate::sim) fn closed(&mut self) {
        let pools: Vec<PoolId> = self.pools.keys().copied().collect();
        pools.into_iter().for_each(|pool| self.released(pool));
    }

    pub(in crate::sim) fn len(&self) -> usize {
        self.calls.len()
    }

    /// Looks at what the client sends. It was made between `first` and `latest`.
    pub(in crate::sim) fn transmit(
        &mut self,
        transmit: &Transmit,
        (first, latest): (Instant, Instant),
        book: &Book,
    ) -> Result<(), String> {
        let to = transmit.destination;
        if !self.broadcasters.contains(&to) {
            return Err(format!("A5: {to} is asked, which is no broadcaster of its"));
        }
        match FromClient::read(&transmit.payload) {
            Ok(FromClient::Request(request)) => self.requests(&request, first, latest),
            Ok(FromClient::Message(message)) => {
                let given = book.given(to, message.handle(), |key| message.verify(key).is_ok());
                let Some(given) = given else {
                    return Err(format!(
                        "A5: {to} is told something as {:?}, which nobody is",
                        message.handle()
                    ));
                };
                let message = message.verify(&given.key).map_err(|fault| fault.to_string())?;
                match message.act {
                    Act::Ping(epoch) => {
                        // A program that starts again takes an offer at once.
                        let takes = message.count == 1 && !self.pools.contains_key(&given.pool.into());
                        self.says(given.pool, (false, epoch.is_none() && !takes), first, latest)
                    }
                    Act::Ask(_) | Act::Move(_) => Ok(()),
                    act @ (Act::Leave
                    | Act::About(_)
                    | Act::Change(_)
                    | Act::Kick(_)
                    | Act::Hand(_)
                    | Act::Close) => {
                        let pool = PoolId::from(given.pool);
                        let asked = self.orders.iter().any(|(of, order)| *of == pool && order.is(&act));
                        if asked {
                            Ok(())
                        } else if act == Act::Leave {
                            // Where it is no longer, or never was as far as its application knows.
                            self.left.push((pool, to, given.member));
                            Ok(())
                        } else {
                            Err(format!(
                                "M2: {act:?} is said to {pool} as {}, and was not asked for",
                                given.member
                            ))
                        }
                    }
                }
            }
            Err(fault) => Err(format!("A5: {:?} is sent: {fault}", transmit.payload)),
        }
    }

    fn requests(&mut self, request: &Request<'_>, first: Instant, latest: Instant) -> Result<(), String> {
        if let Call::Resume { ticket, .. } = request.call {
            return self.says(ticket.pool, (true, true), first, latest);
        }
        Ok(())
    }

    /// V8: who looks for a broadcaster says little, until it has a page of its session. `back`: whether that is asked for,
    /// and whether there is no page yet.
    fn says(
        &mut self,
        pool: PoolUuid,
        (back, looks): (bool, bool),
        first: Instant,
        latest: Instant,
    ) -> Result<(), String> {
        let said = self.said.entry(pool).or_default();
        said.push_back((first, latest, back));
        while said.len() > MOST + 1 {
            said.pop_front();
        }
        let comes_back = said.iter().any(|(_, _, back)| *back);
        match said.front() {
            Some((earliest, ..)) if said.len() > MOST && comes_back && looks => {
                let most = latest.saturating_duration_since(*earliest);
                if most < SECOND {
                    return Err(format!("V8: {} datagrams for {pool} within {most:?}", said.len()));
                }
                Ok(())
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Looks at what the client tells.
    pub(in crate::sim) fn event(
        &mut self,
        event: &ClientEvent,
        issued: &BTreeSet<PoolId>,
    ) -> Result<(), String> {
        match event {
            ClientEvent::Finished { call, outcome } => self.finished(*call, outcome, issued),
            ClientEvent::PoolEnded { pool, .. } => match self.pools.remove(pool) {
                Some(_) => {
                    self.said.retain(|of, _| PoolId::from(*of) != *pool);
                    Ok(())
                }
                None => Err(format!("V4: the end of {pool} is told twice, or it was never joined")),
            },
            ClientEvent::Pool { pool, event } => match self.pools.get_mut(pool) {
                Some(mirror) => {
                    if matches!(event, PoolEvent::Restored) {
                        // It has a page, and may look elsewhere for those that it misses.
                        let said = self.said.iter_mut().filter(|(of, _)| PoolId::from(**of) == *pool);
                        said.flat_map(|(_, said)| said).for_each(|(_, _, back)| *back = false);
                    }
                    mirror.told(event)
                }
                None => Err(format!("M2: {event:?} is told of {pool}, which was not joined")),
            },
            _ => Ok(()),
        }
    }

    fn finished(&mut self, id: CallId, outcome: &Outcome, issued: &BTreeSet<PoolId>) -> Result<(), String> {
        let Some(call) = self.calls.remove(&id) else {
            return Err(format!("V2: {id:?} ended twice, or was never made: {outcome:?}"));
        };
        if let (Outcome::Refused(_) | Outcome::TimedOut { .. }, Asked::Resume(pool)) = (outcome, &call.asked)
        {
            // It doesn't come back. Who joins it by another call is somebody new.
            let pool = *pool;
            self.said.retain(|of, _| PoolId::from(*of) != pool || self.pools.contains_key(&pool));
        }
        let right = match (outcome, &call.asked) {
            (Outcome::Created(info), Asked::Create) => info.is_host(),
            (Outcome::Joined(info), Asked::Join(pool)) => pool.is_none_or(|pool| pool == info.id()),
            (Outcome::Joined(info), Asked::Resume(pool)) => *pool == info.id(),
            (Outcome::Listed(_), Asked::List) | (Outcome::Done, Asked::Order(..)) => true,
            (Outcome::Refused(_) | Outcome::TimedOut { .. } | Outcome::Closed, _) => true,
            _ => false,
        };
        if !right {
            return Err(format!("V7: {outcome:?} comes of {:?}", call.asked));
        }
        if let Outcome::TimedOut { broadcaster, .. } = outcome {
            if !self.broadcasters.contains(broadcaster) {
                return Err(format!(
                    "A5: {broadcaster} is said to be silent, which is no broadcaster of its"
                ));
            }
        }
        if let Outcome::Listed(page) = outcome {
            if let Some(pool) = page.ids().find(|pool| !issued.contains(pool)) {
                return Err(format!("M4: shown {pool}, which nobody has made"));
            }
        }
        if let Outcome::Created(info) | Outcome::Joined(info) = outcome {
            if !issued.contains(&info.id()) {
                return Err(format!("M4: in {}, which nobody has made", info.id()));
            }
            let ends = |asked: &Asked| matches!(asked, Asked::Order(of, Order::Leave | Order::Close) if *of == info.id());
            if let Some((order, _)) = self.calls.range(..id).find(|(_, call)| ends(&call.asked)) {
                return Err(format!("V7: {id:?} has led into {}, which {order:?} ends", info.id()));
            }
            let Some(host) = info.host_member() else { return Err(format!("V7: {info:?} has no host")) };
            let new = || Mirror {
                members: Vec::new(),
                host,
                missed: false,
                epoch: None,
                term: None,
                me: None,
                at: None,
                by: Some(id),
            };
            let mirror = self.pools.entry(info.id()).or_insert_with(new);
            mirror.by = mirror.by.filter(|by| *by == id);
            mirror.members = info.members().to_vec();
            mirror.host = host;
        }
        Ok(())
    }

    /// Everything was drained.
    pub(in crate::sim) fn drained(
        &mut self,
        now: Instant,
        deadline: Option<Instant>,
        closed: bool,
        client: &Client,
        book: &mut Book,
    ) -> Result<(), String> {
        for (pool, broadcaster, member) in self.left.drain(..) {
            let here = client
                .membership(&pool)
                .is_some_and(|own| (own.broadcaster(), own.me()) == (broadcaster, member));
            if here {
                return Err(format!("M2: it has left {pool} as {member}, which was not asked for"));
            }
        }
        for pool in client.pools() {
            let Some(membership) = client.membership(&pool) else { continue };
            for broadcaster in membership.spec().as_spec().broadcasters() {
                self.broadcasters.insert(broadcaster.get());
            }
            let Some(mirror) = self.pools.get_mut(&pool) else {
                return Err(format!("V4: it is in {pool}, and was not told so"));
            };
            mirror.agrees(membership, book)?;
        }
        if let Some(pool) = self.pools.keys().find(|pool| client.membership(pool).is_none()) {
            return Err(format!("V4: it is no longer in {pool}, and was not told so"));
        }
        let Some((id, call)) = self.calls.iter().min_by_key(|(_, call)| call.deadline) else {
            return Ok(());
        };
        if self.calls.values().any(|call| call.told < self.told && call.deadline.is_due(now)) {
            return Err(format!("V2: {id:?} goes on after its deadline at {:?}", call.deadline));
        }
        if deadline.unwrap_or(Instant::NEVER) > call.deadline {
            return Err(format!("D3: the client would sleep past the deadline of {id:?}"));
        }
        if closed {
            return Err(format!("V2: {id:?} goes on after the client was closed"));
        }
        Ok(())
    }
}

impl Mirror {
    fn find(&mut self, number: Member) -> Option<&mut PoolMember> {
        self.members.iter_mut().find(|member| member.number == number)
    }

    fn told(&mut self, event: &PoolEvent) -> Result<(), String> {
        let held = match event {
            PoolEvent::Joined(member) => {
                let new = self.find(member.number).is_none();
                self.members.push(member.clone());
                new
            }
            PoolEvent::Left { member, .. } => {
                let before = self.members.len();
                self.members.retain(|other| other.number != member.number);
                self.members.len() < before
            }
            PoolEvent::About(member) | PoolEvent::Moved(member) => match self.find(member.number) {
                Some(known) => {
                    known.clone_from(member);
                    true
                }
                None => false,
            },
            PoolEvent::Host { member, .. } => {
                self.host = *member;
                true
            }
            PoolEvent::Missed => {
                self.missed = true;
                true
            }
            PoolEvent::Spec | PoolEvent::Unreachable | PoolEvent::Restored | _ => true,
        };
        if held || self.missed {
            Ok(())
        } else {
            Err(format!("P5: {event:?} is told, where there are {:?}", self.members))
        }
    }

    /// V1: what was told comes to what is known; and no era, term or epoch goes back.
    fn agrees(&mut self, membership: &Membership, book: &mut Book) -> Result<(), String> {
        if self.epoch == Some(membership.epoch()) {
            return Ok(());
        }
        self.members.sort_by_key(|member| member.number);
        let same = self.members == membership.members() && self.host == membership.host();
        if self.missed {
            (self.members, self.host, self.missed) =
                (membership.members().to_vec(), membership.host(), false);
        } else if !same {
            return Err(format!(
                "V1: told were {:?}, where there are {:?}",
                self.members,
                membership.members()
            ));
        }
        book.knows(membership)?;
        let (epoch, term, id) = (membership.epoch(), membership.term(), membership.id());
        // Where the pool was in two places, the member has joined it anew in one of them; by chance under the number that it had
        // in the other.
        let may_have_joined = self.at != Some(membership.broadcaster()) && epoch.number() > 1;
        let same = self.me == Some(membership.me()) && !may_have_joined;
        if let (Some(old), Some(old_term), true) = (self.epoch, self.term, same) {
            let generation = |epoch: Epoch| book.generation(id, epoch.era());
            let back = if old.era() == epoch.era() {
                epoch.number() < old.number() || term < old_term
            } else {
                generation(epoch) < generation(old)
            };
            if back {
                return Err(format!(
                    "M5: {epoch:?} of {id} in term {term} follows {old:?} in term {old_term}"
                ));
            }
        }
        (self.epoch, self.term, self.me) = (Some(epoch), Some(term), Some(membership.me()));
        self.at = Some(membership.broadcaster());
        Ok(())
    }
}
