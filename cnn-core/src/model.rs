//! The model file: what a trained network needs to run anywhere, in one piece that is read in place.
