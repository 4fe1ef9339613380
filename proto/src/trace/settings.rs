//! The settings of the machines.
//!
//! `settings = bytes: for each setting its number, then its value, a number as well`
//!
//! Lengths of time are in nanoseconds. What is `None` is not there; everything else is, defaults too, so that a new
//! default doesn't change an old trace. A setting that is new takes a number that is new: a reader that doesn't know it
//! says so, and one that does takes what it must be in traces that are older, which is what the machines did before they
//! had it. To add one: the compiler points at the `put_*` below, which takes every field.

use core::time::Duration;

use bytes::BytesMut;

use super::TraceFault;
use super::codes::{dialect, dialect_number};
use super::fields::{Bad, Parsed, bad, number, put_bytes, put_number, put_wide, raw, unknown, wide};
use crate::wire::Dialect;
use crate::wire::native::{Application, Secret};
use crate::{BroadcasterConfig, ClientConfig, Limits, LinkConfig, MeshConfig};

const NANOS: u128 = 1_000_000_000;

/// Settings being written.
struct Writer(BytesMut);

impl Writer {
    fn write(out: &mut BytesMut, put: impl FnOnce(&mut Self)) {
        let mut settings = Self(BytesMut::with_capacity(64));
        put(&mut settings);
        put_bytes(&settings.0, out);
    }

    fn wide(&mut self, setting: u8, value: u128) {
        put_number(setting.into(), &mut self.0);
        put_wide(value, &mut self.0);
    }

    fn size(&mut self, setting: u8, value: usize) {
        self.wide(setting, value as u128);
    }

    fn duration(&mut self, setting: u8, value: Duration) {
        self.wide(setting, value.as_nanos());
    }

    fn optional(&mut self, setting: u8, value: Option<Duration>) {
        if let Some(value) = value {
            self.duration(setting, value);
        }
    }
}

/// Settings being read.
#[derive(Clone, Copy)]
struct Settings<'a> {
    all: &'a [u8],
    what: &'static str,
}

type Value<'a, T> = Result<T, nom::Err<Bad<'a>>>;

impl<'a> Settings<'a> {
    /// Settings with the numbers from 1 to `known`.
    fn read(input: &'a [u8], what: &'static str, known: u8) -> Parsed<'a, Self> {
        let (rest, all) = raw(input)?;
        let mut unread = all;
        while !unread.is_empty() {
            let (behind, setting) = number(unread)?;
            if !(1..=u64::from(known)).contains(&setting) {
                return unknown(unread, what, setting);
            }
            (unread, _) = wide(behind)?;
        }
        Ok((rest, Self { all, what }))
    }

    fn find(&self, setting: u8) -> Value<'a, Option<u128>> {
        let mut rest = self.all;
        while !rest.is_empty() {
            let (behind, number) = number(rest)?;
            let (behind, value) = wide(behind)?;
            if number == u64::from(setting) {
                return Ok(Some(value));
            }
            rest = behind;
        }
        Ok(None)
    }

    fn bad<T>(&self, fault: TraceFault) -> Value<'a, T> {
        bad(self.all, fault).map(|(_, value)| value)
    }

    fn wide(&self, setting: u8) -> Value<'a, u128> {
        match self.find(setting)? {
            Some(value) => Ok(value),
            None => self.bad(TraceFault::Missing { what: self.what, number: setting.into() }),
        }
    }

    fn fitting<T: TryFrom<u128>>(&self, setting: u8) -> Value<'a, T> {
        let value = T::try_from(self.wide(setting)?);
        value.or_else(|_| self.bad(TraceFault::OutOfRange))
    }

    /// Of a setting that older traces don't have.
    fn fitting_or<T: TryFrom<u128>>(&self, setting: u8, older: T) -> Value<'a, T> {
        if self.find(setting)?.is_some() { self.fitting(setting) } else { Ok(older) }
    }

    fn application(&self, setting: u8, older: Application) -> Value<'a, Application> {
        let Some(bytes) = self.find(setting)? else { return Ok(older) };
        match Application::new(bytes.to_le_bytes()) {
            Some(application) => Ok(application),
            None => self.bad(TraceFault::OutOfRange),
        }
    }

    fn duration(&self, setting: u8) -> Value<'a, Duration> {
        let nanos = self.wide(setting)?;
        match u64::try_from(nanos / NANOS) {
            // A remainder is below its divisor.
            Ok(seconds) => Ok(Duration::new(seconds, (nanos % NANOS) as u32)),
            Err(_) => self.bad(TraceFault::OutOfRange),
        }
    }

    fn duration_or(&self, setting: u8, older: Duration) -> Value<'a, Duration> {
        if self.find(setting)?.is_some() { self.duration(setting) } else { Ok(older) }
    }

    fn optional(&self, setting: u8) -> Value<'a, Option<Duration>> {
        self.find(setting)?.map(|_| self.duration(setting)).transpose()
    }

    fn dialect(&self, setting: u8) -> Value<'a, Dialect> {
        let number = self.fitting(setting)?;
        match dialect(number) {
            Some(dialect) => Ok(dialect),
            None => self.bad(TraceFault::Unknown { what: "dialect", number }),
        }
    }
}

pub(super) fn put_broadcaster(config: &BroadcasterConfig, out: &mut BytesMut) {
    let BroadcasterConfig {
        ping_timeout,
        max_pools,
        max_pools_per_source,
        max_peers,
        max_peers_total,
        max_queued,
        max_datagram,
        classic,
        classic_answers_per_second,
        classic_answers_in_a_row,
        limits,
        secret,
    } = config;
    Writer::write(out, |settings| {
        settings.duration(1, *ping_timeout);
        settings.size(2, *max_pools);
        settings.size(3, *max_pools_per_source);
        settings.size(4, *max_peers);
        settings.size(5, *max_peers_total);
        settings.size(6, *max_queued);
        settings.size(7, *max_datagram);
        settings.wide(8, u128::from(*classic));
        settings.wide(9, (*classic_answers_per_second).into());
        settings.wide(10, (*classic_answers_in_a_row).into());
        if let Some(secret) = secret {
            let (first, second) = halves(secret);
            settings.wide(11, first);
            settings.wide(12, second);
        }
        put_limits(limits, settings);
    });
}

pub(super) fn broadcaster(input: &[u8]) -> Parsed<'_, BroadcasterConfig> {
    let (rest, settings) = Settings::read(input, "setting of a broadcaster", 30)?;
    let config = BroadcasterConfig {
        ping_timeout: settings.duration(1)?,
        max_pools: settings.fitting(2)?,
        max_pools_per_source: settings.fitting(3)?,
        max_peers: settings.fitting(4)?,
        max_peers_total: settings.fitting(5)?,
        max_queued: settings.fitting(6)?,
        max_datagram: settings.fitting(7)?,
        // There was nothing else, and nothing that limited it.
        classic: settings.fitting_or::<u8>(8, 1)? != 0,
        classic_answers_per_second: settings.fitting_or(9, u32::MAX)?,
        classic_answers_in_a_row: settings.fitting_or(10, u32::MAX)?,
        limits: limits(&settings)?,
        secret: secret(&settings)?,
    };
    Ok((rest, config))
}

/// A secret as two numbers.
fn halves(secret: &Secret) -> (u128, u128) {
    let (first, second) = secret.bytes().split_at(16);
    let [first, second] =
        [first, second].map(|half| half.first_chunk().map_or(0, |half| u128::from_le_bytes(*half)));
    (first, second)
}

fn secret<'a>(settings: &Settings<'a>) -> Value<'a, Option<Secret>> {
    let Some(first) = settings.find(11)? else { return Ok(None) };
    let second = settings.wide(12)?;
    let mut bytes = [0; 32];
    let (front, back) = bytes.split_at_mut(16);
    front.copy_from_slice(&first.to_le_bytes());
    back.copy_from_slice(&second.to_le_bytes());
    Ok(Some(Secret::new(bytes)))
}

fn put_limits(limits: &Limits, settings: &mut Writer) {
    let Limits {
        pools,
        pools_per_source,
        members,
        members_per_source,
        seats,
        metadata,
        about,
        broadcasters,
        requests_per_second,
        requests_in_a_row,
        messages_per_second,
        messages_in_a_row,
        wrong_codes_per_minute,
        interval,
        timeout,
        offer,
        list_scan,
        sources,
    } = limits;
    settings.size(13, *pools);
    settings.size(14, *pools_per_source);
    settings.size(15, *members);
    settings.size(16, *members_per_source);
    settings.wide(17, (*seats).into());
    settings.size(18, *metadata);
    settings.size(19, *about);
    settings.size(20, *broadcasters);
    settings.wide(21, (*requests_per_second).into());
    settings.wide(22, (*requests_in_a_row).into());
    settings.wide(23, (*messages_per_second).into());
    settings.wide(24, (*messages_in_a_row).into());
    settings.wide(25, (*wrong_codes_per_minute).into());
    settings.duration(26, *interval);
    settings.duration(27, *timeout);
    settings.duration(28, *offer);
    settings.size(29, *list_scan);
    settings.size(30, *sources);
}

fn limits<'a>(settings: &Settings<'a>) -> Value<'a, Limits> {
    let older = Limits::default();
    Ok(Limits {
        pools: settings.fitting_or(13, older.pools)?,
        pools_per_source: settings.fitting_or(14, older.pools_per_source)?,
        members: settings.fitting_or(15, older.members)?,
        members_per_source: settings.fitting_or(16, older.members_per_source)?,
        seats: settings.fitting_or(17, older.seats)?,
        metadata: settings.fitting_or(18, older.metadata)?,
        about: settings.fitting_or(19, older.about)?,
        broadcasters: settings.fitting_or(20, older.broadcasters)?,
        requests_per_second: settings.fitting_or(21, older.requests_per_second)?,
        requests_in_a_row: settings.fitting_or(22, older.requests_in_a_row)?,
        messages_per_second: settings.fitting_or(23, older.messages_per_second)?,
        messages_in_a_row: settings.fitting_or(24, older.messages_in_a_row)?,
        wrong_codes_per_minute: settings.fitting_or(25, older.wrong_codes_per_minute)?,
        interval: settings.duration_or(26, older.interval)?,
        timeout: settings.duration_or(27, older.timeout)?,
        offer: settings.duration_or(28, older.offer)?,
        list_scan: settings.fitting_or(29, older.list_scan)?,
        sources: settings.fitting_or(30, older.sources)?,
    })
}

pub(super) fn put_client(config: &ClientConfig, out: &mut BytesMut) {
    let ClientConfig {
        dialect,
        call_timeout,
        resend_after,
        recreate_after,
        ping_interval,
        max_calls,
        max_pools,
        max_queued,
        max_datagram,
        application,
        max_events,
        // They are written behind the settings.
        broadcasters: _,
    } = config;
    Writer::write(out, |settings| {
        settings.wide(1, dialect_number(*dialect).into());
        settings.duration(2, *call_timeout);
        settings.duration(3, *resend_after);
        settings.optional(4, *recreate_after);
        settings.duration(5, *ping_interval);
        settings.size(6, *max_calls);
        settings.size(7, *max_pools);
        settings.size(8, *max_queued);
        settings.size(9, *max_datagram);
        settings.wide(10, u128::from_le_bytes(application.bytes()));
        settings.size(11, *max_events);
    });
}

pub(super) fn client(input: &[u8]) -> Parsed<'_, ClientConfig> {
    let (rest, settings) = Settings::read(input, "setting of a client", 11)?;
    let older = ClientConfig::default();
    let config = ClientConfig {
        dialect: settings.dialect(1)?,
        call_timeout: settings.duration(2)?,
        resend_after: settings.duration(3)?,
        recreate_after: settings.optional(4)?,
        ping_interval: settings.duration(5)?,
        max_calls: settings.fitting(6)?,
        max_pools: settings.fitting(7)?,
        max_queued: settings.fitting(8)?,
        max_datagram: settings.fitting(9)?,
        application: settings.application(10, older.application)?,
        max_events: settings.fitting_or(11, older.max_events)?,
        broadcasters: older.broadcasters,
    };
    Ok((rest, config))
}

pub(super) fn put_link(config: &LinkConfig, out: &mut BytesMut) {
    let LinkConfig { max_frame, max_queued, max_received, pack, idle_timeout, close_timeout, frame_timeout } =
        config;
    Writer::write(out, |settings| {
        settings.size(1, *max_frame);
        settings.size(2, *max_queued);
        settings.size(3, *max_received);
        settings.size(4, *pack);
        settings.optional(5, *idle_timeout);
        settings.duration(6, *close_timeout);
        settings.optional(7, *frame_timeout);
    });
}

pub(super) fn link(input: &[u8]) -> Parsed<'_, LinkConfig> {
    let (rest, settings) = Settings::read(input, "setting of a link", 7)?;
    let config = LinkConfig {
        max_frame: settings.fitting(1)?,
        max_queued: settings.fitting(2)?,
        max_received: settings.fitting(3)?,
        pack: settings.fitting(4)?,
        idle_timeout: settings.optional(5)?,
        close_timeout: settings.duration(6)?,
        frame_timeout: settings.optional(7)?,
    };
    Ok((rest, config))
}

/// The settings of its links come first.
pub(super) fn put_mesh(config: &MeshConfig, out: &mut BytesMut) {
    let MeshConfig {
        link,
        max_links,
        max_pending_accepts,
        max_queued_total,
        max_waiting_events,
        max_waiting_bytes,
        max_dialing,
        max_dials,
        dial_timeout,
        dial_attempts,
        dial_backoff,
        dial_deadline,
    } = config;
    put_link(link, out);
    Writer::write(out, |settings| {
        settings.size(1, *max_links);
        settings.size(2, *max_pending_accepts);
        settings.size(3, *max_queued_total);
        settings.size(4, *max_waiting_events);
        settings.size(5, *max_waiting_bytes);
        settings.size(6, *max_dialing);
        settings.size(7, *max_dials);
        settings.duration(8, *dial_timeout);
        settings.wide(9, (*dial_attempts).into());
        settings.duration(10, *dial_backoff);
        settings.duration(11, *dial_deadline);
    });
}

pub(super) fn mesh(input: &[u8]) -> Parsed<'_, MeshConfig> {
    let (input, link) = link(input)?;
    let (rest, settings) = Settings::read(input, "setting of a mesh", 11)?;
    let config = MeshConfig {
        link,
        max_links: settings.fitting(1)?,
        max_pending_accepts: settings.fitting(2)?,
        max_queued_total: settings.fitting(3)?,
        max_waiting_events: settings.fitting(4)?,
        max_waiting_bytes: settings.fitting(5)?,
        max_dialing: settings.fitting(6)?,
        max_dials: settings.fitting(7)?,
        dial_timeout: settings.duration(8)?,
        dial_attempts: settings.fitting(9)?,
        dial_backoff: settings.duration(10)?,
        dial_deadline: settings.duration(11)?,
    };
    Ok((rest, config))
}
