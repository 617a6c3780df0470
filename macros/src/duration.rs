//! Durations as one writes them: `250ms`, `30s`, `1h30m`.

use std::time::Duration;

const UNITS: [(&str, u64); 7] = [
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

/// The sum of the parts of `text`, each a whole number and its unit.
///
/// # Errors
/// What is wrong with it, and what would be right.
pub fn parse(text: &str) -> Result<Duration, String> {
    if text.is_empty() {
        return Err("an empty duration: write a number and its unit, such as \"30s\"".to_owned());
    }
    let (mut rest, mut sum) = (text, Duration::ZERO);
    while !rest.is_empty() {
        let (number, after) = split(rest, |c| c.is_ascii_digit());
        let (unit, after) = split(after, |c| !c.is_ascii_digit());
        sum = part(text, number, unit).and_then(|part| {
            sum.checked_add(part).ok_or_else(|| format!("\"{text}\" is too long a duration"))
        })?;
        rest = after;
    }
    Ok(sum)
}

fn split(text: &str, is_first: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !is_first(c)).unwrap_or(text.len()))
}

fn part(text: &str, number: &str, unit: &str) -> Result<Duration, String> {
    if number.is_empty() {
        return Err(format!(
            "\"{text}\" is not a duration: a whole number comes before `{unit}`, as in \"1h30m\""
        ));
    }
    if unit.is_empty() {
        return Err(format!(
            "\"{text}\" is not a duration: {number} needs a unit: ns, us, ms, s, m, h or d"
        ));
    }
    let too_long = || format!("\"{text}\" is too long a duration");
    let factor = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor);
    let factor = factor.ok_or_else(|| {
        format!("\"{text}\" is not a duration: `{unit}` is none of ns, us, ms, s, m, h and d")
    })?;
    let number: u64 = number.parse().map_err(|_| too_long())?;
    let nanos = u128::from(number) * u128::from(factor);
    let secs = u64::try_from(nanos / 1_000_000_000).map_err(|_| too_long())?;
    Ok(Duration::new(secs, (nanos % 1_000_000_000) as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_the_sum_of_its_parts() {
        for (text, expected) in [
            ("5m", Duration::from_secs(300)),
            ("30s", Duration::from_secs(30)),
            ("250ms", Duration::from_millis(250)),
            ("1h30m", Duration::from_secs(5400)),
            ("2d1us3ns", Duration::from_secs(172_800) + Duration::from_nanos(1003)),
            ("0s", Duration::ZERO),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_told_with_what_would_be_right() {
        for (text, expected) in [
            ("", "an empty duration"),
            ("5", "needs a unit"),
            ("m", "a whole number comes before `m`"),
            ("5 m", "` m` is none of"),
            ("1.5h", "`.` is none of"),
            ("5min", "`min` is none of"),
            ("99999999999999999999s", "too long"),
            ("18446744073709551615d", "too long"),
            ("18446744073709551615s1s", "too long"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
