//! What an event carries, on its way to a link.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};

use crate::Packet;

/// What an event is to carry.
///
/// Slices are copied into what is written. So are [`Bytes`], and what can become them, while they are short: from 16 KiB
/// on they are handed over as they are. Either way nothing is allocated for it.
#[derive(Clone, Debug)]
pub enum Payload<'a> {
    /// To be copied.
    Borrowed(&'a [u8]),
    /// To be handed over, if it is long.
    Shared(Bytes),
}

impl Payload<'_> {
    /// From this size on, in bytes, a payload is handed over by reference. Below it a copy into the packed write is
    /// cheaper than a piece of its own in that write.
    pub(crate) const BY_REFERENCE: usize = 16 * 1_024;

    /// Its bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.as_slice().len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is to be handed over, none if it is to be copied.
    pub(crate) fn by_reference(&self) -> Option<Bytes> {
        match self {
            Self::Shared(bytes) if bytes.len() >= Self::BY_REFERENCE => Some(bytes.clone()),
            Self::Borrowed(_) | Self::Shared(_) => None,
        }
    }
}

/// The same once more, for another link or another try.
impl<'a> From<&'a Payload<'_>> for Payload<'a> {
    fn from(payload: &'a Payload<'_>) -> Self {
        payload.by_reference().map_or(Self::Borrowed(payload.as_slice()), Self::Shared)
    }
}

impl<'a> From<&'a Bytes> for Payload<'a> {
    fn from(bytes: &'a Bytes) -> Self {
        if bytes.len() < Self::BY_REFERENCE { Self::Borrowed(bytes) } else { Self::Shared(bytes.clone()) }
    }
}

macro_rules! borrowed {
    ($($what:ty),*) => { $(
        impl<'a> From<&'a $what> for Payload<'a> {
            fn from(bytes: &'a $what) -> Self {
                Self::Borrowed(bytes.as_ref())
            }
        }
    )* };
}

macro_rules! shared {
    ($($what:ty),*) => { $(
        impl From<$what> for Payload<'_> {
            fn from(bytes: $what) -> Self {
                Self::Shared(bytes.into())
            }
        }
    )* };
}

borrowed!([u8], str, String, Vec<u8>, Packet);
shared!(Bytes, BytesMut, Vec<u8>, Box<[u8]>, String, Packet);

impl<'a, const N: usize> From<&'a [u8; N]> for Payload<'a> {
    fn from(bytes: &'a [u8; N]) -> Self {
        Self::Borrowed(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_long_and_owned_is_handed_over() {
        let long = alloc::vec![7; Payload::BY_REFERENCE];
        let short = alloc::vec![7; Payload::BY_REFERENCE - 1];
        let handed_over = |payload: Payload<'_>| payload.by_reference().is_some();
        assert!(!handed_over(Payload::from(&long)) && !handed_over(Payload::from(short.clone())));
        let bytes = Bytes::from(long);
        for payload in [Payload::from(bytes.clone()), Payload::from(&bytes)] {
            assert_eq!(payload.by_reference().unwrap().as_ptr(), bytes.as_ptr());
            assert_eq!(Payload::from(&payload).by_reference().unwrap().as_ptr(), bytes.as_ptr());
        }
        let short = Bytes::from(short);
        assert!(matches!(Payload::from(&short), Payload::Borrowed(_)));
        assert!(matches!(Payload::from(&Payload::Shared(short)), Payload::Borrowed(_)));
    }

    #[test]
    fn whatever_holds_bytes_is_a_payload() {
        let packet = Packet::new().u8(b'a').u8(b'b');
        let all = [
            Payload::from("ab"),
            Payload::from(b"ab"),
            Payload::from(&b"ab"[..]),
            Payload::from(&packet),
            Payload::from(packet.clone()),
            Payload::from(String::from("ab")),
            Payload::from(Bytes::from_static(b"ab")),
            Payload::from(BytesMut::from(&b"ab"[..])),
        ];
        assert!(
            all.iter()
                .all(|payload| payload.as_slice() == b"ab" && payload.len() == 2 && !payload.is_empty())
        );
    }
}
