use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;

use super::super::*;
use crate::wire::native::{Member, PoolCode, PoolSpec, PoolUuid, Secret};
use crate::{
    BroadcasterConfig, CallId, ClientConfig, CloseReason, ConnectId, Cursor, DialId, Fault, Instant, Limits,
    ListFilter, MeshConfig, PeerId, PoolId, PoolInfo, PoolMember,
};

fn address(text: &str) -> core::net::SocketAddr {
    text.parse().unwrap()
}

/// One of each input.
pub(super) fn inputs() -> Vec<Input> {
    let (peer, dial, call) = (PeerId(1), DialId(u64::MAX), CallId(300));
    let pool: PoolId = "306c97f9-4b65-451f-a914-68a573d71508".parse().unwrap();
    let (name, payload) = (Bytes::from_static(b"name"), Bytes::from_static(&[0xff; 300]));
    let scoped = core::net::SocketAddrV6::new(core::net::Ipv6Addr::LOCALHOST, 9, 1, u32::MAX);
    let info =
        PoolInfo::new(pool, address("192.0.2.1:1"), address("[2001:db8::1]:2"), [address("1.2.3.4:5")]);
    let member = |number| Member::new(number).unwrap();
    let code = PoolCode::new(PoolCode::END - 1).unwrap();
    let one =
        PoolMember { number: member(1), address: address("1.2.3.4:5"), about: Bytes::from_static(b"a") };
    let members = PoolInfo::of_members(pool, code, member(2), member(1), address("[2001:db8::1]:2"), [one]);
    let cursor = Cursor(PoolUuid::new([0xc5; 16]));
    let spec = PoolSpec::default().named("duel").unwrap().with_metadata(&[0xff; 512]).unwrap();
    let mut mesh = MeshConfig::default();
    mesh.link.idle_timeout = Some(Duration::MAX);
    mesh.max_links = usize::MAX;
    let broadcasters = vec![address("192.0.2.2:6969")];
    let client = ClientConfig { recreate_after: None, broadcasters, ..ClientConfig::default() };
    let broadcaster =
        BroadcasterConfig { secret: Some(Secret::new([9; 32])), ..BroadcasterConfig::default() };
    let start = PeerStart { client, broadcaster: address("192.0.2.1:6969"), mesh, seed: [7; 32] };
    vec![
        Input::Start(Start::Broadcaster(Box::new(broadcaster))),
        Input::Start(Start::Peer(Box::new(start))),
        Input::Polled { machine: Polled::Links, outputs: u32::MAX, digest: u64::MAX - 1 },
        Input::Drawn(u128::MAX / 3),
        Input::Datagram { from: scoped.into(), datagram: payload.clone() },
        Input::Timeout,
        Input::List,
        Input::Create,
        Input::Join(pool),
        Input::Cancel(call),
        Input::Release(pool),
        Input::CloseClient,
        Input::ListWith(ListFilter::default()),
        Input::ListWith(ListFilter {
            prefix: "ä".into(),
            free: u16::MAX,
            classic: true,
            after: Some(cursor),
        }),
        Input::CreateWith(Box::new(spec.clone()), payload.clone()),
        Input::JoinWith(pool.into(), Bytes::new()),
        Input::JoinWith(code.into(), name.clone()),
        Input::Resume(Box::new(crate::client::saved())),
        Input::Order(pool, Order::Leave),
        Input::Order(pool, Order::Close),
        Input::Order(pool, Order::Kick(member(u32::MAX))),
        Input::Order(pool, Order::HandOver(member(1))),
        Input::Order(pool, Order::Change(Box::new(spec))),
        Input::Order(pool, Order::Lock(false)),
        Input::Order(pool, Order::Lock(true)),
        Input::Order(pool, Order::SetAbout(name.clone())),
        Input::MeshTimeout,
        Input::Enter(info),
        Input::Enter(members.clone()),
        Input::Enter(members.returned()),
        Input::Connect(vec![address("192.0.2.1:1"), address("[::]:0")]),
        Input::CancelConnect(ConnectId(0)),
        Input::Meet(address("192.0.2.1:1")),
        Input::Listen(address("0.0.0.0:0")),
        Input::Disconnect(peer),
        Input::CloseMesh,
        Input::Dialed(dial),
        Input::DialFailed(dial, Fault::Other),
        Input::Accepted(address("192.0.2.1:1")),
        Input::LinkClosed(peer, CloseReason::FrameTooLong { len: u32::MAX }),
        Input::Listening(address("192.0.2.1:1")),
        Input::ListenFailed(address("192.0.2.1:1"), Fault::AddressInUse),
        Input::LinksTimeout,
        Input::Send { peer, name: name.clone(), payload: payload.clone() },
        Input::SendToAll { name, payload: Bytes::new() },
        Input::CloseLink(peer),
        Input::Bytes(peer, payload),
        Input::Eof(peer),
        Input::Failure(peer, Fault::Reset),
        Input::Written(peer),
    ]
}

fn times() -> impl Iterator<Item = Instant> {
    [7, 7, 0, u64::MAX, 5_000_000, 4_999_999].into_iter().map(Instant::from_micros).cycle()
}

fn all_entries() -> Vec<Entry> {
    let entry = |(input, (now, program))| Entry { program, now, input };
    inputs().into_iter().zip(times().zip([0, 1, u32::MAX].into_iter().cycle())).map(entry).collect()
}

fn recorded(entries: &[Entry]) -> Bytes {
    let mut recorder = Recorder::default();
    for entry in entries {
        recorder.record(entry.program, entry.now, &entry.input);
    }
    recorder.take()
}

/// A file with one entry of these bytes.
fn file(entry: &[u8]) -> Vec<u8> {
    let mut file = Recorder::new().take().to_vec();
    file.push(u8::try_from(entry.len()).unwrap());
    file.extend_from_slice(entry);
    file
}

fn fault(file: &[u8]) -> TraceFault {
    entries(file).last().unwrap().unwrap_err().fault
}

#[test]
fn every_input_is_read_as_it_was_recorded() {
    let all = all_entries();
    let file = recorded(&all);
    assert_eq!(entries(&file).collect::<Result<Vec<_>, _>>().unwrap(), all);
}

#[test]
fn every_machine_fault_and_reason_is_read_as_it_was_recorded() {
    let faults = Fault::EACH;
    let reasons = [
        CloseReason::Local,
        CloseReason::Unwritten { bytes: usize::MAX },
        CloseReason::Remote,
        CloseReason::CutShort,
        CloseReason::FrameTooLong { len: 0 },
        CloseReason::FrameTooSlow { bytes: 300 },
        CloseReason::Idle,
    ];
    let machines = [Polled::Broadcaster, Polled::Client, Polled::Mesh, Polled::Links];
    let polled = |machine| Input::Polled { machine, outputs: 0, digest: 0 };
    let entry = |input| Entry { program: 0, now: Instant::ZERO, input };
    let ended = |reason| entry(Input::LinkClosed(PeerId(0), reason));
    let mut all: Vec<Entry> = machines.map(|machine| entry(polled(machine))).to_vec();
    all.extend(reasons.map(ended));
    all.extend(faults.map(|fault| ended(CloseReason::Failed(fault))));
    let written = recorded(&all);
    assert_eq!(entries(&written).collect::<Result<Vec<_>, _>>().unwrap(), all);
    for (kind, what) in [(2, "machine"), (42, "reason of an end"), (36, "family of addresses")] {
        let spoiled = [0, 0, kind, 99, 99];
        let number = 99;
        assert_eq!(fault(&file(&spoiled)), TraceFault::Unknown { what, number });
    }
}

#[test]
fn a_file_may_come_in_any_chunks() {
    let all = all_entries();
    let file = recorded(&all);
    for size in [1, 2, 3, 7, 100, file.len()] {
        let (mut reader, mut read) = (Reader::default(), vec![]);
        for chunk in file.chunks(size) {
            reader.push(chunk);
            while let Some(entry) = reader.next_entry().unwrap() {
                read.push(entry);
            }
        }
        assert_eq!(reader.finish(), Ok(()));
        assert_eq!(reader.offset(), file.len() as u64);
        assert_eq!(read, all, "in chunks of {size}");
    }
}

#[test]
fn a_file_that_is_cut_reads_up_to_the_cut_and_says_so() {
    let all = all_entries();
    let file = recorded(&all);
    let mut whole = 0;
    for len in 0..file.len() {
        let cut = &file[..len];
        let mut reader = Reader::new();
        reader.push(cut);
        let (mut read, mut ends_whole) = (0, false);
        for entry in entries(cut) {
            match entry {
                Ok(entry) => {
                    assert_eq!(entry, all[read]);
                    assert_eq!(reader.next_entry(), Ok(Some(entry)));
                    read += 1;
                }
                Err(error) => {
                    assert!(matches!(error.fault, TraceFault::Cut { missing } if missing > 0), "{error}");
                    assert_eq!(reader.next_entry(), Ok(None));
                    assert_eq!(reader.finish(), Err(error));
                    assert_eq!(reader.offset(), error.offset);
                    assert!(error.offset <= len as u64);
                    ends_whole = true;
                }
            }
        }
        whole += u32::from(!ends_whole);
    }
    assert_eq!(whole as usize, all.len(), "behind the header, and behind each entry but the last");
}

#[test]
fn the_header_says_who_wrote_it() {
    let mut reader = Reader::new();
    reader.push(&Recorder::new().take());
    assert_eq!(reader.finish(), Ok(()), "what is whole need not have been asked for");
    assert_eq!(reader.next_entry(), Ok(None));
    assert_eq!(reader.finish(), Ok(()));
    let header = reader.header().unwrap();
    assert_eq!((header.version, header.writer.starts_with("poolmesh-proto 0.")), (1, true));
}

/// The bytes of version 1, so that it stays readable.
#[test]
fn the_format_is_what_the_table_says() {
    let mut recorder = Recorder::new();
    let from = address("192.0.2.1:258");
    recorder.record(
        2,
        Instant::from_micros(64),
        &Input::Datagram { from, datagram: Bytes::from_static(b"hi") },
    );
    recorder.record(2, Instant::from_micros(63), &Input::Eof(PeerId(300)));
    let file = recorder.take();
    let header = Recorder::new().take();
    assert_eq!(
        &header[..10],
        [&b"\x89pmtrace\x01"[..], &[u8::try_from(header.len() - 10).unwrap()]].concat()
    );
    let expected =
        [&[14, 2, 0x80, 0x01, 4, 4, 192, 0, 2, 1, 1, 2, 2, b'h', b'i'][..], &[5, 2, 0x01, 53, 0xac, 0x02]];
    assert_eq!(&file[header.len()..], expected.concat());
}

#[test]
fn what_is_no_trace_is_refused() {
    assert_eq!(fault(b"listening on"), TraceFault::NotATrace);
    assert_eq!(fault(b"\x89pmtrace\x02\x00"), TraceFault::UnknownVersion { version: 2 });
    let long = TraceFault::TooLong { len: 16_383, max: 1_024 };
    assert_eq!(fault(b"\x89pmtrace\x01\xff\x7f"), long);
    assert_eq!(fault(b""), TraceFault::Cut { missing: 10 });
    assert_eq!(fault(b"\x89pm"), TraceFault::Cut { missing: 7 });
    assert_eq!(fault(b"\x89pmtrace\x01\x09abc"), TraceFault::Cut { missing: 6 });
}

#[test]
fn what_is_newer_or_spoiled_is_named_with_its_place() {
    assert_eq!(fault(&file(&[0, 0, 99])), TraceFault::Unknown { what: "kind of input", number: 99 });
    assert_eq!(fault(&file(&[0, 0, 1, 7])), TraceFault::Unknown { what: "kind of program", number: 7 });
    assert_eq!(fault(&file(&[0, 0, 5, 1, 2])), TraceFault::Trailing { bytes: 2 });
    assert_eq!(fault(&file(&[0, 0, 12 + 37])), TraceFault::Short { missing: 1 });
    assert_eq!(fault(&file(&[0, 0, 52, 1, 9, b'x'])), TraceFault::Short { missing: 8 });
    assert_eq!(fault(&file(&[0, 0, 18, 0])), TraceFault::PoolId(crate::InvalidPoolId::Empty));
    let spoiled = file(&[0, 0, 54, 1, 77]);
    let mut spoiled_entries = entries(&spoiled);
    let error = spoiled_entries.next().unwrap().unwrap_err();
    assert_eq!(error.fault, TraceFault::Unknown { what: "fault", number: 77 });
    assert_eq!(error.offset, spoiled.len() as u64 - 1);
    assert_eq!(spoiled_entries.offset(), spoiled.len() as u64 - 6, "where the entry begins");
    let from = [&[0, 0, 1, 1, 4, 192, 0, 2, 1, 0, 9][..], &[2, 1, 2]].concat();
    assert_eq!(fault(&file(&from)), TraceFault::Unknown { what: "dialect", number: 2 });
}

#[test]
fn an_error_is_the_last_thing_a_reader_says() {
    let mut file = file(&[0, 0, 99]);
    file.extend_from_slice(&[3, 0, 0, 5]);
    assert_eq!(entries(&file).count(), 1);
    let mut reader = Reader::new();
    reader.push(&file);
    let error = reader.next_entry().unwrap_err();
    reader.push(&file);
    assert_eq!(reader.next_entry(), Err(error));
    assert_eq!(reader.finish(), Err(error));
}

#[test]
fn an_entry_that_claims_to_be_too_long_is_refused_before_it_is_there() {
    let mut reader = Reader::with_max_entry(100);
    reader.push(&Recorder::new().take());
    reader.push(&[101]);
    let error = reader.next_entry().unwrap_err();
    assert_eq!(error.fault, TraceFault::TooLong { len: 101, max: 100 });
    let mut reader = Reader::with_max_entry(100);
    reader.push(&Recorder::new().take());
    reader.push(&[100]);
    assert_eq!(reader.next_entry(), Ok(None));

    let mut reader = Reader::new();
    reader.push(&Recorder::new().take());
    reader.push(b"\x81\x80\x80\x20");
    let max = 64 << 20;
    assert_eq!(reader.next_entry().unwrap_err().fault, TraceFault::TooLong { len: max as u64 + 1, max });
    let mut reader = Reader::new();
    reader.push(&Recorder::new().take());
    reader.push(b"\x80\x80\x80\x20");
    assert_eq!(reader.next_entry(), Ok(None));
}

/// A file with one entry of these bytes, which may be many.
fn long_file(entry: &[u8]) -> Vec<u8> {
    let len = [0x80 | u8::try_from(entry.len() % 128).unwrap(), u8::try_from(entry.len() / 128).unwrap()];
    [&Recorder::new().take()[..], &len, entry].concat()
}

#[test]
fn an_entry_that_is_too_short_for_its_input_is_no_entry() {
    let header = Recorder::new().take().len();
    for entry in all_entries() {
        let file = recorded(core::slice::from_ref(&entry));
        let behind_len = if file.len() - header > 128 { 2 } else { 1 };
        let whole = &file[header + behind_len..];
        assert_eq!(entries(&long_file(whole)).next().unwrap().unwrap(), entry);
        for len in 0..whole.len() {
            let fault = fault(&long_file(&whole[..len]));
            assert!(matches!(fault, TraceFault::Short { missing } if missing > 0), "{entry:?}: {fault}");
        }
    }
}

#[test]
fn a_number_that_is_too_large_is_out_of_range() {
    let huge = [0xff; 11];
    let program = [0x80, 0x80, 0x80, 0x80, 0x10];
    assert_eq!(fault(&[&Recorder::new().take()[..], &huge].concat()), TraceFault::OutOfRange);
    assert_eq!(fault(&file(&[&program[..], &[0, 5]].concat())), TraceFault::OutOfRange);
    assert_eq!(fault(&file(&[&[0][..], &huge, &[5]].concat())), TraceFault::OutOfRange);
    assert_eq!(fault(&file(&[&[0, 0][..], &huge].concat())), TraceFault::OutOfRange);
    let settings = [&[1][..], &[0xff; 20]].concat();
    assert_eq!(fault(&broadcaster(&settings)), TraceFault::OutOfRange);
    assert_eq!(fault(&broadcaster(&[1])), TraceFault::Short { missing: 1 });
    assert_eq!(fault(&broadcaster(&huge)), TraceFault::OutOfRange);
}

/// The settings of a broadcaster, from their bytes.
fn broadcaster(settings: &[u8]) -> Vec<u8> {
    file(&[&[0, 0, 1, 0, u8::try_from(settings.len()).unwrap()], settings].concat())
}

#[test]
fn settings_that_are_not_there_or_not_known_are_named() {
    let all = [1, 5, 2, 5, 3, 5, 4, 5, 5, 5, 6, 5, 7, 5, 8, 0];
    let read = entries(&broadcaster(&all)).next().unwrap().unwrap();
    let Input::Start(Start::Broadcaster(config)) = read.input else { panic!("{read:?}") };
    assert_eq!(
        *config,
        BroadcasterConfig {
            ping_timeout: Duration::from_nanos(5),
            max_pools: 5,
            max_pools_per_source: 5,
            max_peers: 5,
            max_peers_total: 5,
            max_queued: 5,
            max_datagram: 5,
            classic: false,
            classic_answers_per_second: u32::MAX,
            classic_answers_in_a_row: u32::MAX,
            limits: Limits::default(),
            secret: None,
        }
    );
    let what = "setting of a broadcaster";
    assert_eq!(fault(&broadcaster(&all[..12])), TraceFault::Missing { what, number: 7 });
    let newer = [&all[..], &[31, 1]].concat();
    assert_eq!(fault(&broadcaster(&newer)), TraceFault::Unknown { what, number: 31 });
    assert_eq!(fault(&broadcaster(&[&all[..], &[11, 1]].concat())), TraceFault::Missing { what, number: 12 });
}

/// Each setting of a broadcaster is read as it was written.
#[test]
fn every_setting_of_a_broadcaster_is_kept() {
    let number = |setting: u8| [setting, 80 + setting];
    let all: Vec<u8> = (1..=30).filter(|setting| *setting != 8).flat_map(number).chain([8, 1]).collect();
    let file = broadcaster(&all);
    let read = entries(&file).next().unwrap().unwrap();
    let Input::Start(Start::Broadcaster(config)) = &read.input else { panic!("{read:?}") };
    let (times, limits) = ([106, 107, 108].map(Duration::from_nanos), &config.limits);
    assert_eq!([limits.interval, limits.timeout, limits.offer], times);
    assert_eq!((limits.pools, limits.list_scan, limits.sources, limits.seats), (93, 109, 110, 97));
    assert_eq!((config.classic_answers_per_second, config.classic_answers_in_a_row), (89, 90));
    assert!(config.secret.is_some() && config.classic);
}

/// Each setting of a peer is written, and read as it was written; what may be `None` may be missing.
#[test]
fn every_setting_of_a_peer_is_asked_for() {
    let groups: [(&'static str, u8, &[u8]); 3] = [
        ("setting of a client", 11, &[4, 10, 11]),
        ("setting of a link", 7, &[5, 7]),
        ("setting of a mesh", 11, &[]),
    ];
    // The group and the setting that get this value instead of 1, if any.
    let start = |group: &str, setting: u8, value: &[u8]| {
        let mut entry = vec![0, 0, 1, 1, 4, 192, 0, 2, 1, 0, 9];
        for (name, count, _) in groups {
            let each = |number| match (name, number) == (group, setting) {
                true if value.is_empty() => vec![],
                true => [&[number], value].concat(),
                false => vec![number, 1],
            };
            let settings: Vec<u8> = (1..=count).flat_map(each).collect();
            entry.push(u8::try_from(settings.len()).unwrap());
            entry.extend(settings);
        }
        entries(&file(&entry)).last().unwrap().map_err(|error| error.fault)
    };
    let huge = [&[0xff; 18][..], &[3]].concat();
    assert!(start("", 0, &[]).is_ok());
    for (what, count, optional) in groups {
        for setting in 1..=count {
            let missing = start(what, setting, &[]);
            if optional.contains(&setting) {
                assert!(missing.is_ok());
            } else {
                assert_eq!(missing, Err(TraceFault::Missing { what, number: setting.into() }));
            }
            // Any 16 bytes name an application but zeros.
            let wrong = if (what, setting) == ("setting of a client", 10) { &[0][..] } else { &huge };
            assert_eq!(start(what, setting, wrong), Err(TraceFault::OutOfRange), "{what} {setting}");
        }
    }
}
