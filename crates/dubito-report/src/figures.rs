//! Every figure, to SVG and PNG by the same function.
//!
//! Colours are those of Okabe and Ito, which people of every kind of colour vision can tell apart;
//! shape or dash say the same once more, so that a figure also reads in grey. A figure that has nothing
//! to show says why.

mod timeline;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use dubito_stats::bootstrap::quantile;
use dubito_stats::forensic::{CrossEntropy, TippettPoint};
use dubito_stats::{Confidence, Items, ReliabilityBin, Scored, StatsError, reliability_of};
use image::RgbImage;
use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontStyle, register_font};
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use crate::classes::Confusion;
use crate::decisions::Decisions;
use crate::evaluate::Metrics;
use crate::scores::{Origin, ScoreSet, Scores, is_right, real_class, scored};
use crate::{Level, ReportError};

pub use timeline::{TimelineFace, TimelineFrame, timeline_figure};

/// One figure, drawn.
#[derive(Clone, Debug)]
pub struct Figure {
    /// Its file's name, without extension.
    pub name: String,
    /// Its title.
    pub title: String,
    /// How to read it.
    pub caption: String,
    /// The drawing, as SVG.
    pub svg: String,
    /// The same at twice the size in pixels.
    pub png: Vec<u8>,
}

/// The family that SVG files name; what is embedded is Inter.
pub(crate) const FAMILY: &str = "Inter, Helvetica, Arial, sans-serif";
const REGULAR: &[u8] = include_bytes!("../fonts/Inter-Regular.otf");
const SEMIBOLD: &[u8] = include_bytes!("../fonts/Inter-SemiBold.otf");

pub(crate) const INK: RGBColor = RGBColor(31, 36, 48);
pub(crate) const GREY: RGBColor = RGBColor(106, 114, 128);
pub(crate) const RULE: RGBColor = RGBColor(226, 229, 234);
pub(crate) const BLUE: RGBColor = RGBColor(0, 114, 178);
pub(crate) const SKY: RGBColor = RGBColor(64, 150, 200);
pub(crate) const ORANGE: RGBColor = RGBColor(213, 94, 0);
pub(crate) const GREEN: RGBColor = RGBColor(0, 128, 96);
pub(crate) const PURPLE: RGBColor = RGBColor(170, 80, 130);
pub(crate) const OCHRE: RGBColor = RGBColor(180, 125, 0);

/// Units of a fine SVG in a CSS pixel.
pub(crate) const DETAIL: u32 = 4;
/// Width of every figure in the units of its SVG.
pub(crate) const WIDTH: u32 = 880;
/// At most this many points of one group are drawn, evenly chosen by rank.
const MOST_POINTS: usize = 250;

/// All figures of the scores of the first detector. Errors: a fault in drawing.
pub fn figures(scores: &Scores) -> Result<Vec<Figure>, ReportError> {
    let levels: &[Level] = if scores.has_videos { &[Level::Frame, Level::Video] } else { &[Level::Item] };
    let top = levels[levels.len() - 1];

    let panels = levels.iter().map(|&level| Ok((level, bins(scores, level)?))).collect::<Result<Vec<_>, _>>();
    let panels =
        panels.map_err(|source: StatsError| ReportError::Stats { place: "reliability diagram".into(), source })?;
    let what = if scores.task.positive.is_some() { "P(fake)" } else { "largest probability" };
    let reliability = Reliability { panels, what };
    let draw_reliability = || {
        figure(
            "reliability",
            "Reliability diagram",
            format!(
                "Each point is one of 15 bins of {what}: how often it came true (up) against how often it was said to (right). On the diagonal the detector means what it says. Bars are 95 % Wilson intervals, which take the items as independent; frames of one video are not, so trust the videos' bars. The grey columns show where the items are."
            ),
            400,
            &reliability,
        )
    };

    let (set, all_top) = (&scores.sets[0], scores.sets[0].of(top));
    // What a video's doubt cannot be divided into is not drawn, rather than drawn as 0.
    let kinds = kinds_of(set, top);
    let undivided = kinds.len() < KINDS.len();
    let left_out = |what: &str| match (undivided, set.without_epistemic(top)) {
        (true, Some(reason)) => format!(" The epistemic {what} is left out for {}: {reason}.", top.plural()),
        _ => String::new(),
    };
    let top_items: Vec<(usize, Scored)> =
        drawn(all_top).map(|i| (scores.unit(set, top, i), scored(all_top, i))).collect();
    let origins: Vec<(Origin, Vec<&Scored>)> = by_origin(scores, &top_items);
    let draw_by_generator = || {
        figure(
            "uncertainty_by_generator",
            "Uncertainty by generator",
            format!(
                "One mark is one of the {}; boxes hold the middle half, the line is the median, whiskers end at the 5th and 95th percentile. Aleatoric doubt comes with the data and would stay with more training; epistemic doubt is where the posterior samples disagree. A null control is a real video that went through a generator's warp, blend and encode: if it looks like the fakes here, the detector reacts to the processing.{}",
                top.plural(),
                left_out("panel")
            ),
            96 + 46 * origins.len().max(3) as u32,
            &Boxes::new(
                kinds,
                origins.iter().map(|(origin, items)| (origin.title(), Mark::of(origin), items.clone())).collect(),
            ),
        )
    };

    let draw_of_errors = || {
        let (right, wrong): (Vec<&Scored>, Vec<&Scored>) =
            top_items.iter().map(|(_, scored)| scored).partition(|scored| is_right(scored));
        figure(
            "uncertainty_of_errors",
            "Uncertainty of right and wrong answers",
            format!(
                "If doubt is worth listening to, the wrong {} lie further right than the right ones. Drawn as the figure before.{}",
                top.plural(),
                left_out("panel")
            ),
            250,
            &Boxes::new(kinds, vec![("right".into(), Mark::CIRCLE, right), ("wrong".into(), Mark::TRIANGLE, wrong)]),
        )
    };

    let draw_rejection = || {
        figure(
            "rejection",
            "Accuracy against rejection",
            format!(
                "What the accuracy of the rest would be if the most doubtful share were handed to a person. The higher and the earlier a curve rises, the better that doubt finds the errors; a flat curve is doubt that knows nothing. The dotted line is the best that any order could do.{}",
                left_out("curve")
            ),
            400,
            &Curves {
                panels: levels.iter().map(|&level| rejection(scores, level)).collect(),
                x: "share set aside, most doubtful first",
                y: "accuracy of the rest",
                range: (0.0, 1.0),
                legend_above: false,
            },
        )
    };

    let draw_roc = || {
        figure(
        "roc",
        "ROC curves",
        "Share of fakes caught against share of reals called fake, for every threshold on P(fake): the further a curve bends to the upper left, the better. On the right the fakes of one generator at a time, always against all reals, null controls too.".into(),
        430,
        &Curves {
            panels: roc_panels(scores, levels),
            x: "share of reals called fake",
            y: "share of fakes caught",
            range: (0.0, 1.0),
            legend_above: false,
        },
    )
    };

    // Side by side: each takes long.
    let all: [&(dyn Fn() -> Result<Figure, ReportError> + Sync); 5] =
        [&draw_reliability, &draw_by_generator, &draw_of_errors, &draw_rejection, &draw_roc];
    all.par_iter().map(|draw| draw()).collect()
}

/// The figures of likelihood ratios: Tippett and empirical cross-entropy plots of the first recalibration that
/// could be fitted. Errors: a fault in drawing.
pub fn ratio_figures(decisions: &Decisions) -> Result<Vec<Figure>, ReportError> {
    let Some(ratios) = decisions.likelihood_ratios.iter().find(|ratios| ratios.fitted.is_some()) else {
        return Ok(Vec::new());
    };
    let line = |name: &str, color, dash, points: Points| Line { name: name.into(), color, dash, points };
    let steps = |share: fn(&TippettPoint) -> Option<f64>| -> Points {
        let mut points: Points = Vec::new();
        for point in &ratios.tippett {
            let Some(share) = share(point) else { continue };
            // Up to here the share is what it is at this ratio.
            let before = points.last().map_or(-LR_AXIS, |last| last.0);
            points.extend([(before.clamp(-LR_AXIS, LR_AXIS), share), (point.log10_lr.clamp(-LR_AXIS, LR_AXIS), share)]);
        }
        if let Some(&(last, _)) = points.last() {
            points.extend([(last, 0.0), (LR_AXIS, 0.0)]);
        }
        thinned(points)
    };
    let tippett = vec![
        line("fakes", ORANGE, SOLID, steps(|point| point.fakes)),
        line("reals", BLUE, (7, 4), steps(|point| point.reals)),
    ];
    let of = |value: fn(&CrossEntropy) -> f64| -> Points {
        ratios.cross_entropy.iter().map(|point| (point.log10_prior_odds, value(point).min(1.0))).collect()
    };
    let cost = vec![
        line("as they are", ORANGE, SOLID, of(|point| point.system)),
        line("best possible", BLUE, (7, 4), of(|point| point.ideal)),
        line("saying nothing", GREY, (2, 3), of(|point| point.reference)),
    ];
    let panel = |title: &str, lines: Vec<Line>| {
        let empty = lines.iter().all(|line| line.points.is_empty());
        let lines = if empty { Err("needs fakes and reals".to_string()) } else { Ok(lines) };
        vec![CurvePanel { title: title.into(), low: 0.0, lines }]
    };
    let title =
        format!("{} recalibration, {} {}", ratios.recalibration, decisions.evaluated.items, decisions.level.plural());
    Ok(vec![
        figure(
            "tippett",
            "Tippett plot",
            "Share of the fakes, and of the reals, whose likelihood ratio is this large or larger. Right of 0 the evidence speaks for fake: reals that are there mislead, as do fakes left of 0. The ratios are kept within what the calibration split can support, which is where the curves end.".into(),
            400,
            &Curves {
                panels: panel(&title, tippett),
                x: "log10 likelihood ratio",
                y: "share at this ratio or above",
                range: (-LR_AXIS, LR_AXIS),
                legend_above: true,
            },
        )?,
        figure(
            "cross_entropy",
            "Empirical cross-entropy",
            "What using the likelihood ratios costs, in bits, for every opinion of how common fakes are (log10 of the prior odds). Below the dotted line they are worth having; above it, saying nothing would be better. The gap to the dashed line is what better calibration could still save.".into(),
            400,
            &Curves {
                panels: panel(&title, cost),
                x: "log10 prior odds of fake",
                y: "cross-entropy, bits",
                range: (-2.5, 2.5),
                legend_above: true,
            },
        )?,
    ])
}

/// A confusion matrix, the unseen generators below the classes. Errors: a fault in drawing.
pub fn confusion_figure(confusion: &Confusion) -> Result<Figure, ReportError> {
    let rows: Vec<(String, &[u64])> = confusion
        .classes
        .iter()
        .cloned()
        .zip(confusion.counts.iter().map(Vec::as_slice))
        .chain(confusion.unseen.iter().map(|(name, counts)| (format!("{name} (never seen)"), counts.as_slice())))
        .collect();
    figure(
        "confusion",
        "What is called what",
        format!(
            "Each row holds the {} of one class, the fakes of one generator: how many are called what, by the largest probability, and the share of the row, which is also how dark the cell is. Right answers lie on the diagonal. A generator that was never seen has no column of its own: its row shows what it is taken for.",
            confusion.level.plural()
        ),
        70 + 38 * rows.len() as u32,
        &Matrix { columns: &confusion.classes, rows },
    )
}

/// Doubt on reals, on the fakes of seen generators, and on those of each that was never seen; `None` where there are
/// none. Errors: a fault in drawing.
pub fn unseen_figure(scores: &Scores, metrics: &Metrics) -> Result<Option<Figure>, ReportError> {
    let Some(unseen) = metrics.unseen.first() else { return Ok(None) };
    let (set, level) = (&scores.sets[0], unseen.level);
    let items = set.of(level);
    let all: Vec<(usize, Scored)> = drawn(items).map(|i| (scores.unit(set, level, i), scored(items, i))).collect();
    let names: BTreeSet<&str> = unseen.generators.iter().filter_map(|one| one.generator.as_deref()).collect();
    let (mut reals, mut seen) = (Vec::new(), Vec::new());
    let mut by_name: BTreeMap<&str, Vec<&Scored>> = BTreeMap::new();
    for (unit, item) in &all {
        match scores.units.origin(*unit) {
            Origin::Generator(name) => match names.get(name.as_str()) {
                Some(name) => by_name.entry(name).or_default().push(item),
                None if unseen.set_aside.contains(name) => {}
                None => seen.push(item),
            },
            Origin::Real | Origin::Control(_) => reals.push(item),
        }
    }
    let mut rows =
        vec![("reals".to_owned(), Mark::CIRCLE, reals), ("fakes, seen generators".to_owned(), Mark::SQUARE, seen)];
    rows.extend(by_name.into_iter().map(|(name, items)| (format!("{name} (never seen)"), Mark::TRIANGLE, items)));
    let height = 96 + 46 * rows.len() as u32;
    let drawing = figure(
        "unseen",
        "Uncertainty on generators that were never seen",
        format!(
            "One mark is one of the {}, drawn as in the figure of uncertainty by generator. If the detector knows what it does not know, its doubt, and the epistemic part above all, lies further right on the fakes of generators that were left out of its training than on those that it learned.",
            level.plural()
        ),
        height,
        &Boxes::new(kinds_of(set, level), rows),
    )?;
    Ok(Some(drawing))
}

/// Ends of the axis of log10 likelihood ratios.
const LR_AXIS: f64 = 4.0;

// ------------------------------------------------------------------------------------ what is drawn

fn bins(scores: &Scores, level: Level) -> Result<Vec<ReliabilityBin>, StatsError> {
    let kind = if scores.task.positive.is_some() { Confidence::Positive } else { Confidence::Top };
    reliability_of(scores.sets[0].of(level), 15, kind)
}

/// The items of each origin: real, null controls, generators.
fn by_origin<'a>(scores: &Scores, items: &'a [(usize, Scored)]) -> Vec<(Origin, Vec<&'a Scored>)> {
    let mut groups: BTreeMap<Origin, Vec<&Scored>> = BTreeMap::new();
    for (unit, scored) in items {
        groups.entry(scores.units.origin(*unit).clone()).or_default().push(scored);
    }
    groups.into_iter().collect()
}

/// Figures of single items are drawn of at most this many.
const MOST_DRAWN: usize = 200_000;

/// The items that a figure is drawn of: every one or, of more than [`MOST_DRAWN`], every k-th.
fn drawn(items: &Items) -> impl Iterator<Item = usize> {
    (0..items.len()).step_by(items.len().div_ceil(MOST_DRAWN).max(1))
}

/// The points of a curve.
type Points = Vec<(f64, f64)>;

/// Accuracy of what is kept, for each share set aside, by each kind of doubt; and by the best order.
fn rejection(scores: &Scores, level: Level) -> CurvePanel {
    let set = &scores.sets[0];
    let items = set.of(level);
    let errors: Vec<f64> = drawn(items).map(|i| f64::from(u8::from(items.is_error(i)))).collect();
    let doubt = |all: &[f64]| drawn(items).map(|i| all[i]).collect();
    let by = |name: &str, color, dash, doubt: Vec<f64>| Line {
        name: name.into(),
        color,
        dash,
        points: kept_accuracy(&doubt, &errors),
    };
    let mut lines = vec![by("total", BLUE, SOLID, doubt(items.total()))];
    if set.without_epistemic(level).is_none() {
        lines.push(by("epistemic", ORANGE, (7, 4), doubt(items.epistemic())));
    }
    lines.push(by("best possible", GREY, (2, 3), errors.clone()));
    let lowest = lines.iter().flat_map(|line| line.points.iter().map(|p| p.1)).fold(1.0, f64::min);
    let low = ((lowest - 0.05) * 10.0).floor().clamp(0.0, 9.0) / 10.0;
    let lines = if items.is_empty() { Err(format!("there are no {}", level.plural())) } else { Ok(lines) };
    CurvePanel { title: format!("{} {}", items.len(), level.plural()), low, lines }
}

/// `(share set aside, accuracy of the rest)`, the most doubtful first; items of equal doubt go together.
fn kept_accuracy(doubt: &[f64], errors: &[f64]) -> Points {
    let mut items: Vec<(f64, f64)> = doubt.iter().copied().zip(errors.iter().copied()).collect();
    items.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let (mut kept, mut wrong, mut points) = (0.0, 0.0, Vec::new());
    for (at, &(doubt, error)) in items.iter().enumerate() {
        kept += 1.0;
        wrong += error;
        let tied = items.get(at + 1).is_some_and(|next| next.0 == doubt);
        if !tied {
            points.push((1.0 - kept / items.len() as f64, 1.0 - wrong / kept));
        }
    }
    points.reverse();
    thinned(points)
}

/// The ROC curve of each level, and of each generator's fakes against all reals.
fn roc_panels(scores: &Scores, levels: &[Level]) -> Vec<CurvePanel> {
    let guessing = || Line { name: "guessing".into(), color: GREY, dash: (2, 3), points: vec![(0.0, 0.0), (1.0, 1.0)] };
    let panel = |title: String, curves: Vec<(String, Result<Points, String>)>| {
        let mut lines = Vec::new();
        let mut reason = "there are no fakes".to_string();
        for ((name, curve), (color, dash)) in curves.into_iter().zip(LINES) {
            match curve {
                Ok(points) => lines.push(Line { name, color, dash, points }),
                Err(why) => reason = why,
            }
        }
        let lines = if lines.is_empty() { Err(reason) } else { Ok(lines.into_iter().chain([guessing()]).collect()) };
        CurvePanel { title, low: 0.0, lines }
    };
    let all = levels.iter().rev().map(|&level| (level.plural().to_string(), roc(scores, level, |_| true)));
    let top = levels[levels.len() - 1];
    let generators: BTreeSet<&Origin> =
        scores.units.origins().iter().filter(|o| matches!(o, Origin::Generator(_))).collect();
    let hidden = generators.len().saturating_sub(LINES.len());
    let note = if hidden > 0 { format!(" (the first {})", LINES.len()) } else { String::new() };
    let each = generators.into_iter().map(|generator| {
        let chosen = |origin: &Origin| origin == generator || !matches!(origin, Origin::Generator(_));
        (generator.title(), roc(scores, top, chosen))
    });
    vec![
        panel("all generators".into(), all.collect()),
        panel(format!("each generator, {}{note}", top.plural()), each.collect()),
    ]
}

/// False positive rate and true positive rate for each threshold, in a task that knows reals.
fn roc(scores: &Scores, level: Level, chosen: impl Fn(&Origin) -> bool) -> Result<Points, String> {
    let real = real_class(&scores.task).ok_or("no class is named real")?;
    let set = &scores.sets[0];
    let all = set.of(level);
    let mut items: Vec<(f64, bool)> = drawn(all)
        .filter(|&i| chosen(scores.units.origin(scores.unit(set, level, i))))
        .map(|i| (scores.fake_score(all, i), all.label(i) != real))
        .collect();
    items.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    let fakes = items.iter().filter(|item| item.1).count() as f64;
    let reals = items.len() as f64 - fakes;
    if fakes == 0.0 || reals == 0.0 {
        return Err(format!("all {} are {}", level.plural(), if fakes == 0.0 { "real" } else { "fake" }));
    }
    let (mut caught, mut alarms, mut points) = (0.0, 0.0, vec![(0.0, 0.0)]);
    for (at, &(score, fake)) in items.iter().enumerate() {
        if fake {
            caught += 1.0
        } else {
            alarms += 1.0
        }
        if items.get(at + 1).is_none_or(|next| next.0 != score) {
            points.push((alarms / reals, caught / fakes));
        }
    }
    Ok(thinned(points))
}

/// At most 600 points of a curve, the first and the last among them.
fn thinned(points: Points) -> Points {
    let most = 600;
    if points.len() <= most {
        return points;
    }
    (0..most).map(|i| points[i * (points.len() - 1) / (most - 1)]).collect()
}

// ---------------------------------------------------------------------------------------- drawing

/// Something that draws itself on any backend. Lengths in pixels are multiplied by `scale`.
pub(crate) trait Draw {
    fn draw<DB: DrawingBackend>(&self, area: &DrawingArea<DB, Shift>, scale: f64) -> Result<(), String>;
}

/// What went wrong on a backend, in words.
pub(crate) fn said<E: std::fmt::Display>(error: E) -> String {
    error.to_string()
}

/// Makes the embedded fonts known to the drawing library.
pub(crate) fn fonts() -> Result<(), String> {
    static FONTS: OnceLock<bool> = OnceLock::new();
    let registered = FONTS.get_or_init(|| {
        register_font(FAMILY, FontStyle::Normal, REGULAR).is_ok()
            && register_font(FAMILY, FontStyle::Bold, SEMIBOLD).is_ok()
    });
    if *registered { Ok(()) } else { Err("the embedded font cannot be read".into()) }
}

/// Draw one figure as SVG.
pub(crate) fn draw_svg(name: &str, height: u32, what: &impl Draw) -> Result<String, ReportError> {
    svg_of_detail(name, height, 1, what)
}

/// Draw one figure as SVG of which `detail` units are a CSS pixel: the drawing library knows whole units only.
fn svg_of_detail(name: &str, height: u32, detail: u32, what: &impl Draw) -> Result<String, ReportError> {
    let failed = |problem: String| ReportError::Figure { figure: name.into(), problem };
    fonts().map_err(failed)?;
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (detail * WIDTH, detail * height)).into_drawing_area();
        area.fill(&WHITE).map_err(|e| failed(said(e)))?;
        what.draw(&area, f64::from(detail)).map_err(failed)?;
        area.present().map_err(|e| failed(said(e)))?;
    }
    let size = |times: u32| format!("<svg width=\"{}\" height=\"{}\"", times * WIDTH, times * height);
    Ok(svg.replacen(&size(detail), &size(1), 1))
}

/// Draw one figure as SVG, and as PNG of twice the size.
pub(crate) fn figure(
    name: &str,
    title: impl Into<String>,
    caption: String,
    height: u32,
    what: &impl Draw,
) -> Result<Figure, ReportError> {
    let svg = draw_svg(name, height, what)?;
    let png = encoded(name, &bitmap(name, height, what)?)?;
    Ok(Figure { name: name.into(), title: title.into(), caption, svg, png })
}

/// [`figure`], with SVG of finer detail; what is drawn as SVG and what is drawn in pixels.
pub(crate) fn fine_figure(
    name: &str,
    title: &str,
    caption: &str,
    height: u32,
    (fine, pixels): (&impl Draw, &impl Draw),
) -> Result<Figure, ReportError> {
    let svg = fine_svg(name, height, fine)?;
    let png = encoded(name, &bitmap(name, height, pixels)?)?;
    Ok(Figure { name: name.into(), title: title.into(), caption: caption.into(), svg, png })
}

/// Draw one figure as SVG of which [`DETAIL`] units are a CSS pixel.
pub(crate) fn fine_svg(name: &str, height: u32, what: &impl Draw) -> Result<String, ReportError> {
    svg_of_detail(name, height, DETAIL, what)
}

/// Draw one figure as picture of twice its size.
pub(crate) fn bitmap(name: &str, height: u32, what: &impl Draw) -> Result<RgbImage, ReportError> {
    let failed = |problem: String| ReportError::Figure { figure: name.into(), problem };
    fonts().map_err(failed)?;
    let mut picture = RgbImage::from_pixel(2 * WIDTH, 2 * height, image::Rgb([255; 3]));
    {
        let area = BitMapBackend::with_buffer(&mut picture, (2 * WIDTH, 2 * height)).into_drawing_area();
        what.draw(&area, 2.0).map_err(failed)?;
        area.present().map_err(|e| failed(said(e)))?;
    }
    Ok(picture)
}

/// A picture as PNG.
pub(crate) fn encoded(name: &str, picture: &RgbImage) -> Result<Vec<u8>, ReportError> {
    let failed = |e: png::EncodingError| ReportError::Figure { figure: name.into(), problem: said(e) };
    encode_png(picture.as_raw(), picture.width(), picture.height()).map_err(failed)
}

fn encode_png(pixels: &[u8], width: u32, height: u32) -> Result<Vec<u8>, png::EncodingError> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    writer.finish()?;
    Ok(bytes)
}

/// Text of a height in CSS pixels.
pub(crate) fn text<'a>(pixels: f64, color: &'a RGBColor, bold: bool, scale: f64) -> TextStyle<'a> {
    let style = if bold { FontStyle::Bold } else { FontStyle::Normal };
    // The drawing library's size is the height of a line, 1.24 times that of the letters.
    TextStyle::from((FAMILY, pixels * 1.24 * scale, style)).color(color)
}

pub(crate) fn at(style: TextStyle<'_>, horizontal: HPos, vertical: VPos) -> TextStyle<'_> {
    style.pos(Pos::new(horizontal, vertical))
}

/// The axes of one panel.
pub(crate) struct Axes<'a> {
    pub(crate) title: &'a str,
    pub(crate) x: (&'a str, f64, f64),
    pub(crate) y: (&'a str, f64, f64),
    /// Room left of the plot, for the names of rows or the numbers of the axis.
    pub(crate) left: u32,
    /// Whether y has numbers and lines.
    pub(crate) y_lines: bool,
    /// Numbers along x: about how many, and their decimals.
    pub(crate) x_labels: usize,
    pub(crate) decimals: usize,
}

pub(crate) type Chart<'a, DB> = ChartContext<'a, DB, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

pub(crate) fn panel<'a, DB: DrawingBackend>(
    area: &'a DrawingArea<DB, Shift>,
    axes: &Axes,
    scale: f64,
) -> Result<Chart<'a, DB>, String> {
    let px = |pixels: f64| (pixels * scale).round() as u32;
    let (width, _) = area.dim_in_pixel();
    area.draw(&Text::new(
        axes.title.to_string(),
        (px(axes.left as f64) as i32, px(8.0) as i32),
        at(text(14.0, &INK, true, scale), HPos::Left, VPos::Top),
    ))
    .map_err(said)?;
    let mut chart = ChartBuilder::on(area)
        .margin_top(px(36.0))
        .margin_right(px(18.0).min(width / 8))
        .margin_bottom(px(6.0))
        .set_label_area_size(LabelAreaPosition::Left, px(axes.left as f64))
        .set_label_area_size(LabelAreaPosition::Bottom, px(44.0))
        .build_cartesian_2d(axes.x.1..axes.x.2, axes.y.1..axes.y.2)
        .map_err(said)?;
    let decimals = axes.decimals;
    let number = move |value: &f64| format!("{:.decimals$}", value + 0.0);
    // As many decimals as tell one tick from the next.
    let places = (-((axes.y.2 - axes.y.1) / 5.0).log10()).ceil().clamp(1.0, 6.0) as usize;
    let upward = move |value: &f64| format!("{value:.places$}");
    let mut mesh = chart.configure_mesh();
    mesh.light_line_style(TRANSPARENT)
        .bold_line_style(RULE.stroke_width(px(1.0)))
        .axis_style(GREY.stroke_width(px(1.0)))
        .x_labels(axes.x_labels)
        .y_labels(6)
        .x_label_formatter(&number)
        .y_label_formatter(&upward)
        .x_desc(axes.x.0)
        .y_desc(axes.y.0)
        .axis_desc_style(text(12.0, &GREY, false, scale))
        .label_style(text(11.5, &GREY, false, scale))
        .set_all_tick_mark_size(px(3.0));
    if !axes.y_lines {
        mesh.disable_y_mesh().disable_y_axis();
    }
    mesh.draw().map_err(said)?;
    drop(mesh);
    Ok(chart)
}

/// Why there is nothing to see, in the middle of a panel.
pub(crate) fn say_empty<DB: DrawingBackend>(
    area: &DrawingArea<DB, Shift>,
    why: &str,
    scale: f64,
) -> Result<(), String> {
    let (width, height) = area.dim_in_pixel();
    let style = at(text(13.0, &GREY, false, scale), HPos::Center, VPos::Center);
    area.draw(&Text::new(format!("Nothing to draw: {why}"), (width as i32 / 2, height as i32 / 2), style)).map_err(said)
}

/// How a line is dashed: pixels drawn and pixels left out; `(0, 0)` is solid.
pub(crate) type Dash = (i32, i32);
pub(crate) const SOLID: Dash = (0, 0);
/// Colour and dash of the lines of a panel, in order.
const LINES: [(RGBColor, Dash); 6] =
    [(BLUE, SOLID), (ORANGE, (7, 4)), (GREEN, (12, 4)), (PURPLE, SOLID), (SKY, (7, 4)), (OCHRE, (12, 4))];

pub(crate) fn line<DB: DrawingBackend>(
    chart: &mut Chart<'_, DB>,
    points: &[(f64, f64)],
    color: RGBColor,
    width: f64,
    dash: Dash,
    scale: f64,
) -> Result<(), String> {
    let style = color.stroke_width((width * scale).round().max(1.0) as u32);
    if dash.0 == 0 {
        chart.draw_series(LineSeries::new(points.iter().copied(), style)).map_err(said)?;
    } else {
        let (on, off) = (dash.0 as f64 * scale, dash.1 as f64 * scale);
        chart.draw_series(DashedLineSeries::new(points.iter().copied(), on as u32, off as u32, style)).map_err(said)?;
    }
    Ok(())
}

/// A row of line samples with their names, right under the panels' titles.
fn legend<DB: DrawingBackend>(
    area: &DrawingArea<DB, Shift>,
    from: (f64, f64),
    entries: &[(String, RGBColor, Dash)],
    scale: f64,
) -> Result<(), String> {
    let px = |pixels: f64| (pixels * scale).round() as i32;
    let mut y = from.1;
    for (name, color, dash) in entries {
        let style = color.stroke_width(px(2.0) as u32);
        let (mut x, end) = (from.0, from.0 + 26.0);
        let (on, off) = if dash.0 == 0 { (26.0, 0.0) } else { (dash.0 as f64, dash.1 as f64) };
        while x < end {
            let stop = (x + on).min(end);
            area.draw(&PathElement::new(vec![(px(x), px(y)), (px(stop), px(y))], style)).map_err(said)?;
            x = stop + off;
        }
        let words = at(text(12.0, &INK, false, scale), HPos::Left, VPos::Center);
        area.draw(&Text::new(name.clone(), (px(end + 8.0), px(y)), words)).map_err(said)?;
        y += 20.0;
    }
    Ok(())
}

struct Reliability {
    panels: Vec<(Level, Vec<ReliabilityBin>)>,
    what: &'static str,
}

impl Draw for Reliability {
    fn draw<DB: DrawingBackend>(&self, area: &DrawingArea<DB, Shift>, scale: f64) -> Result<(), String> {
        let px = |pixels: f64| (pixels * scale).round() as i32;
        for (part, (level, bins)) in area.split_evenly((1, self.panels.len())).iter().zip(&self.panels) {
            let items: usize = bins.iter().map(|bin| bin.count).sum();
            if items == 0 {
                say_empty(part, &format!("there are no {}", level.plural()), scale)?;
                continue;
            }
            let outcome = if self.what == "P(fake)" { "share that is fake" } else { "share that is right" };
            let title = format!("{items} {}", level.plural());
            let axes = Axes {
                title: &title,
                x: (self.what, 0.0, 1.0),
                y: (outcome, 0.0, 1.0),
                left: 56,
                y_lines: true,
                x_labels: 6,
                decimals: 1,
            };
            let mut chart = panel(part, &axes, scale)?;
            let most = bins.iter().map(|bin| bin.count).max().unwrap_or(1).max(1) as f64;
            let columns = bins.iter().filter(|bin| bin.count > 0).map(|bin| {
                let height = 0.18 * bin.count as f64 / most;
                Rectangle::new([(bin.low + 0.006, 0.0), (bin.high - 0.006, height)], RGBColor(214, 218, 225).filled())
            });
            chart.draw_series(columns).map_err(said)?;
            line(&mut chart, &[(0.0, 0.0), (1.0, 1.0)], GREY, 1.0, (4, 4), scale)?;
            let points: Vec<(f64, f64, f64, f64)> = bins
                .iter()
                .filter_map(|bin| Some((bin.confidence?, bin.accuracy?, bin.accuracy_low?, bin.accuracy_high?)))
                .collect();
            let path: Vec<(f64, f64)> = points.iter().map(|p| (p.0, p.1)).collect();
            line(&mut chart, &path, BLUE, 1.5, SOLID, scale)?;
            let bars = points.iter().map(|&(x, _, low, high)| {
                PathElement::new(vec![(x, low), (x, high)], BLUE.stroke_width(px(1.0) as u32))
            });
            chart.draw_series(bars).map_err(said)?;
            let dots = points.iter().map(|&(x, y, ..)| Circle::new((x, y), px(4.0), BLUE.filled()));
            chart.draw_series(dots).map_err(said)?;
        }
        Ok(())
    }
}

/// Most classes that a matrix is drawn of.
const MOST_CLASSES: usize = 24;

/// Counts by row and column, shaded by their share of the row.
struct Matrix<'a> {
    columns: &'a [String],
    rows: Vec<(String, &'a [u64])>,
}

impl Draw for Matrix<'_> {
    fn draw<DB: DrawingBackend>(&self, area: &DrawingArea<DB, Shift>, scale: f64) -> Result<(), String> {
        if self.columns.len() > MOST_CLASSES {
            let why = format!("{} classes are too many to see; tables/confusion.csv has them", self.columns.len());
            return say_empty(area, &why, scale);
        }
        let px = |pixels: f64| (pixels * scale).round() as i32;
        let (left, top, height) = (206.0, 54.0, 38.0);
        let width = (f64::from(WIDTH) - left - 18.0) / self.columns.len() as f64;
        // Where names are too long they take turns on two lines, so that each has the room of two columns.
        let are_short = self.columns.iter().all(|name| 7.0 * name.chars().count() as f64 <= width);
        let letters = (2.0 * width / 7.0) as usize;
        for (at_column, name) in self.columns.iter().enumerate() {
            let x = left + (at_column as f64 + 0.5) * width;
            let y = if at_column % 2 == 0 && !are_short { 16.0 } else { 36.0 };
            let style = at(text(12.0, &INK, false, scale), HPos::Center, VPos::Center);
            area.draw(&Text::new(shortened(name, letters.max(4)), (px(x), px(y)), style)).map_err(said)?;
        }
        for (at_row, (name, counts)) in self.rows.iter().enumerate() {
            let y = top + at_row as f64 * height;
            let all: u64 = counts.iter().sum();
            let style = at(text(13.0, &INK, false, scale), HPos::Right, VPos::Center);
            let place = (px(left - 14.0), px(y + height / 2.0));
            area.draw(&Text::new(shortened(name, 28), place, style)).map_err(said)?;
            for (at_column, &count) in counts.iter().enumerate() {
                let x = left + at_column as f64 * width;
                let share = if all > 0 { count as f64 / all as f64 } else { 0.0 };
                let corners = [(px(x + 1.0), px(y + 1.0)), (px(x + width - 1.0), px(y + height - 1.0))];
                area.draw(&Rectangle::new(corners, RULE.mix(0.5).filled())).map_err(said)?;
                area.draw(&Rectangle::new(corners, BLUE.mix(share).filled())).map_err(said)?;
                let ink = if share > 0.55 { &WHITE } else { &INK };
                let middle = px(x + width / 2.0);
                let style = at(text(13.0, ink, at_row == at_column, scale), HPos::Center, VPos::Bottom);
                area.draw(&Text::new(count.to_string(), (middle, px(y + height / 2.0 + 3.0)), style)).map_err(said)?;
                let style = at(text(10.0, ink, false, scale), HPos::Center, VPos::Top);
                let percent = format!("{:.0} %", 100.0 * share);
                area.draw(&Text::new(percent, (middle, px(y + height / 2.0 + 3.0)), style)).map_err(said)?;
            }
        }
        Ok(())
    }
}

/// Shape and colour of a group's marks.
#[derive(Clone, Copy)]
struct Mark {
    color: RGBColor,
    shape: Shape,
}

#[derive(Clone, Copy)]
enum Shape {
    Circle,
    Square,
    Triangle,
}

impl Mark {
    const CIRCLE: Self = Self { color: BLUE, shape: Shape::Circle };
    const SQUARE: Self = Self { color: GREEN, shape: Shape::Square };
    const TRIANGLE: Self = Self { color: ORANGE, shape: Shape::Triangle };

    fn of(origin: &Origin) -> Self {
        match origin {
            Origin::Real => Self::CIRCLE,
            Origin::Control(_) => Self::SQUARE,
            Origin::Generator(_) => Self::TRIANGLE,
        }
    }
}

/// A kind of doubt that boxes are drawn of: its name, and its value.
type Kind = (&'static str, fn(&Scored) -> f64);

static KINDS: [Kind; 3] =
    [("total", |item| item.total), ("aleatoric", |item| item.aleatoric), ("epistemic", |item| item.epistemic)];

/// The kinds of doubt that are known on a level.
fn kinds_of(set: &ScoreSet, level: Level) -> &'static [Kind] {
    if set.without_epistemic(level).is_some() { &KINDS[..2] } else { &KINDS }
}

/// A panel for each kind of doubt, a row for each group, a box and its marks in each.
struct Boxes {
    kinds: &'static [Kind],
    /// Name, mark, and the sorted values of each kind.
    rows: Vec<(String, Mark, Vec<Vec<f64>>)>,
}

impl Boxes {
    fn new(kinds: &'static [Kind], groups: Vec<(String, Mark, Vec<&Scored>)>) -> Self {
        let rows = groups.into_iter().map(|(name, mark, items)| {
            let sorted = |of: fn(&Scored) -> f64| {
                let mut values: Vec<f64> = items.iter().map(|item| of(item)).collect();
                values.sort_unstable_by(f64::total_cmp);
                values
            };
            (name, mark, kinds.iter().map(|kind| sorted(kind.1)).collect())
        });
        Self { kinds, rows: rows.collect() }
    }
}

impl Draw for Boxes {
    fn draw<DB: DrawingBackend>(&self, area: &DrawingArea<DB, Shift>, scale: f64) -> Result<(), String> {
        let px = |pixels: f64| (pixels * scale).round() as i32;
        let count = self.rows.len() as f64;
        if self.rows.iter().all(|row| row.2[0].is_empty()) {
            return say_empty(area, "there are no items", scale);
        }
        let names = 206.0;
        let (left, rest) = area.split_horizontally(px(names));
        let (_, height) = area.dim_in_pixel();
        let (top, bottom) = (36.0 * scale, height as f64 - 50.0 * scale);
        for (at_row, (name, _, values)) in self.rows.iter().enumerate() {
            let y = (top + (bottom - top) * (at_row as f64 + 0.5) / count) as i32;
            let short = shortened(name, 28);
            let style = at(text(13.0, &INK, false, scale), HPos::Right, VPos::Bottom);
            left.draw(&Text::new(short, (px(names - 14.0), y + px(1.0)), style)).map_err(said)?;
            let style = at(text(11.0, &GREY, false, scale), HPos::Right, VPos::Top);
            left.draw(&Text::new(format!("n = {}", values[0].len()), (px(names - 14.0), y + px(2.0)), style))
                .map_err(said)?;
        }
        for (which, (part, &(title, _))) in rest.split_evenly((1, self.kinds.len())).iter().zip(self.kinds).enumerate()
        {
            let high = self.rows.iter().filter_map(|row| row.2[which].last()).fold(0.0, |a: f64, &b| a.max(b));
            let high = if high > 0.0 { 1.05 * high } else { 1.0 };
            let decimals = if high < 0.05 { 3 } else { 2 };
            let axes = Axes {
                title,
                x: ("nats", 0.0, high),
                y: ("", 0.0, count),
                left: 10,
                y_lines: false,
                x_labels: 5,
                decimals,
            };
            let mut chart = panel(part, &axes, scale)?;
            for (at_row, (_, mark, values)) in self.rows.iter().enumerate() {
                let middle = count - at_row as f64 - 0.5;
                marks(&mut chart, &values[which], middle, *mark, scale)?;
                if values[which].len() >= 5 {
                    box_plot(&mut chart, &values[which], middle, scale)?;
                }
            }
        }
        Ok(())
    }
}

/// The marks of one row, shifted up and down by a fixed pattern so that they do not hide each other.
fn marks<DB: DrawingBackend>(
    chart: &mut Chart<'_, DB>,
    sorted: &[f64],
    middle: f64,
    mark: Mark,
    scale: f64,
) -> Result<(), String> {
    let size = 3.0 * scale;
    let shown = sorted.len().min(MOST_POINTS);
    for i in 0..shown {
        let value = if shown < 2 { sorted[0] } else { sorted[i * (sorted.len() - 1) / (shown - 1)] };
        // The golden ratio's multiples spread evenly.
        let y = middle + 0.5 * ((i as f64 * 0.618_034).fract() - 0.5);
        let style = mark.color.mix(0.45).filled();
        let s = size.round() as i32;
        match mark.shape {
            Shape::Circle => chart.draw_series([Circle::new((value, y), s, style)]).map_err(said)?,
            Shape::Square => {
                let corner = s - (scale.round() as i32) / 2;
                let square =
                    EmptyElement::at((value, y)) + Rectangle::new([(-corner, -corner), (corner, corner)], style);
                chart.draw_series([square]).map_err(said)?
            }
            Shape::Triangle => {
                chart.draw_series([TriangleMarker::new((value, y), s + (scale.round() as i32), style)]).map_err(said)?
            }
        };
    }
    Ok(())
}

fn box_plot<DB: DrawingBackend>(
    chart: &mut Chart<'_, DB>,
    sorted: &[f64],
    middle: f64,
    scale: f64,
) -> Result<(), String> {
    let [low, first, median, third, high] = [0.05, 0.25, 0.5, 0.75, 0.95].map(|level| quantile(sorted, level));
    let thin = INK.stroke_width(scale.round().max(1.0) as u32);
    let thick = INK.stroke_width((3.0 * scale).round() as u32);
    let half = 0.27;
    let path = |points: Vec<(f64, f64)>, style| PathElement::new(points, style);
    let corners = vec![
        (first, middle - half),
        (first, middle + half),
        (third, middle + half),
        (third, middle - half),
        (first, middle - half),
    ];
    chart
        .draw_series([
            path(corners, thin),
            path(vec![(low, middle), (first, middle)], thin),
            path(vec![(third, middle), (high, middle)], thin),
            path(vec![(median, middle - half), (median, middle + half)], thick),
        ])
        .map_err(said)?;
    Ok(())
}

/// Panels of curves side by side, each with a legend in its lower right corner.
struct Curves {
    panels: Vec<CurvePanel>,
    x: &'static str,
    y: &'static str,
    /// Ends of the x axis.
    range: (f64, f64),
    /// Whether the legend is in the upper right corner instead.
    legend_above: bool,
}

struct CurvePanel {
    title: String,
    /// Where the y axis begins.
    low: f64,
    /// The lines, or why there are none.
    lines: Result<Vec<Line>, String>,
}

struct Line {
    name: String,
    color: RGBColor,
    dash: Dash,
    points: Points,
}

impl Draw for Curves {
    fn draw<DB: DrawingBackend>(&self, area: &DrawingArea<DB, Shift>, scale: f64) -> Result<(), String> {
        for (part, curves) in area.split_evenly((1, self.panels.len())).iter().zip(&self.panels) {
            let lines = match &curves.lines {
                Ok(lines) => lines,
                Err(why) => {
                    say_empty(part, why, scale)?;
                    continue;
                }
            };
            let axes = Axes {
                title: &curves.title,
                x: (self.x, self.range.0, self.range.1),
                y: (self.y, curves.low, 1.0),
                left: 56,
                y_lines: true,
                x_labels: 6,
                decimals: 1,
            };
            let mut chart = panel(part, &axes, scale)?;
            for each in lines.iter().rev() {
                line(&mut chart, &each.points, each.color, 2.0, each.dash, scale)?;
            }
            let (width, height) = part.dim_in_pixel();
            let below = f64::from(height) / scale - 68.0 - 20.0 * (lines.len() as f64 - 1.0);
            let corner = (f64::from(width) / scale - 176.0, if self.legend_above { 44.0 } else { below });
            let entries: Vec<_> = lines.iter().map(|each| (shortened(&each.name, 18), each.color, each.dash)).collect();
            legend(part, corner, &entries, scale)?;
        }
        Ok(())
    }
}

/// A name of at most this many letters.
fn shortened(name: &str, most: usize) -> String {
    if name.chars().count() <= most { name.into() } else { name.chars().take(most - 1).chain(['…']).collect() }
}
