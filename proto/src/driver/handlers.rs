//! What is to be done with events by their name.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use std::sync::{PoisonError, RwLock};

use crate::Message;

/// What to do with an event of a peer. `P` is the runtime's handle of a peer.
pub type Handler<P> = Arc<dyn Fn(&P, Message) + Send + Sync>;

/// Handlers by event name.
pub struct Handlers<P> {
    by_name: RwLock<BTreeMap<Vec<u8>, Handler<P>>>,
}

impl<P> Handlers<P> {
    /// No handlers.
    #[must_use]
    pub const fn new() -> Self {
        Self { by_name: RwLock::new(BTreeMap::new()) }
    }

    /// Sets the handler of an event, in place of the one it had.
    pub fn set(&self, name: &str, handler: Handler<P>) {
        let mut by_name = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        by_name.insert(name.as_bytes().to_vec(), handler);
    }

    /// Takes the handler of an event away.
    pub fn remove(&self, name: &str) {
        self.by_name.write().unwrap_or_else(PoisonError::into_inner).remove(name.as_bytes());
    }

    /// The handler of an event.
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<Handler<P>> {
        self.by_name.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Takes all handlers away.
    pub fn clear(&self) {
        self.by_name.write().unwrap_or_else(PoisonError::into_inner).clear();
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
    use bytes::Bytes;

    use super::*;

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
            handlers.get(name).unwrap()(&marks, Message::new(Bytes::new(), 0));
        }
        assert_eq!(*marks.read().unwrap(), [3, 2]);
        handlers.remove("a");
        assert!(handlers.get(b"a").is_none() && handlers.get(b"b").is_some());
        handlers.clear();
        assert!(handlers.get(b"b").is_none());
    }
}
