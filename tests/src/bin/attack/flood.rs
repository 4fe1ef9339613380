//! A flood of forged datagrams from addresses that are nobody's, and what the broadcaster sends to them.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::BytesMut;
use poolmesh_testkit::sim::Rng;

use crate::Fallible;
use crate::clock::now;
use crate::crowd::application;
use crate::enclosure::Enclosure;
use crate::forge::{Forger, Kind};
use crate::verdict::Verdict;
use crate::wire::{Injector, Part, Tap};

/// Where nobody is.
pub(crate) const NOBODY: Part = Part(Ipv4Addr::new(198, 18, 128, 0), 17);
/// How often it is looked how many datagrams are due.
const PACE: Duration = Duration::from_micros(500);
/// An answer may come so long after the last datagram.
const AFTERWARDS: Duration = Duration::from_millis(500);
const LOOK: Duration = Duration::from_millis(50);

/// How much, how long, and where to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) to: SocketAddrV4,
    /// Datagrams a second.
    pub(crate) rate: u32,
    pub(crate) time: Duration,
    pub(crate) seed: u64,
}

/// What was sent, and what came of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    pub(crate) sent: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) kinds: BTreeMap<Kind, u64>,
    pub(crate) took: Duration,
    pub(crate) answers: Answers,
}

/// What came to addresses that have proven nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answers {
    pub(crate) count: u64,
    pub(crate) bytes: u64,
    /// By their second byte, which is their type.
    pub(crate) types: BTreeMap<u8, u64>,
    /// To addresses from which nothing came, or a second one.
    pub(crate) unasked: u64,
    /// Longer than what they answer.
    pub(crate) longer: u64,
}

/// A flood that is under way.
#[derive(Debug)]
pub(crate) struct Flood {
    sender: JoinHandle<Fallible<Report>>,
    watch: JoinHandle<Fallible<Answers>>,
    over: Arc<AtomicBool>,
}

impl Flood {
    /// Begins.
    pub(crate) fn start(plan: Plan, enclosure: Enclosure) -> Fallible<Self> {
        let expected = (f64::from(plan.rate) * plan.time.as_secs_f64()) as usize + 1;
        let ledger = Arc::new(Ledger::new(expected));
        let (injector, tap) = (Injector::new(enclosure, plan.to)?, Tap::new(NOBODY)?);
        let over = Arc::new(AtomicBool::new(false));
        let (written, stop) = (Arc::clone(&ledger), Arc::clone(&over));
        let watch = thread::spawn(move || watch(tap, &ledger, &stop));
        let sender = thread::spawn(move || send(plan, injector, &written));
        Ok(Self { sender, watch, over })
    }

    pub(crate) fn is_over(&self) -> bool {
        self.sender.is_finished()
    }

    /// Waits for its end.
    pub(crate) fn finish(self) -> Fallible<Report> {
        let sent = self.sender.join().map_err(|_| "the sender panicked")?;
        thread::park_timeout(AFTERWARDS);
        self.over.store(true, Ordering::Release);
        let answers = self.watch.join().map_err(|_| "the watch panicked")??;
        Ok(Report { answers, ..sent? })
    }
}

fn send(plan: Plan, mut injector: Injector, ledger: &Ledger) -> Fallible<Report> {
    let mut rng = Rng::new(plan.seed);
    let mut forger = Forger::new(application(), rng.fork());
    let (mut report, mut datagram) = (Report::default(), BytesMut::new());
    let began = now();
    loop {
        let passed = now().saturating_duration_since(began);
        let due = (passed.min(plan.time).as_secs_f64() * f64::from(plan.rate)) as u64;
        while report.sent < due {
            let kind = forger.any(&mut datagram);
            // Noted first: the answer may be here before the call returns.
            let from = ledger.note(report.sent, datagram.len());
            injector.send(from, &datagram)?;
            report.sent += 1;
            report.sent_bytes += datagram.len() as u64;
            *report.kinds.entry(kind).or_default() += 1;
        }
        if passed >= plan.time {
            return Ok(Report { took: passed, ..report });
        }
        thread::park_timeout(PACE);
    }
}

fn watch(mut tap: Tap, ledger: &Ledger, stop: &AtomicBool) -> Fallible<Answers> {
    let mut answers = Answers::default();
    while !stop.load(Ordering::Acquire) {
        let Some((to, datagram)) = tap.next(LOOK)? else { continue };
        answers.count += 1;
        answers.bytes += datagram.len() as u64;
        *answers.types.entry(datagram.get(1).copied().unwrap_or(0)).or_default() += 1;
        match ledger.take(to) {
            None => answers.unasked += 1,
            Some(len) => answers.longer += u64::from(len < datagram.len()),
        }
    }
    Ok(answers)
}

/// How long each datagram was, until it is answered. The address it comes from says which one it is.
#[derive(Debug)]
struct Ledger {
    /// By number: the length and 1, or 0.
    open: Vec<AtomicU16>,
}

/// An address of [`NOBODY`] and a port have so many bits.
const BITS: u32 = 15 + 16;
/// Odd, so that no two numbers are scattered to the same place.
const SCATTER: u32 = 0x9e37_79b1;

impl Ledger {
    fn new(len: usize) -> Self {
        Self { open: std::iter::repeat_with(AtomicU16::default).take(len).collect() }
    }

    /// Where the datagram of this number and length comes from.
    fn note(&self, number: u64, len: usize) -> SocketAddrV4 {
        if let Some(open) = usize::try_from(number).ok().and_then(|number| self.open.get(number)) {
            open.store(u16::try_from(len + 1).unwrap_or(u16::MAX), Ordering::Release);
        }
        let place = (number as u32).wrapping_mul(SCATTER) & ((1 << BITS) - 1);
        SocketAddrV4::new(NOBODY.address(place >> 16), place as u16)
    }

    /// How long the datagram was that came from there, if it was one and is not answered yet.
    fn take(&self, from: SocketAddrV4) -> Option<usize> {
        let place = NOBODY.number(*from.ip())? << 16 | u32::from(from.port());
        let number = place.wrapping_mul(inverse(SCATTER)) & ((1 << BITS) - 1);
        let open = self.open.get(number as usize)?;
        usize::from(open.swap(0, Ordering::AcqRel)).checked_sub(1)
    }
}

/// By what to multiply to undo a multiplication by an odd number, by Newton's method.
const fn inverse(odd: u32) -> u32 {
    let (mut inverse, mut right_bits) = (odd, 3);
    while right_bits < u32::BITS {
        inverse = inverse.wrapping_mul(2_u32.wrapping_sub(odd.wrapping_mul(inverse)));
        right_bits *= 2;
    }
    inverse
}

impl Report {
    /// Says what was sent and what was seen, and whether that is as it should be.
    pub(crate) fn tell(&self, plan: &Plan, verdict: &mut Verdict) {
        let Self { sent, sent_bytes, kinds, took, answers } = self;
        let rate = *sent as f64 / took.as_secs_f64();
        println!("flood: {sent} datagrams, {sent_bytes} bytes, {rate:.0} a second; {kinds:?}");
        let Answers { count, bytes, types, unasked, longer } = answers;
        println!("seen: {count} answers, {bytes} bytes; by type: {types:02x?}");
        verdict.check(
            rate >= 0.99 * f64::from(plan.rate),
            format_args!("{rate:.0} datagrams a second were sent"),
        );
        verdict.check(
            *unasked == 0,
            format_args!("{unasked} answers to who sent nothing, or more than one to a datagram"),
        );
        verdict.check(*longer == 0, format_args!("{longer} answers longer than what they answer"));
        ratios("seen", (*count, *bytes), (*sent, *sent_bytes), verdict);
    }
}

/// Whether no more went out than came in, in datagrams and in bytes.
pub(crate) fn ratios(
    name: &str,
    (count, bytes): (u64, u64),
    (sent, sent_bytes): (u64, u64),
    verdict: &mut Verdict,
) {
    let (datagrams, in_bytes) = (count as f64 / sent as f64, bytes as f64 / sent_bytes as f64);
    verdict.check(
        count <= sent && bytes <= sent_bytes,
        format_args!("{name}: out over in {datagrams:.4} in datagrams, {in_bytes:.4} in bytes"),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_an_answer_goes_says_what_it_answers() {
        let ledger = Ledger::new(200_000);
        let from: Vec<_> = (0..200_000).map(|number| ledger.note(number, number as usize % 1_472)).collect();
        assert_eq!(
            from.iter().collect::<std::collections::BTreeSet<_>>().len(),
            200_000,
            "each comes from elsewhere"
        );
        for (number, from) in from.iter().enumerate().step_by(999) {
            assert_eq!(ledger.take(*from), Some(number % 1_472));
            assert_eq!(ledger.take(*from), None, "it is answered");
        }
        assert_eq!(ledger.take("198.18.1.1:1".parse().unwrap()), None, "of somebody else");
        let unsent = Ledger::new(200_001).note(200_000, 1);
        assert_eq!(ledger.take(unsent), None, "not sent");
    }
}
