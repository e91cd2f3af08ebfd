//! A range of whole numbers as a POSIX extended expression over their canonical decimals: exact, and no longer than a
//! few dozen alternatives for any 64-bit range.

/// Matches the decimals from `min` to `max` and nothing else; `None` where the range is empty.
pub(super) fn expression(min: i64, max: i64) -> Option<String> {
    if min > max {
        return None;
    }
    let mut choices = Vec::new();
    if min < 0 {
        let nearest = if max < 0 { max.unsigned_abs() } else { 1 };
        choices.extend(magnitudes(nearest, min.unsigned_abs()).into_iter().map(|choice| format!("-{choice}")));
    }
    if let Ok(last) = u64::try_from(max) {
        choices.extend(magnitudes(u64::try_from(min).unwrap_or(0), last));
    }
    Some(format!("({})", choices.join("|")))
}

/// One expression for each block of numbers that share their leading digits and leave the rest free.
fn magnitudes(first: u64, last: u64) -> Vec<String> {
    let mut choices = Vec::new();
    let mut from = first;
    loop {
        // The largest power of ten that divides `from` and whose block still ends by `last`. A block of nines and
        // zeros must not change the number of digits, which it does not as long as it begins at a multiple above 0.
        let mut free = 0;
        let mut block: u64 = 1;
        while let Some(larger) = block.checked_mul(10) {
            let fits = from != 0 && from.is_multiple_of(larger) && last - from >= larger - 1;
            if !fits {
                break;
            }
            block = larger;
            free += 1;
        }
        // As many adjacent blocks as have the same digits before them.
        let lead = from / block;
        let mut blocks = 1;
        while lead % 10 + blocks < 10 && last - from >= (blocks + 1).saturating_mul(block).saturating_sub(1) {
            blocks += 1;
        }
        choices.push(choice(lead, blocks, free));
        let end = from + (blocks * block - 1);
        match end.checked_add(1).filter(|next| *next <= last) {
            Some(next) => from = next,
            None => return choices,
        }
    }
}

/// `lead` to `lead + blocks - 1` (only the last digit changes), then `free` digits of any kind.
fn choice(lead: u64, blocks: u64, free: usize) -> String {
    let stem = if lead < 10 { String::new() } else { (lead / 10).to_string() };
    let digit = lead % 10;
    let last = match blocks {
        1 => digit.to_string(),
        _ => format!("[{digit}-{}]", digit + blocks - 1),
    };
    match free {
        0 => format!("{stem}{last}"),
        1 => format!("{stem}{last}[0-9]"),
        free => format!("{stem}{last}[0-9]{{{free}}}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn regex(min: i64, max: i64) -> regex_lite::Regex {
        let text = expression(min, max).expect("a range");
        regex_lite::Regex::new(&format!("^{text}$")).expect("an expression")
    }

    #[test]
    fn ranges_read_as_a_person_would_write_them() {
        assert_eq!(
            expression(1, 65535).as_deref(),
            Some(
                "([1-9]|[1-9][0-9]|[1-9][0-9]{2}|[1-9][0-9]{3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
            )
        );
        assert_eq!(expression(0, 9).as_deref(), Some("([0-9])"));
        assert_eq!(expression(100, 199).as_deref(), Some("(1[0-9]{2})"));
        assert_eq!(expression(7, 7).as_deref(), Some("(7)"));
        assert_eq!(expression(-1, 0).as_deref(), Some("(-1|0)"));
        assert_eq!(expression(5, 4), None);
    }

    #[test]
    fn the_whole_of_64_bits_is_covered() {
        let all = regex(i64::MIN, i64::MAX);
        for n in [i64::MIN, -1, 0, 1, i64::MAX] {
            assert!(all.is_match(&n.to_string()), "{n}");
        }
        for text in ["9223372036854775808", "-9223372036854775809", "-0", "00", "01"] {
            assert!(!all.is_match(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn exactly_the_range_matches(a in -3000i64..3000, b in -3000i64..3000, probes in prop::collection::vec(-4000i64..4000, 50)) {
            let (min, max) = (a.min(b), a.max(b));
            let regex = regex(min, max);
            for n in probes.into_iter().chain([min - 1, min, max, max + 1]) {
                prop_assert_eq!(regex.is_match(&n.to_string()), (min..=max).contains(&n), "{} in {}..={}", n, min, max);
                let padded = format!("0{n}");
                prop_assert!(!regex.is_match(&padded));
            }
        }
    }
}
