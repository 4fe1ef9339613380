//! The broadcaster's loop through a ring of io_uring.

use std::io;

use poolmesh_proto::{BroadcasterEvent, Machine};
use poolmesh_sockets::udp::Sender;

use super::BroadcasterServer;

impl BroadcasterServer {
    /// Has it receive and send through io_uring (feature `uring`), which takes less processor time on a busy server.
    ///
    /// # Errors
    /// If the system can't: it isn't Linux 6.1 or later, or doesn't permit it. If it is one of
    /// [several](Self::bind_shards), whose mail a ring doesn't wait for (`InvalidInput`). The server runs as it would have.
    pub fn use_uring(&mut self) -> io::Result<()> {
        if self.member.is_some() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it takes a broadcaster in one thread"));
        }
        #[cfg(target_os = "linux")]
        {
            poolmesh_sockets::udp::Ring::check()?;
            self.uring = true;
            Ok(())
        }
        #[cfg(not(target_os = "linux"))]
        Err(io::Error::new(io::ErrorKind::Unsupported, "only Linux has io_uring"))
    }

    /// As [`serve_with`](Self::serve_with).
    #[cfg(not(target_os = "linux"))]
    pub(super) fn serve_through_ring(
        &self,
        sender: &mut Sender,
        machine: &mut impl Machine<Event = BroadcasterEvent>,
        on_event: &mut impl FnMut(BroadcasterEvent),
    ) -> io::Result<()> {
        self.serve_with(sender, machine, on_event)
    }

    /// As [`serve_with`](Self::serve_with). What a request is answered beyond a batch is sent by a call of its own.
    #[cfg(target_os = "linux")]
    pub(super) fn serve_through_ring(
        &self,
        sender: &mut Sender,
        machine: &mut impl Machine<Event = BroadcasterEvent>,
        on_event: &mut impl FnMut(BroadcasterEvent),
    ) -> io::Result<()> {
        use poolmesh_proto::Instant;
        use poolmesh_proto::driver::Severity;
        use poolmesh_sockets::udp::{Meter, Ring};

        use super::LONGEST_WAIT;
        use crate::clock::Clock;

        let clock = Clock::start();
        let mut ring = Ring::new(&self.socket, self.config.longest_datagram())?;
        let mut deadline = self.drain(machine, sender, on_event);
        let mut now = Instant::ZERO;
        let mut count_at = now;
        while !self.stopper.is_stopped() {
            // The time is as it was when the batch before came: it is read once for each.
            let wait = deadline.map_or(LONGEST_WAIT, |deadline| deadline.saturating_duration_since(now));
            if let Err(error) = ring.exchange(sender, wait.min(LONGEST_WAIT)) {
                match Severity::of(&error) {
                    Severity::Harmless => {}
                    Severity::Pause => std::thread::park_timeout(Severity::PAUSE),
                    Severity::Fatal => return Err(error),
                }
            }
            now = clock.now();
            machine.handle_timeout(now);
            deadline = self.drain(machine, sender, on_event);
            machine.look_ahead(ring.datagrams().map(|(datagram, _)| datagram));
            for (datagram, from) in ring.datagrams() {
                machine.handle_datagram(now, from, datagram);
                deadline = self.drain(machine, sender, on_event);
            }
            if count_at.is_due(now) {
                self.count(sender);
                count_at = now + Meter::UPDATE_EVERY;
            }
        }
        ring.finish(sender);
        Ok(())
    }
}
