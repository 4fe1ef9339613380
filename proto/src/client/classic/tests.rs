//! The client's rules, driven datagram by datagram.

use super::*;
use crate::client::{PoolEnd, PoolPage};
use crate::wire::{Response, Words, classic};
use crate::{PoolInfo, Refusal, Transmit};

fn broadcaster() -> SocketAddr {
    ([192, 0, 2, 9], 6_969).into()
}

fn me() -> SocketAddr {
    ([192, 0, 2, 1], 5_000).into()
}

fn at(millis: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(millis)
}

fn pool(name: &str) -> PoolId {
    name.parse().unwrap()
}

fn hosted(name: &str) -> Response {
    Response::Joined(PoolInfo::new(pool(name), me(), me(), [me()]))
}

fn client() -> ClassicClient {
    ClassicClient::new(ClientConfig::classic(), broadcaster())
}

#[derive(Debug, PartialEq)]
enum Did {
    Sent(Request),
    Said(ClientEvent),
}

use Did::{Said, Sent};

fn drain(client: &mut ClassicClient) -> Vec<Did> {
    let mut did = Vec::new();
    loop {
        match client.poll_output() {
            Output::Transmit(Transmit { destination, payload }) => {
                assert_eq!(destination, broadcaster());
                did.push(Sent(classic::decode_request(&payload).unwrap()));
            }
            Output::Event(event) => did.push(Said(event)),
            Output::Wait(_) => return did,
        }
    }
}

fn deadline(client: &mut ClassicClient) -> Option<Instant> {
    match client.poll_output() {
        Output::Wait(deadline) => deadline,
        other => panic!("not drained: {other:?}"),
    }
}

fn answer(client: &mut ClassicClient, now: Instant, response: &Response) -> Vec<Did> {
    let mut datagram = BytesMut::new();
    classic::encode_response(response, &mut datagram);
    client.handle_datagram(now, broadcaster(), &datagram);
    drain(client)
}

fn finished(call: CallId, outcome: Outcome) -> Did {
    Said(ClientEvent::Finished { call, outcome })
}

/// A client that hosts `name` since `now`, drained.
fn host(client: &mut ClassicClient, now: Instant, name: &str) {
    client.create(now).unwrap();
    drain(client);
    answer(client, now, &hosted(name));
    assert!(client.hosted().any(|hosted| hosted == pool(name)));
}

#[test]
fn a_lost_list_is_sent_again_with_backoff_until_its_deadline() {
    let mut client = client();
    let call = client.list(at(0)).unwrap();
    let mut sent = Vec::new();
    let mut now = at(0);
    let end = loop {
        match &drain(&mut client)[..] {
            [] => {}
            [Sent(Request::List)] => sent.push(now.as_micros() / 1_000),
            other => break (now, format(other)),
        }
        now = deadline(&mut client).unwrap();
        client.handle_timeout(now);
    };
    assert_eq!(sent, [0, 250, 750, 1_750, 3_750]);
    assert_eq!(
        end,
        (at(5_000), format(&[finished(call, Outcome::TimedOut { broadcaster: broadcaster(), sent: 5 })]))
    );
    assert_eq!(deadline(&mut client), None);
}

fn format(did: &[Did]) -> alloc::string::String {
    alloc::format!("{did:?}")
}

#[test]
fn create_is_repeated_only_when_a_pool_of_a_lost_answer_has_ended() {
    let mut client = client();
    client.create(at(0)).unwrap();
    assert_eq!(drain(&mut client), [Sent(Request::Create)]);
    assert_eq!(deadline(&mut client), Some(at(2_000)));
    client.handle_timeout(at(1_999));
    assert_eq!(drain(&mut client), []);
    client.handle_timeout(at(2_000));
    assert_eq!(drain(&mut client), [Sent(Request::Create)]);

    let config = ClientConfig { recreate_after: None, ..ClientConfig::classic() };
    let mut never = ClassicClient::new(config, broadcaster());
    never.create(at(0)).unwrap();
    assert_eq!(drain(&mut never), [Sent(Request::Create)]);
    assert_eq!(deadline(&mut never), Some(at(5_000)));
}

#[test]
fn only_the_first_answer_to_a_repeated_create_is_hosted() {
    let mut client = client();
    let call = client.create(at(0)).unwrap();
    client.handle_timeout(at(2_000));
    drain(&mut client);
    let did = answer(&mut client, at(2_010), &hosted("one"));
    assert!(
        matches!(&did[0], Said(ClientEvent::Finished { call: id, outcome: Outcome::Created(_) }) if *id == call)
    );
    assert_eq!(did[1], Sent(Request::Ping(pool("one"))), "the first ping goes at once");
    assert_eq!(answer(&mut client, at(2_020), &hosted("two")), []);
    assert_eq!(client.hosted().collect::<Vec<_>>(), [pool("one")]);
}

#[test]
fn a_copy_of_an_earlier_answer_is_no_new_pool() {
    let mut client = client();
    host(&mut client, at(0), "one");
    client.release(pool("one"));
    client.create(at(10)).unwrap();
    drain(&mut client);
    assert_eq!(answer(&mut client, at(20), &hosted("one")), []);
    assert_eq!(answer(&mut client, at(30), &hosted("two")).len(), 2);
}

#[test]
fn a_join_takes_only_the_answer_about_its_pool() {
    let mut client = client();
    let call = client.join(at(0), pool("a")).unwrap();
    drain(&mut client);
    let about =
        |name| Response::Joined(PoolInfo::new(pool(name), broadcaster(), me(), [broadcaster(), me()]));
    assert_eq!(answer(&mut client, at(1), &about("b")), []);
    let did = answer(&mut client, at(2), &about("a"));
    assert!(matches!(&did[..], [Said(ClientEvent::Finished { call: id, .. })] if *id == call));
    assert_eq!(answer(&mut client, at(3), &about("a")), [], "a duplicate");
    assert_eq!(client.stats().unexpected, 2);
}

#[test]
fn a_refusal_reaches_the_call_that_it_names() {
    let mut client = client();
    let list = client.list(at(0)).unwrap();
    let join = client.join(at(0), pool("a")).unwrap();
    drain(&mut client);
    let unnamed = Refusal::Other(Words::new(b"go away"));
    assert_eq!(answer(&mut client, at(1), &Response::Refused(unnamed.clone())), [], "whose?");
    let named = Refusal::NoSuchPool(Words::new(b"a"));
    assert_eq!(
        answer(&mut client, at(1), &Response::Refused(named.clone())),
        [finished(join, Outcome::Refused(named))]
    );
    assert_eq!(
        answer(&mut client, at(1), &Response::Refused(unnamed.clone())),
        [finished(list, Outcome::Refused(unnamed))],
        "one call is left, so it is that one's"
    );
}

#[test]
fn a_host_pings_from_now_on_without_a_burst() {
    let mut client = client();
    host(&mut client, at(0), "p");
    assert_eq!(deadline(&mut client), Some(at(200)));
    client.handle_timeout(at(10_000));
    assert_eq!(drain(&mut client), [Sent(Request::Ping(pool("p")))], "one ping after a stall");
    assert_eq!(deadline(&mut client), Some(at(10_200)));
    assert!(client.release(pool("p")));
    assert_eq!(deadline(&mut client), None);
}

#[test]
fn a_notice_ends_nothing_by_itself() {
    let mut client = client();
    host(&mut client, at(0), "p");
    let ping = [Sent(Request::Ping(pool("p")))];
    assert_eq!(answer(&mut client, at(100), &Response::PoolEnded), ping);
    assert_eq!(answer(&mut client, at(101), &Response::PoolEnded), [], "a flood draws no flood");
    let refused = Response::Refused(Refusal::NoSuchPool(Words::new(b"p")));
    assert_eq!(
        answer(&mut client, at(102), &refused),
        [Said(ClientEvent::PoolEnded { pool: pool("p"), reason: PoolEnd::Quiet })]
    );
    assert_eq!(deadline(&mut client), None);
    assert_eq!(answer(&mut client, at(103), &refused), [], "told once");
}

#[test]
fn foreign_and_spoiled_datagrams_are_counted_and_ignored() {
    let mut client = client();
    client.list(at(0)).unwrap();
    drain(&mut client);
    client.handle_datagram(at(1), me(), b"\x02\0\0\0\0");
    client.handle_datagram(at(1), broadcaster(), b"\x02\xff\0\0\0");
    client.handle_datagram(at(1), broadcaster(), b"");
    assert_eq!(drain(&mut client), []);
    assert_eq!((client.stats().foreign, client.stats().spoiled), (1, 2));
}

#[test]
fn misuse_is_the_callers_error() {
    let config = ClientConfig { max_calls: 2, max_pools: 1, ..ClientConfig::classic() };
    let mut client = ClassicClient::new(config, broadcaster());
    client.create(at(0)).unwrap();
    assert_eq!(client.create(at(0)), Err(CallError::TooManyPools { limit: 1 }));
    client.list(at(0)).unwrap();
    assert_eq!(client.list(at(0)), Err(CallError::TooManyCalls { limit: 2 }));
    client.handle_timeout(at(5_000));
    assert_eq!(
        client.list(at(5_000)),
        Err(CallError::TooManyCalls { limit: 2 }),
        "nobody polled the outcomes"
    );
    drain(&mut client);
    client.list(at(5_000)).unwrap();
    client.close();
    assert_eq!(client.list(at(5_000)), Err(CallError::Closed));
}

#[test]
fn close_ends_every_call_and_every_ping() {
    let mut client = client();
    host(&mut client, at(0), "p");
    let call = client.list(at(1)).unwrap();
    drain(&mut client);
    client.close();
    assert_eq!(drain(&mut client), [finished(call, Outcome::Closed)]);
    assert_eq!(deadline(&mut client), None);
}

#[test]
fn a_cancelled_call_has_no_outcome() {
    let mut client = client();
    let call = client.create(at(0)).unwrap();
    drain(&mut client);
    client.cancel(call);
    assert_eq!(answer(&mut client, at(1), &hosted("p")), []);
    assert_eq!(client.hosted().count(), 0);
    assert_eq!(deadline(&mut client), None);

    let late = client.create(at(2)).unwrap();
    drain(&mut client);
    answer(&mut client, at(3), &hosted("q"));
    assert_eq!(client.hosted().count(), 1);
    client.cancel(late);
    assert_eq!(client.hosted().count(), 0, "nobody was told of the pool");
}

#[test]
fn a_list_is_answered_by_a_list() {
    let mut client = client();
    let create = client.create(at(0)).unwrap();
    let list = client.list(at(0)).unwrap();
    assert_ne!(create, list);
    drain(&mut client);
    let pools = Response::Pools([pool("a")].to_vec());
    let listed = finished(list, Outcome::Listed(PoolPage::from_iter([pool("a")])));
    assert_eq!(answer(&mut client, at(1), &pools), [listed]);
    assert_eq!(answer(&mut client, at(1), &pools), [], "a duplicate");
    assert_eq!(client.stats().unexpected, 1);
}

#[test]
fn a_refusal_by_a_limit_reaches_the_call_that_met_it() {
    let limit = 9;
    for (refusal, request) in [
        (Refusal::PoolFull { pool: pool("b"), limit }, Request::Join(pool("b"))),
        (Refusal::TooManyPeers { limit }, Request::Join(pool("a"))),
        (Refusal::TooManyPools { limit }, Request::Create),
        (Refusal::TooManyPoolsFromSource { limit }, Request::Create),
        (Refusal::NoFreshId, Request::Create),
    ] {
        let mut client = client();
        client.list(at(0)).unwrap();
        let calls = [
            (Request::Join(pool("a")), client.join(at(0), pool("a")).unwrap()),
            (Request::Join(pool("b")), client.join(at(0), pool("b")).unwrap()),
            (Request::Create, client.create(at(0)).unwrap()),
        ];
        let (_, call) = calls[calls.iter().position(|(of, _)| *of == request).unwrap()];
        drain(&mut client);
        let did = answer(&mut client, at(1), &Response::Refused(refusal.clone()));
        assert_eq!(did, [finished(call, Outcome::Refused(refusal))]);
    }
}

#[test]
fn a_pool_that_is_gone_ends_both_the_hosting_and_a_join() {
    let mut client = client();
    host(&mut client, at(0), "p");
    let join = client.join(at(0), pool("p")).unwrap();
    drain(&mut client);
    let gone = Refusal::NoSuchPool(Words::new(b"p"));
    assert_eq!(
        answer(&mut client, at(1), &Response::Refused(gone.clone())),
        [
            Said(ClientEvent::PoolEnded { pool: pool("p"), reason: PoolEnd::Quiet }),
            finished(join, Outcome::Refused(gone.clone()))
        ]
    );
    assert_eq!(client.stats().unexpected, 0);
    assert_eq!(answer(&mut client, at(2), &Response::Refused(gone)), []);
    assert_eq!(client.stats().unexpected, 1, "nobody's");
}

#[test]
fn an_outcome_that_is_taken_back_makes_room() {
    let config = ClientConfig { max_calls: 1, ..ClientConfig::classic() };
    let mut client = ClassicClient::new(config, broadcaster());
    for _ in 0..3 {
        let call = client.list(at(0)).unwrap();
        client.handle_timeout(at(5_000));
        client.cancel(call);
        assert!(drain(&mut client).iter().all(|did| matches!(did, Sent(_))));
    }
}

#[test]
fn the_longest_answer_is_read_and_one_byte_more_is_not() {
    let config = ClientConfig { max_datagram: 5, ..ClientConfig::classic() };
    let mut client = ClassicClient::new(config, broadcaster());
    client.list(at(0)).unwrap();
    drain(&mut client);
    client.handle_datagram(at(1), broadcaster(), b"\x02\x01\0\0\0a");
    assert_eq!((drain(&mut client), client.stats().spoiled), (Vec::new(), 1));
    client.handle_datagram(at(1), broadcaster(), b"\x02\0\0\0\0");
    assert_eq!(drain(&mut client).len(), 1);
}

#[test]
fn what_is_sent_is_counted_and_what_nobody_polls_is_dropped() {
    let config = ClientConfig { max_queued: 2, ..ClientConfig::classic() };
    let mut client = ClassicClient::new(config, broadcaster());
    client.list(at(0)).unwrap();
    for resent in [250, 750, 1_750] {
        client.handle_timeout(at(resent));
    }
    assert_eq!(drain(&mut client).len(), 2);
    let ClientStats { sent, resent, outputs_dropped, .. } = client.stats();
    assert_eq!((sent, resent, outputs_dropped), (4, 3, 2));
}

#[test]
fn no_more_is_hosted_than_allowed_and_each_pool_once() {
    let config = ClientConfig { max_pools: 70, ..ClientConfig::classic() };
    let mut client = ClassicClient::new(config, broadcaster());
    for name in 0..70 {
        host(&mut client, at(0), &alloc::format!("{name}"));
    }
    assert_eq!(client.create(at(0)), Err(CallError::TooManyPools { limit: 70 }));
    client.release(pool("69"));
    client.create(at(0)).unwrap();
    drain(&mut client);
    assert_eq!(answer(&mut client, at(1), &hosted("0")), [], "a copy, long after");
    assert_eq!(client.hosted().count(), 69);
}
