//! Finding pools: lists with filters and in pages, codes, what is hidden.

use poolmesh_proto::wire::native::{self, Application, PoolCode, PoolSpec, Seats};
use poolmesh_proto::{CallFailed, ListFilter, PoolId, PoolListing, Refusal};

use super::{Server, broadcaster_config, client, client_config, client_with, ids};
use crate::patience::until;
use crate::runtime::{Client, Runtime};

fn spec(seats: u16, name: &str) -> PoolSpec {
    PoolSpec::new(Seats::new(seats).unwrap()).named(name).unwrap()
}

/// A pool is listed with all that one has to know to choose it.
pub fn what_is_listed<A: Runtime, B: Runtime>() {
    let server = Server::start::<A>();
    let (host, guest) = (client::<A>(server.address()), client::<B>(server.address()));
    let pool = host.create_with(&spec(3, "duel").with_metadata(b"map 3").unwrap(), &[]).unwrap();
    let listed = guest.list().unwrap();
    let [listing] = &listed[..] else { panic!("{listed:?}") };
    assert_eq!((listing.id(), listing.name(), listing.metadata()), (pool.id(), "duel", &b"map 3"[..]));
    assert_eq!((listing.members(), listing.seats(), listing.free()), (1, 3, 2));
    assert!(!listing.is_locked() && !listing.is_classic());
    guest.join(pool.id()).unwrap();
    until("its seat is taken", || guest.list().unwrap()[0].free() == 1);
}

/// What is not to be listed isn't; who knows its id or its code comes in all the same. A wrong code leads nowhere.
pub fn codes_lead_to_what_is_hidden<A: Runtime, B: Runtime>() {
    let server = Server::start::<A>();
    let host = client::<A>(server.address());
    let pool = host.create_with(&PoolSpec::default().hidden(true), &[]).unwrap();
    let code = pool.code().unwrap();
    let [one, two, three] = [(); 3].map(|()| client::<B>(server.address()));
    assert_eq!(one.list().unwrap(), []);
    // As a person reads it out, and another types it.
    let heard: PoolCode =
        format!("{} {}", &code.to_string()[..4], &code.to_string()[4..].to_lowercase()).parse().unwrap();
    assert_eq!(one.join_by_code(heard).unwrap().id(), pool.id());
    assert_eq!(two.join(pool.id()).unwrap().members().len(), 3);
    assert_eq!(three.join_with(code, b"three").unwrap().members()[3].about, "three");
    let wrong = PoolCode::new(code.get() ^ 1).unwrap();
    let no_such_pool = Err(CallFailed::Refused(Refusal::Native(native::Refusal::NoSuchPool)));
    assert_eq!(client::<B>(server.address()).join_by_code(wrong), no_such_pool);
}

/// A list comes in pages, each with where the next one begins; all of them together are all there are, and `list` gathers
/// them.
pub fn pages_hold_all<R: Runtime>() {
    const MANY: usize = 120;
    let mut config = broadcaster_config::<R>();
    config.limits.pools_per_source = MANY;
    let server = Server::start_with::<R>("127.0.0.1:0".parse().unwrap(), config);
    let mut config = client_config::<R>();
    config.max_pools = MANY;
    let host = client_with::<R>(server.address(), config);
    let mut made: Vec<PoolId> =
        (0..MANY).map(|at| host.create_with(&spec(4, &format!("pool {at}")), &[]).unwrap().id()).collect();
    made.sort_unstable();
    let guest = client::<R>(server.address());
    let (mut pages, mut filter) = (Vec::new(), ListFilter::default());
    loop {
        let page = guest.list_with(&filter).unwrap();
        let next = page.next;
        pages.push(page.pools);
        let Some(next) = next else { break };
        filter.after = Some(next);
    }
    assert!(pages.len() > 2, "they don't fit one datagram");
    let mut listed: Vec<_> = pages.concat().iter().map(PoolListing::id).collect();
    assert_eq!(listed.len(), MANY);
    listed.sort_unstable();
    assert_eq!(listed, made);
    let mut gathered = ids(&guest);
    gathered.sort_unstable();
    assert_eq!(gathered, made);
}

/// A filter lets through what begins with a prefix, and what has so many seats free.
pub fn filters<R: Runtime>() {
    let server = Server::start::<R>();
    let host = client::<R>(server.address());
    for (seats, name) in [(2, "duel one"), (4, "duel two"), (9, "team")] {
        host.create_with(&spec(seats, name), &[]).unwrap();
    }
    let guest = client::<R>(server.address());
    let names = |prefix: &str, free| {
        let filter = ListFilter { prefix: prefix.into(), free, ..ListFilter::default() };
        let mut names: Vec<_> =
            guest.list_with(&filter).unwrap().pools.iter().map(|pool| pool.name().to_owned()).collect();
        names.sort_unstable();
        names
    };
    assert_eq!(names("", 0), ["duel one", "duel two", "team"]);
    assert_eq!(names("duel", 0), ["duel one", "duel two"]);
    assert_eq!(names("duel", 2), ["duel two"]);
    assert_eq!(names("", 4), ["team"]);
    assert_eq!(names("quartet", 0), [""; 0]);
}

/// Programs that share a broadcaster don't see each other's pools, by whatever way.
pub fn applications_stay_apart<R: Runtime>() {
    let server = Server::start::<R>();
    let mut config = client_config::<R>();
    config.application = Application::named("chess").unwrap();
    let (chess, other) = (client_with::<R>(server.address(), config), client::<R>(server.address()));
    let pool = chess.create().unwrap();
    assert_eq!((ids(&chess), ids(&other)), (vec![pool.id()], vec![]));
    let no_such_pool = CallFailed::Refused(Refusal::Native(native::Refusal::NoSuchPool));
    assert_eq!(other.join(pool.id()).unwrap_err(), no_such_pool);
    assert_eq!(other.join_by_code(pool.code().unwrap()).unwrap_err(), no_such_pool);
}
