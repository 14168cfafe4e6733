//! What a run says of itself: the metrics table, the run record and the two plots.

pub mod metrics;
pub mod plot;
pub mod record;

pub use metrics::{EpochMetrics, Metrics};
pub use record::RunRecord;
