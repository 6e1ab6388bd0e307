//! Finding images in charts and folders without Helm. With Helm: `tests/e2e/discover.rs`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod chart;
mod charts;
mod folder;
