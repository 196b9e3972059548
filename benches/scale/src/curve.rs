//! Draws curves over the number of nodes, as SVG.

use std::fmt::Write;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 320.0;
const MARGIN: f64 = 56.0;
const COLOURS: [&str; 2] = ["#1f6feb", "#d1570a"];

pub(crate) struct Line {
    pub(crate) name: String,
    /// Nodes and values.
    pub(crate) points: Vec<(f64, f64)>,
}

pub(crate) struct Chart<'a> {
    pub(crate) title: &'a str,
    pub(crate) lines: Vec<Line>,
    /// The bound, if there is one.
    pub(crate) most: Option<f64>,
}

impl Chart<'_> {
    pub(crate) fn svg(&self) -> String {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let high = points()
            .map(|(_, y)| *y)
            .chain(self.most)
            .fold(1.0, f64::max)
            * 1.1;
        let (low_x, high_x) = points().fold((f64::MAX, 1.0_f64), |(low, high), (x, _)| {
            (low.min(*x), high.max(*x))
        });
        let span = (high_x.ln() - low_x.ln()).max(f64::MIN_POSITIVE);
        let x = |nodes: f64| MARGIN + (nodes.ln() - low_x.ln()) / span * (WIDTH - 2.0 * MARGIN);
        let y = |value: f64| HEIGHT - MARGIN - value / high * (HEIGHT - 2.0 * MARGIN);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n\
             <text x=\"{MARGIN}\" y=\"24\" font-size=\"15\">{}</text>\n",
            self.title
        );
        let (left, right, bottom) = (MARGIN, WIDTH - MARGIN, HEIGHT - MARGIN);
        line(&mut svg, (left, bottom), (right, bottom), "#888", "");
        line(&mut svg, (left, MARGIN), (left, bottom), "#888", "");
        for share in [0.0, 0.5, 1.0] {
            let value = high / 1.1 * share;
            text(
                &mut svg,
                left - 8.0,
                y(value) + 4.0,
                "end",
                &format!("{value:.0}"),
            );
        }
        let mut sizes: Vec<_> = points().map(|(x, _)| *x).collect();
        sizes.sort_by(f64::total_cmp);
        sizes.dedup();
        for nodes in sizes {
            text(
                &mut svg,
                x(nodes),
                bottom + 18.0,
                "middle",
                &format!("{nodes:.0}"),
            );
        }
        text(&mut svg, WIDTH / 2.0, bottom + 36.0, "middle", "nodes");
        if let Some(most) = self.most {
            line(&mut svg, (left, y(most)), (right, y(most)), "#c00", "4 4");
            text(
                &mut svg,
                right,
                y(most) - 5.0,
                "end",
                &format!("at most {most:.0}"),
            );
        }
        for (n, (curve, colour)) in self.lines.iter().zip(COLOURS).enumerate() {
            if curve.points.is_empty() {
                continue;
            }
            let path = curve
                .points
                .iter()
                .map(|(nodes, v)| format!("{:.1},{:.1}", x(*nodes), y(*v)));
            let path = path.collect::<Vec<_>>().join(" ");
            // Writing to a string cannot fail.
            let _ = writeln!(
                svg,
                "<polyline points=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\n\
                 <text x=\"{:.1}\" y=\"{:.1}\" fill=\"{colour}\">{}</text>",
                left + 12.0,
                MARGIN + 6.0 + 16.0 * n as f64,
                curve.name
            );
        }
        svg.push_str("</svg>\n");
        svg
    }
}

fn line(svg: &mut String, from: (f64, f64), to: (f64, f64), colour: &str, dashes: &str) {
    let _ = writeln!(
        svg,
        "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{colour}\" \
         stroke-dasharray=\"{dashes}\"/>",
        from.0, from.1, to.0, to.1
    );
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, words: &str) {
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{words}</text>"
    );
}
