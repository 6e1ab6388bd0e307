//! How long answers took, without a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper ends of the buckets: from a manifest in memory to a layer on a slow line.
const BUCKETS: [Duration; 11] = [
    Duration::from_micros(250),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_millis(5),
    Duration::from_millis(20),
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_secs(2),
    Duration::from_secs(10),
    Duration::from_secs(60),
    Duration::from_secs(300),
];

/// How many took how long. Two additions for each.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    /// By place in [`BUCKETS`], and one more for what took longer.
    counts: [AtomicU64; BUCKETS.len() + 1],
    micros: AtomicU64,
}

/// A histogram at one moment.
#[derive(Debug)]
pub(super) struct Reading {
    /// All together, in seconds.
    pub(super) sum: f64,
    /// How many.
    pub(super) count: u64,
    /// Upper end in seconds, and how many ended in this bucket.
    pub(super) buckets: Vec<(f64, u64)>,
}

impl Histogram {
    /// Counts one.
    pub(super) fn observe(&self, took: Duration) {
        let bucket = BUCKETS.iter().position(|end| took <= *end).unwrap_or(BUCKETS.len());
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// What was counted so far.
    pub(super) fn read(&self) -> Reading {
        let ends = BUCKETS.iter().map(Duration::as_secs_f64).chain([f64::INFINITY]);
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed));
        let buckets: Vec<_> = ends.zip(counts).collect();
        let sum = Duration::from_micros(self.micros.load(Ordering::Relaxed)).as_secs_f64();
        Reading { sum, count: buckets.iter().map(|(_, count)| count).sum(), buckets }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_falls_into_one_bucket() {
        let histogram = Histogram::default();
        for micros in [0, 250, 251, 5_000, 299_999_999, 300_000_001] {
            histogram.observe(Duration::from_micros(micros));
        }
        let reading = histogram.read();
        let counts: Vec<_> = reading.buckets.iter().map(|(_, count)| *count).collect();
        assert_eq!(counts, [2, 1, 0, 1, 0, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!(reading.count, 6);
        assert!((reading.sum - 600.005_501).abs() < 1e-6, "{}", reading.sum);
    }
}
