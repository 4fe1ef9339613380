//! A program of a pool: a client, and a link to each other program.

use std::net::SocketAddrV4;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use poolmesh_proto::ClientConfig;
use poolmesh_smol::{Client, Event, Events, Membership, Mesh, PoolEvents, PoolId, PoolSpec, Seats};
use smol::Timer;

use super::account::{Account, Pool};
use super::words::Tally;
use crate::Fallible;

/// What is said over links, behind it a number.
const EVENT: &str = "beat";

/// A program, as many hold it.
#[derive(Clone, Debug)]
pub(super) struct Program {
    client: Client,
    mesh: Mesh,
    account: Arc<Account>,
    pool: Arc<Pool>,
    silent: Arc<AtomicBool>,
}

impl Program {
    /// A program that has its port, and is in no pool yet.
    pub(super) async fn open(broadcaster: SocketAddrV4, pool: Arc<Pool>) -> Fallible<Self> {
        let client = Client::connect_with(broadcaster, ClientConfig::default()).await?;
        let (mesh, account) = (Mesh::new(), Arc::new(Account::default()));
        let heard = Arc::clone(&account);
        mesh.on(EVENT, move |peer, event| heard.hear(peer.id(), event.payload()));
        let program = Self { client, mesh, account, pool, silent: Arc::default() };
        smol::spawn(program.clone().follow_links(program.mesh.events())).detach();
        smol::spawn(program.clone().follow_pool(program.client.events())).detach();
        Ok(program)
    }

    /// Makes a pool or joins it, and links itself with all that are there.
    pub(super) async fn enter(&self, made: Option<PoolId>) -> Fallible<PoolId> {
        let pool = match made {
            Some(pool) => self.client.join(pool).await?,
            None => {
                let seats = Seats::new(self.pool.size()).ok_or("a pool of nobody")?;
                self.client.create_with(&PoolSpec::new(seats), b"").await?
            }
        };
        let report = self.mesh.connect_to_pool(&self.client, &pool).await?;
        match report.failed.first() {
            None => Ok(pool.id()),
            Some(failed) => Err(format!("a link was not made: {failed:?}").into()),
        }
    }

    /// How many others it is linked with.
    pub(super) fn links(&self) -> usize {
        self.mesh.peers().len()
    }

    /// How many members of its pool it knows.
    pub(super) fn knows(&self) -> usize {
        self.membership().map_or(0, |membership| membership.members().len())
    }

    fn membership(&self) -> Option<Membership> {
        self.client.membership(self.client.pools().first().copied()?)
    }

    /// Says something on all links from then on, every so often, until it is to be silent.
    pub(super) fn speak(&self, first: Duration, every: Duration) {
        let Self { mesh, account, silent, .. } = self.clone();
        let speaking = async move {
            Timer::after(first).await;
            let mut number = 0_u64;
            while !silent.load(Ordering::Relaxed) {
                number += 1;
                let refused = mesh.send_to_all(EVENT, &number.to_le_bytes()[..]);
                account.said(mesh.peers().len(), refused.len());
                Timer::after(every).await;
            }
        };
        smol::spawn(speaking).detach();
    }

    pub(super) fn be_silent(&self) {
        self.silent.store(true, Ordering::Relaxed);
    }

    /// Keeps what it knows, and takes account of what it is told from now on.
    pub(super) fn watch(&self) {
        self.account.watch(self.membership());
    }

    pub(super) fn tally(&self) -> Tally {
        self.account.tally(self.links(), u64::from(self.pool.size()) - 1, self.membership())
    }

    async fn follow_links(self, mut events: Events) {
        while let Some(event) = events.next().await {
            if let Event::Connected(_) = event {
                self.account.linked();
            }
            if let Event::Disconnected(..) = event {
                self.account.lost();
            }
        }
    }

    async fn follow_pool(self, mut events: PoolEvents) {
        while let Some(news) = events.next().await {
            if self.account.told(&news) {
                self.pool.is_back_for_one();
            }
        }
    }
}
