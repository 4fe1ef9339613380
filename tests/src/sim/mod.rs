//! A whole lobby in one thread and in virtual time: put your own program into it, and let everything go wrong.
//!
//! A [`World`] holds broadcasters, peers and others, each with a clock of its own, and the network between them. A peer
//! runs a program of yours, an [`App`]: events in, calls out, over the same machines that your real program embeds.
//! Nothing sleeps and nothing touches a socket: an event takes about a microsecond, and the same seed brings the same
//! hour, bit for bit, in every build and on every machine.
//!
//! ```
//! use std::time::Duration;
//!
//! use poolmesh_proto::{BroadcasterConfig, ClientEvent, LinkEvent, Outcome, Packet, PoolEvent, PoolId};
//! use poolmesh_testkit::sim::{App, AppEvent, Context, PeerConfig, Violation, World};
//!
//! /// Hosts or joins a pool, and says hello once a minute.
//! #[derive(Debug, Default)]
//! struct Greeter {
//!     join: Option<PoolId>,
//!     pool: Option<PoolId>,
//!     heard: u32,
//!     hosts: bool,
//! }
//!
//! impl App for Greeter {
//!     fn handle(&mut self, event: AppEvent, context: &mut Context<'_>) {
//!         match event {
//!             AppEvent::Started => {
//!                 let call = match self.join {
//!                     Some(pool) => context.join(pool),
//!                     None => context.create(),
//!                 };
//!                 call.expect("it is the first call");
//!                 context.wake_after(Duration::from_secs(60), 0);
//!             }
//!             AppEvent::Client(ClientEvent::Finished { outcome, .. }) => {
//!                 if let Outcome::Created(pool) | Outcome::Joined(pool) = outcome {
//!                     self.pool = Some(pool.id());
//!                     context.enter(&pool).expect("the mesh is open");
//!                 }
//!             }
//!             AppEvent::Client(ClientEvent::Pool { event: PoolEvent::Host { you, .. }, .. }) => self.hosts = you,
//!             AppEvent::Woken(_) => {
//!                 context.send_to_all("msg", Packet::new().string("hello"));
//!                 context.wake_after(Duration::from_secs(60), 0);
//!             }
//!             AppEvent::Link(_, LinkEvent::Received(_)) => self.heard += 1,
//!             _ => {}
//!         }
//!     }
//! }
//!
//! let mut world = World::new(7); // the seed
//! world.weather().loss = 100_000; // a datagram of ten is lost
//! let server = world.broadcaster(BroadcasterConfig::default());
//! let ann = world.peer(Greeter::default(), server, PeerConfig::default());
//! world.run_for(Duration::from_secs(10))?;
//!
//! let join = world.app(ann).and_then(|ann| ann.pool);
//! let bob = world.peer(Greeter { join, ..Greeter::default() }, server, PeerConfig::default());
//! world.run_for(Duration::from_secs(3_600))?; // an hour
//! assert!(world.app(bob).is_some_and(|bob| bob.heard >= 59));
//!
//! world.crash(ann, false); // her system says so to bob
//! world.run_for(Duration::from_secs(1))?;
//! assert_eq!(world.honest_links(bob), []);
//! world.run_for(Duration::from_secs(12))?; // and his broadcaster, when it has not heard of her for 10 s
//! assert!(world.app(bob).is_some_and(|bob| bob.hosts));
//! # Ok::<(), Violation>(())
//! ```
//!
//! Both sides speak the native dialect by default; [`BroadcasterConfig::with_classic`](poolmesh_proto::BroadcasterConfig::with_classic)
//! and [`PeerConfig::classic`] make a world of the classic one.
//!
//! # What is yours to say
//!
//! - An invariant of your own, seen from inside: [`Context::fail`]; from outside: [`World::fail`] between two
//!   [`run_for`](World::run_for), or a look after every event by [`World::run_until`]. The first one counts: the next
//!   `run_for` answers it, and every one after. The world stands still from then on, and can be looked at.
//! - What happens: [`World::log_to`] has a line written for each thing, your own by [`Context::log`]. A program that
//!   panics is named on stderr, with the time and the seed.
//! - A bug of the machines to keep: [`World::record`] before the first node is added, and [`World::write_record`], also
//!   when `run_for` has failed: take its answer apart, with `?` nothing is written. `simulate --replay FILE` plays what
//!   the machines were told; your program isn't in it, its bugs are kept by the seed and your test.
//! - An act at a moment you choose, by a program or its machines: [`World::with`].
//!
//! ```
//! # use std::time::Duration;
//! # use poolmesh_proto::BroadcasterConfig;
//! # use poolmesh_testkit::sim::{App, AppEvent, Context, PeerConfig, Violation, Weather, World};
//! #[derive(Debug, Default)]
//! struct Lister {
//!     answered: u32,
//! }
//!
//! impl App for Lister {
//!     fn handle(&mut self, event: AppEvent, context: &mut Context<'_>) {
//!         if let AppEvent::Client(outcome) = event {
//!             context.log(format_args!("at last: {outcome:?}"));
//!             self.answered += 1;
//!         }
//!     }
//! }
//!
//! for seed in 0..20 {
//!     let mut world = World::new(seed);
//!     // world.log_to(Box::new(std::io::stderr()));
//!     let server = world.broadcaster(BroadcasterConfig::default());
//!     let ann = world.peer(Lister::default(), server, PeerConfig::default());
//!     for asked in 1..10 {
//!         let weather = Weather::rough(world.rng());
//!         *world.weather() = weather;
//!         world.with(ann, |_, context| context.list()); // somebody presses the button
//!         world.run_for(Duration::from_secs(10))?;
//!         if world.app(ann).is_none_or(|ann| ann.answered != asked) {
//!             world.fail("mine: a button does nothing"); // each call ends, by its outcome or its deadline
//!         }
//!     }
//!     world.run_for(Duration::ZERO)?;
//! }
//! # Ok::<(), Violation>(())
//! ```
//!
//! A game that is put through storms, crashes and partitions for some seeds is the test `the_game_lives_through_storms`
//! in `tests/tests/simulation/game.rs`.
//!
//! In a debug build an event takes about ten times as long as in a release build. `opt-level = 3` under
//! `[profile.dev.package."*"]` in your `Cargo.toml` has cargo optimise what you depend on, though not your own program.
//!
//! # What can go wrong
//!
//! - **Datagrams** ([`Weather`]): delay with a least and a spread, so that they overtake each other; loss, also in
//!   bursts; copies at once, and old ones much later; flipped bits; cuts.
//! - **Streams** ([`StreamWeather`]): pieces of any size, cuts of the connection at any byte, small buffers, bandwidth,
//!   slow readers, pieces that are lost and sent again; refused, unanswered and half-open connections; a system that
//!   gives up; flipped bits.
//! - **Ways**: [`block`](World::block) one direction, [`isolate`](World::isolate) some nodes, put nodes behind a
//!   [NAT](NatConfig), and [have it forget](World::flush) who is who.
//! - **Programs**: [`crash`](World::crash) with or without a word to the others, [`restart`](World::restart) with
//!   nothing, [`restart_broadcaster`](World::restart_broadcaster) with the secret that it had or without, [`freeze`](World::freeze) and [`thaw`](World::thaw).
//! - **Clocks**: [`drift`](World::drift), [`jump`](World::jump) ahead and back, stand still.
//! - **Loops** ([`Lateness`]): outputs drained late, timeouts late, early, twice.
//! - **Others**: an [`Actor`] is a node that speaks bytes: foreign peers, attackers with forged addresses.
//!
//! # What is looked at after every event
//!
//! A [`World`] fails with a [`Violation`] as soon as one of these doesn't hold:
//!
//! | | what must hold |
//! | --- | --- |
//! | P1 | a pool's id is new each time one is made, at every broadcaster together |
//! | P2, P3 | a broadcaster's pools and peers are those that its events tell of, as many as it counts, within its limits |
//! | P2, V7 | a list names every pool once; one that has to be cut, as many as fit, and in turns |
//! | P4 | a peer joins a pool once; an answer names the asker, the host, then who joined last, as many as fit |
//! | P3 | links, dials at a time, and bytes queued on one link and on all stay within the limits of a mesh; it has as many links as it told of; a link asks for no more than it may hold, and packs no more into a write |
//! | M3, M4 | a client is told of no pool that no broadcaster has made, and once of each that it made itself |
//! | G1, G2, V4 | a pool lives exactly as long as its host pings: none ends early, none outlives the ping timeout; its host is told once; a client pings no pool of which it was told that it is gone |
//! | G2, V4 | a link is idle exactly when its peer was silent for the idle timeout |
//! | L1 | a link's name is new; no address is dialed twice at a time |
//! | L2, L3 | what comes out of a link is what went in at its other end: in order, once, unaltered, wherever it was cut; all of it, if that end was closed well; an end within a frame is told from one between two |
//! | L4 | no frame up to the longest length ends a link, or is too long to be sent |
//! | L5 | nothing comes of a link before it is told of or after its end, which is told once |
//! | A2, A3 | a broadcaster sends at most one datagram for each that came, exactly one for each create, list and join, and one for each pool that ended, none over 1,024 bytes |
//! | V2, V7 | each call ends once, by its deadline, the oldest first of those that an answer fits; each dial ends by its own, and not before; nothing goes on after a close |
//! | V6 | an event finds room where nothing waits; whoever was refused is told when there is room |
//! | V8 | no request is sent again, no pool pinged, no address dialed sooner or more often than is set: a stall causes no burst |
//! | D3 | after a timeout and a drain every deadline lies ahead, none sleeps past the end of a pool, a call or a dial; what said that it waits says nothing more; the machines come to rest |
//! | D2 | nothing panics; nothing overflows where overflows are checked (debug builds, and the profile `quick`) |
//!
//! What must have happened some time after the faults have stopped, the seeds of [`simulate`](crate::simulate) demand
//! after each storm: no call, dial or queue is left over (V2, V6), no pool without its host (V4, G3); a pool can be made
//! and joined, also while an attacker goes on from his own address (V7); its members are linked, each pair once if they
//! came one by one (V5, L1), hear each other (V6), and the pool lives (G2).
//!
//! # What is looked at after every event where the native dialect is spoken
//!
//! Each of these holds whatever goes wrong, and whatever an attacker does who doesn't see the keys (`PROTOCOL.md` of the
//! proto, section 9). Each broadcaster is held against
//! [`NativeModel`](crate::model::NativeModel): every datagram that it sends has to be due, to the meaning, and none may be
//! missing when it rests.
//!
//! | | what must hold |
//! | --- | --- |
//! | A1 | to an address that has shown no cookie which it was given goes no more than came from there: neither datagrams nor bytes, at no moment |
//! | A2, A3, A5 | what is sent is due, of at most 1,200 bytes, and tagged so that its receiver can tell who said it |
//! | M1, M2 | somebody is in a roster who proved his address and took the offer; he goes by his own word, by his host's, by another's at his address, or by silence; a client leaves, kicks, hands over, closes, locks and changes only what its program asked it to |
//! | M3 | what is late, doubled or sent again from anywhere changes nothing: no old message is taken twice, no old ticket of who was sent away brings him back, nor of who left, but to a pool that is just being brought back (`PROTOCOL.md`, section 7.2) |
//! | M4 | nobody is told of a pool that no broadcaster has made, also while everybody's address is forged |
//! | M5 | a term has one host in an era; for a member neither era, number nor term go back while its membership lasts, and a pool that was brought back is of a higher generation |
//! | P4 | the numbers of members are given once, and ascend |
//! | P5 | whoever has the same epoch of a pool knows the same: members, addresses, what they say of themselves, spec, host and term. Over all members and broadcasters of the world, for ever |
//! | V1 | what a client tells its program, event by event, comes to what it knows |
//! | V2 | each call ends once, by its deadline, as what was asked for or by saying why not |
//! | V4 | the end of a membership is told once, and none ends untold |
//! | V8 | a member that looks for a broadcaster sends at most two datagrams in any second; a program that starts again takes an offer at once |
//! | P2, V7 | a page of a list names the pools that there are, as far as it goes, and stops only where it has to |
//! | P3 | what is beyond a limit is refused by a code that fits, and nothing else is; it counts as many pools as there are |
//! | D3 | it doesn't sleep past the end of an offer, of a member's silence or of a recovery |
//!
//! After each storm the seeds of [`simulate`](crate::simulate) demand: all who are in a pool agree with each other and with
//! its broadcaster within three intervals, and the quarter of one by which a ping may be late (V1). Then datagrams are only
//! lost, doubled and reordered for a while, and calls are counted: each ends, and of all seeds together 99.9 % with an
//! answer (V2). Then all meet in a new pool, found in a list, by its id and by its code, while the attacker goes on (V7); each
//! pair has one link (L1), and one of these happens:
//!
//! | | what must come of it |
//! | --- | --- |
//! | V3, M5 | the host falls silent: within the timeout and an interval all others know that the member of the lowest number is host, in the next term, once. The old host is nobody's when it is back |
//! | V3 | the broadcaster restarts with its key: within two intervals of its return all know the same members, host and term in a new era. Nobody was told that the pool is over, no link has noticed |
//! | V3 | it restarts without its key: all are told that the pool is lost, and its id is nobody's |
//! | V3 | it is gone for good: the pool goes on at the other broadcaster, after three pings that nobody answered; it stays there when the first is back |
//! | M1 | NATs give everybody behind them other addresses: all are who they were |
//! | M3 | a program crashes and comes back with what it kept: as the member that it was |
//! | V4 | a member is cut off: it is gone for all when its time is over, and is told so when it is back |
//! | M2, M3 | the host sends a member away, a member leaves, by a call, by letting go, by closing: all know it at once and why, and no ticket brings it back to the broadcaster that knows. To one that has forgotten everything the ticket of who was sent away doesn't; who left may come back as himself, as long as that one brings the pool back |
//! | M5 | the host makes another host, locks and opens the pool, changes it; a member says something else of itself: all know it at once |
//! | V4 | the host closes the pool, or leaves one that ends with its host: all are told so at once |
//!
//! # Not held by the classic dialect, and why
//!
//! The wire of gop2p has no proof of address, no request ids, no leave, no notice of who came or went, and no integrity
//! of its own. So these don't hold, and the simulator doesn't ask for them where it is spoken. Behind each stands what holds
//! it in the native dialect, in three places: **the model** ([`model::native`](crate::model::NativeModel)) answers for every datagram
//! of a broadcaster; **checks** (`sim/check/native/`) look at what clients and broadcasters do after every event; **drills**
//! (`simulate/native/drills/`) have one thing happen to a pool after a storm, and demand what must come of it.
//!
//! | | what does not hold | why | what holds it in the native dialect |
//! | --- | --- | --- | --- |
//! | M1, M2 | a peer appears only if its address is proven, goes only by its own word | a datagram's source is all there is; nobody can leave, so a pool's list of peers only grows and names the dead | the model: `cookies` (nobody is offered a place who has shown no good one), `line` (a change has to be due, with its reason); the check `calls` (no order that the program didn't give); the drills `leave`, `kick`, `addresses_change` |
//! | M3 | an incarnation that was replaced never acts again | nothing tells a program that came back to its address from the one before: a late ping of the old one keeps a pool alive, a late answer to it may be taken by the new one | the model: sessions and counts in `members`, tickets in `requests` and `recovery`; the drills `leave`, `kick`, `host_falls_silent` (an old ticket is `Stale`), `program_comes_back` |
//! | M4 | nobody is told of a pool that was not made | only as long as nobody forges the broadcaster's address, and no bit of its answers flips unnoticed | the check `calls`, at every outcome, with forgers and flipped bits at work |
//! | P5, V1 | equal rosters at equal epochs, the same view everywhere | there are no epochs; a peer knows those who were there when it came; of more than about 59 only the latest are named | P5: the check `book`, of all members and broadcasters of the world together; V1: `agree` after each storm |
//! | M5, V3 | another host when the host is gone; pools are back after a broadcaster's restart | a pool is its host's, and the broadcaster's memory is all there is of it: it ends, and its host is told. Links go on | the check `book` (one host a term); the drills `host_falls_silent`, `hand_over`, `comes_back_with_key`, `comes_back_without_key`, `another_takes_over` |
//! | G1 | a ping prolongs only the life of its sender | whoever forges the host's address, or sends an old ping of the host again, prolongs it as well | the model: in `members` a ping without the session's key is `Unknown` and one with an old count nothing, so a member that should have timed out and has not is seen (`rests`) |
//! | L1 | at most one link for each pair | an accepted link comes from any port, so two peers that learn of each other at the same moment may open two. Each of them dials an address at most once at a time | `linked`, at each meeting and after each drill that must not touch links: the higher number dials, each pair has one |
//! | L2 | unaltered | streams are checked by TCP alone. What was corrupted on the way may be read as other frames; it never panics, and never takes more than its limits | nothing: links are the same in both dialects |
//! | V4 | the dead are gone from the list | see M2. Links to them end when the system says so, or by [`idle_timeout`](poolmesh_proto::LinkConfig::idle_timeout): without it a link over which nobody says anything stays half-open for ever | the model's deadlines; the drills `member_is_cut_off`, `host_falls_silent`, and `rest`, after which nobody who has let go is in a pool. Links: as in the classic dialect |
//! | V5 | every pair that can be is linked | nobody behind a NAT can be dialed from outside; a NAT that forgets its mapping, or has one for each destination, gives a host another address, and its pool ends | no pool ends by it: the drill `addresses_change`. Who is behind a NAT can't be dialed there either |
//! | V7 | honest joins end in time whatever an attacker does | not if he forges addresses: an answer to one's call, a full pool, all pools of a source. He can take all links of a mesh from one address | `meet`, after each storm: all make, find and join a pool in fair weather, with the attacker at work |
//! | A1 | no more bytes out than in before an address is proven | one byte draws a list of 1,024 | the check `proof`, at every datagram |
//! | V8 | no storm of reconnects | a restarted broadcaster answers each ping with a refusal, and programs that create at once do so at once: there is no jitter | the check `calls` (`says`): two datagrams a second of who looks for a broadcaster |
//! | S1, S2 | secrecy | there is none | nothing: there is none |
//!
//! The last column is of hours; what shows the same on real sockets and in unit tests is in the README's security model.
//!
//! A clock that jumps back is no fault of the dialect but of the driver: a machine never goes back behind the latest time
//! it was told, so it stands still until that time is reached again. [`World::calm`] ends that, too.

mod actor;
mod address;
mod app;
mod check;
mod clock;
mod core;
mod dispatch;
mod drive;
mod faults;
mod fingerprint;
mod flow;
mod machines;
mod nat;
mod node;
mod queue;
mod rng;
mod streams;
mod tape;
mod weather;
mod world;

pub use self::core::WorldStats;
pub use actor::{Actor, Wire};
pub use app::{App, AppEvent, Context};
pub use machines::PeerConfig;
pub use nat::{Filtering, Mapping, NatConfig};
pub use node::State;
pub use rng::{MILLION, Rng};
pub use streams::ConnId;
pub use weather::{Lateness, StreamWeather, Weather};
pub use world::{NatId, NodeId, Violation, World};
