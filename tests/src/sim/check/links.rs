//! What must hold of links: what they let in, what they ask for, when they are idle.

use std::collections::BTreeMap;
use std::time::Duration;

use poolmesh_proto::{CloseReason, Instant, LinkEvent, Links, Mesh, MeshConfig, PeerId, SendError, Write};

use super::frames::Frames;

/// So long after all memory was given back a link has told that there is room. It looks every 20 ms.
const TOLD_WITHIN: Duration = Duration::from_secs(1);

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
    frames: Frames,
}

/// Follows the links of a mesh from outside.
#[derive(Debug)]
pub(in crate::sim) struct LinkCheck {
    config: MeshConfig,
    links: BTreeMap<PeerId, Watched>,
    /// Since when nothing is queued while somebody was refused.
    free: Option<Instant>,
}

impl LinkCheck {
    pub(super) fn new(config: &MeshConfig) -> Self {
        Self { config: config.clone(), links: BTreeMap::new(), free: None }
    }

    /// A link stands.
    pub(super) fn opened(&mut self, peer: PeerId, now: Instant) {
        let watched =
            Watched { heard: (now, now), unread: 0, refused: false, writing: false, frames: Frames::START };
        self.links.insert(peer, watched);
    }

    /// Bytes are handed to a link that has asked for them, at `now`; `latest` is the latest time the links were told.
    pub(super) fn bytes(
        &mut self,
        links: &Links,
        peer: PeerId,
        len: usize,
        now: Instant,
        latest: Instant,
    ) -> Result<(), String> {
        let Some(link) = self.links.get_mut(&peer) else { return Ok(()) };
        link.heard = (link.heard.0.max(now), link.heard.1.max(latest));
        if link.unread >= self.config.link.max_received.max(1)
            && links.get(peer).is_some_and(|link| link.is_open())
        {
            return Err(format!("P3: {peer} asks for more with {} bytes unread", link.unread));
        }
        link.unread += len;
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
        let frames = link.frames.follow(bytes);
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
                let idle = self.config.link.idle_timeout.map(|timeout| link.heard.0 + timeout);
                let early = *reason == CloseReason::Idle && idle.is_none_or(|at| at > latest);
                let heard = link.heard;
                self.links.remove(&peer);
                if early {
                    return Err(format!("G2: {peer} is idle at {latest:?}, heard at {heard:?}"));
                }
                Ok(())
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
        let (count, here) = (links.peers().count(), self.links.len());
        if count != here {
            return Err(format!("P3: there are {count} links, where {here} were not told to have ended"));
        }
        if mesh.queued() > self.config.max_queued_total {
            return Err(format!("P3: {} bytes are queued on all links together", mesh.queued()));
        }
        let mut refused = None;
        for (peer, link) in &mut self.links {
            link.unread = 0;
            if link.refused {
                refused = refused.or(Some(*peer));
            }
        }
        self.look_for_room(refused.filter(|_| mesh.queued() == 0), now, timeout)?;
        if timeout { self.look_for_idle(links, now) } else { Ok(()) }
    }

    /// Whoever was refused is told when there is room: at the latest when nothing at all waits any more.
    fn look_for_room(&mut self, refused: Option<PeerId>, now: Instant, timeout: bool) -> Result<(), String> {
        let Some(peer) = refused else {
            self.free = None;
            return Ok(());
        };
        let since = *self.free.get_or_insert(now);
        if timeout && since + TOLD_WITHIN <= now {
            return Err(format!("V6: {peer} has not told that there is room since {since:?}"));
        }
        Ok(())
    }

    /// No link outlives its idle timeout.
    fn look_for_idle(&self, links: &Links, now: Instant) -> Result<(), String> {
        let Some(timeout) = self.config.link.idle_timeout else { return Ok(()) };
        let idle = self.links.iter().find(|(peer, link)| {
            link.heard.1 + timeout <= now && links.get(**peer).is_some_and(|link| link.is_open())
        });
        match idle {
            Some((peer, link)) => {
                Err(format!("V4: {peer} lives at {now:?}, silent since {:?}", link.heard.1))
            }
            None => Ok(()),
        }
    }
}
