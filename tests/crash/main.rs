//! Power cuts, full disks, failing media: an appliance serves the old release or the new one, whatever happens when.

mod disk;
mod faults;
mod killed;
mod machine;
mod medium;
mod mount;
mod power;
mod scenario;
mod sweep;
