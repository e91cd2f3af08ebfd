//! Collections in order, made without sorting.

/// Collects into a `BTreeMap`, a `BTreeSet` or the map of a JSON object, one item after the other. Their own `collect` sorts
/// the items first, with 5 KiB of code for each type of item, and here they are few.
pub fn collect<C: Default + Extend<T>, T>(items: impl IntoIterator<Item = T>) -> C {
    let mut collected = C::default();
    collected.extend(items);
    collected
}
