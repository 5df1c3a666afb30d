//! Access rules of callers: addresses and parameters.

use std::net::IpAddr;
use std::time::Duration;

use config::{Config, Parameter, Route};

use crate::auth::parameter_rules;
use crate::error::Refusal;
use crate::request::parse::ParsedRequest;

use super::caller::Caller;

/// Time for the request of a caller who may use no route.
const DEFAULT_TOTAL_TIME: Duration = Duration::from_secs(60);

/// Checks the address rules for all callers. Runs before everything else.
pub(crate) fn check_global_ip(config: &Config, client_ip: Option<IpAddr>) -> Result<(), Refusal> {
    let allowed = config.auth.ip_access.allows(client_ip);
    if allowed { Ok(()) } else { Err(Refusal::AddressNotAllowed) }
}

/// Checks the address rules of a caller.
pub(crate) fn check_caller_ip(
    caller: &Caller<'_>,
    client_ip: Option<IpAddr>,
) -> Result<(), Refusal> {
    let allowed = caller.permissions().all(|permissions| permissions.ip_access.allows(client_ip));
    if allowed { Ok(()) } else { Err(Refusal::AddressNotAllowed) }
}

/// The longest time that a route of the caller allows for a whole request.
pub(crate) fn max_total_time(config: &Config, caller: &Caller<'_>) -> Duration {
    let usable = config.routes_with_index().filter(|(index, _)| caller.may_use(*index));
    usable.map(|(_, route)| route.timeouts.total).max().unwrap_or(DEFAULT_TOTAL_TIME)
}

/// Checks a request's parameters against the rules of the caller and of every provider that the route may
/// call.
pub(crate) fn check_parameters(
    config: &Config,
    caller: &Caller<'_>,
    route: &Route,
    request: &ParsedRequest,
) -> Result<(), Refusal> {
    let providers = route.reachable_targets().map(|target| config.provider(target.provider));
    let forbidden: Vec<&Parameter> = providers.flat_map(|provider| &provider.forbidden).collect();
    let own = || caller.permissions().flat_map(|permissions| &permissions.parameters);
    let bounds = || own().chain(forbidden.iter().copied());
    // A bound holds for the field under each name that an upstream may read.
    let aliases = bounds().flat_map(|bound| {
        let names = openai::field_aliases(&bound.path).iter();
        names.map(|name| Parameter { path: (*name).to_owned(), rule: bound.rule.clone() })
    });
    let aliases: Vec<Parameter> = aliases.collect();
    // The caller's own body may name a parameter otherwise than its form in Chat, or have more of them.
    let original = request.original().map(|original| &original.bytes[..]);
    for body in [Some(request.body()), original].into_iter().flatten() {
        parameter_rules::check_parameters(body, bounds().chain(&aliases)).map_err(|found| {
            Refusal::ParameterNotAllowed { param: found.path, expected: found.expected }
        })?;
    }
    Ok(())
}
