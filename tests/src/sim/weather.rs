//! How bad things are: for datagrams, for streams, and for the driver of a node.

use std::time::Duration;

use super::rng::Rng;

/// What happens to datagrams on their way. Probabilities are in a million.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weather {
    /// No datagram and no segment of a stream is faster.
    pub delay: Duration,
    /// What is added on average; so datagrams overtake each other.
    pub spread: Duration,
    /// How many are lost.
    pub loss: u32,
    /// How often a burst of losses begins, at any datagram that a node sends.
    pub burst: u32,
    /// How long a burst is, on average. Nine of ten datagrams are lost in it.
    pub burst_length: Duration,
    /// How many come twice.
    pub duplicate: u32,
    /// How often an old datagram comes once more.
    pub replay: u32,
    /// How much later, on average.
    pub replay_after: Duration,
    /// How many have bits flipped that no checksum noticed.
    pub corrupt: u32,
    /// How many are cut short.
    pub truncate: u32,
    /// The streams' share.
    pub streams: StreamWeather,
}

/// What happens to streams on their way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamWeather {
    /// No piece arrives longer than this, in bytes; each is cut by chance.
    pub max_piece: usize,
    /// What the systems at both ends hold of one direction, in bytes.
    pub buffer: usize,
    /// Bytes a second.
    pub bandwidth: u64,
    /// How many pieces are lost and sent again by the system, in a million.
    pub loss: u32,
    /// How often the connection is cut at a piece, in the middle of whatever it carries, in a million.
    pub cut: u32,
    /// How many pieces have bits flipped that no checksum noticed, in a million.
    pub corrupt: u32,
    /// How often the reader pauses at a piece, in a million.
    pub pause: u32,
    /// For how long, on average.
    pub pause_length: Duration,
    /// How long a system sends again until it gives a connection up.
    pub give_up: Duration,
}

/// How late and how odd the loop is that drives a node's machines. Probabilities are in a million.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lateness {
    /// How often outputs are drained later than the input that made them.
    pub late_drain: u32,
    /// How often a timeout is handled late.
    pub late_timeout: u32,
    /// How late, on average.
    pub late_by: Duration,
    /// How often timeouts are handled that are not due.
    pub early_timeout: u32,
    /// How often a timeout is handled twice.
    pub double_timeout: u32,
}

impl Weather {
    /// Ten to twelve milliseconds, and nothing is lost.
    #[must_use]
    pub const fn calm() -> Self {
        Self {
            delay: Duration::from_millis(10),
            spread: Duration::from_micros(500),
            loss: 0,
            burst: 0,
            burst_length: Duration::ZERO,
            duplicate: 0,
            replay: 0,
            replay_after: Duration::ZERO,
            corrupt: 0,
            truncate: 0,
            streams: StreamWeather::calm(),
        }
    }

    /// Some bad weather: what delays, loses, doubles and reorders.
    #[must_use]
    pub fn rough(rng: &mut Rng) -> Self {
        Self {
            delay: Duration::from_micros(rng.range(100, 100_000)),
            spread: Duration::from_micros(*rng.pick(&[0, 1_000, 20_000, 300_000])),
            loss: *rng.pick(&[0, 10_000, 50_000, 300_000]),
            burst: *rng.pick(&[0, 1_000, 10_000]),
            burst_length: Duration::from_millis(rng.range(100, 5_000)),
            duplicate: *rng.pick(&[0, 10_000, 100_000]),
            replay: *rng.pick(&[0, 1_000, 20_000]),
            replay_after: Duration::from_millis(rng.range(10, 300_000)),
            corrupt: 0,
            truncate: 0,
            streams: StreamWeather::calm(),
        }
    }

    /// Adds what changes datagrams on their way.
    pub fn spoil(&mut self, rng: &mut Rng) {
        self.corrupt = *rng.pick(&[0, 1_000, 50_000]);
        self.truncate = *rng.pick(&[0, 1_000, 50_000]);
    }
}

impl StreamWeather {
    /// Pieces as a system makes them, and nothing is cut.
    #[must_use]
    pub const fn calm() -> Self {
        Self {
            max_piece: 64 * 1_024,
            buffer: 256 * 1_024,
            bandwidth: 100_000_000,
            loss: 0,
            cut: 0,
            corrupt: 0,
            pause: 0,
            pause_length: Duration::ZERO,
            give_up: Duration::from_secs(60),
        }
    }

    /// Small pieces, small buffers, slow lines and readers, cuts anywhere.
    #[must_use]
    pub fn rough(rng: &mut Rng) -> Self {
        Self {
            max_piece: *rng.pick(&[7, 100, 1_400, 64 * 1_024]),
            buffer: *rng.pick(&[1_000, 16 * 1_024, 256 * 1_024]),
            bandwidth: *rng.pick(&[20_000, 1_000_000, 100_000_000]),
            loss: *rng.pick(&[0, 10_000, 100_000]),
            cut: *rng.pick(&[0, 100, 2_000]),
            corrupt: *rng.pick(&[0, 0, 0, 1_000]),
            pause: *rng.pick(&[0, 1_000, 20_000]),
            pause_length: Duration::from_millis(rng.range(100, 20_000)),
            give_up: Duration::from_secs(rng.range(10, 120)),
        }
    }
}

impl Lateness {
    /// A loop that does everything at once.
    #[must_use]
    pub const fn none() -> Self {
        Self { late_drain: 0, late_timeout: 0, late_by: Duration::ZERO, early_timeout: 0, double_timeout: 0 }
    }

    /// A loop that stalls, wakes too early, and says things twice.
    #[must_use]
    pub fn some(rng: &mut Rng) -> Self {
        Self {
            late_drain: *rng.pick(&[0, 20_000, 200_000]),
            late_timeout: *rng.pick(&[0, 20_000, 200_000]),
            late_by: Duration::from_micros(*rng.pick(&[500, 20_000, 500_000, 3_000_000])),
            early_timeout: *rng.pick(&[0, 10_000, 100_000]),
            double_timeout: *rng.pick(&[0, 10_000, 100_000]),
        }
    }
}
