//! What the chats over both runtimes read and write alike: arguments, commands, and how things are told.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{self, Write};
use std::net::SocketAddr;

use poolmesh_proto::driver::PoolNews;
use poolmesh_proto::wire::native::{LeaveReason, Member, PoolCode, PoolSpec, Refusal, Seats};
use poolmesh_proto::{
    CallError, CallFailed, ClientConfig, Membership, Message, PeerId, PoolEnd, PoolEvent, PoolId, PoolInfo,
    PoolListing, PoolMember,
};

/// How the program is called.
pub(crate) const USAGE: &str = concat!(
    "usage: ",
    env!("CARGO_BIN_NAME"),
    " [--broadcaster ADDR]... [--classic] [--me TEXT] COMMAND

commands:
  list                                        the pools there are
  create [--name TEXT] [--seats N] [--hidden] make a pool, and host it
  join ID                                     join the pool of that id
  code CODE                                   join the pool of that code
options:
  --broadcaster ADDR  a broadcaster, 127.0.0.1:6969 by default; several are asked in turn
  --classic           speak the classic dialect
  --me TEXT           what others see of you

in a pool, a line is said to all, but for
  /who /leave /me TEXT, and for its host
  /kick N /host N /lock /unlock /name TEXT /close"
);

/// What the program was asked for.
#[derive(Debug)]
pub(crate) struct Arguments {
    pub(crate) broadcasters: Vec<String>,
    pub(crate) classic: bool,
    pub(crate) me: String,
    pub(crate) command: Command,
}

#[derive(Debug)]
pub(crate) enum Command {
    Help,
    List,
    Create(PoolSpec),
    Join(PoolId),
    Code(PoolCode),
}

type Fallible<T> = Result<T, Box<dyn Error>>;

impl Arguments {
    /// Those of the program.
    pub(crate) fn read() -> Fallible<Self> {
        let arguments = std::env::args_os().skip(1).map(std::ffi::OsString::into_string);
        Self::parse(arguments.collect::<Result<Vec<_>, _>>().map_err(|_| "arguments must be UTF-8")?)
    }

    fn parse(arguments: Vec<String>) -> Fallible<Self> {
        let (mut broadcasters, mut classic, mut me) = (Vec::new(), false, String::new());
        let (mut spec, mut of_create, mut words) = (PoolSpec::default(), false, Vec::new());
        // `--option VALUE` and `--option=VALUE` are the same.
        let mut rest = arguments.into_iter().flat_map(|argument| match argument.split_once('=') {
            Some((option, value)) if option.starts_with("--") => vec![option.to_owned(), value.to_owned()],
            _ => vec![argument],
        });
        while let Some(argument) = rest.next() {
            let mut value = || rest.next().ok_or_else(|| format!("{argument} takes a value\n{USAGE}"));
            match argument.as_str() {
                "-h" | "--help" => words = vec!["help".to_owned()],
                "--broadcaster" => broadcasters.push(value()?),
                "--classic" => classic = true,
                "--me" => me = value()?,
                "--name" => (spec, of_create) = (spec.named(&value()?)?, true),
                "--seats" => (spec, of_create) = (spec.with_seats(seats(&value()?)?), true),
                "--hidden" => (spec, of_create) = (spec.hidden(true), true),
                option if option.starts_with("--") => {
                    return Err(format!("no option {option}\n{USAGE}").into());
                }
                _ => words.push(argument),
            }
            if words == ["help"] {
                break;
            }
        }
        let command = match &words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["help"] => Command::Help,
            ["list"] => Command::List,
            ["create"] => Command::Create(spec),
            ["join", pool] => Command::Join(pool.parse()?),
            ["code", code] => Command::Code(code.parse()?),
            [] => return Err(format!("it takes a command\n{USAGE}").into()),
            ["join" | "code"] => {
                return Err(format!("{} takes the pool to join\n{USAGE}", words.concat()).into());
            }
            ["list" | "create", extra, ..] | ["join" | "code", _, extra, ..] => {
                return Err(format!("{extra:?} is one word too many\n{USAGE}").into());
            }
            [other, ..] => return Err(format!("no command {other:?}\n{USAGE}").into()),
        };
        if of_create && (classic || !matches!(command, Command::Create(_))) {
            return Err("--name, --seats and --hidden are of create, in the native dialect".into());
        }
        if broadcasters.is_empty() {
            broadcasters.push("127.0.0.1:6969".to_owned());
        }
        Ok(Self { broadcasters, classic, me, command })
    }

    /// The client's settings.
    pub(crate) fn config(&self) -> ClientConfig {
        if self.classic { ClientConfig::classic() } else { ClientConfig::default() }
    }
}

fn seats(text: &str) -> Result<Seats, String> {
    let seats = text.parse().ok().and_then(Seats::new);
    seats.ok_or_else(|| format!("a pool has 1 to {} seats, not {text}", Seats::MAX))
}

/// What is typed in a pool.
#[derive(Debug)]
pub(crate) enum Typed {
    /// Nothing but spaces.
    Nothing,
    Say(Vec<u8>),
    Who,
    Leave,
    Me(String),
    Kick(Member),
    Host(Member),
    Lock(bool),
    Name(String),
    Close,
    Unclear(String),
}

impl Typed {
    /// Reads a line. Two slashes begin a line with one.
    pub(crate) fn read(line: &[u8]) -> Self {
        if line.trim_ascii().is_empty() {
            return Self::Nothing;
        }
        let Some(command) = line.strip_prefix(b"/") else { return Self::Say(line.to_vec()) };
        if command.starts_with(b"/") {
            return Self::Say(command.to_vec());
        }
        let command = String::from_utf8_lossy(command).into_owned();
        let (word, rest) = command.split_once(' ').unwrap_or((&command, ""));
        let rest = rest.trim();
        let member = |typed: fn(Member) -> Self| {
            let number = rest.trim_start_matches('#').parse().ok().and_then(Member::new);
            number.map_or_else(
                || Self::Unclear(format!("/{word} takes the number of a member: see /who")),
                typed,
            )
        };
        match (word, rest) {
            ("who", "") => Self::Who,
            ("leave", "") => Self::Leave,
            ("me", text) => Self::Me(text.to_owned()),
            ("kick", _) => member(Self::Kick),
            ("host", _) => member(Self::Host),
            ("lock", "") => Self::Lock(true),
            ("unlock", "") => Self::Lock(false),
            ("name", text) => Self::Name(text.to_owned()),
            ("close", "") => Self::Close,
            _ => Self::Unclear(format!(
                "no command /{command}; there are /who /leave /me /kick /host /lock /unlock /name /close"
            )),
        }
    }

    /// How an order is named when it fails.
    pub(crate) fn order(&self) -> &'static str {
        match self {
            Self::Nothing | Self::Say(_) | Self::Unclear(_) => "",
            Self::Who => "/who",
            Self::Leave => "/leave",
            Self::Me(_) => "/me",
            Self::Kick(_) => "/kick",
            Self::Host(_) => "/host",
            Self::Lock(true) => "/lock",
            Self::Lock(false) => "/unlock",
            Self::Name(_) => "/name",
            Self::Close => "/close",
        }
    }
}

/// Why there is no pool to be in.
pub(crate) fn no_pool(command: &Command, failed: &CallFailed) -> String {
    match (command, failed.native_refusal()) {
        (Command::Create(spec), Some(Refusal::Limit)) => {
            let seats = spec.seats().get();
            format!(
                "a pool of {seats} seats, or so long a --me, is more than the broadcaster allows: try fewer --seats"
            )
        }
        (Command::Join(_) | Command::Code(_), Some(Refusal::Limit)) => {
            "so long a --me is more than the broadcaster allows".to_owned()
        }
        (Command::Join(_), Some(Refusal::NoSuchPool)) => {
            format!("{failed}; one that `list` calls classic is joined with --classic")
        }
        _ => failed.to_string(),
    }
}

/// Why an order was not carried out.
pub(crate) fn no_order(order: &str, failed: &CallFailed) -> String {
    match (order, failed) {
        (_, CallFailed::Misuse(CallError::NotAMember { .. })) => format!("{order}: {NO_POOL}"),
        _ if failed.native_refusal() == Some(Refusal::NotHost) => format!("{order}: only the host can"),
        ("/kick", _) if failed.native_refusal() == Some(Refusal::NoSuchMember) => {
            "/kick: there is no such member, or it is you, who can /leave".to_owned()
        }
        ("/host", _) if failed.native_refusal() == Some(Refusal::NoSuchMember) => {
            "/host: there is no such member".to_owned()
        }
        _ => format!("{order}: {failed}"),
    }
}

/// What there is to say of a pool that is over, while the links stand.
pub(crate) const NO_POOL: &str =
    "you are in no pool any more; what you type still goes to those you are linked with";

/// A pool in a list.
pub(crate) fn listing(pool: &PoolListing) -> String {
    if pool.is_classic() {
        return format!("{} classic", pool.id());
    }
    let code = pool.code().map(|code| format!(" {code}")).unwrap_or_default();
    let locked = if pool.is_locked() { " locked" } else { "" };
    format!("{}{code} {}/{}{locked} {}", pool.id(), pool.members(), pool.seats(), shown(pool.name()))
        .trim_end()
        .to_owned()
}

/// What is said first in a pool.
pub(crate) fn entered(pool: &PoolInfo) -> String {
    match (pool.code(), pool.me()) {
        (Some(code), Some(me)) => format!("pool {} code {code} you #{me}", pool.id()),
        _ => format!("pool {} host {} you {}", pool.id(), pool.host(), pool.you()),
    }
}

/// A member, as others are shown it.
pub(crate) fn name(member: &PoolMember) -> String {
    format!("#{} {}", member.number, called(member))
}

/// What a member says of itself, or else where it is.
fn called(member: &PoolMember) -> String {
    let about = String::from_utf8_lossy(&member.about);
    if about.is_empty() { member.address.to_string() } else { shown(&about) }
}

/// The answer to `/who`. `native`: the dialect of the chat.
pub(crate) fn who(pool: Option<&Membership>, native: bool) -> String {
    match pool {
        Some(pool) => roster(pool),
        None if native => format!("* {NO_POOL}"),
        None => "* in the classic dialect nobody is told who is in a pool".to_owned(),
    }
}

/// Who is in a pool, a line each, under one about the pool.
pub(crate) fn roster(pool: &Membership) -> String {
    let mut lines = summary(pool);
    for member in pool.members() {
        let host = if member.number == pool.host() { " host" } else { "" };
        let you = if member.number == pool.me() { " you" } else { "" };
        // Without a text of its own the name is the address.
        let address = if member.about.is_empty() { String::new() } else { format!(" {}", member.address) };
        lines += &format!("\n* {}{address}{host}{you}", name(member));
    }
    lines
}

/// What a pool is.
fn summary(pool: &Membership) -> String {
    let spec = pool.spec();
    let (members, seats) = (pool.members().len(), spec.seats().get());
    let locked = if spec.is_locked() { ", locked" } else { "" };
    format!("* {members} of {seats} seats{locked} {}", shown(spec.name())).trim_end().to_owned()
}

/// News of a pool, as they are told. `pool` is what is known of it now.
pub(crate) fn news(news: &PoolNews, pool: Option<&Membership>) -> Option<String> {
    let named = |number: Member| {
        let member = pool.and_then(|pool| pool.member(number));
        member.map_or_else(|| format!("#{number}"), name)
    };
    Some(match news {
        PoolNews::Event { event, .. } => match event {
            PoolEvent::Joined(member) => format!("+ {}", name(member)),
            PoolEvent::Left { member, reason } => format!("- {} {}", name(member), left(*reason)),
            PoolEvent::About(member) => format!("* #{} is {} now", member.number, called(member)),
            PoolEvent::Host { you: true, .. } => "* you are host now".to_owned(),
            PoolEvent::Host { member, .. } => format!("* {} is host now", named(*member)),
            PoolEvent::Spec => summary(pool?),
            PoolEvent::Unreachable => "* the broadcaster is silent; links stand".to_owned(),
            PoolEvent::Restored => pool.map_or_else(
                || "* the pool is back".to_owned(),
                |pool| format!("* the pool is back, at {}", pool.broadcaster()),
            ),
            _ => return None,
        },
        PoolNews::Ended { pool, reason } => {
            let links = if is_over(news) { "" } else { "; links stand, /leave ends them" };
            format!("* pool {pool} {}{links}", ended(*reason))
        }
        _ => return None,
    })
}

fn left(reason: Option<LeaveReason>) -> &'static str {
    match reason {
        Some(LeaveReason::Left) => "left",
        Some(LeaveReason::TimedOut) => "fell silent",
        Some(LeaveReason::Kicked) => "was sent away by the host",
        Some(LeaveReason::Replaced) => "was replaced from the same address",
        None => "is gone",
    }
}

fn ended(reason: PoolEnd) -> &'static str {
    match reason {
        PoolEnd::Quiet => "has ended: nobody can join it any more",
        PoolEnd::Closed => "was closed by its host",
        PoolEnd::Kicked => "goes on without you: the host sent you away",
        PoolEnd::Replaced => "has somebody else at your address",
        PoolEnd::Forgotten => "goes on without you, or has ended: you were not heard for too long",
        PoolEnd::Lost => "is lost: no broadcaster can bring it back",
        PoolEnd::Left => "is left",
        _ => "has ended",
    }
}

/// Whom the host has sent away: the links to it are ours to end.
pub(crate) fn kicked(news: &PoolNews) -> Option<Member> {
    match news {
        PoolNews::Event { event: PoolEvent::Left { member, reason: Some(LeaveReason::Kicked) }, .. } => {
            Some(member.number)
        }
        _ => None,
    }
}

/// Whether there is nothing left to say to each other.
pub(crate) fn is_over(news: &PoolNews) -> bool {
    let over = [PoolEnd::Closed, PoolEnd::Kicked, PoolEnd::Replaced, PoolEnd::Left];
    matches!(news, PoolNews::Ended { reason, .. } if over.contains(reason))
}

/// Who is at the other end of each link, as it says itself: a chat believes that. And by what name it was known last.
#[derive(Debug, Default)]
pub(crate) struct Faces(BTreeMap<PeerId, (Member, Option<String>)>);

impl Faces {
    /// A peer says who it is.
    pub(crate) fn meet(&mut self, peer: PeerId, event: &Message) {
        if let Some(member) = event.reader().u32().ok().and_then(Member::new) {
            self.0.insert(peer, (member, None));
        }
    }

    /// What is to be said of links whose members are known by now: a link may be there before the broadcaster has told of the
    /// one at its other end.
    pub(crate) fn recognized(&mut self, pool: &Membership) -> Option<String> {
        let unnamed = self.0.values_mut().filter(|(_, last)| last.is_none());
        let lines: Vec<_> = unnamed
            .filter_map(|(member, last)| {
                let name = last.insert(name(pool.member(*member)?));
                Some(format!("link to {name}"))
            })
            .collect();
        (!lines.is_empty()).then(|| lines.join("\n"))
    }

    /// The links to a member.
    pub(crate) fn links(&self, member: Member) -> Vec<PeerId> {
        self.0.iter().filter(|(_, (of, _))| *of == member).map(|(peer, _)| *peer).collect()
    }

    /// A peer as it is told of: by its name in the roster, or the one it had there, or else its address.
    pub(crate) fn name(&mut self, peer: PeerId, address: SocketAddr, pool: Option<&Membership>) -> String {
        let Some((member, last)) = self.0.get_mut(&peer) else { return address.to_string() };
        if let Some(member) = pool.and_then(|pool| pool.member(*member)) {
            *last = Some(name(member));
        }
        last.clone().unwrap_or_else(|| address.to_string())
    }

    /// A link has ended: as whom it is told of for the last time, if it was by a name.
    pub(crate) fn part(&mut self, peer: PeerId, pool: Option<&Membership>) -> Option<String> {
        let (member, last) = self.0.remove(&peer)?;
        pool.and_then(|pool| pool.member(member)).map(name).or(last)
    }
}

/// The one string of a message.
pub(crate) fn text(event: &Message) -> String {
    let text = event.reader().string_bytes().map(String::from_utf8_lossy);
    text.map_or_else(|error| format!("(no text: {error})"), |text| shown(&text))
}

/// Somebody's text; characters that control the terminal or the direction of the text are escaped, so that it can't forge a
/// line.
pub(crate) fn shown(text: &str) -> String {
    let controls = |c: char| {
        c.is_control() && c != '\t'
            || matches!(c, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let escaped = |c: char| if controls(c) { c.escape_default().to_string() } else { c.into() };
    text.chars().map(escaped).collect()
}

/// To standard output, line by line.
pub(crate) fn print(what: impl std::fmt::Display) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{what}")?;
    stdout.flush()
}

/// To standard error. If that is closed, there is nobody to tell.
pub(crate) fn warn(what: impl std::fmt::Display) {
    let _ = writeln!(io::stderr(), "{}: {what}", env!("CARGO_BIN_NAME"));
}

pub(crate) fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
