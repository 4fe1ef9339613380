//! What somebody does who sees the traffic, or has been a member, and means no good.

use core::net::SocketAddr;

use bytes::BytesMut;
use poolmesh_proto::PoolId;
use poolmesh_proto::wire::native::{
    About, Act, Call, Cookie, FIRST_BYTE, FromBroadcaster, Handle, Key, Message, Refusal, Reply, tag,
};
use poolmesh_proto::wire::{self, classic};

use super::World;
use crate::input::Input;

impl World {
    /// Somebody sends what must change nothing, whatever it is: nobody else is told anything.
    fn attack(&mut self, from: SocketAddr, datagram: &[u8]) {
        self.timeout();
        let before = (self.machine().pool_count(), self.machine().member_count());
        self.receive(from, datagram);
        let mut mails = Vec::new();
        let events = self.drain(&mut mails);
        let after = (self.machine().pool_count(), self.machine().member_count());
        assert_eq!((after, events), (before, 0), "{datagram:?} from {from} does something");
        assert!(mails.iter().all(|(to, _)| *to == from), "{datagram:?} from {from} is heard by {mails:?}");
        assert!(mails.len() <= 1, "{mails:?} for one datagram");
    }

    /// What was sent is sent again: late, from elsewhere, cut.
    pub(super) fn replay(&mut self, input: &mut Input<'_>) {
        let (choice, from, how) = (input.u8(), super::address(input.u8() % 16), input.u8());
        let Some(at) = usize::from(choice).checked_rem(self.log.len()) else { return };
        let Some((own, datagram)) = self.log.get(at).cloned() else { return };
        let from = if how % 2 == 0 { own } else { from };
        let cut =
            if how >= 224 { datagram.len().saturating_sub(usize::from(how % 32)) } else { datagram.len() };
        let is_message = datagram.get(1).is_some_and(|kind| *kind >= 0x10);
        let datagram = datagram.get(..cut).unwrap_or_default();
        if is_message && datagram.first() == Some(&FIRST_BYTE) {
            self.attack(from, datagram);
        } else {
            self.receive(from, datagram);
        }
    }

    /// A message of a member, without its key.
    pub(super) fn forge(&mut self, input: &mut Input<'_>) {
        let (choice, kind, from) = (input.u8(), input.u8(), super::address(input.u8() % 16));
        let others = self.ledger.sessions.len();
        let key = match usize::from(choice)
            .checked_rem(others.max(1))
            .and_then(|at| self.ledger.sessions.get(at))
        {
            Some(session) if choice >= 128 => session.joined.key,
            _ => Key::new([choice; 16]),
        };
        let handle = Handle(u32::from(input.u8()));
        let of =
            |session: &&super::ledger::Session| session.joined.handle == handle && session.joined.key == key;
        if self.ledger.sessions.iter().any(|session| of(&session)) {
            return;
        }
        let count = u32::from(input.u16());
        let act = match kind % 6 {
            0 => Act::Leave,
            1 => Act::Close,
            2 => Act::Ask(None),
            3 => Act::About(About::default()),
            4 => Cookie::new(u64::from(kind) + 1).map_or(Act::Leave, Act::Move),
            _ => Act::Ping(None),
        };
        let mut out = BytesMut::new();
        Message { handle, count, act }.write(&key, &mut out);
        self.attack(from, &out);
    }

    /// Any bytes, of any dialect, now and then with the tag of a request.
    pub(super) fn raw(&mut self, input: &mut Input<'_>) {
        let (from, len) = (super::address(input.u8() % 16), input.u8());
        let mut datagram = input.bytes(usize::from(len % 64)).to_vec();
        if len >= 224 {
            datagram.resize(usize::from(len) * 5, 0);
        }
        if len % 2 == 0 {
            if let Some(first) = datagram.first_mut() {
                *first = FIRST_BYTE;
            }
            let key = match datagram.get(2..18).and_then(|key| key.first_chunk()) {
                Some(key) => Key::new(*key),
                None => Key::ZERO,
            };
            let tag = tag(&key, &datagram);
            datagram.extend(tag);
        }
        self.receive(from, &datagram);
    }

    /// A request of the classic dialect, from one of the clients.
    pub(super) fn classic(&mut self, input: &mut Input<'_>) {
        let (player, kind) = (input.u8(), input.u8());
        let pool = PoolId::new(&[b'a' + kind / 4 % 4]).expect("a letter is an id");
        let known = usize::from(kind / 4).checked_rem(self.pools.len()).and_then(|at| self.pools.get(at));
        let pool = known.map_or(pool, |(_, pool, _)| (*pool).into());
        let request = match kind % 4 {
            0 => wire::Request::Create,
            1 => wire::Request::List,
            2 => wire::Request::Join(pool),
            _ => wire::Request::Ping(pool),
        };
        let mut out = BytesMut::new();
        classic::encode_request(&request, &mut out);
        let from = self.player(player).address;
        self.receive(from, &out);
    }

    /// A ticket that was kept, sometimes changed.
    pub(super) fn resume_old(&mut self, input: &mut Input<'_>) {
        let (player, choice, change) = (input.u8(), input.u8(), input.u8());
        let Some(at) = usize::from(choice).checked_rem(self.tickets.len()) else { return };
        let Some((mut ticket, roster)) = self.tickets.get(at).cloned() else { return };
        let mut spec = roster.spec;
        match change {
            0 => ticket.state.generation ^= 1,
            1 => ticket.session.0 ^= 1,
            2 => ticket.state.purged ^= 1,
            3 => spec = spec.named("other").expect("it is short"),
            4 => ticket.member = ticket.state.next,
            5 => ticket.state.host = ticket.state.next,
            _ => {
                return self
                    .call(player, Call::Resume { ticket, spec: spec.as_spec(), about: About::default() });
            }
        }
        if self.tickets.iter().any(|(known, roster)| *known == ticket && roster.spec == spec) {
            return;
        }
        self.pump(super::Mail::Arrives);
        self.call(player, Call::Resume { ticket, spec: spec.as_spec(), about: About::default() });
        let mut mails = Vec::new();
        self.drain(&mut mails);
        for (_, datagram) in &mails {
            let Ok(FromBroadcaster::Answer(answer)) = FromBroadcaster::read(datagram) else { continue };
            if let Some(reply) = self.player(player).reply(&answer) {
                let refused = matches!(
                    reply,
                    Reply::Cookie(_) | Reply::Refused(Refusal::BadTicket | Refusal::Busy { .. })
                );
                assert!(refused, "{ticket:?} was not said by a broadcaster, and is answered by {reply:?}");
            }
        }
    }
}
