//! `/cache`: forgetting answers that are kept.

use crate::cache::{Scope, names};
use crate::platform::Platform;

use super::Call;
use super::reply::{Answer, Failure};
use super::sweep::sweep;

/// `DELETE /cache`: of a route, of a consumer or a group, of one of them in a route, or all.
pub(super) async fn purge<P: Platform>(call: &Call<'_, P>) -> Answer {
    let query = call.query(&["route", "consumer", "group", "all", "cursor"])?;
    let (route, consumer, group) =
        (query.text("route"), query.text("consumer"), query.text("group"));
    let scope = match (consumer, group) {
        (Some(_), Some(_)) => {
            return Err(Failure::invalid("group", "`consumer` too", "one of the two"));
        }
        (Some(id), None) => Some((Scope::Consumer(id), format!("consumer/{id}"))),
        (None, Some(id)) => Some((Scope::Group(id), format!("group/{id}"))),
        (None, None) => None,
    };
    let all = match query.text("all") {
        None | Some("false") => false,
        Some("true") => true,
        Some(other) => return Err(Failure::invalid("all", format!("{other:?}"), "true")),
    };
    if all == (route.is_some() || scope.is_some()) {
        let found = if all { "`all` and something else" } else { "nothing" };
        return Err(Failure::invalid("all", found, "`route`, `consumer`, `group`, or all=true"));
    }
    let prefixes = match (route, &scope) {
        (Some(route), scope) => vec![names(Some(route), scope.as_ref().map(|(scope, _)| *scope))],
        (None, Some((scope, _))) => {
            let routes = call.desk.config.routes.iter();
            routes.map(|route| names(Some(&route.id), Some(*scope))).collect()
        }
        (None, None) => vec![names(None, None)],
    };
    let mut target = "cache".to_owned();
    for part in route.map(|id| format!("route/{id}")).into_iter().chain(scope.map(|(_, name)| name))
    {
        target.push('/');
        target.push_str(&part);
    }
    sweep(call, ("cache.purge", target), &prefixes, query.text("cursor")).await
}
