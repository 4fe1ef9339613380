//! Any entries at all. Strategies of many parts are boxes: their values are made on the stack.

use core::net::{Ipv6Addr, SocketAddr, SocketAddrV6};
use core::time::Duration;

use bytes::Bytes;
use poolmesh_proto::trace::{Entry, Input, Order, PeerStart, Polled, Start};
use poolmesh_proto::wire::native::{Application, Member, PoolCode, PoolSpec, Seats};
use poolmesh_proto::{
    BroadcasterConfig, CallId, Client, ClientConfig, CloseReason, ConnectId, DialId, Door, Fault, Instant,
    LinkConfig, ListFilter, Machine, Mesh, MeshConfig, MeshOutput, Output, PeerId, PoolId, PoolInfo,
    PoolMember,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

pub(crate) fn address() -> impl Strategy<Value = SocketAddr> {
    let scoped =
        (any::<u128>(), any::<u16>(), any::<u32>(), any::<u32>()).prop_map(|(ip, port, flow, scope)| {
            SocketAddrV6::new(Ipv6Addr::from_bits(ip), port, flow, scope).into()
        });
    prop_oneof![any::<SocketAddr>(), scoped]
}

fn pool_id() -> impl Strategy<Value = PoolId> {
    let byte = any::<u8>().prop_filter("a space separates ids", |byte| *byte != b' ');
    vec(byte, 1..=PoolId::MAX_LEN).prop_map(|bytes| PoolId::new(&bytes).unwrap())
}

fn bytes() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..300).prop_map(Bytes::from)
}

/// The ids of a machine are made by it alone, so there are few.
const IDS: usize = 5;

fn call() -> impl Strategy<Value = CallId> {
    let mut client = Client::new(ClientConfig::classic(), ([192, 0, 2, 1], 1).into(), [7; 32]);
    select((0..IDS).map(|_| client.list(Instant::ZERO).unwrap()).collect::<Vec<_>>())
}

fn connect() -> impl Strategy<Value = ConnectId> {
    let mut mesh = Mesh::new(MeshConfig::default());
    select((0..IDS).map(|_| mesh.connect(Instant::ZERO, []).unwrap()).collect::<Vec<_>>())
}

fn peer() -> impl Strategy<Value = PeerId> {
    let mut mesh = Mesh::new(MeshConfig::default());
    let mut accept = |_| mesh.handle_accepted(Instant::ZERO, ([192, 0, 2, 1], 1).into()).unwrap().0;
    select((0..IDS).map(&mut accept).collect::<Vec<_>>())
}

fn dial() -> impl Strategy<Value = DialId> {
    let mut mesh = Mesh::new(MeshConfig::default());
    let addresses = (1..=IDS).map(|port| ([192, 0, 2, 1], u16::try_from(port).unwrap()).into());
    mesh.connect(Instant::ZERO, addresses).unwrap();
    let dials = core::iter::from_fn(|| match mesh.poll_output() {
        MeshOutput::Dial { dial, .. } => Some(dial),
        _ => None,
    });
    select(dials.collect::<Vec<_>>())
}

fn fault() -> BoxedStrategy<Fault> {
    select(vec![
        Fault::Refused,
        Fault::Reset,
        Fault::TimedOut,
        Fault::Unreachable,
        Fault::AddressInUse,
        Fault::NoResources,
        Fault::NotPermitted,
        Fault::HandlerPanicked,
        Fault::Other,
    ])
    .boxed()
}

fn reason() -> impl Strategy<Value = CloseReason> {
    prop_oneof![
        Just(CloseReason::Local),
        any::<usize>().prop_map(|bytes| CloseReason::Unwritten { bytes }),
        Just(CloseReason::Remote),
        Just(CloseReason::CutShort),
        any::<u32>().prop_map(|len| CloseReason::FrameTooLong { len }),
        Just(CloseReason::Idle),
        any::<usize>().prop_map(|bytes| CloseReason::FrameTooSlow { bytes }),
        fault().prop_map(CloseReason::Failed),
    ]
}

fn size() -> BoxedStrategy<usize> {
    prop_oneof![0..10usize, any::<usize>(), Just(usize::MAX)].boxed()
}

fn duration() -> BoxedStrategy<Duration> {
    prop_oneof![
        (0..5_000u64).prop_map(Duration::from_millis),
        any::<Duration>(),
        Just(Duration::MAX),
        Just(Duration::ZERO),
    ]
    .boxed()
}

fn optional() -> impl Strategy<Value = Option<Duration>> {
    proptest::option::of(duration())
}

fn broadcaster_config() -> impl Strategy<Value = BroadcasterConfig> {
    (duration(), [size(), size(), size()], [size(), size(), size()]).prop_map(|(timeout, first, second)| {
        let mut config = BroadcasterConfig::default().with_classic();
        config.ping_timeout = timeout;
        [config.max_pools, config.max_pools_per_source, config.max_peers] = first;
        [config.max_peers_total, config.max_queued, config.max_datagram] = second;
        config
    })
}

fn client_config() -> impl Strategy<Value = ClientConfig> {
    let durations = [duration(), duration(), duration()];
    let native = (any::<[u8; 16]>().prop_filter_map("zeros", Application::new), vec(address(), 0..4), size());
    let durations = (any::<bool>(), durations);
    (durations, optional(), [size(), size(), size(), size()], native).prop_map(
        |((classic, durations), recreate, sizes, native)| {
            let mut config = if classic { ClientConfig::classic() } else { ClientConfig::default() };
            [config.call_timeout, config.resend_after, config.ping_interval] = durations;
            config.recreate_after = recreate;
            (config.application, config.broadcasters, config.max_events) = native;
            [config.max_calls, config.max_pools, config.max_queued, config.max_datagram] = sizes;
            config
        },
    )
}

fn link_config() -> BoxedStrategy<LinkConfig> {
    ([size(), size(), size(), size()], [optional(), optional()], duration())
        .prop_map(|(sizes, most, close)| {
            let mut config = LinkConfig::default();
            [config.max_frame, config.max_queued, config.max_received, config.pack] = sizes;
            [config.idle_timeout, config.frame_timeout] = most;
            config.close_timeout = close;
            config
        })
        .boxed()
}

fn mesh_config() -> impl Strategy<Value = MeshConfig> {
    let sizes = ([size(), size(), size(), size()], [size(), size(), size()]);
    let durations = [duration(), duration(), duration()];
    (link_config(), sizes, durations, any::<u32>()).prop_map(
        |(link, (first, second), durations, attempts)| {
            let mut config = MeshConfig::default();
            config.link = link;
            [
                config.max_links,
                config.max_pending_accepts,
                config.max_queued_total,
                config.max_waiting_events,
            ] = first;
            [config.max_waiting_bytes, config.max_dialing, config.max_dials] = second;
            [config.dial_timeout, config.dial_backoff, config.dial_deadline] = durations;
            config.dial_attempts = attempts;
            config
        },
    )
}

pub(crate) fn start() -> BoxedStrategy<Start> {
    let peer = (client_config(), address(), mesh_config(), any::<[u8; 32]>());
    let peer = peer.prop_map(|(client, broadcaster, mesh, seed)| {
        Start::Peer(Box::new(PeerStart { client, broadcaster, mesh, seed }))
    });
    prop_oneof![broadcaster_config().prop_map(|config| Start::Broadcaster(Box::new(config))), peer].boxed()
}

fn pool_info() -> BoxedStrategy<PoolInfo> {
    let number = || (1..=u32::MAX).prop_filter_map("zero", Member::new);
    let about = vec(any::<u8>(), 0..9).prop_map(Bytes::from);
    let member = (number(), address(), about);
    let members =
        vec(member.prop_map(|(number, address, about)| PoolMember { number, address, about }), 0..5);
    let code = (0..PoolCode::END).prop_filter_map("too large", PoolCode::new);
    let native = (pool_id(), code, number(), number(), address(), members).prop_map(
        |(id, code, me, host, you, members)| PoolInfo::of_members(id, code, me, host, you, members),
    );
    let classic = (pool_id(), address(), address(), vec(address(), 0..5))
        .prop_map(|(id, host, you, peers)| PoolInfo::new(id, host, you, peers));
    prop_oneof![classic, native].boxed()
}

fn polled() -> impl Strategy<Value = Input> {
    let machine = select(vec![Polled::Broadcaster, Polled::Client, Polled::Mesh, Polled::Links]);
    (machine, any::<u32>(), any::<u64>()).prop_map(|(machine, outputs, digest)| Input::Polled {
        machine,
        outputs,
        digest,
    })
}

fn member() -> impl Strategy<Value = Member> {
    any::<u32>().prop_filter_map("zero", Member::new)
}

fn spec() -> BoxedStrategy<PoolSpec> {
    let seats = (1..=Seats::MAX).prop_filter_map("too many", Seats::new);
    let texts = ("[a-zä]{0,32}", vec(any::<u8>(), 0..=512));
    let spec = |(seats, [hidden, locked, ends], (name, metadata)): (_, [bool; 3], (String, Vec<u8>))| {
        let spec = PoolSpec::new(seats).hidden(hidden).locked(locked).ending_with_host(ends);
        spec.named(&name).unwrap().with_metadata(&metadata).unwrap()
    };
    (seats, any::<[bool; 3]>(), texts).prop_map(spec).boxed()
}

fn filter() -> impl Strategy<Value = ListFilter> {
    let filter = |(prefix, free, classic)| ListFilter { prefix, free, classic, after: None };
    (".{0,40}", any::<u16>(), any::<bool>()).prop_map(filter)
}

fn door() -> impl Strategy<Value = Door> {
    let code = (0..PoolCode::END).prop_filter_map("too high", PoolCode::new);
    prop_oneof![pool_id().prop_map(Door::Id), code.prop_map(Door::Code)]
}

fn order() -> impl Strategy<Value = Order> {
    prop_oneof![
        Just(Order::Leave),
        Just(Order::Close),
        member().prop_map(Order::Kick),
        member().prop_map(Order::HandOver),
        spec().prop_map(|spec| Order::Change(Box::new(spec))),
        any::<bool>().prop_map(Order::Lock),
        bytes().prop_map(Order::SetAbout),
    ]
}

fn of_datagram_machines() -> BoxedStrategy<Input> {
    prop_oneof![
        start().prop_map(Input::Start),
        polled(),
        any::<u128>().prop_map(Input::Drawn),
        (address(), bytes()).prop_map(|(from, datagram)| Input::Datagram { from, datagram }),
        Just(Input::Timeout),
        Just(Input::List),
        Just(Input::Create),
        pool_id().prop_map(Input::Join),
        call().prop_map(Input::Cancel),
        pool_id().prop_map(Input::Release),
        Just(Input::CloseClient),
        filter().prop_map(Input::ListWith),
        (spec(), bytes()).prop_map(|(spec, about)| Input::CreateWith(Box::new(spec), about)),
        (door(), bytes()).prop_map(|(door, about)| Input::JoinWith(door, about)),
        (pool_id(), order()).prop_map(|(pool, order)| Input::Order(pool, order)),
    ]
    .boxed()
}

fn of_mesh() -> BoxedStrategy<Input> {
    prop_oneof![
        Just(Input::MeshTimeout),
        pool_info().prop_map(Input::Enter),
        vec(address(), 0..5).prop_map(Input::Connect),
        connect().prop_map(Input::CancelConnect),
        address().prop_map(Input::Meet),
        address().prop_map(Input::Listen),
        peer().prop_map(Input::Disconnect),
        Just(Input::CloseMesh),
        dial().prop_map(Input::Dialed),
        (dial(), fault()).prop_map(|(dial, fault)| Input::DialFailed(dial, fault)),
        address().prop_map(Input::Accepted),
        (peer(), reason()).prop_map(|(peer, reason)| Input::LinkClosed(peer, reason)),
        address().prop_map(Input::Listening),
        (address(), fault()).prop_map(|(address, fault)| Input::ListenFailed(address, fault)),
    ]
    .boxed()
}

fn of_links() -> BoxedStrategy<Input> {
    prop_oneof![
        Just(Input::LinksTimeout),
        (peer(), bytes(), bytes()).prop_map(|(peer, name, payload)| Input::Send { peer, name, payload }),
        (bytes(), bytes()).prop_map(|(name, payload)| Input::SendToAll { name, payload }),
        peer().prop_map(Input::CloseLink),
        (peer(), bytes()).prop_map(|(peer, bytes)| Input::Bytes(peer, bytes)),
        peer().prop_map(Input::Eof),
        (peer(), fault()).prop_map(|(peer, fault)| Input::Failure(peer, fault)),
        peer().prop_map(Input::Written),
    ]
    .boxed()
}

pub(crate) fn input() -> impl Strategy<Value = Input> {
    prop_oneof![of_datagram_machines(), of_mesh(), of_links()]
}

pub(crate) fn time() -> impl Strategy<Value = Instant> {
    prop_oneof![0..6_000_000u64, any::<u64>(), Just(u64::MAX)].prop_map(Instant::from_micros)
}

pub(crate) fn entry() -> impl Strategy<Value = Entry> {
    (prop_oneof![0..3u32, any::<u32>()], time(), input()).prop_map(|(program, now, input)| Entry {
        program,
        now,
        input,
    })
}

/// Polls a datagram machine to its end.
pub(crate) fn drain<M: Machine>(machine: &mut M) -> Vec<Output<M::Event>> {
    let mut outputs = Vec::new();
    loop {
        outputs.push(machine.poll_output());
        if matches!(outputs.last(), Some(Output::Wait(_))) {
            return outputs;
        }
    }
}
