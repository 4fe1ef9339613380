//! What must hold of links: what they let in, what they ask for, when they are idle.

use std::collections::BTreeMap;
use std::time::Duration;

use poolmesh_proto::{
    CloseReason, Instant, Link, LinkEvent, Links, Mesh, MeshConfig, PeerId, SendError, Write,
};

use super::frames::Frames;

/// So long after all memory was given back a link has told that there is room. It looks every 20 ms.
const TOLD_WITHIN: Duration = Duration::from_secs(1);

/// A driver that tells so late that a time is over has stood still.
const STALL: Duration = Duration::from_millis(100);

/// What a frame adds to its name and payload, in bytes: its own length and the name's.
const HEADER: usize = 8;

#[derive(Debug)]
struct Watched {
    /// The earliest and the latest time at which its peer may have been heard last.
    heard: (Instant, Instant),
    /// Bytes handed in since the last drain.
    unread: usize,
    /// An event was refused for want of room, and no room was told of since.
    refused: bool,
    /// A write was handed out that is not done.
    writing: bool,
    /// The frames that were handed out.
    written: Frames,
    /// The frames that were handed in.
    received: Frames,
    /// The earliest time at which the one that is not whole may have begun, and the latest once it was drained.
    begun: Option<(Instant, Option<Instant>)>,
    again: Again,
}

/// Whether a peer was given its time again, for the driver stood still, since a frame began or ended.
#[derive(Clone, Copy, Debug, Default)]
struct Again {
    perhaps: bool,
    surely: bool,
    /// It was by the only time told since the last drain: that can't end the link.
    now: bool,
    /// Its time may have been over before.
    due: bool,
    /// Since when it surely is, and was told: it has a second look.
    over: Option<Instant>,
}

impl Watched {
    /// The link is told a time. Comes that late, its peer is given its time again, once a frame.
    fn told(&mut self, config: &MeshConfig, now: Instant, only: bool) {
        // Told before that the time is over, it has been given a second look, not more.
        let (first, last) =
            if self.again.over.is_some() { (false, false) } else { self.late(config, STALL, now) };
        self.again.now = last && !self.again.perhaps && !self.again.due && only;
        if first && !self.again.surely {
            self.again.perhaps = true;
            self.heard.1 = self.heard.1.max(now);
            self.begun = self.begun.map(|(first, last)| (first, last.map(|last| last.max(now))));
        }
        let (due, over) = self.late(config, Duration::ZERO, now);
        self.again.due = due;
        self.again.over = self.again.over.filter(|_| over);
    }

    /// A frame begins or ends, or the link does: nothing was given again. Without any time its time is over at once.
    fn begins(&mut self, config: &MeshConfig, now: Instant) {
        let (due, _) = self.late(config, Duration::ZERO, now);
        self.again = Again { due, ..Again::default() };
    }

    /// Whether at `now` it is over its time by that much: if it was heard, and began, as early, and as late as can be.
    fn late(&self, config: &MeshConfig, by: Duration, now: Instant) -> (bool, bool) {
        let due = |since: Option<Instant>, timeout: Option<Duration>| {
            since.zip(timeout).is_some_and(|(since, timeout)| since + timeout + by <= now)
        };
        let (idle, frame) = (config.link.idle_timeout, config.link.frame_timeout);
        let (first, last) = (self.begun.map(|(first, _)| first), self.begun.and_then(|(_, last)| last));
        (
            due(Some(self.heard.0), idle) || due(first, frame),
            due(Some(self.heard.1), idle) || due(last, frame),
        )
    }

    /// It ends for a reason that there is.
    fn ends(&self, reason: CloseReason, config: &MeshConfig, now: Instant) -> Result<(), String> {
        let early = |since: Option<Instant>, timeout: Option<Duration>| {
            since.zip(timeout).is_none_or(|(since, timeout)| since + timeout + STALL > now)
        };
        let what = match reason {
            CloseReason::Idle if early(Some(self.heard.0), config.link.idle_timeout) => "G2: idle too early",
            CloseReason::FrameTooSlow { .. }
                if early(self.begun.map(|(first, _)| first), config.link.frame_timeout) =>
            {
                "G2: a frame too slow too early"
            }
            CloseReason::Idle | CloseReason::FrameTooSlow { .. } if self.again.now => {
                "G2: a driver that stood still has ended the link"
            }
            CloseReason::Remote if !self.received.whole() => "L2: ended well in the middle of a frame",
            CloseReason::CutShort if self.received.whole() => "L2: cut short between two frames",
            CloseReason::Local
            | CloseReason::Unwritten { .. }
            | CloseReason::Remote
            | CloseReason::CutShort
            | CloseReason::FrameTooLong { .. }
            | CloseReason::FrameTooSlow { .. }
            | CloseReason::Idle
            | CloseReason::Failed(_)
            | _ => return Ok(()),
        };
        Err(format!("{what}, {self:?}"))
    }
}

/// Follows the links of a mesh from outside.
#[derive(Debug)]
pub(in crate::sim) struct LinkCheck {
    config: MeshConfig,
    links: BTreeMap<PeerId, Watched>,
    /// Since when nothing is queued while somebody was refused.
    free: Option<Instant>,
    /// Whether a time was told since the last drain.
    told: bool,
    /// Whether the last one was the latest.
    exact: bool,
}

impl LinkCheck {
    pub(super) fn new(config: &MeshConfig) -> Self {
        Self { config: config.clone(), links: BTreeMap::new(), free: None, told: false, exact: true }
    }

    /// A link stands.
    pub(super) fn opened(&mut self, peer: PeerId, now: Instant) {
        let mut watched = Watched {
            heard: (now, now),
            unread: 0,
            refused: false,
            writing: false,
            written: Frames::START,
            received: Frames::START,
            begun: None,
            again: Again::default(),
        };
        watched.begins(&self.config, now);
        self.links.insert(peer, watched);
    }

    /// The links are told a time, `now` being the latest. If it isn't `exact`, their clock runs behind that, and they were
    /// told another.
    pub(super) fn told(&mut self, now: Instant, exact: bool) {
        let only = !std::mem::replace(&mut self.told, true) && exact;
        self.exact = exact;
        for link in self.links.values_mut() {
            link.told(&self.config, now, only);
        }
    }

    /// Bytes are handed to a link that has asked for them, at `now`; `latest` is the latest time the links were told.
    pub(super) fn bytes(
        &mut self,
        links: &Links,
        peer: PeerId,
        bytes: &[u8],
        now: Instant,
        latest: Instant,
    ) -> Result<(), String> {
        let Some(link) = self.links.get_mut(&peer) else { return Ok(()) };
        link.heard = (link.heard.0.max(now), link.heard.1.max(latest));
        if link.unread >= self.config.link.max_received.max(1) && links.get(peer).is_some_and(Link::is_open) {
            return Err(format!("P3: {peer} asks for more with {} bytes unread", link.unread));
        }
        link.unread += bytes.len();
        let begun = link.received.follow(bytes);
        if link.received.whole() {
            link.begun = None;
            link.begins(&self.config, latest);
        } else if begun > 0 {
            link.begun = Some((now, None));
            link.begins(&self.config, latest);
        }
        Ok(())
    }

    /// What became of an event of `len` bytes, its name and payload, where `queued` waited before.
    pub(in crate::sim) fn sent(
        &mut self,
        peer: PeerId,
        len: usize,
        queued: usize,
        mesh: &Mesh,
        result: Result<(), SendError>,
    ) -> Result<(), String> {
        let (frame, limits) = (HEADER + len, &self.config.link);
        let total = self.config.max_queued_total;
        match result {
            Ok(()) if queued > 0 && queued + frame > limits.max_queued => {
                Err(format!("P3: {frame} bytes were queued behind {queued} on {peer}"))
            }
            Err(SendError::Full) => {
                if let Some(link) = self.links.get_mut(&peer) {
                    link.refused = true;
                }
                if mesh.queued() == 0 {
                    return Err(format!("V6: {frame} bytes find no room on {peer}, where nothing waits"));
                }
                Ok(())
            }
            Err(SendError::TooLong { .. }) if frame - HEADER / 2 <= limits.max_frame && frame <= total => {
                Err(format!("L4: a frame of {frame} bytes is too long for {peer}"))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// A link has something to write.
    pub(super) fn writes(&mut self, peer: PeerId, write: &Write) -> Result<(), String> {
        let Some(link) = self.links.get_mut(&peer) else { return Ok(()) };
        if std::mem::replace(&mut link.writing, true) {
            return Err(format!("L2: {peer} writes before the last write is done"));
        }
        let Write::Bytes(bytes) = write else { return Ok(()) };
        let frames = link.written.follow(bytes);
        if bytes.len() > self.config.link.pack && frames > 1 {
            return Err(format!("P3: {peer} packs {frames} frames into {} bytes", bytes.len()));
        }
        Ok(())
    }

    pub(super) fn written(&mut self, peer: PeerId) {
        if let Some(link) = self.links.get_mut(&peer) {
            link.writing = false;
        }
    }

    /// An event of a link; `latest` is the latest time the links were told.
    pub(super) fn event(&mut self, peer: PeerId, event: &LinkEvent, latest: Instant) -> Result<(), String> {
        let Some(link) = self.links.get_mut(&peer) else {
            return Err(format!("L5: an event of {peer}, which is not there"));
        };
        match event {
            LinkEvent::Writable if !std::mem::take(&mut link.refused) => {
                Err(format!("V6: {peer} tells of room that nobody was denied"))
            }
            LinkEvent::Closed(reason) => {
                let result = link.ends(*reason, &self.config, latest);
                self.links.remove(&peer);
                result.map_err(|what| format!("{what}: {peer} at {latest:?}"))
            }
            LinkEvent::Received(_) | LinkEvent::Writable | _ => Ok(()),
        }
    }

    /// Everything was drained. `timeout`: the links were told the time before.
    pub(super) fn drained(
        &mut self,
        links: &Links,
        mesh: &Mesh,
        now: Instant,
        timeout: bool,
    ) -> Result<(), String> {
        self.told = false;
        let (count, here) = (links.peers().count(), self.links.len());
        if count != here {
            return Err(format!("P3: there are {count} links, where {here} were not told to have ended"));
        }
        if mesh.queued() > self.config.max_queued_total {
            return Err(format!("P3: {} bytes are queued on all links together", mesh.queued()));
        }
        let mut refused = None;
        for (peer, link) in &mut self.links {
            if std::mem::take(&mut link.unread) > 0 {
                // What was not looked at was no silence.
                link.heard.1 = link.heard.1.max(now);
            }
            if let Some((_, latest @ None)) = &mut link.begun {
                // A link may have been told a later time than the last one that all were told.
                *latest = Some(now.max(link.heard.1));
            }
            if link.refused {
                refused = refused.or(Some(*peer));
            }
        }
        self.look_for_room(refused.filter(|_| mesh.queued() == 0), now, timeout)?;
        if timeout { self.look_for_late(links, now) } else { Ok(()) }
    }

    /// Whoever was refused is told when there is room: at the latest when nothing at all waits any more.
    fn look_for_room(&mut self, refused: Option<PeerId>, now: Instant, timeout: bool) -> Result<(), String> {
        let Some(peer) = refused else {
            self.free = None;
            return Ok(());
        };
        // A send takes no time, so it may be long ago that the links were told one: it counts from the next.
        let since = match self.free {
            Some(since) => since,
            None if timeout => *self.free.insert(now),
            None => return Ok(()),
        };
        if timeout && since + TOLD_WITHIN <= now {
            return Err(format!("V6: {peer} has not told that there is room since {since:?}"));
        }
        Ok(())
    }

    /// No link outlives its idle timeout, or its frame timeout, but for a second look.
    fn look_for_late(&mut self, links: &Links, now: Instant) -> Result<(), String> {
        for (peer, link) in &mut self.links {
            if link.again.now {
                link.again.surely = true;
                link.heard.0 = now;
                link.begun = link.begun.map(|(_, last)| (now, last));
            }
            let (_, over) = link.late(&self.config, Duration::ZERO, now);
            let over = over && (self.exact || link.again.over.is_some());
            let since = *link.again.over.get_or_insert(now);
            link.again.over = Some(since).filter(|_| over);
            let late = over && since + STALL <= now;
            if late && links.get(*peer).is_some_and(Link::is_open) {
                return Err(format!("V4: {peer} lives at {now:?}, it is {link:?}"));
            }
        }
        Ok(())
    }
}
