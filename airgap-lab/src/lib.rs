//! An air gap on one machine: a vendor registry, the gap, an appliance.
//!
//! The lab stands in for what Sealift meets in the field, so that the demo and the tests run on one machine
//! without a network. Its parts are real servers on loopback that speak the real protocols; what they do wrong,
//! they do wrong on request and every time the same.

mod actors;
mod background;
pub mod bench;
pub mod demo;
pub mod gap;
pub mod lab;
pub mod machine;
pub mod stick;
mod story;
mod tool;
pub mod vendor;
