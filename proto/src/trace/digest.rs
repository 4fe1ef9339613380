//! Many outputs in one number, the same on every machine.

use core::fmt::{self, Write};

use crate::{LinkEvent, LinksOutput, MeshOutput, Output};

/// What a polled output adds to a [`Digest`]: all that its driver or application can see of it.
///
/// A mark, then the output itself: 0 for a datagram (the text of where it goes, then its bytes), 2 for bytes that are
/// written to a link and 3 for an event that came over one (the text of the link's peer, then the bytes). For anything
/// else 1, and how it is printed for debugging.
pub trait Digested {
    /// Adds the output to `digest`.
    fn add_to(&self, digest: &mut Digest);
}

impl<E: fmt::Debug> Digested for Output<E> {
    fn add_to(&self, digest: &mut Digest) {
        match self {
            Self::Transmit(datagram) => {
                digest.marked(0, &datagram.destination, &[&datagram.payload]);
            }
            Self::Event(_) | Self::Wait(_) => digest.other(self),
        }
    }
}

impl Digested for MeshOutput {
    fn add_to(&self, digest: &mut Digest) {
        digest.other(self);
    }
}

impl Digested for LinksOutput {
    fn add_to(&self, digest: &mut Digest) {
        match self {
            Self::Write { peer, write: crate::Write::Bytes(bytes) } => digest.marked(2, peer, &[bytes]),
            // Printed for debugging it would not show its payload.
            Self::Event { peer, event: LinkEvent::Received(message) } => {
                digest.marked(3, peer, &[message.name(), message.payload()]);
            }
            Self::Write { .. } | Self::Event { .. } | Self::Wait(_) => digest.other(self),
        }
    }
}

/// A running digest: FNV-1a of 64 bits. It tells runs apart, and is no defence against anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest(u64);

impl Digest {
    /// The digest of nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// Takes in bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    /// Takes in what a value looks like when it is printed for debugging.
    pub fn debug(&mut self, value: &impl fmt::Debug) {
        // It never fails: `write_str` below doesn't.
        let _ = write!(self, "{value:?}");
    }

    /// Takes in an output that was polled, the final `Wait` among them: what [`Input::Polled`](super::Input::Polled)
    /// holds.
    pub fn output(&mut self, output: &impl Digested) {
        output.add_to(self);
    }

    fn other(&mut self, output: &impl fmt::Debug) {
        self.bytes(&[1]);
        self.debug(output);
    }

    /// Each part behind its length, so that none runs into the next.
    fn marked(&mut self, mark: u8, of: &impl fmt::Display, parts: &[&[u8]]) {
        self.bytes(&[mark]);
        // It never fails: `write_str` below doesn't.
        let _ = write!(self, "{of}");
        for part in parts {
            self.bytes(&(part.len() as u64).to_le_bytes());
            self.bytes(part);
        }
    }

    /// The digest so far.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl Default for Digest {
    fn default() -> Self {
        Self::new()
    }
}

impl Write for Digest {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{Instant, Message, PeerId, Transmit};

    #[test]
    fn known_digests() {
        let mut digest = Digest::new();
        digest.bytes(b"foobar");
        assert_eq!(digest.get(), 0x8594_4171_f739_67e8);
        let mut debug = Digest::new();
        debug.debug(&"foobar");
        assert_ne!(debug, digest, "with quotes");
    }

    fn of(output: &impl Digested) -> u64 {
        let mut digest = Digest::new();
        digest.output(output);
        digest.get()
    }

    #[test]
    fn everything_of_a_datagram_counts() {
        let datagram = |destination: &str, payload: &'static [u8]| {
            let destination = destination.parse().unwrap();
            of(&Output::<()>::Transmit(Transmit { destination, payload: Bytes::from_static(payload) }))
        };
        let digest = datagram("192.0.2.1:7", b"ab");
        assert_eq!(digest, datagram("192.0.2.1:7", b"ab"));
        assert_ne!(digest, datagram("192.0.2.1:7", b"ac"));
        assert_ne!(digest, datagram("192.0.2.1:8", b"ab"));
        // Its rule, step by step.
        let mut steps = Digest::new();
        for part in [b"\0".as_slice(), b"192.0.2.1:7", &2u64.to_le_bytes(), b"ab"] {
            steps.bytes(part);
        }
        assert_eq!(digest, steps.get());
    }

    #[test]
    fn a_wait_counts_with_its_deadline() {
        let wait = |micros| of(&Output::<()>::Wait(Some(Instant::from_micros(micros))));
        assert_ne!(wait(1), wait(2));
        assert_ne!(wait(1), of(&Output::<()>::Wait(None)));
        assert_ne!(wait(1), of(&MeshOutput::Wait(Some(Instant::from_micros(2)))));
    }

    #[test]
    fn the_bytes_of_links_count() {
        let peer = PeerId(3);
        let write = |bytes: &'static [u8]| {
            of(&LinksOutput::Write { peer, write: crate::Write::Bytes(Bytes::from_static(bytes)) })
        };
        assert_ne!(write(b"a"), write(b"b"));
        assert_ne!(write(b""), of(&LinksOutput::Write { peer, write: crate::Write::Finish }));
        let received = |body: &'static [u8], name_len| {
            let event = LinkEvent::Received(Message::new(Bytes::from_static(body), name_len));
            of(&LinksOutput::Event { peer, event })
        };
        assert_ne!(received(b"name1", 4), received(b"name2", 4), "of the same length");
        assert_ne!(received(b"name1", 4), received(b"name1", 5));
    }
}
