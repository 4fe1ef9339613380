//! What is said between `attack links` and its processes: a line each.

use std::fmt;
use std::ops::AddAssign;
use std::str::FromStr;

use crate::Fallible;

/// What a process is told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// To make pools and links, and speak over them from now on.
    Link,
    /// To watch what happens from now on: the broadcaster is about to be killed.
    Watch,
    /// To be silent and say what has happened.
    Count,
}

/// What a process tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// All have their ports.
    Open,
    /// All are linked.
    Linked,
    /// A pool is back: the last of its members was told so.
    Back,
    /// What has happened.
    Counted(Tally),
}

/// What has happened to programs and their links. An end of a link is one program's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Ends that stand.
    pub(crate) ends: u64,
    pub(crate) lost: u64,
    /// Beyond the one of each pair of programs.
    pub(crate) made_anew: u64,
    /// Ends by which something came since the kill.
    pub(crate) carried: u64,
    /// Events.
    pub(crate) sent: u64,
    pub(crate) received: u64,
    /// Events that found no room on their link.
    pub(crate) unsent: u64,
    /// Events that came before or after their turn.
    pub(crate) out_of_turn: u64,
    /// Programs that were told that their pool is back.
    pub(crate) restored: u64,
    /// Programs that were told that the broadcaster doesn't answer.
    pub(crate) unreachable: u64,
    /// Whatever else was told of pools.
    pub(crate) other: u64,
    /// Programs that don't know what they knew of their pool.
    pub(crate) changed: u64,
}

impl Tally {
    const LEN: usize = 12;

    fn numbers(&mut self) -> [&mut u64; Self::LEN] {
        [
            &mut self.ends,
            &mut self.lost,
            &mut self.made_anew,
            &mut self.carried,
            &mut self.sent,
            &mut self.received,
            &mut self.unsent,
            &mut self.out_of_turn,
            &mut self.restored,
            &mut self.unreachable,
            &mut self.other,
            &mut self.changed,
        ]
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, mut other: Self) {
        for (number, more) in self.numbers().into_iter().zip(other.numbers()) {
            *number += *more;
        }
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Link => "link",
            Self::Watch => "watch",
            Self::Count => "count",
        })
    }
}

impl FromStr for Order {
    type Err = crate::Reason;

    fn from_str(line: &str) -> Fallible<Self> {
        match line {
            "link" => Ok(Self::Link),
            "watch" => Ok(Self::Watch),
            "count" => Ok(Self::Count),
            _ => Err(format!("{line:?} is no order").into()),
        }
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => f.write_str("open"),
            Self::Linked => f.write_str("linked"),
            Self::Back => f.write_str("back"),
            Self::Counted(tally) => {
                f.write_str("counted")?;
                tally.clone().numbers().into_iter().try_for_each(|number| write!(f, " {number}"))
            }
        }
    }
}

impl FromStr for Told {
    type Err = crate::Reason;

    fn from_str(line: &str) -> Fallible<Self> {
        let mut words = line.split(' ');
        match words.next() {
            Some("open") => Ok(Self::Open),
            Some("linked") => Ok(Self::Linked),
            Some("back") => Ok(Self::Back),
            Some("counted") => {
                let mut tally = Tally::default();
                for number in tally.numbers() {
                    *number = words.next().ok_or("it doesn't count to the end")?.parse()?;
                }
                Ok(Self::Counted(tally))
            }
            _ => Err(format!("{line:?} says nothing").into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_understood() {
        for order in [Order::Link, Order::Watch, Order::Count] {
            assert_eq!(order.to_string().parse::<Order>().unwrap(), order);
        }
        let mut tally = Tally::default();
        (1..).zip(tally.numbers()).for_each(|(nth, number)| *number = nth);
        for told in [Told::Open, Told::Linked, Told::Back, Told::Counted(tally)] {
            assert_eq!(told.to_string().parse::<Told>().unwrap(), told);
        }
        assert!("counted 1 2".parse::<Told>().is_err() && "".parse::<Told>().is_err());
        tally += tally;
        assert_eq!((tally.ends, tally.changed), (2, 24));
    }
}
