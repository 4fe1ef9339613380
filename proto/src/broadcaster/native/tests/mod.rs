//! The broadcaster's rules in the native dialect, driven datagram by datagram.

mod again;
mod ended_early;
mod former;
mod guests;
mod handmade;
mod joining;
mod large;
mod limits;
mod lineage;
mod listing;
mod lobby;
mod members;
mod orders;
mod outages;
mod ranks;
mod rates;
mod recovery;
mod seats;
mod waiting;
