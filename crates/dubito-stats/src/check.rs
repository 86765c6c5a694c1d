//! What every list from outside is checked for: its length, its numbers, its parameters.

use crate::StatsError;

/// That a list has one entry for each item.
pub(crate) fn length(name: &'static str, found: usize, expected: usize) -> Result<(), StatsError> {
    if found == expected { Ok(()) } else { Err(StatsError::LengthsDiffer { name, found, expected }) }
}

/// That every number is finite.
pub(crate) fn finite(name: &'static str, values: &[f64]) -> Result<(), StatsError> {
    match values.iter().position(|v| !v.is_finite()) {
        None => Ok(()),
        Some(item) => Err(StatsError::BadValue { name, item, value: values[item], expected: "a finite number" }),
    }
}

/// That no number is NaN; infinities pass.
pub(crate) fn not_nan(name: &'static str, values: &[f64]) -> Result<(), StatsError> {
    match values.iter().position(|v| v.is_nan()) {
        None => Ok(()),
        Some(item) => Err(StatsError::BadValue { name, item, value: values[item], expected: "a number" }),
    }
}

/// That every number is from 0 to 1.
pub(crate) fn probabilities(name: &'static str, values: &[f64]) -> Result<(), StatsError> {
    match values.iter().position(|v| !(0.0..=1.0).contains(v)) {
        None => Ok(()),
        Some(item) => Err(StatsError::BadValue { name, item, value: values[item], expected: "a number from 0 to 1" }),
    }
}

/// That a parameter is above 0 and below 1.
pub(crate) fn share(name: &'static str, value: f64) -> Result<(), StatsError> {
    if value > 0.0 && value < 1.0 {
        return Ok(());
    }
    Err(StatsError::BadParameter { name, value: value.to_string(), expected: "a number above 0 and below 1" })
}

/// Number of different values.
pub(crate) fn count_distinct(values: &[u32]) -> usize {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    sorted.len()
}
