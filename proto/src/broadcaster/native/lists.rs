//! Lists of pools, page by page (PROTOCOL.md, section 3.4).

use core::net::SocketAddr;

use super::Native;
use super::desk::Desk;
use super::pools::{Phase, Pool};
use crate::wire::native::{Application, Listed, Listing, Name, PoolUuid, PoolsWriter, Request};

/// Which pools are asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Filter<'a> {
    /// None: those of the classic dialect.
    pub(super) application: Option<Application>,
    pub(super) after: PoolUuid,
    pub(super) free: u16,
    pub(super) prefix: Name<'a>,
}

impl Filter<'_> {
    fn fits(&self, pool: &Pool) -> bool {
        let spec = pool.spec.as_spec();
        pool.phase == Phase::Live
            && !spec.hidden()
            && pool.free_seats() >= self.free
            && spec.name().get().starts_with(self.prefix.get())
    }
}

fn listing(id: PoolUuid, pool: &Pool) -> Listing<'_> {
    let spec = pool.spec.as_spec();
    let listed = Listed {
        code: pool.code,
        locked: spec.locked(),
        members: pool.count,
        seats: spec.seats(),
        name: spec.name(),
        metadata: spec.metadata(),
    };
    Listing { pool: id, listed: Some(listed) }
}

impl Native {
    pub(super) fn list(
        &self,
        desk: &mut Desk<'_>,
        to: SocketAddr,
        request: &Request<'_>,
        filter: &Filter<'_>,
    ) {
        desk.stats.lists += 1;
        let scan = desk.limits.list_scan.max(1);
        desk.answers.write(to, |out| {
            let mut writer = PoolsWriter::new(out, request.tx);
            let next = match filter.application {
                Some(application) => self.list_ours(application, filter, scan, &mut writer),
                None => desk.classic.and_then(|classic| {
                    classic.list_after(filter.after, scan, desk.now, |pool| {
                        writer.push(&Listing { pool, listed: None })
                    })
                }),
            };
            writer.finish(&request.key(), next);
        });
    }

    /// Writes pools of an application, and answers after which id to go on, if there are more.
    fn list_ours(
        &self,
        application: Application,
        filter: &Filter<'_>,
        scan: usize,
        writer: &mut PoolsWriter<'_>,
    ) -> Option<PoolUuid> {
        let mut seen = filter.after;
        let mut pools = self.pools.after(application, filter.after);
        for (id, pool) in pools.by_ref().take(scan) {
            if filter.fits(pool) && !writer.push(&listing(id, pool)) {
                return Some(seen);
            }
            seen = id;
        }
        pools.next().map(|_| seen)
    }
}
