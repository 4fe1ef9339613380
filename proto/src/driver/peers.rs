//! The links of a mesh.

use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Values;
use alloc::sync::Arc;

use crate::PeerId;

/// The links of a mesh by their peers' ids, and all of them for whoever sends to all: a list that is made anew when a link
/// has come or gone, so that in between nobody takes hold of each link to go through them.
#[derive(Debug)]
pub struct Peers<P> {
    by_id: BTreeMap<PeerId, P>,
    /// None since a link has come or gone.
    all: Option<Arc<[P]>>,
}

impl<P> Default for Peers<P> {
    fn default() -> Self {
        Self { by_id: BTreeMap::new(), all: None }
    }
}

impl<P: Clone> Peers<P> {
    /// Adds a link.
    pub fn insert(&mut self, id: PeerId, link: P) {
        self.all = None;
        self.by_id.insert(id, link);
    }

    /// Takes a link out.
    pub fn remove(&mut self, id: &PeerId) -> Option<P> {
        self.all = None;
        self.by_id.remove(id)
    }

    /// A link.
    #[must_use]
    pub fn get(&self, id: &PeerId) -> Option<&P> {
        self.by_id.get(id)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// The links, those first that came first.
    pub fn values(&self) -> Values<'_, PeerId, P> {
        self.by_id.values()
    }

    /// The same, to hold without a lock.
    pub fn all(&mut self) -> Arc<[P]> {
        let Self { by_id, all } = self;
        Arc::clone(all.get_or_insert_with(|| by_id.values().cloned().collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Instant, Mesh, MeshConfig};

    #[test]
    fn the_list_of_all_is_kept_until_a_link_comes_or_goes() {
        let mut mesh = Mesh::new(MeshConfig::default());
        let mut id = || mesh.handle_accepted(Instant::ZERO, ([127, 0, 0, 1], 1).into()).unwrap().0;
        let (ann, bob) = (id(), id());
        let mut peers = Peers::default();
        assert!(peers.is_empty() && peers.all().is_empty());
        peers.insert(bob, "bob");
        peers.insert(ann, "ann");
        let all = peers.all();
        assert_eq!(*all, ["ann", "bob"]);
        assert!(Arc::ptr_eq(&all, &peers.all()) && peers.values().eq(&*all));
        assert_eq!((peers.remove(&ann), peers.get(&ann), peers.get(&bob)), (Some("ann"), None, Some(&"bob")));
        assert_eq!((&*peers.all(), peers.is_empty()), (&["bob"][..], false));
    }
}
