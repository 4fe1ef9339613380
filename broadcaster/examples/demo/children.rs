//! The programs that the demo kills, each a process of its own.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{self, ChildStdin, Command, Stdio};

use poolmesh_proto::wire::native::{PoolSpec, Seats, Secret};
use poolmesh_proto::{BroadcasterConfig, Packet};
use poolmesh_std::{BroadcasterServer, Client, Mesh};

use super::{INTERVAL, Outcome, TIMEOUT};

/// A process that is killed when it is dropped.
pub(crate) struct Child {
    process: process::Child,
    stdin: Option<ChildStdin>,
}

impl Child {
    /// Starts this very program with other arguments. It, and the first line it says.
    pub(crate) fn start(arguments: &[&str]) -> Outcome<(Self, String)> {
        let program = std::env::current_exe()?;
        let mut process =
            Command::new(program).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (stdin, stdout) = (process.stdin.take(), process.stdout.take());
        let child = Self { process, stdin };
        let mut line = String::new();
        BufReader::new(stdout.ok_or("no pipe")?).read_line(&mut line)?;
        Ok((child, line.trim_end().to_owned()))
    }

    /// Says a line to it.
    pub(crate) fn say(&mut self, line: &str) -> Outcome<()> {
        writeln!(self.stdin.as_mut().ok_or("no pipe")?, "{line}")?;
        Ok(())
    }

    /// Ends it without a chance to say anything.
    pub(crate) fn kill(mut self) -> Outcome<()> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// 32 random bytes, as digits.
pub(crate) fn new_key() -> Outcome<String> {
    let mut key = [0; 32];
    getrandom::fill(&mut key)?;
    Ok(key.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A broadcaster of that key, until it is killed. Others keep theirs in a file: `poolmesh-broadcaster --key-file`.
pub(crate) fn serve(address: &str, key: &str) -> Outcome<()> {
    let mut secret = [0; 32];
    for (at, byte) in secret.iter_mut().enumerate() {
        *byte = u8::from_str_radix(key.get(2 * at..2 * at + 2).ok_or("a key of 64 digits")?, 16)?;
    }
    let mut config = BroadcasterConfig::default().with_classic();
    config.secret = Some(Secret::new(secret));
    (config.limits.interval, config.limits.timeout) = (INTERVAL, TIMEOUT);
    let server = BroadcasterServer::bind(address.parse::<SocketAddr>()?, config)?;
    println!("{}", server.local_addr());
    server.run(|_| {})?;
    Ok(())
}

/// A member that hosts a pool, and says to all what it is told once so many are linked, until it is killed.
pub(crate) fn host(broadcaster: &str, guests: usize) -> Outcome<()> {
    let (client, mesh) = (Client::connect(broadcaster)?, Mesh::new());
    let spec = PoolSpec::new(Seats::new(6).ok_or("no seats")?).named("duel")?;
    let pool = client.create_with(&spec, b"ann")?;
    mesh.connect_to_pool(&client, &pool)?;
    println!("{} {}", pool.id(), pool.code().ok_or("no code")?);
    // Their ends of the links may stand a little before ours, and what is said before that reaches nobody.
    for _ in 0..guests {
        mesh.accept().ok_or("no link")?;
    }
    for line in std::io::stdin().lines() {
        mesh.send_to_all("msg", Packet::new().string(line?));
    }
    Ok(())
}
