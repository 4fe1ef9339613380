//! The flags that set the limits of the native dialect.

use std::time::Duration;

use clap::{Args, value_parser};
use poolmesh_proto::Limits;

use super::positive_duration;

/// What anybody can have the broadcaster keep and do.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits of the native dialect")]
pub(super) struct LimitFlags {
    /// Pools at a time
    #[arg(long, value_name = "N", default_value_t = Limits::default().pools)]
    limit_pools: usize,

    /// Pools at a time made from one IPv4 address or IPv6 /64
    #[arg(long, value_name = "N", default_value_t = Limits::default().pools_per_source)]
    limit_pools_per_source: usize,

    /// Members of all pools together
    #[arg(long, value_name = "N", default_value_t = Limits::default().members)]
    limit_members: usize,

    /// Members at a time from one IPv4 address or IPv6 /64
    #[arg(long, value_name = "N", default_value_t = Limits::default().members_per_source)]
    limit_members_per_source: usize,

    /// Seats of one pool, 1,024 at most
    #[arg(long, value_name = "N", default_value_t = Limits::default().seats, value_parser = value_parser!(u16).range(1..=1024))]
    limit_seats: u16,

    /// Requests a second from one source that has proven its address
    #[arg(long, value_name = "N", default_value_t = Limits::default().requests_per_second)]
    limit_requests_per_second: u32,

    /// Requests in a row from one source, if it was quiet before
    #[arg(long, value_name = "N", default_value_t = Limits::default().requests_in_a_row)]
    limit_requests_in_a_row: u32,

    /// Messages of one member a second
    #[arg(long, value_name = "N", default_value_t = Limits::default().messages_per_second)]
    limit_messages_per_second: u32,

    /// Messages of one member in a row, if it was quiet before
    #[arg(long, value_name = "N", default_value_t = Limits::default().messages_in_a_row)]
    limit_messages_in_a_row: u32,

    /// Codes of no pool that one source may ask for in a minute
    #[arg(long, value_name = "N", default_value_t = Limits::default().wrong_codes_per_minute)]
    limit_wrong_codes_per_minute: u32,

    /// How often a member is to ping, 100ms to 65s
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = interval)]
    limit_interval: Duration,

    /// How long a member may be silent, then it has left; 65s at most
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = milliseconds)]
    limit_timeout: Duration,

    /// Places of the table in which is kept how much each source asks, 24 bytes each
    #[arg(long, value_name = "N", default_value_t = Limits::default().sources)]
    limit_sources: usize,
}

impl LimitFlags {
    pub(super) fn limits(&self) -> Limits {
        let mut limits = Limits::default();
        limits.pools = self.limit_pools;
        limits.pools_per_source = self.limit_pools_per_source;
        limits.members = self.limit_members;
        limits.members_per_source = self.limit_members_per_source;
        limits.seats = self.limit_seats;
        limits.requests_per_second = self.limit_requests_per_second;
        limits.requests_in_a_row = self.limit_requests_in_a_row;
        limits.messages_per_second = self.limit_messages_per_second;
        limits.messages_in_a_row = self.limit_messages_in_a_row;
        limits.wrong_codes_per_minute = self.limit_wrong_codes_per_minute;
        limits.interval = self.limit_interval;
        limits.timeout = self.limit_timeout;
        limits.sources = self.limit_sources;
        limits
    }
}

fn interval(text: &str) -> Result<Duration, String> {
    let time = milliseconds(text)?;
    if time < Limits::SHORTEST_INTERVAL {
        return Err("must be from 100ms to 65535ms".into());
    }
    Ok(time)
}

/// What members are told fits 16 bits.
fn milliseconds(text: &str) -> Result<Duration, String> {
    let time = positive_duration(text)?;
    match u16::try_from(time.as_millis()) {
        Ok(1..) => Ok(time),
        _ => Err("must be from 1ms to 65535ms".into()),
    }
}
