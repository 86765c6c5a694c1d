//! Predictions to tables, figures and the report.
