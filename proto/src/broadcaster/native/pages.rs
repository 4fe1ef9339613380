//! What members are answered.

use core::net::SocketAddr;

use super::Native;
use super::desk::Desk;
use crate::wire::native::{
    Address, Challenge, Handle, Key, Member, News, Notice, PageStart, PageWriter, Refusal, pong,
};

/// Who has spoken, as it was then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Speaker {
    pub(super) handle: u32,
    pub(super) count: u32,
    /// Where from, as the driver's socket names it.
    pub(super) from: SocketAddr,
    /// Whether that is the member's address.
    pub(super) at_home: bool,
    pub(super) key: Key,
}

impl Native {
    /// Nobody has said that.
    pub(super) fn unknown(&self, desk: &mut Desk<'_>, from: SocketAddr, handle: Handle, count: u32) {
        desk.stats.unknown += 1;
        desk.answers.write(from, |out| Challenge { handle, count, prove: None }.write(out));
    }

    /// It came from elsewhere: he is to prove that he is there.
    pub(super) fn ask_for_proof(&mut self, desk: &mut Desk<'_>, to: &Speaker) {
        let Some(at) = Address::new(to.from) else { return };
        let prove = Some(self.cookies.make(desk, at));
        desk.stats.proofs_asked += 1;
        let challenge = Challenge { handle: Handle(to.handle), count: to.count, prove };
        desk.answers.write(to.from, |out| challenge.write(out));
    }

    #[inline]
    pub(super) fn pong(&mut self, desk: &mut Desk<'_>, to: &Speaker) {
        if !to.at_home {
            return self.ask_for_proof(desk, to);
        }
        desk.answers.write_short(to.from, &pong(Handle(to.handle), to.count, &to.key));
    }

    pub(super) fn done(&mut self, desk: &mut Desk<'_>, to: &Speaker, outcome: Result<(), Refusal>) {
        self.say(desk, to, News::Done { count: to.count, outcome });
    }

    #[inline]
    fn say(&mut self, desk: &mut Desk<'_>, to: &Speaker, news: News<'_>) {
        if !to.at_home {
            return self.ask_for_proof(desk, to);
        }
        desk.answers.write(to.from, |out| {
            // It has no list that could be too long.
            let _whole = Notice { handle: Handle(to.handle), news }.write(&to.key, out);
        });
    }

    /// Answers pages of the roster from this member on, none: from the first on, so many at most. Each but the first is a message
    /// more of the member's rate, which is what keeps them from being many.
    pub(super) fn pages(&mut self, desk: &mut Desk<'_>, to: &Speaker, from: Option<Member>, most: usize) {
        if !to.at_home {
            return self.ask_for_proof(desk, to);
        }
        let Some(place) = self.places.get(to.handle) else { return };
        let Some(pool) = self.pools.get(place.pool) else { return };
        let state = pool.state(&self.places).and_then(|state| self.sealed(pool, place, state));
        let Some(state) = state else { return };
        let (id, mut spent) = (place.pool, place.spent);
        let lowest = from.map_or(0, Member::get);
        let mut entries = self
            .from(pool.first)
            .skip_while(|(_, place)| place.number < lowest)
            .filter_map(|(_, place)| place.entry())
            .peekable();
        let mut start = from.map_or_else(|| PageStart::First(pool.spec.as_spec()), PageStart::From);
        for page in 0..most {
            if page > 0 && !self.messages.take(&mut spent, desk.now) {
                break;
            }
            let mut next = None;
            desk.answers.write(to.from, |out| {
                let mut writer = PageWriter::new(out, Handle(to.handle), to.count, &start, &state);
                while entries.peek().is_some_and(|entry| writer.push(entry)) {
                    entries.next();
                }
                let more = entries.peek().is_some();
                next = writer.next().filter(|_| more);
                writer.finish(&to.key, more);
            });
            let Some(next) = next else { break };
            start = PageStart::From(next);
        }
        drop(entries);
        if let Some(place) = self.places.get_mut(to.handle) {
            place.spent = spent;
        }
        if let Some(pool) = self.pools.get_mut(id) {
            pool.shown = true;
        }
    }
}
