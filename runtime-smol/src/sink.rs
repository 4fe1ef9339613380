//! Sending as a sink.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use event_listener::EventListener;
use futures_sink::Sink;
use poolmesh_proto::SendError;

use crate::Peer;

/// Sends events to a peer as a [`Sink`] of pairs of name and payload.
///
/// It is ready when the event before has found room in the link. A flush waits until all is written to the
/// connection, a close disconnects after that.
#[derive(Debug)]
pub struct EventSink {
    peer: Peer,
    pending: Option<(Vec<u8>, Bytes)>,
    room: Option<EventListener>,
}

impl EventSink {
    pub(crate) fn new(peer: Peer) -> Self {
        Self { peer, pending: None, room: None }
    }

    /// Tries until it succeeds, each time something has been written.
    fn poll_until<T>(
        &mut self,
        context: &mut Context<'_>,
        attempt: impl Fn(&mut Self) -> Option<T>,
    ) -> Poll<T> {
        loop {
            // Listens before it tries, so that no change in between is missed.
            let mut room = self.room.take().unwrap_or_else(|| self.peer.room());
            if let Some(done) = attempt(self) {
                return Poll::Ready(done);
            }
            if Pin::new(&mut room).poll(context).is_pending() {
                self.room = Some(room);
                return Poll::Pending;
            }
        }
    }

    /// Hands the pending event to the link. None if there is no room.
    fn hand_over(&mut self) -> Option<Result<(), SendError>> {
        let Some((name, payload)) = &self.pending else { return Some(Ok(())) };
        match self.peer.try_send(name, payload) {
            Err(SendError::Full) => None,
            result => {
                self.pending = None;
                Some(result)
            }
        }
    }

    /// Whether all is written. None if not yet.
    fn written(&mut self) -> Option<Result<(), SendError>> {
        match self.peer.queued() {
            0 => Some(Ok(())),
            _ if self.peer.is_connected() => None,
            _ => Some(Err(SendError::Closed)),
        }
    }
}

impl<N: AsRef<[u8]>, P: Into<Bytes>> Sink<(N, P)> for EventSink {
    type Error = SendError;

    fn poll_ready(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        self.poll_until(context, Self::hand_over)
    }

    fn start_send(mut self: Pin<&mut Self>, (name, payload): (N, P)) -> Result<(), SendError> {
        let (name, payload) = (name.as_ref(), payload.into());
        match self.peer.try_send(name, &payload) {
            Err(SendError::Full) => {
                self.pending = Some((name.to_vec(), payload));
                Ok(())
            }
            result => result,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        ready!(self.poll_until(context, Self::hand_over))?;
        self.poll_until(context, Self::written)
    }

    fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        let peer = self.peer.clone();
        ready!(Sink::<(N, P)>::poll_flush(self, context))?;
        peer.disconnect();
        Poll::Ready(Ok(()))
    }
}
