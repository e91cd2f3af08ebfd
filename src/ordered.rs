//! Collections in order, made without sorting.

/// Collects into a `BTreeMap`, a `BTreeSet` or the map of a JSON object, one item after the other. Their own `collect`
/// sorts the items first, with 5 KiB of code for each type of item, and here they are few.
pub fn collect<C: Default + Extend<T>, T>(items: impl IntoIterator<Item = T>) -> C {
    let mut collected = C::default();
    collected.extend(items);
    collected
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    #[test]
    fn what_is_collected_is_as_the_collections_own_collect_makes_it() {
        let items = [(3, "c"), (1, "a"), (2, "b"), (1, "later")];
        assert_eq!(collect::<BTreeMap<_, _>, _>(items), items.into_iter().collect());
        assert_eq!(collect::<BTreeSet<_>, _>(items), items.into_iter().collect());
        assert_eq!(collect::<BTreeMap<_, _>, _>(items).get(&1), Some(&"later"), "the last of the same key counts");
        assert_eq!(collect::<BTreeSet<u8>, u8>([]), BTreeSet::new());
    }
}
