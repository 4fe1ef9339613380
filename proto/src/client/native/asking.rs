//! A request on its way: to whom, by which cookies, and when again (PROTOCOL.md, section 3.1).

use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use super::shared::Core;
use crate::Instant;
use crate::wire::native::{Answer, Call, Cookie, Fault, Key, Refusal, Request, Tx, UnverifiedAnswer};

/// No wait is longer, unless the first one is.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// How long a broadcaster may be silent.
const SILENCE: Duration = Duration::from_secs(2);
/// After a refusal that asks to wait, the shortest wait.
const SHORTEST_REFUSED: Duration = Duration::from_millis(250);
/// So many cookies are answered at once.
const COOKIES: u8 = 3;
/// So many addresses and cookies are remembered: more than come about without an enemy.
const MOST_TRIED: usize = 8;

#[derive(Debug)]
pub(super) struct Asking {
    tx: Tx,
    broadcaster: SocketAddr,
    /// To whom it was sent with which cookie: late answers have these keys.
    tried: Vec<(SocketAddr, Option<Cookie>)>,
    /// How many cookies came.
    cookies: u8,
    wait: Duration,
    send_at: Instant,
    /// Then the broadcaster has not answered.
    silent_at: Instant,
    sent: u32,
    refused: Option<Refusal>,
}

impl Asking {
    /// A request to this broadcaster, to be sent at once.
    pub(super) fn new(core: &mut Core, broadcaster: SocketAddr) -> Self {
        Self {
            tx: core.random.tx(),
            broadcaster,
            tried: Vec::new(),
            cookies: 0,
            wait: core.config.resend_after,
            send_at: core.now,
            silent_at: core.now + SILENCE,
            sent: 0,
            refused: None,
        }
    }

    pub(super) fn tx(&self) -> Tx {
        self.tx
    }

    pub(super) fn broadcaster(&self) -> SocketAddr {
        self.broadcaster
    }

    /// How often it was sent.
    pub(super) fn sent(&self) -> u32 {
        self.sent
    }

    /// The refusal that the broadcaster asked to wait by, if that was its latest word.
    pub(super) fn refused(&self) -> Option<Refusal> {
        self.refused
    }

    /// When to send it, at the earliest.
    pub(super) fn send_at(&self) -> Instant {
        self.send_at
    }

    /// When it has not been answered for too long.
    pub(super) fn silent_at(&self) -> Instant {
        self.silent_at
    }

    /// Whether it was sent there.
    pub(super) fn asked(&self, broadcaster: SocketAddr) -> bool {
        self.tried.iter().any(|(to, _)| *to == broadcaster)
    }

    /// Turns to another broadcaster, or to the same anew.
    pub(super) fn turn(&mut self, core: &Core, broadcaster: SocketAddr) {
        self.broadcaster = broadcaster;
        self.wait = core.config.resend_after;
        self.send_at = core.now;
        self.silent_at = core.now + SILENCE;
    }

    /// What its answer had led to is void: it is sent again in its own time, and not at once, or a broadcaster would have a client
    /// send as fast as the line goes.
    pub(super) fn go_on(&mut self, core: &mut Core) {
        self.refused = None;
        let wait = if self.sent == 0 { Duration::ZERO } else { core.random.around(self.wait) };
        self.send_at = core.now + wait;
        self.silent_at = self.send_at + SILENCE;
    }

    /// What it has made is over: it is sent as another one, in its own time.
    pub(super) fn begin_anew(&mut self, core: &mut Core) {
        self.tx = core.random.tx();
        self.go_on(core);
    }

    /// Sends it, by the cookie that there is.
    pub(super) fn send(&mut self, core: &mut Core, call: Call<'_>) {
        let cookie = core.cookies.get(self.broadcaster);
        self.send_with(core, cookie, call);
    }

    /// Sends it with a cookie or without one.
    pub(super) fn send_with(&mut self, core: &mut Core, cookie: Option<Cookie>, call: Call<'_>) {
        let way = (self.broadcaster, cookie);
        if !self.tried.contains(&way) {
            if self.tried.len() >= MOST_TRIED {
                self.tried.remove(0);
            }
            self.tried.push(way);
        }
        self.sent = self.sent.saturating_add(1);
        core.stats.resent += u64::from(self.sent > 1);
        let longest = LONGEST_WAIT.max(core.config.resend_after);
        self.send_at = core.now + core.random.around(self.wait);
        self.wait = (self.wait.saturating_add(self.wait / 2)).min(longest);
        let request = Request { tx: self.tx, cookie, call };
        core.send(self.broadcaster, |out| request.write(out));
    }

    /// The answer, if it is one: its key is that of the request, by one of the cookies it was sent there with.
    pub(super) fn verify<'a>(
        &self,
        from: SocketAddr,
        answer: &UnverifiedAnswer<'a>,
    ) -> Result<Answer<'a>, Fault> {
        let mut fault = Fault::WrongTag;
        for (_, cookie) in self.tried.iter().filter(|(to, _)| *to == from) {
            match answer.verify(&Key::of_request(self.tx, *cookie)) {
                Ok(answer) => return Ok(answer),
                Err(Fault::WrongTag) => {}
                Err(other) => fault = other,
            }
        }
        Err(fault)
    }

    /// A broadcaster gave a cookie: it is kept, and the request sent again at once, if that wasn't done too often.
    pub(super) fn take_cookie(&mut self, core: &mut Core, from: SocketAddr, cookie: Cookie) {
        core.cookies.keep(from, cookie);
        if from == self.broadcaster && self.cookies < COOKIES {
            self.cookies += 1;
            self.send_at = core.now;
            self.silent_at = core.now + SILENCE;
        }
    }

    /// The broadcaster asks to wait so many milliseconds. One that says so again while that lasts is not heard.
    pub(super) fn wait_for(&mut self, core: &mut Core, from: SocketAddr, wait: u16, refusal: Refusal) {
        if from != self.broadcaster || self.refused.is_some() && self.send_at > core.now {
            return;
        }
        self.refused = Some(refusal);
        let wait = Duration::from_millis(wait.into()).max(SHORTEST_REFUSED);
        self.send_at = core.now + wait + core.random.up_to(wait);
        self.silent_at = self.send_at + SILENCE;
    }

    /// A refusal that asks to wait is over: what is sent now may be refused so anew.
    pub(super) fn wait_is_over(&mut self) {
        self.refused = None;
    }
}
