//! The numbers in Prometheus's words.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};
use sealift_archive::Sequence;
use sealift_store::Watched;

use super::{Metrics, Route, STATUSES};
use crate::tls::Facts;

/// What is looked up when somebody asks.
#[derive(Debug)]
pub(super) struct Moment {
    pub(super) is_store_readable: bool,
    pub(super) active_sequence: Option<Sequence>,
    pub(super) releases: usize,
    pub(super) git_children: usize,
    pub(super) certificate: Option<Facts>,
    pub(super) authority: Option<Facts>,
    /// Those that the operator named, and those of the nodes.
    pub(super) client_authorities: [Vec<Watched>; 2],
}

/// All numbers, as text.
pub(super) fn render(metrics: Arc<Metrics>, moment: Moment) -> String {
    let mut registry = Registry::with_prefix("sealift_registry");
    registry.register_collector(Box::new(Sample { metrics, moment }));
    let mut text = String::new();
    encode(&mut text, &registry).expect("a string takes whatever is written to it");
    text
}

#[derive(Debug)]
struct Sample {
    metrics: Arc<Metrics>,
    moment: Moment,
}

impl Collector for Sample {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.encode_answers(&mut encoder)?;
        self.encode_connections(&mut encoder)?;
        self.encode_moment(&mut encoder)
    }
}

impl Sample {
    fn encode_answers(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let all = || Route::ALL.into_iter().zip(&self.metrics.routes);
        let mut family =
            encoder.encode_descriptor("requests", "Answered requests", None, MetricType::Counter)?;
        for (route, answers) in all() {
            for (place, count) in answers.statuses.iter().enumerate() {
                let count = count.load(Ordering::Relaxed);
                // A counter that begins at its first event is what Prometheus expects of so many.
                if count > 0 {
                    let status = STATUSES.get(place).map_or("other".to_owned(), u16::to_string);
                    let labels = [("route", route.name()), ("status", &status)];
                    counter(&mut family.encode_family(&labels)?, count)?;
                }
            }
        }
        let help = "Bytes of answers, without headers";
        let mut family = encoder.encode_descriptor("sent", help, Some(&Unit::Bytes), MetricType::Counter)?;
        for (route, answers) in all() {
            let bytes = answers.bytes.load(Ordering::Relaxed);
            counter(&mut family.encode_family(&[("route", route.name())])?, bytes)?;
        }
        let help = "From the request to the end of its answer";
        let unit = Some(&Unit::Seconds);
        let mut family = encoder.encode_descriptor("answer_duration", help, unit, MetricType::Histogram)?;
        for (route, answers) in all() {
            let reading = answers.seconds.read();
            if reading.count == 0 {
                continue;
            }
            let labels = [("route", route.name())];
            let mut metric = family.encode_family(&labels)?;
            metric.encode_histogram::<NoLabelSet>(reading.sum, reading.count, &reading.buckets, None)?;
        }
        Ok(())
    }

    fn encode_connections(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let load = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let connections = &self.metrics.connections;
        let (ended, taken) = (load(&connections.ended), load(&connections.taken));
        gauge(encoder, "connections_open", "Open connections", taken.saturating_sub(ended))?;
        let help = "Connections that were taken";
        counter(&mut encoder.encode_descriptor("connections", help, None, MetricType::Counter)?, taken)?;
        let help = "Clients that were not let in";
        let refused = load(&connections.refused);
        counter(&mut encoder.encode_descriptor("clients_refused", help, None, MetricType::Counter)?, refused)
    }

    fn encode_moment(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let moment = &self.moment;
        gauge(encoder, "git_children", "Running processes of git upload-pack", moment.git_children as u64)?;
        gauge(encoder, "releases", "Releases in the store", moment.releases as u64)?;
        let readable = u64::from(moment.is_store_readable);
        gauge(encoder, "store_readable", "Whether the store can be read as it is now", readable)?;
        if let Some(sequence) = moment.active_sequence {
            gauge(encoder, "active_release_sequence", "Sequence of the active release", sequence.get())?;
        }
        let [named, of_nodes] = &moment.client_authorities;
        // Of several, the one that ends first.
        let first = |all: &[Watched]| all.iter().map(|watched| watched.not_after).min();
        let end = |facts: &Option<Facts>| facts.as_ref().map(|facts| facts.not_after);
        let certificates = [
            ("server", end(&moment.certificate)),
            ("authority", end(&moment.authority)),
            ("clients", first(named)),
            ("nodes", first(of_nodes)),
        ];
        let help = "When the certificate expires, in seconds since 1970";
        let unit = Some(&Unit::Seconds);
        let name = "certificate_expiry_timestamp";
        let mut family = encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?;
        for (of, end) in certificates {
            if let Some(end) = end {
                family.encode_family(&[("of", of)])?.encode_gauge(&end.unix_timestamp())?;
            }
        }
        Ok(())
    }
}

fn counter(metric: &mut MetricEncoder<'_>, value: u64) -> fmt::Result {
    metric.encode_counter::<NoLabelSet, _, u64>(&value, None)
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    encoder.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)
}
