//! What a server waits for, and when it lets others run.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use event_listener::EventListener;
use poolmesh_udp::BATCHES_A_TURN;
use smol::future::{FutureExt, yield_now};

use super::BroadcasterServer;
use crate::clock::Alarm;

/// What ends a wait. All of it is kept from wait to wait: to listen anew each time takes memory and wakes the reactor.
#[derive(Debug)]
pub(super) struct Wait<'a> {
    server: &'a BroadcasterServer,
    pub(super) alarm: Alarm,
    stopped: EventListener,
    /// If there are others who hand in datagrams.
    filled: Option<EventListener>,
}

impl<'a> Wait<'a> {
    /// For as long as the server serves. That it is stopped, before or later, is to be looked up after each wait.
    pub(super) fn of(server: &'a BroadcasterServer) -> Self {
        let stopped = server.stopper.stop.1.listen();
        let filled = server.member.as_ref().and_then(|member| member.listen());
        Self { server, alarm: Alarm::unset(), stopped, filled }
    }

    /// Says that the server goes to sleep. Whether it may: not if there is mail.
    pub(super) fn may_sleep(&self) -> bool {
        self.server.member.as_ref().is_none_or(|member| member.sleep())
    }

    /// Ready when there may be something to do: a datagram, mail, a deadline, the word to stop. It may be ready for nothing.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(readable) = self.server.socket.poll_readable(context) {
            return Poll::Ready(readable);
        }
        // Once it is ready nobody waits any more.
        if self.stopped.poll(context).is_ready() || self.alarm.poll(context).is_ready() {
            return Poll::Ready(Ok(()));
        }
        let Some(filled) = &mut self.filled else { return Poll::Pending };
        ready!(Pin::new(filled).poll(context));
        self.filled = self.server.member.as_ref().and_then(|member| member.listen());
        Poll::Ready(Ok(()))
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
    pub(super) fn is_over(&mut self) {
        self.batches = 0;
    }
}
