//! What the native dialect is asked.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::BytesMut;
use poolmesh_proto::wire::native::{
    About, Act, Application, Call, Cookie, Epoch, FromBroadcaster, Handle, Key, Message, Name, News,
    PoolSpec, PoolUuid, Reply, Request, Tx,
};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{RngCore, SeedableRng};

use crate::Fallible;
use crate::load::{BATCH, Deck, Load};

/// Pools in the list, each of one member.
const LISTED: usize = 20;
/// Members that ping in turn: those of a batch are others.
const FEW: usize = BATCH;
/// So many that they lie outside of most caches. They are made one by one, within the time of a cookie.
const MANY: usize = 20_000;

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ask {
    Ping,
    Cookie,
    Join,
    List,
    PingOfMany,
}

impl Ask {
    pub(crate) const ALL: [Self; 5] = [Self::Ping, Self::Cookie, Self::Join, Self::List, Self::PingOfMany];

    pub(crate) fn name(self, quick: bool) -> String {
        match self {
            Self::Ping => "native ping".to_owned(),
            Self::Cookie => "native request without a cookie".to_owned(),
            Self::Join => "native join, offered again".to_owned(),
            Self::List => "native list of 20".to_owned(),
            Self::PingOfMany => format!("native ping, {} pools", many(quick)),
        }
    }

    /// The requests to a server, of pools that are made for it: places last for a minute without a ping.
    pub(crate) fn deck(self, load: &Load, quick: bool) -> Fallible<Deck> {
        let guest = Guest::new(load)?;
        match self {
            Self::Ping => guest.pings(FEW),
            Self::PingOfMany => guest.pings(many(quick)),
            Self::Cookie => guest.answered(&guest.list(None)?),
            Self::Join => {
                let host = Load::of(load.server()?)?;
                let pool = Guest { application: guest.application, ..Guest::new(&host)? }.member()?.pool;
                let join = Call::Join { application: guest.application, pool, about: About::default() };
                guest.answered(&written(fresh_tx()?, Some(guest.cookie), join))
            }
            Self::List => {
                for _ in 0..LISTED {
                    guest.member()?;
                }
                guest.answered(&guest.list(Some(guest.cookie))?)
            }
        }
    }
}

fn many(quick: bool) -> usize {
    if quick { MANY / 100 } else { MANY }
}

/// What nothing was made by before.
fn fresh() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

fn fresh_tx() -> Fallible<Tx> {
    Ok(Tx::new(fresh()).ok_or("there are no more")?)
}

fn written(tx: Tx, cookie: Option<Cookie>, call: Call<'_>) -> Vec<u8> {
    let mut out = BytesMut::new();
    Request { tx, cookie, call }.write(&mut out);
    out.to_vec()
}

/// Who asks from an address that it has proven.
#[derive(Debug)]
struct Guest<'a> {
    load: &'a Load,
    application: Application,
    cookie: Cookie,
}

impl<'a> Guest<'a> {
    fn new(load: &'a Load) -> Fallible<Self> {
        let application = Application::new(u128::from(fresh()).to_le_bytes()).ok_or("no application")?;
        let mut guest = Self { load, application, cookie: Cookie::new(1).ok_or("no cookie")? };
        let tx = fresh_tx()?;
        let list = guest.list_call();
        let Reply::Cookie(cookie) = guest.reply(tx, None, list)? else { return Err("no cookie".into()) };
        guest.cookie = cookie;
        Ok(guest)
    }

    fn list_call(&self) -> Call<'static> {
        let application = Some(self.application);
        Call::List { application, after: PoolUuid::NIL, free: 0, prefix: Name::default() }
    }

    fn list(&self, cookie: Option<Cookie>) -> Fallible<Vec<u8>> {
        Ok(written(fresh_tx()?, cookie, self.list_call()))
    }

    fn answered(&self, request: &[u8]) -> Fallible<Deck> {
        Ok(Deck::answered(request, &self.load.ask(request)?))
    }

    fn reply(&self, tx: Tx, cookie: Option<Cookie>, call: Call<'_>) -> Fallible<Reply<'static>> {
        let answer = self.load.ask(&written(tx, cookie, call))?;
        let Ok(FromBroadcaster::Answer(answer)) = FromBroadcaster::read(&answer) else {
            return Err("it is no answer".into());
        };
        match answer.verify(&Key::of_request(tx, cookie)).map(|answer| answer.reply) {
            Ok(Reply::Cookie(cookie)) => Ok(Reply::Cookie(cookie)),
            Ok(Reply::Joined(joined)) => Ok(Reply::Joined(joined)),
            other => Err(format!("neither a cookie nor a place but {other:?}").into()),
        }
    }

    /// The host of a new pool, who is its only member.
    fn member(&self) -> Fallible<Pinger> {
        let spec = PoolSpec::default();
        let (application, about) = (self.application, About::default());
        let create = Call::Create { application, spec: spec.as_spec(), about };
        let Reply::Joined(joined) = self.reply(fresh_tx()?, Some(self.cookie), create)? else {
            return Err("no place".into());
        };
        let mut pinger = Pinger { handle: joined.handle, key: joined.key, epoch: None, pool: joined.pool };
        let mut ping = BytesMut::new();
        pinger.write(1, &mut ping);
        let page = self.load.ask(&ping)?;
        let Ok(FromBroadcaster::Notice(notice)) = FromBroadcaster::read(&page) else {
            return Err("it is no notice".into());
        };
        match notice.verify(&joined.key).map(|notice| notice.news) {
            Ok(News::Page(page)) => pinger.epoch = Some(page.state.epoch),
            other => return Err(format!("no page but {other:?}").into()),
        }
        Ok(pinger)
    }

    /// Pings of so many members, in random order.
    fn pings(&self, count: usize) -> Fallible<Deck> {
        let mut pingers = (0..count).map(|_| self.member()).collect::<Fallible<Vec<_>>>()?;
        let mut random = Xoshiro256PlusPlus::seed_from_u64(1);
        for last in (1..pingers.len()).rev() {
            pingers.swap(last, (random.next_u64() % (last as u64 + 1)) as usize);
        }
        let mut first = BytesMut::new();
        pingers.first().ok_or("no members")?.write(2, &mut first);
        let answer = self.load.ask(&first)?;
        Ok(Deck::pings(pingers, 3, &first, &answer))
    }
}

/// A member that pings.
#[derive(Clone, Debug)]
pub(crate) struct Pinger {
    handle: Handle,
    key: Key,
    epoch: Option<Epoch>,
    pool: PoolUuid,
}

impl Pinger {
    /// Its ping of this count.
    pub(crate) fn write(&self, count: u32, out: &mut BytesMut) {
        Message { handle: self.handle, count, act: Act::Ping(self.epoch) }.write(&self.key, out);
    }
}
