//! The study: steps that resume, evaluation, tables, figures, the report.
