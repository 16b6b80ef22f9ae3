//! Small line charts as SVG. Written by hand: colours are those of the page's style sheet, so that one drawing is right in light,
//! in dark and on paper, which no drawing library lets it be.

use std::fmt::Write;

use super::escape;

/// Width and height of a chart, and what is left free around the plot.
const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 30.0;
/// Colours that the style sheet knows.
pub(super) const COLOURS: usize = 8;

/// A chart of steps: each value holds until the next.
pub(super) struct Chart {
    /// What it shows, for those who cannot see it.
    pub(super) title: String,
    /// The last time on the axis, in microseconds.
    pub(super) end: u64,
    /// Spans to shade: from, to, what.
    pub(super) shades: Vec<(u64, u64, String)>,
    /// The lines.
    pub(super) lines: Vec<Line>,
    /// What a value is, as in `blocks`.
    pub(super) unit: &'static str,
}

/// One line.
pub(super) struct Line {
    pub(super) name: String,
    /// Times in microseconds and values, in order of time; nothing is drawn from a time without a value on.
    pub(super) points: Vec<(u64, Option<f64>)>,
    /// Which colour.
    pub(super) colour: usize,
}

impl Chart {
    /// The drawing.
    pub(super) fn svg(&self) -> String {
        let values = || {
            self.lines
                .iter()
                .flat_map(|line| line.points.iter().filter_map(|(_, value)| *value))
        };
        let low = values().fold(f64::INFINITY, f64::min);
        let high = values().fold(f64::NEG_INFINITY, f64::max);
        if !low.is_finite() {
            return "<p class=none>Nothing to show.</p>".to_owned();
        }
        let low = if low < 0.5 * high { 0.0 } else { low };
        let high = if high > low { high } else { low + 1.0 };
        let plot = Plot {
            end: self.end.max(1) as f64,
            low,
            high,
        };
        let mut svg = format!(
            "<div class=wide><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=img><title>{}</title>",
            escape(&self.title)
        );
        for (from, to, what) in &self.shades {
            let (x, to) = (plot.x(*from), plot.x(*to));
            let height = HEIGHT - TOP - BOTTOM;
            let _ = write!(
                svg,
                "<rect class=shade x={x:.1} y={TOP} width={:.1} height={height}><title>{}</title></rect>",
                (to - x).max(1.5),
                escape(what)
            );
        }
        plot.axes(&mut svg, self.unit);
        for line in &self.lines {
            let _ = write!(
                svg,
                "<path class=\"line c{}\" d=\"{}\"><title>{}</title></path>",
                line.colour % COLOURS,
                plot.steps(&line.points),
                escape(&line.name)
            );
        }
        svg + "</svg></div>" + &self.legend()
    }

    fn legend(&self) -> String {
        if self.lines.len() < 2 {
            return String::new();
        }
        let key = |line: &Line| {
            format!(
                "<span><i class=c{}></i>{}</span>",
                line.colour % COLOURS,
                escape(&line.name)
            )
        };
        let keys: Vec<String> = self.lines.iter().map(key).collect();
        format!("<p class=legend>{}</p>", keys.join(" "))
    }
}

struct Plot {
    end: f64,
    low: f64,
    high: f64,
}

impl Plot {
    fn x(&self, t: u64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * (t as f64 / self.end).min(1.0)
    }

    fn y(&self, value: f64) -> f64 {
        let share = (value - self.low) / (self.high - self.low);
        HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share
    }

    fn axes(&self, svg: &mut String, unit: &str) {
        for value in ticks(self.low, self.high, 5) {
            let y = self.y(value);
            let _ = write!(
                svg,
                "<path class=grid d=\"M{LEFT} {y:.1}H{}\"/><text x={} y={:.1} class=end>{}</text>",
                WIDTH - RIGHT,
                LEFT - 6.0,
                y + 4.0,
                number(value)
            );
        }
        let _ = write!(svg, "<text x=4 y={} class=unit>{unit}</text>", HEIGHT - 8.0);
        for (t, name) in times(self.end) {
            let x = self.x(t);
            // The last name would leave the drawing.
            let anchor = if x > WIDTH - 24.0 { "end" } else { "mid" };
            let _ = write!(
                svg,
                "<path class=tick d=\"M{x:.1} {}v5\"/><text x={x:.1} y={} class={anchor}>{name}</text>",
                HEIGHT - BOTTOM,
                HEIGHT - BOTTOM + 18.0
            );
        }
    }

    fn steps(&self, points: &[(u64, Option<f64>)]) -> String {
        let mut path = String::new();
        let mut is_down = true;
        let mut last = String::new();
        for (t, value) in points {
            let x = format!("{:.1}", self.x(*t));
            match value {
                None if is_down => {}
                None => {
                    let _ = write!(path, "H{x}");
                    is_down = true;
                }
                Some(value) if is_down => {
                    let _ = write!(path, "M{x} {:.1}", self.y(*value));
                    is_down = false;
                }
                Some(value) => {
                    let next = format!("H{x}V{:.1}", self.y(*value));
                    // Steps that are too small to be seen only make the page larger.
                    if next != last {
                        path += &next;
                    }
                    last = next;
                }
            }
        }
        if !is_down {
            let _ = write!(path, "H{:.1}", self.x(self.end as u64));
        }
        path
    }
}

/// Round numbers between two, about so many.
fn ticks(low: f64, high: f64, wished: u32) -> Vec<f64> {
    let raw = (high - low) / f64::from(wished);
    let power = 10f64.powf(raw.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
    let step = steps.into_iter().find(|step| *step >= raw).unwrap_or(raw);
    let first = (low / step).ceil() as i64;
    let last = (high / step + 1e-9).floor() as i64;
    (first..=last).map(|number| number as f64 * step).collect()
}

fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        1e9.. => format!("{:.4} G", value / 1e9).replace(".0000", ""),
        1e6.. => format!("{:.3} M", value / 1e6).replace(".000", ""),
        1e4.. => format!("{:.2} k", value / 1e3).replace(".00", ""),
        1.0.. => format!("{value:.1}").replace(".0", ""),
        _ => format!("{value:.2}"),
    }
}

/// Round times up to one, with their names.
pub(super) fn times(end: f64) -> Vec<(u64, String)> {
    const STEPS: [(u64, u64, &str); 26] = [
        (1, 1, "us"),
        (10, 1, "us"),
        (100, 1, "us"),
        (1_000, 1_000, "ms"),
        (5_000, 1_000, "ms"),
        (20_000, 1_000, "ms"),
        (100_000, 1_000, "ms"),
        (500_000, 1_000, "ms"),
        (1_000_000, 1_000_000, "s"),
        (2_000_000, 1_000_000, "s"),
        (5_000_000, 1_000_000, "s"),
        (10_000_000, 1_000_000, "s"),
        (20_000_000, 1_000_000, "s"),
        (30_000_000, 1_000_000, "s"),
        (60_000_000, 60_000_000, "m"),
        (120_000_000, 60_000_000, "m"),
        (300_000_000, 60_000_000, "m"),
        (600_000_000, 60_000_000, "m"),
        (1_200_000_000, 60_000_000, "m"),
        (1_800_000_000, 60_000_000, "m"),
        (3_600_000_000, 3_600_000_000, "h"),
        (7_200_000_000, 3_600_000_000, "h"),
        (14_400_000_000, 3_600_000_000, "h"),
        (21_600_000_000, 3_600_000_000, "h"),
        (86_400_000_000, 86_400_000_000, "d"),
        (864_000_000_000, 86_400_000_000, "d"),
    ];
    let fits = STEPS.iter().find(|(step, ..)| end / *step as f64 <= 9.0);
    let (step, unit, name) = fits
        .copied()
        .unwrap_or((STEPS[25].0 * 10, STEPS[25].1, "d"));
    let count = (end / step as f64 + 1e-9) as u64;
    (0..=count.min(100))
        .map(|number| (number * step, format!("{} {name}", number * step / unit)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_have_round_numbers() {
        assert_eq!(ticks(0.0, 100.0, 5), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        assert_eq!(ticks(7.0, 9.0, 5), [7.0, 7.5, 8.0, 8.5, 9.0]);
        let names = |end: f64| {
            times(end)
                .into_iter()
                .map(|(_, name)| name)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            names(10_800e6),
            [
                "0 m", "20 m", "40 m", "60 m", "80 m", "100 m", "120 m", "140 m", "160 m", "180 m"
            ]
        );
        assert_eq!(
            names(45e6),
            [
                "0 s", "5 s", "10 s", "15 s", "20 s", "25 s", "30 s", "35 s", "40 s", "45 s"
            ]
        );
        assert!(times(1e15).len() <= 101);
    }

    #[test]
    fn a_line_has_gaps_where_it_has_no_values() {
        let chart = Chart {
            title: "a & b".to_owned(),
            end: 100,
            shades: vec![(10, 20, "cut <here>".to_owned())],
            lines: vec![Line {
                name: "node 0".to_owned(),
                points: vec![
                    (0, Some(0.0)),
                    (10, Some(5.0)),
                    (20, None),
                    (50, Some(10.0)),
                ],
                colour: 0,
            }],
            unit: "blocks",
        };
        let svg = chart.svg();
        assert!(
            svg.contains("<title>a &amp; b</title>") && svg.contains("cut &lt;here&gt;"),
            "{svg}"
        );
        // One line until 20, another from 50 on.
        let path = svg
            .split("class=\"line c0\" d=\"")
            .nth(1)
            .unwrap()
            .split('"')
            .next()
            .unwrap();
        assert_eq!(path.matches('M').count(), 2, "{path}");
    }
}
