//! What only the broadcaster knows.

use core::time::Duration;

use super::desk::Desk;
use crate::Instant;
use crate::broadcaster::RandomSource;
use crate::wire::native::{Address, Cookie, Key, Secret};

/// How long a key makes cookies, in microseconds (PROTOCOL.md, section 2).
const PERIOD: u64 = Duration::from_secs(60).as_micros() as u64;

pub(super) fn draw_key(random: &mut dyn RandomSource) -> Key {
    Key::new(random.next_u128().to_le_bytes())
}

pub(super) fn draw_secret(random: &mut dyn RandomSource) -> Secret {
    let mut bytes = [0; 32];
    let (first, second) = bytes.split_at_mut(16);
    first.copy_from_slice(&random.next_u128().to_le_bytes());
    second.copy_from_slice(&random.next_u128().to_le_bytes());
    Secret::new(bytes)
}

/// Makes cookies and knows them again, for 60 to 120 s.
#[derive(Debug)]
pub(super) struct Cookies {
    /// The latest first.
    keys: [Key; 2],
    since: Instant,
}

impl Cookies {
    pub(super) fn new(now: Instant, random: &mut dyn RandomSource) -> Self {
        Self { keys: [draw_key(random), draw_key(random)], since: now }
    }

    fn turn(&mut self, desk: &mut Desk<'_>) {
        let passed = (desk.now.as_micros() - self.since.as_micros().min(desk.now.as_micros())) / PERIOD;
        let [latest, _] = self.keys;
        match passed {
            0 => return,
            1 => self.keys = [draw_key(desk.random), latest],
            _ => self.keys = [draw_key(desk.random), draw_key(desk.random)],
        }
        self.since = self.since + Duration::from_micros(passed * PERIOD);
    }

    /// The cookie of an address, as of now.
    pub(super) fn make(&mut self, desk: &mut Desk<'_>, at: Address) -> Cookie {
        self.turn(desk);
        let [latest, _] = &self.keys;
        Cookie::make(latest, at)
    }

    /// Whether it is a cookie of this address.
    pub(super) fn holds(&mut self, desk: &mut Desk<'_>, cookie: Option<Cookie>, at: Address) -> bool {
        self.turn(desk);
        cookie.is_some_and(|cookie| cookie.holds(&self.keys, at))
    }
}

/// The eras that begin here: numbers in a row from a random one on, so that they can be known again. That an era of
/// another broadcaster is among them is as unlikely as that two are alike.
#[derive(Debug)]
pub(super) struct Eras {
    first: u64,
    count: u64,
}

impl Eras {
    pub(super) fn new(random: &mut dyn RandomSource) -> Self {
        Self { first: random.next_u128() as u64, count: 0 }
    }

    pub(super) fn next(&mut self) -> u64 {
        let era = self.first.wrapping_add(self.count);
        self.count = self.count.wrapping_add(1);
        era
    }

    /// Whether an era began here.
    pub(super) fn began_here(&self, era: u64) -> bool {
        era.wrapping_sub(self.first) < self.count
    }
}
