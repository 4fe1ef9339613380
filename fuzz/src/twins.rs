//! A machine, and now and then a second one that gets the same inputs.

use core::fmt::Debug;
use core::ops::Deref;

/// A machine that may have a twin. What they answer is compared at once: nothing has to be kept or run again.
#[derive(Debug)]
pub(crate) struct Twins<M> {
    machine: M,
    twin: Option<M>,
}

impl<M> Twins<M> {
    pub(crate) fn new(make: impl Fn() -> M, twice: bool) -> Self {
        Self { machine: make(), twin: twice.then(make) }
    }

    /// Does the same to both.
    ///
    /// # Panics
    /// If they don't answer the same.
    pub(crate) fn act<T: Debug + PartialEq>(&mut self, act: impl Fn(&mut M) -> T) -> T {
        let answer = act(&mut self.machine);
        if let Some(twin) = &mut self.twin {
            assert_eq!(act(twin), answer, "the same inputs, other outputs");
        }
        answer
    }

    /// How many machines there are.
    pub(crate) fn count(&self) -> usize {
        1 + usize::from(self.twin.is_some())
    }
}

impl<M> Deref for Twins<M> {
    type Target = M;

    fn deref(&self) -> &M {
        &self.machine
    }
}
