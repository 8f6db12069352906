//! Latency histograms: nanoseconds from 1 us to 1 h at 3 significant digits, in HDR V2 bytes.

use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2Serializer};
use thiserror::Error;

use crate::fixed::{FixedError, SCALE, parse_fixed};
use crate::rounding::{Rounding, divide};

/// The finest value told apart, in ns.
const VALUE_MIN_NS: u64 = 1_000;
/// The greatest value told apart, in ns: 1 h. Longer ones count as this.
const VALUE_MAX_NS: u64 = 3_600_000_000_000;
/// Significant decimal digits of every value.
const DIGITS: u8 = 3;

/// Why a histogram refused something.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HistogramError {
    /// A latency below zero: two clocks were mixed.
    #[error("expected a latency of 0 ns or more, found {0}")]
    Negative(i64),
    /// A percentile that is not one.
    #[error("expected a percentile from 0 to 100, found {0:?}")]
    Percent(String),
    /// A percentile that is no number.
    #[error("percentile: {0}")]
    Text(#[from] FixedError),
    /// Bytes that are no histogram of this layout.
    #[error("expected HDR V2 bytes of 1 us to 1 h at 3 digits, found {0}")]
    Encoding(String),
}

/// An HDR histogram of latencies.
#[derive(Debug, Clone)]
pub struct LatencyHistogram {
    counts: Histogram<u64>,
}

impl LatencyHistogram {
    /// Makes an empty histogram.
    ///
    /// # Errors
    /// [`HistogramError::Encoding`] if the fixed layout were refused.
    pub fn new() -> Result<Self, HistogramError> {
        let counts = Histogram::new_with_bounds(VALUE_MIN_NS, VALUE_MAX_NS, DIGITS);
        counts.map(|counts| Self { counts }).map_err(refused)
    }

    /// Counts one latency in ns; beyond 1 h it counts as 1 h.
    ///
    /// # Errors
    /// [`HistogramError::Negative`].
    pub fn record(&mut self, value_ns: i64) -> Result<(), HistogramError> {
        let value = u64::try_from(value_ns).map_err(|_| HistogramError::Negative(value_ns))?;
        self.counts.saturating_record(value);
        Ok(())
    }

    /// Returns the latency in ns that a share of all values does not exceed; `None` when empty.
    ///
    /// It is the value of rank ceil(percent × count / 100), at least 1, as the greatest of those
    /// that are not told apart from it. The percentile is decimal text.
    ///
    /// # Errors
    /// [`HistogramError::Text`] or [`HistogramError::Percent`].
    pub fn percentile(&self, percent: &str) -> Result<Option<u64>, HistogramError> {
        let whole = i128::from(SCALE).saturating_mul(100);
        let share = i128::from(parse_fixed(percent)?);
        if share < 0 || share > whole {
            return Err(HistogramError::Percent(percent.to_owned()));
        }
        let product = share.saturating_mul(i128::from(self.counts.len()));
        let rank = divide(product, whole, Rounding::Ceil)?.max(1);
        let mut seen: i128 = 0;
        for bucket in self.counts.iter_recorded() {
            seen = seen.saturating_add(i128::from(bucket.count_at_value()));
            if seen >= rank {
                return Ok(Some(
                    self.counts.highest_equivalent(bucket.value_iterated_to()),
                ));
            }
        }
        Ok(None)
    }

    /// Returns how many values were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.len()
    }

    /// Returns the greatest latency in ns, as [`Self::percentile`] tells it; `None` when empty.
    #[must_use]
    pub fn max(&self) -> Option<u64> {
        (!self.counts.is_empty()).then(|| self.counts.max())
    }

    /// Adds all counts of another histogram.
    ///
    /// # Errors
    /// [`HistogramError::Encoding`] if the layouts differed.
    pub fn merge(&mut self, other: &Self) -> Result<(), HistogramError> {
        self.counts.add(&other.counts).map_err(refused)
    }

    /// Returns the HDR V2 bytes.
    ///
    /// # Errors
    /// [`HistogramError::Encoding`] when a count does not fit the format.
    pub fn encode(&self) -> Result<Vec<u8>, HistogramError> {
        let mut bytes = Vec::new();
        V2Serializer::new()
            .serialize(&self.counts, &mut bytes)
            .map_err(refused)?;
        Ok(bytes)
    }

    /// Reads HDR V2 bytes of the same layout.
    ///
    /// # Errors
    /// [`HistogramError::Encoding`].
    pub fn decode(bytes: &[u8]) -> Result<Self, HistogramError> {
        let mut rest = bytes;
        let counts: Histogram<u64> = Deserializer::new()
            .deserialize(&mut rest)
            .map_err(refused)?;
        if !rest.is_empty() {
            let found = format!("{} bytes more", rest.len());
            return Err(HistogramError::Encoding(found));
        }
        if (counts.low(), counts.high(), counts.sigfig()) != (VALUE_MIN_NS, VALUE_MAX_NS, DIGITS) {
            let (low, high, digits) = (counts.low(), counts.high(), counts.sigfig());
            let found = format!("{low} ns to {high} ns at {digits} digits");
            return Err(HistogramError::Encoding(found));
        }
        Ok(Self { counts })
    }
}

fn refused(cause: impl core::fmt::Display) -> HistogramError {
    HistogramError::Encoding(cause.to_string())
}
