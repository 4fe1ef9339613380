//! What goes in at one end of a connection, and comes out at the other.

use poolmesh_proto::{CloseReason, Message};

use super::{Verdict, Wrong, check};

/// One direction of a connection between two links: the events come out as a prefix of what went in, in order, each
/// once, until the link that takes them ends with a reason.
#[derive(Debug, Default)]
pub struct StreamModel {
    /// Every event that the sending link took.
    sent: Vec<(Vec<u8>, Vec<u8>)>,
    received: usize,
    /// Why the sending link ended, if it has.
    sender: Option<CloseReason>,
    /// Why the receiving link ended, if it has.
    receiver: Option<CloseReason>,
}

impl StreamModel {
    /// The sending link took an event.
    ///
    /// # Errors
    /// If it had told its end before.
    pub fn sent(&mut self, name: &[u8], payload: &[u8]) -> Verdict {
        check(self.sender.is_none(), || "an event was taken after the end".into())?;
        self.sent.push((name.to_vec(), payload.to_vec()));
        Ok(())
    }

    /// The receiving link gave an event.
    ///
    /// # Errors
    /// If it is not the next that was sent.
    pub fn received(&mut self, message: &Message) -> Verdict {
        check(self.receiver.is_none(), || format!("{message:?} after the end"))?;
        let Some((name, payload)) = self.sent.get(self.received) else {
            return Err(Wrong(format!("{message:?} was never sent")));
        };
        check(message.name() == name && message.payload() == payload, || {
            format!(
                "event {} is {message:?}, but sent was \"{}\" with {} bytes",
                self.received,
                name.escape_ascii(),
                payload.len()
            )
        })?;
        self.received += 1;
        Ok(())
    }

    /// The sending link has told its end.
    ///
    /// # Errors
    /// If it had told it before.
    pub fn sender_ended(&mut self, reason: CloseReason) -> Verdict {
        check(self.sender.is_none(), || format!("it ended twice, the second time: {reason}"))?;
        self.sender = Some(reason);
        Ok(())
    }

    /// The receiving link has told its end. `lossless` if every byte that was written to the connection came out of
    /// it: a link that says its peer closed has then given all that was sent.
    ///
    /// # Errors
    /// If it had told it before, or gives another reason than what happened, or gave less.
    pub fn receiver_ended(&mut self, reason: CloseReason, lossless: bool) -> Verdict {
        check(self.receiver.is_none(), || format!("it ended twice, the second time: {reason}"))?;
        self.receiver = Some(reason);
        let all = self.received == self.sent.len();
        check(all || reason != CloseReason::Remote || !lossless, || {
            format!("the peer closed, and {} of {} events came", self.received, self.sent.len())
        })?;
        check(reason != CloseReason::CutShort || !lossless, || "cut short, but nothing was cut".into())?;
        check(!matches!(reason, CloseReason::FrameTooLong { .. }), || {
            format!("{reason}, but the peer's limits are the same")
        })
    }

    /// How many events came.
    #[must_use]
    pub fn count(&self) -> usize {
        self.received
    }

    /// Whether both ends have ended as they should where nothing went wrong: the sender wrote all, and all came.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.received == self.sent.len()
    }
}
