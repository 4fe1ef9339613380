//! What honest clients do.

use poolmesh_proto::wire::native::{
    About, Act, Address, Application, Call, FromBroadcaster, Member, Name, PoolSpec, PoolUuid, Reply, Seats,
};

use super::player::{Place, Player};
use super::{KEPT, World};
use crate::input::{Input, one_of};

/// One of two programs.
fn application(choice: u8) -> Application {
    Application::new([1 + choice % 2; 16]).expect("it is not 0")
}

/// A few bytes, or as many as there may be.
fn bytes(choice: u8, most: usize) -> Vec<u8> {
    vec![choice; if choice > 250 { most } else { usize::from(choice % 4) }]
}

/// A spec of a few seats.
fn spec(input: &mut Input<'_>) -> PoolSpec {
    let (flags, texts) = (input.u8(), input.u8());
    let seats = Seats::new(u16::try_from(input.one_to(5)).expect("it is small")).expect("it is not 0");
    let spec = PoolSpec::new(seats).hidden(flags & 3 == 3).locked(flags & 0x1c == 0x1c);
    let spec = spec.ending_with_host(flags & 0xe0 == 0xe0);
    let name = one_of(&["", "a", "ab", "b"], texts);
    let other = Address::new(super::address(texts)).expect("it has a port");
    let spec =
        spec.named(name).expect("it is short").with_metadata(&bytes(texts, 512)).expect("it is within");
    spec.with_broadcasters(&vec![other; usize::from(texts % 5)]).expect("they are four at most")
}

impl World {
    pub(super) fn player(&mut self, choice: u8) -> &mut Player {
        let player = usize::from(choice) % self.players.len();
        self.players.get_mut(player).expect("there are some")
    }

    /// A client makes a call.
    pub(super) fn call(&mut self, player: u8, call: Call<'_>) {
        let tx = self.tx();
        let player = self.player(player);
        let (from, datagram) = (player.address, player.ask(tx, call));
        self.receive(from, &datagram);
    }

    pub(super) fn create(&mut self, input: &mut Input<'_>) {
        let (player, application, spec) = (input.u8(), application(input.u8()), spec(input));
        let about = bytes(input.u8(), About::MAX_LEN);
        let about = About::new(&about).expect("it is within");
        self.call(player, Call::Create { application, spec: spec.as_spec(), about });
    }

    pub(super) fn join(&mut self, input: &mut Input<'_>) {
        let (player, choice, how) = (input.u8(), input.u8(), input.u8());
        let Some(at) = usize::from(choice).checked_rem(self.pools.len()) else { return };
        let Some(&(application, pool, code)) = self.pools.get(at) else { return };
        let about = bytes(how, About::MAX_LEN);
        let about = About::new(&about).expect("it is within");
        self.call(
            player,
            match how % 3 {
                0 => Call::JoinByCode { application, code, about },
                _ => Call::Join { application, pool, about },
            },
        );
    }

    pub(super) fn list(&mut self, input: &mut Input<'_>) {
        let (player, choice, free) = (input.u8(), input.u8(), input.u8());
        let after = match choice % 4 {
            0 => PoolUuid::new([input.u8(); 16]),
            _ => PoolUuid::NIL,
        };
        let application = (choice < 224).then(|| application(choice / 4));
        let prefix = Name::new(one_of(&["", "", "a", "b"], free / 64)).expect("it is short");
        self.call(player, Call::List { application, after, free: u16::from(free % 8), prefix });
    }

    /// A client goes through all pools: those of which a member is there for certain are among them.
    pub(super) fn list_all(&mut self, input: &mut Input<'_>) {
        let player = input.u8();
        self.pump(super::Mail::Arrives);
        let mut after = PoolUuid::NIL;
        let mut named = Vec::new();
        for _ in 0..KEPT {
            let (prefix, application) = (Name::default(), Some(application(0)));
            self.call(player, Call::List { application, after, free: 0, prefix });
            let mut mails = Vec::new();
            self.drain(&mut mails);
            let at = self.player(player).address;
            let mut page = None;
            for (_, datagram) in mails.iter().filter(|(to, _)| *to == at) {
                let Ok(FromBroadcaster::Answer(answer)) = FromBroadcaster::read(datagram) else { continue };
                let Some(Reply::Pools { next: more, listings }) = self.player(player).reply(&answer) else {
                    return;
                };
                named.extend(listings.map(|listing| listing.pool));
                page = Some(more);
            }
            match page {
                Some(Some(next)) => after = next,
                Some(None) => return self.check_named(&named),
                // It asks too often.
                None => return,
            }
        }
    }

    fn check_named(&self, named: &[PoolUuid]) {
        let latest = self.clock.latest();
        for joined in self.ledger.living(latest) {
            let shown = joined.application == application(0) && !self.ledger.may_be_hidden(joined.pool);
            let shown = shown && !self.ledger.may_recover(joined.pool);
            assert!(!shown || named.contains(&joined.pool), "{joined:?} is not named");
        }
    }

    pub(super) fn again(&mut self, input: &mut Input<'_>) {
        let (player, choice) = (input.u8(), input.u8());
        let player = self.player(player);
        let from = player.address;
        if let Some(datagram) = player.again(choice) {
            self.receive(from, &datagram);
        }
    }

    /// A member says something.
    fn member(&mut self, input: &mut Input<'_>, say: impl FnOnce(&mut Place) -> Vec<u8>) {
        let choice = input.u8();
        let player = self.player(choice % 8);
        let from = player.address;
        if let Some(datagram) = player.place_mut(choice / 8).map(say) {
            self.receive(from, &datagram);
        }
    }

    pub(super) fn ping(&mut self, input: &mut Input<'_>) {
        self.member(input, Place::ping);
    }

    pub(super) fn ask(&mut self, input: &mut Input<'_>) {
        let from = Member::new(u32::from(input.u8() % 8));
        self.member(input, |place| place.say(Act::Ask(from)));
    }

    pub(super) fn order(&mut self, input: &mut Input<'_>, kind: u8) {
        let choice = input.u8();
        let (about, spec) = (bytes(choice, About::MAX_LEN), spec(input));
        let member = Member::new(u32::from(choice % 8) + 1).expect("it is not 0");
        let act = match kind {
            9 => Act::Leave,
            10 | 11 => Act::About(About::new(&about).expect("it is within")),
            12 => Act::Kick(member),
            13 => Act::Hand(member),
            _ if choice < 64 => Act::Close,
            _ => Act::Change(spec.as_spec()),
        };
        self.member(input, |place| place.say(act));
    }

    /// The count of an order again, and now and then another order under it.
    pub(super) fn order_again(&mut self, input: &mut Input<'_>) {
        let act = if input.u8() < 192 { Act::Leave } else { Act::Close };
        self.member(input, |place| place.say_again(place.orders, act));
    }

    pub(super) fn rebind(&mut self, input: &mut Input<'_>) {
        let (player, to) = (input.u8(), super::address(input.u8() % 16));
        if self.players.iter().all(|player| player.address != to) {
            self.player(player).address = to;
        }
    }

    pub(super) fn keep_ticket(&mut self, input: &mut Input<'_>) {
        let choice = input.u8();
        let ticket = self.player(choice % 8).place(choice / 8).and_then(Place::ticket);
        if self.tickets.len() < KEPT {
            self.tickets.extend(ticket);
        }
    }

    /// Whoever is in a pool keeps what brings it back, to come by it much later.
    pub(super) fn keep_tickets(&mut self) {
        let places = |player: &Player| player.places.iter().rev().find_map(Place::ticket);
        for (ticket, roster) in self.players.iter().filter_map(places) {
            if self.tickets.len() < KEPT && self.tickets.iter().all(|(known, _)| *known != ticket) {
                self.tickets.push((ticket, roster));
            }
        }
    }

    /// All have lost their broadcaster, and what they say arrives.
    pub(super) fn resume_all(&mut self) {
        self.resume_those(|_| true);
    }

    /// Some of those who have lost their broadcaster come back.
    pub(super) fn resume_some(&mut self, input: &mut Input<'_>) {
        let which = input.u8();
        self.resume_those(|player| which & 1 << player != 0);
    }

    /// Some come back by what was kept, of one life of the broadcaster or of several: to this one or to the next.
    pub(super) fn branch(&mut self, input: &mut Input<'_>) {
        let (which, first) = (input.u8(), input.u8());
        if which >= 128 {
            self.start(7);
        }
        for player in (0..super::PLAYERS as u8).filter(|player| which & 1 << player != 0) {
            let Some(at) = usize::from(first.wrapping_add(player)).checked_rem(self.tickets.len()) else {
                return;
            };
            let Some((ticket, roster)) = self.tickets.get(at).cloned() else { return };
            let (spec, about) = (roster.spec.as_spec(), About::default());
            self.call(player, Call::Resume { ticket, spec, about });
            self.pump(super::Mail::Arrives);
        }
    }

    fn resume_those(&mut self, which: impl Fn(u8) -> bool) {
        for player in (0..super::PLAYERS as u8).filter(|player| which(*player)) {
            // What it has of its latest place is of no use until that has a roster.
            let ticket = self.player(player).places.iter().rev().find_map(Place::ticket);
            if let Some((ticket, roster)) = ticket {
                let (spec, about) = (roster.spec.as_spec(), About::default());
                self.call(player, Call::Resume { ticket, spec, about });
                self.pump(super::Mail::Arrives);
            }
        }
    }

    /// A member has lost its broadcaster.
    pub(super) fn resume(&mut self, input: &mut Input<'_>) {
        let choice = input.u8();
        let ticket = self.player(choice % 8).place(choice / 8).and_then(Place::ticket);
        if let Some((ticket, roster)) = ticket {
            let (spec, about) = (roster.spec.as_spec(), About::default());
            self.call(choice % 8, Call::Resume { ticket, spec, about });
        }
    }
}
