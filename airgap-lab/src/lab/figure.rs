//! The figure of the report: a lane for each place, a bar for each step, time from left to right. SVG, for light and dark pages.

use std::fmt::Write as _;
use std::time::Duration;

use super::book::{Chapter, Place};

/// Lanes from above, as a release travels.
const LANES: [Place; 7] = [
    Place::Vendor,
    Place::Courier,
    Place::Machine,
    Place::Node(1),
    Place::Node(2),
    Place::Node(3),
    Place::Online,
];
/// All lengths are in units of the figure.
const WIDTH: f64 = 960.0;
const LABEL_WIDTH: f64 = 90.0;
const LANE_HEIGHT: f64 = 34.0;
const BAR_HEIGHT: f64 = 20.0;
const AXIS_HEIGHT: f64 = 24.0;
/// A bar that is shorter is drawn so wide, or nobody would see it.
const MIN_BAR_WIDTH: f64 = 1.5;
/// About so many marks on the axis.
const MARKS: f64 = 8.0;

/// Draws it.
pub(super) fn draw(chapters: &[Chapter]) -> String {
    let ends = chapters.iter().flat_map(|chapter| &chapter.steps).map(|step| step.at + step.took);
    let whole = ends.max().unwrap_or(Duration::from_secs(1)).as_secs_f64();
    let scale = (WIDTH - LABEL_WIDTH) / whole;
    #[expect(clippy::cast_precision_loss, reason = "seven lanes")]
    let height = LANES.len() as f64 * LANE_HEIGHT + AXIS_HEIGHT;
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"What happened where, and when\">\n"
    );
    for (number, lane) in LANES.iter().enumerate() {
        #[expect(clippy::cast_precision_loss, reason = "seven lanes")]
        let top = number as f64 * LANE_HEIGHT;
        let middle = top + LANE_HEIGHT / 2.0;
        put(
            &mut svg,
            &format!(
                "<line class=\"lane\" x1=\"{LABEL_WIDTH}\" y1=\"{middle}\" x2=\"{WIDTH}\" y2=\"{middle}\"/>"
            ),
        );
        put(&mut svg, &format!("<text x=\"0\" y=\"{:.1}\">{}</text>", middle + 4.0, lane.name()));
        for chapter in chapters.iter().filter(|chapter| chapter.place == *lane) {
            for step in &chapter.steps {
                let left = LABEL_WIDTH + step.at.as_secs_f64() * scale;
                let width = (step.took.as_secs_f64() * scale).max(MIN_BAR_WIDTH);
                let bar_top = middle - BAR_HEIGHT / 2.0;
                let title =
                    escape(&format!("{}: {}, {:.2} s", chapter.title, step.name, step.took.as_secs_f64()));
                put(
                    &mut svg,
                    &format!(
                        "<rect x=\"{left:.1}\" y=\"{bar_top:.1}\" width=\"{width:.1}\" height=\"{BAR_HEIGHT}\"><title>{title}</title></rect>"
                    ),
                );
            }
        }
    }
    let step = interval(whole);
    let mut mark = 0.0;
    while mark <= whole {
        let place = LABEL_WIDTH + mark * scale;
        put(
            &mut svg,
            &format!("<text class=\"mark\" x=\"{place:.1}\" y=\"{:.1}\">{mark} s</text>", height - 6.0),
        );
        mark += step;
    }
    svg.push_str("</svg>\n");
    svg
}

fn put(svg: &mut String, element: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(svg, "{element}");
}

/// Seconds between two marks: 1, 2 or 5 times a power of ten.
fn interval(whole: f64) -> f64 {
    let rough = (whole / MARKS).max(1.0);
    let power = 10_f64.powf(rough.log10().floor());
    [1.0, 2.0, 5.0]
        .map(|factor| factor * power)
        .into_iter()
        .find(|step| *step >= rough)
        .unwrap_or(10.0 * power)
}

/// Text in HTML and SVG.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::report::fixture;

    #[test]
    fn every_step_has_a_bar_in_its_lane() {
        let svg = draw(&fixture());
        assert_eq!(svg.matches("<rect").count(), 3);
        for lane in LANES {
            assert!(svg.contains(&format!(">{}</text>", lane.name())), "{}", lane.name());
        }
        assert!(svg.contains("a &lt;title&gt;"), "{svg}");
    }

    #[test]
    fn marks_are_round_numbers() {
        for (whole, wanted) in
            [(0.1, 1.0), (7.0, 1.0), (9.0, 2.0), (60.0, 10.0), (65.0, 10.0), (100.0, 20.0), (300.0, 50.0)]
        {
            assert!((interval(whole) - wanted).abs() < f64::EPSILON, "{whole}: {}", interval(whole));
        }
    }
}
