//! What comes from broadcasters, and whom it is for.

use core::net::SocketAddr;

use super::NativeClient;
use super::calls::{Requested, What};
use super::place::Place;
use super::search::Search;
use super::session::Session;
use crate::client::{CallId, Cursor, Outcome, PoolListing, PoolPage};
use crate::wire;
use crate::wire::native::{
    Answer, FromBroadcaster, Handle, Items, Joined, Listing, PoolUuid, Refusal, Reply, UnverifiedAnswer,
};

impl NativeClient {
    /// Takes what came from `from`.
    pub(super) fn take(&mut self, from: SocketAddr, datagram: &[u8]) {
        if !self.hears(from) {
            self.core.stats.foreign += 1;
            return;
        }
        if datagram.len() > self.core.config.max_datagram {
            self.core.stats.spoiled += 1;
            return;
        }
        match FromBroadcaster::read(datagram) {
            Ok(FromBroadcaster::Answer(answer)) => self.take_answer(from, &answer),
            Ok(FromBroadcaster::Notice(notice)) => {
                let is = |_: &Place, session: &Session| notice.verify(&session.joined.key).is_ok();
                match self.of(from, notice.handle(), is) {
                    Some((at, elsewhere)) => {
                        self.with(at, |place, core| place.handle_notice(core, &notice, elsewhere));
                    }
                    None => self.core.stats.unexpected += 1,
                }
            }
            Ok(FromBroadcaster::Challenge(challenge)) => {
                let is = |place: &Place, session: &Session| place.waits_for(session, challenge.count);
                match self.of(from, challenge.handle, is) {
                    Some((at, elsewhere)) => {
                        self.with(at, |place, core| place.handle_challenge(core, &challenge, elsewhere));
                    }
                    None => self.core.stats.unexpected += 1,
                }
            }
            Err(fault) => self.core.spoiled(fault),
        }
    }

    /// Whether something was sent there: from nowhere else anything is taken.
    fn hears(&self, from: SocketAddr) -> bool {
        self.core.broadcasters.contains(&from) || self.places.iter().any(|place| place.hears_from(from))
    }

    /// The place of the session that something is said in, and whether it is the one elsewhere. A broadcaster that has started
    /// again gives handles anew, so one may be that of several sessions, until all are back: then it is the one that fits.
    fn of(
        &self,
        from: SocketAddr,
        handle: Handle,
        fits: impl Fn(&Place, &Session) -> bool,
    ) -> Option<(usize, bool)> {
        let mut all = self.places.iter().enumerate().flat_map(|(at, place)| {
            let here = place.session.iter().map(move |session| (at, place, session, false));
            let elsewhere = place.search.as_ref().and_then(Search::session);
            here.chain(elsewhere.into_iter().map(move |session| (at, place, session, true)))
                .filter(|(_, _, session, _)| session.broadcaster == from && session.joined.handle == handle)
        });
        let (at, place, session, elsewhere) = all.next()?;
        if fits(place, session) {
            return Some((at, elsewhere));
        }
        let other = all.find(|(_, place, session, _)| fits(place, session));
        Some(other.map_or((at, elsewhere), |(at, _, _, elsewhere)| (at, elsewhere)))
    }

    fn with(&mut self, at: usize, handle: impl FnOnce(&mut Place, &mut super::Core)) {
        if let Some(place) = self.places.get_mut(at) {
            handle(place, &mut self.core);
        }
    }

    fn take_answer(&mut self, from: SocketAddr, answer: &UnverifiedAnswer<'_>) {
        let tx = answer.tx();
        if let Some(call) = self.core.call_of(tx) {
            return self.answer_call(call, from, answer);
        }
        let turns = |place: &Place| place.turn.as_ref().is_some_and(|turn| turn.asks_by(tx));
        if let Some(at) = self.places.iter().position(turns) {
            return self.with(at, |place, core| place.handle_turn(core, from, answer));
        }
        let searches = |place: &Place| place.search.as_ref().is_some_and(|search| search.asks_by(tx));
        match self.places.iter().position(searches) {
            Some(at) => self.with(at, |place, core| place.handle_search(core, from, answer)),
            None => self.core.stats.unexpected += 1,
        }
    }

    fn answer_call(&mut self, call: CallId, from: SocketAddr, answer: &UnverifiedAnswer<'_>) {
        let verified = self.core.with_request(call, |_, request| request.asking.verify(from, answer));
        let reply = match verified {
            Some(Ok(Answer { reply, .. })) => reply,
            Some(Err(fault)) => return self.core.spoiled(fault),
            None => return,
        };
        self.core.note_answer(from);
        match reply {
            Reply::Cookie(cookie) => {
                self.core.with_request(call, |core, request| request.asking.take_cookie(core, from, cookie));
                self.core.advance_requests();
            }
            Reply::Refused(refusal) => self.refuse_call(call, from, refusal),
            Reply::Pools { next, listings } => self.list_pools(call, next, listings),
            Reply::Joined(joined) => self.offer(call, from, joined),
        }
    }

    fn refuse_call(&mut self, call: CallId, from: SocketAddr, refusal: Refusal) {
        let refused = Outcome::Refused(wire::Refusal::Native(refusal));
        let joins = |_: &mut super::Core, request: &mut Requested| request.what.joins();
        if refusal == Refusal::NoSuchPool
            && self.core.with_request(call, joins) == Some(true)
            && self.core.ask_elsewhere(call, from)
        {
            return self.core.advance_requests();
        }
        if refusal == Refusal::Stale && self.core.make_another(call) {
            return self.core.advance_requests();
        }
        let Some(wait) = refusal.wait() else { return self.core.finish(call, refused) };
        let again = self.core.with_request(call, |core, request| {
            request.asking.wait_for(core, from, wait, refusal);
            request.asking.send_at()
        });
        let deadline = self.core.calls.iter().find(|other| other.id == call).map(|call| call.deadline);
        if again >= deadline {
            // It would not be asked again.
            self.core.finish(call, refused);
        }
    }

    fn list_pools(&mut self, call: CallId, next: Option<PoolUuid>, listings: Items<'_, Listing<'_>>) {
        let lists = |_: &mut super::Core, request: &mut Requested| matches!(request.what, What::List { .. });
        if self.core.with_request(call, lists) == Some(true) {
            let pools = listings.map(PoolListing::from).collect();
            self.core.finish(call, Outcome::Listed(PoolPage { pools, next: next.map(Cursor) }));
        } else {
            self.core.stats.unexpected += 1;
        }
    }

    /// A call is offered a place in a pool.
    fn offer(&mut self, call: CallId, from: SocketAddr, joined: Joined) {
        let offered = self.core.with_request(call, |core, request| {
            let asked = match &request.what {
                What::List { .. } => false,
                What::Join { pool, .. } => *pool == joined.pool,
                What::Create { .. } | What::JoinByCode { .. } => true,
            };
            let asked = asked && joined.application == core.config.application;
            asked.then(|| {
                request.note_offer(core, from);
                (request.what.about(), request.void)
            })
        });
        let Some(Some((about, void))) = offered else {
            self.core.stats.unexpected += 1;
            return;
        };
        self.core.lead_into(call, joined.pool);
        match self.places.iter_mut().find(|place| place.pool == joined.pool) {
            Some(place) => place.take_later_offer(&mut self.core, from, joined, about),
            None => {
                let mut session = Session::new(&self.core, from, joined);
                void.iter().for_each(|void| session.go_on(void));
                let pace = void.map(|void| void.pace).unwrap_or_default();
                let place = Place::offered(&mut self.core, joined.pool, about, session, pace);
                self.places.push(place);
            }
        }
        self.enter_known(Some(joined.pool));
    }
}

impl Place {
    /// Whether a message of this count is not answered yet of those that a broadcaster may still know.
    fn waits_for(&self, session: &Session, count: u32) -> bool {
        !session.unknown && session.waits_for(count) || self.orders.waits_for(count)
    }

    /// Whether something was sent there.
    fn hears_from(&self, from: SocketAddr) -> bool {
        self.session.as_ref().is_some_and(|session| session.broadcaster == from)
            || self.turn.as_ref().is_some_and(|turn| turn.asks(from))
            || self.search.as_ref().is_some_and(|search| search.asks(from))
    }
}
