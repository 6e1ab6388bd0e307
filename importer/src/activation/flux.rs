//! What an activation asks of Flux. The engine knows no cluster; [`Cluster`](crate::flux::Cluster) does, and
//! stand-ins of tests know none either.

use crate::Error;

/// The Flux of this appliance's cluster. Every call blocks, ends within minutes (a cluster that does not answer is an error,
/// not a wait), and is harmless to repeat: after a crash the engine calls again what it may have called before.
pub trait Flux {
    /// Asks whether Flux can be reached and may be changed, and changes nothing.
    ///
    /// # Errors
    /// The cluster does not answer, or refuses.
    fn check(&self) -> Result<(), Error>;

    /// Keeps Flux from beginning anything until [`Flux::resume`].
    ///
    /// # Errors
    /// The cluster does not answer, or refuses.
    fn suspend(&self) -> Result<(), NotSuspended>;

    /// Lets Flux act again on what [`Flux::suspend`] stopped, and on nothing that somebody else had stopped. It has to know
    /// these objects by itself, since another process may have called `suspend`.
    ///
    /// # Errors
    /// The cluster does not answer, or refuses.
    fn resume(&self) -> Result<(), Error>;

    /// Makes Flux look now for what is new, instead of at its next interval.
    ///
    /// # Errors
    /// The cluster does not answer, or refuses.
    fn poke(&self) -> Result<(), Error>;

    /// Whether all that Flux manages is as the newest sources say. What was ready before the last [`Flux::poke`], and has not
    /// been looked at since, is not.
    ///
    /// # Errors
    /// The cluster does not answer, or refuses. A health check takes that for "not yet".
    fn ready(&self) -> Result<Readiness, Error>;
}

/// Why Flux does not stand still.
#[derive(Debug)]
pub struct NotSuspended {
    /// What went wrong.
    pub cause: Box<Error>,
    /// Whether this call has certainly changed nothing, so that nothing needs to be resumed for it.
    pub is_untouched: bool,
}

/// How far Flux is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Everything is as it should be.
    Ready,
    /// Something is not: what, in words for an operator, such as ``Kustomization `apps`: timeout waiting for web``.
    NotYet(String),
}
