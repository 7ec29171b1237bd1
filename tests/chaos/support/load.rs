//! How busy the machine is with others.

#![expect(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

/// How many times over the machine's processors are taken by others; 1 when they are not. Limits of time stretch by it.
pub(crate) fn others_load() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap();
    let load: f64 = text.split(' ').next().unwrap().parse().unwrap();
    let processors = std::thread::available_parallelism().unwrap().get();
    (load / f64::from(u32::try_from(processors).unwrap())).max(1.0)
}
