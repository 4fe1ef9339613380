//! smoke
#![allow(clippy::unwrap_used)]
use poolmesh_std::*;
use std::time::Duration;
#[test]
fn lobby() {
    let server =
        BroadcasterServer::bind("127.0.0.1:0".parse().unwrap(), BroadcasterConfig::default()).unwrap();
    let addr = server.local_addr();
    let stop = server.stopper();
    let t = std::thread::spawn(move || server.run(|e| println!("{e:?}")).unwrap());
    let host = Client::connect(addr).unwrap();
    let pool = host.create().unwrap();
    let hm = Mesh::new();
    let mut hev = hm.events();
    let r = hm.connect_to_pool(&host, &pool).unwrap();
    println!("{r:?}");
    let joiner = Client::connect(addr).unwrap();
    println!("{:?}", joiner.list());
    let jp = joiner.join(pool.id()).unwrap();
    let jm = Mesh::new();
    let mut jev = jm.events();
    let r = jm.connect_to_pool(&joiner, &jp).unwrap();
    println!("{r:?}");
    assert_eq!(r.connected.len(), 1);
    assert!(jm.send_to_all("msg", Packet::new().string("hello")).is_empty());
    loop {
        let e = hev.next().unwrap();
        println!("host: {e:?}");
        if let Event::Received(p, m) = e {
            assert_eq!(m.reader().string().unwrap(), "hello");
            p.send("msg", Packet::new().string("back")).unwrap();
            break;
        }
    }
    loop {
        let e = jev.next().unwrap();
        println!("joiner: {e:?}");
        if let Event::Received(_, m) = e {
            assert_eq!(m.reader().string().unwrap(), "back");
            break;
        }
    }
    println!("{:?}", joiner.join("nope".parse().unwrap()));
    jm.close();
    for e in jev {
        println!("joiner: {e:?}");
    }
    loop {
        let e = hev.next().unwrap();
        println!("host: {e:?}");
        if let Event::Disconnected(_, r) = e {
            assert_eq!(r, CloseReason::Remote);
            break;
        }
    }
    drop(hm);
    drop(host);
    std::thread::park_timeout(Duration::from_millis(1300));
    println!("{:?}", joiner.list());
    stop.stop();
    println!("{:?}", t.join().unwrap());
}
