//! Admission under limits: reserves for the plan's targets, or for the first fallback that the limits
//! allow.

use std::rc::Rc;

use crate::config::Config;
use crate::error::{Error, Refusal};
use crate::platform::Platform;
use crate::policy::limits::Subject;

use super::admit::Ask;
use super::budgets::Budgets;
use super::need::Need;
use super::plan::Plan;
use super::reserve::Reservation;

/// A request that the limits admit: its targets, and what is reserved for it.
pub(crate) struct Admitted<'a, P: Platform> {
    /// The targets that the limits leave.
    pub(crate) plan: Plan<'a>,
    /// `None` if no limit applies.
    pub(crate) reservation: Option<Reservation<P>>,
}

/// Reserves what a request needs. The first value is the limit that refused the first target, if one
/// did.
pub(crate) async fn admit<'a, P: Platform>(
    (config, budgets): (&Config, &Rc<Budgets>),
    subject: Subject<'_>,
    ask: &Ask,
    mut plan: Plan<'a>,
    platform: &P,
) -> (Option<String>, Result<Admitted<'a, P>, Error>) {
    let total = plan.route().timeouts.total;
    let need = Need { subject, ask, price: plan.price_from(0), total };
    let refused = match Reservation::make(config, budgets, platform, need).await {
        Ok(reservation) => return (None, Ok(Admitted { plan, reservation })),
        Err(Error::Refusal(Refusal::Limited(limited))) => limited,
        Err(error) => return (None, Err(error)),
    };
    let limit = Some(refused.limit.clone());
    let fallbacks = if plan.route().fallback_on.limited { 1..plan.targets().len() } else { 0..0 };
    for position in fallbacks {
        // A fallback has the limits of the route that its model has by itself.
        let route = config.models.route(plan.targets()[position].model);
        let price = plan.price_from(position);
        let need = Need { subject: Subject { route, ..subject }, ask, price, total };
        match Reservation::make(config, budgets, platform, need).await {
            Ok(reservation) => {
                plan.skip_to(position);
                return (limit, Ok(Admitted { plan, reservation }));
            }
            Err(Error::Refusal(Refusal::Limited(_))) => {}
            Err(error) => return (limit, Err(error)),
        }
    }
    (limit, Err(Refusal::Limited(refused).into()))
}
