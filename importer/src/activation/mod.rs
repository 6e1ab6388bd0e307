//! Letting a release run: a journaled transaction around the store's own switch.
//!
//! [`Engine`] goes through [`Phase`]s: Sealift's own programs, checks, Flux stands still, the release's names are answered
//! first, steps on the host, `current` moves, Flux goes on, and then everything has to be well. Each phase is in the journal
//! before it begins, and harmless to repeat. [`Flux`], [`Host`] and [`Restart`] stand for what is outside.

mod command;
mod ending;
mod engine;
mod error;
mod flux;
mod gate;
mod host;
mod phase;
mod plain;
mod plan;
mod programs;
mod signed;
mod socket;

pub(crate) use command::{Run, spell};
pub use engine::{Engine, News, Switched, Watcher};
pub use error::{Error, Trouble};
pub use flux::{Flux, NotSuspended, Readiness};
pub(crate) use gate::wait_until_well;
pub use host::{Action, Between, Direct, Host, Restart};
pub use plan::Plan;
pub(crate) use plan::expect_none;
pub(crate) use programs::architecture;
pub use sealift_store::journal::{Phase, UnderWay};
pub(crate) use signed::{NotSigned, signed_release};
pub use socket::{DEFAULT_SOCKET, Socket, answer};
