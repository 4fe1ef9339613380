//! What members say to their broadcaster (PROTOCOL.md, section 5).

use bytes::BytesMut;

use super::datagram::{Closed, Draft, FIRST_BYTE, LEAST_MESSAGE};
use super::fault::{Fault, fault};
use super::field::{self, Field, Parsed, Put};
use super::sip::{same, tag};
use super::{About, Cookie, Epoch, Handle, Key, Member, Spec};

/// What a member says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// The member's place at the broadcaster.
    pub handle: Handle,
    /// Its count in the session, from 1 on: pings, questions and moves have one together, orders another.
    pub count: u32,
    /// What is said.
    pub act: Act<'a>,
}

/// What a member says to its broadcaster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act<'a> {
    /// It is alive, and has the roster of this epoch, if any.
    Ping(Option<Epoch>),
    /// It asks for the pages of the roster from this member on, eight at most; none: from the first, with the spec.
    Ask(Option<Member>),
    /// It is at another address, as the cookie shows.
    Move(Cookie),
    /// It leaves.
    Leave,
    /// It says something else of itself.
    About(About<'a>),
    /// The host decides something else.
    Change(Spec<'a>),
    /// The host sends a member away.
    Kick(Member),
    /// The host makes a member host.
    Hand(Member),
    /// The host ends the pool.
    Close,
}

const PING: u8 = 0x10;
const ASK: u8 = 0x11;
const MOVE: u8 = 0x12;
const LEAVE: u8 = 0x18;
const ABOUT: u8 = 0x19;
const CHANGE: u8 = 0x1a;
const KICK: u8 = 0x1b;
const HAND: u8 = 0x1c;
const CLOSE: u8 = 0x1d;

/// Whether it is the type of a member's message.
pub(super) fn is_message(kind: u8) -> bool {
    matches!(kind, PING | ASK | MOVE | LEAVE | ABOUT | CHANGE | KICK | HAND | CLOSE)
}

/// A member's message whose tag has not been looked at: anybody can write one.
#[derive(Clone, Copy, Debug)]
pub struct UnverifiedMessage<'a> {
    closed: Closed<'a>,
    handle: Handle,
    count: u32,
}

impl<'a> UnverifiedMessage<'a> {
    /// `message = u32 handle, u32 count, act`; at least 30 bytes in all
    pub(super) fn read(closed: Closed<'a>) -> Result<Self, Fault> {
        if closed.len() < LEAST_MESSAGE {
            return Err(Fault::Truncated);
        }
        let (input, handle) = Handle::read(closed.fields).map_err(fault)?;
        let (fields, count) = field::u32(input).map_err(fault)?;
        Ok(Self { closed: closed.with_fields(fields), handle, count })
    }

    /// The place of the member that it says it is of.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle
    }

    /// Its count.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The message, if its tag is right. The key is that of the session at its handle.
    ///
    /// # Errors
    /// What is wrong with it, first of all its tag.
    pub fn verify(&self, key: &Key) -> Result<Message<'a>, Fault> {
        self.closed.check(key)?;
        let (_, act) = act(self.closed.kind, self.closed.fields).map_err(fault)?;
        Ok(Message { handle: self.handle, count: self.count, act })
    }
}

fn act(kind: u8, input: &[u8]) -> Parsed<'_, Act<'_>> {
    match kind {
        PING => ping(input),
        ASK => field::u32(input).map(|(rest, from)| (rest, Act::Ask(Member::new(from)))),
        MOVE => Cookie::read(input).map(|(rest, cookie)| (rest, Act::Move(cookie))),
        LEAVE => Ok((input, Act::Leave)),
        ABOUT => About::read(input).map(|(rest, about)| (rest, Act::About(about))),
        CHANGE => Spec::read(input).map(|(rest, spec)| (rest, Act::Change(spec))),
        KICK => Member::read(input).map(|(rest, member)| (rest, Act::Kick(member))),
        HAND => Member::read(input).map(|(rest, member)| (rest, Act::Hand(member))),
        CLOSE => Ok((input, Act::Close)),
        _ => Err(nom::Err::Error(Fault::UnknownType)),
    }
}

/// `ping = u64 era, u32 number`; the number is 0 only if the era is
fn ping(input: &[u8]) -> Parsed<'_, Act<'_>> {
    Option::<Epoch>::read(input).map(|(rest, epoch)| (rest, Act::Ping(epoch)))
}

/// A ping that names an epoch, of the least length, as nearly all datagrams are: read at once. What it says is looked at
/// before its tag.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QuickPing<'a> {
    pub(crate) handle: Handle,
    pub(crate) count: u32,
    pub(crate) era: u64,
    /// Not 0.
    pub(crate) number: u32,
    tagged: &'a [u8; LEAST_MESSAGE - 8],
    tag: &'a [u8; 8],
}

impl<'a> QuickPing<'a> {
    /// None if it is anything else.
    #[inline]
    pub(crate) fn read(datagram: &'a [u8]) -> Option<Self> {
        let whole = <&[u8; LEAST_MESSAGE]>::try_from(datagram).ok()?;
        let (tagged, tag) = whole.split_first_chunk::<{ LEAST_MESSAGE - 8 }>()?;
        let [FIRST_BYTE, PING, fields @ ..] = tagged else { return None };
        let (handle, rest) = fields.split_first_chunk()?;
        let (count, rest) = rest.split_first_chunk()?;
        let (era, number) = rest.split_first_chunk()?;
        let number = u32::from_le_bytes(*number.first_chunk()?);
        let (handle, count) = (Handle(u32::from_le_bytes(*handle)), u32::from_le_bytes(*count));
        let era = u64::from_le_bytes(*era);
        let tag = tag.first_chunk()?;
        (number != 0).then_some(Self { handle, count, era, number, tagged, tag })
    }

    /// Whether its tag is that of this key.
    #[inline]
    pub(crate) fn is_of(&self, key: &Key) -> bool {
        same(self.tag, &tag(key, self.tagged))
    }
}

impl Act<'_> {
    /// Whether it is an order: it has a count of its own kind and is answered by `Done`.
    #[must_use]
    pub const fn is_order(&self) -> bool {
        match self {
            Self::Ping(_) | Self::Ask(_) | Self::Move(_) => false,
            Self::Leave | Self::About(_) | Self::Change(_) | Self::Kick(_) | Self::Hand(_) | Self::Close => {
                true
            }
        }
    }

    const fn kind(&self) -> u8 {
        match self {
            Self::Ping(_) => PING,
            Self::Ask(_) => ASK,
            Self::Move(_) => MOVE,
            Self::Leave => LEAVE,
            Self::About(_) => ABOUT,
            Self::Change(_) => CHANGE,
            Self::Kick(_) => KICK,
            Self::Hand(_) => HAND,
            Self::Close => CLOSE,
        }
    }

    fn write(&self, out: &mut impl Put) {
        match self {
            Self::Ping(None) => out.put(&[0; 12]),
            Self::Ping(Some(epoch)) => epoch.write(out),
            Self::Ask(from) => out.put_u32(from.map_or(0, Member::get)),
            Self::Move(cookie) => cookie.write(out),
            Self::About(about) => about.write(out),
            Self::Change(spec) => spec.write(out),
            Self::Kick(member) | Self::Hand(member) => member.write(out),
            Self::Leave | Self::Close => {}
        }
    }
}

impl Message<'_> {
    /// Appends the message to `out`, with the key of the session: 30 to 677 bytes.
    pub fn write(&self, key: &Key, out: &mut BytesMut) {
        let mut draft = Draft::new(out, self.act.kind());
        self.handle.write(&mut draft);
        draft.put_u32(self.count);
        self.act.write(&mut draft);
        draft.pad(LEAST_MESSAGE);
        draft.finish(key);
    }
}
