//! What is to be done with events by their name.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock};

use crate::MessageRef;
use crate::wire::FramesIter;

/// What to do with an event of a peer. `P` is the runtime's handle of a peer.
pub type Handler<P> = Arc<dyn Fn(&P, MessageRef<'_>) + Send + Sync>;

/// Handlers by event name.
pub struct Handlers<P> {
    by_name: RwLock<BTreeMap<Vec<u8>, Handler<P>>>,
    /// Counts the changes.
    changes: AtomicUsize,
}

impl<P> Handlers<P> {
    /// No handlers.
    #[must_use]
    pub const fn new() -> Self {
        Self { by_name: RwLock::new(BTreeMap::new()), changes: AtomicUsize::new(0) }
    }

    /// Sets the handler of an event, in place of the one it had.
    pub fn set(&self, name: &str, handler: Handler<P>) {
        self.change(|by_name| drop(by_name.insert(name.as_bytes().to_vec(), handler)));
    }

    /// Takes the handler of an event away.
    pub fn remove(&self, name: &str) {
        self.change(|by_name| drop(by_name.remove(name.as_bytes())));
    }

    /// The handler of an event.
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<Handler<P>> {
        self.by_name.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Takes all handlers away.
    pub fn clear(&self) {
        self.change(BTreeMap::clear);
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<Vec<u8>, Handler<P>>)) {
        let mut by_name = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        change(&mut by_name);
        self.changes.fetch_add(1, Ordering::Release);
    }

    #[inline]
    fn changes(&self) -> usize {
        self.changes.load(Ordering::Acquire)
    }
}

/// Looks up the handlers of events that came together. The last one is remembered: for one event after the other of the
/// same name that costs two loads and a comparison, while each change of the handlers is seen by the next event.
pub struct Lookup<'a, P> {
    /// Where to look, in this order.
    places: [&'a Handlers<P>; 2],
    /// The name that was looked up last, none at first.
    name: Option<&'a [u8]>,
    /// How it begins, and which bits of that are its own.
    head: [u64; 2],
    /// What had changed until then.
    changes: [usize; 2],
    handler: Option<Handler<P>>,
}

impl<'a, P> Lookup<'a, P> {
    /// Looks among the handlers of a peer, and then among those of its mesh.
    #[must_use]
    pub fn new(of_peer: &'a Handlers<P>, of_mesh: &'a Handlers<P>) -> Self {
        Self { places: [of_peer, of_mesh], name: None, head: [0; 2], changes: [0; 2], handler: None }
    }

    /// The handler of an event.
    #[inline]
    #[must_use]
    pub fn find(&mut self, event: &MessageRef<'a>) -> Option<&Handler<P>> {
        let [of_peer, of_mesh] = self.places;
        let changes = [of_peer.changes(), of_mesh.changes()];
        if self.changes != changes || !self.is_last(event) {
            self.look_up(event.name(), changes);
        }
        self.handler.as_ref()
    }

    /// Whether the event has the name that was looked up last. To call for the comparison of a short one would cost more
    /// than all else here.
    #[inline]
    fn is_last(&self, event: &MessageRef<'a>) -> bool {
        let (Some(last), name) = (self.name, event.name()) else { return false };
        match event.body().first_chunk() {
            Some(head) if name.len() <= head.len() => {
                let [expected, own] = self.head;
                name.len() == last.len() && u64::from_le_bytes(*head) & own == expected
            }
            _ => name == last,
        }
    }

    /// Hands events to their handlers, in order: until there is none left, one has no handler, `most` had one, or `go_on`
    /// says no.
    pub fn hand_out(
        &mut self,
        peer: &P,
        events: &mut FramesIter<'a>,
        most: usize,
        go_on: impl Fn() -> bool,
    ) -> HandedOut<'a> {
        // Of its own, so that what is left needs no memory.
        let mut left = events.clone();
        let mut handed_out = HandedOut::Some;
        for _ in 0..most {
            let Some(event) = left.next().filter(|_| go_on()) else {
                handed_out = HandedOut::All;
                break;
            };
            let Some(handler) = self.find(&event) else {
                handed_out = HandedOut::Unhandled(event);
                break;
            };
            handler(peer, event);
        }
        *events = left;
        handed_out
    }

    #[cold]
    fn look_up(&mut self, name: &'a [u8], changes: [usize; 2]) {
        (self.name, self.changes) = (Some(name), changes);
        self.head = [0; 2];
        for byte in name.iter().take(8).rev() {
            let [head, own] = self.head;
            self.head = [head << 8 | u64::from(*byte), own << 8 | 0xff];
        }
        self.handler = self.places.iter().find_map(|place| place.get(name));
    }
}

/// How far [`Lookup::hand_out`] came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum HandedOut<'a> {
    /// All are handed out, or not wanted any more.
    All,
    /// As many as were asked for; there may be more.
    Some,
    /// This one has no handler; there may be more behind it.
    Unhandled(MessageRef<'a>),
}

impl<P> fmt::Debug for Lookup<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lookup").field("places", &self.places).finish_non_exhaustive()
    }
}

impl<P> Default for Handlers<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P> fmt::Debug for Handlers<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by_name = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        let names = by_name.keys().map(|name| String::from_utf8_lossy(name).into_owned());
        f.debug_set().entries(names).finish()
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use bytes::Bytes;

    use super::*;
    use crate::wire::FrameReader;

    /// A handler that leaves its mark.
    fn marking(mark: u8) -> Handler<RwLock<Vec<u8>>> {
        Arc::new(move |marks, _| marks.write().unwrap().push(mark))
    }

    #[test]
    fn an_event_has_the_handler_that_was_set_last() {
        let (handlers, marks) = (Handlers::default(), RwLock::default());
        handlers.set("a", marking(1));
        handlers.set("b", marking(2));
        handlers.set("a", marking(3));
        assert_eq!(std::format!("{handlers:?}"), r#"{"a", "b"}"#);
        for name in [b"a", b"b"] {
            handlers.get(name).unwrap()(&marks, MessageRef::new(&[], 0, &Bytes::new()));
        }
        assert_eq!(*marks.read().unwrap(), [3, 2]);
        handlers.remove("a");
        assert!(handlers.get(b"a").is_none() && handlers.get(b"b").is_some());
        handlers.clear();
        assert!(handlers.get(b"b").is_none());
    }

    #[test]
    fn a_lookup_sees_each_change() {
        let [peer, mesh]: [Handlers<RwLock<Vec<u8>>>; 2] = Default::default();
        let mut lookup = Lookup::new(&peer, &mesh);
        let marks = RwLock::default();
        let chunk = Bytes::new();
        let mut call = |name: &'static [u8]| {
            let event = MessageRef::new(name, name.len(), &chunk);
            let found = lookup.find(&event).map(|handler| handler(&marks, event));
            (found.is_some(), marks.read().unwrap().last().copied())
        };
        assert_eq!(call(b"a"), (false, None));
        mesh.set("a", marking(1));
        assert_eq!([call(b"a"), call(b"a")], [(true, Some(1)); 2]);
        peer.set("a", marking(2));
        assert_eq!(call(b"a"), (true, Some(2)), "that of the peer stands before it");
        peer.set("b", marking(3));
        assert_eq!(
            [call(b"b"), call(b"a"), call(b"c")],
            [(true, Some(3)), (true, Some(2)), (false, Some(2))]
        );
        peer.remove("a");
        assert_eq!(call(b"a"), (true, Some(1)));
        mesh.clear();
        assert_eq!(call(b"a"), (false, Some(1)));
    }

    #[test]
    fn a_lookup_tells_names_apart_of_any_length() {
        let names =
            ["", "a", "b", "ab", "a\0", "12345678", "1234567", "12345679", "123456789", "12345678a", "a"];
        let [peer, mesh]: [Handlers<RwLock<Vec<u8>>>; 2] = Default::default();
        for (mark, name) in (0..).zip(names) {
            mesh.set(name, marking(mark));
        }
        for payload in ["", "b", "12345678"] {
            let bodies = names.map(|name| [name, payload].concat());
            let (chunk, mut lookup, marks) = (Bytes::new(), Lookup::new(&peer, &mesh), RwLock::default());
            let mut expected = vec![];
            for (first, name) in names.iter().zip(&bodies) {
                for (second, other) in names.iter().zip(&bodies) {
                    for (name, body) in [(first, name), (second, other)] {
                        let event = MessageRef::new(body.as_bytes(), name.len(), &chunk);
                        lookup.find(&event).unwrap()(&marks, event);
                        expected.extend(
                            (0..).zip(names).filter(|(_, of)| of == name).map(|(mark, _)| mark).last(),
                        );
                    }
                }
            }
            assert_eq!(*marks.read().unwrap(), expected);
        }
    }

    #[test]
    fn events_are_handed_out_until_something_is_to_be_done() {
        let mut reader = FrameReader::new(100);
        reader.push(Bytes::from_static(b"\x05\0\0\0\x01\0\0\0a\x05\0\0\0\x01\0\0\0b").repeat(3).into());
        let frames = reader.next_frames().unwrap().unwrap();
        let [peer, mesh]: [Handlers<RwLock<Vec<u8>>>; 2] = Default::default();
        mesh.set("a", marking(1));
        let (mut lookup, mut events, marks) = (Lookup::new(&peer, &mesh), frames.iter(), RwLock::default());
        let mut hand_out =
            |most| lookup.hand_out(&marks, &mut events, most, || marks.read().unwrap().len() < 4);
        assert_eq!(hand_out(1), HandedOut::Some);
        assert!(matches!(hand_out(9), HandedOut::Unhandled(event) if event.is("b")));
        mesh.set("b", marking(2));
        assert_eq!(hand_out(2), HandedOut::Some);
        assert_eq!(hand_out(9), HandedOut::All);
        assert_eq!(*marks.read().unwrap(), [1, 1, 2, 1], "the last was not wanted");
    }
}
