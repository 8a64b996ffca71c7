//! Small charts, drawn by the server as SVG in the page.

use std::fmt::{self, Display};

use super::escape::Escaped;
use super::numbers::{Short, Span};

/// What was measured over a stretch of time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// When the stretch began, in seconds before now.
    pub from_s: u64,
    /// When it ended, in seconds before now.
    pub to_s: u64,
    /// What was measured.
    pub value: f64,
}

/// A chart of steps over time, from zero up, with its last and its highest value as text: what it
/// shows can be read without seeing it.
#[derive(Debug)]
pub struct Chart<'a> {
    /// What is shown.
    pub title: &'a str,
    /// The unit, as it follows a number: `" a second"`.
    pub unit: &'a str,
    /// How far back it goes, in seconds.
    pub period_s: u64,
    /// The steps, the oldest first.
    pub steps: &'a [Step],
}

/// The picture's size in units of its own; it is stretched to the width of its place.
const WIDTH: f64 = 300.0;
const HEIGHT: f64 = 64.0;

impl Display for Chart<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (title, unit) = (Escaped(self.title), Escaped(self.unit));
        let period = Span(self.period_s);
        let highest = self.steps.iter().map(|step| step.value);
        let highest = highest.fold(0.0, f64::max);
        write!(f, "<figure><figcaption><b>{title}</b>")?;
        let Some(last) = self.steps.last() else {
            return write!(f, "<span>nothing measured yet</span></figcaption></figure>");
        };
        let (now, most) = (Short(last.value), Short(highest));
        write!(
            f,
            "<span>now {now}{unit} · highest {most}{unit}</span></figcaption>\
             <svg role=\"img\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" preserveAspectRatio=\"none\" \
             aria-label=\"{title} over {period}: now {now}{unit}, highest {most}{unit}\">\
             <path class=\"area\" d=\"{}\"/><path class=\"line\" d=\"{}\"/></svg>\
             <div class=\"axis\" aria-hidden=\"true\"><span>{period} ago</span>\
             <span>now</span></div>\
             </figure>",
            Outline {
                chart: self,
                highest,
                is_closed: true
            },
            Outline {
                chart: self,
                highest,
                is_closed: false
            },
        )
    }
}

/// The steps as the path of an SVG, with the ground below them if it is closed.
struct Outline<'a> {
    chart: &'a Chart<'a>,
    highest: f64,
    is_closed: bool,
}

impl Outline<'_> {
    fn x(&self, seconds_ago: u64) -> f64 {
        let part = seconds_ago as f64 / self.chart.period_s.max(1) as f64;
        WIDTH * (1.0 - part.min(1.0))
    }

    /// A line at the highest value is drawn whole, and so is one at zero.
    fn y(&self, value: f64) -> f64 {
        let part = if self.highest > 0.0 {
            value / self.highest
        } else {
            0.0
        };
        HEIGHT - 1.0 - part * (HEIGHT - 4.0)
    }
}

impl Display for Outline<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps = self.chart.steps;
        let (Some(first), Some(last)) = (steps.first(), steps.last()) else {
            return Ok(());
        };
        if self.is_closed {
            write!(f, "M{:.1} {HEIGHT}L", self.x(first.from_s))?;
        } else {
            f.write_str("M")?;
        }
        for (index, step) in steps.iter().enumerate() {
            let y = self.y(step.value);
            let before = if index == 0 { "" } else { "L" };
            let (from, to) = (self.x(step.from_s), self.x(step.to_s));
            write!(f, "{before}{from:.1} {y:.1}H{to:.1}")?;
        }
        if self.is_closed {
            write!(f, "L{:.1} {HEIGHT}Z", self.x(last.to_s))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(steps: &[Step]) -> String {
        let chart = Chart {
            title: "Updates <b>",
            unit: " a second",
            period_s: 3600,
            steps,
        };
        chart.to_string()
    }

    #[test]
    fn a_chart_says_in_words_what_it_shows() {
        let step = |from_s, to_s, value| Step {
            from_s,
            to_s,
            value,
        };
        let html = chart(&[step(120, 60, 8.0), step(60, 0, 2.0)]);
        let words = "aria-label=\"Updates &lt;b&gt; over 1 h: \
                     now 2 a second, highest 8 a second\"";
        assert!(html.contains(words), "{html}");
        // Two steps, the first one at the top, the second a quarter as high.
        let path = "d=\"M290.0 3.0H295.0L295.0 48.0H300.0\"";
        assert!(html.contains(path), "{html}");
    }

    #[test]
    fn nothing_and_zero_are_drawn_too() {
        assert!(chart(&[]).contains("nothing measured yet"));
        let zero = Step {
            from_s: 60,
            to_s: 0,
            value: 0.0,
        };
        let html = chart(&[zero]);
        assert!(html.contains("now 0 a second"), "{html}");
        assert!(!html.contains("NaN"), "{html}");
        // Older than the chart goes back: cut at its edge.
        let old = Step {
            from_s: 9999,
            to_s: 1800,
            value: 1.0,
        };
        assert!(chart(&[old]).contains("M0.0 3.0H150.0"));
    }
}
