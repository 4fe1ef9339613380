//! What the host of a pool decides about it.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;

use super::field::{self, Field, Parsed, Put, allowed};
use super::{Address, Items, Metadata, Name, Seats};

const HIDDEN: u8 = 1;
const LOCKED: u8 = 2;
const ENDS_WITH_HOST: u8 = 4;

/// What the host of a pool decides about it (PROTOCOL.md, section 4), as it stands in a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spec<'a> {
    flags: u8,
    seats: Seats,
    name: Name<'a>,
    metadata: Metadata<'a>,
    broadcasters: Items<'a, Address>,
}

impl<'a> Spec<'a> {
    /// The most broadcasters that a pool names.
    pub const MAX_BROADCASTERS: usize = 4;

    /// The most bytes that one takes in a datagram.
    pub const MAX_LEN: usize =
        1 + 2 + 1 + Name::MAX_LEN + 2 + Metadata::MAX_LEN + 1 + Self::MAX_BROADCASTERS * Address::MAX_LEN;

    /// Whether no list names the pool.
    #[must_use]
    pub const fn hidden(&self) -> bool {
        self.flags & HIDDEN != 0
    }

    /// Whether nobody is admitted.
    #[must_use]
    pub const fn locked(&self) -> bool {
        self.flags & LOCKED != 0
    }

    /// Whether the pool ends when its host leaves.
    #[must_use]
    pub const fn ends_with_host(&self) -> bool {
        self.flags & ENDS_WITH_HOST != 0
    }

    /// How many members the pool may have.
    #[must_use]
    pub const fn seats(&self) -> Seats {
        self.seats
    }

    /// The pool's name.
    #[must_use]
    pub const fn name(&self) -> Name<'a> {
        self.name
    }

    /// What the pool says of itself.
    #[must_use]
    pub const fn metadata(&self) -> Metadata<'a> {
        self.metadata
    }

    /// The pool's broadcasters, in the order in which members turn to them: at most [`Spec::MAX_BROADCASTERS`]. None:
    /// the one that made it.
    #[must_use]
    pub const fn broadcasters(&self) -> Items<'a, Address> {
        self.broadcasters
    }
}

impl<'a> Field<'a> for Spec<'a> {
    /// `spec = u8 flags, seats, name, metadata, u8 count, count × address`; flags below 8, a count of at most 4
    fn read(input: &'a [u8]) -> Parsed<'a, Self> {
        let (input, flags) = field::byte(input)?;
        let known = HIDDEN | LOCKED | ENDS_WITH_HOST;
        let (input, flags) = allowed(input, (flags & !known == 0).then_some(flags))?;
        let (input, seats) = Seats::read(input)?;
        let (input, name) = Name::read(input)?;
        let (input, metadata) = Metadata::read(input)?;
        let (input, count) = field::byte(input)?;
        let few = usize::from(count) <= Self::MAX_BROADCASTERS;
        let (input, count) = allowed(input, few.then_some(count))?;
        let (rest, broadcasters) = Items::read(count, input)?;
        Ok((rest, Self { flags, seats, name, metadata, broadcasters }))
    }

    fn write(&self, out: &mut impl Put) {
        out.put_u8(self.flags);
        self.seats.write(out);
        self.name.write(out);
        self.metadata.write(out);
        out.put_u8(self.broadcasters.count_byte());
        self.broadcasters.write(out);
    }
}

/// What the host of a pool decides about it, to be kept: a [`Spec`] that owns its texts.
///
/// ```
/// use poolmesh_proto::wire::native::{PoolSpec, Seats};
///
/// let spec = PoolSpec::new(Seats::new(8).unwrap()).named("duel")?.hidden(true);
/// assert_eq!((spec.name(), spec.seats().get(), spec.is_hidden()), ("duel", 8, true));
/// # Ok::<(), poolmesh_proto::wire::native::InvalidSpec>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct PoolSpec {
    flags: u8,
    seats: Seats,
    broadcaster_count: u8,
    name: Box<str>,
    metadata: Box<[u8]>,
    /// The addresses as they are written.
    broadcasters: Box<[u8]>,
}

impl PoolSpec {
    /// A pool of so many seats: listed, open, going on without its host, without name, metadata and broadcasters.
    #[must_use]
    pub fn new(seats: Seats) -> Self {
        Self {
            flags: 0,
            seats,
            broadcaster_count: 0,
            name: Box::default(),
            metadata: Box::default(),
            broadcasters: Box::default(),
        }
    }

    fn flag(mut self, flag: u8, on: bool) -> Self {
        self.flags = if on { self.flags | flag } else { self.flags & !flag };
        self
    }

    /// Whether no list names the pool.
    #[must_use]
    pub fn hidden(self, hidden: bool) -> Self {
        self.flag(HIDDEN, hidden)
    }

    /// Whether nobody is admitted.
    #[must_use]
    pub fn locked(self, locked: bool) -> Self {
        self.flag(LOCKED, locked)
    }

    /// Whether the pool ends when its host leaves.
    #[must_use]
    pub fn ending_with_host(self, ends: bool) -> Self {
        self.flag(ENDS_WITH_HOST, ends)
    }

    /// With other seats.
    #[must_use]
    pub fn with_seats(mut self, seats: Seats) -> Self {
        self.seats = seats;
        self
    }

    /// With this name.
    ///
    /// # Errors
    /// If it is longer than [`Name::MAX_LEN`] bytes.
    pub fn named(mut self, name: &str) -> Result<Self, InvalidSpec> {
        let name = Name::new(name).map_err(|error| InvalidSpec::Name { len: error.len })?;
        self.name = name.get().into();
        Ok(self)
    }

    /// With this metadata.
    ///
    /// # Errors
    /// If it is longer than [`Metadata::MAX_LEN`] bytes.
    pub fn with_metadata(mut self, metadata: &[u8]) -> Result<Self, InvalidSpec> {
        let metadata = Metadata::new(metadata).map_err(|error| InvalidSpec::Metadata { len: error.len })?;
        self.metadata = metadata.get().into();
        Ok(self)
    }

    /// With these broadcasters, in the order in which members turn to them. None: the one that makes the pool.
    ///
    /// # Errors
    /// If they are more than [`Spec::MAX_BROADCASTERS`].
    pub fn with_broadcasters(mut self, broadcasters: &[Address]) -> Result<Self, InvalidSpec> {
        let invalid = InvalidSpec::Broadcasters { count: broadcasters.len() };
        if broadcasters.len() > Spec::MAX_BROADCASTERS {
            return Err(invalid);
        }
        let mut written = Written(Vec::with_capacity(broadcasters.len() * Address::MAX_LEN));
        for address in broadcasters {
            address.write(&mut written);
        }
        self.broadcasters = written.0.into();
        self.broadcaster_count = u8::try_from(broadcasters.len()).map_err(|_| invalid)?;
        Ok(self)
    }

    /// Whether no list names the pool.
    #[must_use]
    pub const fn is_hidden(&self) -> bool {
        self.flags & HIDDEN != 0
    }

    /// Whether nobody is admitted.
    #[must_use]
    pub const fn is_locked(&self) -> bool {
        self.flags & LOCKED != 0
    }

    /// Whether the pool ends when its host leaves.
    #[must_use]
    pub const fn ends_with_host(&self) -> bool {
        self.flags & ENDS_WITH_HOST != 0
    }

    /// How many members the pool may have.
    #[must_use]
    pub const fn seats(&self) -> Seats {
        self.seats
    }

    /// The pool's name, which may be empty.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the pool says of itself: any bytes.
    #[must_use]
    pub fn metadata(&self) -> &[u8] {
        &self.metadata
    }

    /// The pool's broadcasters, in the order in which members turn to them. None: the one that made it.
    pub fn broadcasters(&self) -> impl Iterator<Item = SocketAddr> {
        self.as_spec().broadcasters.into_iter().map(Address::get)
    }

    /// The spec as it is written.
    #[must_use]
    pub fn as_spec(&self) -> Spec<'_> {
        Spec {
            flags: self.flags,
            seats: self.seats,
            // Both are within their bounds since they were taken.
            name: Name::new(&self.name).unwrap_or_default(),
            metadata: Metadata::new(&self.metadata).unwrap_or_default(),
            broadcasters: Items::checked(&self.broadcasters, self.broadcaster_count),
        }
    }
}

/// [`PoolSpec::new`] with [`Seats::DEFAULT`].
impl Default for PoolSpec {
    fn default() -> Self {
        Self::new(Seats::DEFAULT)
    }
}

impl From<Spec<'_>> for PoolSpec {
    fn from(spec: Spec<'_>) -> Self {
        let mut broadcasters = Written(Vec::new());
        spec.broadcasters.write(&mut broadcasters);
        Self {
            flags: spec.flags,
            seats: spec.seats,
            broadcaster_count: spec.broadcasters.count_byte(),
            name: spec.name.get().into(),
            metadata: spec.metadata.get().into(),
            broadcasters: broadcasters.0.into(),
        }
    }
}

impl fmt::Debug for PoolSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_spec().fmt(f)
    }
}

struct Written(Vec<u8>);

impl Put for Written {
    fn put(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
}

/// Why something can't be the spec of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidSpec {
    /// The name is longer than [`Name::MAX_LEN`] bytes.
    Name {
        /// Its length in bytes.
        len: usize,
    },
    /// The metadata is longer than [`Metadata::MAX_LEN`] bytes.
    Metadata {
        /// Its length in bytes.
        len: usize,
    },
    /// There are more broadcasters than [`Spec::MAX_BROADCASTERS`].
    Broadcasters {
        /// How many.
        count: usize,
    },
}

impl fmt::Display for InvalidSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name { len } => {
                write!(f, "a pool's name of {len} bytes is longer than {} bytes", Name::MAX_LEN)
            }
            Self::Metadata { len } => {
                write!(f, "a pool's metadata of {len} bytes is longer than {} bytes", Metadata::MAX_LEN)
            }
            Self::Broadcasters { count } => {
                write!(f, "a pool names at most {} broadcasters, not {count}", Spec::MAX_BROADCASTERS)
            }
        }
    }
}

impl core::error::Error for InvalidSpec {}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::super::fault::{Fault, fault};
    use super::*;

    fn whole() -> PoolSpec {
        let addresses = ["[2001:db8::1]:1", "192.0.2.1:2"].map(|text| text.parse().unwrap());
        let addresses = addresses.map(|address| Address::new(address).unwrap());
        let spec = PoolSpec::new(Seats::new(2).unwrap()).locked(true).named("ä").unwrap();
        spec.with_metadata(b"m").unwrap().with_broadcasters(&addresses).unwrap()
    }

    #[test]
    fn a_spec_is_kept_as_it_was_read() {
        let spec = whole();
        let mut out = BytesMut::new();
        spec.as_spec().write(&mut out);
        assert_eq!(&out[..9], [2, 2, 0, 2, 0xc3, 0xa4, 1, 0, b'm']);
        out.extend_from_slice(b"rest");
        let (rest, read) = Spec::read(&out).unwrap();
        assert_eq!((rest, read, PoolSpec::from(read)), (&b"rest"[..], spec.as_spec(), spec.clone()));
        assert_eq!(alloc::format!("{spec:?}"), alloc::format!("{read:?}"));
        assert!(alloc::format!("{spec:?}").contains("192.0.2.1:2"), "{spec:?}");
        assert_eq!(read.broadcasters().len(), 2);
        assert_eq!((read.hidden(), read.locked(), read.ends_with_host()), (false, true, false));
        assert_eq!((spec.is_hidden(), spec.is_locked(), spec.ends_with_host()), (false, true, false));
        let other = spec.clone().hidden(true).locked(false).ending_with_host(true);
        assert_eq!((other.is_hidden(), other.is_locked(), other.ends_with_host()), (true, false, true));
        assert_eq!((spec.seats().get(), spec.name(), spec.metadata()), (2, "ä", &b"m"[..]));
        let broadcasters: Vec<_> = spec.broadcasters().map(|address| alloc::format!("{address}")).collect();
        assert_eq!(broadcasters, ["[2001:db8::1]:1", "192.0.2.1:2"]);
    }

    #[test]
    fn a_flag_is_set_and_cleared_alone() {
        let flags = |spec: PoolSpec| spec.flags;
        assert_eq!(flags(whole().hidden(true)), 3);
        assert_eq!(flags(whole().ending_with_host(true)), 6);
        assert_eq!(flags(whole().locked(false)), 0);
        assert_eq!(flags(whole().locked(true)), 2, "set as it was");
    }

    #[test]
    fn what_is_beyond_its_bounds_is_neither_built_nor_read() {
        let spec = || PoolSpec::new(Seats::new(1).unwrap());
        let address = Address::new("192.0.2.1:2".parse().unwrap()).unwrap();
        assert_eq!(spec().named(&"x".repeat(65)), Err(InvalidSpec::Name { len: 65 }));
        assert_eq!(spec().with_metadata(&[0; 513]), Err(InvalidSpec::Metadata { len: 513 }));
        assert_eq!(spec().with_broadcasters(&[address; 5]), Err(InvalidSpec::Broadcasters { count: 5 }));
        assert!(spec().with_broadcasters(&[address; 4]).is_ok());
        let said = [
            (InvalidSpec::Name { len: 65 }, "a pool's name of 65 bytes is longer than 64 bytes"),
            (InvalidSpec::Metadata { len: 513 }, "a pool's metadata of 513 bytes is longer than 512 bytes"),
            (InvalidSpec::Broadcasters { count: 5 }, "a pool names at most 4 broadcasters, not 5"),
        ];
        for (invalid, text) in said {
            assert_eq!(alloc::format!("{invalid}"), text);
        }
        let read = |bytes: &[u8]| Spec::read(bytes).map(|_| ()).map_err(fault);
        assert_eq!(read(&[7, 1, 0, 0, 0, 0, 0]), Ok(()));
        assert_eq!(read(&[8, 1, 0, 0, 0, 0, 0]), Err(Fault::BadValue));
        assert_eq!(read(&[0, 0, 0, 0, 0, 0, 0]), Err(Fault::BadValue));
        assert_eq!(read(&[0, 1, 0, 0, 0, 0, 5]), Err(Fault::BadValue));
        assert_eq!(read(&[0, 1, 0, 0, 0, 0, 4]), Err(Fault::Truncated));
    }
}
