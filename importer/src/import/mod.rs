//! Importing releases: a plan first, then its execution.
//!
//! Everything that can be refused is refused by [`plan`]: signatures (checked when the source was opened), order,
//! floor, product, content that a delta presumes, room on the disk. What is left to go wrong afterwards is the medium and the
//! machine, and then the next import goes on where this one stopped.

mod base;
mod execute;
mod forecast;
mod mend;
mod plan;

use sealift_archive::Explain as _;
use sealift_store::{Event, Writer};

use crate::Error;
pub use execute::{Done, Outcome, execute};
pub use forecast::{Containerd, Forecast, forecast};
pub use mend::{Mend, mend, plan_mend};
pub use plan::{Action, Plan, Step, Switch, plan};

/// Records in the audit log that a source was refused; other errors are not the source's fault.
///
/// # Errors
/// I/O.
pub fn record_refusal(writer: &Writer, source: &str, error: &Error) -> Result<(), Error> {
    if error.class() != sealift_archive::Class::Refused {
        return Ok(());
    }
    let (source, code, reason) = (source.to_owned(), error.code().to_string(), error.to_string());
    Ok(writer.record(Event::Refused { source, code, reason })?)
}
