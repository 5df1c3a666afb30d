//! Calls to the ledger about rollouts, and the audit entries of automatic transitions.

use std::rc::Rc;

use config::Route;
use ledger::{BookId, LedgerReply, Operation};
use rollout::{Plan, Report, Rollout, RolloutOperation, RolloutReply, Transition};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::audit_entry::{AuditEntry, GATEWAY_ROLE};
use crate::host::Host;
use crate::limits::ledger_client;

use super::isolate::Rollouts;

const BOOK_PREFIX: &str = "rollout/";

/// Book of a route's rollout.
pub(super) fn book_id(route: &str) -> BookId {
    BookId::new(format!("{BOOK_PREFIX}{route}"))
}

/// Reads the share in force. A plan that the ledger does not have yet is reported, which starts its
/// rollout.
pub(super) async fn refresh<P: Host>(rollouts: &Rc<Rollouts>, host: &P, route: &str, plan: &Plan) {
    let read = RolloutOperation::Read { plan: plan.clone() };
    let mut reply = call(host, route, read).await;
    if matches!(&reply, Some(RolloutReply::State(state)) if state.in_force(plan).version == 0) {
        reply = call(host, route, empty_report(host, plan, 0)).await;
    }
    let missing = learn(rollouts, host, (route, plan), reply);
    if missing.is_empty() {
        return;
    }
    // The request that reads the share does not wait for the audit log.
    let (rollouts, task_host) = (Rc::clone(rollouts), host.clone());
    let (route, plan) = (route.to_owned(), plan.clone());
    host.defer(async move { audit(&rollouts, &task_host, (&route, &plan), &missing).await });
}

/// Takes over the reply to a report.
pub(crate) async fn confirm<P: Host>(
    rollouts: &Rollouts,
    host: &P,
    operation: &Operation,
    (book_id, reply): (&BookId, Option<LedgerReply>),
) {
    let (Some(route), Operation::Rollout(operation)) =
        (book_id.as_str().strip_prefix(BOOK_PREFIX), operation)
    else {
        return;
    };
    let RolloutOperation::Report { plan, .. } = &**operation else { return };
    let missing = learn(rollouts, host, (route, plan), reply.and_then(LedgerReply::into_rollout));
    audit(rollouts, host, (route, plan), &missing).await;
}

/// Takes over a reply. Returns the automatic transitions that the audit log may lack.
fn learn<P: Host>(
    rollouts: &Rollouts,
    host: &P,
    (route, plan): (&str, &Plan),
    reply: Option<RolloutReply>,
) -> Vec<Transition> {
    let in_force = match reply {
        Some(RolloutReply::InForce(in_force)) => in_force,
        Some(RolloutReply::State(state)) => state.in_force(plan),
        Some(RolloutReply::Refused(_)) | None => {
            rollouts.failed(route, plan, host.now());
            return Vec::new();
        }
    };
    rollouts.learn(route, plan, in_force, host.now())
}

/// Writes the audit entries of automatic transitions, and acknowledges them.
async fn audit<P: Host>(
    rollouts: &Rollouts,
    host: &P,
    (route, plan): (&str, &Plan),
    missing: &[Transition],
) {
    let Some(last) = missing.last() else { return };
    for transition in missing {
        host.warn(&describe(route, transition));
        let entry = audit_entry(route, transition);
        if entry.store_as(host, &entry_name(route, transition)).await.is_err() {
            // The next reply has them again.
            return;
        }
    }
    rollouts.audited(route, last.version);
    let reply = call(host, route, empty_report(host, plan, last.version)).await;
    if let Some(RolloutReply::InForce(in_force)) = reply {
        rollouts.learn(route, plan, in_force, host.now());
    }
}

/// Reads the state of a route's rollout. `None` if the ledger is unavailable, or without a rollout.
pub(crate) async fn read_state<P: Host>(host: &P, route: &Route) -> Option<Rollout> {
    let plan = route.rollout.as_ref()?.plan.clone();
    match call(host, &route.id, RolloutOperation::Read { plan }).await? {
        RolloutReply::State(state) => Some(*state),
        RolloutReply::InForce(_) | RolloutReply::Refused(_) => None,
    }
}

/// A report that only acknowledges audit entries.
fn empty_report<P: Host>(host: &P, plan: &Plan, audited: u64) -> RolloutOperation {
    let report = Report { id: host.entropy(), audited, ..Report::default() };
    RolloutOperation::Report { plan: plan.clone(), report }
}

/// Applies an operation to a route's rollout. `None` if the ledger is unavailable.
pub(crate) async fn call<P: Host>(
    host: &P,
    route: &str,
    operation: RolloutOperation,
) -> Option<RolloutReply> {
    let operation = Operation::Rollout(Box::new(operation));
    let reply = ledger_client::call(host, &book_id(route), &operation).await;
    reply.ok().and_then(LedgerReply::into_rollout)
}

/// The line for operators in the host's log.
fn describe(route: &str, transition: &Transition) -> String {
    let Transition { weight_before, weight, reason, .. } = transition;
    let action = transition.action.name();
    format!("Route {route}: {action}, {weight_before} % to {weight} %. {reason}")
}

fn audit_entry(route: &str, transition: &Transition) -> AuditEntry {
    AuditEntry {
        at: transition.at,
        by: transition.by.clone(),
        role: GATEWAY_ROLE.to_owned(),
        action: transition.action.name().to_owned(),
        target: format!("rollout/{route}"),
        from: None,
        request_id: String::new(),
        detail: json!({
            "version": transition.version,
            "reason": transition.reason,
            "weight_before": transition.weight_before,
            "weight": transition.weight,
            "phase": transition.phase,
            "step": transition.step,
            "checks": transition.checks,
        }),
        failed: None,
    }
}

/// The same name for the same transition, whichever isolate writes its entry.
fn entry_name(route: &str, transition: &Transition) -> String {
    let digest = Sha256::digest(format!("{}:{route}", transition.version));
    base16ct::lower::encode_string(&digest[..6])
}
