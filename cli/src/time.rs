//! Times as people read them, in UTC.

use std::time::{SystemTime, UNIX_EPOCH};

/// The present, in milliseconds since the Unix epoch; a clock before 1970 reads as 1970.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

/// A date and time, from milliseconds since the Unix epoch.
pub fn date_time(at_ms: u64) -> String {
    let in_day_s = at_ms / 1000 % DAY_S;
    let (hours, minutes, seconds) = (in_day_s / 3600, in_day_s / 60 % 60, in_day_s % 60);
    format!("{} {hours:02}:{minutes:02}:{seconds:02} UTC", date(at_ms))
}

/// A date, from milliseconds since the Unix epoch.
pub fn date(at_ms: u64) -> String {
    let mut days = at_ms / 1000 / DAY_S;
    // The Gregorian calendar repeats every 400 years, so years are counted from the last 1 January
    // 1970, 2370, ... on.
    let mut year = 1970 + days / CYCLE_DAYS * 400;
    days %= CYCLE_DAYS;
    while days >= year_days(year) {
        days -= year_days(year);
        year += 1;
    }
    let mut month = 1;
    while days >= month_days(year, month) {
        days -= month_days(year, month);
        month += 1;
    }
    format!("{year:04}-{month:02}-{:02}", days + 1)
}

/// How long ago something was, from milliseconds since the Unix epoch.
pub fn ago(at_ms: u64, now_ms: u64) -> String {
    let Some(age_ms) = now_ms.checked_sub(at_ms) else {
        return "just now".to_owned();
    };
    match age_ms / 1000 {
        0 => "just now".to_owned(),
        age_s @ 1..120 => format!("{age_s} s ago"),
        age_s @ 120..7200 => format!("{} min ago", age_s / 60),
        age_s if age_s < 2 * DAY_S => format!("{} h ago", age_s / 3600),
        age_s => format!("{} days ago", age_s / DAY_S),
    }
}

const fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

const fn year_days(year: u64) -> u64 {
    if is_leap(year) { 366 } else { 365 }
}

const fn month_days(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

const DAY_S: u64 = 24 * 60 * 60;
const CYCLE_DAYS: u64 = 400 * 365 + 97;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (at_s, expected) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_671_839_999, "2022-12-23 23:59:59 UTC"),
            (1_671_840_000, "2022-12-24 00:00:00 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
            (12_622_780_800, "2370-01-01 00:00:00 UTC"),
        ] {
            assert_eq!(date_time(at_s * 1000), expected);
        }
        assert!(date_time(u64::MAX).starts_with("584556"));
    }

    #[test]
    fn ages_are_told_in_one_unit() {
        let now_s = 10 * DAY_S;
        for (age_s, expected) in [
            (0, "just now"),
            (119, "119 s ago"),
            (120, "2 min ago"),
            (7200, "2 h ago"),
            (2 * DAY_S, "2 days ago"),
        ] {
            assert_eq!(ago((now_s - age_s) * 1000, now_s * 1000), expected);
        }
        assert_eq!(ago(2, 1), "just now");
    }
}
