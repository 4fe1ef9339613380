//! A chat among the peers of a pool, over smol.
//!
//! `cargo run --release --example chat-smol -- list|create|join POOL|code CODE`; `--help` has the rest.

#![expect(clippy::wildcard_enum_match_arm, reason = "a program takes the events it knows")]

#[path = "../../runtime-std/examples/chat/words.rs"]
mod words;

use std::error::Error;
use std::io::{self, BufRead};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use poolmesh_smol::{
    CallFailed, Client, DialFailure, Event, Events, ListFilter, Mesh, MeshConfig, Packet, Peer, PoolEvents,
    PoolId, PoolInfo, resolve,
};
use smol::channel;
use words::{Arguments, Command, Faces, Typed, warn};

/// How long leaving may take.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// What the person at the keyboard does, or what happens to the chat.
enum Input {
    Line(Vec<u8>),
    Leave,
}

fn main() -> ExitCode {
    match smol::block_on(run()) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads what is said has gone: so do we.
        Err(error) if words::is_broken_pipe(&*error) => ExitCode::SUCCESS,
        Err(error) => {
            warn(error);
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::read()?;
    if let Command::Help = arguments.command {
        return Ok(words::print(words::USAGE)?);
    }
    let client = connect(&arguments).await?;
    let events = client.events(); // from before there is anything to miss
    let me = arguments.me.as_bytes();
    let pool = match &arguments.command {
        Command::Help => return Ok(()),
        Command::List => return list(&client, arguments.classic).await,
        Command::Create(_) if arguments.classic => client.create().await,
        Command::Create(spec) => client.create_with(spec, me).await,
        Command::Join(pool) => client.join_with(*pool, me).await,
        Command::Code(code) => client.join_with(*code, me).await,
    };
    let pool = pool.map_err(|failed| words::no_pool(&arguments.command, &failed))?;
    Chat::new(client, pool).run(events).await
}

/// A client of the first broadcaster, which knows the others.
async fn connect(arguments: &Arguments) -> Result<Client, Box<dyn Error>> {
    let mut config = arguments.config();
    let (first, others) = arguments.broadcasters.split_first().ok_or("no broadcaster")?;
    for other in others {
        config.broadcasters.push(resolve(other.as_str()).await?);
    }
    Ok(Client::connect_with(first.as_str(), config).await?)
}

/// The pools there are; those of the classic dialect, too, if the broadcaster speaks it.
async fn list(client: &Client, classic: bool) -> Result<(), Box<dyn Error>> {
    let mut pools = client.list().await?;
    if !classic {
        pools.extend(client.list_with(&ListFilter { classic: true, ..ListFilter::default() }).await?.pools);
    }
    if pools.is_empty() {
        warn("there is no pool that is listed");
    }
    Ok(pools.iter().try_for_each(|pool| words::print(words::listing(pool)))?)
}

/// One who is in a pool. Clones are the same.
#[derive(Clone)]
struct Chat {
    client: Client,
    mesh: Mesh,
    pool: PoolInfo,
    faces: Arc<Mutex<Faces>>,
}

impl Chat {
    fn new(client: Client, pool: PoolInfo) -> Self {
        let mut config = MeshConfig::default();
        config.link.pack = 1; // a write for each event: a gop2p peer loses its place when one comes in pieces
        Self { client, mesh: Mesh::with_config(config), pool, faces: Arc::default() }
    }

    async fn run(self, events: PoolEvents) -> Result<(), Box<dyn Error>> {
        print(words::entered(&self.pool)).await?;
        if let Some(known) = self.client.membership(self.id()) {
            print(words::roster(&known)).await?;
        }
        let (sender, inputs) = channel::bounded(1);
        self.read_inputs(&sender)?;
        let telling = smol::spawn({
            let (chat, events) = (self.clone(), self.mesh.events());
            async move { chat.tell_links(events).await }
        });
        let following = smol::spawn({
            let chat = self.clone();
            async move { chat.tell_pool(events, &sender).await }
        });
        match self.mesh.connect_to_pool(&self.client, &self.pool).await?.listening {
            Err(error) if error.kind() != io::ErrorKind::NotConnected => {
                warn(format_args!("who joins later can't reach you: {error}"));
            }
            _ => {} // listening, or on the way out already
        }
        while let Ok(input) = inputs.recv().await {
            let Input::Line(line) = input else { break };
            let typed = Typed::read(&line);
            let order = typed.order();
            match self.act(typed).await {
                Ok(true) => {}
                Ok(false) => break,
                Err(failed) => warn(words::no_order(order, &failed)),
            }
            if telling.is_finished() || following.is_finished() {
                break; // nobody reads what we say
            }
        }
        self.mesh.close().await;
        self.client.close().await;
        following.await?;
        telling.await.map_err(Into::into)
    }

    fn id(&self) -> PoolId {
        self.pool.id()
    }

    /// Does what was typed. Whether the chat goes on.
    async fn act(&self, typed: Typed) -> Result<bool, CallFailed> {
        let pool = self.id();
        match typed {
            Typed::Say(line) => {
                for (peer, error) in self.mesh.send_to_all("msg", Packet::new().string(line)) {
                    warn(format_args!("not sent to {}: {error}", peer.address()));
                }
            }
            Typed::Nothing => {}
            Typed::Who => {
                let known = self.client.membership(pool);
                return Ok(print(words::who(known.as_ref(), self.pool.code().is_some())).await.is_ok());
            }
            Typed::Leave => {
                if self.client.membership(pool).is_some() {
                    self.client.leave(pool).await?;
                }
                return Ok(false);
            }
            Typed::Me(text) => self.client.set_about(pool, text.as_bytes()).await?,
            Typed::Kick(member) => self.client.kick(pool, member).await?,
            Typed::Host(member) => self.client.hand_over(pool, member).await?,
            Typed::Lock(locked) => self.client.lock(pool, locked).await?,
            Typed::Name(text) => {
                let Some(spec) = self.client.latest_spec(pool) else { return Ok(true) };
                match spec.named(&text) {
                    Ok(spec) => self.client.change(pool, &spec).await?,
                    Err(invalid) => warn(invalid),
                }
            }
            Typed::Close => self.client.close_pool(pool).await?,
            Typed::Unclear(why) => warn(why),
        }
        Ok(true)
    }

    /// Says what happens on the links.
    async fn tell_links(&self, mut events: Events) -> io::Result<()> {
        while let Some(event) = events.next().await {
            if let Some(line) = self.line(event) {
                print(line).await?;
            }
        }
        Ok(())
    }

    /// What is to be said of an event.
    fn line(&self, event: Event) -> Option<String> {
        // Under the lock: what isn't known here is said when it is told of.
        let mut faces = self.faces.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.client.membership(self.id());
        match event {
            Event::Connected(peer) => match self.pool.me() {
                // Others know a link by who is at its end.
                Some(me) => {
                    let _ = peer.try_send("iam", Packet::new().u32(me.get())); // or it is over, which is told
                    None
                }
                None => Some(format!("+ {}", peer.address())),
            },
            Event::Received(peer, event) if event.is("iam") => {
                faces.meet(peer.id(), &event);
                match known {
                    Some(known) => faces.recognized(&known),
                    None => Some(format!("link to {}", peer.address())),
                }
            }
            Event::Received(peer, event) if event.is("msg") => {
                let name = faces.name(peer.id(), peer.address(), known.as_ref());
                Some(format!("{name}: {}", words::text(&event)))
            }
            Event::Disconnected(peer, reason) if self.pool.me().is_some() => {
                // That there was one that ended before its name was said, nobody was told.
                faces.part(peer.id(), known.as_ref()).map(|name| format!("link to {name} {reason}"))
            }
            Event::Disconnected(peer, reason) => Some(format!("- {} {reason}", peer.address())),
            Event::Unreachable(_, DialFailure::Closed) => None, // on the way out
            Event::Unreachable(address, failure) => Some(format!("no link to {address}: {failure}")),
            _ => None,
        }
    }

    /// Says what happens in the pool, and does what follows.
    async fn tell_pool(&self, mut events: PoolEvents, inputs: &channel::Sender<Input>) -> io::Result<()> {
        while let Some(news) = events.next().await {
            if let Some(line) = words::news(&news, self.client.membership(self.id()).as_ref()) {
                print(line).await?;
            }
            if let Some(line) = self.recognized() {
                print(line).await?;
            }
            if let Some(member) = words::kicked(&news) {
                let gone = self.faces.lock().unwrap_or_else(PoisonError::into_inner).links(member);
                let links = self.mesh.peers();
                links.iter().filter(|peer| gone.contains(&peer.id())).for_each(Peer::disconnect);
            }
            if words::is_over(&news) {
                let _ = inputs.send(Input::Leave).await;
            }
        }
        Ok(())
    }

    /// Links of members who are told of by now.
    fn recognized(&self) -> Option<String> {
        let mut faces = self.faces.lock().unwrap_or_else(PoisonError::into_inner);
        faces.recognized(&self.client.membership(self.id())?)
    }

    /// Lines typed, until the end of input or Ctrl-C.
    fn read_inputs(&self, sender: &channel::Sender<Input>) -> Result<(), Box<dyn Error>> {
        let (interrupt, mesh, sender) = (sender.clone(), self.mesh.clone(), sender.clone());
        let (never, patience) = mpsc::channel::<()>();
        ctrlc::set_handler(move || {
            let (_kept_open, interrupt, mesh) = (&never, interrupt.clone(), mesh.clone());
            thread::spawn(move || {
                smol::block_on(mesh.close()); // ends a connect_to_pool that is under way
                interrupt.send_blocking(Input::Leave)
            });
            // The rest of the program may be stuck, saying things to somebody who doesn't listen.
            let _ = patience.recv_timeout(PATIENCE);
            std::process::exit(0);
        })?;
        thread::spawn(move || {
            for line in io::stdin().lock().split(b'\n').map_while(Result::ok) {
                let line = line.strip_suffix(b"\r").unwrap_or(&line).to_vec();
                if sender.send_blocking(Input::Line(line)).is_err() {
                    return;
                }
            }
            let _ = sender.send_blocking(Input::Leave);
        });
        Ok(())
    }
}

/// To standard output. It may block, which is no business of the executor that runs everything else.
async fn print(what: String) -> io::Result<()> {
    smol::unblock(move || words::print(what)).await
}
