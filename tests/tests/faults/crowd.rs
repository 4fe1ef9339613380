//! A thousand connections that keep a peer busy with nothing.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use poolmesh_proto::CloseReason;
use poolmesh_proto::driver::Event;
use poolmesh_testkit::patience::{PATIENCE, eventually, now};
use poolmesh_testkit::raw::frame;
use poolmesh_testkit::runtime::{Events, Mesh, Peer, Runtime, Smol, Std};

use super::alone::{alone, set_files};
use super::mesh;

const CROWD: usize = 1_000;
const HONEST: usize = 8;

const IDLE: Duration = Duration::from_secs(2);
const FRAME: Duration = Duration::from_secs(3);

/// How often a slow one sends a byte.
const SECOND: Duration = Duration::from_secs(1);

/// Honest peers say something so often.
const BEAT: Duration = Duration::from_millis(250);

fn dial(at: SocketAddr) -> TcpStream {
    TcpStream::connect_timeout(&at, PATIENCE).unwrap()
}

/// Half of them say nothing, half a byte a second of a frame that would take hours. The first are gone after the idle
/// timeout, the others, who are never idle, after the frame timeout; neither sooner. Meanwhile honest peers are
/// answered, and in the end only they are left.
fn gone_when_the_config_says<R: Runtime>() {
    let crowd = CROWD.min((set_files(4_000) as usize).saturating_sub(300) / 2);
    if crowd < CROWD {
        println!("with {crowd} connections: no more files can be had");
    }
    let busy = mesh::<R>(|config| {
        config.max_links = CROWD + HONEST;
        config.link.idle_timeout = Some(IDLE);
        config.link.frame_timeout = Some(FRAME);
    });
    busy.on("ask", |peer, _| peer.try_send(b"answer", &b""[..]).unwrap());
    let mut events = busy.events();
    let at = busy.listen_on("127.0.0.1:0".parse().unwrap()).unwrap();

    let honest: Vec<_> = (0..HONEST).map(|_| mesh::<R>(|_| {})).collect();
    let (stop, stopped) = mpsc::channel::<()>();
    let asks: Vec<_> = honest
        .iter()
        .map(|mesh| {
            let (peer, mut answers) = (mesh.connect_to_peer(&at.to_string()).unwrap(), mesh.events());
            let (answered, told) = mpsc::channel();
            thread::spawn(move || {
                while peer.send(b"ask", &b""[..]).is_ok() {
                    while !matches!(answers.next(), Some(Event::Received(..)) | None) {}
                    if answered.send(()).is_err() {
                        return;
                    }
                    poolmesh_testkit::patience::pause(BEAT);
                }
            });
            told
        })
        .collect();

    let start = now();
    let (slow, slows) = mpsc::channel();
    let dialing = thread::spawn(move || {
        let silent: Vec<_> = (0..crowd / 2).map(|_| dial(at)).collect();
        (0..crowd / 2).for_each(|_| slow.send(dial(at)).unwrap());
        println!("{crowd} dialed in {:?}", start.elapsed());
        silent
    });
    let trickling = thread::spawn(move || {
        let story = frame(b"a long story", &[b'x'; 10_000]);
        let mut told: Vec<(TcpStream, std::slice::Chunks<'_, u8>)> = Vec::new();
        loop {
            told.retain_mut(|(stream, bytes)| stream.write_all(bytes.next().unwrap()).is_ok());
            let next = now() + SECOND;
            while let Ok(mut stream) = slows.recv_timeout(next - now()) {
                stream.write_all(&story[..1]).unwrap();
                told.push((stream, story[1..].chunks(1)));
            }
            if stopped.recv_timeout(next - now()) != Err(mpsc::RecvTimeoutError::Timeout) {
                return;
            }
        }
    });
    let mut gone = [0; 2];
    while gone.iter().sum::<usize>() < crowd / 2 * 2 {
        let (peer, reason) = eventually("all of the crowd are gone", || match events.try_next()? {
            Event::Disconnected(peer, reason) => Some((peer, reason)),
            _ => None,
        });
        let passed = start.elapsed();
        match reason {
            CloseReason::Idle if passed >= IDLE => gone[0] += 1,
            CloseReason::FrameTooSlow { bytes: 1..=30 } if passed >= FRAME => gone[1] += 1,
            _ => panic!("{peer:?}: {reason} after {passed:?}"),
        }
    }
    assert_eq!(gone, [crowd / 2, crowd / 2], "the silent and the slow");
    assert_eq!(busy.peers().len(), HONEST);
    for answered in &asks {
        let answers = answered.try_iter().count();
        assert!(answers >= 3, "an honest one had only {answers} answers in {:?}", start.elapsed());
        answered.recv_timeout(PATIENCE).unwrap();
    }
    stop.send(()).unwrap();
    trickling.join().unwrap();
    drop(dialing.join().unwrap());
}

#[test]
fn a_thousand_connections_that_say_nothing_to_std() {
    alone("crowd::a_thousand_connections_that_say_nothing_to_std", gone_when_the_config_says::<Std>);
}

#[test]
fn a_thousand_connections_that_say_nothing_to_smol() {
    alone("crowd::a_thousand_connections_that_say_nothing_to_smol", gone_when_the_config_says::<Smol>);
}
