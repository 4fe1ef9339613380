//! What the check sees.

use std::net::SocketAddr;
use std::time::Duration;

use poolmesh_proto::Instant;

use super::state::{Answer, End, Port, Slot, Stage, State};
use super::{HURRIES, PATIENCE, Scripted, TURNS, advance};
use crate::driver::{Heard, SocketId, Turn, World};

impl Scripted {
    fn add_port(&self, answer: Answer) -> SocketId {
        let mut state = self.state();
        let address = Some(state.fresh_address());
        let port = Port { answer, waiting: Default::default(), unanswered: Vec::new() };
        state.add(Slot { address, port: Some(port), ..Slot::default() })
    }
}

impl World for Scripted {
    fn now(&self) -> Instant {
        self.state().now
    }

    fn patience(&self) -> Duration {
        PATIENCE
    }

    /// Gives turns as long as they move anything.
    fn turn(&mut self, turn: &mut dyn FnMut() -> Turn) -> bool {
        let mut any = false;
        let mut hurries = 0;
        for _ in 0..TURNS {
            let State { moved, now, .. } = *self.state();
            let Turn::Asleep(wake) = turn() else { panic!("a driver on a script has no threads of its own") };
            if self.state().moved > moved {
                any = true;
            } else if wake.is_some_and(|wake| wake <= now) {
                hurries += 1;
                assert!(
                    hurries <= HURRIES,
                    "the driver doesn't sleep: it wants to be woken at once, again and again"
                );
            } else {
                self.state().wake = wake;
                return any;
            }
        }
        panic!("the driver is never done: {TURNS} turns and no time has passed");
    }

    /// The driver sleeps until its deadline, or until `until`.
    fn sleep(&mut self, until: Instant) {
        let mut state = self.state();
        let wake = state.wake.map_or(until, |wake| wake.min(until));
        advance(&mut state, wake);
    }

    fn stall(&mut self, time: Duration) {
        let mut state = self.state();
        let until = state.now + time;
        advance(&mut state, until);
    }

    fn open_udp(&mut self) -> SocketId {
        let mut state = self.state();
        let address = Some(state.fresh_address());
        state.add(Slot { address, datagrams: Some(Default::default()), ..Slot::default() })
    }

    fn address(&self, socket: SocketId) -> SocketAddr {
        self.state().sockets[&socket].address.unwrap()
    }

    fn receive(&mut self, socket: SocketId) -> Option<(Vec<u8>, SocketAddr)> {
        self.state().sockets.get_mut(&socket)?.datagrams.as_mut()?.pop_front()
    }

    fn send(&mut self, socket: SocketId, to: SocketAddr, datagram: &[u8]) {
        let from = self.address(socket);
        if let Some(inbox) = self.state().udp_at(to) {
            inbox.push_back((datagram.to_vec(), from));
        }
    }

    fn close_udp(&mut self, socket: SocketId) {
        self.state().sockets.get_mut(&socket).unwrap().datagrams = None;
    }

    fn reopen_udp(&mut self, socket: SocketId) {
        self.state().sockets.get_mut(&socket).unwrap().datagrams = Some(Default::default());
    }

    fn port(&mut self) -> SocketId {
        self.add_port(Answer::Refuse)
    }

    fn silent_port(&mut self) -> Option<SocketId> {
        Some(self.add_port(Answer::Silence))
    }

    fn listen(&mut self, port: SocketId) {
        self.state().port_mut(port).unwrap().answer = Answer::Accept;
    }

    fn accept(&mut self, port: SocketId) -> Option<SocketId> {
        self.state().port_mut(port)?.waiting.pop_front()
    }

    fn dial(&mut self, to: SocketAddr) -> Option<SocketId> {
        let mut state = self.state();
        let port = state.port_at(to)?;
        let address = Some(state.fresh_address());
        let dialing =
            state.add(Slot { address, end: Some(End::new(Stage::Dialing, None)), ..Slot::default() });
        state.establish(dialing, port);
        Some(dialing)
    }

    fn write(&mut self, stream: SocketId, bytes: &[u8]) -> usize {
        let mut state = self.state();
        let Some(other) = state.other_end(stream) else { return 0 };
        let len = other.capacity.saturating_sub(other.incoming.len()).min(bytes.len());
        other.incoming.extend(&bytes[..len]);
        len
    }

    fn read(&mut self, stream: SocketId, most: usize) -> Heard {
        let mut state = self.state();
        let Ok(end) = state.end(stream) else { return Heard::End };
        let len = end.incoming.len().min(most);
        let bytes: Vec<u8> = end.incoming.drain(..len).collect();
        match (bytes.is_empty(), end.ended || end.broken) {
            (false, _) => Heard::Bytes(bytes),
            (true, true) => Heard::End,
            (true, false) => Heard::Nothing,
        }
    }

    fn finish(&mut self, stream: SocketId) {
        if let Some(other) = self.state().other_end(stream) {
            other.ended = true;
        }
    }

    fn reset(&mut self, stream: SocketId) {
        self.state().reset(stream);
    }

    fn script(&self) -> Option<&Scripted> {
        Some(self)
    }
}
