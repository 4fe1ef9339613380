//! The loop that drives the machines of a node: what they say is done, until they say that they wait.

use poolmesh_proto::trace::{Input, Polled};
use poolmesh_proto::{
    CloseReason, Fault, Instant, LinkEvent, LinksOutput, Machine, MeshOutput, Output, PeerId, Write,
};

use super::address::Addr;
use super::app::{App, AppEvent, Context};
use super::core::{Core, What};
use super::machines::Machines;
use super::node::{Node, Peer, Server};
use super::streams::{ConnId, DIALER, Piece, Role};

/// How often the machines of a node may make each other say something in one drain.
const ROUNDS: u32 = 10_000;

/// How many events a program may be told in one drain.
const EVENTS: u32 = 1_000_000;

/// Writes down what a broadcaster has drawn, right behind the input that drew it: the drain may be late.
pub(super) fn note_drawn(core: &mut Core, place: usize, now: Instant, server: &Server) {
    for bits in server.drawn.borrow_mut().drain(..) {
        if let Some(tape) = &mut core.tape {
            tape.note(place, now, Input::Drawn(bits));
        }
    }
}

/// Drains a broadcaster. `timeout`: it was told the time before, so that its deadline must lie ahead.
pub(super) fn drain_server(core: &mut Core, place: usize, own: Addr, server: &mut Server, timeout: bool) {
    let now = server.check.latest();
    let mut waits = 0;
    while waits < 2 {
        let output = server.machine.poll_output();
        if let Some(tape) = &mut core.tape {
            tape.polled(place, now, Polled::Broadcaster, &output);
        }
        if waits > 0 && !matches!(output, Output::Wait(_)) {
            core.violated(format_args!("D3: n{place} has something to say after it said that it waits"));
        }
        match output {
            Output::Transmit(transmit) => {
                let known = core.log.is_some().then(|| format!("{:?}", server.check.native()));
                if let Err(what) = server.check.transmit(&transmit, &mut core.book) {
                    core.violated(format_args!("{what} (broadcaster n{place})"));
                    core.say(|| format!("n{place} should be {}", known.unwrap_or_default()));
                }
                core.print.bytes(&transmit.payload);
                core.say(|| format!("n{place} answers {} {:?}", transmit.destination, transmit.payload));
                if let Some(to) = Addr::of(transmit.destination) {
                    core.send_datagram(place, own, to, transmit.payload, false);
                }
            }
            Output::Event(event) => {
                core.say(|| format!("n{place} tells {event:?}"));
                core.issued.extend(server.check.native_pool(&event));
                match server.check.event(&event) {
                    Ok(Some(pool)) if !core.issued.insert(pool) => {
                        core.violated(format_args!("P1: {pool} was made before (broadcaster n{place})"));
                    }
                    Ok(_) => {}
                    Err(what) => core.violated(format_args!("{what} (broadcaster n{place})")),
                }
            }
            Output::Wait(deadline) => {
                server.deadline = deadline;
                waits += 1;
            }
        }
    }
    if let (true, Some(at)) = (timeout, server.deadline) {
        if at <= now {
            core.violated(format_args!("D3: the deadline {at:?} of n{place} is past at {now:?}"));
        }
    }
    if let Err(what) = server.check.drained(&server.machine, server.deadline) {
        core.violated(format_args!("{what} (broadcaster n{place})"));
        core.say(|| format!("n{place} counts {:?}", server.machine.stats()));
    }
}

/// Drains the machines of a peer and lets its program act, until all of them wait.
pub(super) fn drain_peer<A: App>(core: &mut Core, node: &mut Node<A>, place: usize, timeout: bool) {
    let now = node.clock.show(core.now);
    let late = node.lateness.late_drain;
    let Some(peer) = node.peer_mut() else { return };
    if !std::mem::replace(&mut peer.started, true) {
        tell(core, peer, now, AppEvent::Started);
    }
    let mut rounds = 0;
    peer.machines.events = 0;
    loop {
        peer.machines.told = false;
        let mut said = drain_client(core, peer, now);
        said |= drain_mesh(core, peer, now);
        said |= drain_links(core, peer, now, late);
        // One at a time: a program that sets them to now comes to no rest, either.
        if let Some(number) = peer.machines.due_timer(now) {
            said = true;
            tell(core, peer, now, AppEvent::Woken(number));
        }
        if core.violation.is_some() {
            return;
        }
        if !said && !peer.machines.told {
            break;
        }
        rounds += 1;
        if rounds == ROUNDS {
            return no_rest(core, place);
        }
    }
    let latest = peer.machines.check.latest();
    if timeout {
        let past = |(at, now): (&Option<Instant>, &Instant)| at.is_some_and(|at| at <= *now);
        let excused = usize::from(peer.machines.check.client_is_due_next());
        if peer.deadlines.iter().zip(&latest).skip(excused).any(past) {
            core.violated(format_args!(
                "D3: a deadline of n{place} is past: {:?} at {latest:?}",
                peer.deadlines
            ));
        }
    }
    let Machines { check, client, mesh, links, listening, .. } = &mut peer.machines;
    let machines = (&*client, &*mesh, &*links);
    if let Err(what) = check.drained(machines, &mut core.book, peer.deadlines, listening.is_some(), timeout) {
        core.violated(format_args!("{what} (n{place})"));
    }
}

fn no_rest(core: &mut Core, place: usize) {
    core.violated(format_args!("D3: the machines of n{place}, or its program, come to no rest"));
}

fn tell<A: App>(core: &mut Core, peer: &mut Peer<A>, now: Instant, event: AppEvent) {
    let place = peer.machines.place();
    peer.machines.events += 1;
    if peer.machines.events == EVENTS {
        no_rest(core, place);
    }
    core.say(|| format!("n{place} is told {event:?}"));
    let _acting = core.acting(place);
    peer.app.handle(event, &mut Context { machines: &mut peer.machines, core, now });
}

fn check(core: &mut Core, place: usize, result: Result<(), String>) {
    if let Err(what) = result {
        core.violated(format_args!("{what} (n{place})"));
    }
}

fn drain_client<A: App>(core: &mut Core, peer: &mut Peer<A>, now: Instant) -> bool {
    let place = peer.machines.place();
    let mut said = false;
    while core.violation.is_none() {
        let output = peer.machines.client.poll_output();
        peer.machines.note_polled(core, now, Polled::Client, &output);
        match output {
            Output::Transmit(transmit) => {
                let result = peer.machines.check.client_transmit(&transmit, &core.book);
                check(core, place, result);
                core.print.bytes(&transmit.payload);
                core.say(|| format!("n{place} asks {:?}", transmit.payload));
                if let Some(to) = Addr::of(transmit.destination) {
                    core.send_datagram(place, peer.machines.own, to, transmit.payload, false);
                }
            }
            Output::Event(event) => {
                let result = peer.machines.check.client_event(&event, &core.issued);
                check(core, place, result);
                tell(core, peer, now, AppEvent::Client(event));
            }
            Output::Wait(deadline) => {
                set(&mut peer.deadlines, 0, deadline);
                return said;
            }
        }
        said = true;
    }
    said
}

fn drain_mesh<A: App>(core: &mut Core, peer: &mut Peer<A>, now: Instant) -> bool {
    let place = peer.machines.place();
    let mut said = false;
    while core.violation.is_none() {
        let output = peer.machines.mesh.poll_output();
        peer.machines.note_polled(core, now, Polled::Mesh, &output);
        match output {
            MeshOutput::Dial { dial, address, timeout } => {
                let result = peer.machines.check.dials(dial, address, timeout);
                check(core, place, result);
                core.say(|| format!("n{place} dials {address}"));
                match Addr::of(address) {
                    Some(to) => {
                        let conn = core.dial(place, Role::Dialing(dial), to);
                        peer.machines.dials.insert(dial, conn);
                    }
                    None => peer.machines.dial_failed(core, now, dial, Fault::Unreachable),
                }
            }
            MeshOutput::Abandon { dial } => {
                let result = peer.machines.check.abandoned(dial);
                check(core, place, result);
                if let Some(conn) = peer.machines.dials.remove(&dial) {
                    core.close(conn, DIALER);
                }
            }
            MeshOutput::Listen { address } => {
                let port = if address.port() == 0 { 49_152 } else { address.port() };
                peer.machines.listening = Some(port);
                peer.machines.listens(core, now, (address.ip(), port).into());
            }
            MeshOutput::StopListening => peer.machines.listening = None,
            MeshOutput::Close { peer: link } => peer.machines.close_link(core, now, link),
            MeshOutput::Event(event) => {
                let result = peer.machines.check.mesh_event(&event);
                check(core, place, result);
                tell(core, peer, now, AppEvent::Mesh(event));
            }
            MeshOutput::Wait(deadline) => {
                set(&mut peer.deadlines, 1, deadline);
                return said;
            }
        }
        said = true;
    }
    said
}

fn drain_links<A: App>(core: &mut Core, peer: &mut Peer<A>, now: Instant, late: u32) -> bool {
    let mut said = false;
    while core.violation.is_none() {
        let output = peer.machines.links.poll_output();
        peer.machines.note_polled(core, now, Polled::Links, &output);
        match output {
            LinksOutput::Write { peer: link, write } => {
                write_out(core, &mut peer.machines, now, link, write, late)
            }
            LinksOutput::Event { peer: link, event } => {
                let result = peer.machines.check.link_event(link, &event);
                check(core, peer.machines.place(), result);
                let closed = follow(core, &mut peer.machines, link, &event);
                tell(core, peer, now, AppEvent::Link(link, event));
                if let Some(reason) = closed {
                    peer.machines.link_closed(core, now, link, reason);
                }
            }
            LinksOutput::Wait(deadline) => {
                set(&mut peer.deadlines, 2, deadline);
                return said;
            }
        }
        said = true;
    }
    said
}

fn set(deadlines: &mut [Option<Instant>; 3], place: usize, deadline: Option<Instant>) {
    if let Some(entry) = deadlines.get_mut(place) {
        *entry = deadline;
    }
}

/// Has the system write. It may take it at once, or later, or take it and say so later.
fn write_out(core: &mut Core, machines: &mut Machines, now: Instant, link: PeerId, write: Write, late: u32) {
    let result = machines.check.writes(link, &write);
    check(core, machines.place(), result);
    if let Write::Bytes(bytes) = &write {
        core.print.number(bytes.len() as u64);
    }
    if !machines.write(core, link, write) {
        return;
    }
    match machines.ends.get(&link) {
        Some((conn, side)) if core.rng.chance(late) => {
            let at = core.now + core.travel();
            core.queue.push(at, What::Written(*conn, *side));
        }
        Some(_) | None => machines.written(core, now, link),
    }
}

/// L2: what comes out of a link is what went in at its other end, in order, once, and all of it if that end was closed
/// well. Answers the reason of its end, if it has ended.
fn follow(core: &mut Core, machines: &mut Machines, link: PeerId, event: &LinkEvent) -> Option<CloseReason> {
    let place = machines.place();
    let Some((conn, side)) = machines.ends.get(&link).copied() else {
        core.violated(format_args!("L5: {event:?} of {link}, which has no connection (n{place})"));
        return None;
    };
    match event {
        LinkEvent::Received(message) => {
            let print = super::fingerprint::of_event(message.name(), message.payload());
            core.print.number(print);
            core.stats.received += 1;
            let from = core.conns.end_mut(conn, 1 - side)?;
            let followed = from.honest && !from.spoiled;
            if followed && from.sent.pop_front() != Some(print) {
                let what = format!("L2: {message:?} came from {link} of n{place}, and was not sent next");
                core.violated(what);
            }
            None
        }
        LinkEvent::Closed(reason) => {
            core.say(|| format!("n{place} has lost {link}: {reason}"));
            core.print.number(u64::from(*reason == CloseReason::Remote));
            follow_end(core, place, (conn, 1 - side), *reason);
            if let Some(end) = core.conns.end_mut(conn, side) {
                end.ended_well = *reason == CloseReason::Local;
            }
            machines.ends.remove(&link);
            core.close(conn, side);
            Some(*reason)
        }
        LinkEvent::Writable | _ => None,
    }
}

/// A link ends for the reason that the other end has given it.
fn follow_end(core: &mut Core, place: usize, from: (ConnId, usize), reason: CloseReason) {
    let Some(from) = core.conns.end(from.0, from.1) else { return };
    let followed = from.honest && !from.spoiled;
    let what = match reason {
        CloseReason::Remote if followed && from.ended_well && !from.sent.is_empty() => {
            "L2: events are missing at the good end of a link"
        }
        CloseReason::FrameTooLong { .. } if followed => "L4: a link ended by a frame that was let in",
        CloseReason::Local
        | CloseReason::Unwritten { .. }
        | CloseReason::Remote
        | CloseReason::CutShort
        | CloseReason::FrameTooLong { .. }
        | CloseReason::Idle
        | CloseReason::Failed(_)
        | _ => return,
    };
    core.violated(format_args!("{what} (n{place})"));
}

/// Hands a link what has arrived for it, as much as it wants. `from` is the side it comes from. Whether something is
/// left.
pub(super) fn read(
    core: &mut Core,
    machines: &mut Machines,
    now: Instant,
    link: PeerId,
    conn: ConnId,
    from: usize,
) -> bool {
    let true_now = core.now;
    loop {
        let wants = machines.links.wants_read(link);
        let Some(end) = core.conns.end_mut(conn, from) else { return false };
        if end.arrived.is_empty() {
            break;
        }
        if !wants || end.paused > true_now {
            return true;
        }
        match end.arrived.pop_front() {
            // A system reads no nothing; a link that is handed none takes it to say that it was not read.
            Some(Piece::Bytes(bytes)) if bytes.is_empty() => {}
            Some(Piece::Bytes(bytes)) => {
                end.held = end.held.saturating_sub(bytes.len());
                machines.bytes(core, now, link, bytes);
            }
            Some(Piece::Fin) => machines.eof(core, now, link),
            None => break,
        }
    }
    core.unblock(conn, from);
    false
}
