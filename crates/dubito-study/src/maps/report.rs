//! The experiment of maps in words, tables and charts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use dubito_nn::{Quantity, resize, vanishing};
use dubito_report::section::{Axis, Chart, ChartKind, Section, Source, Table, Value};
use dubito_stats::compare::{Comparison, holm};
use dubito_stats::{Bootstrap, Estimate};

use super::patterns::{GRID, Pattern, likeness};
use super::picture::{painted, upper, with_bar, write_png};
use super::{BASELINES, Frame, Item, Judged, MapOptions, Name, compared, mean, picture_path};
use crate::StudyError;

/// A gradient vanishes where it is shorter than this part of the median.
const VANISHING: f64 = 1e-3;
/// What all samples being one network looks like, in nats.
const NO_DOUBT: f64 = 1e-7;
/// Side of a drawn mean map.
const DRAWN: u32 = 192;

/// Place of a quantity among [`Quantity::ALL`].
fn place(quantity: Quantity) -> usize {
    Quantity::ALL.iter().position(|q| *q == quantity).unwrap_or(0)
}

/// One detector's frames, and what they are clustered by.
struct Of<'a> {
    detector: &'a str,
    items: &'a [Item<'a>],
    people: Vec<u32>,
    bootstrap: Bootstrap,
    /// Quantities that it has: no epistemic uncertainty of one network.
    quantities: Vec<Quantity>,
}

impl Of<'_> {
    fn frames(&self) -> impl Iterator<Item = &Frame> {
        self.items.iter().map(|item| &item.frame)
    }

    /// The mean of what frames have, and the interval.
    fn mean(&self, of: impl Fn(&Frame) -> Option<f64>) -> Estimate {
        let found: (Vec<f64>, Vec<u32>) =
            self.items.iter().filter_map(|item| Some((of(&item.frame)?, item.person))).unzip();
        mean(&found.0, &found.1, &self.bootstrap)
    }

    /// Change of a quantity with the true pixels put back in share `k` of a map, frame by frame.
    fn changes(&self, name: &Name, quantity: Quantity, k: usize) -> Option<Vec<f64>> {
        let of = |frame: &Frame| frame.maps.iter().find(|(n, _)| n == name).map(|(_, o)| o.changes[k][place(quantity)]);
        self.frames().map(of).collect()
    }

    fn at_random(&self, quantity: Quantity, k: usize) -> Vec<f64> {
        self.frames().map(|frame| frame.random[k][place(quantity)]).collect()
    }

    /// A map's changes less those at random; both with intervals of their own.
    fn against_random(&self, name: &Name, quantity: Quantity, k: usize) -> Result<Comparison, Estimate> {
        let changes = self.changes(name, quantity, k).ok_or_else(|| Estimate::undefined("a frame has no such map"))?;
        let at_random = self.at_random(quantity, k);
        let found = compared(&changes, &at_random, &self.people, &self.bootstrap)?;
        let [first, second] = [&changes, &at_random].map(|of| mean(of, &self.people, &self.bootstrap));
        Ok(Comparison { first, second, ..found })
    }

    fn names(&self) -> BTreeSet<Name> {
        let all = self.frames().flat_map(|frame| frame.maps.iter().map(|(name, _)| name.clone()));
        all.filter(|name| name.quantity.is_none_or(|q| self.quantities.contains(&q))).collect()
    }

    /// The simpler maps to hold a quantity's map against.
    fn baselines(&self, quantity: Quantity) -> Vec<(Name, &'static str)> {
        let names = self.names();
        let of = |(method, words): (&str, &'static str)| {
            let quantity = (method == "random_network").then_some(quantity);
            (Name { quantity, method: method.to_owned() }, words)
        };
        BASELINES.map(of).into_iter().filter(|(name, _)| names.contains(name)).collect()
    }
}

/// A number with its interval, in words.
pub(crate) fn said(estimate: &Estimate) -> String {
    estimate.in_words(4)
}

fn label(name: &Name) -> String {
    match name.quantity {
        Some(quantity) => format!("{}: {}", quantity.name(), name.method),
        None => name.method.clone(),
    }
}

fn unit(quantity: Quantity) -> &'static str {
    if quantity == Quantity::PFake { "" } else { " nats" }
}

pub(super) fn section(
    judged: &[(String, Vec<Item<'_>>)],
    detectors: &[Judged],
    mut skipped: Vec<String>,
    out: &Path,
    options: &MapOptions,
) -> Result<Section, StudyError> {
    let middle = options.shares.len() / 2;
    let bootstrap = options.bootstrap();
    let all: Vec<Of<'_>> = judged
        .iter()
        .map(|(detector, items)| {
            let has = |q: &Quantity| {
                let known = items.iter().any(|item| item.frame.patterns.iter().any(|(found, _)| found == q));
                known && (*q != Quantity::Epistemic || items.iter().any(|i| i.frame.values[place(*q)].abs() > NO_DOUBT))
            };
            let quantities: Vec<Quantity> = Quantity::ALL.into_iter().filter(has).collect();
            let people = items.iter().map(|item| item.person).collect();
            Of { detector, items, people, bootstrap: bootstrap.clone(), quantities }
        })
        .collect();
    for of in all.iter().filter(|of| !of.quantities.contains(&Quantity::Epistemic)) {
        skipped.push(format!("{}: no map of epistemic uncertainty: all samples are the same network", of.detector));
    }
    let mut findings = Vec::new();
    for of in &all {
        findings.extend(findings_of(of, middle, options));
    }
    let (likenesses, mut patterns_said) = patterns_table(&all, options);
    findings.append(&mut patterns_said);
    let vanishing = vanishing_table(&all);
    let mut charts: Vec<Chart> = all.iter().map(|of| put_back_chart(of, middle, options)).collect();
    charts.push(localisation_chart(&all, options));
    charts.extend(pictures(&all, out)?);
    let frames: usize = judged.iter().map(|(_, items)| items.len()).sum();
    let (videos, people): (BTreeSet<&str>, BTreeSet<u32>) =
        judged.iter().flat_map(|(_, items)| items.iter().map(|item| (item.row.video.as_str(), item.person))).unzip();
    let shares = options.shares.iter().map(|s| format!("{:.0} %", 100.0 * s)).collect::<Vec<_>>().join(", ");
    let sources = detectors.iter().flat_map(|d| d.runs.iter().map(move |run| (d, run))).map(|(detector, run)| Source {
        what: format!("maps of {}", detector.name),
        path: run.dir.display().to_string(),
        command: String::new(),
    });
    Ok(Section {
        name: "maps".into(),
        title: "Uncertainty maps".into(),
        question: "Does an uncertainty hang on the pixels that its map points at, and are these the forged ones? Do maps of one \
                   generator look alike?"
            .into(),
        method: format!(
            "{frames} frames of {} forged videos of {} people, each judged by a detector that never saw them, by {} posterior \
             samples. The true pixels of the untouched video, cut as the fake was, are put back in the strongest {shares} of \
             each map (blurred by 1/32 of the crop's side, then by its size), and in discs of the same area at {} random \
             places. Masks are looked for outside a border of {} pixels. Intervals (95 %) and p-values draw people; findings \
             are of {} at {:.0} %, with Holm's correction over the quantities of a detector. Patterns are compared on {GRID} x \
             {GRID} cells of the aligned crop, between different people.",
            videos.len(),
            people.len(),
            options.samples,
            options.placements,
            options.border,
            method_in_words(options),
            100.0 * options.shares[middle],
        ),
        findings,
        tables: vec![
            put_back_table(&all, options),
            baselines_table(&all, middle, options),
            by_generator_table(&all, middle, options),
            localisation_table(&all),
            vanishing,
            likenesses,
            pairs_table(&all),
        ],
        charts,
        meaning: vec![
            "A map passes where putting the true pixels back at its strongest places changes its own quantity more than at \
             random places and than where every simpler map points: that of a network with random weights, Grad-CAM, a \
             Gaussian at the centre, the picture's edges, and where other people's fakes are usually changed. A map that does \
             not pass says where faces are, or what a network's first layers answer to, and is no explanation of its \
             uncertainty."
                .into(),
            "A random disc may lie beside the face, where nothing was forged: to beat chance is little, to beat the mean mask \
             is much. Seams of what was put back are changes too, in every map alike. Finding the mask is not the same as \
             explaining an uncertainty: what a detector is unsure of may lie outside what was forged."
                .into(),
        ],
        skipped,
        sources: sources.collect(),
    })
}

fn method_in_words(options: &MapOptions) -> String {
    options.methods.first().map_or_else(String::new, |method| format!("the map `{}`", method.name()))
}

/// What is found of one detector: each quantity's first map at the middle share, against chance and the simpler maps.
fn findings_of(of: &Of<'_>, k: usize, options: &MapOptions) -> Vec<String> {
    let method = options.methods[0].name();
    let name = |quantity| Name { quantity: Some(quantity), method: method.to_owned() };
    let share = format!("{:.0} %", 100.0 * options.shares[k]);
    let tests: Vec<(Quantity, Result<Comparison, Estimate>)> =
        of.quantities.iter().map(|&q| (q, of.against_random(&name(q), q, k))).collect();
    let p_values: Vec<f64> =
        tests.iter().map(|(_, t)| t.as_ref().ok().and_then(|c| c.p_value.value).unwrap_or(1.0)).collect();
    let corrected = holm(&p_values).unwrap_or(p_values);
    let mut said_of = Vec::new();
    for ((quantity, test), p) in tests.into_iter().zip(corrected) {
        let words = quantity.in_words();
        let test = match test {
            Ok(test) => test,
            Err(why) => {
                said_of.push(format!("{}: the map of {words} can't be tested: {}.", of.detector, said(&why)));
                continue;
            }
        };
        let beaten = test.difference.low.is_some_and(|low| low > 0.0);
        let changes = of.changes(&name(quantity), quantity, k).unwrap_or_default();
        let mut not_better = Vec::new();
        for (baseline, words) in of.baselines(quantity) {
            let other = of.changes(&baseline, quantity, k).unwrap_or_default();
            let better = compared(&changes, &other, &of.people, &of.bootstrap)
                .is_ok_and(|found| found.difference.low.is_some_and(|low| low > 0.0));
            if !better {
                not_better.push(words);
            }
        }
        let verdict = match (beaten, test.difference.low.is_none(), not_better.is_empty()) {
            (_, true, _) => "there are too few people to say more".to_owned(),
            (true, _, true) => "the map passes: it is better than chance and than every simpler map".to_owned(),
            (true, _, false) => {
                format!(
                    "better than chance, yet the map does not pass: it is not better than {}",
                    not_better.join(", ")
                )
            }
            (false, ..) => "no better than chance: the map does not pass".to_owned(),
        };
        said_of.push(format!(
            "{}: with the true pixels put back in the top {share} of its map, {words} changes by {}{}, at random places by {}; \
             the difference is {} (p = {p:.3}): {verdict}.",
            of.detector,
            said(&test.first),
            unit(quantity),
            said(&test.second),
            said(&test.difference),
        ));
    }
    let best = of
        .quantities
        .iter()
        .map(|&q| name(q))
        .filter_map(|n| Some((auroc(of, &n).value?, n)))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    if let Some((_, best)) = best {
        let baselines: Vec<String> = of
            .names()
            .iter()
            .filter(|n| n.quantity.is_none())
            .map(|n| format!("{} {}", n.method, auroc(of, n).value.map_or("undefined".into(), |v| format!("{v:.3}"))))
            .collect();
        said_of.push(format!(
            "{}: of its maps that of {} finds the mask best, with a pixel AUROC of {}; the simpler maps: {}.",
            of.detector,
            best.quantity.map_or("", Quantity::in_words),
            said(&auroc(of, &best)),
            baselines.join(", ")
        ));
    }
    said_of
}

fn auroc(of: &Of<'_>, name: &Name) -> Estimate {
    of.mean(|frame| frame.maps.iter().find(|(n, _)| n == name)?.1.auroc)
}

fn columns(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn put_back_table(all: &[Of<'_>], options: &MapOptions) -> Table {
    let mut rows: Vec<Vec<Value>> = Vec::new();
    for of in all {
        for name in of.names() {
            let quantities = name.quantity.map_or_else(|| of.quantities.clone(), |q| vec![q]);
            for quantity in quantities {
                for (k, share) in options.shares.iter().enumerate() {
                    let [first, second, difference, p] = match of.against_random(&name, quantity, k) {
                        Ok(found) => [found.first, found.second, found.difference, found.p_value],
                        Err(why) => [(); 4].map(|()| why.clone()),
                    };
                    let share = format!("{:.0} %", 100.0 * share);
                    let texts = [of.detector.to_owned(), label(&name), quantity.name().to_owned(), share];
                    rows.push(
                        texts
                            .into_iter()
                            .map(Value::from)
                            .chain([first, second, difference, p].map(Value::from))
                            .collect(),
                    );
                }
            }
        }
    }
    Table {
        name: "put_back".into(),
        title: "True pixels put back".into(),
        caption: "Mean size of the change of a quantity (nats; P(fake) as it is) with the true pixels put back in a share of the \
                  crop: where the map is strongest, and in discs at random places. The p-value is of no difference, not \
                  corrected."
            .into(),
        columns: columns(&["detector", "map", "quantity", "share", "in the map", "at random", "difference", "p"]),
        rows,
    }
}

fn baselines_table(all: &[Of<'_>], k: usize, options: &MapOptions) -> Table {
    let mut rows: Vec<Vec<Value>> = Vec::new();
    for of in all {
        for &quantity in &of.quantities {
            for method in &options.methods {
                let name = Name { quantity: Some(quantity), method: method.name().to_owned() };
                let Some(changes) = of.changes(&name, quantity, k) else { continue };
                let mut row: Vec<Value> = vec![of.detector.into(), label(&name).into()];
                for (method, _) in BASELINES {
                    let quantity_of = (method == "random_network").then_some(quantity);
                    let other = of.changes(&Name { quantity: quantity_of, method: method.to_owned() }, quantity, k);
                    let found = other.map_or_else(
                        || Estimate::undefined("there is no such map"),
                        |other| {
                            compared(&changes, &other, &of.people, &of.bootstrap).map_or_else(|e| e, |c| c.difference)
                        },
                    );
                    row.push(found.into());
                }
                rows.push(row);
            }
        }
    }
    let mut heads = columns(&["detector", "map"]);
    heads.extend(BASELINES.map(|(name, _)| format!("less {name}")));
    Table {
        name: "against_simpler_maps".into(),
        title: format!("Against simpler maps, at {:.0} %", 100.0 * options.shares[k]),
        caption: "Change of the map's own quantity where the true pixels are put back in the map, less that where they are put \
                  back in a simpler one of the same area. Above 0 the map is better."
            .into(),
        columns: heads,
        rows,
    }
}

fn by_generator_table(all: &[Of<'_>], k: usize, options: &MapOptions) -> Table {
    let method = options.methods[0].name();
    let mut rows: Vec<Vec<Value>> = Vec::new();
    for of in all {
        let generators: BTreeSet<&str> = of.items.iter().map(|item| item.row.generator.as_str()).collect();
        for generator in generators {
            let mine: Vec<Item<'_>> = of.items.iter().filter(|item| item.row.generator == generator).cloned().collect();
            let part = Of {
                detector: of.detector,
                items: &mine,
                people: mine.iter().map(|item| item.person).collect(),
                bootstrap: of.bootstrap.clone(),
                quantities: of.quantities.clone(),
            };
            let mut row: Vec<Value> = vec![of.detector.into(), generator.into(), mine.len().into()];
            for quantity in Quantity::ALL {
                let name = Name { quantity: Some(quantity), method: method.to_owned() };
                let found = match of.quantities.contains(&quantity) {
                    true => part.against_random(&name, quantity, k).map_or_else(|e| e, |found| found.difference),
                    false => Estimate::undefined("the detector has no such quantity"),
                };
                row.push(found.into());
            }
            row.push(part.mean(|frame| Some(frame.masked)).into());
            rows.push(row);
        }
    }
    let mut heads = columns(&["detector", "generator", "frames"]);
    heads.extend(Quantity::ALL.map(|q| q.name().to_owned()));
    heads.push("mask's share of the crop".into());
    Table {
        name: "put_back_by_generator".into(),
        title: format!("True pixels put back in the top {:.0} %, by generator", 100.0 * options.shares[k]),
        caption: format!("Change of each quantity in its map `{method}`, less that at random places."),
        columns: heads,
        rows,
    }
}

fn localisation_table(all: &[Of<'_>]) -> Table {
    let mut rows: Vec<Vec<Value>> = Vec::new();
    for of in all {
        for name in of.names() {
            let outcome =
                |frame: &Frame| frame.maps.iter().find(|(n, _)| *n == name).map(|(_, outcome)| outcome.clone());
            let frames = of.frames().filter(|frame| outcome(frame).is_some_and(|o| o.auroc.is_some())).count();
            rows.push(vec![
                of.detector.into(),
                label(&name).into(),
                auroc(of, &name).into(),
                of.mean(|frame| outcome(frame)?.precision).into(),
                of.mean(|frame| outcome(frame)?.hit.map(|hit| f64::from(u8::from(hit)))).into(),
                of.mean(|frame| outcome(frame)?.auroc.map(|_| frame.masked)).into(),
                frames.into(),
            ]);
        }
    }
    Table {
        name: "localisation".into(),
        title: "Does the map find what was forged?".into(),
        caption: "Means over frames: the pixel AUROC of the map against the mask (chance 0.5), average precision (chance: the \
                  mask's share), and how often the strongest pixel lies in the mask (pointing game; chance: the mask's share)."
            .into(),
        columns: columns(&["detector", "map", "AUROC", "average precision", "pointing game", "mask's share", "frames"]),
        rows,
    }
}

fn vanishing_table(all: &[Of<'_>]) -> Table {
    let mut rows: Vec<Vec<Value>> = Vec::new();
    for of in all {
        for &quantity in &of.quantities {
            let length =
                |frame: &Frame| frame.gradients.iter().find(|(q, _)| *q == quantity).map(|(_, length)| *length);
            let lengths: Vec<f64> = of.frames().filter_map(length).collect();
            let people: Vec<u32> = of.items.iter().filter(|i| length(&i.frame).is_some()).map(|i| i.person).collect();
            let vanish: Vec<f64> = vanishing(&lengths, VANISHING).into_iter().map(|v| f64::from(u8::from(v))).collect();
            let found =
                |frame: &Frame| frame.completeness.iter().find(|(q, _)| *q == quantity).map(|(_, found)| *found);
            rows.push(vec![
                of.detector.into(),
                quantity.name().into(),
                mean(&vanish, &people, &of.bootstrap).into(),
                of.mean(|frame| length(frame)).into(),
                of.mean(|frame| found(frame).map(|[sum, difference]| (sum - difference).abs())).into(),
                of.mean(|frame| found(frame).map(|[_, difference]| difference.abs())).into(),
            ]);
        }
    }
    Table {
        name: "vanishing".into(),
        title: "Can the gradients be used?".into(),
        caption: format!(
            "The share of frames whose gradient is shorter than {VANISHING} of the median (binary entropy is flat where P(fake) \
             is 0.5, and where it is 0 or 1 in single precision): there a map shows rounding. And how well integrated gradients \
             add up: the mean gap between their sum and the difference from the blurred picture, beside that difference."
        ),
        columns: columns(&["detector", "quantity", "share that vanishes", "mean length", "gap", "difference"]),
        rows,
    }
}

fn patterns_table(all: &[Of<'_>], options: &MapOptions) -> (Table, Vec<String>) {
    let (mut rows, mut findings): (Vec<Vec<Value>>, Vec<String>) = (Vec::new(), Vec::new());
    for of in all {
        for &quantity in &of.quantities {
            let found = likeness(&video_patterns(of, quantity), options.seed);
            let mut row: Vec<Value> = vec![of.detector.into(), quantity.name().into()];
            match found {
                Ok(found) => {
                    let [low, high] = found.chance;
                    row.extend([found.within, found.between].map(|v| Value::from(Estimate::point(v))));
                    row.push(Estimate::point(found.within - found.between).into());
                    row.push(format!("{low:.4} to {high:.4}").into());
                    row.push(Estimate::point(found.p_value).into());
                    row.push(found.videos.into());
                    let difference = found.within - found.between;
                    let (alike, lies) = match difference {
                        above if above > high => ("alike, beyond chance", "above"),
                        below if below < low => ("less alike than by chance", "below"),
                        _ => ("no more alike than by chance", "within"),
                    };
                    findings.push(format!(
                        "{}: maps of {} of one generator are {alike}: rank correlation {:.3} within generators, {:.3} between \
                         them; the difference of {difference:.4} lies {lies} what chance gives ({low:.4} to {high:.4}, p = {:.3}).",
                        of.detector,
                        quantity.in_words(),
                        found.within,
                        found.between,
                        found.p_value
                    ));
                }
                Err(why) => {
                    row.extend([(); 3].map(|()| Value::from(why.clone())));
                    row.extend(["".into(), why.clone().into(), Value::from(0)]);
                }
            }
            rows.push(row);
        }
    }
    let table = Table {
        name: "patterns".into(),
        title: "Do maps of one generator look alike?".into(),
        caption: "Mean rank correlation of two people's mean maps, by one generator and by two; the range that 95 % of 999 random \
                  labellings give (each person's videos exchange their generators), and the two-sided p-value of the difference \
                  among them: below .05 where it lies outside that range."
            .into(),
        columns: columns(&["detector", "quantity", "within", "between", "difference", "by chance", "p", "videos"]),
        rows,
    };
    (table, findings)
}

/// The mean pattern of each video.
fn video_patterns(of: &Of<'_>, quantity: Quantity) -> Vec<Pattern> {
    let generators: BTreeSet<&str> = of.items.iter().map(|item| item.row.generator.as_str()).collect();
    let generators: Vec<&str> = generators.into_iter().collect();
    let mut videos: BTreeMap<&str, (Pattern, f32)> = BTreeMap::new();
    for item in of.items {
        let Some((_, cells)) = item.frame.patterns.iter().find(|(q, _)| *q == quantity) else { continue };
        let generator = generators.binary_search(&item.row.generator.as_str()).unwrap_or(0);
        let begin = || (Pattern { person: item.person, generator, cells: vec![0.0; cells.len()] }, 0.0);
        let (pattern, count) = videos.entry(&item.row.video).or_insert_with(begin);
        pattern.cells.iter_mut().zip(cells).for_each(|(sum, v)| *sum += v);
        *count += 1.0;
    }
    let mean = |(mut pattern, count): (Pattern, f32)| {
        pattern.cells.iter_mut().for_each(|v| *v /= count);
        pattern
    };
    videos.into_values().map(mean).collect()
}

fn pairs_table(all: &[Of<'_>]) -> Table {
    let mut rows: Vec<Vec<Value>> = Vec::new();
    // Every detector sees the same pairs.
    if let Some(of) = all.first() {
        let generators: BTreeSet<&str> = of.items.iter().map(|item| item.row.generator.as_str()).collect();
        for generator in generators {
            let of_generator = |k: usize| {
                let (values, people): (Vec<f64>, Vec<u32>) = of
                    .items
                    .iter()
                    .filter(|item| item.row.generator == generator)
                    .filter_map(|item| Some((item.frame.differences[k]?, item.person)))
                    .unzip();
                mean(&values, &people, &of.bootstrap)
            };
            rows.push(vec![generator.into(), of_generator(1).into(), of_generator(0).into()]);
        }
    }
    Table {
        name: "pairs".into(),
        title: "Are fake and true frames cut alike?".into(),
        caption: "Mean difference of a pixel's value (0 to 255) between the fake and the untouched frame in the same crop. Outside \
                  the mask it is what encoding and blending leave; were it as large as inside, the frames would not fit together."
            .into(),
        columns: columns(&["generator", "inside the mask", "outside the mask"]),
        rows,
    }
}

fn put_back_chart(of: &Of<'_>, k: usize, options: &MapOptions) -> Chart {
    let method = options.methods[0].name();
    let mut series: Vec<(String, Vec<Estimate>)> = Vec::new();
    let bar = |values: Option<Vec<f64>>| match values {
        Some(values) => mean(&values, &of.people, &of.bootstrap),
        None => Estimate::undefined("there is no such map"),
    };
    let own = |q: Quantity| bar(of.changes(&Name { quantity: Some(q), method: method.to_owned() }, q, k));
    series.push(("its own map".into(), of.quantities.iter().map(|&q| own(q)).collect()));
    series.push(("random places".into(), of.quantities.iter().map(|&q| bar(Some(of.at_random(q, k)))).collect()));
    for (name, _) in BASELINES {
        let one = |&q: &Quantity| {
            let quantity = (name == "random_network").then_some(q);
            bar(of.changes(&Name { quantity, method: name.to_owned() }, q, k))
        };
        series.push((name.replace('_', " "), of.quantities.iter().map(one).collect()));
    }
    let ending: String = of.detector.chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect();
    Chart {
        name: format!("put_back_{ending}"),
        title: format!("{}: true pixels put back in {:.0} % of the crop", of.detector, 100.0 * options.shares[k]),
        caption: "How much each quantity changes, by where the true pixels are put back; intervals (95 %) draw people. A map is \
                  worth something where its own mark lies right of all others."
            .into(),
        kind: ChartKind::Dots {
            rows: of.quantities.iter().map(|q| q.in_words().to_owned()).collect(),
            series,
            x: Axis { label: "change (nats; P(fake) as it is)".into(), ..Axis::default() },
            reference: None,
        },
    }
}

fn localisation_chart(all: &[Of<'_>], options: &MapOptions) -> Chart {
    let method = options.methods.first().map_or("", |m| m.name());
    let wanted = |name: &Name| name.quantity.is_none() || name.method == method || name.method == "random_network";
    let names: BTreeSet<Name> = all.iter().flat_map(Of::names).filter(wanted).collect();
    let of_detector = |of: &Of<'_>| (of.detector.to_owned(), names.iter().map(|name| auroc(of, name)).collect());
    Chart {
        name: "localisation".into(),
        title: "Does the map find what was forged?".into(),
        caption: "Pixel AUROC of each map against the mask, the border left out; means over frames, intervals (95 %) draw people."
            .into(),
        kind: ChartKind::Dots {
            rows: names.iter().map(label).collect(),
            series: all.iter().map(of_detector).collect(),
            x: Axis { label: "pixel AUROC".into(), ..Axis::default() },
            reference: Some(("chance".into(), 0.5)),
        },
    }
}

/// Mean maps of each generator as pictures, for each detector those of its epistemic (else total) uncertainty.
fn pictures(all: &[Of<'_>], out: &Path) -> Result<Vec<Chart>, StudyError> {
    let mut charts = Vec::new();
    for of in all {
        let preferred = [Quantity::Epistemic, Quantity::Total];
        let Some(quantity) = preferred.into_iter().find(|q| of.quantities.contains(q)) else { continue };
        let mut sums: BTreeMap<&str, (Vec<f32>, f32)> = BTreeMap::new();
        for item in of.items {
            let Some((_, cells)) = item.frame.patterns.iter().find(|(q, _)| *q == quantity) else { continue };
            let (sum, count) = sums.entry(&item.row.generator).or_insert_with(|| (vec![0.0; cells.len()], 0.0));
            sum.iter_mut().zip(cells).for_each(|(sum, v)| *sum += v);
            *count += 1.0;
        }
        let means: BTreeMap<&str, Vec<f32>> =
            sums.into_iter().map(|(name, (sum, n))| (name, sum.into_iter().map(|v| v / n).collect())).collect();
        // One scale for all generators.
        let end = upper(&means.values().flatten().copied().collect::<Vec<_>>(), 0.995);
        let mut tiles = Vec::new();
        for (generator, cells) in &means {
            let grid = cells.len().isqrt();
            let large = resize(cells, [grid; 2], [DRAWN as usize; 2]);
            let (name, path) = picture_path(out, &["mean", of.detector, quantity.name(), generator]);
            write_png(&path, &with_bar(&painted(&large, DRAWN, end)))?;
            tiles.push(((*generator).to_owned(), name));
        }
        let ending: String = of.detector.chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect();
        charts.push(Chart {
            name: format!("mean_maps_{ending}"),
            title: format!("{}: mean maps of {}", of.detector, quantity.in_words()),
            caption: format!(
                "On the aligned crop, each frame's map divided by its sum; dark is 0, light is {end:.5} of the map's sum in a \
                 cell of 1/32 of the crop, in all pictures alike."
            ),
            kind: ChartKind::Pictures { columns: 5, tiles },
        });
    }
    Ok(charts)
}
