//! Documents: what is uploaded, read in processes of its own, and found again.

mod bench;
mod child;
mod fairness;
mod files;
mod processing;
mod progress;
mod sweeps;
