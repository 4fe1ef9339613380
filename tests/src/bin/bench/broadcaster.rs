//! What requests cost a broadcaster, against bare loops that receive and send as much.

use std::net::SocketAddr;

use bytes::BytesMut;
use poolmesh_proto::PoolId;
use poolmesh_proto::wire::{Request, Response, classic};
use poolmesh_testkit::patience::now;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{RngCore, SeedableRng};

use crate::cli::Options;
use crate::clock;
use crate::contest::{Measure, Round, Subject, progress};
use crate::load::{Deck, FENCE, Load};
use crate::native::Ask;
use crate::side::Side;
use crate::table::{Cores, Row};
use crate::{Fallible, threads};

/// Ours, by runtime, and against which bare loop. One that the kernel doesn't allow is left out.
const OURS: [(&str, &str); 3] = [("std", YARDSTICK), ("smol", YARDSTICK), ("std-uring", "uring")];
/// The bare loop that the others are held against.
const YARDSTICK: &str = "mmsg32";
/// What else a bare loop can do. One that the kernel doesn't allow is left out.
const OTHERS: [&str; 3] = ["mmsg64", "plain", "uring"];

/// Pools in the list of 20.
const LISTED: usize = 20;
/// Members of the pool that is joined, its host included.
const MEMBERS: usize = 8;
/// Pools of a broadcaster that has many.
const MANY: usize = 1_000_000;

/// A server that was started, and who asks it.
#[derive(Debug)]
struct Server {
    name: &'static str,
    side: Side,
    load: Load,
}

/// What is asked of all servers.
#[derive(Clone, Debug)]
struct Job {
    what: String,
    /// By the server in whose pools it is asked.
    decks: Vec<Deck>,
    /// Whether the other bare loops take part.
    all: bool,
    /// Whether it is asked in the native dialect.
    native: bool,
}

/// Measures all that was asked for.
pub(crate) fn run(options: &Options) -> Fallible<Vec<Row>> {
    let cores = clock::cores()?;
    let mut rows = Vec::new();
    for pools in [LISTED, if options.quick { MANY / 100 } else { MANY }] {
        let many = pools > LISTED;
        let names = if many { vec![format!("ping, {pools} pools")] } else { few_names() };
        if !names.iter().any(|name| options.wants(name)) {
            continue;
        }
        clock::pin(&cores)?;
        let mut servers = Vec::new();
        let mut decks = Vec::new();
        for mut server in ours()? {
            progress(&format!("{}: {pools} pools are made", server.name));
            decks.push(if many { many_decks(&mut server, pools)? } else { few_decks(&server)? });
            servers.push(server);
        }
        for (nth, what) in names.into_iter().enumerate().filter(|(_, what)| options.wants(what)) {
            let decks = decks.iter().filter_map(|decks| decks.get(nth).cloned()).collect();
            let job = Job { all: what.starts_with("join of its one"), what, decks, native: false };
            for on in options.cores(cores.len()) {
                rows.extend(job.measure(options, &cores, on, &mut servers)?);
            }
        }
    }
    rows.extend(native(options, &cores)?);
    rows.extend(threads::run(options, &cores)?);
    Ok(rows)
}

/// All of ours that the system can have.
fn ours() -> Fallible<Vec<Server>> {
    let mut servers = Vec::new();
    for (name, _) in OURS {
        match Server::start(name, ["broadcaster", name]) {
            Err(error) if name.ends_with("uring") => eprintln!("bench: without {name}: {error}"),
            started => servers.push(started?),
        }
    }
    Ok(servers)
}

/// The same in the native dialect, where each ping is answered and has a tag.
fn native(options: &Options, cores: &[usize]) -> Fallible<Vec<Row>> {
    let asks = Ask::ALL.map(|ask| (ask, ask.name(options.quick)));
    let mut rows = Vec::new();
    if !asks.iter().any(|(_, name)| options.wants(name)) {
        return Ok(rows);
    }
    clock::pin(cores)?;
    let mut servers = ours()?;
    for (ask, what) in asks.into_iter().filter(|(_, name)| options.wants(name)) {
        for on in options.cores(cores.len()) {
            // Anew each time, for who doesn't ping is gone in a minute.
            let decks = servers.iter().map(|server| ask.deck(&server.load, options.quick));
            let decks = decks.collect::<Fallible<Vec<_>>>()?;
            let job = Job { what: what.clone(), decks, all: false, native: true };
            rows.extend(job.measure(options, cores, on, &mut servers)?);
        }
    }
    Ok(rows)
}

/// What is asked of those with few pools.
fn few_names() -> Vec<String> {
    ["ping", "join of its one member", "join of 8", "list of 20"].map(str::to_owned).to_vec()
}

/// The requests of [`few_names`].
fn few_decks(server: &Server) -> Fallible<Vec<Deck>> {
    let mut pools = Vec::new();
    for _ in 0..LISTED {
        pools.push(joined(&server.load.ask(&encoded(Request::Create))?)?);
    }
    let (Some(alone), Some(full)) = (pools.first(), pools.last()) else { return Err("no pools".into()) };
    let join = encoded(Request::Join(*full));
    let guests = (1..MEMBERS).map(|_| Load::of(server.address()?)).collect::<Fallible<Vec<_>>>()?;
    for guest in guests {
        joined(&guest.ask(&join)?)?;
    }
    let join_alone = encoded(Request::Join(*alone));
    let list = encoded(Request::List);
    let answer = server.load.ask(&join_alone)?;
    let ping = encoded(Request::Ping(*alone));
    Ok(vec![
        Deck::unanswered(ping.clone(), ping.len(), &join_alone, &answer),
        Deck::answered(&join_alone, &answer),
        Deck::answered(&join, &server.load.ask(&join)?),
        Deck::answered(&list, &server.load.ask(&list)?),
    ])
}

/// Pings of as many pools, in random order.
fn many_decks(server: &mut Server, count: usize) -> Fallible<Vec<Deck>> {
    let mut pools = Vec::with_capacity(count);
    server.load.each(&encoded(Request::Create), count, |answer| pools.extend(joined(answer).ok()))?;
    let Some(first) = pools.first().copied().filter(|_| pools.len() == count) else {
        return Err(format!("only {} pools could be made", pools.len()).into());
    };
    let mut random = Xoshiro256PlusPlus::seed_from_u64(1);
    for last in (1..pools.len()).rev() {
        pools.swap(last, (random.next_u64() % (last as u64 + 1)) as usize);
    }
    let len = encoded(Request::Ping(first)).len();
    let pings = pools.into_iter().flat_map(|pool| encoded(Request::Ping(pool))).collect();
    let join = encoded(Request::Join(first));
    let answer = server.load.ask(&join)?;
    Ok(vec![Deck::unanswered(pings, len, &join, &answer)])
}

pub(crate) fn encoded(request: Request) -> Vec<u8> {
    let mut out = BytesMut::new();
    classic::encode_request(&request, &mut out);
    out.to_vec()
}

/// The pool that an answer names.
pub(crate) fn joined(answer: &[u8]) -> Fallible<PoolId> {
    match classic::decode_response(answer) {
        Ok(Response::Joined(info)) => Ok(info.id()),
        other => Err(format!("no pool but {other:?}").into()),
    }
}

impl Server {
    fn start<I: ToString>(name: &'static str, role: impl IntoIterator<Item = I>) -> Fallible<Self> {
        let side = Side::start(role)?;
        let load = Load::of(side.ready().parse()?)?;
        Ok(Self { name, side, load })
    }

    fn address(&self) -> Fallible<SocketAddr> {
        Ok(self.side.ready().parse()?)
    }

    fn play(&mut self, deck: &mut Deck, requests: u64) -> Fallible<Round> {
        let (before, start) = (self.side.used()?, now());
        self.load.run(deck, requests)?;
        let elapsed = start.elapsed();
        let values = vec![self.side.used()?.since(before, Measure::ServerCpu, requests)];
        Ok(Round { elapsed, values })
    }
}

impl Job {
    /// The bare loops that answer in the same lengths as ours.
    fn yardsticks(&self) -> Fallible<Vec<Server>> {
        let answer = self.decks.first().map_or(0, Deck::answer_len).to_string();
        // Neither create nor ping is answered; a list or a join is, whichever it is.
        let kind = self.decks.first().map_or(0, Deck::answer_kind).to_string();
        let start = |io| match self.native {
            true => Server::start(io, ["datagrams", io, &answer, "--native", &kind]),
            false => Server::start(io, ["datagrams", io, "0", "0", &answer, &answer]),
        };
        let mut yardsticks = vec![start(YARDSTICK)?];
        for io in OTHERS {
            if self.all || OURS.iter().any(|(_, against)| *against == io) {
                match start(io) {
                    Ok(server) => yardsticks.push(server),
                    Err(error) => eprintln!("bench: without {io}: {error}"),
                }
            }
        }
        Ok(yardsticks)
    }

    fn measure(
        &self,
        options: &Options,
        cores: &[usize],
        on: Cores,
        ours: &mut [Server],
    ) -> Fallible<Vec<Row>> {
        let mut yardsticks = self.yardsticks()?;
        let (first, last) = on.choose(cores)?;
        clock::pin(&[last])?;
        let mut subjects = Vec::new();
        let mut names = Vec::new();
        // A bare loop doesn't look at the ids.
        let any = self.decks.iter().take(1).cycle();
        let players = yardsticks.iter_mut().zip(any).chain(ours.iter_mut().zip(&self.decks));
        for (server, deck) in players {
            let mut deck = deck.clone();
            server.side.pin(&[first])?;
            names.push(server.name);
            subjects.push(Subject::new(server.name, move |requests| server.play(&mut deck, requests)));
        }
        let outcome = options.plan().hold(&self.what, on, FENCE as u64, subjects)?;
        let loops = OTHERS.into_iter().filter(|io| names.contains(io)).map(|io| (io, YARDSTICK));
        let row = |(name, against)| outcome.row(Measure::ServerCpu, name, against);
        Ok(OURS.into_iter().chain(loops).filter_map(row).collect())
    }
}
