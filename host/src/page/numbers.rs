//! Numbers and times as people read them.

use std::fmt::{self, Display};

/// A whole number with its thousands apart: `1,234,567`.
#[derive(Clone, Copy, Debug)]
pub struct Grouped(pub u64);

impl Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                f.write_str(",")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}

/// A number with about three digits: `0.25`, `31.4`, `12.6 k`, `3.1 M`.
#[derive(Clone, Copy, Debug)]
pub struct Short(pub f64);

impl Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (value, unit) = match self.0.abs() {
            size if size >= 1e9 => (self.0 / 1e9, " G"),
            size if size >= 1e6 => (self.0 / 1e6, " M"),
            size if size >= 1e4 => (self.0 / 1e3, " k"),
            _ => (self.0, ""),
        };
        let digits = match value.abs() {
            size if size >= 100.0 || value.fract() == 0.0 => 0,
            size if size >= 10.0 => 1,
            _ => 2,
        };
        write!(f, "{value:.digits$}{unit}")
    }
}

/// A length of time in seconds, by its two largest units: `42 s`, `7 min`, `3 h 5 min`, `2 d 4 h`.
#[derive(Clone, Copy, Debug)]
pub struct Span(pub u64);

impl Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, hours, minutes) = (self.0 / 86_400, self.0 / 3_600 % 24, self.0 / 60 % 60);
        match (days, hours, minutes) {
            (0, 0, 0) => write!(f, "{} s", self.0),
            (0, 0, _) => write!(f, "{minutes} min"),
            (0, _, 0) => write!(f, "{hours} h"),
            (0, _, _) => write!(f, "{hours} h {minutes} min"),
            (_, 0, _) => write!(f, "{days} d"),
            _ => write!(f, "{days} d {hours} h"),
        }
    }
}

/// How long ago something was, in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Ago(pub u64);

impl Display for Ago {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("just now"),
            age_s => write!(f, "{} ago", Span(age_s)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        for (number, shown) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(Grouped(number).to_string(), shown);
        }
        assert_eq!(Grouped(u64::MAX).to_string(), "18,446,744,073,709,551,615");
    }

    #[test]
    fn short_numbers_have_about_three_digits() {
        for (number, shown) in [
            (0.0, "0"),
            (0.254, "0.25"),
            (31.44, "31.4"),
            (1000.0, "1000"),
            (12_600.0, "12.6 k"),
            (3_100_000.0, "3.10 M"),
            (2e9, "2 G"),
        ] {
            assert_eq!(Short(number).to_string(), shown);
        }
    }

    #[test]
    fn times_have_two_units_at_most() {
        for (seconds, shown) in [
            (59, "59 s"),
            (60, "1 min"),
            (3_600, "1 h"),
            (86_401, "1 d"),
            (3_660, "1 h 1 min"),
            (90_000, "1 d 1 h"),
        ] {
            assert_eq!(Span(seconds).to_string(), shown);
        }
        assert_eq!(Ago(0).to_string(), "just now");
        assert_eq!(Ago(61).to_string(), "1 min ago");
    }
}
