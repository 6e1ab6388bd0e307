//! Images as they are: with signatures in all forms, for some platforms only, named by SHA-512, foreign, from archives;
//! and registries that have less than they say.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod archives;
mod latency;
mod names;
mod platforms;
mod referrers;
mod setting;
mod told;
