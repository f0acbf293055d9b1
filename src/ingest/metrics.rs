//! What a run tells, as numbers that Prometheus can collect.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, prometheus_text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use super::{Committed, Event};
use crate::environment::Environment;

/// The numbers of one pipeline, all of them named `lakebed_ingest_…` and labelled by it.
pub struct Metrics {
    registry: Registry,
    records: Counter,
    bad_records: Counter,
    input_bytes: Counter,
    rows: Counter,
    deletes: Counter,
    files: Counter,
    written_bytes: Counter,
    commits: Counter,
    rewinds: Counter,
    retries: Counter,
    service_rounds: Counter,
    service_failures: Counter,
    compacted_groups: Counter,
    buffered_bytes: Gauge<u64, AtomicU64>,
    epoch: Gauge<u64, AtomicU64>,
    checkpoint: Gauge<u64, AtomicU64>,
    flush: Histogram,
    commit: Histogram,
    times: Arc<Times>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").field("times", &self.times).finish_non_exhaustive()
    }
}

/// From 1 ms to a minute.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 17))
}

impl Metrics {
    /// The numbers of `pipeline`: nothing has happened yet.
    pub fn new(pipeline: &str, environment: &Environment) -> Self {
        let labels = [("pipeline".into(), pipeline.to_owned().into())];
        let mut metrics = Self {
            registry: Registry::with_prefix_and_labels("lakebed_ingest", labels.into_iter()),
            records: Counter::default(),
            bad_records: Counter::default(),
            input_bytes: Counter::default(),
            rows: Counter::default(),
            deletes: Counter::default(),
            files: Counter::default(),
            written_bytes: Counter::default(),
            commits: Counter::default(),
            rewinds: Counter::default(),
            retries: Counter::default(),
            service_rounds: Counter::default(),
            service_failures: Counter::default(),
            compacted_groups: Counter::default(),
            buffered_bytes: Gauge::default(),
            epoch: Gauge::default(),
            checkpoint: Gauge::default(),
            flush: seconds(),
            commit: seconds(),
            times: Arc::new(Times {
                environment: environment.clone(),
                committed_millis: AtomicI64::new(NEVER),
                newest_millis: AtomicI64::new(NEVER),
                watermark_millis: AtomicI64::new(NEVER),
            }),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        let counters = [
            ("records", "Records read by this run", &self.records),
            ("bad_records", "Records that could not be taken", &self.bad_records),
            ("rows", "Rows committed by this run, deletes included", &self.rows),
            ("deletes", "Rows committed that only delete their key", &self.deletes),
            ("files", "Files committed", &self.files),
            ("commits", "Commits", &self.commits),
            ("rewinds", "Checkpoints given up because of what others did", &self.rewinds),
            ("retries", "Commits that were tried again", &self.retries),
            ("service_rounds", "Rounds of the table's services", &self.service_rounds),
            ("service_failures", "Services of the table that failed", &self.service_failures),
            ("compacted_file_groups", "File groups that were compacted", &self.compacted_groups),
        ];
        counters.into_iter().for_each(|(name, help, counter)| registry.register(name, help, counter.clone()));
        let bytes = [
            ("input", "Input read by this run, unpacked", &self.input_bytes),
            ("written", "Files committed by this run", &self.written_bytes),
        ];
        for (name, help, counter) in bytes {
            registry.register_with_unit(name, help, Unit::Bytes, counter.clone());
        }
        let buffered = self.buffered_bytes.clone();
        registry.register_with_unit("buffered", "Memory in buffers", Unit::Bytes, buffered);
        registry.register("epoch", "Which run of the pipeline this is", self.epoch.clone());
        registry.register("checkpoint", "The last checkpoint that is visible", self.checkpoint.clone());
        let flush = self.flush.clone();
        registry.register_with_unit(
            "flush",
            "Time to make a checkpoint's files durable",
            Unit::Seconds,
            flush,
        );
        let commit = self.commit.clone();
        registry.register_with_unit("commit", "Time to make a checkpoint visible", Unit::Seconds, commit);
        registry.register_collector(Box::new(self.times.clone()));
    }

    /// Takes in what happened.
    pub fn observe(&self, event: &Event) {
        match event {
            Event::Created { .. } | Event::Restored { .. } | Event::Reset => {}
            Event::Started { epoch, checkpoint } => {
                self.epoch.set(*epoch);
                self.checkpoint.set(*checkpoint);
            }
            Event::Written { records, bytes, bad_records, buffered_bytes, .. } => {
                self.records.inner().store(*records, Ordering::Relaxed);
                self.input_bytes.inner().store(*bytes, Ordering::Relaxed);
                // Those of a checkpoint that was given up come again, and a counter does not go back.
                self.bad_records.inner().fetch_max(*bad_records, Ordering::Relaxed);
                self.buffered_bytes.set(*buffered_bytes);
            }
            Event::Committed(committed) => self.committed(committed),
            Event::Served { totals, .. } => {
                self.service_rounds.inc();
                self.compacted_groups.inc_by(totals.compacted_groups as u64);
            }
            Event::ServicesFailed { .. } => _ = self.service_failures.inc(),
            Event::Rewound { .. } => {
                self.rewinds.inc();
            }
            Event::Retrying { .. } => {
                self.retries.inc();
            }
        }
    }

    fn committed(&self, committed: &Committed) {
        self.checkpoint.set(committed.checkpoint);
        self.commits.inc();
        self.rows.inc_by(committed.rows);
        self.deletes.inc_by(committed.deletes);
        self.files.inc_by(committed.files);
        self.written_bytes.inc_by(committed.bytes);
        self.buffered_bytes.set(committed.buffered_bytes);
        self.flush.observe(committed.flushed.as_secs_f64());
        self.commit.observe(committed.took.as_secs_f64());
        self.times.committed(committed);
    }

    /// All numbers as they are now, in Prometheus' text form.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = prometheus_text::encode(&mut text, &self.registry);
        text
    }
}

/// Stands for a time that has not come.
const NEVER: i64 = i64::MIN;

/// Times that are told as of now, and not at all before the first commit.
#[derive(Debug)]
struct Times {
    environment: Environment,
    /// When the last commit was seen, milliseconds since the epoch; [`NEVER`] before the first.
    committed_millis: AtomicI64,
    /// When the newest input that is committed was made; [`NEVER`] before the first commit.
    newest_millis: AtomicI64,
    /// The greatest event time that is committed; [`NEVER`] where rows have none.
    watermark_millis: AtomicI64,
}

impl Times {
    fn committed(&self, committed: &Committed) {
        let now = self.environment.clock.unix_millis();
        self.committed_millis.store(now, Ordering::Relaxed);
        if let Some(newest) = committed.newest_millis {
            self.newest_millis.fetch_max(newest, Ordering::Relaxed);
        }
        if let Some(watermark) = committed.watermark_millis {
            self.watermark_millis.store(watermark, Ordering::Relaxed);
        }
    }
}

impl Collector for Times {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut tell = |name: &str, help: &str, millis: i64| {
            let gauge = ConstGauge::new(millis as f64 / 1e3);
            let unit = Some(&Unit::Seconds);
            gauge.encode(encoder.encode_descriptor(name, help, unit, gauge.metric_type())?)
        };
        let committed = self.committed_millis.load(Ordering::Relaxed);
        if committed != NEVER {
            tell("last_commit_timestamp", "When the last commit became visible, since 1970.", committed)?;
        }
        let watermark = self.watermark_millis.load(Ordering::Relaxed);
        if watermark != NEVER {
            tell("watermark_timestamp", "The greatest event time that is committed, since 1970.", watermark)?;
        }
        let newest = self.newest_millis.load(Ordering::Relaxed);
        if newest != NEVER {
            let age = self.environment.clock.unix_millis().saturating_sub(newest);
            tell("freshness", "Age of the newest input that is committed: of its file's last change.", age)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn events_become_numbers() {
        let (environment, clock) = Environment::replay(1_000_000, 1);
        let metrics = Metrics::new("p", &environment);
        assert!(!metrics.to_text().contains("freshness"), "nothing is committed yet");
        metrics.observe(&Event::Started { epoch: 3, checkpoint: 7 });
        let written = |records, bad_records| Event::Written {
            input: "a".into(),
            records,
            bytes: 10 * records,
            bad_records,
            buffered_bytes: 64,
            read_bytes: 50,
            found_bytes: None,
        };
        metrics.observe(&written(8, 1));
        // A checkpoint was given up, and with it what was bad in it.
        metrics.observe(&written(10, 0));
        let committed = Committed {
            checkpoint: 8,
            instant: "1".into(),
            rows: 9,
            deletes: 2,
            files: 4,
            bytes: 500,
            buffered_bytes: 0,
            newest_millis: Some(990_000),
            watermark_millis: Some(12_500),
            flushed: Duration::from_millis(1500),
            took: Duration::from_millis(3),
        };
        metrics.observe(&Event::Committed(committed.clone()));
        // An older file does not make the table less fresh.
        metrics.observe(&Event::Committed(Committed { newest_millis: Some(5), ..committed }));
        clock.advance(Duration::from_secs(20));
        let text = metrics.to_text();
        for line in [
            "# TYPE lakebed_ingest_rows_total counter",
            "lakebed_ingest_records_total{pipeline=\"p\"} 10",
            "lakebed_ingest_bad_records_total{pipeline=\"p\"} 1",
            "lakebed_ingest_input_bytes_total{pipeline=\"p\"} 100",
            "lakebed_ingest_rows_total{pipeline=\"p\"} 18",
            "lakebed_ingest_written_bytes_total{pipeline=\"p\"} 1000",
            "lakebed_ingest_buffered_bytes{pipeline=\"p\"} 0",
            "lakebed_ingest_epoch{pipeline=\"p\"} 3",
            "lakebed_ingest_checkpoint{pipeline=\"p\"} 8",
            "lakebed_ingest_flush_seconds_sum{pipeline=\"p\"} 3.0",
            "lakebed_ingest_commit_seconds_count{pipeline=\"p\"} 2",
            "lakebed_ingest_commit_seconds_bucket{pipeline=\"p\",le=\"0.004\"} 2",
            "lakebed_ingest_last_commit_timestamp_seconds{pipeline=\"p\"} 1000.0",
            "lakebed_ingest_freshness_seconds{pipeline=\"p\"} 30.0",
            "lakebed_ingest_watermark_timestamp_seconds{pipeline=\"p\"} 12.5",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in {text}");
        }
    }
}
