//! What a server waits for, and when it lets others run.

use std::future::poll_fn;
use std::io;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use event_listener::EventListener;
use poolmesh_proto::Instant;
use poolmesh_sockets::udp::{BATCH, BATCHES_A_TURN, Socket};
use smol::Async;
use smol::future::{FutureExt, yield_now};

use super::BroadcasterServer;
use crate::clock::{Alarm, Clock};

/// A server that has sent so many datagrams since its last wait is busy.
///
/// Requests without an answer don't count: they take so little that to come back later is to find more of them at once,
/// which spares more than a wait costs.
const BUSY: u64 = 2 * BATCH as u64;

/// How long a busy server blocks its thread for the next datagram, before it waits as others do: less than a batch takes.
/// Mostly one comes. To be woken by the reactor takes changes of threads, which cost as much as some answers.
const MOMENT: Duration = Duration::from_micros(50);

/// What ends a wait. All of it is kept from wait to wait: to listen anew each time takes memory and wakes the reactor.
#[derive(Debug)]
pub(super) struct Wait<'a> {
    server: &'a BroadcasterServer,
    /// While the reactor knows the socket. For each datagram that is sent Linux then looks whether the reactor waits for
    /// room, which is some percent of a short answer's time; to make it known and unknown again takes as long as twenty.
    known: Option<Async<&'a Socket>>,
    clock: Clock,
    alarm: Alarm,
    stopped: EventListener,
    /// If there are others who hand in datagrams.
    filled: Option<EventListener>,
    /// How many datagrams were sent before the last wait.
    sent: u64,
    pub(super) turn: Turn,
}

impl<'a> Wait<'a> {
    /// For as long as the server serves. That it is stopped, before or later, is to be looked up after each wait.
    pub(super) fn of(server: &'a BroadcasterServer, clock: Clock) -> Self {
        Self {
            server,
            known: None,
            clock,
            alarm: Alarm::unset(),
            stopped: server.stopper.stop.1.listen(),
            filled: server.member.as_ref().and_then(|member| member.listen()),
            sent: 0,
            turn: Turn::default(),
        }
    }

    /// Waits until there may be something to do: a datagram, mail, the deadline, the word to stop. It may come back for
    /// nothing, and what isn't a datagram may come a moment late. `sent` tells how many were sent so far.
    ///
    /// # Errors
    /// Those of the reactor and of the system's call.
    pub(super) async fn input(&mut self, deadline: Option<Instant>, sent: u64) -> io::Result<()> {
        let sent = sent.saturating_sub(mem::replace(&mut self.sent, sent));
        // Elsewhere a wait for a moment is not to be had.
        if cfg!(target_os = "linux") && sent >= BUSY {
            self.known = None;
            if self.server.socket.wait_readable(MOMENT)? {
                return Ok(());
            }
        }
        if self.server.member.as_ref().is_some_and(|member| !member.sleep()) {
            return Ok(());
        }
        self.alarm.set(&self.clock, deadline);
        self.make_known()?;
        poll_fn(|context| {
            let woken = self.poll(context);
            if woken.is_pending() {
                self.turn.is_over();
            }
            woken
        })
        .await
    }

    /// Waits until there is room in the socket's send buffer, or the word to stop comes.
    ///
    /// # Errors
    /// Those of the reactor.
    pub(super) async fn room(&mut self) -> io::Result<()> {
        self.make_known()?;
        poll_fn(|context| {
            let stopped = self.stopped.poll(context).map(Ok);
            if stopped.is_ready() { stopped } else { self.poll_known(context, Async::poll_writable) }
        })
        .await
    }

    fn make_known(&mut self) -> io::Result<()> {
        if self.known.is_none() {
            self.known = Some(Async::new_nonblocking(&self.server.socket)?);
        }
        Ok(())
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let readable = self.poll_known(context, Async::poll_readable);
        if readable.is_ready() {
            return readable;
        }
        // Nobody waits again for what has come.
        if self.stopped.poll(context).is_ready() || self.alarm.poll(context).is_ready() {
            return Poll::Ready(Ok(()));
        }
        let Some(filled) = &mut self.filled else { return Poll::Pending };
        ready!(Pin::new(filled).poll(context));
        self.filled = self.server.member.as_ref().and_then(|member| member.listen());
        Poll::Ready(Ok(()))
    }

    fn poll_known(
        &self,
        context: &mut Context<'_>,
        poll: impl FnOnce(&Async<&'a Socket>, &mut Context<'_>) -> Poll<io::Result<()>>,
    ) -> Poll<io::Result<()>> {
        self.known.as_ref().map_or(Poll::Ready(Ok(())), |known| poll(known, context))
    }
}

/// How much was done since others could run.
#[derive(Debug, Default)]
pub(super) struct Turn {
    batches: usize,
}

impl Turn {
    /// To be called for each batch, before it is served: lets others run when it is time.
    pub(super) async fn batch(&mut self) {
        self.batches += 1;
        if self.batches > BATCHES_A_TURN {
            self.batches = 1;
            yield_now().await;
        }
    }

    /// Others did run.
    fn is_over(&mut self) {
        self.batches = 0;
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::UdpSocket;

    use poolmesh_proto::BroadcasterConfig;
    use poolmesh_sockets::udp::Receiver;
    use smol::future::poll_once;

    use super::*;

    #[test]
    fn datagrams_and_the_word_to_stop_end_a_wait_whether_the_reactor_knows_the_socket_or_not() {
        let server = BroadcasterServer::bind(
            "127.0.0.1:0".parse().unwrap(),
            BroadcasterConfig::default().with_classic(),
        )
        .unwrap();
        let asker = UdpSocket::bind("127.0.0.1:0").unwrap();
        let ask = || asker.send_to(b"?", server.local_addr()).unwrap();
        let mut receiver = Receiver::new(1);
        let mut received = || receiver.receive(&server.socket).unwrap();
        let mut wait = Wait::of(&server, Clock::start());
        smol::block_on(async {
            assert!(poll_once(wait.input(None, 0)).await.is_none());
            for sent in [BUSY - 1, BUSY, 2 * BUSY, 3 * BUSY, 3 * BUSY] {
                let is_busy = sent - wait.sent >= BUSY;
                assert!(wait.known.is_some());
                ask();
                wait.input(None, sent).await.unwrap();
                assert_eq!((received(), wait.known.is_none()), (1, is_busy), "at {sent}");
                assert!(poll_once(wait.input(None, sent)).await.is_none(), "nothing is there");
            }
            assert!(poll_once(wait.input(None, 4 * BUSY)).await.is_none());
            assert!(wait.known.is_some(), "none came in a moment");
            wait.room().await.unwrap();
            server.stopper().stop();
            wait.input(None, 4 * BUSY).await.unwrap();
        });
    }
}
