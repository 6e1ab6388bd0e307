//! Power cuts, full disks, failing media: an appliance serves the old release or the new one, whatever happens when.

mod command;
mod disk;
mod faults;
mod killed;
mod machine;
mod medium;
mod mount;
mod power;
mod releases;
mod scenario;
mod sweep;
