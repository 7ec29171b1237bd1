//! What `gleaner doctor` looks at for leads.

use crate::area::check::Check;
use crate::config::Config;
use crate::leads::deep_scan::DeepScan;

/// Whether the deep scan has its key.
pub(super) fn key(config: &Config) -> Check {
    const NAME: &str = "deep-scan key";
    if !config.workflows.of::<DeepScan>().enabled {
        Check::ok(NAME, "not needed, the workflow is switched off")
    } else if config.workflows.options::<DeepScan>().api_key.is_empty() {
        Check::ok(NAME, "not set, the workflow stays idle")
    } else {
        Check::ok(NAME, "set")
    }
}
