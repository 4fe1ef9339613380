//! What was read, as the file of vectors writes it.

use poolmesh_proto::wire::native::{
    Act, Address, Answer, Call, Challenge, Change, EndReason, Entry, Epoch, Fault, FromBroadcaster,
    FromClient, Joined, Key, LeaveReason, Listing, Member, Message, News, Notice, Page, PageStart, Refusal,
    Reply, Request, Spec, State, Ticket,
};
use serde_json::{Map, Value, json};

use crate::file::hex;

/// The type and the meaning of a datagram from that side, if it is to be taken.
pub(crate) fn read(from: &str, datagram: &[u8], key: &Key) -> Result<(&'static str, Value), Fault> {
    match from {
        "client" => match FromClient::read(datagram)? {
            FromClient::Request(read) => {
                assert_eq!(read.key(), *key);
                Ok(request(&read))
            }
            FromClient::Message(read) => {
                let verified = read.verify(key)?;
                assert_eq!((verified.handle, verified.count), (read.handle(), read.count()));
                Ok(message(&verified))
            }
        },
        "broadcaster" => match FromBroadcaster::read(datagram)? {
            FromBroadcaster::Answer(read) => {
                let verified = read.verify(key)?;
                assert_eq!(verified.tx, read.tx());
                Ok(answer(&verified))
            }
            FromBroadcaster::Notice(read) => {
                let verified = read.verify(key)?;
                assert_eq!(verified.handle, read.handle());
                Ok(notice(&verified))
            }
            FromBroadcaster::Challenge(read) => Ok(challenge(&read)),
        },
        other => panic!("from a {other}?"),
    }
}

/// Both of these.
fn and(mut head: Value, more: Value) -> Value {
    let (Value::Object(into), Value::Object(fields)) = (&mut head, more) else { panic!("no objects") };
    let fields: Map<String, Value> = fields;
    into.extend(fields);
    head
}

fn long(number: u64) -> Value {
    number.to_string().into()
}

fn address(address: Address) -> Value {
    address.to_string().into()
}

fn request(request: &Request<'_>) -> (&'static str, Value) {
    let (name, call) = match &request.call {
        Call::List { application, after, free, prefix } => {
            let application = application.map(|application| hex(&application.bytes()));
            let (after, prefix) = (hex(&after.bytes()), prefix.get());
            ("List", json!({ "application": application, "after": after, "free": free, "prefix": prefix }))
        }
        Call::Create { application, spec: asked, about } => {
            let (application, about) = (hex(&application.bytes()), hex(about.get()));
            ("Create", json!({ "application": application, "spec": spec(asked), "about": about }))
        }
        Call::Join { application, pool, about } => {
            let (application, pool, about) =
                (hex(&application.bytes()), hex(&pool.bytes()), hex(about.get()));
            ("Join", json!({ "application": application, "pool": pool, "about": about }))
        }
        Call::JoinByCode { application, code, about } => {
            let (application, about) = (hex(&application.bytes()), hex(about.get()));
            ("JoinByCode", json!({ "application": application, "code": code.get(), "about": about }))
        }
        Call::Resume { ticket: kept, spec: asked, about } => {
            ("Resume", json!({ "ticket": ticket(kept), "spec": spec(asked), "about": hex(about.get()) }))
        }
    };
    let cookie = request.cookie.map(|cookie| long(cookie.get()));
    (name, and(json!({ "tx": long(request.tx.get()), "cookie": cookie }), call))
}

fn answer(answer: &Answer<'_>) -> (&'static str, Value) {
    let (name, reply) = match &answer.reply {
        Reply::Cookie(cookie) => ("Cookie", json!({ "cookie": long(cookie.get()) })),
        Reply::Refused(refusal) => ("Refused", self::refusal(*refusal)),
        Reply::Pools { next, listings } => {
            assert_eq!(listings.len(), listings.count());
            let next = next.map(|next| hex(&next.bytes()));
            (
                "Pools",
                json!({ "next": next, "listings": listings.map(|pool| listing(&pool)).collect::<Vec<_>>() }),
            )
        }
        Reply::Joined(place) => ("Joined", joined(place)),
    };
    (name, and(json!({ "tx": long(answer.tx.get()) }), reply))
}

fn refusal(refusal: Refusal) -> Value {
    json!({ "code": refusal.code(), "wait": refusal.wait().unwrap_or(0) })
}

fn joined(joined: &Joined) -> Value {
    json!({
        "application": hex(&joined.application.bytes()),
        "pool": hex(&joined.pool.bytes()),
        "code": joined.code.get(),
        "member": joined.member.get(),
        "handle": joined.handle.0,
        "session": long(joined.session.0),
        "key": hex(joined.key.bytes()),
        "interval": joined.interval.get(),
        "timeout": joined.timeout.get(),
        "you": address(joined.you),
    })
}

fn listing(listing: &Listing<'_>) -> Value {
    let pool = json!({ "pool": hex(&listing.pool.bytes()), "classic": listing.listed.is_none() });
    match &listing.listed {
        None => pool,
        Some(listed) => and(
            pool,
            json!({
                "code": listed.code.get(), "locked": listed.locked,
                "members": listed.members,
                "seats": listed.seats.get(),
                "name": listed.name.get(),
                "metadata": hex(listed.metadata.get()),
            }),
        ),
    }
}

fn message(message: &Message<'_>) -> (&'static str, Value) {
    let (name, act) = match &message.act {
        Act::Ping(roster) => ("Ping", json!({ "epoch": roster.map(epoch) })),
        Act::Ask(from) => ("Ask", json!({ "from": from.map(Member::get) })),
        Act::Move(cookie) => ("Move", json!({ "cookie": long(cookie.get()) })),
        Act::Leave => ("Leave", json!({})),
        Act::About(about) => ("About", json!({ "about": hex(about.get()) })),
        Act::Change(asked) => ("Change", json!({ "spec": spec(asked) })),
        Act::Kick(member) => ("Kick", json!({ "member": member.get() })),
        Act::Hand(member) => ("Hand", json!({ "member": member.get() })),
        Act::Close => ("Close", json!({})),
    };
    let order = ["Leave", "About", "Change", "Kick", "Hand", "Close"].contains(&name);
    assert_eq!(message.act.is_order(), order, "{name}");
    (name, and(json!({ "handle": message.handle.0, "count": message.count }), act))
}

fn notice(notice: &Notice<'_>) -> (&'static str, Value) {
    let (name, news) = match &notice.news {
        News::Pong { count } => ("Pong", json!({ "count": count })),
        News::Page(part) => ("Page", page(part)),
        News::Done { count, outcome } => {
            let outcome = outcome.map_or_else(refusal, |()| json!({ "code": 0, "wait": 0 }));
            ("Done", and(json!({ "count": count }), outcome))
        }
        News::Changed { state: now, changes } => {
            let changes: Vec<Value> = changes.map(|new| change(&new)).collect();
            ("Changed", json!({ "state": state(now), "changes": changes }))
        }
        News::Ended(reason) => {
            let reason = match reason {
                EndReason::Kicked => "kicked",
                EndReason::Replaced => "replaced",
                EndReason::PoolEnded => "pool ended",
            };
            ("Ended", json!({ "reason": reason }))
        }
    };
    (name, and(json!({ "handle": notice.handle.0 }), news))
}

fn page(page: &Page<'_>) -> Value {
    let (from, with) = match &page.start {
        PageStart::First(spec) => (None, Some(self::spec(spec))),
        PageStart::From(member) => (Some(member.get()), None),
    };
    json!({
        "count": page.count,
        "from": from,
        "state": state(&page.state),
        "spec": with,
        "more": page.more,
        "entries": page.entries.map(|one| entry(&one)).collect::<Vec<_>>(),
    })
}

fn challenge(challenge: &Challenge) -> (&'static str, Value) {
    let head = json!({ "handle": challenge.handle.0, "count": challenge.count });
    match challenge.prove {
        None => ("Unknown", head),
        Some(cookie) => ("Prove", and(head, json!({ "cookie": long(cookie.get()) }))),
    }
}

fn epoch(epoch: Epoch) -> Value {
    json!({ "era": long(epoch.era()), "number": epoch.number() })
}

fn state(state: &State) -> Value {
    json!({
        "epoch": epoch(state.epoch),
        "generation": state.generation,
        "base": state.base.map(epoch),
        "came": state.came,
        "term": state.term.get(),
        "host": state.host.get(),
        "next": state.next.get(),
        "purged": state.purged,
        "count": state.count.get(),
        "seal": hex(&state.seal.bytes()),
    })
}

fn ticket(ticket: &Ticket) -> Value {
    json!({
        "application": hex(&ticket.application.bytes()),
        "pool": hex(&ticket.pool.bytes()),
        "code": ticket.code.get(),
        "member": ticket.member.get(),
        "session": long(ticket.session.0),
        "state": state(&ticket.state),
    })
}

fn spec(spec: &Spec<'_>) -> Value {
    json!({
        "hidden": spec.hidden(),
        "locked": spec.locked(),
        "ends_with_host": spec.ends_with_host(),
        "seats": spec.seats().get(),
        "name": spec.name().get(),
        "metadata": hex(spec.metadata().get()),
        "broadcasters": spec.broadcasters().map(address).collect::<Vec<_>>(),
    })
}

fn entry(entry: &Entry<'_>) -> Value {
    json!({
        "member": entry.member.get(),
        "address": address(entry.address),
        "about": hex(entry.about.get()),
    })
}

fn change(change: &Change<'_>) -> Value {
    match change {
        Change::Joined(new) => json!({ "change": "joined", "entry": entry(new) }),
        Change::Left { member, reason } => {
            let reason = match reason {
                LeaveReason::Left => "left",
                LeaveReason::TimedOut => "timed out",
                LeaveReason::Kicked => "kicked",
                LeaveReason::Replaced => "replaced",
            };
            json!({ "change": "left", "member": member.get(), "reason": reason })
        }
        Change::About { member, about } => {
            json!({ "change": "about", "member": member.get(), "about": hex(about.get()) })
        }
        Change::Moved { member, address: to } => {
            json!({ "change": "moved", "member": member.get(), "address": address(*to) })
        }
        Change::Spec(new) => json!({ "change": "spec", "spec": spec(new) }),
    }
}
