//! Two links that share memory.

use poolmesh_proto::{Budget, Instant, Link, LinkConfig};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Near,
    Far,
}

impl Side {
    pub(super) fn other(self) -> Self {
        match self {
            Self::Near => Self::Far,
            Self::Far => Self::Near,
        }
    }
}

#[derive(Debug)]
pub(super) struct Pair {
    near: Link,
    far: Link,
    pub(super) budget: Budget,
}

impl Pair {
    pub(super) fn new(config: &LinkConfig, shared: usize) -> Self {
        let budget = Budget::new(shared);
        let link = || Link::with_budget(config.clone(), Instant::ZERO, budget.clone());
        Self { near: link(), far: link(), budget }
    }

    pub(super) fn get(&self, side: Side) -> &Link {
        match side {
            Side::Near => &self.near,
            Side::Far => &self.far,
        }
    }

    pub(super) fn link(&mut self, side: Side) -> &mut Link {
        match side {
            Side::Near => &mut self.near,
            Side::Far => &mut self.far,
        }
    }
}
