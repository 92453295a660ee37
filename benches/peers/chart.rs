//! `docs/performance.svg`: how each figure grows with the number of files, both scales logarithmic.
//!
//! Drawn by hand: six small panels with one legend are a few lines of SVG each, and no crate is needed for them.

use std::fmt::Write as _;

use crate::results::{FLOOR, OURS, Results, Setting, What};
use crate::show::{Unit, shown};

const COLUMNS: usize = 3;
const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 290.0;
/// Room for the legend.
const TOP: f64 = 64.0;
/// Room inside a panel, around its plot.
const LEFT: f64 = 66.0;
const RIGHT: f64 = 16.0;
const ABOVE: f64 = 34.0;
const BELOW: f64 = 44.0;

/// Who stands in which colour. They can be told apart by those who see few colours, too, and by their marks.
const LINES: &[(&str, &str)] = &[
    (OURS, "#0b6bcb"),
    ("git", "#d95f02"),
    ("ostree", "#7a52b3"),
    ("rsync", "#1b9e77"),
    ("casync", "#c2348b"),
    ("restic", "#8a6d1a"),
    ("borg", "#b3261e"),
    (FLOOR, "#7d8590"),
];

/// Which lines a panel has: a measure of us and the peers, or several measures of us.
struct Panel {
    name: &'static str,
    lines: &'static [(What, Option<&'static str>)],
}

const PANELS: &[Panel] = &[
    Panel { name: "Cold commit", lines: &[(What::ColdCommit, None)] },
    Panel { name: "Commit, nothing changed", lines: &[(What::CommitSame, None)] },
    Panel { name: "Commit of one environment, one change", lines: &[(What::CommitOne, None)] },
    Panel { name: "First sync", lines: &[(What::FirstSync, None)] },
    Panel { name: "One changed file: sync and deploy", lines: &[(What::Deploy, None)] },
    Panel {
        name: "Memory of sceneshift, at most",
        lines: &[(What::MemoryPrimary, Some("primary")), (What::MemoryClient, Some("client"))],
    },
];

/// One line of points: files, value.
struct Line {
    name: String,
    colour: &'static str,
    dashed: bool,
    points: Vec<(f64, f64)>,
    label: Option<&'static str>,
}

/// The whole picture.
pub(crate) fn draw(results: &Results) -> String {
    let panels: Vec<(&Panel, Vec<Line>)> = PANELS.iter().map(|panel| (panel, lines(results, panel))).collect();
    let rows = panels.len().div_ceil(COLUMNS);
    let (width, height) = (WIDTH * COLUMNS as f64 + 16.0, TOP + HEIGHT * rows as f64 + 8.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         font-family=\"system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif\" font-size=\"12\" fill=\"#24292f\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    legend(&mut svg, &panels);
    for (at, (panel, lines)) in panels.iter().enumerate() {
        let (x, y) = (8.0 + WIDTH * (at % COLUMNS) as f64, TOP + HEIGHT * (at / COLUMNS) as f64);
        let _ = writeln!(svg, "<g transform=\"translate({x} {y})\">");
        plot(&mut svg, panel, lines);
        svg.push_str("</g>\n");
    }
    svg + "</svg>\n"
}

fn lines(results: &Results, panel: &Panel) -> Vec<Line> {
    let mut lines = Vec::new();
    for (what, label) in panel.lines {
        for (who, colour) in LINES {
            let points = results.sizes.iter().filter_map(|size| {
                let setting =
                    Setting { medium: results.first_medium(), cold_cache: false, environments: size.environments };
                let middle = results.middle(setting, *what, who)?;
                (middle.median > 0.0).then_some((size.files as f64, middle.median))
            });
            let points: Vec<(f64, f64)> = points.collect();
            if !points.is_empty() {
                let dashed = *who == FLOOR || label.is_some_and(|label| label == "client");
                lines.push(Line { name: (*who).to_owned(), colour, dashed, points, label: *label });
            }
        }
    }
    lines
}

fn legend(svg: &mut String, panels: &[(&Panel, Vec<Line>)]) {
    let mut x = 8.0 + LEFT;
    for (who, colour) in LINES {
        let drawn = |lines: &Vec<Line>| lines.iter().any(|line| line.name == *who && line.label.is_none());
        if !panels.iter().any(|(_, lines)| drawn(lines)) {
            continue;
        }
        let (text, weight) = match *who {
            FLOOR => ("floor: read and hash, or look at, every file", "normal"),
            OURS => (OURS, "bold"),
            who => (who, "normal"),
        };
        let _ = writeln!(
            svg,
            "<path d=\"M{x} 28h26\" stroke=\"{colour}\" stroke-width=\"{}\"{}/><circle cx=\"{}\" cy=\"28\" r=\"3.5\" fill=\"{colour}\"/>\
             <text x=\"{}\" y=\"32\" font-weight=\"{weight}\">{text}</text>",
            thickness(who),
            dashes(*who == FLOOR),
            x + 13.0,
            x + 33.0
        );
        x += 33.0 + 7.2 * text.len() as f64 + 22.0;
    }
}

fn thickness(who: &str) -> f64 {
    if who == OURS { 3.0 } else { 1.6 }
}

fn dashes(dashed: bool) -> &'static str {
    if dashed { " stroke-dasharray=\"5 4\"" } else { "" }
}

fn plot(svg: &mut String, panel: &Panel, lines: &[Line]) {
    let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BELOW);
    let _ = writeln!(svg, "<text x=\"{LEFT}\" y=\"20\" font-weight=\"bold\" font-size=\"13\">{}</text>", panel.name);
    let all = || lines.iter().flat_map(|line| line.points.iter().copied());
    if all().next().is_none() {
        let _ = writeln!(svg, "<text x=\"{LEFT}\" y=\"60\" fill=\"#57606a\">not measured</text>");
        return;
    }
    let borders = |values: &mut dyn Iterator<Item = f64>| {
        values.fold((f64::MAX, f64::MIN), |(least, most), value| (least.min(value), most.max(value)))
    };
    let (left_most, right_most) = borders(&mut all().map(|point| point.0));
    let unit = panel.lines[0].0.unit();
    let (low, high, ticks) = ticks(unit, borders(&mut all().map(|point| point.1)));
    let spread = (right_most / left_most).log10().max(0.1);
    let x = |files: f64| LEFT + 12.0 + (right - LEFT - 24.0) * (files / left_most).log10() / spread;
    let y = |value: f64| bottom - (bottom - ABOVE) * (value / low).log10() / (high / low).log10();
    for tick in ticks {
        let y = y(tick);
        let _ = writeln!(
            svg,
            "<path d=\"M{LEFT} {y:.1}H{right}\" stroke=\"#d8dee4\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#57606a\">{}</text>",
            LEFT - 8.0,
            y + 4.0,
            shown(unit, tick).replace(".00", "").replace(".0 ", " ")
        );
    }
    let mut files: Vec<f64> = all().map(|point| point.0).collect();
    files.sort_by(f64::total_cmp);
    files.dedup();
    for files in files {
        let x = x(files);
        let _ = writeln!(
            svg,
            "<path d=\"M{x:.1} {bottom}v5\" stroke=\"#57606a\"/><text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#57606a\">{:.0}k</text>",
            bottom + 18.0,
            files / 1e3
        );
    }
    let _ = writeln!(
        svg,
        "<path d=\"M{LEFT} {ABOVE}V{bottom}H{right}\" fill=\"none\" stroke=\"#57606a\"/>\
         <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#57606a\">files</text>",
        f64::midpoint(LEFT, right),
        bottom + 34.0
    );
    // Ours last, so that it lies above the others.
    for line in lines.iter().rev() {
        let points: Vec<String> =
            line.points.iter().map(|point| format!("{:.1},{:.1}", x(point.0), y(point.1))).collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"{}\" stroke-linejoin=\"round\"{}/>",
            points.join(" "),
            line.colour,
            thickness(&line.name),
            dashes(line.dashed)
        );
        for point in &line.points {
            let radius = if line.name == OURS { 4.0 } else { 2.8 };
            let _ = writeln!(
                svg,
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"{radius}\" fill=\"{}\"/>",
                x(point.0),
                y(point.1),
                line.colour
            );
        }
        if let (Some(label), Some(point)) = (line.label, line.points.last()) {
            // The upper line's label above it, the lower one's below.
            let below = lines.iter().any(|other| other.points.last().is_some_and(|last| last.1 > point.1));
            let y = y(point.1) + if below { 20.0 } else { -11.0 };
            let _ =
                writeln!(svg, "<text x=\"{:.1}\" y=\"{y:.1}\" text-anchor=\"end\">{label}</text>", x(point.0) + 4.0);
        }
    }
}

/// The borders of a scale that holds these values, and where it has lines: powers of ten, and for bytes powers of four.
fn ticks(unit: Unit, (least, most): (f64, f64)) -> (f64, f64, Vec<f64>) {
    let base: f64 = if unit == Unit::Bytes { 4.0 } else { 10.0 };
    let power = |value: f64| value.log(base);
    let (low, high) = ((power(least) - 0.05).floor(), (power(most) + 0.05).ceil());
    let count = (high - low).round() as i32;
    let ticks = (0..=count).map(|at| base.powi(low as i32 + at)).collect();
    (base.powf(low), base.powf(high), ticks)
}
