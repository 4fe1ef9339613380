//! Seeds: from one number a lobby, its programs, its storms, and what must hold after each of them.
//!
//! The program `simulate` runs many of them; a test can run one with [`run`].

mod attacker;
mod chaos;
mod foreign;
mod lobby;
mod native;
mod options;
mod run;
mod storm;

pub use attacker::Attacker;
pub use chaos::{Chaos, Meeting};
pub use foreign::Foreign;
pub use lobby::STRIKE_EVERY;
pub use native::{Called, Disk, NativeAttacker, Player, PlayerMeeting, PlayerSetup, Tally};
pub use options::{Faults, MAX_NODES, Options, Setup, Speech};
pub use run::{Keep, Report, run};
