//! What the file of vectors means, written by this code.

use bytes::BytesMut;
use poolmesh_proto::wire::native::{
    About, Act, Answer, Application, Call, Challenge, Change, ChangedWriter, Cookie, EndReason, Entry, Epoch,
    Handle, Joined, Key, LeaveReason, Listed, Listing, Member, Message, Metadata, Millis, Name, News, Notice,
    PageStart, PageWriter, PoolCode, PoolSpec, PoolUuid, PoolsWriter, Refusal, Reply, Request, Seal, Seats,
    Session, State, Term, Ticket, Tx, UnknownCode,
};
use serde_json::Value;

use crate::file::{address, array, bytes, key, long, number, text, there};

/// Writes a datagram of that type and meaning.
pub(crate) fn write(kind: &str, meaning: &Value, with: &Key) -> BytesMut {
    let mut out = BytesMut::new();
    append(kind, meaning, with, &mut out);
    out
}

/// Writes it behind what is there.
pub(crate) fn append(kind: &str, meaning: &Value, with: &Key, out: &mut BytesMut) {
    match kind {
        "List" | "Create" | "Join" | "JoinByCode" | "Resume" => request(kind, meaning, out),
        "Cookie" | "Refused" | "Joined" => answer(kind, meaning).write(with, out),
        "Pools" => pools(meaning, with, out),
        "Page" => page(meaning, with, out),
        "Changed" => changed(meaning, with, out),
        "Pong" | "Done" | "Ended" => assert_eq!(notice(kind, meaning).write(with, out), 0),
        "Unknown" | "Prove" => {
            let prove = there(&meaning["cookie"]).map(cookie);
            assert_eq!(prove.is_some(), kind == "Prove");
            Challenge { handle: handle(meaning), count: count(meaning), prove }.write(out);
        }
        _ => message(kind, meaning, with, out),
    }
}

fn request(kind: &str, meaning: &Value, out: &mut BytesMut) {
    let application = || application(&meaning["application"]);
    let said = there(&meaning["about"]).map(bytes).unwrap_or_default();
    let about = About::new(&said).unwrap();
    let spec = there(&meaning["spec"]).map(pool_spec);
    let spec = || spec.as_ref().unwrap().as_spec();
    let call = match kind {
        "List" => Call::List {
            application: there(&meaning["application"]).map(self::application),
            after: pool(&meaning["after"]),
            free: number(&meaning["free"]),
            prefix: Name::new(text(&meaning["prefix"])).unwrap(),
        },
        "Create" => Call::Create { application: application(), spec: spec(), about },
        "Join" => Call::Join { application: application(), pool: pool(&meaning["pool"]), about },
        "JoinByCode" => Call::JoinByCode { application: application(), code: code(&meaning["code"]), about },
        "Resume" => Call::Resume { ticket: ticket(&meaning["ticket"]), spec: spec(), about },
        other => panic!("{other}"),
    };
    Request { tx: tx(meaning), cookie: there(&meaning["cookie"]).map(cookie), call }.write(out);
}

fn answer(kind: &str, meaning: &Value) -> Answer<'static> {
    let reply = match kind {
        "Cookie" => Reply::Cookie(cookie(&meaning["cookie"])),
        "Refused" => Reply::Refused(refusal(meaning)),
        "Joined" => Reply::Joined(Joined {
            application: application(&meaning["application"]),
            pool: pool(&meaning["pool"]),
            code: code(&meaning["code"]),
            member: member(&meaning["member"]),
            handle: handle(meaning),
            session: Session(long(&meaning["session"])),
            key: key(&meaning["key"]),
            interval: Millis::new(number(&meaning["interval"])).unwrap(),
            timeout: Millis::new(number(&meaning["timeout"])).unwrap(),
            you: address(&meaning["you"]),
        }),
        other => panic!("{other}"),
    };
    Answer { tx: tx(meaning), reply }
}

fn message(kind: &str, meaning: &Value, with: &Key, out: &mut BytesMut) {
    let about = there(&meaning["about"]).map(bytes);
    let spec = there(&meaning["spec"]).map(pool_spec);
    let act = match kind {
        "Ping" => Act::Ping(there(&meaning["epoch"]).map(epoch)),
        "Ask" => Act::Ask(there(&meaning["from"]).map(member)),
        "Move" => Act::Move(cookie(&meaning["cookie"])),
        "Leave" => Act::Leave,
        "About" => Act::About(About::new(about.as_ref().unwrap()).unwrap()),
        "Change" => Act::Change(spec.as_ref().unwrap().as_spec()),
        "Kick" => Act::Kick(member(&meaning["member"])),
        "Hand" => Act::Hand(member(&meaning["member"])),
        "Close" => Act::Close,
        other => panic!("{other}"),
    };
    Message { handle: handle(meaning), count: count(meaning), act }.write(with, out);
}

fn notice(kind: &str, meaning: &Value) -> Notice<'static> {
    let news = match kind {
        "Pong" => News::Pong { count: count(meaning) },
        "Done" => News::Done { count: count(meaning), outcome: outcome(meaning) },
        "Ended" => News::Ended(match text(&meaning["reason"]) {
            "kicked" => EndReason::Kicked,
            "replaced" => EndReason::Replaced,
            "pool ended" => EndReason::PoolEnded,
            other => panic!("{other}"),
        }),
        other => panic!("{other}"),
    };
    Notice { handle: handle(meaning), news }
}

fn pools(meaning: &Value, with: &Key, out: &mut BytesMut) {
    let mut writer = PoolsWriter::new(out, tx(meaning));
    for listing in meaning["listings"].as_array().unwrap() {
        let pool = pool(&listing["pool"]);
        if listing["classic"] == true {
            assert!(writer.push(&Listing { pool, listed: None }));
            continue;
        }
        let metadata = bytes(&listing["metadata"]);
        let listed = Some(Listed {
            code: code(&listing["code"]),
            locked: listing["locked"].as_bool().unwrap(),
            members: number(&listing["members"]),
            seats: seats(&listing["seats"]),
            name: Name::new(text(&listing["name"])).unwrap(),
            metadata: Metadata::new(&metadata).unwrap(),
        });
        assert!(writer.push(&Listing { pool, listed }));
    }
    writer.finish(with, there(&meaning["next"]).map(pool));
}

fn page(meaning: &Value, with: &Key, out: &mut BytesMut) {
    let spec = there(&meaning["spec"]).map(pool_spec);
    let start = match there(&meaning["from"]).map(member) {
        None => PageStart::First(spec.as_ref().unwrap().as_spec()),
        Some(from) => PageStart::From(from),
    };
    let mut writer = PageWriter::new(out, handle(meaning), count(meaning), &start, &state(&meaning["state"]));
    for entry in meaning["entries"].as_array().unwrap() {
        assert!(writer.push(&self::entry(entry, &bytes(&entry["about"]))));
    }
    writer.finish(with, meaning["more"].as_bool().unwrap());
}

fn changed(meaning: &Value, with: &Key, out: &mut BytesMut) {
    let mut writer = ChangedWriter::new(out, handle(meaning), &state(&meaning["state"]));
    for change in meaning["changes"].as_array().unwrap() {
        let spec = there(&change["spec"]).map(pool_spec);
        let about = there(&change["about"])
            .or_else(|| there(&change["entry"]["about"]))
            .map(bytes)
            .unwrap_or_default();
        let who = || member(&change["member"]);
        let change = match text(&change["change"]) {
            "joined" => Change::Joined(entry(&change["entry"], &about)),
            "left" => Change::Left {
                member: who(),
                reason: match text(&change["reason"]) {
                    "left" => LeaveReason::Left,
                    "timed out" => LeaveReason::TimedOut,
                    "kicked" => LeaveReason::Kicked,
                    "replaced" => LeaveReason::Replaced,
                    other => panic!("{other}"),
                },
            },
            "about" => Change::About { member: who(), about: About::new(&about).unwrap() },
            "moved" => Change::Moved { member: who(), address: address(&change["address"]) },
            "spec" => Change::Spec(spec.as_ref().unwrap().as_spec()),
            other => panic!("{other}"),
        };
        assert!(writer.push(&change));
    }
    writer.finish(with);
}

fn tx(meaning: &Value) -> Tx {
    Tx::new(long(&meaning["tx"])).unwrap()
}

fn handle(meaning: &Value) -> Handle {
    Handle(number(&meaning["handle"]))
}

fn count(meaning: &Value) -> u32 {
    number(&meaning["count"])
}

fn cookie(value: &Value) -> Cookie {
    Cookie::new(long(value)).unwrap()
}

fn application(value: &Value) -> Application {
    Application::new(array(value)).unwrap()
}

pub(crate) fn pool(value: &Value) -> PoolUuid {
    PoolUuid::new(array(value))
}

fn code(value: &Value) -> PoolCode {
    PoolCode::new(number(value)).unwrap()
}

pub(crate) fn member(value: &Value) -> Member {
    Member::new(number(value)).unwrap()
}

fn seats(value: &Value) -> Seats {
    Seats::new(number(value)).unwrap()
}

fn entry<'a>(value: &Value, about: &'a [u8]) -> Entry<'a> {
    let about = About::new(about).unwrap();
    Entry { member: member(&value["member"]), address: address(&value["address"]), about }
}

fn epoch(value: &Value) -> Epoch {
    Epoch::new(long(&value["era"]), number(&value["number"])).unwrap()
}

fn state(value: &Value) -> State {
    State {
        epoch: epoch(&value["epoch"]),
        generation: number(&value["generation"]),
        base: there(&value["base"]).map(epoch),
        came: number(&value["came"]),
        term: Term::new(number(&value["term"])).unwrap(),
        host: member(&value["host"]),
        next: member(&value["next"]),
        purged: number(&value["purged"]),
        count: seats(&value["count"]),
        seal: Seal::new(array(&value["seal"])),
    }
}

pub(crate) fn ticket(value: &Value) -> Ticket {
    Ticket {
        application: application(&value["application"]),
        pool: pool(&value["pool"]),
        code: code(&value["code"]),
        member: member(&value["member"]),
        session: Session(long(&value["session"])),
        state: state(&value["state"]),
    }
}

pub(crate) fn pool_spec(value: &Value) -> PoolSpec {
    let broadcasters: Vec<_> = value["broadcasters"].as_array().unwrap().iter().map(address).collect();
    PoolSpec::new(seats(&value["seats"]))
        .hidden(value["hidden"].as_bool().unwrap())
        .locked(value["locked"].as_bool().unwrap())
        .ending_with_host(value["ends_with_host"].as_bool().unwrap())
        .named(text(&value["name"]))
        .and_then(|spec| spec.with_metadata(&bytes(&value["metadata"])))
        .and_then(|spec| spec.with_broadcasters(&broadcasters))
        .unwrap()
}

/// What came of an order: code 0 is no refusal.
fn outcome(meaning: &Value) -> Result<(), Refusal> {
    if meaning["code"] == 0 { Ok(()) } else { Err(refusal(meaning)) }
}

fn refusal(meaning: &Value) -> Refusal {
    let wait: u16 = number(&meaning["wait"]);
    match number::<u8>(&meaning["code"]) {
        1 => Refusal::Limit,
        2 => Refusal::NoSuchPool,
        3 => Refusal::Full,
        4 => Refusal::Locked,
        5 => Refusal::TooManyPools,
        6 => Refusal::TooManyPoolsOfSource,
        7 => Refusal::TooManyMembers,
        8 => Refusal::TooManyMembersOfSource,
        9 => Refusal::Busy { wait },
        10 => Refusal::Recovering { wait },
        11 => Refusal::BadTicket,
        12 => Refusal::Stale,
        13 => Refusal::NotHost,
        14 => Refusal::NoSuchMember,
        other => Refusal::Other(UnknownCode::new(other).unwrap()),
    }
}
