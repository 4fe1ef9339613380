//! What the driver sees.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::rc::Rc;

use poolmesh_proto::Instant;
use poolmesh_proto::trace::Input;

use super::state::{Answer, End, Port, Slot, Stage};
use super::{PIECE, Scripted, ScriptedSocket};
use crate::driver::{Network, SocketId};

impl Scripted {
    fn socket(&self, id: SocketId) -> ScriptedSocket {
        ScriptedSocket { id, state: Rc::clone(&self.state) }
    }
}

/// The address that a socket gets which asks for `wanted`.
fn assigned(wanted: SocketAddr, fresh: SocketAddr) -> SocketAddr {
    if wanted.port() == 0 { SocketAddr::new(wanted.ip(), fresh.port()) } else { wanted }
}

impl Network for Scripted {
    type Udp = ScriptedSocket;
    type Listener = ScriptedSocket;
    type Stream = ScriptedSocket;

    fn now(&self) -> Instant {
        self.state().now
    }

    fn open(&self, address: SocketAddr) -> io::Result<ScriptedSocket> {
        let mut state = self.state();
        state.called();
        // Whatever interfaces it is open on, it is seen as here.
        let address = SocketAddr::new([127, 0, 0, 1].into(), assigned(address, state.fresh_address()).port());
        if state.udp_at(address).is_some() {
            return Err(ErrorKind::AddrInUse.into());
        }
        let name = Some(state.name("udp"));
        let datagrams = Some(Default::default());
        let id = state.add(Slot { address: Some(address), name, datagrams, ..Slot::default() });
        state.did(id, "open".into());
        Ok(self.socket(id))
    }

    fn local_addr(&self, udp: &ScriptedSocket) -> io::Result<SocketAddr> {
        let address = self.state().sockets.get(&udp.id).and_then(|slot| slot.address);
        address.ok_or_else(|| ErrorKind::NotConnected.into())
    }

    fn receive(&self, udp: &ScriptedSocket, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let mut state = self.state();
        state.called();
        if let Some(error) = state.receive_errors.pop_front() {
            state.did(udp.id, format!("receive: {error}"));
            return Err(error.into());
        }
        let inbox = state.sockets.get_mut(&udp.id).and_then(|slot| slot.datagrams.as_mut());
        let (datagram, from) = inbox.and_then(|inbox| inbox.pop_front()).ok_or(ErrorKind::WouldBlock)?;
        let len = datagram.len().min(buffer.len());
        buffer[..len].copy_from_slice(&datagram[..len]);
        state.did(udp.id, format!("receive from {from}: {} bytes", datagram.len()));
        Ok((len, from))
    }

    fn send(&self, udp: &ScriptedSocket, datagram: &[u8], to: SocketAddr) -> io::Result<()> {
        let mut state = self.state();
        state.called();
        if let Some(error) = state.send_errors.pop_front() {
            state.did(udp.id, format!("send: {error}"));
            return Err(error.into());
        }
        state.did(udp.id, format!("send to {to}: {}", datagram.escape_ascii()));
        let from = state.sockets.get(&udp.id).and_then(|slot| slot.address);
        match (state.udp_at(to), from) {
            (Some(inbox), Some(from)) => inbox.push_back((datagram.to_vec(), from)),
            // A closed port answers, and the next receive tells.
            _ => state.receive_errors.push_back(ErrorKind::ConnectionRefused),
        }
        Ok(())
    }

    fn listen(&self, address: SocketAddr) -> io::Result<(ScriptedSocket, SocketAddr)> {
        let mut state = self.state();
        state.called();
        let address = assigned(address, state.fresh_address());
        if state.port_at(address).is_some() {
            return Err(ErrorKind::AddrInUse.into());
        }
        let name = Some(state.name("listener"));
        let port = Port { answer: Answer::Accept, waiting: Default::default(), unanswered: Vec::new() };
        let id = state.add(Slot { address: Some(address), name, port: Some(port), ..Slot::default() });
        state.did(id, format!("listen at {address}"));
        Ok((self.socket(id), address))
    }

    fn accept(&self, listener: &ScriptedSocket) -> io::Result<(ScriptedSocket, SocketAddr)> {
        let mut state = self.state();
        state.called();
        let port = state.port_mut(listener.id).ok_or(ErrorKind::NotConnected)?;
        let Some(waiting) = port.waiting.front().copied() else { return Err(ErrorKind::WouldBlock.into()) };
        state.accepts += 1;
        if let Some(error) = state.accept_errors.pop_front() {
            return Err(io::Error::from_raw_os_error(error));
        }
        if let Some(port) = state.port_mut(listener.id) {
            port.waiting.pop_front();
        }
        let name = state.name("accepted");
        let from =
            state.other(waiting).and_then(|other| state.sockets.get(&other)).and_then(|slot| slot.address);
        if let Some(slot) = state.sockets.get_mut(&waiting) {
            slot.name = Some(name);
        }
        state.did(waiting, "accept".into());
        Ok((self.socket(waiting), from.unwrap_or_else(|| ([127, 0, 0, 1], 9).into())))
    }

    fn dial(&self, to: SocketAddr) -> io::Result<ScriptedSocket> {
        let mut state = self.state();
        state.called();
        let (address, name) = (Some(state.fresh_address()), Some(state.name("dialed")));
        let end = Some(End::new(Stage::Dialing, None));
        let id = state.add(Slot { address, name, end, ..Slot::default() });
        state.did(id, format!("dial {to}"));
        let found = state.port_at(to);
        let answer = found.and_then(|port| state.port_mut(port)).map_or(Answer::Refuse, |port| port.answer);
        match (answer, found) {
            (Answer::Accept, Some(port)) => state.establish(id, port),
            (Answer::Silence, Some(port)) => {
                if let Some(port) = state.port_mut(port) {
                    port.unanswered.push(id);
                }
            }
            _ => state.end(id)?.stage = Stage::Refused,
        }
        Ok(self.socket(id))
    }

    fn is_dialed(&self, stream: &ScriptedSocket) -> io::Result<bool> {
        let mut state = self.state();
        state.called();
        match state.end(stream.id)?.stage {
            Stage::Dialing => Ok(false),
            Stage::Open => {
                state.did(stream.id, "stands".into());
                Ok(true)
            }
            Stage::Refused => {
                state.did(stream.id, "is refused".into());
                Err(ErrorKind::ConnectionRefused.into())
            }
        }
    }

    fn read(&self, stream: &ScriptedSocket, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.state();
        state.called();
        let end = state.end(stream.id)?;
        if end.broken {
            end.broken = false;
            state.did(stream.id, "read: reset".into());
            return Err(ErrorKind::ConnectionReset.into());
        }
        if end.incoming.is_empty() && !end.ended {
            return Err(ErrorKind::WouldBlock.into());
        }
        if !std::mem::replace(&mut end.interrupted[0], true) {
            state.moved += 1;
            return Err(ErrorKind::Interrupted.into());
        }
        let len = end.incoming.len().min(buffer.len()).min(PIECE);
        for (to, byte) in buffer.iter_mut().zip(end.incoming.drain(..len)) {
            *to = byte;
        }
        if len > 0 {
            state.did_move(stream.id, "read", len);
        } else {
            state.did(stream.id, "read: end".into());
        }
        Ok(len)
    }

    fn write(&self, stream: &ScriptedSocket, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.state();
        state.called();
        let end = state.end(stream.id)?;
        if end.gone {
            state.did(stream.id, "write: broken pipe".into());
            return Err(ErrorKind::BrokenPipe.into());
        }
        let first = !std::mem::replace(&mut end.interrupted[1], true);
        let Some(other) = state.other_end(stream.id) else { return Err(ErrorKind::NotConnected.into()) };
        let len = other.capacity.saturating_sub(other.incoming.len()).min(bytes.len()).min(PIECE);
        if len == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        if first {
            state.moved += 1;
            return Err(ErrorKind::Interrupted.into());
        }
        other.incoming.extend(&bytes[..len]);
        state.did_move(stream.id, "write", len);
        Ok(len)
    }

    fn finish(&self, stream: &ScriptedSocket) -> io::Result<()> {
        let mut state = self.state();
        state.called();
        if let Some(other) = state.other_end(stream.id) {
            other.ended = true;
        }
        state.did(stream.id, "finish".into());
        Ok(())
    }

    fn note(&self, input: impl FnOnce() -> Input) {
        let mut state = self.state();
        let now = state.now;
        state.recording.input(now, &input());
    }
}
