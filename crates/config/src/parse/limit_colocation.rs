//! Which limits are kept in one place, so that one call to the ledger is enough for a request.

use super::super::limit::{By, Limit};

/// The home of each limit, in their order.
///
/// A limit by "all" has one balance, which every request needs that it applies to; whatever else may
/// apply to the same request is best kept beside it. So limits that may meet are joined, also by way
/// of others, and where one of those is by "all", its first names the home of all of them. Addresses,
/// headers, parameters and cookies take any number of values, which would swell one book without end:
/// limits by them stay where they are and join nothing.
pub(super) fn colocation_groups(limits: &[Limit]) -> Vec<Option<String>> {
    // The number of a component is the position of one of its limits.
    let mut components: Vec<usize> = (0..limits.len()).collect();
    for (later, limit) in limits.iter().enumerate() {
        for (earlier, other) in limits[..later].iter().enumerate() {
            let (from, to) = (components[later], components[earlier]);
            if from != to
                && has_few_balances(limit)
                && has_few_balances(other)
                && may_apply_together(limit, other)
            {
                let joined = components.iter_mut().filter(|component| **component == from);
                joined.for_each(|component| *component = to);
            }
        }
    }
    let home = |(limit, component): (&Limit, &usize)| {
        let mut others = limits.iter().zip(&components);
        let first = others.find(|(other, its)| *its == component && other.by == By::All)?.0;
        has_few_balances(limit).then(|| format!("all:{}", first.id))
    };
    limits.iter().zip(&components).map(home).collect()
}

/// Whether a limit has as many balances as there are consumers, at most.
fn has_few_balances(limit: &Limit) -> bool {
    match limit.by {
        By::All | By::Consumer | By::Group => true,
        By::Address | By::Header(_) | By::Parameter(_) | By::Cookie(_) => false,
    }
}

fn may_apply_together(one: &Limit, other: &Limit) -> bool {
    intersects(one.routes.as_deref(), other.routes.as_deref())
        && intersects(one.groups.as_deref(), other.groups.as_deref())
}

/// Whether two lists have something in common; `None` has everything.
fn intersects<T: PartialEq>(one: Option<&[T]>, other: Option<&[T]>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one.iter().any(|item| other.contains(item)),
        (None, Some(_) | None) | (Some(_), None) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::index::RouteIndex;
    use super::super::super::limit::{By, Limit, OnError};
    use super::colocation_groups;

    type Row<'a> = (&'a str, By, Option<&'a [usize]>, Option<&'a [&'a str]>, Option<&'a str>);

    fn limit((id, by, routes, groups, _): &Row<'_>) -> Limit {
        Limit {
            id: (*id).to_owned(),
            routes: routes.map(|routes| routes.iter().copied().map(RouteIndex).collect()),
            groups: groups.map(|groups| groups.iter().map(|&group| group.to_owned()).collect()),
            by: by.clone(),
            keys: Vec::new(),
            quotas: Vec::new(),
            hard: false,
            lease: false,
            on_error: OnError::Open,
            default_output: 1024,
            colocation_group: None,
        }
    }

    /// Checks the homes of limits, whatever their order: but for which of several limits by "all"
    /// comes first, it decides nothing.
    #[track_caller]
    fn assert_groups(rows: &[Row<'_>]) {
        let mut order: Vec<&Row<'_>> = rows.iter().collect();
        for _ in 0..rows.len() {
            let limits: Vec<Limit> = order.iter().map(|row| limit(row)).collect();
            let shared: Vec<&str> =
                order.iter().filter(|row| row.1 == By::All).map(|row| row.0).collect();
            if shared.is_sorted() {
                let expected: Vec<_> = order.iter().map(|row| row.4.map(str::to_owned)).collect();
                assert_eq!(colocation_groups(&limits), expected);
            }
            order.rotate_left(1);
        }
    }

    #[test]
    fn nothing_is_shared_without_a_balance_for_all() {
        assert_groups(&[]);
        assert_groups(&[("a", By::Consumer, None, None, None), ("b", By::Group, None, None, None)]);
        assert_groups(&[
            ("a", By::Consumer, Some(&[0]), None, None),
            ("b", By::Address, None, None, None),
        ]);
    }

    #[test]
    fn what_may_meet_a_balance_for_all_is_beside_it() {
        assert_groups(&[("a", By::All, None, None, Some("all:a"))]);
        assert_groups(&[
            ("a", By::All, None, None, Some("all:a")),
            ("b", By::Consumer, Some(&[1]), None, Some("all:a")),
            ("c", By::Group, None, Some(&["x"]), Some("all:a")),
            ("d", By::Address, None, None, None),
            ("e", By::Header(http::header::HOST), None, None, None),
            ("f", By::Parameter("p".to_owned()), None, None, None),
            ("g", By::Cookie("c".to_owned()), None, None, None),
            ("h", By::All, Some(&[2]), None, Some("all:a")),
        ]);
    }

    #[test]
    fn what_cannot_meet_stays_apart() {
        assert_groups(&[
            ("a", By::All, Some(&[0]), None, Some("all:a")),
            ("b", By::All, Some(&[1]), None, Some("all:b")),
            ("c", By::Consumer, Some(&[1, 2]), None, Some("all:b")),
            ("d", By::Consumer, Some(&[3]), None, None),
        ]);
        assert_groups(&[
            ("a", By::All, Some(&[0]), Some(&["x"]), Some("all:a")),
            ("b", By::Consumer, Some(&[0]), Some(&["y"]), None),
            ("c", By::Consumer, Some(&[1]), Some(&["x"]), None),
        ]);
    }

    #[test]
    fn limits_are_joined_by_way_of_others() {
        assert_groups(&[
            ("a", By::All, Some(&[0]), None, Some("all:a")),
            ("b", By::All, Some(&[2]), None, Some("all:a")),
            ("c", By::Consumer, Some(&[0, 1]), None, Some("all:a")),
            ("d", By::Group, Some(&[1, 2]), None, Some("all:a")),
        ]);
        // A limit by address meets both and joins neither.
        assert_groups(&[
            ("a", By::All, Some(&[0]), None, Some("all:a")),
            ("b", By::All, Some(&[1]), None, Some("all:b")),
            ("c", By::Address, None, None, None),
        ]);
    }
}
