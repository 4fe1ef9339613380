//! A chat among the peers of a pool, over blocking sockets and threads.
//!
//! `cargo run --release --example chat-std -- --broadcaster 127.0.0.1:6969 list|create|join POOL`

#![expect(clippy::wildcard_enum_match_arm, reason = "a program takes the events it knows")]

use std::error::Error;
use std::io::{self, BufRead, Write};
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use poolmesh_std::{Client, DialFailure, Event, Events, Mesh, MeshConfig, Message, Packet, PoolId, PoolInfo};

const USAGE: &str = "usage: chat-std [--broadcaster ADDR] list | create | join POOL";

/// How long leaving may take.
const PATIENCE: Duration = Duration::from_millis(1_500);

enum Command {
    List,
    Create,
    Join(PoolId),
}

/// What the person at the keyboard does.
enum Input {
    Line(Vec<u8>),
    Leave,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads what is said has gone: so do we.
        Err(error) if is_broken_pipe(&*error) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "chat-std: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let Some((broadcaster, command)) = arguments()? else { return say(USAGE) };
    let mut config = MeshConfig::default();
    config.link.pack = 1; // a write for each event: a gop2p peer loses its place when one comes in pieces
    let mesh = Mesh::with_config(config);
    let inputs = inputs(&mesh)?;
    let client = Client::connect(broadcaster.as_str())?;
    match command {
        Command::List => client.list()?.iter().try_for_each(say),
        Command::Create => chat(&client, &mesh, inputs, &client.create()?),
        Command::Join(pool) => chat(&client, &mesh, inputs, &client.join(pool)?),
    }
}

fn chat(
    client: &Client,
    mesh: &Mesh,
    inputs: mpsc::Receiver<Input>,
    pool: &PoolInfo,
) -> Result<(), Box<dyn Error>> {
    say(format_args!("pool {} host {} you {}", pool.id(), pool.host(), pool.you()))?;
    let telling = thread::spawn({
        let events = mesh.events();
        move || tell(events)
    });
    let ending = thread::spawn({
        let client = client.clone();
        move || {
            while let Some(pool) = client.next_ended() {
                warn(format_args!("pool {pool} has ended: nobody can join it any more"));
            }
        }
    });
    match mesh.connect_to_pool(client, pool)?.listening {
        Err(error) if error.kind() != io::ErrorKind::NotConnected => {
            warn(format_args!("who joins later can't reach you: {error}"));
        }
        _ => {} // listening, or on the way out already
    }
    for input in inputs {
        match input {
            Input::Line(line) => {
                for (peer, error) in mesh.send_to_all("msg", Packet::new().string(line)) {
                    warn(format_args!("not sent to {}: {error}", peer.address()));
                }
            }
            Input::Leave => break,
        }
        if telling.is_finished() {
            break; // nobody reads what we say
        }
    }
    mesh.close();
    client.close();
    let _ = ending.join();
    telling.join().unwrap_or(Ok(())).map_err(Into::into)
}

/// Says what happens.
fn tell(events: Events) -> io::Result<()> {
    for event in events {
        match event {
            Event::Connected(peer) => print(format_args!("+ {}", peer.address()))?,
            Event::Disconnected(peer, reason) => print(format_args!("- {} {reason}", peer.address()))?,
            Event::Received(peer, event) if event.is("msg") => match text(&event) {
                Some(text) => print(format_args!("{}: {text}", peer.address()))?,
                None => warn(format_args!("{} sent a msg without a text", peer.address())),
            },
            Event::Unreachable(_, DialFailure::Closed) => {} // on the way out
            Event::Unreachable(address, failure) => warn(format_args!("{address}: {failure}")),
            _ => {}
        }
    }
    Ok(())
}

/// The one string of a message; characters that control the terminal or the direction of the text are escaped, so that
/// it can't forge a line.
fn text(event: &Message) -> Option<String> {
    let text = event.reader().string_bytes().ok().map(String::from_utf8_lossy)?;
    let controls = |c: char| {
        c.is_control() && c != '\t'
            || matches!(c, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let escaped = |c: char| if controls(c) { c.escape_default().to_string() } else { c.into() };
    Some(text.chars().map(escaped).collect())
}

/// Lines typed, until the end of input or Ctrl-C.
fn inputs(mesh: &Mesh) -> Result<mpsc::Receiver<Input>, Box<dyn Error>> {
    let (sender, inputs) = mpsc::sync_channel(1);
    let (interrupt, mesh) = (sender.clone(), mesh.clone());
    let (never, patience) = mpsc::channel::<()>();
    ctrlc::set_handler(move || {
        let (_kept_open, interrupt, mesh) = (&never, interrupt.clone(), mesh.clone());
        thread::spawn(move || {
            mesh.close(); // ends a connect_to_pool that is under way
            interrupt.send(Input::Leave)
        });
        // The rest of the program may be stuck, saying things to somebody who doesn't listen.
        let _ = patience.recv_timeout(PATIENCE);
        std::process::exit(0);
    })?;
    thread::spawn(move || {
        for line in io::stdin().lock().split(b'\n').map_while(Result::ok) {
            let line = line.strip_suffix(b"\r").unwrap_or(&line).to_vec();
            if sender.send(Input::Line(line)).is_err() {
                return;
            }
        }
        let _ = sender.send(Input::Leave);
    });
    Ok(inputs)
}

fn arguments() -> Result<Option<(String, Command)>, Box<dyn Error>> {
    let mut broadcaster = String::from("127.0.0.1:6969");
    let mut words = Vec::new();
    let mut arguments = std::env::args_os().skip(1).map(|argument| argument.into_string());
    while let Some(argument) = arguments.next() {
        let argument = argument.map_err(|_| "arguments must be UTF-8")?;
        match argument.as_str() {
            "-h" | "--help" => return Ok(None),
            "--broadcaster" => {
                broadcaster = arguments.next().ok_or(USAGE)?.map_err(|_| "an address is ASCII")?;
            }
            other => match other.strip_prefix("--broadcaster=") {
                Some(address) => broadcaster = address.to_owned(),
                None => words.push(argument),
            },
        }
    }
    let command = match &words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["list"] => Command::List,
        ["create"] => Command::Create,
        ["join", pool] => Command::Join(pool.parse()?),
        _ => return Err(USAGE.into()),
    };
    Ok(Some((broadcaster, command)))
}

fn say(what: impl std::fmt::Display) -> Result<(), Box<dyn Error>> {
    Ok(print(what)?)
}

/// To standard output, line by line.
fn print(what: impl std::fmt::Display) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{what}")?;
    stdout.flush()
}

/// To standard error. If that is closed, there is nobody to tell.
fn warn(what: impl std::fmt::Display) {
    let _ = writeln!(io::stderr(), "chat-std: {what}");
}

fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
