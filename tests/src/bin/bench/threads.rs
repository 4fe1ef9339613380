//! What a second thread costs and gives a broadcaster, against one.

use std::thread;

use poolmesh_proto::wire::Request;
use poolmesh_testkit::patience::now;

use crate::Fallible;
use crate::broadcaster::{encoded, joined};
use crate::cli::Options;
use crate::clock;
use crate::contest::{Measure, Round, Subject, Value};
use crate::load::{Deck, FENCE, Load};
use crate::side::Side;
use crate::table::{Cores, Row};

/// Those with two threads, and those with one that they are held against.
const COMPARED: [(&str, &str); 2] = [("std 2", "std"), ("smol 2", "smol")];
/// Runtime and threads, by name.
const SERVERS: [(&str, &str, &str); 4] =
    [("std", "std", "1"), ("smol", "smol", "1"), ("std 2", "std", "2"), ("smol 2", "smol", "2")];
/// Clients, each with a pool and a socket of its own: by the sockets the system spreads them over the threads.
const CLIENTS: u64 = 8;
const WHAT: &str = "join, 8 clients, two threads";

/// A server and its clients.
struct Group {
    name: &'static str,
    side: Side,
    clients: Vec<(Load, Deck)>,
}

impl Group {
    fn start((name, runtime, threads): (&'static str, &str, &str)) -> Fallible<Self> {
        let side = Side::start(["broadcaster", runtime, "--threads", threads])?;
        let mut clients = Vec::new();
        for _ in 0..CLIENTS {
            let load = Load::of(side.ready().parse()?)?;
            let join = encoded(Request::Join(joined(&load.ask(&encoded(Request::Create))?)?));
            let deck = Deck::answered(&join, &load.ask(&join)?);
            clients.push((load, deck));
        }
        Ok(Self { name, side, clients })
    }

    fn subject(&mut self) -> Subject<'_> {
        Subject::new(self.name, |requests| self.play(requests))
    }

    fn play(&mut self, requests: u64) -> Fallible<Round> {
        let (before, start) = (self.side.used()?, now());
        thread::scope(|scope| {
            let ask = |(load, deck): &'_ mut (Load, Deck)| load.run(deck, requests / CLIENTS);
            let clients: Vec<_> =
                self.clients.iter_mut().map(|client| scope.spawn(move || ask(client))).collect();
            clients.into_iter().try_for_each(|client| client.join().map_err(|_| "a client panicked")?)
        })?;
        let elapsed = start.elapsed();
        let rate = requests as f64 / elapsed.as_secs_f64() / 1e3;
        let values = vec![
            self.side.used()?.since(before, Measure::ServerCpu, requests),
            Value { measure: Measure::Rate, value: rate, allocations: None },
        ];
        Ok(Round { elapsed, values })
    }
}

/// Measures it, if it was asked for.
pub(crate) fn run(options: &Options, cores: &[usize]) -> Fallible<Vec<Row>> {
    let mut rows = Vec::new();
    if !options.wants(WHAT) {
        return Ok(rows);
    }
    let mut groups = SERVERS.into_iter().map(Group::start).collect::<Fallible<Vec<_>>>()?;
    for on in options.cores(cores.len()) {
        let (first, last) = on.choose(cores)?;
        clock::pin(&[last])?;
        for group in &mut groups {
            // Two threads may have both cores, of which one is the clients', too.
            group.side.pin(&if on == Cores::Two { vec![first, last] } else { vec![first] })?;
        }
        let subjects = groups.iter_mut().map(Group::subject).collect();
        let outcome = options.plan().hold(WHAT, on, CLIENTS * FENCE as u64, subjects)?;
        for measure in [Measure::ServerCpu, Measure::Rate] {
            rows.extend(COMPARED.into_iter().filter_map(|(two, one)| outcome.row(measure, two, one)));
        }
    }
    Ok(rows)
}
