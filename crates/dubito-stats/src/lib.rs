//! Probabilities in, numbers out: uncertainty decomposition, calibration, ranking, bootstrap.
