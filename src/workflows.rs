//! The list of all workflows.
//!
//! A workflow is added by its file, a migration, a section in `config/gleaner.toml`, and two lines here: its `mod` line and its
//! line in the table below. Everything else (members of the tree, configuration, reload, commands, metrics, dashboard)
//! follows from that table.

use std::collections::HashMap;
use std::sync::Arc;

use gleaner_actors::{Member, Settings};
use serde::{Deserialize, Serialize};

use crate::config;
use crate::db::Pool;
use crate::leads::{
    deep_scan, domain_extraction, domain_metadata, page_curation, sitemap_discovery, sitemap_import,
};
use crate::live::Live;
use crate::pipeline::Pipeline;
use crate::prices::{auto_record, notification_delivery, pattern_generation, price_fetch};
use crate::settings;
use crate::settings::ConfigError;
use crate::store::stage::Stage;
use crate::workflow::{Services, Workflow};

/// A workflow's name and its stage.
#[derive(Clone, Debug)]
pub struct Known {
    /// The workflow.
    pub name: &'static str,
    /// Where it claims.
    pub stage: Stage,
    /// The table that takes what it finds, where a pipeline ends with it.
    pub ends_in: Option<&'static str>,
}

/// Writes, from one table of `field: Type = "name"`, what goes once per workflow.
macro_rules! workflows {
    ($( $module:ident: $workflow:ident = $name:literal; )*) => {
        /// One section per workflow.
        #[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
        #[serde(deny_unknown_fields)]
        pub struct Config {
            $(
                #[doc = concat!("The workflow `", $name, "`.")]
                #[serde(rename = $name)]
                pub $module: settings::Workflow<$module::Options>,
            )*
        }

        impl Config {
            /// Checks every section.
            ///
            /// # Errors
            /// [`ConfigError::Inconsistent`] naming the key.
            pub fn validate(&self) -> Result<(), ConfigError> {
                $( self.$module.validate($name)?; )*
                Ok(())
            }

            /// Every workflow's settings, in the engine's terms.
            #[must_use]
            pub fn settings(&self, engine: &settings::Engine) -> HashMap<String, Settings> {
                HashMap::from([ $( ($name.to_owned(), self.$module.settings(engine)), )* ])
            }

            /// Switches off every workflow that is not named.
            pub fn keep_only(&mut self, names: &[String]) {
                $( self.$module.enabled &= names.iter().any(|name| name == $name); )*
            }

            /// Gives every workflow the same backoff.
            pub fn set_backoff(&mut self, backoff: settings::Backoff) {
                $( self.$module.backoff = backoff; )*
            }

            /// Gives every workflow the same fallback interval.
            pub fn set_interval(&mut self, interval: std::time::Duration) {
                $( self.$module.interval = interval; )*
            }
        }

        /// The names of all workflows, in the order of the pipeline.
        pub const NAMES: &[&str] = &[ $( $name, )* ];

        /// All workflows and their stages, in the order of the pipeline.
        #[must_use]
        pub fn known() -> Vec<Known> {
            vec![ $( {
                type W = $module::$workflow;
                Known { name: W::NAME, stage: Stage::limited(W::TABLE, W::STAGE, W::TOUCHES, W::LIMIT), ends_in: W::ENDS_IN }
            }, )* ]
        }

        /// What of the workflows a reload replaces while they run.
        pub struct Registry {
            $( $module: (Live<Settings>, Live<$module::Options>), )*
        }

        impl Registry {
            /// Builds every workflow behind its pipeline, ready to be put into the tree.
            #[must_use]
            pub fn build(
                config: &config::Config,
                services: &Services,
                pool: &Pool,
                node: i64,
            ) -> (Self, Vec<Member>) {
                let registry = Self {
                    $( $module: (
                        Live::new(config.workflows.$module.settings(&config.engine)),
                        Live::new(config.workflows.$module.options.clone()),
                    ), )*
                };
                let members = vec![ $( {
                    let (settings, options) = &registry.$module;
                    let workflow = $module::$workflow::new(services, options.clone());
                    let port = Pipeline::new(workflow, pool.clone(), node, settings.clone());
                    Member::workflow($name, Arc::new(port), settings.get().as_ref().clone())
                }, )* ];
                (registry, members)
            }

            /// Replaces settings and options by those of a new configuration.
            pub fn reload(&self, config: &config::Config) {
                $(
                    self.$module.0.set(config.workflows.$module.settings(&config.engine));
                    self.$module.1.set(config.workflows.$module.options.clone());
                )*
            }
        }
    };
}

workflows! {
    deep_scan: DeepScan = "deep-scan";
    domain_extraction: DomainExtraction = "domain-extraction";
    domain_metadata: DomainMetadata = "domain-metadata";
    sitemap_discovery: SitemapDiscovery = "sitemap-discovery";
    sitemap_import: SitemapImport = "sitemap-import";
    page_curation: PageCuration = "page-curation";
    price_fetch: PriceFetch = "price-fetch";
    auto_record: AutoRecord = "auto-record";
    pattern_generation: PatternGeneration = "pattern-generation";
    notification_delivery: NotificationDelivery = "notification-delivery";
}

/// The known workflow of this name.
#[must_use]
pub fn find(name: &str) -> Option<Known> {
    known().into_iter().find(|workflow| workflow.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_stages_are_unique_and_agree() {
        let known = known();
        let names: Vec<&str> = known.iter().map(|workflow| workflow.name).collect();
        assert_eq!(names, NAMES);
        let mut stages: Vec<String> = known.iter().map(|workflow| workflow.stage.name()).collect();
        stages.sort();
        stages.dedup();
        assert_eq!(stages.len(), NAMES.len());
    }
}
