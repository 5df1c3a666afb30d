//! Keeps the gateway of the version in force and replaces it when the configuration changes. Requests in
//! flight keep the gateway that they began with.
//!
//! Staleness in an isolate that did not make the change itself is bounded by [`REFRESH_DEADLINE`] plus
//! the cache of the host's store (shells request 30 s): together less than a minute, also for the first
//! request after a long pause.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use civil_time::Timestamp;
use config::Problems;

use crate::config_loader::{self, LoadPurpose, LoadedConfig};
use crate::gateway::Gateway;
use crate::host::error::HostError;
use crate::host::{Host, futures};

use super::version::VersionInfo;
use super::version_store::VersionStore;

/// Age of the last check after which the store is polled in the background.
const REFRESH_AFTER: Duration = Duration::from_secs(15);
/// Age of the last check after which requests wait for a new one.
const REFRESH_DEADLINE: Duration = Duration::from_secs(25);
/// Minimum time between two checks while one is pending or has failed.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);
/// Timeout of a check; after it, the store counts as unavailable.
const STORE_TIMEOUT: Duration = Duration::from_secs(2);

/// The gateway in force, with the state of its reloading.
#[derive(Debug, Default)]
pub struct ReloadingGateway {
    current: RefCell<Option<ActiveGateway>>,
    /// Start of the last check that succeeded.
    confirmed_at: Cell<Timestamp>,
    /// Start of the last check.
    requested_at: Cell<Timestamp>,
    /// Whether the last check failed.
    store_unavailable: Cell<bool>,
    /// The newest version known to be in the store's polled copy.
    published_version: Cell<u64>,
    /// ETag and problems of a document that cannot be served here, which is logged once.
    rejected_document: RefCell<Option<(String, Problems)>>,
}

#[derive(Clone, Debug)]
struct ActiveGateway {
    gateway: Rc<Gateway>,
    version: VersionInfo,
}

/// Whether and how the store is polled for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refresh {
    None,
    /// Concurrently with the request.
    InBackground,
    /// Before the request continues.
    Blocking,
}

impl ReloadingGateway {
    /// The gateway of the version in force. `None` if no configuration can be served, or if the deployed
    /// document wants the store to be read first.
    pub(crate) async fn current<P: Host>(self: &Rc<Self>, host: &P) -> Option<Rc<Gateway>> {
        let closed = self.current.borrow().is_none();
        match self.refresh_due(host.now()) {
            // Boxed to keep the request future small.
            Refresh::Blocking | Refresh::InBackground if closed => {
                Box::pin(self.open_first(host)).await;
            }
            Refresh::Blocking => Box::pin(self.refresh(host)).await,
            Refresh::InBackground => {
                self.requested_at.set(host.now());
                let (this, task_host) = (Rc::clone(self), host.clone());
                host.defer(async move { this.refresh(&task_host).await });
            }
            Refresh::None => {}
        }
        let open = self.current.borrow().as_ref().map(|open| Rc::clone(&open.gateway));
        open.filter(|gateway| {
            let has_read_store = self.confirmed_at.get() > Timestamp::default();
            has_read_store || !gateway.config().server.waits_for_store
        })
    }

    /// The version that is served here; `None` if there is none.
    pub fn version(&self) -> Option<VersionInfo> {
        self.current.borrow().as_ref().map(|open| open.version.clone())
    }

    /// The problems for which a version cannot be served here; `None` if it was not refused.
    pub(crate) fn problems(&self, version: &VersionInfo) -> Option<Problems> {
        let rejected = self.rejected_document.borrow();
        let (tag, problems) = rejected.as_ref()?;
        (*tag == version.etag()).then(|| problems.clone())
    }

    fn refresh_due(&self, now: Timestamp) -> Refresh {
        // A clock that went back must not extend the age limit.
        let since = |then: Timestamp| if then > now { Duration::MAX } else { now.since(then) };
        if self.current.borrow().is_none() {
            // A rejected document is not read again for every request; a failed read is.
            let is_known = self.rejected_document.borrow().is_some()
                && since(self.requested_at.get()) < RETRY_INTERVAL;
            return if is_known { Refresh::None } else { Refresh::Blocking };
        }
        let age = since(self.confirmed_at.get());
        if age < REFRESH_AFTER {
            Refresh::None
        } else if age >= REFRESH_DEADLINE && !self.store_unavailable.get() {
            // Every request polls: on Workers a request cannot wait for I/O that another one began.
            Refresh::Blocking
        } else if since(self.requested_at.get()) < RETRY_INTERVAL {
            Refresh::None
        } else {
            Refresh::InBackground
        }
    }

    /// The gateway for a health check, which does not wait for the store: while none is open, that of the
    /// deployed document.
    pub(crate) async fn current_for_health<P: Host>(
        self: &Rc<Self>,
        host: &P,
    ) -> Option<Rc<Gateway>> {
        if self.current.borrow().is_none()
            && let Some(deployed) = self.deployed_document(host).await
        {
            Box::pin(self.open_deployed(host, &deployed)).await;
        }
        let open = self.current.borrow().as_ref().map(|open| Rc::clone(&open.gateway));
        match open {
            Some(gateway) => Some(gateway),
            None => self.current(host).await,
        }
    }

    /// Opens the first gateway: by the newest version, else by the deployed document.
    ///
    /// While the store is unavailable, the newest version is unknown. Serving the deployed document is
    /// better than refusing every request.
    async fn open_first<P: Host>(&self, host: &P) {
        let Some(deployed) = self.deployed_document(host).await else { return };
        if let Some((version, document)) = self.fetch_current(host).await
            && let Ok(Ok(opened)) = self.load(host, &version, &document).await
        {
            return self.swap(version, |_| Gateway::new(opened.config, opened.secrets));
        }
        self.open_deployed(host, &deployed).await;
    }

    /// The deployed document, after the host knows where it keeps ledger and store. `None` if the settings
    /// cannot be read or name no place; the next request tries again.
    async fn deployed_document<P: Host>(&self, host: &P) -> Option<Cow<'static, str>> {
        let read = async {
            let deployed = host.document().await?;
            let chosen = config_loader::choose_storage(host, &deployed).await?;
            Ok::<_, HostError>((deployed, chosen))
        };
        match read.await {
            Ok((deployed, Ok(()))) => Some(deployed),
            Ok((deployed, Err(problems))) => {
                self.requested_at.set(host.now());
                self.reject(host, &VersionInfo::deployed(&deployed), &problems);
                None
            }
            Err(error) => {
                host.warn(&format!("Reading the host's settings failed: {error}"));
                None
            }
        }
    }

    async fn open_deployed<P: Host>(&self, host: &P, deployed: &str) {
        let version = VersionInfo::deployed(deployed);
        if let Ok(Ok(opened)) = self.load(host, &version, deployed).await {
            self.swap(version, |_| Gateway::new(opened.config, opened.secrets));
        }
    }

    /// Polls the store and serves a newer version.
    async fn refresh<P: Host>(&self, host: &P) {
        let Some((version, document)) = self.fetch_current(host).await else { return };
        self.apply_if_newer(host, &version, &document).await;
    }

    /// Serves a version if it is valid and newer than the one in force.
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

    /// Serves a loaded version, unless a newer one is served.
    pub(crate) fn apply(&self, version: &VersionInfo, opened: LoadedConfig) {
        self.swap(version.clone(), |before| match before {
            Some(before) => before.with_config(opened.config, opened.secrets),
            None => Gateway::new(opened.config, opened.secrets),
        });
    }

    /// Polls the store's copy; `None` if no document was ever put, or if the store is unavailable.
    async fn fetch_current<P: Host>(&self, host: &P) -> Option<(VersionInfo, String)> {
        let now = host.now();
        self.requested_at.set(now);
        let polled = futures::timeout(host, STORE_TIMEOUT, VersionStore(host).current()).await;
        match polled.unwrap_or_else(|| Err(HostError::new("timeout"))) {
            Ok(found) => {
                self.store_unavailable.set(false);
                if self.confirmed_at.get() == Timestamp::default() {
                    self.inform_of_start(host, found.as_ref().map(|(version, _)| version)).await;
                }
                // The answer was true at the start of the check, not at its end.
                self.confirmed_at.set(now);
                if let Some((version, _)) = &found {
                    self.note_published(version.version);
                }
                found
            }
            Err(error) => {
                if !self.store_unavailable.replace(true) {
                    host.warn(&format!(
                        "Polling the store for the configuration failed, the last version stays in force: {error}"
                    ));
                }
                None
            }
        }
    }

    /// Writes which configuration counts to the log, once for each instance.
    async fn inform_of_start<P: Host>(&self, host: &P, version: Option<&VersionInfo>) {
        let event = match version {
            Some(version) => version.start_event(host.now()),
            None => match host.document().await {
                Ok(deployed) => VersionInfo::deployed(&deployed).start_event(host.now()),
                // The host's settings are read again, and the failure is logged there.
                Err(_) => return,
            },
        };
        host.inform(&event);
    }

    /// Loads a document. Its problems are logged once.
    async fn load<P: Host>(
        &self,
        host: &P,
        version: &VersionInfo,
        document: &str,
    ) -> Result<Result<LoadedConfig, Problems>, HostError> {
        let read = config_loader::load_config(host, document, LoadPurpose::Serve).await;
        match &read {
            Ok(Ok(loaded)) => {
                for warning in &loaded.config.warnings {
                    host.warn(&format!("Configuration warning: {warning}"));
                }
            }
            Ok(Err(problems)) => self.reject(host, version, problems),
            Err(error) => host.warn(&format!("Reading the host's settings failed: {error}")),
        }
        read
    }

    /// Logs the problems of a document, once.
    fn reject<P: Host>(&self, host: &P, version: &VersionInfo, problems: &Problems) {
        let tag = version.etag();
        let is_known =
            self.rejected_document.borrow().as_ref().is_some_and(|(known, _)| *known == tag);
        if is_known {
            return;
        }
        host.warn(&format!(
            "Version {} of the configuration cannot be served here:\n{problems}",
            version.version
        ));
        *self.rejected_document.borrow_mut() = Some((tag, problems.clone()));
    }

    /// Replaces the gateway unless its version is as new.
    fn swap(&self, version: VersionInfo, make: impl FnOnce(Option<&Rc<Gateway>>) -> Rc<Gateway>) {
        let mut open = self.current.borrow_mut();
        if open.as_ref().is_some_and(|open| open.version.version >= version.version) {
            return;
        }
        let gateway = make(open.as_ref().map(|open| &open.gateway));
        *open = Some(ActiveGateway { gateway, version });
    }

    /// Records that the polled copy holds a version.
    pub(crate) fn note_published(&self, version: u64) {
        self.published_version.set(self.published_version.get().max(version));
    }

    /// Whether the polled copy is known to hold a version.
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
            "confirmed {seen} s ago, requested {asked} s ago"
        );
    }

    #[test]
    fn refresh_due_depends_on_age_and_availability() {
        assert_due(0, 0, false, Refresh::None);
        assert_due(14, 14, false, Refresh::None);
        assert_due(15, 15, false, Refresh::InBackground);
        assert_due(16, 1, false, Refresh::None);
        assert_due(24, 5, false, Refresh::InBackground);
        // An isolate that was idle for an hour must not serve its old version.
        assert_due(25, 0, false, Refresh::Blocking);
        assert_due(3_600, 1, false, Refresh::Blocking);
        // An unavailable store is polled again in the background.
        assert_due(25, 1, true, Refresh::None);
        assert_due(3_600, 5, true, Refresh::InBackground);
    }

    #[test]
    fn refresh_after_clock_went_back_is_blocking() {
        let reloading_gateway = open();
        let later = Timestamp::from_millis(10_000_000);
        reloading_gateway.confirmed_at.set(later);
        reloading_gateway.requested_at.set(later);
        assert_eq!(reloading_gateway.refresh_due(later + Duration::from_secs(1)), Refresh::None);
        assert_eq!(reloading_gateway.refresh_due(Timestamp::from_millis(1_000)), Refresh::Blocking);
    }
}
