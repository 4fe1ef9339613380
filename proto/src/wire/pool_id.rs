//! The name of a pool.

use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::str::FromStr;

/// The name of a pool: 1 to [`PoolId::MAX_LEN`] bytes without a space, which separates the items of a list on the
/// classic wire.
///
/// gop2p and [`Broadcaster`](crate::Broadcaster) use lower-case UUIDs; nothing depends on that.
///
/// ```
/// use poolmesh_proto::PoolId;
///
/// let id: PoolId = "306c97f9-4b65-451f-a914-68a573d71508".parse()?;
/// assert_eq!(id.as_bytes().len(), 36);
/// assert!("two words".parse::<PoolId>().is_err());
/// # Ok::<(), poolmesh_proto::InvalidPoolId>(())
/// ```
#[derive(Clone, Copy)]
pub struct PoolId {
    len: u8,
    bytes: [u8; Self::MAX_LEN],
}

impl PoolId {
    /// The longest id, in bytes.
    pub const MAX_LEN: usize = 63;

    /// Takes `id` as the name of a pool.
    ///
    /// # Errors
    /// If it is empty, too long, or holds a space.
    pub fn new(id: &[u8]) -> Result<Self, InvalidPoolId> {
        if id.is_empty() {
            return Err(InvalidPoolId::Empty);
        }
        if id.contains(&b' ') {
            let at = id.iter().take_while(|byte| **byte != b' ').count();
            return Err(InvalidPoolId::Space { at });
        }
        let mut bytes = [0; Self::MAX_LEN];
        let (Some(room), Ok(len)) = (bytes.get_mut(..id.len()), u8::try_from(id.len())) else {
            return Err(InvalidPoolId::TooLong { len: id.len() });
        };
        room.copy_from_slice(id);
        Ok(Self { len, bytes })
    }

    /// Takes the text of a UUID as a name.
    pub(crate) fn of_uuid(text: [u8; 36]) -> Self {
        let mut bytes = [0; Self::MAX_LEN];
        if let Some(room) = bytes.first_chunk_mut() {
            *room = text;
        }
        Self { len: 36, bytes }
    }

    /// The id's bytes. They need not be UTF-8.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

impl FromStr for PoolId {
    type Err = InvalidPoolId;

    fn from_str(id: &str) -> Result<Self, Self::Err> {
        Self::new(id.as_bytes())
    }
}

impl TryFrom<&[u8]> for PoolId {
    type Error = InvalidPoolId;

    fn try_from(id: &[u8]) -> Result<Self, Self::Error> {
        Self::new(id)
    }
}

/// The id as text; bytes that are not printable ASCII are escaped, so that an id can't forge a line.
impl fmt::Display for PoolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_bytes().escape_ascii())
    }
}

impl fmt::Debug for PoolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PoolId({self})")
    }
}

impl PartialEq for PoolId {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for PoolId {}

impl PartialOrd for PoolId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for PoolId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl Hash for PoolId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

/// Why something can't be a pool id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidPoolId {
    /// It is empty.
    Empty,
    /// It is longer than [`PoolId::MAX_LEN`].
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// It holds a space.
    Space {
        /// The place of the first one, in bytes from the start.
        at: usize,
    },
}

impl fmt::Display for InvalidPoolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("a pool id can't be empty"),
            Self::TooLong { len } => {
                write!(f, "a pool id of {len} bytes is longer than {} bytes", PoolId::MAX_LEN)
            }
            Self::Space { at } => write!(f, "a pool id can't hold a space (there is one at byte {at})"),
        }
    }
}

impl core::error::Error for InvalidPoolId {}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn what_cannot_be_encoded_cannot_be_built() {
        assert_eq!(PoolId::new(b""), Err(InvalidPoolId::Empty));
        assert_eq!(PoolId::try_from(&b"a b"[..]), Err(InvalidPoolId::Space { at: 1 }));
        assert_eq!(PoolId::new(&[b'x'; 64]), Err(InvalidPoolId::TooLong { len: 64 }));
        assert_eq!(PoolId::new(&[b'x'; 300]), Err(InvalidPoolId::TooLong { len: 300 }));
        assert_eq!(PoolId::new(&[b'x'; 63]).unwrap().as_bytes(), &[b'x'; 63]);
    }

    #[test]
    fn shows_no_raw_control_bytes() {
        let id = PoolId::new(b"a\n\xff").unwrap();
        assert_eq!(
            (id.to_string(), alloc::format!("{id:?}")),
            ("a\\n\\xff".into(), "PoolId(a\\n\\xff)".into())
        );
    }

    #[test]
    fn different_ids_have_different_hashes() {
        let hash = |id: &[u8]| {
            let mut hasher = std::hash::DefaultHasher::new();
            PoolId::new(id).unwrap().hash(&mut hasher);
            hasher.finish()
        };
        assert_eq!(hash(b"a"), hash(b"a"));
        assert_ne!(hash(b"a"), hash(b"b"));
    }
}
