//! Hours of the native dialect, alone or beside the classic one.

mod agree;
mod attacker;
mod drills;
mod liar;
mod lobby;
mod meeting;
mod player;
mod run;
mod setup;

pub use attacker::Attacker as NativeAttacker;
pub use player::{Called, Disk, Meeting as PlayerMeeting, Player, PlayerSetup, Tally};

pub(in crate::simulate) use lobby::Lobby;
pub(in crate::simulate) use run::live;
