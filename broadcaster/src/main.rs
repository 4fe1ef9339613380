//! The broadcaster as a program: flags, logs, a clean stop.

mod cli;
mod key_file;
mod ports;
mod threads;

use std::fs::{self, File};
use std::io::{self, IsTerminal, Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{self, ExitCode};
use std::sync::mpsc;
use std::time::Duration;

use clap::Parser;
use poolmesh_proto::trace::{Entry, Input, TraceError, TraceFault, entries};
use poolmesh_proto::{BroadcasterConfig, BroadcasterEvent, BroadcasterStats};
use poolmesh_std::SocketStats;
use tracing_subscriber::EnvFilter;

use cli::{Cli, Io, Runtime};

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
    let served = config(&cli).and_then(|config| serve(&cli, config));
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

/// The settings that the flags give, with the key.
fn config(cli: &Cli) -> io::Result<BroadcasterConfig> {
    cli.check().map_err(io::Error::other)?;
    let mut config = cli.config();
    config.secret = cli.key_file.as_deref().map(key_file::open).transpose()?;
    if config.secret.is_none() {
        tracing::info!("without --key-file no pool outlives this server");
    }
    Ok(config)
}

fn serve(cli: &Cli, config: BroadcasterConfig) -> io::Result<(BroadcasterStats, SocketStats)> {
    if cli.threads > 1 && !config.classic {
        tracing::warn!("--threads does nothing without --classic: one thread handles the native dialect");
    }
    match (cli.runtime, cli.threads) {
        (Runtime::Smol, _) | (_, 2..) if cli.io == Io::Uring => {
            Err(io::Error::other("--io uring takes --runtime std and one thread"))
        }
        (Runtime::Std, 1) => serve_std(cli, config),
        (Runtime::Smol, 1) => smol::block_on(serve_smol(cli, config)),
        (_, 2..) if cli.record.is_some() => {
            Err(io::Error::other("--record takes a server in one thread: leave out --threads"))
        }
        (Runtime::Std, _) => serve_std_in_threads(cli, &config),
        (Runtime::Smol, _) => serve_smol_in_threads(cli, &config),
    }
}

fn serve_std(cli: &Cli, config: BroadcasterConfig) -> io::Result<(BroadcasterStats, SocketStats)> {
    let attempts = if cli.io == Io::Uring { ports::OF_A_RING } else { 1 };
    let mut server =
        ports::bind(attempts, || poolmesh_std::BroadcasterServer::bind(cli.listen, config.clone()))
            .map_err(|error| cannot_listen(cli.listen, &error))?;
    let (stopper, meter) = (server.stopper(), server.meter());
    on_signal(move || stopper.stop())?;
    if cli.io == Io::Uring {
        use_uring(&mut server);
    }
    let trace = trace_file(cli)?;
    announce(server.local_addr());
    let stats = match trace {
        Some(trace) => server.run_recorded(trace, cli.record_limits(), ignore),
        None => server.run(ignore),
    };
    Ok((stats?, meter.read()))
}

/// Has it use io_uring, or says why it doesn't: it serves all the same. What it says is no log, which may be silent.
fn use_uring(server: &mut poolmesh_std::BroadcasterServer) {
    #[cfg(feature = "uring")]
    let used = server.use_uring();
    #[cfg(not(feature = "uring"))]
    let used = {
        let _ = server;
        Err::<(), _>("this program was built without it")
    };
    if let Err(why) = used {
        // Standard error may be closed; then there is nobody to tell.
        let _ = writeln!(
            io::stderr(),
            "poolmesh-broadcaster: no io_uring ({why}); it makes system calls in its place"
        );
    }
}

async fn serve_smol(cli: &Cli, config: BroadcasterConfig) -> io::Result<(BroadcasterStats, SocketStats)> {
    let server = poolmesh_smol::BroadcasterServer::bind(cli.listen, config)
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

fn serve_std_in_threads(
    cli: &Cli,
    config: &BroadcasterConfig,
) -> io::Result<(BroadcasterStats, SocketStats)> {
    let servers = poolmesh_std::BroadcasterServer::bind_shards(cli.listen, config, cli.threads)
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

fn serve_smol_in_threads(
    cli: &Cli,
    config: &BroadcasterConfig,
) -> io::Result<(BroadcasterStats, SocketStats)> {
    let servers = poolmesh_smol::BroadcasterServer::bind_shards(cli.listen, config, cli.threads)
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

/// Whether a file is a trace of a run in which no datagram came: also one that was killed before it wrote anything, or all.
fn is_empty_trace(path: &Path) -> bool {
    let mut trace = Vec::new();
    let read = File::open(path).and_then(|file| file.take(SOMETHING_CAME).read_to_end(&mut trace));
    let nothing_came = |entry: Result<Entry, TraceError>| match entry {
        Ok(entry) => !matches!(entry.input, Input::Datagram { .. }),
        Err(error) => matches!(error.fault, TraceFault::Cut { .. }),
    };
    read.is_ok_and(|len| (len as u64) < SOMETHING_CAME) && entries(&trace).all(nothing_came)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_in_which_nothing_came_is_told_from_everything_else() {
        let path = std::env::temp_dir().join(format!("poolmesh-trace-{}", process::id()));
        let of = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            is_empty_trace(&path)
        };
        let mut recorder = poolmesh_proto::trace::Recorder::new();
        let header = recorder.take();
        assert!(of(b"") && of(&header) && of(&header[..header.len() - 1]), "killed early");
        recorder.record(0, poolmesh_proto::Instant::ZERO, &Input::Timeout);
        let polled = [header, recorder.take()].concat();
        assert!(of(&polled));
        let came = Input::Datagram { from: ([127, 0, 0, 1], 1).into(), datagram: [2].into_iter().collect() };
        recorder.record(0, poolmesh_proto::Instant::ZERO, &came);
        assert!(!of(&[&polled[..], &recorder.take()].concat()));
        assert!(!of(b"a file of somebody else") && !of(&[7; 5_000]));
        fs::remove_file(&path).unwrap();
        assert!(!is_empty_trace(&path));
    }
}
