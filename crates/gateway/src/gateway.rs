//! The state that the requests of an isolate share.

use std::rc::Rc;

use crate::boot::OwnSecrets;
use crate::config::Config;
use crate::keys::Directory;
use crate::ledger::Bounds;
use crate::rooms::authenticate::Registry;
use crate::rooms::budgets::Budgets;
use crate::rooms::exporter::Exporter;
use crate::rooms::fleet::Fleet;
use crate::rooms::flight::Flights;
use crate::rooms::lists::Lists;
use crate::rooms::recent::Recent;
use crate::rooms::shelf::ResponseCache;
use crate::rooms::sinks::RecordSinks;
use crate::rooms::vouch::Vouchers;
use crate::usage::Recorder;

/// A gateway with its configuration and what it remembers between requests. A host keeps one for as
/// long as it lives.
#[derive(Debug)]
pub struct Gateway {
    config: Rc<Config>,
    fleet: Rc<Fleet>,
    secrets: OwnSecrets,
    directory: Directory,
    vouchers: Vouchers,
    budgets: Rc<Budgets>,
    usage: Rc<Recorder>,
    exporter: Rc<Exporter>,
    lists: Rc<Lists>,
    recent: Rc<Recent>,
    flights: Rc<Flights>,
}

impl Gateway {
    /// Opens a gateway.
    pub fn new(config: Config, secrets: OwnSecrets) -> Rc<Self> {
        Rc::new(Self {
            vouchers: Vouchers::new(&config),
            fleet: Rc::new(Fleet::new(&config)),
            usage: Rc::new(Recorder::new(bounds(&config))),
            config: Rc::new(config),
            secrets,
            directory: Directory::default(),
            budgets: Rc::default(),
            exporter: Rc::default(),
            lists: Rc::default(),
            recent: Rc::default(),
            flights: Rc::default(),
        })
    }

    /// Opens a gateway with another configuration that goes on where this one is: what is known of
    /// providers, budgets and sums of requests stays. What the old configuration has concluded from
    /// keys and tokens does not, since it names that one's routes.
    pub fn succeed(&self, config: Config, secrets: OwnSecrets) -> Rc<Self> {
        self.usage.bound(bounds(&config));
        Rc::new(Self {
            vouchers: self.vouchers.succeed(&self.config, &config),
            fleet: Fleet::succeed(&self.fleet, &self.config, &config),
            config: Rc::new(config),
            secrets,
            directory: self.directory.succeed(),
            budgets: Rc::clone(&self.budgets),
            usage: Rc::clone(&self.usage),
            exporter: Rc::clone(&self.exporter),
            lists: Rc::clone(&self.lists),
            recent: Rc::clone(&self.recent),
            flights: Rc::clone(&self.flights),
        })
    }

    /// The configuration in force.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The secrets that no document names.
    pub(crate) fn secrets(&self) -> &OwnSecrets {
        &self.secrets
    }

    /// What is remembered of issued keys.
    pub(crate) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// What was written to the store a moment ago.
    pub(crate) fn recent(&self) -> &Rc<Recent> {
        &self.recent
    }

    /// Where finished records go.
    pub(crate) fn sinks(&self) -> RecordSinks {
        let (usage, exporter) = (Rc::clone(&self.usage), Rc::clone(&self.exporter));
        RecordSinks::new(Rc::clone(&self.config), usage, exporter)
    }

    /// What authenticates callers.
    pub(crate) fn registry(&self) -> Registry<'_> {
        Registry {
            config: &self.config,
            pepper: self.secrets.pepper.as_ref(),
            directory: &self.directory,
            vouchers: &self.vouchers,
        }
    }

    /// The response cache.
    pub(crate) fn cache(&self) -> ResponseCache<'_> {
        ResponseCache { config: &self.config, recent: &self.recent, flights: &self.flights }
    }

    /// The settings as the steps of a request share them.
    pub(crate) fn shared_config(&self) -> &Rc<Config> {
        &self.config
    }

    /// What is known of upstreams.
    pub(crate) fn fleet(&self) -> &Rc<Fleet> {
        &self.fleet
    }

    /// Word lists that are kept in the store.
    pub(crate) fn lists(&self) -> &Lists {
        &self.lists
    }

    /// Leases, and counters for when the ledger is unavailable.
    pub(crate) fn budgets(&self) -> &Rc<Budgets> {
        &self.budgets
    }
}

/// How much metrics tell apart.
fn bounds(config: &Config) -> Bounds {
    Bounds { consumers: config.observe.max_consumers, ..Bounds::default() }
}
