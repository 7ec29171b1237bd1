//! Documents: what is uploaded, read in processes of its own, and found again.

mod child;
mod files;
