//! Pools are made, and clients admitted to them (PROTOCOL.md, section 3.3).

use core::time::Duration;

use super::Native;
use super::desk::Desk;
use super::offers::{Asker, Offer};
use super::places::Standing;
use super::pools::{Phase, Pool};
use super::requests::millis;
use crate::wire::native::{About, Application, PoolCode, PoolUuid, Refusal, Spec};

/// For how long wrong codes are counted together.
const WRONG_CODES: Duration = Duration::from_secs(60);

/// Whether the texts of a spec are within what this broadcaster allows.
pub(super) fn allows(desk: &Desk<'_>, spec: &Spec<'_>) -> Result<(), Refusal> {
    let limits = desk.limits;
    let fits = spec.seats().get() <= limits.seats
        && spec.metadata().get().len() <= limits.metadata
        && spec.broadcasters().len() <= limits.broadcasters;
    if fits { Ok(()) } else { Err(Refusal::Limit) }
}

/// The same of what a member says of itself.
pub(super) fn allows_about(desk: &Desk<'_>, about: About<'_>) -> Result<(), Refusal> {
    if about.get().len() <= desk.limits.about { Ok(()) } else { Err(Refusal::Limit) }
}

impl Native {
    pub(super) fn create(
        &mut self,
        desk: &mut Desk<'_>,
        asker: &Asker,
        application: Application,
        spec: &Spec<'_>,
        about: About<'_>,
    ) -> Result<u32, Refusal> {
        let id = self.keys.pool(asker.tx, asker.at, asker.cookie);
        if let Some(pool) = self.pools.find(application, id) {
            return self.served(pool, asker).ok_or(Refusal::Stale);
        }
        // It was made by this request, and has ended.
        if self.gone.knows((application, id)) {
            return Err(Refusal::Stale);
        }
        allows(desk, spec)?;
        allows_about(desk, about)?;
        self.has_room_for_pool(desk, asker)?;
        self.has_room_for(desk, asker.source)?;
        let code = self.pools.unused_code(None, desk.random).ok_or(Refusal::TooManyPools)?;
        let pool = Pool { next: 2, ..Pool::new(id, application, code, (*spec).into(), asker.source) };
        let pool = self.pools.make(pool).ok_or(Refusal::TooManyPools)?;
        let standing = Standing::Joining;
        let offer = Offer { pool, number: 1, standing, about: about.get(), seated: false };
        self.offer(desk, asker, &offer)
    }

    /// Whether there may be another pool, of this source.
    pub(super) fn has_room_for_pool(&self, desk: &Desk<'_>, asker: &Asker) -> Result<(), Refusal> {
        if self.pools.taken() >= desk.limits.pools {
            return Err(Refusal::TooManyPools);
        }
        if self.pools.of_source(asker.source) >= desk.limits.pools_per_source {
            return Err(Refusal::TooManyPoolsOfSource);
        }
        Ok(())
    }

    pub(super) fn join(
        &mut self,
        desk: &mut Desk<'_>,
        asker: &Asker,
        application: Application,
        pool: PoolUuid,
        about: About<'_>,
    ) -> Result<u32, Refusal> {
        let pool = self.pools.find(application, pool).ok_or(Refusal::NoSuchPool)?;
        self.join_pool(desk, asker, pool, about)
    }

    pub(super) fn join_by_code(
        &mut self,
        desk: &mut Desk<'_>,
        asker: &Asker,
        application: Application,
        code: PoolCode,
        about: About<'_>,
    ) -> Result<u32, Refusal> {
        let asked = self.rates.of(asker.source).ok_or(Refusal::NoSuchPool)?;
        if asked.wrong > 0 && (asked.wrong_since + WRONG_CODES).is_due(desk.now) {
            asked.wrong = 0;
        }
        if asked.wrong >= desk.limits.wrong_codes_per_minute {
            let left = (asked.wrong_since + WRONG_CODES).saturating_duration_since(desk.now);
            return Err(Refusal::Busy { wait: millis(left) });
        }
        let found = self.pools.find_by_code(code).filter(|place| {
            self.pools
                .get(*place)
                .is_some_and(|pool| pool.application == application && pool.phase != Phase::New)
        });
        let Some(pool) = found else {
            if asked.wrong == 0 {
                asked.wrong_since = desk.now;
            }
            asked.wrong += 1;
            return Err(Refusal::NoSuchPool);
        };
        self.join_pool(desk, asker, pool, about)
    }

    fn join_pool(
        &mut self,
        desk: &mut Desk<'_>,
        asker: &Asker,
        place: u32,
        about: About<'_>,
    ) -> Result<u32, Refusal> {
        let pool = self.pools.get(place).ok_or(Refusal::NoSuchPool)?;
        match pool.phase {
            Phase::Live => {}
            Phase::Recovering => return Err(self.recovering(desk, pool)),
            Phase::Free | Phase::New | Phase::Ended => return Err(Refusal::NoSuchPool),
        }
        if let Some(given) = self.served(place, asker) {
            return Ok(given);
        }
        allows_about(desk, about)?;
        if pool.spec.as_spec().locked() {
            return Err(Refusal::Locked);
        }
        let seated = self.by_address.get(place, asker.at.get(), false).is_some();
        let earlier = self.by_address.get(place, asker.at.get(), true).and_then(|it| self.places.get(it));
        let gives_seat = earlier.is_some_and(|it| it.standing == Standing::Joining && !it.seated);
        if !seated && pool.free_seats() == 0 && !gives_seat {
            return Err(Refusal::Full);
        }
        self.has_room_for(desk, asker.source)?;
        // One number less: there is always a next one to be told.
        let number = pool.next;
        let next = number.checked_add(1).ok_or(Refusal::Full)?;
        let standing = Standing::Joining;
        let offer = Offer { pool: place, number, standing, about: about.get(), seated };
        let handle = self.offer(desk, asker, &offer)?;
        if let Some(pool) = self.pools.get_mut(place) {
            pool.next = next;
        }
        Ok(handle)
    }
}
