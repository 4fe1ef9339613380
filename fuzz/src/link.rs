//! What a link lives through: sends, bytes in any cuts, ends of all kinds, with a link at the other end and memory that
//! both share.

mod model;
mod pair;

use core::time::Duration;

use bytes::Bytes;
use poolmesh_proto::wire::FrameReader;
use poolmesh_proto::{CloseReason, Encoded, Fault, Instant, LinkConfig, SendError, Turn, Write};

use crate::clock::Clock;
use crate::input::Input;
use crate::memory::Live;
use crate::twins::Twins;
use model::{End, NAME, PAYLOADS};
use pair::{Pair, Side, Told};

/// Operations of one input, at most.
const MOST_STEPS: usize = 96;

/// What a link takes apart from what it holds, in bytes: queues, a block for small chunks.
const OWN: usize = 2_048 + 4_096;

/// What a driver reads into, in bytes, and what is not taken of an earlier block.
const BLOCKS: usize = 2 * FrameReader::SLACK;

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

/// What there is to say to an event that is sent.
struct Expected {
    open: bool,
    /// Whether there is room.
    fits: bool,
    /// The longest body, and that of the event, in bytes.
    max: usize,
    body: usize,
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
        let together = [bits & 0x40 != 0, bits & 0x80 != 0];
        let [near, far] = together.map(|together| End::new(MOST_STEPS, together));
        let twice = bits & 0x30 == 0x30 && near.together == far.together;
        let live = Live::start();
        let links = Twins::new(|| Pair::new(&config, shared), twice);
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
            11 | 12 => drop(self.poll_told(side)),
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
            22 => drop(self.drain(side)),
            _ => self.send_encoded(side, usize::from(input.u8()), usize::from(input.u8())),
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
        let (expected, name) = (self.expect(side, len), self.end(side).next_name());
        let payload = PAYLOADS.get(..len).unwrap_or_default();
        let result = self.links.act(|pair| pair.link(side).send([name], Bytes::from_static(payload)));
        self.sent(side, len, &expected, result);
    }

    /// The same, encoded for many links. If it goes past the queue, the connection takes `taken` bytes of it, all of it
    /// from 128 on, and the rest is kept.
    fn send_encoded(&mut self, side: Side, len: usize, taken: usize) {
        let (expected, name, now) = (self.expect(side, len), self.end(side).next_name(), self.clock.shown());
        let idle = self.links.get(side).queued() == 0;
        let Some(event) = Encoded::new([name], PAYLOADS.get(..len).unwrap_or_default()) else {
            panic!("it is short");
        };
        let result = self.links.act(|pair| pair.link(side).send_encoded(now, &event));
        self.sent(side, len, &expected, result.map(drop));
        let at_once = idle && result.is_ok() && self.end(side).is_urgent(now);
        assert!(result.is_err() || result == Ok(at_once), "past the queue or not");
        if !at_once {
            let turn = self.links.act(|pair| pair.link(side).turn(|| now));
            return assert_eq!(turn, if idle { Turn::Writer } else { Turn::Nobody });
        }
        let pack = self.config.pack;
        let end = self.end(side);
        let taken = if taken < 128 { taken.min(event.len()) } else { event.len() };
        let kept = if end.has_room() { event.len() - taken } else { event.len() };
        assert_eq!(event.rest(event.len() - kept).len(), kept);
        end.write(event.bytes(), pack);
        end.kept = kept;
        if kept == 0 {
            end.in_flight = 0;
            self.links.act(|pair| pair.link(side).handle_written());
        }
    }

    /// What a link has to say to an event with so many bytes of payload.
    fn expect(&self, side: Side, len: usize) -> Expected {
        let link = self.links.get(side);
        let (queued, used) = (link.queued(), self.links.budget.used());
        let frame = NAME + len;
        let fits = (queued == 0 || queued + frame <= self.config.max_queued)
            && used.checked_add(frame).is_some_and(|used| used <= self.links.budget.limit());
        Expected {
            open: link.is_open(),
            fits,
            max: self.config.max_frame.min(self.links.budget.limit() - 4),
            body: frame - 4,
        }
    }

    fn sent(&mut self, side: Side, len: usize, expected: &Expected, result: Result<(), SendError>) {
        let Expected { open, fits, max, body } = *expected;
        match result {
            Ok(()) => {
                assert!(open && fits && body <= max);
                self.end(side).sent(len);
            }
            Err(SendError::Full) => {
                assert!(open && !fits);
                self.end(side).refused = true;
            }
            Err(SendError::TooLong { len, max: most }) => {
                assert!(open && most == max && len == body && len > max);
            }
            Err(error) => assert!(error == SendError::Closed && !open),
        }
    }

    /// Writes once, if the connection takes it. The first part of what the link says is to be done.
    fn write(&mut self, side: Side) -> bool {
        if !self.end(side).has_room() {
            return false;
        }
        if self.end(side).kept > 0 {
            self.end(side).kept = 0;
            return true;
        }
        let together = self.end(side).together;
        let write = self.links.act(|pair| pair.poll_write(side, together));
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

    fn hand_in(&mut self, side: Side, mut chunk: Bytes) {
        if chunk.is_empty() || self.end(side).eof {
            return;
        }
        if !self.end(side).together {
            let now = self.now(side);
            let open = self.links.get(side).is_open();
            self.links.act(|pair| pair.link(side).handle_bytes(now, chunk.clone()));
            // Before its time is looked at: a byte that came is a sign of life.
            assert!(!open || self.links.get(side).is_open(), "bytes end no link");
            return self.received(side, chunk.len(), open);
        }
        while !chunk.is_empty() {
            let room = self.links.act(|pair| pair.make_room(side));
            assert!(room > 0, "no room to read");
            let piece = chunk.split_to(room.min(chunk.len()));
            let now = self.now(side);
            let open = self.links.get(side).is_open();
            self.links.act(|pair| pair.read(side, now, &piece));
            self.received(side, piece.len(), open);
        }
    }

    /// So many bytes were handed to a link that was open before or not.
    fn received(&mut self, side: Side, len: usize, was_open: bool) {
        let (max_received, link) = (self.config.max_received.max(1), self.links.get(side));
        let (open, reads) = (link.is_open(), link.interest().read);
        let (end, other) = self.ends(side);
        end.received(len, was_open);
        let unseen = end.unseen(other);
        // What is read in place may be found too slow at once, if it is no whole frame.
        assert!(open || !was_open || unseen.is_none_or(|unseen| unseen == 0), "frames end no link");
        let expected = unseen.map(|unseen| unseen < max_received);
        assert!(!open || expected.is_none_or(|expected| reads == expected), "to read or not to read");
        if end.together && was_open && unseen == Some(0) {
            end.nothing();
        }
    }

    /// An end, and the other.
    fn ends(&mut self, side: Side) -> (&mut End, &End) {
        match side {
            Side::Near => (&mut self.near, &self.far),
            Side::Far => (&mut self.far, &self.near),
        }
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

    fn poll_told(&mut self, side: Side) -> bool {
        let together = self.end(side).together;
        self.end(side).holding = false;
        let told = self.links.act(|pair| pair.poll_told(side, together));
        let (idle, slow, max_frame) =
            (self.config.idle_timeout, self.config.frame_timeout, self.config.max_frame);
        let (end, other) = self.ends(side);
        let Some(told) = told else {
            end.nothing();
            return false;
        };
        assert_eq!(end.ended, None, "nothing follows the end");
        end.waiting = None;
        match told {
            Told::Received(messages) => {
                messages.iter().for_each(|message| end.take(message, other));
                end.holding = true;
                let left = end.unseen(other).filter(|_| together);
                assert!(left.is_none_or(|left| left == 0), "all that came together is taken together");
            }
            Told::Writable => {
                assert!(end.refused, "only after a refusal");
                end.refused = false;
            }
            Told::Closed(reason) => {
                end.end(reason, other, idle, slow);
                assert!(!matches!(reason, CloseReason::FrameTooLong { len } if len as usize <= max_frame));
            }
        }
        true
    }

    /// Writes and polls until nothing is left. False if the connection takes no more.
    fn drain(&mut self, side: Side) -> bool {
        self.check_memory();
        // To ask for a write and to get none may make room, which is an event.
        while self.write(side) | self.poll_told(side) {}
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
        assert!(!self.poll_told(side) && !self.write(side), "a second drain yields nothing");
        assert_eq!(interest, self.links.get(side).interest());
    }

    /// Both queue what was accepted and not written, and together no more than they may.
    fn check_budget(&self) {
        let budget = &self.links.budget;
        let mut sum = 0;
        for (side, end) in [(Side::Near, &self.near), (Side::Far, &self.far)] {
            let link = self.links.get(side);
            sum += link.queued();
            assert_eq!(link.wants_batch(link.sent_until()), link.queued() == 0 || !link.is_open());
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
            most += if end.together { BLOCKS } else { 0 };
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
