//! What one event to many costs, against bare connections written one by one.

use poolmesh_testkit::patience::now;

use crate::Fallible;
use crate::cli::Options;
use crate::contest::{Measure, Round, Subject};
use crate::side::Side;
use crate::svg::Chart;
use crate::table::{Cores, Row};

/// Bare connections.
const YARDSTICK: &str = "raw";
/// Ours, by runtime.
const OURS: [&str; 2] = ["std", "smol"];
/// Links of one mesh.
const LINKS: [u32; 4] = [10, 100, 500, 1_000];
/// As many when it must be quick.
const QUICK: [u32; 2] = [10, 50];
/// Of them that which is measured on two cores, too.
const MAIN: u32 = 500;

/// How it grows with their number.
pub(crate) const CURVES: Chart = Chart {
    title: "A 32-byte event to all links of a mesh",
    across: "links",
    up: "CPU of the sender for each, ns",
};

/// An announcer and its crowd.
struct Hall {
    maker: &'static str,
    links: u64,
    announcer: Side,
    crowd: Side,
}

impl Hall {
    fn open(maker: &'static str, links: u32) -> Fallible<Self> {
        let mut announcer = Side::start(["announcer", maker])?;
        // It accepts them as they come: the system lets only so many wait.
        announcer.tell(&format!("links {links}"))?;
        let (address, acknowledge) =
            announcer.ready().split_once(' ').ok_or("an announcer without a place")?;
        let crowd = Side::start(["crowd", &links.to_string(), address, acknowledge])?;
        announcer.hear()?;
        Ok(Self { maker, links: u64::from(links), announcer, crowd })
    }

    fn subject(&mut self) -> Subject<'_> {
        Subject::new(self.maker, |frames| self.play(frames))
    }

    fn play(&mut self, frames: u64) -> Fallible<Round> {
        let before = self.announcer.used()?;
        let start = now();
        self.announcer.ask(&format!("announce {}", frames / self.links))?;
        let elapsed = start.elapsed();
        let values = vec![self.announcer.used()?.since(before, Measure::SenderCpu, frames)];
        Ok(Round { elapsed, values })
    }
}

/// Measures what was asked for.
pub(crate) fn run(options: &Options, cores: &[usize]) -> Fallible<Vec<Row>> {
    let mut rows = Vec::new();
    let counts = if options.quick { &QUICK[..] } else { &LINKS[..] };
    for links in counts.iter().copied() {
        let what = format!("32 B to each of {links} links");
        if !options.wants(&what) {
            continue;
        }
        let mut halls = Vec::new();
        for maker in [YARDSTICK].into_iter().chain(OURS) {
            halls.push(Hall::open(maker, links)?);
        }
        for on in options.cores(cores.len()).into_iter().filter(|on| links == MAIN || *on == Cores::One) {
            let (first, last) = on.choose(cores)?;
            for hall in &mut halls {
                hall.announcer.pin(&[first])?;
                hall.crowd.pin(&[last])?;
            }
            let subjects = halls.iter_mut().map(Hall::subject).collect();
            let outcome = options.plan().hold(&what, on, u64::from(links), subjects)?;
            let of = |ours| {
                let row = outcome.row(Measure::SenderCpu, ours, YARDSTICK)?;
                Some(Row { size: (on == Cores::One).then_some(links), ..row })
            };
            rows.extend(OURS.into_iter().filter_map(of));
        }
    }
    Ok(rows)
}
