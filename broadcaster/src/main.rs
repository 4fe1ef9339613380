//! The broadcaster as a program: flags, logs, a clean stop.

mod cli;
mod threads;

use std::fs::{self, File};
use std::io::{self, IsTerminal, Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{self, ExitCode};
use std::sync::mpsc;
use std::time::Duration;

use clap::Parser;
use poolmesh_proto::trace::{Input, entries};
use poolmesh_proto::{BroadcasterEvent, BroadcasterStats};
use poolmesh_std::SocketStats;
use tracing_subscriber::EnvFilter;

use cli::{Cli, Runtime};

/// How long the server may take to stop.
const PATIENCE: Duration = Duration::from_millis(1_500);

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        // It would tell of a failed write by another one, and panic if that fails as well.
        .log_internal_errors(false)
        .init();
    let served = match (cli.runtime, cli.threads) {
        (Runtime::Std, 1) => serve_std(&cli),
        (Runtime::Smol, 1) => smol::block_on(serve_smol(&cli)),
        (_, 2..) if cli.record.is_some() => {
            Err(io::Error::other("--record takes a server in one thread: leave out --threads"))
        }
        (Runtime::Std, _) => serve_std_in_threads(&cli),
        (Runtime::Smol, _) => serve_smol_in_threads(&cli),
    };
    match served {
        Ok((stats, socket)) => {
            tracing::info!(?stats, ?socket, "stopped");
            ExitCode::SUCCESS
        }
        Err(error) => {
            // Standard error may be closed; then there is nobody to tell.
            let _ = writeln!(io::stderr(), "poolmesh-broadcaster: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve_std(cli: &Cli) -> io::Result<(BroadcasterStats, SocketStats)> {
    let server = poolmesh_std::BroadcasterServer::bind(cli.listen, cli.config())
        .map_err(|error| cannot_listen(cli.listen, &error))?;
    let (stopper, meter) = (server.stopper(), server.meter());
    on_signal(move || stopper.stop())?;
    let trace = trace_file(cli)?;
    announce(server.local_addr());
    let stats = match trace {
        Some(trace) => server.run_recorded(trace, cli.record_limits(), ignore),
        None => server.run(ignore),
    };
    Ok((stats?, meter.read()))
}

async fn serve_smol(cli: &Cli) -> io::Result<(BroadcasterStats, SocketStats)> {
    let server = poolmesh_smol::BroadcasterServer::bind(cli.listen, cli.config())
        .map_err(|error| cannot_listen(cli.listen, &error))?;
    let (stopper, meter) = (server.stopper(), server.meter());
    on_signal(move || stopper.stop())?;
    let trace = trace_file(cli)?;
    announce(server.local_addr());
    let stats = match trace {
        Some(trace) => server.run_recorded(trace, cli.record_limits(), ignore).await,
        None => server.run(ignore).await,
    };
    Ok((stats?, meter.read()))
}

fn serve_std_in_threads(cli: &Cli) -> io::Result<(BroadcasterStats, SocketStats)> {
    let servers = poolmesh_std::BroadcasterServer::bind_shards(cli.listen, &cli.config(), cli.threads)
        .map_err(|error| cannot_listen(cli.listen, &error))?;
    let meters: Vec<_> = servers.iter().map(poolmesh_std::BroadcasterServer::meter).collect();
    if let Some(any) = servers.first() {
        let stopper = any.stopper();
        on_signal(move || stopper.stop())?;
        announce(any.local_addr());
    }
    let stats = threads::run_each(servers, |server| server.run(ignore))?;
    Ok((stats, meters.iter().map(poolmesh_std::Meter::read).sum()))
}

fn serve_smol_in_threads(cli: &Cli) -> io::Result<(BroadcasterStats, SocketStats)> {
    let servers = poolmesh_smol::BroadcasterServer::bind_shards(cli.listen, &cli.config(), cli.threads)
        .map_err(|error| cannot_listen(cli.listen, &error))?;
    let meters: Vec<_> = servers.iter().map(poolmesh_smol::BroadcasterServer::meter).collect();
    if let Some(any) = servers.first() {
        let stopper = any.stopper();
        on_signal(move || stopper.stop())?;
        announce(any.local_addr());
    }
    let stats = threads::run_each(servers, |server| smol::block_on(server.run(ignore)))?;
    Ok((stats, meters.iter().map(poolmesh_smol::Meter::read).sum()))
}

/// Bytes of a trace from which on something came.
const SOMETHING_CAME: u64 = 4_096;

/// Whether a file is a trace of a run in which no datagram came.
fn is_empty_trace(path: &Path) -> bool {
    let mut trace = Vec::new();
    let read = File::open(path).and_then(|file| file.take(SOMETHING_CAME).read_to_end(&mut trace));
    let came = |input: &Input| matches!(input, Input::Datagram { .. });
    let mut inputs = entries(&trace).map_while(Result::ok).map(|entry| entry.input).peekable();
    read.is_ok_and(|len| (len as u64) < SOMETHING_CAME)
        && inputs.peek().is_some()
        && !inputs.any(|input| came(&input))
}

/// The file to record to, if that is wanted. It tells who talks to whom, so nobody else may read it. A file that a run
/// before has left is moved aside: it may be the very crash that somebody looks for. One in which nothing came is not.
fn trace_file(cli: &Cli) -> io::Result<Option<File>> {
    let Some(path) = &cli.record else { return Ok(None) };
    if fs::symlink_metadata(path).is_ok_and(|old| old.is_file()) {
        let mut aside = path.clone().into_os_string();
        aside.push(".before");
        let moved = if is_empty_trace(path) { fs::remove_file(path) } else { fs::rename(path, &aside) };
        moved.map_err(|error| {
            io::Error::new(error.kind(), format!("can't move {} aside: {error}", path.display()))
        })?;
    }
    let mut options = File::options();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path).map_err(|error| {
        io::Error::new(error.kind(), format!("can't record to {}: {error}", path.display()))
    })?;
    tracing::info!(file = %path.display(), limit = cli.record_limits().max_bytes, "recording");
    Ok(Some(file))
}

/// Says where it serves, to whoever has started it. That nobody listens is no reason not to serve.
fn announce(address: SocketAddr) {
    let mut stdout = io::stdout().lock();
    let _ = writeln!(stdout, "listening on {address}").and_then(|()| stdout.flush());
}

/// Has the server stop. Should its thread be stuck, writing logs to a reader who doesn't read, the program ends anyway.
fn on_signal(stop: impl Fn() + Send + 'static) -> io::Result<()> {
    let (never, stopped) = mpsc::channel::<()>();
    let handler = move || {
        let _kept_open = &never;
        stop();
        let _ = stopped.recv_timeout(PATIENCE);
        process::exit(0);
    };
    ctrlc::set_handler(handler).map_err(|error| io::Error::other(format!("can't handle signals: {error}")))
}

#[expect(clippy::wildcard_enum_match_arm, reason = "ErrorKind is open-ended")]
fn cannot_listen(address: SocketAddr, error: &io::Error) -> io::Error {
    let hint = match error.kind() {
        io::ErrorKind::AddrInUse => "; another program has this port: choose another with --listen",
        io::ErrorKind::AddrNotAvailable => "; this machine has no such address",
        io::ErrorKind::PermissionDenied => "; ports below 1024 need privileges",
        io::ErrorKind::Unsupported => "; leave out --threads",
        _ => "",
    };
    io::Error::new(error.kind(), format!("can't listen on {address}: {error}{hint}"))
}

/// The machine itself logs what happens.
fn ignore(_: BroadcasterEvent) {}
