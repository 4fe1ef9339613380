//! A peer on each runtime: the same, but for the `.await`s.

#![expect(clippy::wildcard_enum_match_arm, reason = "a program takes the events it knows")]

use std::thread;

use poolmesh_proto::driver::{Event, PoolNews};
use poolmesh_proto::{ClientConfig, ListFilter, Packet, PoolEvent, PoolInfo, PoolMember};

use super::{Outcome, Sightings};

/// A peer over blocking sockets.
pub(crate) struct Blocking {
    name: &'static str,
    pub(crate) client: poolmesh_std::Client,
    mesh: poolmesh_std::Mesh,
}

/// A peer over smol.
pub(crate) struct Smol {
    name: &'static str,
    pub(crate) client: poolmesh_smol::Client,
    mesh: poolmesh_smol::Mesh,
}

impl Blocking {
    pub(crate) fn start(
        name: &'static str,
        broadcaster: &str,
        config: ClientConfig,
        sightings: &Sightings,
    ) -> Outcome<Self> {
        use poolmesh_std::{Client, Mesh};

        let (client, mesh) = (Client::connect_with(broadcaster, config)?, Mesh::new());
        let (links, pools) = (mesh.events(), client.events());
        let tell = sightings.clone();
        thread::spawn(move || links.filter_map(of_link).try_for_each(|sight| tell.send((name, sight))));
        let tell = sightings.clone();
        thread::spawn(move || pools.filter_map(of_pool).try_for_each(|sight| tell.send((name, sight))));
        Ok(Self { name, client, mesh })
    }

    pub(crate) fn enter(&self, pool: PoolInfo) -> Outcome<()> {
        let report = self.mesh.connect_to_pool(&self.client, &pool)?;
        entered(self.name, "std", &pool, report.connected.len());
        Ok(())
    }

    pub(crate) fn say(&self, text: &str) {
        self.mesh.send_to_all("msg", Packet::new().string(text));
    }

    pub(crate) fn close(self) {
        self.mesh.close();
        self.client.close();
    }
}

impl Smol {
    pub(crate) async fn start(
        name: &'static str,
        broadcaster: &str,
        config: ClientConfig,
        sightings: &Sightings,
    ) -> Outcome<Self> {
        use poolmesh_smol::{Client, Mesh};

        let (client, mesh) = (Client::connect_with(broadcaster, config).await?, Mesh::new());
        let (mut links, mut pools) = (mesh.events(), client.events());
        let tell = sightings.clone();
        smol::spawn(async move {
            while let Some(event) = links.next().await {
                of_link(event).map(|sight| tell.send((name, sight)));
            }
        })
        .detach();
        let tell = sightings.clone();
        smol::spawn(async move {
            while let Some(news) = pools.next().await {
                of_pool(news).map(|sight| tell.send((name, sight)));
            }
        })
        .detach();
        Ok(Self { name, client, mesh })
    }

    pub(crate) async fn enter(&self, pool: PoolInfo) -> Outcome<()> {
        let report = self.mesh.connect_to_pool(&self.client, &pool).await?;
        entered(self.name, "smol", &pool, report.connected.len());
        Ok(())
    }

    pub(crate) async fn say(&self, text: &str) {
        self.mesh.send_to_all("msg", Packet::new().string(text));
    }

    /// How many pools of the classic dialect there are.
    pub(crate) async fn classic_pools(&self) -> Outcome<usize> {
        let filter = ListFilter { classic: true, ..ListFilter::default() };
        let pools = self.client.list_with(&filter).await?.pools;
        Ok(pools.iter().filter(|pool| pool.is_classic()).count())
    }

    pub(crate) async fn close(self) {
        self.mesh.close().await;
        self.client.close().await;
    }
}

fn entered(name: &str, runtime: &str, pool: &PoolInfo, links: usize) {
    let role = if pool.is_host() { "hosts" } else { "joins" };
    let links = if links == 1 { "1 link".to_owned() } else { format!("{links} links") };
    println!("{name} ({runtime}) {role} the pool as {} and opens {links}", pool.you());
}

fn of_link<P>(event: Event<P>) -> Option<String> {
    match event {
        Event::Connected(_) => Some("a link stands".to_owned()),
        Event::Received(_, event) => Some(format!("hears {:?}", event.reader().string().unwrap_or("?"))),
        Event::Disconnected(..) => Some("a link has ended".to_owned()),
        _ => None,
    }
}

fn of_pool(news: PoolNews) -> Option<String> {
    let name = |member: PoolMember| String::from_utf8_lossy(&member.about).into_owned();
    match news {
        PoolNews::Event { event: PoolEvent::Joined(member), .. } => Some(format!("{} joins", name(member))),
        PoolNews::Event { event: PoolEvent::Left { member, reason: Some(reason) }, .. } => {
            Some(format!("{} has left: {reason:?}", name(member)))
        }
        PoolNews::Event { event: PoolEvent::Host { term, member, .. }, .. } => {
            Some(format!("#{member} is host, in term {term}"))
        }
        PoolNews::Event { event: PoolEvent::Restored, .. } => Some("the pool is back".to_owned()),
        _ => None,
    }
}
