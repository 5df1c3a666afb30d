//! Admission under limits: reserves for the plan's targets, or for the first fallback that the limits
//! allow.

use std::rc::Rc;

use crate::config::Config;
use crate::error::{Error, Refusal};
use crate::platform::Platform;
use crate::policy::limits::Subject;

use super::admit::Ask;
use super::budgets::Budgets;
use super::entry::Entry;
use super::need::Need;
use super::plan::Plan;
use super::reserve::Reservation;

/// Reserves what a request needs and hands the reservation to its scope. The plan comes back without
/// the targets that the limits rule out.
pub(crate) async fn admit<'a, P: Platform>(
    (config, budgets): (&Config, &Rc<Budgets>),
    subject: Subject<'_>,
    ask: &Ask,
    mut plan: Plan<'a>,
    scope: &mut Entry<P>,
) -> Result<Plan<'a>, Error> {
    let total = plan.route().timeouts.total;
    let platform = scope.platform().clone();
    let need = Need { subject, ask, price: plan.price_from(0), total };
    let refused = match Reservation::make(config, budgets, &platform, need).await {
        Ok(reservation) => {
            scope.reserved(reservation);
            return Ok(plan);
        }
        Err(Error::Refusal(Refusal::Limited(limited))) => limited,
        Err(error) => return Err(error),
    };
    scope.limited_by(&refused.limit);
    let fallbacks = if plan.route().fallback_on.limited { 1..plan.targets().len() } else { 0..0 };
    for position in fallbacks {
        // A fallback has the limits of the route that its model has by itself.
        let route = config.models.route(plan.targets()[position].model);
        let price = plan.price_from(position);
        let need = Need { subject: Subject { route, ..subject }, ask, price, total };
        match Reservation::make(config, budgets, &platform, need).await {
            Ok(reservation) => {
                scope.reserved(reservation);
                plan.skip_to(position);
                return Ok(plan);
            }
            Err(Error::Refusal(Refusal::Limited(_))) => {}
            Err(error) => return Err(error),
        }
    }
    Err(Refusal::Limited(refused).into())
}
