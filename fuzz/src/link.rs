//! What a link lives through: sends, bytes in any cuts, ends of all kinds, with a link at the other end and memory that
//! both share.

mod model;
mod pair;

use core::time::Duration;

use bytes::Bytes;
use poolmesh_proto::{CloseReason, Fault, Instant, LinkConfig, LinkEvent, SendError, Write};

use crate::clock::Clock;
use crate::input::Input;
use crate::memory::Live;
use crate::twins::Twins;
use model::{End, NAME, PAYLOADS};
use pair::{Pair, Side};

/// Operations of one input, at most.
const MOST_STEPS: usize = 96;

/// What a link takes apart from what it holds, in bytes: queues, a block for small chunks.
const OWN: usize = 2_048 + 4_096;

/// How soon a link looks again for shared memory.
const BUDGET_RETRY: Duration = Duration::from_millis(20);

/// Does what the bytes say, sometimes to two pairs of links. What comes out is a beginning of what went in, in order,
/// each event once, until the end, which has its reason and comes in time; what is written is whole frames; counts and
/// memory stay within what is stated; deadlines lie ahead after a drain; the same inputs give the same outputs.
///
/// # Panics
/// If not.
pub fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let mut world = World::new(&mut input);
    for _ in 0..MOST_STEPS {
        if input.is_empty() {
            break;
        }
        world.step(&mut input);
        world.check_budget();
    }
    world.finish();
}

/// Two links and the connection between them.
struct World {
    links: Twins<Pair>,
    config: LinkConfig,
    near: End,
    far: End,
    clock: Clock,
    live: Live,
}

impl World {
    fn new(input: &mut Input<'_>) -> Self {
        let mut config = config(input);
        let bits = input.u8();
        config.frame_timeout = match bits >> 4 & 3 {
            0 => None,
            time => Some(Duration::from_millis(4 << (2 * time))),
        };
        let shared = if bits & 0x0f == 0 { usize::MAX } else { usize::from(bits & 0x0f) * 64 };
        let (near, far) = (End::new(MOST_STEPS), End::new(MOST_STEPS));
        let live = Live::start();
        let links = Twins::new(|| Pair::new(&config, shared), bits >= 0xf0);
        Self { links, config, near, far, clock: Clock::default(), live }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        let choice = input.u8();
        let side = if choice & 0x80 == 0 { Side::Near } else { Side::Far };
        match choice % 24 {
            0..=2 => self.send(side, usize::from(input.u8())),
            3 => self.send(side, 15_000 + usize::from(input.u8()) * 32),
            4..=6 => drop(self.write(side)),
            7..=9 => self.deliver(side, usize::from(input.u8()) + 1),
            10 => self.deliver(side, usize::MAX),
            11 | 12 => drop(self.poll_event(side)),
            13 => self.clock.millis(input),
            14 => self.clock.micros(input),
            15 => self.timeout(side),
            16 | 17 => self.settle(side),
            18 => {
                let deadline = self.links.get(side).interest().deadline;
                self.clock.go_to(deadline.unwrap_or_default().max(self.clock.shown()));
            }
            19 => self.eof(side, input.u8()),
            20 => self.close(side),
            21 => self.rare(side, input),
            _ => drop(self.drain(side)),
        }
    }

    /// What spoils or ends most of what there is, and so comes seldom.
    fn rare(&mut self, side: Side, input: &mut Input<'_>) {
        let choice = input.u8();
        match choice % 16 {
            0 => {
                let now = self.now(side);
                let open = self.links.get(side).is_open();
                self.end(side).failed = true;
                self.end(side).ending |= open;
                self.links.act(|pair| pair.link(side).handle_failure(now, Fault::Reset));
            }
            1..=3 => {
                let garbage = Bytes::copy_from_slice(input.bytes(usize::from(choice / 16)));
                self.garbage(side, &garbage);
            }
            // A long frame is announced, as long as may be, and a little of it comes.
            4 => {
                let max = u32::try_from(self.config.max_frame).unwrap_or(u32::MAX);
                self.garbage(side, &Bytes::copy_from_slice(&max.to_le_bytes()));
                self.garbage(side, &Bytes::from_static(b"x"));
            }
            5 => self.clock.jump(input),
            _ => self.settle(side),
        }
    }

    fn end(&mut self, side: Side) -> &mut End {
        match side {
            Side::Near => &mut self.near,
            Side::Far => &mut self.far,
        }
    }

    /// What time it is, for an input of that link.
    fn now(&mut self, side: Side) -> Instant {
        let now = self.clock.now();
        self.end(side).now(now);
        now
    }

    fn timeout(&mut self, side: Side) {
        let now = self.now(side);
        self.links.act(|pair| pair.link(side).handle_timeout(now));
        let idle = self.config.idle_timeout;
        self.end(side).told(idle);
    }

    /// Sends an event that names its place among all that were sent.
    fn send(&mut self, side: Side, len: usize) {
        let link = self.links.get(side);
        let (open, queued, used) = (link.is_open(), link.queued(), self.links.budget.used());
        let frame = NAME + len;
        let fits = (queued == 0 || queued + frame <= self.config.max_queued)
            && used.checked_add(frame).is_some_and(|used| used <= self.links.budget.limit());
        let max = self.config.max_frame.min(self.links.budget.limit() - 4);
        let name = self.end(side).next_name();
        let payload = PAYLOADS.get(..len).unwrap_or_default();
        match self.links.act(|pair| pair.link(side).send([name], payload)) {
            Ok(()) => {
                assert!(open && fits && frame - 4 <= max);
                self.end(side).sent(len);
            }
            Err(SendError::Full) => {
                assert!(open && !fits);
                self.end(side).refused = true;
            }
            Err(SendError::TooLong { len, max: most }) => {
                assert!(open && most == max && len == frame - 4 && len > max);
            }
            Err(error) => assert!(error == SendError::Closed && !open),
        }
    }

    /// Writes one chunk, if the connection takes it. The first part of what the link says is to be done.
    fn write(&mut self, side: Side) -> bool {
        if !self.end(side).has_room() {
            return false;
        }
        let write = self.links.act(|pair| pair.link(side).poll_transmit());
        let (pack, ended) = (self.config.pack, self.links.get(side).is_ended());
        let end = self.end(side);
        match write {
            None => {
                end.in_flight = if end.ending || ended { end.in_flight } else { 0 };
                false
            }
            Some(Write::Finish) => {
                end.finish();
                true
            }
            Some(Write::Bytes(chunk)) => {
                end.write(&chunk, pack);
                true
            }
        }
    }

    /// The connection brings up to `most` bytes of what the other link has written.
    fn deliver(&mut self, side: Side, most: usize) {
        let chunk = self.end(side.other()).carry(most);
        self.hand_in(side, chunk);
    }

    /// Bytes that nobody has sent. What comes after them means nothing.
    fn garbage(&mut self, side: Side, bytes: &Bytes) {
        if !bytes.is_empty() {
            self.end(side).spoiled = true;
            self.hand_in(side, bytes.clone());
        }
    }

    fn hand_in(&mut self, side: Side, chunk: Bytes) {
        if chunk.is_empty() || self.end(side).eof {
            return;
        }
        let now = self.now(side);
        let open = self.links.get(side).is_open();
        let len = chunk.len();
        self.links.act(|pair| pair.link(side).handle_bytes(now, chunk.clone()));
        // Before its time is looked at: a byte that came is a sign of life.
        assert!(!open || self.links.get(side).is_open(), "bytes end no link");
        let (max_received, link) = (self.config.max_received.max(1), self.links.get(side));
        let (open, reads) = (link.is_open(), link.interest().read);
        let end = self.end(side);
        end.received(len, open);
        let expected = end.waiting.map(|waiting| waiting < max_received);
        assert!(!open || expected.is_none_or(|expected| reads == expected), "to read or not to read");
    }

    /// The other side has closed: after all it has written, or within.
    fn eof(&mut self, side: Side, choice: u8) {
        let other = self.end(side.other());
        if choice < 0xc0 && !(other.finished && other.is_carried()) {
            return;
        }
        let now = self.now(side);
        let open = self.links.get(side).is_open();
        self.end(side).eof = true;
        self.end(side).ending |= open;
        self.links.act(|pair| pair.link(side).handle_eof(now));
    }

    fn close(&mut self, side: Side) {
        let now = self.now(side);
        let open = self.links.get(side).is_open();
        self.links.act(|pair| pair.link(side).close(now));
        let open = open && !self.links.get(side).is_ended();
        self.end(side).close(open);
    }

    fn poll_event(&mut self, side: Side) -> bool {
        self.end(side).holding = false;
        let Some(event) = self.links.act(|pair| pair.link(side).poll_event()) else {
            self.end(side).nothing();
            return false;
        };
        let (idle, slow) = (self.config.idle_timeout, self.config.frame_timeout);
        let (end, other) = match side {
            Side::Near => (&mut self.near, &self.far),
            Side::Far => (&mut self.far, &self.near),
        };
        assert_eq!(end.ended, None, "nothing follows the end");
        end.waiting = None;
        match event {
            LinkEvent::Received(message) => {
                end.take(&message, other);
                end.holding = true;
            }
            LinkEvent::Writable => {
                assert!(end.refused, "only after a refusal");
                end.refused = false;
            }
            LinkEvent::Closed(reason) => {
                end.end(reason, other, idle, slow);
                assert!(
                    !matches!(reason, CloseReason::FrameTooLong { len } if len as usize <= self.config.max_frame)
                );
            }
            other => panic!("{other:?} is not known here"),
        }
        true
    }

    /// Writes and polls until nothing is left. False if the connection takes no more.
    fn drain(&mut self, side: Side) -> bool {
        self.check_memory();
        // To ask for a write and to get none may make room, which is an event.
        while self.write(side) | self.poll_event(side) {}
        self.end(side).has_room()
    }

    /// Says what time it is, and drains: then the link is at rest.
    fn settle(&mut self, side: Side) {
        self.timeout(side);
        if !self.drain(side) {
            return;
        }
        let interest = self.links.get(side).interest();
        let link = self.links.get(side);
        let slow = self.config.frame_timeout;
        let (queued, ended, open) = (link.queued(), link.is_ended(), link.is_open());
        let end = self.end(side);
        let latest = end.latest;
        assert!(interest.deadline.is_none_or(|at| at > latest), "{interest:?} is not after {latest:?}");
        assert!(!interest.write, "nothing is left to write");
        assert_eq!(ended, end.ended.is_some(), "an end is told");
        if ended {
            assert!(!interest.read && interest.deadline.is_none() && queued == 0);
        } else {
            assert!(end.is_written(), "all is written");
            if open {
                end.at_rest(slow);
            }
            assert!(!end.closing || !end.eof, "nothing is left to wait for");
            let again = latest + BUDGET_RETRY;
            let looks = again == Instant::NEVER || interest.deadline.is_some_and(|at| at <= again);
            assert!(!end.refused || !open || looks, "nobody tells it of shared memory");
            assert_eq!(queued, 0);
        }
        assert!(!self.poll_event(side) && !self.write(side), "a second drain yields nothing");
        assert_eq!(interest, self.links.get(side).interest());
    }

    /// Both queue what was accepted and not written, and together no more than they may.
    fn check_budget(&self) {
        let budget = &self.links.budget;
        let mut sum = 0;
        for (side, end) in [(Side::Near, &self.near), (Side::Far, &self.far)] {
            let link = self.links.get(side);
            sum += link.queued();
            assert!(link.is_ended() || link.queued() == end.queued());
            let longest = end.longest().max(self.config.max_queued);
            assert!(link.queued() <= longest, "{} bytes queued", link.queued());
        }
        assert!(budget.used() == sum && sum <= budget.limit());
    }

    /// What [`LinkConfig`] states of what is queued, and twice what was received and not taken, with the chunk it
    /// came in.
    fn check_memory(&self) {
        let mut most = 0;
        for (side, end) in [(Side::Near, &self.near), (Side::Far, &self.far)] {
            let queued = self.links.get(side).queued();
            most += queued + queued / 8 + 2 * self.config.pack.max(4_096) + 100 * end.frames();
            most += 2 * end.held() + end.longest_chunk + OWN;
        }
        self.live.check(self.links.count() * most);
    }

    /// A link that is closed ends in time, whoever reads.
    fn finish(&mut self) {
        for side in [Side::Near, Side::Far] {
            self.settle(side);
            self.close(side);
            let over = self.end(side).latest + self.config.close_timeout;
            if over != Instant::NEVER {
                self.clock.go_to(over);
                self.settle(side);
                assert!(self.end(side).ended.is_some() || !self.end(side).has_room());
            }
        }
        self.check_budget();
        self.check_memory();
    }
}

/// Small limits and short times, so that a few operations reach them.
fn config(input: &mut Input<'_>) -> LinkConfig {
    let mut config = LinkConfig::default();
    config.max_frame = match input.u8() {
        0..64 => 200,
        64..128 => 20_000,
        _ => 16 * 1_024 * 1_024,
    };
    config.max_queued = usize::from(input.u8()) * 8;
    config.max_received = usize::from(input.u8());
    config.pack = match input.u8() {
        255 => 64 * 1_024,
        pack => usize::from(pack) * 4,
    };
    config.idle_timeout = match input.u8() {
        0..128 => None,
        time => Some(Duration::from_millis(u64::from(time - 127) * 4)),
    };
    config.close_timeout = match input.u8() {
        255 => Duration::MAX,
        time => Duration::from_millis(time.into()),
    };
    config
}
