//! Releases come to an appliance, from memory and from real archives, through the library and through the program.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod activation;
mod forecast;
mod gc;
mod host;
mod import;
mod media;
mod mend;
mod mirror;
mod node;
mod outside;
mod parity;
mod published;
mod sealiftctl;
mod several;
mod support;
mod vendor;
mod volumes;
