//! Where a host's requests arrive: it keeps the gateway that is open, and opens the next one when the
//! configuration changes. Requests that are under way keep the one that they began with.
//!
//! How old what it serves may be, in an isolate that did not take the change itself: [`LATE`] here, and
//! as long as the host's own cache shows what is no more (a shell asks for 30 s). Together less than a
//! minute, for the first request after a long pause too.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use civil_time::Timestamp;
use config::Problems;

use crate::config_loader::{self, LoadedConfig};
use crate::gateway::Gateway;
use crate::host::error::HostError;
use crate::host::{Host, futures};

use super::version::VersionInfo;
use super::version_store::VersionStore;

/// After so long somebody looks whether there is another version, beside the requests.
const REFRESH_AFTER: Duration = Duration::from_secs(15);
/// After so long requests wait for that look.
const REFRESH_DEADLINE: Duration = Duration::from_secs(25);
/// The wait between two looks where the first has not come to an end, or failed.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);
/// How long a look may take: beyond it the store counts as away.
const STORE_TIMEOUT: Duration = Duration::from_secs(2);

/// A host keeps one for as long as it lives.
#[derive(Debug, Default)]
pub struct ReloadingGateway {
    current: RefCell<Option<ActiveGateway>>,
    /// When the store last said what is in force.
    confirmed_at: Cell<Timestamp>,
    /// When it was last asked.
    requested_at: Cell<Timestamp>,
    /// Whether it did not answer.
    store_unavailable: Cell<bool>,
    /// The newest version that the store has shown, or was shown from here.
    published_version: Cell<u64>,
    /// A document that cannot be served here, which is said once.
    rejected_document: RefCell<Option<String>>,
}

#[derive(Clone, Debug)]
struct ActiveGateway {
    gateway: Rc<Gateway>,
    version: VersionInfo,
}

/// When a look is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refresh {
    None,
    /// Beside the request.
    InBackground,
    /// Before the request.
    Blocking,
}

impl ReloadingGateway {
    /// The gateway of the version in force. `None` if no configuration can be served.
    pub(crate) async fn current<P: Host>(self: &Rc<Self>, host: &P) -> Option<Rc<Gateway>> {
        let closed = self.current.borrow().is_none();
        match self.refresh_due(host.now()) {
            // Apart, so that requests do not carry the room that these take.
            Refresh::Blocking | Refresh::InBackground if closed => {
                Box::pin(self.open_first(host)).await
            }
            Refresh::Blocking => Box::pin(self.refresh(host)).await,
            Refresh::InBackground => {
                self.requested_at.set(host.now());
                let (reloading_gateway, task_host) = (Rc::clone(self), host.clone());
                host.defer(async move { reloading_gateway.refresh(&task_host).await });
            }
            Refresh::None => {}
        }
        self.current.borrow().as_ref().map(|open| Rc::clone(&open.gateway))
    }

    /// The version that is served here.
    pub fn version(&self) -> Option<VersionInfo> {
        self.current.borrow().as_ref().map(|open| open.version.clone())
    }

    fn refresh_due(&self, now: Timestamp) -> Refresh {
        // A clock that went back must not make an answer last.
        let since = |then: Timestamp| if then > now { Duration::MAX } else { now.since(then) };
        if self.current.borrow().is_none() {
            // What cannot be served is not read again for every request; what could not be asked is.
            let is_known = self.rejected_document.borrow().is_some()
                && since(self.requested_at.get()) < RETRY_INTERVAL;
            return if is_known { Refresh::None } else { Refresh::Blocking };
        }
        let age = since(self.confirmed_at.get());
        if age < REFRESH_AFTER {
            Refresh::None
        } else if age >= REFRESH_DEADLINE && !self.store_unavailable.get() {
            // Each of them asks: on Workers a request may not wait for what another one has begun.
            Refresh::Blocking
        } else if since(self.requested_at.get()) < RETRY_INTERVAL {
            Refresh::None
        } else {
            Refresh::InBackground
        }
    }

    /// Opens the first gateway: by the newest version, else by the document that was deployed.
    ///
    /// While the store is away nobody knows whether there is a version. Refusing everything would be
    /// worse than the deployed document, which somebody meant to be served.
    async fn open_first<P: Host>(&self, host: &P) {
        if let Some((version, document)) = self.fetch_current(host).await
            && let Ok(Ok(opened)) = self.load(host, &version, &document).await
        {
            return self.swap(version, |_| Gateway::new(opened.config, opened.secrets));
        }
        let deployed = match host.document().await {
            Ok(deployed) => deployed,
            // Whoever has the settings may come back: the next request asks again.
            Err(error) => {
                return host.warn(&format!("The settings cannot be read: {error}"));
            }
        };
        let version = VersionInfo::deployed(&deployed);
        if let Ok(Ok(opened)) = self.load(host, &version, &deployed).await {
            self.swap(version, |_| Gateway::new(opened.config, opened.secrets));
        }
    }

    /// Looks whether there is a newer version, and serves it.
    async fn refresh<P: Host>(&self, host: &P) {
        let Some((version, document)) = self.fetch_current(host).await else { return };
        self.apply_if_newer(host, &version, &document).await;
    }

    /// Serves a version, if it is newer than what is served and can be.
    pub(crate) async fn apply_if_newer<P: Host>(
        &self,
        host: &P,
        version: &VersionInfo,
        document: &str,
    ) {
        if self.version().is_some_and(|served| served.version >= version.version) {
            return;
        }
        if let Ok(Ok(opened)) = self.load(host, version, document).await {
            self.apply(version, opened);
        }
    }

    /// Serves a version that was read here, unless a newer one is served.
    pub(crate) fn apply(&self, version: &VersionInfo, opened: LoadedConfig) {
        self.swap(version.clone(), |before| match before {
            Some(before) => before.with_config(opened.config, opened.secrets),
            None => Gateway::new(opened.config, opened.secrets),
        });
    }

    /// What the store says is in force; `None`: nothing was ever put, or it is away.
    async fn fetch_current<P: Host>(&self, host: &P) -> Option<(VersionInfo, String)> {
        let now = host.now();
        self.requested_at.set(now);
        let looked = futures::timeout(host, STORE_TIMEOUT, VersionStore(host).current()).await;
        match looked.unwrap_or_else(|| Err(HostError::new("no answer in time"))) {
            Ok(found) => {
                self.store_unavailable.set(false);
                // What was true when it was asked, not when it was answered.
                self.confirmed_at.set(now);
                if let Some((version, _)) = &found {
                    self.note_published(version.version);
                }
                found
            }
            Err(error) => {
                if !self.store_unavailable.replace(true) {
                    host.warn(&format!(
                        "The store cannot be asked for the configuration, the last one is served: {error}"
                    ));
                }
                None
            }
        }
    }

    /// Reads a document as it would be served here. What is wrong with it is logged once.
    async fn load<P: Host>(
        &self,
        host: &P,
        version: &VersionInfo,
        document: &str,
    ) -> Result<Result<LoadedConfig, Problems>, HostError> {
        let tag = version.etag();
        let read = config_loader::load_config(host, document).await;
        match &read {
            Ok(Ok(_)) => {}
            Ok(Err(problems)) => {
                if self.rejected_document.borrow().as_ref() != Some(&tag) {
                    host.warn(&format!(
                        "Version {} of the configuration cannot be served here:\n{problems}",
                        version.version
                    ));
                    *self.rejected_document.borrow_mut() = Some(tag);
                }
            }
            Err(error) => host.warn(&format!("The settings cannot be read: {error}")),
        }
        read
    }

    /// Puts a gateway in the place of the one that is open, unless that is as new.
    fn swap(&self, version: VersionInfo, make: impl FnOnce(Option<&Rc<Gateway>>) -> Rc<Gateway>) {
        let mut open = self.current.borrow_mut();
        if open.as_ref().is_some_and(|open| open.version.version >= version.version) {
            return;
        }
        let gateway = make(open.as_ref().map(|open| &open.gateway));
        *open = Some(ActiveGateway { gateway, version });
    }

    /// Notes that those who follow can see a version.
    pub(crate) fn note_published(&self, version: u64) {
        self.published_version.set(self.published_version.get().max(version));
    }

    /// Whether those who follow are known to see a version.
    pub(crate) fn has_published(&self, version: u64) -> bool {
        self.published_version.get() >= version
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use civil_time::Timestamp;
    use config::Config;

    use crate::config_loader::GatewaySecrets;
    use crate::gateway::Gateway;
    use crate::live_config::VersionInfo;

    use super::{Refresh, ReloadingGateway};

    fn open() -> ReloadingGateway {
        let reloading_gateway = ReloadingGateway::default();
        let config = Config::from_json("{}", &|_| None).expect("the document is right");
        reloading_gateway
            .swap(VersionInfo::deployed("{}"), |_| Gateway::new(config, GatewaySecrets::default()));
        reloading_gateway
    }

    #[track_caller]
    fn assert_due(seen: u64, asked: u64, away: bool, expected: Refresh) {
        const NOW: Timestamp = Timestamp::from_millis(1_000_000_000);
        let before = |seconds| Timestamp::from_millis(NOW.as_millis() - seconds * 1_000);
        let reloading_gateway = open();
        reloading_gateway.confirmed_at.set(before(seen));
        reloading_gateway.requested_at.set(before(asked));
        reloading_gateway.store_unavailable.set(away);
        assert_eq!(
            reloading_gateway.refresh_due(NOW),
            expected,
            "seen {seen} s ago, asked {asked} s ago"
        );
    }

    #[test]
    fn what_is_known_is_never_too_old() {
        assert_due(0, 0, false, Refresh::None);
        assert_due(14, 14, false, Refresh::None);
        assert_due(15, 15, false, Refresh::InBackground);
        assert_due(16, 1, false, Refresh::None);
        assert_due(24, 5, false, Refresh::InBackground);
        // However many ask: an isolate that slept for an hour must not serve what was then.
        assert_due(25, 0, false, Refresh::Blocking);
        assert_due(3_600, 1, false, Refresh::Blocking);
        // A store that is away is asked again beside the requests.
        assert_due(25, 1, true, Refresh::None);
        assert_due(3_600, 5, true, Refresh::InBackground);
    }

    #[test]
    fn a_clock_that_goes_back_makes_nothing_last() {
        let reloading_gateway = open();
        let later = Timestamp::from_millis(10_000_000);
        reloading_gateway.confirmed_at.set(later);
        reloading_gateway.requested_at.set(later);
        assert_eq!(reloading_gateway.refresh_due(later + Duration::from_secs(1)), Refresh::None);
        assert_eq!(reloading_gateway.refresh_due(Timestamp::from_millis(1_000)), Refresh::Blocking);
    }
}
