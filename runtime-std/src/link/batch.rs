//! Many events on their way to one peer.

use poolmesh_proto::{Batch, Payload, SendError};

use super::Peer;

/// Events for one peer that are packed before they are sent: by [`Peer::batch`].
///
/// They are sent when they fill a write ([`LinkConfig::pack`](poolmesh_proto::LinkConfig::pack)), by
/// [`flush`](Self::flush), and when this is dropped, if there is room: if not, they are lost. A loop that must not wait
/// sends them by [`try_flush`](Self::try_flush), and tries again later if there is no room.
///
/// ```no_run
/// # fn send(peer: &poolmesh_std::Peer) -> Result<(), poolmesh_std::SendError> {
/// let mut batch = peer.batch();
/// for number in 0..1_000_000u32 {
///     batch.send("number", &number.to_le_bytes())?;
/// }
/// batch.flush()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use]
pub struct SendBatch<'a> {
    peer: &'a Peer,
    batch: Batch,
}

impl<'a> SendBatch<'a> {
    pub(super) fn new(peer: &'a Peer) -> Self {
        Self { peer, batch: peer.shared.lock().link.batch() }
    }

    /// Adds an event. If the batch is full, what it holds is sent first, which waits as [`Peer::send`] does.
    ///
    /// # Errors
    /// If the event is too long, or the link closed when the batch was full.
    #[inline]
    pub fn send<'p>(
        &mut self,
        name: impl AsRef<[u8]>,
        payload: impl Into<Payload<'p>>,
    ) -> Result<(), SendError> {
        let (name, payload) = (name.as_ref(), payload.into());
        while !self.batch.push_payload(name, &payload)? {
            self.flush()?;
        }
        Ok(())
    }

    /// Adds an event, unless the batch is full: then it says no, and is to be [flushed](Self::flush) first.
    ///
    /// # Errors
    /// If the event is too long.
    #[inline]
    pub fn push<'p>(
        &mut self,
        name: impl AsRef<[u8]>,
        payload: impl Into<Payload<'p>>,
    ) -> Result<bool, SendError> {
        self.batch.push(name, payload)
    }

    /// Sends what it holds; waits, without limit, until all that was sent before is written.
    ///
    /// # Errors
    /// If the link is closed.
    pub fn flush(&mut self) -> Result<(), SendError> {
        let shared = &self.peer.shared;
        let mut state = shared.lock();
        let before = state.link.sent_until();
        loop {
            if !state.link.wants_batch(before) {
                state = shared.wait_for_room(state, None);
                continue;
            }
            match shared.send_batch(&mut state, &mut self.batch) {
                Err(SendError::Full) => state = shared.wait_for_room(state, None),
                result => return result,
            }
        }
    }

    /// Sends what it holds if there is room for all of it now.
    ///
    /// # Errors
    /// If there is no room, or the link is closed. Then it holds the same as before.
    pub fn try_flush(&mut self) -> Result<(), SendError> {
        let shared = &self.peer.shared;
        shared.send_batch(&mut shared.lock(), &mut self.batch)
    }
}

impl Drop for SendBatch<'_> {
    fn drop(&mut self) {
        let _ = self.try_flush();
    }
}
