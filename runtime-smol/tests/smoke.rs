//! smoke
#![allow(clippy::unwrap_used)]
use poolmesh_smol::*;
use std::time::Duration;
#[test]
fn lobby() {
    smol::block_on(async {
        let server =
            BroadcasterServer::bind("127.0.0.1:0".parse().unwrap(), BroadcasterConfig::default()).unwrap();
        let addr = server.local_addr();
        let stop = server.stopper();
        let t = smol::spawn(async move { server.run(|e| println!("{e:?}")).await.unwrap() });
        let host = Client::connect(addr).await.unwrap();
        let pool = host.create().await.unwrap();
        let hm = Mesh::new();
        let mut hev = hm.events();
        let r = hm.connect_to_pool(&host, &pool).await.unwrap();
        println!("{r:?}");
        let joiner = Client::connect(addr).await.unwrap();
        println!("{:?}", joiner.list().await);
        let jp = joiner.join(pool.id()).await.unwrap();
        let jm = Mesh::new();
        let mut jev = jm.events();
        let r = jm.connect_to_pool(&joiner, &jp).await.unwrap();
        println!("{r:?}");
        assert_eq!(r.connected.len(), 1);
        assert!(jm.send_to_all("msg", Packet::new().string("hello")).is_empty());
        loop {
            let e = hev.next().await.unwrap();
            println!("host: {e:?}");
            if let Event::Received(p, m) = e {
                assert_eq!(m.reader().string().unwrap(), "hello");
                p.send("msg", Packet::new().string("back")).await.unwrap();
                break;
            }
        }
        loop {
            let e = jev.next().await.unwrap();
            println!("joiner: {e:?}");
            if let Event::Received(_, m) = e {
                assert_eq!(m.reader().string().unwrap(), "back");
                break;
            }
        }
        println!("{:?}", joiner.join("nope".parse().unwrap()).await);
        jm.close().await;
        while let Some(e) = jev.next().await {
            println!("joiner: {e:?}");
        }
        loop {
            let e = hev.next().await.unwrap();
            println!("host: {e:?}");
            if let Event::Disconnected(_, r) = e {
                assert_eq!(r, CloseReason::Remote);
                break;
            }
        }
        drop(hm);
        drop(host);
        smol::Timer::after(Duration::from_millis(1300)).await;
        println!("{:?}", joiner.list().await);
        stop.stop();
        println!("{:?}", t.await);
    })
}
