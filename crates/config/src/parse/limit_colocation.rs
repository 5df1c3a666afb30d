//! Grouping of limits into books, so that one call to the ledger suffices for a request.

use super::super::limit::{By, Limit};

/// The book of each limit, in their order. `None` for one book per value of `by`.
///
/// A limit by "all" has one account, which every matching request needs. Another limit on the same request
/// costs no further call if it shares that book. So limits that may apply together are joined,
/// transitively. If a group has a limit by "all", the first such limit names the group's book. Addresses,
/// headers, parameters, and cookies take any number of values, and would grow one book without bound:
/// limits by them join no group.
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
    let group = |(limit, component): (&Limit, &usize)| {
        let mut others = limits.iter().zip(&components);
        let first = others.find(|(other, its)| *its == component && other.by == By::All)?.0;
        has_few_balances(limit).then(|| format!("all:{}", first.id))
    };
    limits.iter().zip(&components).map(group).collect()
}

/// Whether a limit has at most as many accounts as there are consumers.
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

/// Whether two lists have a common item; `None` stands for all items.
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

    /// Asserts the books of limits in every rotation. Order matters only among limits by "all", of which the
    /// first names the book.
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
    fn colocation_without_limit_by_all_shares_nothing() {
        assert_groups(&[]);
        assert_groups(&[("a", By::Consumer, None, None, None), ("b", By::Group, None, None, None)]);
        assert_groups(&[
            ("a", By::Consumer, Some(&[0]), None, None),
            ("b", By::Address, None, None, None),
        ]);
    }

    #[test]
    fn colocation_limits_that_may_meet_limit_by_all_share_its_book() {
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
    fn colocation_limits_that_cannot_meet_stay_apart() {
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
    fn colocation_is_transitive() {
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
