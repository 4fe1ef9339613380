//! Whether lists that are cut name all pools in turn.

use crate::model::{Kind, Verdict, check};

/// Lists that were cut, one after the other while the pools stayed the same.
#[derive(Debug, Default)]
pub(super) struct Turns {
    pools: Vec<usize>,
    listed: Vec<usize>,
}

impl Turns {
    /// Of a number of pools that stays the same each comes again when all others have had their turn.
    pub(super) fn check(&mut self, pools: &[usize], all_alive: bool, listed: Vec<usize>) -> Verdict<Kind> {
        if self.pools != pools || !all_alive {
            let pools = if all_alive { pools.to_vec() } else { Vec::new() };
            *self = Self { pools, listed };
            return Ok("list, cut");
        }
        for number in listed {
            let place = self.listed.len().checked_sub(pools.len());
            let fair = match place {
                None => !self.listed.contains(&number),
                Some(place) => self.listed.get(place) == Some(&number),
            };
            check(fair, || format!("of {} pools one is listed again before its turn", pools.len()))?;
            self.listed.push(number);
        }
        Ok("list, cut, next turn")
    }
}
