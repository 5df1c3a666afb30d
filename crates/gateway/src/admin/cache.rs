//! `/cache`: deletes cached responses.

use crate::cache::{CacheKeyScope, key_prefix};
use crate::host::Host;

use super::AdminRequest;
use super::bulk_delete::delete_prefixes;
use super::response::{AdminError, AdminResult};

/// `DELETE /cache`: the entries of a route, of a consumer or group, of one of them in a route, or all.
pub(super) async fn purge<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    let query = request.parse_query(&["route", "consumer", "group", "all", "cursor"])?;
    let (route, consumer, group) = (query.get("route"), query.get("consumer"), query.get("group"));
    let scope = match (consumer, group) {
        (Some(_), Some(_)) => {
            return Err(AdminError::invalid("group", "`consumer` and `group`", "only one of them"));
        }
        (Some(id), None) => Some((CacheKeyScope::Consumer(id), format!("consumer/{id}"))),
        (None, Some(id)) => Some((CacheKeyScope::Group(id), format!("group/{id}"))),
        (None, None) => None,
    };
    let all = match query.get("all") {
        None | Some("false") => false,
        Some("true") => true,
        Some(other) => return Err(AdminError::invalid("all", format!("{other:?}"), "true")),
    };
    if all == (route.is_some() || scope.is_some()) {
        let found = if all { "`all` and a filter" } else { "no filter" };
        return Err(AdminError::invalid("all", found, "`route`, `consumer`, `group`, or all=true"));
    }
    let prefixes = match (route, &scope) {
        (Some(route), scope) => {
            vec![key_prefix(Some(route), scope.as_ref().map(|(scope, _)| *scope))]
        }
        (None, Some((scope, _))) => {
            let routes = request.context.config.routes.iter();
            routes.map(|route| key_prefix(Some(&route.id), Some(*scope))).collect()
        }
        (None, None) => vec![key_prefix(None, None)],
    };
    let mut target = "cache".to_owned();
    for part in route.map(|id| format!("route/{id}")).into_iter().chain(scope.map(|(_, name)| name))
    {
        target.push('/');
        target.push_str(&part);
    }
    delete_prefixes(request, ("cache.purge", target), &prefixes, query.get("cursor")).await
}
