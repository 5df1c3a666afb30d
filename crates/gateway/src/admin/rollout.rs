//! `/rollouts/{route}`: the state of a route's rollout, and the commands of operators.

use ::config::Route;
use http::StatusCode;
use rollout::{
    CheckNumbers, CheckStatus, Command, NextStep, Refused, Rollout, RolloutOperation, RolloutReply,
    Sides, Transition,
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::host::Host;
use crate::rollouts;

use super::AdminRequest;
use super::request_body::parse_object;
use super::response::{AdminError, AdminResponse, AdminResult, rfc3339_json};

/// Longest reason, in bytes.
const MAX_REASON_BYTES: usize = 500;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    reason: String,
    /// Share in percent, for `pin` alone.
    weight: Option<u8>,
}

/// `GET /rollouts/{route}`
pub(super) async fn get<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    request.parse_query(&[])?;
    let route = find_route(request)?;
    let state = read(request.host, route).await?;
    Ok(to_response(request, route, &state))
}

/// `POST /rollouts/{route}/{command}`
pub(super) async fn change<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    request.parse_query(&[])?;
    let route = find_route(request)?;
    let (command, reason) = parse_change(request.path_argument(1), &request.body)?;
    let state = read(request.host, route).await?;
    let version = state.version();
    if !request.if_match_fits(&version.to_string())? {
        return Err(version_conflict(version));
    }
    // A command that is refused leaves no audit entry.
    let operation = operation(request, route, (version, command, &reason));
    if let RolloutReply::Refused(refused) =
        Rollout::apply(&mut Some(state.clone()), request.host.now(), &operation)
    {
        return Err(refusal(refused));
    }
    let detail = json!({
        "version": version, "reason": reason, "weight_before": state.weight(),
        "weight": match command { Command::Pin(weight) => Some(weight), _ => None },
    });
    let change = apply(request.host, &route.id, operation);
    let action = command.action().name();
    let target = format!("rollout/{}", route.id);
    let after = request.run_audited(action, target, detail, change).await?;
    request.context.rollouts.adopt(route, &after, request.host.now());
    Ok(to_response(request, route, &after))
}

fn find_route<'a, P: Host>(request: &AdminRequest<'a, P>) -> Result<&'a Route, AdminError> {
    let config = request.context.config;
    let id = request.path_argument(0);
    let route = config.routes.iter().find(|route| route.id == id);
    route.filter(|route| route.rollout.is_some()).ok_or_else(|| {
        let message = "There is no route with this id and a rollout in the configuration.";
        AdminError::not_found("rollout_not_found", message)
    })
}

fn parse_change(name: &str, body: &[u8]) -> Result<(Command, String), AdminError> {
    let Change { reason, weight } = parse_object(body)?;
    if reason.trim().is_empty() || reason.len() > MAX_REASON_BYTES {
        let found = format!("a text of {} bytes", reason.len());
        return Err(AdminError::invalid("reason", found, "a reason of at most 500 bytes"));
    }
    let command = match (name, weight) {
        ("pin", Some(weight @ 0..=100)) => Command::Pin(weight),
        ("pin", Some(weight)) => {
            return Err(AdminError::invalid("weight", weight.to_string(), "at most 100 percent"));
        }
        ("pin", None) => {
            return Err(AdminError::invalid("weight", "nothing", "the share in percent"));
        }
        (_, Some(_)) => {
            return Err(AdminError::invalid("weight", "a weight", "a weight only with `pin`"));
        }
        ("pause", None) => Command::Pause,
        ("resume", None) => Command::Resume,
        ("promote", None) => Command::Promote,
        ("rollback", None) => Command::Rollback,
        ("restart", None) => Command::Restart,
        (_, None) => return Err(AdminError::unknown_url()),
    };
    Ok((command, reason))
}

fn operation<P>(
    request: &AdminRequest<'_, P>,
    route: &Route,
    (version, command, reason): (u64, Command, &str),
) -> RolloutOperation {
    let plan = route.rollout.as_ref().expect("the route was found by it").plan.clone();
    let by = request.operator.name.to_owned();
    RolloutOperation::Command { plan, version, command, by, reason: reason.to_owned() }
}

/// Reads the state of a route's rollout.
pub(super) async fn read<P: Host>(host: &P, route: &Route) -> Result<Rollout, AdminError> {
    rollouts::read_state(host, route).await.ok_or_else(AdminError::ledger_unavailable)
}

async fn apply<P: Host>(
    host: &P,
    route: &str,
    operation: RolloutOperation,
) -> Result<Rollout, AdminError> {
    match rollouts::call(host, route, operation).await {
        Some(RolloutReply::State(state)) => Ok(*state),
        Some(RolloutReply::Refused(refused)) => Err(refusal(refused)),
        Some(RolloutReply::InForce(_)) | None => Err(AdminError::ledger_unavailable()),
    }
}

fn refusal(refused: Refused) -> AdminError {
    match refused {
        Refused::OtherVersion(version) => version_conflict(version),
        Refused::NotNow(message) => AdminError::conflict("conflict", message),
    }
}

fn version_conflict(version: u64) -> AdminError {
    let message = format!("If-Match does not match version {version} of the rollout.");
    let status = StatusCode::PRECONDITION_FAILED;
    AdminError::new(status, "precondition_failed", message).with_member("version", version.into())
}

fn to_response<P: Host>(
    request: &AdminRequest<'_, P>,
    route: &Route,
    state: &Rollout,
) -> AdminResponse {
    let plan = state.plan();
    let next = state.next_step(request.host.now());
    let checks: Vec<Value> = state.checks().iter().map(check_json).collect();
    let transitions: Vec<Value> = state.transitions().iter().rev().map(transition_json).collect();
    let value = json!({
        "route": route.id,
        "target": plan.target,
        "version": state.version(),
        "phase": state.phase(),
        "paused": state.is_paused(),
        "pinned": state.pinned(),
        "step": state.step() + 1,
        "steps": plan.steps,
        "weight": state.weight(),
        "began": rfc3339_json(state.began()),
        "since": rfc3339_json(state.since()),
        "requests": sides_json(state.requests()),
        "next": next.as_ref().map(next_json),
        "checks": checks,
        "muddy": sides_json(state.muddy()),
        "uneven_evidence": state.uneven_evidence(),
        "transitions": transitions,
    });
    AdminResponse::json(&value).with_header("etag", format!("\"{}\"", state.version()))
}

fn next_json(next: &NextStep) -> Value {
    let NextStep { weight, requests, time, suspicious, unproven } = next;
    json!({
        "weight": weight, "requests": requests, "seconds": time.as_secs(),
        "suspicious": suspicious, "unproven": unproven,
    })
}

fn check_json(check: &CheckStatus) -> Value {
    json!({
        "metric": check.metric,
        "control": { "units": check.counts.units.control, "events": check.counts.events.control },
        "canary": { "units": check.counts.units.canary, "events": check.counts.events.canary },
        "share_expected": check.share_expected,
        "share_seen": check.share_seen,
        "evidence": check.evidence,
        "rolls_back_at": check.rolls_back_at,
        "non_inferiority": check.non_inferiority,
        "promotes_at": check.promotes_at,
        "silent": check.silent,
        "needs": check.needs.map(|needs| json!({ "events": needs.events, "units": needs.units })),
    })
}

fn transition_json(transition: &Transition) -> Value {
    let numbers = |check: &CheckNumbers| {
        json!({
            "metric": check.metric, "units": sides_json(check.counts.units),
            "events": sides_json(check.counts.events), "evidence": check.evidence,
            "non_inferiority": check.non_inferiority,
        })
    };
    json!({
        "version": transition.version,
        "at": rfc3339_json(transition.at),
        "by": transition.by,
        "action": transition.action,
        "reason": transition.reason,
        "phase": transition.phase,
        "step": transition.step + 1,
        "weight_before": transition.weight_before,
        "weight": transition.weight,
        "checks": transition.checks.iter().map(numbers).collect::<Vec<_>>(),
    })
}

fn sides_json(sides: Sides) -> Value {
    json!({ "control": sides.control, "canary": sides.canary })
}
