//! What is done with events by their name.

use std::sync::mpsc;

use poolmesh_proto::CloseReason;
use poolmesh_proto::driver::Event;

use super::{linked, received};
use crate::patience::{PATIENCE, until};
use crate::runtime::{Events, Mesh, Peer, Runtime};

/// A handler of the mesh gets the events of its name, in order, and nothing else; the rest goes to the events.
pub fn by_name<A: Runtime, B: Runtime>() {
    let link = linked::<A, B>();
    let mut events = link.b.events();
    let (tell, told) = mpsc::channel();
    let id = link.to_a.id();
    link.b.on("x", move |peer, message| tell.send((peer.id(), message.payload().to_vec())).unwrap());
    for n in 0..100u8 {
        link.to_b.send(b"x", vec![n]).unwrap();
        link.to_b.send(b"y", vec![n]).unwrap();
    }
    for n in 0..100 {
        assert_eq!(told.recv_timeout(PATIENCE).unwrap(), (id, vec![n]));
        let (_, message) = received::<B>(&mut events);
        assert!(message.is("y") && message.payload() == [n]);
    }
    assert!(told.try_recv().is_err());
}

/// A peer's own handler stands before the mesh's, which stands before the events; each can be replaced and taken away.
pub fn peers_before_meshs<A: Runtime, B: Runtime>() {
    let link = linked::<A, B>();
    let mut events = link.b.events();
    let (tell, told) = mpsc::channel();
    let handler = |name: &'static str| {
        let tell = tell.clone();
        move || tell.send(name).unwrap()
    };
    let expect = |expected| {
        link.to_b.send(b"e", &b""[..]).unwrap();
        assert_eq!(told.recv_timeout(PATIENCE), Ok(expected));
    };
    let (first, second, own) = (handler("mesh"), handler("mesh again"), handler("own"));
    link.b.on("e", move |_, _| first());
    expect("mesh");
    link.b.on("e", move |_, _| second());
    expect("mesh again");
    link.to_a.on("e", move |_, _| own());
    expect("own");
    link.to_a.off("e");
    expect("mesh again");
    link.b.off("e");
    link.b.off("never set");
    link.to_b.send(b"e", &b""[..]).unwrap();
    assert!(received::<B>(&mut events).1.is("e"));
    assert!(told.try_recv().is_err());
}

/// An event that nobody wants is no error, and doesn't wait for anybody.
pub fn unwanted_events_are_ignored<A: Runtime, B: Runtime>() {
    let link = linked::<A, B>();
    for n in 0..3_000 {
        link.to_b.send(b"unwanted", super::numbered(n, 2_000)).unwrap();
    }
    until("all are read", || link.to_a.stats().received == 3_000);
    let mut events = link.b.events();
    assert!(events.try_next().is_none(), "what came before is not kept");
    link.to_b.send(b"wanted", &b""[..]).unwrap();
    assert!(received::<B>(&mut events).1.is("wanted"));
}

/// An event called `disconnected` is an event: it ends nothing, and no handler of the end hears of it.
pub fn an_event_called_disconnected<A: Runtime, B: Runtime>() {
    let link = linked::<A, B>();
    let mut events = link.b.events();
    let (tell, told) = mpsc::channel();
    link.to_a.on_disconnect(move |_, reason| tell.send(reason).unwrap());
    link.to_b.send(b"disconnected", &b"bye"[..]).unwrap();
    match events.next() {
        Some(Event::Received(_, message)) => assert!(message.is("disconnected")),
        other => panic!("{other:?}"),
    }
    link.to_b.send(b"still here", &b""[..]).unwrap();
    assert!(received::<B>(&mut events).1.is("still here"));
    assert!(told.try_recv().is_err() && link.to_a.is_connected());
    link.to_b.disconnect();
    assert_eq!(told.recv_timeout(PATIENCE), Ok(CloseReason::Remote));
}

/// A handler can do whatever the application can: answer, set handlers, close the very link.
pub fn handlers_may_do_anything<A: Runtime, B: Runtime>() {
    let link = linked::<A, B>();
    let mut events = link.a.events();
    link.b.on("ask", {
        let mesh = link.b.clone();
        move |peer, message| {
            peer.on("next", |peer, _| peer.try_send(b"own", &b""[..]).unwrap());
            mesh.off("ask");
            assert_eq!(mesh.peers().len(), 1);
            peer.try_send(b"answer", message.payload()).unwrap();
        }
    });
    link.b.on("bye", |peer, _| peer.disconnect());
    link.to_b.send(b"ask", &b"?"[..]).unwrap();
    let (_, answer) = received::<A>(&mut events);
    assert!(answer.is("answer") && answer.payload() == b"?");
    link.to_b.send(b"next", &b""[..]).unwrap();
    assert!(received::<A>(&mut events).1.is("own"));
    link.to_b.send(b"bye", &b""[..]).unwrap();
    assert_eq!(super::disconnected::<A>(&mut events).1, CloseReason::Remote);
    until("both have noticed", || link.b.peers().is_empty());
}
