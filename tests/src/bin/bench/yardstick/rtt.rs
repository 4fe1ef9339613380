//! Frames there and back over bare connections.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use poolmesh_testkit::patience::now;
use smol::Async;
use smol::io::{AsyncReadExt, AsyncWriteExt};

use crate::Fallible;
use crate::side::rtt::{Pinging, SHAPE};

/// Sends back what comes over one connection to a free port, which it returns.
pub(crate) fn echo() -> Fallible<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        let (mut stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        let mut frame = vec![0; SHAPE.frame_len()];
        loop {
            stream.read_exact(&mut frame)?;
            stream.write_all(&frame)?;
        }
        #[expect(unreachable_code, reason = "says of which type the errors are")]
        Ok::<_, std::io::Error>(())
    });
    Ok(address)
}

/// As [`echo`], as the only task of a thread.
pub(crate) fn echo_on_smol() -> Fallible<SocketAddr> {
    let listener = Async::<TcpListener>::bind(([127, 0, 0, 1], 0))?;
    let address = listener.get_ref().local_addr()?;
    thread::spawn(move || {
        smol::block_on(async {
            let (mut stream, _) = listener.accept().await?;
            stream.get_ref().set_nodelay(true)?;
            let mut frame = vec![0; SHAPE.frame_len()];
            loop {
                stream.read_exact(&mut frame).await?;
                stream.write_all(&frame).await?;
            }
            #[expect(unreachable_code, reason = "says of which type the errors are")]
            Ok::<_, std::io::Error>(())
        })
    });
    Ok(address)
}

/// Sends frames to such an echo.
pub(crate) fn pinger(echo: SocketAddr) -> Fallible<Pinging> {
    let mut stream = TcpStream::connect(echo)?;
    stream.set_nodelay(true)?;
    let mut frame = SHAPE.frame();
    Ok(Box::new(move |count| {
        let mut times = Vec::with_capacity(count);
        let mut sent = now();
        for _ in 0..count {
            stream.write_all(&frame)?;
            stream.read_exact(&mut frame)?;
            let returned = now();
            times.push(u64::try_from((returned - sent).as_nanos())?);
            sent = returned;
        }
        Ok(times)
    }))
}

/// As [`pinger`], as the only task of a thread.
pub(crate) fn pinger_on_smol(echo: SocketAddr) -> Fallible<Pinging> {
    let mut stream = smol::block_on(Async::<TcpStream>::connect(echo))?;
    stream.get_ref().set_nodelay(true)?;
    let mut frame = SHAPE.frame();
    Ok(Box::new(move |count| {
        smol::block_on(async {
            let mut times = Vec::with_capacity(count);
            let mut sent = now();
            for _ in 0..count {
                stream.write_all(&frame).await?;
                stream.read_exact(&mut frame).await?;
                let returned = now();
                times.push(u64::try_from((returned - sent).as_nanos())?);
                sent = returned;
            }
            Ok(times)
        })
    }))
}
