//! What can be wrong with a configuration.

/// A setting outside its range. Nothing else can fail here.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{field}: is {found}, expected {expected}")]
pub struct SimError {
    /// The setting, as it is named in the configuration, e.g. `camera.width`.
    pub field: &'static str,
    /// Its value.
    pub found: String,
    /// The values it may have.
    pub expected: &'static str,
}

/// An error unless `low <= value <= high`.
pub(crate) fn within(
    field: &'static str,
    value: f32,
    low: f32,
    high: f32,
    expected: &'static str,
) -> Result<(), SimError> {
    if value >= low && value <= high { Ok(()) } else { Err(SimError { field, found: value.to_string(), expected }) }
}
