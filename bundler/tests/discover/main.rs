//! Finding images in charts and folders without Helm. With Helm: `tests/e2e/discover.rs`.

mod chart;
mod charts;
mod folder;
