//! Claims: what only one may do at a time.
//!
//! The store has no transactions and shows old states, the ledger is exact. So whoever creates,
//! takes over or changes something first reserves one of one there. A claim whose holder dies returns
//! by itself.

use std::time::Duration;

use crate::keys::{Claimed, KeyHash};
use crate::ledger::{Charge, Hold, Operation, Place, Reply, Rule, Window};
use crate::platform::{Clock, Ledger};

use super::reply::Failure;

/// Longer than any store shows what is no more: after it, the entry itself tells that it is there.
const LONG: Duration = Duration::from_secs(120);

/// Longer than one change takes.
const SHORT: Duration = Duration::from_secs(30);

/// What is claimed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Subject<'a> {
    /// To create a consumer of this name.
    NewConsumer(&'a str),
    /// To change this consumer.
    Consumer(&'a str),
    /// To take over the key with this hash.
    Adoption(&'a KeyHash),
    /// To change this key.
    Key(&'a str),
    /// To revoke this key: nobody may change it afterwards.
    Revocation(&'a str),
}

impl Subject<'_> {
    fn place(self) -> Place {
        Place::new(match self {
            Self::NewConsumer(id) | Self::Consumer(id) => format!("claim/consumer/{id}"),
            Self::Adoption(hash) => format!("claim/hash/{}", hash.to_hex()),
            Self::Key(id) | Self::Revocation(id) => format!("claim/key/{id}"),
        })
    }

    fn account(self) -> &'static str {
        match self {
            Self::NewConsumer(_) => "create",
            Self::Adoption(_) => "adopt",
            Self::Consumer(_) | Self::Key(_) | Self::Revocation(_) => "change",
        }
    }

    fn time(self) -> Duration {
        match self {
            Self::NewConsumer(_) | Self::Adoption(_) | Self::Revocation(_) => LONG,
            Self::Consumer(_) | Self::Key(_) => SHORT,
        }
    }
}

/// Claims something; `None`: somebody else was first.
pub(super) async fn take(
    platform: &(impl Clock + Ledger),
    subject: Subject<'_>,
) -> Result<Option<Claimed>, Failure> {
    let claimed = Claimed { id: platform.entropy(), until: platform.now() + subject.time() };
    let hold = Hold {
        account: subject.account().to_owned(),
        rule: Rule { max: 1, window: Window::Total },
        least: 1,
        want: 1,
        slice: None,
    };
    let operation = Operation::Reserve { id: claimed.id, until: claimed.until, holds: vec![hold] };
    match platform.apply(&subject.place(), &operation).await {
        Ok(Reply::Granted(_)) => Ok(Some(claimed)),
        Ok(Reply::Refused(_)) => Ok(None),
        Ok(Reply::Done | Reply::Levels(_) | Reply::Tallies(_) | Reply::Register(_)) | Err(_) => {
            Err(Failure::ledger_unavailable())
        }
    }
}

/// Gives a claim back. Where that fails, it returns when its time is over.
pub(super) async fn release(platform: &impl Ledger, subject: Subject<'_>, claimed: Claimed) {
    let account = subject.account().to_owned();
    let charges = vec![Charge { account, window: Window::Total, amount: 0 }];
    let operation = Operation::Settle { id: claimed.id, until: claimed.until, charges };
    let _ = platform.apply(&subject.place(), &operation).await;
}

/// That somebody else was first.
pub(super) fn under_way(what: &str) -> Failure {
    Failure::conflict("conflict", format!("Another change of {what} is under way. Try again."))
}
