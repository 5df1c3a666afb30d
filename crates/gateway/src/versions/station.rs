//! Where a host's requests arrive: it keeps the gateway that is open, and opens the next one when the
//! configuration changes. Requests that are under way keep the one that they began with.
//!
//! How old what it serves may be, in an isolate that did not take the change itself: [`LATE`] here, and
//! as long as the host's own cache shows what is no more (a shell asks for 30 s). Together less than a
//! minute, for the first request after a long pause too.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use crate::boot::{self, Opened};
use crate::config::Problems;
use crate::gateway::Gateway;
use crate::outage::Outage;
use crate::platform::Platform;
use crate::rooms::futures;
use crate::time::Timestamp;

use super::archive::Archive;
use super::stamp::Stamp;

/// After so long somebody looks whether there is another version, beside the requests.
const SOON: Duration = Duration::from_secs(15);
/// After so long requests wait for that look.
const LATE: Duration = Duration::from_secs(25);
/// The wait between two looks where the first has not come to an end, or failed.
const AGAIN: Duration = Duration::from_secs(5);
/// How long a look may take: beyond it the store counts as away.
const PATIENCE: Duration = Duration::from_secs(2);

/// A host keeps one for as long as it lives.
#[derive(Debug, Default)]
pub struct Station {
    open: RefCell<Option<Open>>,
    /// When the store last said what is in force.
    seen: Cell<Timestamp>,
    /// When it was last asked.
    asked: Cell<Timestamp>,
    /// Whether it did not answer.
    away: Cell<bool>,
    /// The newest version that the store has shown, or was shown from here.
    shown: Cell<u64>,
    /// A document that cannot be served here, which is said once.
    refused: RefCell<Option<String>>,
}

#[derive(Clone, Debug)]
struct Open {
    gateway: Rc<Gateway>,
    stamp: Stamp,
}

/// When a look is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    Not,
    /// Beside the request.
    Soon,
    /// Before the request.
    Now,
}

impl Station {
    /// The gateway of the version in force. `None` if no configuration can be served.
    pub(crate) async fn current<P: Platform>(self: &Rc<Self>, platform: &P) -> Option<Rc<Gateway>> {
        let closed = self.open.borrow().is_none();
        match self.due(platform.now()) {
            // Apart, so that requests do not carry the room that these take.
            Due::Now | Due::Soon if closed => Box::pin(self.open(platform)).await,
            Due::Now => Box::pin(self.follow(platform)).await,
            Due::Soon => {
                self.asked.set(platform.now());
                let (station, host) = (Rc::clone(self), platform.clone());
                platform.defer(async move { station.follow(&host).await });
            }
            Due::Not => {}
        }
        self.open.borrow().as_ref().map(|open| Rc::clone(&open.gateway))
    }

    /// The version that is served here.
    pub fn stamp(&self) -> Option<Stamp> {
        self.open.borrow().as_ref().map(|open| open.stamp.clone())
    }

    fn due(&self, now: Timestamp) -> Due {
        // A clock that went back must not make an answer last.
        let since = |then: Timestamp| if then > now { Duration::MAX } else { now.since(then) };
        if self.open.borrow().is_none() {
            // What cannot be served is not read again for every request; what could not be asked is.
            let is_known = self.refused.borrow().is_some() && since(self.asked.get()) < AGAIN;
            return if is_known { Due::Not } else { Due::Now };
        }
        let age = since(self.seen.get());
        if age < SOON {
            Due::Not
        } else if age >= LATE && !self.away.get() {
            // Each of them asks: on Workers a request may not wait for what another one has begun.
            Due::Now
        } else if since(self.asked.get()) < AGAIN {
            Due::Not
        } else {
            Due::Soon
        }
    }

    /// Opens the first gateway: by the newest version, else by the document that was deployed.
    ///
    /// While the store is away nobody knows whether there is a version. Refusing everything would be
    /// worse than the deployed document, which somebody meant to be served.
    async fn open<P: Platform>(&self, platform: &P) {
        if let Some((stamp, document)) = self.look(platform).await
            && let Ok(Ok(opened)) = self.read(platform, &stamp, &document).await
        {
            return self.install(stamp, |_| Gateway::new(opened.config, opened.secrets));
        }
        let deployed = match platform.document().await {
            Ok(deployed) => deployed,
            // Whoever has the settings may come back: the next request asks again.
            Err(outage) => return platform.warn(&format!("The settings cannot be read: {outage}")),
        };
        let stamp = Stamp::of_deployed(&deployed);
        if let Ok(Ok(opened)) = self.read(platform, &stamp, &deployed).await {
            self.install(stamp, |_| Gateway::new(opened.config, opened.secrets));
        }
    }

    /// Looks whether there is a newer version, and serves it.
    async fn follow<P: Platform>(&self, platform: &P) {
        let Some((stamp, document)) = self.look(platform).await else { return };
        self.adopt(platform, &stamp, &document).await;
    }

    /// Serves a version, if it is newer than what is served and can be.
    pub(crate) async fn adopt<P: Platform>(&self, platform: &P, stamp: &Stamp, document: &str) {
        if self.stamp().is_some_and(|served| served.version >= stamp.version) {
            return;
        }
        if let Ok(Ok(opened)) = self.read(platform, stamp, document).await {
            self.replace(stamp, opened);
        }
    }

    /// Serves a version that was read here, unless a newer one is served.
    pub(crate) fn replace(&self, stamp: &Stamp, opened: Opened) {
        self.install(stamp.clone(), |before| match before {
            Some(before) => before.succeed(opened.config, opened.secrets),
            None => Gateway::new(opened.config, opened.secrets),
        });
    }

    /// What the store says is in force; `None`: nothing was ever put, or it is away.
    async fn look<P: Platform>(&self, platform: &P) -> Option<(Stamp, String)> {
        let now = platform.now();
        self.asked.set(now);
        let looked = futures::within(platform, PATIENCE, Archive(platform).current()).await;
        match looked.unwrap_or_else(|| Err(Outage::new("no answer in time"))) {
            Ok(found) => {
                self.away.set(false);
                // What was true when it was asked, not when it was answered.
                self.seen.set(now);
                if let Some((stamp, _)) = &found {
                    self.note_shown(stamp.version);
                }
                found
            }
            Err(outage) => {
                if !self.away.replace(true) {
                    platform.warn(&format!(
                        "The store cannot be asked for the configuration, the last one is served: {outage}"
                    ));
                }
                None
            }
        }
    }

    /// Reads a document as it would be served here. What is wrong with it is logged once.
    async fn read<P: Platform>(
        &self,
        platform: &P,
        stamp: &Stamp,
        document: &str,
    ) -> Result<Result<Opened, Problems>, Outage> {
        let tag = stamp.tag();
        let read = boot::read(platform, document).await;
        match &read {
            Ok(Ok(_)) => {}
            Ok(Err(problems)) => {
                if self.refused.borrow().as_ref() != Some(&tag) {
                    platform.warn(&format!(
                        "Version {} of the configuration cannot be served here:\n{problems}",
                        stamp.version
                    ));
                    *self.refused.borrow_mut() = Some(tag);
                }
            }
            Err(outage) => platform.warn(&format!("The settings cannot be read: {outage}")),
        }
        read
    }

    /// Puts a gateway in the place of the one that is open, unless that is as new.
    fn install(&self, stamp: Stamp, make: impl FnOnce(Option<&Rc<Gateway>>) -> Rc<Gateway>) {
        let mut open = self.open.borrow_mut();
        if open.as_ref().is_some_and(|open| open.stamp.version >= stamp.version) {
            return;
        }
        let gateway = make(open.as_ref().map(|open| &open.gateway));
        *open = Some(Open { gateway, stamp });
    }

    /// Notes that those who follow can see a version.
    pub(crate) fn note_shown(&self, version: u64) {
        self.shown.set(self.shown.get().max(version));
    }

    /// Whether those who follow are known to see a version.
    pub(crate) fn has_shown(&self, version: u64) -> bool {
        self.shown.get() >= version
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Due, Station};
    use crate::boot::OwnSecrets;
    use crate::config::Config;
    use crate::gateway::Gateway;
    use crate::time::Timestamp;
    use crate::versions::Stamp;

    fn open() -> Station {
        let station = Station::default();
        let config = Config::from_json("{}", &|_| None).expect("the document is right");
        station.install(Stamp::of_deployed("{}"), |_| Gateway::new(config, OwnSecrets::default()));
        station
    }

    #[track_caller]
    fn check(seen: u64, asked: u64, away: bool, expected: Due) {
        const NOW: Timestamp = Timestamp::from_millis(1_000_000_000);
        let before = |seconds| Timestamp::from_millis(NOW.as_millis() - seconds * 1_000);
        let station = open();
        station.seen.set(before(seen));
        station.asked.set(before(asked));
        station.away.set(away);
        assert_eq!(station.due(NOW), expected, "seen {seen} s ago, asked {asked} s ago");
    }

    #[test]
    fn what_is_known_is_never_too_old() {
        check(0, 0, false, Due::Not);
        check(14, 14, false, Due::Not);
        check(15, 15, false, Due::Soon);
        check(16, 1, false, Due::Not);
        check(24, 5, false, Due::Soon);
        // However many ask: an isolate that slept for an hour must not serve what was then.
        check(25, 0, false, Due::Now);
        check(3_600, 1, false, Due::Now);
        // A store that is away is asked again beside the requests.
        check(25, 1, true, Due::Not);
        check(3_600, 5, true, Due::Soon);
    }

    #[test]
    fn a_clock_that_goes_back_makes_nothing_last() {
        let station = open();
        let later = Timestamp::from_millis(10_000_000);
        station.seen.set(later);
        station.asked.set(later);
        assert_eq!(station.due(later + Duration::from_secs(1)), Due::Not);
        assert_eq!(station.due(Timestamp::from_millis(1_000)), Due::Now);
    }
}
