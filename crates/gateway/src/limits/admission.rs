//! Admission under limits: reserves for the plan's targets, or for the first fallback that the
//! limits allow.

use std::rc::Rc;

use config::{Config, Limit, Measure};
use openai::token_estimate;

use crate::error::{Error, Refusal};
use crate::host::Host;
use crate::limits::matching::LimitSubject;
use crate::request::parse::ParsedRequest;
use crate::routing::plan::TargetPlan;

use super::demand::ReservationRequest;
use super::local_state::LimiterState;
use super::reservation::Reservation;

/// A request that the limits admit, with its targets and its reservation.
pub(crate) struct Admitted<'a, P: Host> {
    /// The targets that the limits leave.
    pub(crate) plan: TargetPlan<'a>,
    /// `None` if no limit applies.
    pub(crate) reservation: Option<Reservation<P>>,
    /// Labels of the targets that the limits have dropped.
    pub(crate) dropped: Vec<String>,
}

/// Reserves for a request. The first value is the limit that refused the first target, if one did.
pub(crate) async fn admit<'a, P: Host>(
    (config, limiter_state): (&Config, &Rc<LimiterState>),
    subject: LimitSubject<'_>,
    request: &ParsedRequest,
    mut plan: TargetPlan<'a>,
    host: &P,
) -> (Option<String>, Result<Admitted<'a, P>, Error>) {
    let total = plan.route().timeouts.total;
    let prompt_tokens = || token_estimate::estimate_tokens(request.prompt_size());
    let has_cost = config.limits.iter().any(has_cost_quota);
    let prompt_tokens = if has_cost { prompt_tokens() } else { 0 };
    let price = plan.max_price_from(0, prompt_tokens);
    let first = ReservationRequest { subject, request, price, total };
    let refused = match Reservation::acquire(config, limiter_state, host, first).await {
        Ok(reservation) => {
            return (None, Ok(Admitted { plan, reservation, dropped: Vec::new() }));
        }
        Err(Error::Refusal(Refusal::Limited(limited))) => limited,
        Err(error) => return (None, Err(error)),
    };
    let limit = Some(refused.limit.clone());
    let fallbacks = if plan.route().fallback_on.limited { 1..plan.targets().len() } else { 0..0 };
    for position in fallbacks {
        if plan.check_translatable(position, request).is_err() {
            continue;
        }
        // A fallback has the limits of the route of its own model.
        let route = config.models.route(plan.targets()[position].model);
        let subject = LimitSubject { route, ..subject };
        let price = plan.max_price_from(position, prompt_tokens);
        let fallback = ReservationRequest { subject, request, price, total };
        match Reservation::acquire(config, limiter_state, host, fallback).await {
            Ok(reservation) => {
                let dropped = plan.drop_before(position);
                return (limit, Ok(Admitted { plan, reservation, dropped }));
            }
            Err(Error::Refusal(Refusal::Limited(_))) => {}
            Err(error) => return (limit, Err(error)),
        }
    }
    (limit, Err(Refusal::Limited(refused).into()))
}

/// Whether a limit counts cost.
fn has_cost_quota(limit: &Limit) -> bool {
    limit.quotas.iter().any(|quota| quota.measure == Measure::Cost)
}
