//! What must hold of the native half of a broadcaster.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use poolmesh_proto::wire::native::{
    FIRST_BYTE, FromBroadcaster, FromClient, Key, MAX_DATAGRAM, News, PoolUuid, Reply, Tx,
};
use poolmesh_proto::{BroadcasterConfig, Instant, PoolId, Transmit};

use crate::model::NativeModel;

use super::book::Book;
use super::proof::Proofs;

/// Whether a datagram is of the native dialect, whatever it says.
pub(in crate::sim) fn is_native(datagram: &[u8]) -> bool {
    datagram.first() == Some(&FIRST_BYTE)
}

/// Follows the native half of a broadcaster from outside.
#[derive(Debug)]
pub(in crate::sim) struct NativeServer {
    /// Where it is.
    own: SocketAddr,
    proofs: Proofs,
    /// The keys of the requests that came since the last drain.
    asked: Vec<(SocketAddr, Tx, Key)>,
    /// What it has to say, if its secret is known.
    model: Option<NativeModel>,
    /// The pools that it has offered to anybody.
    pools: BTreeSet<PoolId>,
}

impl NativeServer {
    pub(in crate::sim) fn new(config: &BroadcasterConfig, own: SocketAddr) -> Self {
        let model = config.secret.as_ref().map(|secret| NativeModel::new(config.limits.clone(), secret));
        Self { own, proofs: Proofs::default(), asked: Vec::new(), model, pools: BTreeSet::new() }
    }

    pub(in crate::sim) fn timeout(&mut self, now: Instant) {
        if let Some(model) = &mut self.model {
            model.handle_timeout(now);
        }
    }

    pub(in crate::sim) fn datagram(&mut self, now: Instant, from: SocketAddr, datagram: &[u8], book: &Book) {
        if let Some(model) = &mut self.model {
            model.handle_datagram(now, from, datagram);
        }
        let own = self.own;
        let read = FromClient::read(datagram);
        if let Ok(FromClient::Request(request)) = &read {
            self.asked.push((from, request.tx, request.key()));
        }
        self.proofs.came(from, datagram.len(), read.as_ref().ok(), |message| {
            book.given(own, message.handle(), |key| message.verify(key).is_ok()).map(|given| given.key)
        });
    }

    pub(in crate::sim) fn transmit(&mut self, transmit: &Transmit, book: &mut Book) -> Result<(), String> {
        let Transmit { destination, payload, .. } = transmit;
        if payload.len() > MAX_DATAGRAM {
            return Err(format!("A3: a datagram of {} bytes", payload.len()));
        }
        self.proofs.goes(*destination, payload)?;
        self.given(*destination, payload, book)?;
        let Some(model) = &mut self.model else { return Ok(()) };
        model.sent(*destination, payload).map(|_| ()).map_err(|wrong| wrong.to_string())?;
        // The era is known by it, if one has begun.
        match self.era(payload, book) {
            Some((pool, era, generation)) => book.era(self.own, pool, era, generation),
            None => Ok(()),
        }
    }

    /// Notes a place that is offered.
    fn given(&mut self, to: SocketAddr, payload: &[u8], book: &mut Book) -> Result<(), String> {
        let Ok(FromBroadcaster::Answer(answer)) = FromBroadcaster::read(payload) else { return Ok(()) };
        let of = |(of, tx, _): &&(SocketAddr, Tx, Key)| *of == to && *tx == answer.tx();
        let said = self.asked.iter().filter(of).find_map(|(_, _, key)| answer.verify(key).ok());
        match said.map(|said| said.reply) {
            Some(Reply::Joined(joined)) => {
                self.pools.insert(joined.pool.into());
                book.give(self.own, &joined);
            }
            Some(Reply::Cookie(_) | Reply::Refused(_) | Reply::Pools { .. }) => {}
            None => return Err(format!("A2: {to} is answered, and has not asked: {payload:?}")),
        }
        Ok(())
    }

    /// The era that something said to a member is of, and its generation.
    fn era(&self, payload: &[u8], book: &Book) -> Option<(PoolUuid, u64, u32)> {
        let Ok(FromBroadcaster::Notice(notice)) = FromBroadcaster::read(payload) else { return None };
        let given = book.given(self.own, notice.handle(), |key| notice.verify(key).is_ok())?;
        let state = match notice.verify(&given.key).ok()?.news {
            News::Page(page) => page.state,
            News::Changed { state, .. } => state,
            News::Pong { .. } | News::Done { .. } | News::Ended(_) => return None,
        };
        Some((given.pool, state.epoch.era(), state.generation))
    }

    /// Everything was drained. `classic`: the pools of the classic dialect there are. `dropped`: something could not be
    /// said.
    pub(in crate::sim) fn drained(
        &mut self,
        classic: impl Iterator<Item = PoolId>,
        deadline: Option<Instant>,
        dropped: bool,
    ) -> Result<(), String> {
        self.asked.clear();
        if dropped {
            // Nothing can be known any more.
            self.model = None;
        }
        let Some(model) = &mut self.model else { return Ok(()) };
        model.rests().map_err(|wrong| wrong.to_string())?;
        model.set_classic(classic);
        match model.deadline() {
            Some(at) if deadline.unwrap_or(Instant::NEVER) > at => {
                Err(format!("D3: it would sleep until {deadline:?}, past {at:?}"))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Whether it has offered a place in that pool to anybody.
    pub(in crate::sim) fn had(&self, pool: PoolId) -> bool {
        self.pools.contains(&pool)
    }

    pub(in crate::sim) fn model(&self) -> Option<&NativeModel> {
        self.model.as_ref()
    }
}
