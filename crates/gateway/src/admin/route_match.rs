//! `/match`: which route serves a model for a caller, and what applies to the request. Calls nobody.

use std::rc::Rc;

use config::{
    By, Config, Consumer, Guard, KeySource, Limit, Parameter, ParameterRule, Route, RouteIndex,
    Sticky, Target,
};
use serde_json::{Value, json};

use crate::auth::caller::{ANONYMOUS, Caller, ConsumerSource};
use crate::host::Host;
use crate::routing::weighted;

use super::AdminRequest;
use super::limit::ALL_CALLERS;
use super::limit_list::by_name;
use super::response::{AdminError, AdminResponse, AdminResult};

/// Place of the key of a caller that sends none.
const NO_REQUEST: &KeySource = &KeySource::Bearer;

/// `GET /match`
pub(super) async fn get<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    let query = request.parse_query(&["model", "consumer", "group", "user"])?;
    let model = query.get("model").filter(|model| !model.is_empty());
    let model =
        model.ok_or_else(|| AdminError::invalid("model", "nothing", "the name of a model"))?;
    let config = request.context.config;
    let mut caller = match query.get("consumer") {
        None => None,
        Some(id) => Some(find_consumer(request, id).await?),
    };
    if let Some(group) = query.get("group") {
        let consumer = caller.get_or_insert_with(|| Consumer {
            id: ANONYMOUS.to_owned(),
            group: None,
            disabled: false,
            keys: Vec::new(),
            permissions: config::Permissions::default(),
        });
        consumer.group = Some(group.to_owned());
    }
    let is_disabled = caller.as_ref().is_some_and(|consumer| consumer.disabled);
    let caller = caller.map_or(Caller::ANONYMOUS, |consumer| {
        Caller::from_consumer(config, ConsumerSource::Dynamic(Rc::new(consumer)), NO_REQUEST)
    });
    let route = config.models.route(model);
    let error = match route {
        _ if is_disabled => Some("invalid_api_key"),
        None => Some("model_not_found"),
        Some(index) if !caller.may_use(index) => Some("model_not_allowed"),
        Some(_) => None,
    };
    let mut shown = json!({
        "model": model,
        "consumer": caller.id(),
        "group": caller.group(),
        "route": route.map(|index| &config.route(index).id),
        "error": error,
        "parameters": caller.permissions().flat_map(|it| &it.parameters).map(parameter_json).collect::<Vec<Value>>(),
    });
    if let Some(index) = route {
        let canary = request.context.rollouts.share(request.host, config.route(index)).await;
        let canary = canary.map(|canary| canary.percent);
        add_route(&mut shown, config, (index, canary), model, &caller, query.get("user"));
    }
    Ok(AdminResponse::json(&shown))
}

/// A consumer of the configuration or of the store.
pub(super) async fn find_consumer<P: Host>(
    request: &AdminRequest<'_, P>,
    id: &str,
) -> Result<Consumer, AdminError> {
    let config = request.context.config;
    if let Some(consumer) = config.consumers.iter().find(|consumer| consumer.id == id) {
        return Ok(consumer.clone());
    }
    let is_id = crate::auth::keys::is_storable_id(id);
    let stored = match is_id {
        true => request.context.key_cache.load_consumer(request.host, config, id).await?,
        false => None,
    };
    stored
        .ok_or_else(|| AdminError::not_found("consumer_not_found", "This consumer does not exist."))
}

/// Adds a route, of which a rollout may set the canary's share in percent.
fn add_route(
    shown: &mut Value,
    config: &Config,
    (index, canary): (RouteIndex, Option<u8>),
    model: &str,
    caller: &Caller<'_>,
    user: Option<&str>,
) {
    let route = config.route(index);
    let target = |target: &Target| {
        let provider = &config.provider(target.provider).id;
        let model = target.model.as_deref().unwrap_or(model);
        json!({ "target": format!("{provider}/{model}"), "provider": provider, "model": model })
    };
    let targets = weighted::shares(&route.targets, canary).map(|(weighted, share)| {
        let mut shown = target(&weighted.target);
        shown["weight"] = json!(weighted.weight);
        shown["share"] = json!(share);
        shown
    });
    shown["targets"] = targets.collect();
    shown["fallback"] = route.fallback.iter().map(target).collect();
    shown["sticky"] = json!(sticky_name(&route.sticky));
    shown["sticky_target"] = json!(sticky_target(route, canary, caller, user).map(target));
    let limits = config.limits.iter().filter(|limit| applies(limit, index, caller));
    let limits = limits.map(|limit| {
        json!({ "id": limit.id, "by": by_name(&limit.by), "value": limit_value(limit, caller) })
    });
    shown["limits"] = limits.collect();
    let guards = config.guards_for(index).map(|(_, guard)| guard);
    shown["guards"] = guards.map(|guard| guard_json(guard, caller)).collect();
}

/// The target at which a sticky caller stays while every target is healthy.
fn sticky_target<'a>(
    route: &'a Route,
    canary: Option<u8>,
    caller: &Caller<'_>,
    user: Option<&str>,
) -> Option<&'a Target> {
    let name = match &route.sticky {
        Sticky::None | Sticky::Header(_) => None,
        Sticky::Consumer => caller.authenticated_id(),
        Sticky::User => user.filter(|user| !user.trim().is_empty()),
    };
    let entropy = weighted::sticky_entropy(&route.id, name?);
    weighted::choose_weighted(&route.targets, canary, entropy, |_| true, |_| true)
}

fn sticky_name(sticky: &Sticky) -> Option<String> {
    match sticky {
        Sticky::None => None,
        Sticky::Consumer => Some("consumer".to_owned()),
        Sticky::User => Some("user".to_owned()),
        Sticky::Header(name) => Some(format!("header:{name}")),
    }
}

/// Whether a limit counts the caller's requests to a route, if they have the value that it counts by.
fn applies(limit: &Limit, route: RouteIndex, caller: &Caller<'_>) -> bool {
    let is_in =
        |groups: &Vec<String>| caller.group().is_some_and(|it| groups.iter().any(|one| one == it));
    let value = limit_value(limit, caller);
    limit.routes.as_ref().is_none_or(|routes| routes.contains(&route))
        && limit.groups.as_ref().is_none_or(is_in)
        && value.is_none_or(|value| super::limit::covers(limit, value))
        && (limit.by != By::Group || caller.group().is_some())
}

/// The value that a limit counts by; `None` if only a request has it.
fn limit_value<'a>(limit: &Limit, caller: &'a Caller<'_>) -> Option<&'a str> {
    match limit.by {
        By::All => Some(ALL_CALLERS),
        By::Consumer => Some(caller.id()),
        By::Group => caller.group(),
        By::Address | By::Header(_) | By::Parameter(_) | By::Cookie(_) => None,
    }
}

fn guard_json(guard: &Guard, caller: &Caller<'_>) -> Value {
    let exception = guard.overrides.iter().find(|exception| {
        exception.consumers.iter().any(|pattern| pattern.matches(caller.id()))
            || caller
                .group()
                .is_some_and(|group| exception.groups.iter().any(|it| it.matches(group)))
    });
    json!({
        "id": guard.id,
        "request": guard.request,
        "response": guard.response,
        "off": exception.is_some_and(|exception| exception.off),
    })
}

fn parameter_json(parameter: &Parameter) -> Value {
    let mut shown = json!({ "path": parameter.path });
    match &parameter.rule {
        ParameterRule::Range { min, max } => {
            shown["min"] = json!(min);
            shown["max"] = json!(max);
        }
        ParameterRule::Allow(values) => shown["allow"] = json!(values),
        ParameterRule::Forbid => shown["forbid"] = json!(true),
    }
    shown
}
