//! Fakes that every detector has scored, with the features of all detectors side by side, their people and folds.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use dubito_stats::classify::{Matrix, Standard};

use super::features::{Detector, Kind, Video};
use crate::ReportError;
use crate::input::rows::mixed;
use crate::input::{self, FACTS, Fault, Table, Wanted};

/// Folds that are made where the predictions name none.
const FOLDS: usize = 5;
/// A generator of fewer people than this is left out: nothing can be said of it.
const FEWEST_PEOPLE: usize = 3;

/// A feature of one detector.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// `detector.feature`.
    pub name: String,
    /// Index in [`Fakes::detectors`]; `None` of a further column.
    pub detector: Option<usize>,
    /// The feature's own name.
    pub feature: String,
    /// What it is made of.
    pub kind: Kind,
}

/// The fakes that are told apart, with their features.
#[derive(Clone, Debug, PartialEq)]
pub struct Fakes {
    /// Each detector's name, and its classes where it tells more than real from fake.
    pub detectors: Vec<(String, Option<Vec<String>>)>,
    /// What the columns of `x` are.
    pub columns: Vec<Column>,
    /// The features, a row for each fake; NaN where one is not defined.
    pub x: Matrix,
    /// The fakes' names, sorted.
    pub videos: Vec<String>,
    /// The generators, sorted.
    pub generators: Vec<String>,
    /// The generator of each fake.
    pub labels: Vec<usize>,
    /// The people, sorted (the videos, where people are not known).
    pub people: Vec<String>,
    /// The person of each fake, whose videos are resampled as one.
    pub person: Vec<u32>,
    /// The folds, sorted.
    pub folds: Vec<String>,
    /// The fold of each fake.
    pub fold: Vec<usize>,
    /// Whether the folds are the predictions' own.
    pub folds_are_given: bool,
    /// Whether people are known.
    pub people_are_known: bool,
    /// What was left out, and why.
    pub notes: Vec<String>,
}

fn lacks(problem: impl Into<String>, hint: impl Into<String>) -> ReportError {
    ReportError::Experiment { problem: problem.into(), hint: hint.into() }
}

/// Give detectors of one name the name of their folder too, and a number where that is the same.
pub(crate) fn name_apart(detectors: &mut [(PathBuf, Detector)]) {
    let count =
        |detectors: &[(PathBuf, Detector)], name: &str| detectors.iter().filter(|(_, d)| d.name == name).count();
    let names: Vec<String> = detectors
        .iter()
        .map(|(path, detector)| {
            let absolute = path.canonicalize().unwrap_or_else(|_| path.clone());
            let folder = absolute.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
            match folder {
                Some(folder) if count(detectors, &detector.name) > 1 => format!("{} ({folder})", detector.name),
                _ => detector.name.clone(),
            }
        })
        .collect();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for ((_, detector), name) in detectors.iter_mut().zip(names) {
        let times = seen.entry(name.clone()).or_default();
        *times += 1;
        detector.name = if *times > 1 { format!("{name} #{times}") } else { name };
    }
}

/// Join the detectors' fakes (those that all have scored) and a table of further columns. Errors: detectors that say
/// different things of one fake, a person in two folds, fewer than two generators, people or folds.
pub(crate) fn join(
    detectors: Vec<Detector>,
    further: Option<&Path>,
    only: &BTreeSet<String>,
    seed: u64,
) -> Result<Fakes, ReportError> {
    let mut notes: Vec<String> = detectors.iter().flat_map(|detector| detector.notes.clone()).collect();
    let Some(first) = detectors.first() else {
        return Err(lacks("no predictions were given", "give one predictions.parquet or more"));
    };
    let all: BTreeSet<&String> = detectors.iter().flat_map(|detector| detector.videos.keys()).collect();
    let is_shared = |video: &&&String| detectors.iter().all(|detector| detector.videos.contains_key(**video));
    let mut videos: Vec<String> = all.iter().filter(is_shared).map(|video| (*video).clone()).collect();
    if videos.len() < all.len() {
        let left_out = all.len() - videos.len();
        notes.push(format!("{left_out} of {} fakes were not scored by every detector, and are left out", all.len()));
    }
    agree(&detectors, &videos)?;
    let further = further.map(|path| read_further(path)).transpose()?;
    if let Some((path, table)) = &further {
        let before = videos.len();
        videos.retain(|video| table.rows.contains_key(video));
        if videos.len() < before {
            let left_out = before - videos.len();
            notes.push(format!("{left_out} of {before} fakes are not in {}, and are left out", path.display()));
        }
    }
    let of = |video: &String| &first.videos[video];
    if !only.is_empty() {
        videos.retain(|video| only.contains(&of(video).generator));
    }
    let people_are_known = videos.iter().all(|video| of(video).person.is_some());
    if !people_are_known {
        notes.push(
            "some fakes name no identity, so each video counts as a person of its own: intervals may be too short, and a \
             person may be in several folds"
                .into(),
        );
    }
    let person_of = |video: &String| match people_are_known {
        true => of(video).person.clone().unwrap_or_default(),
        false => video.clone(),
    };
    let mut of_generator: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for video in &videos {
        of_generator.entry(of(video).generator.clone()).or_default().insert(person_of(video));
    }
    for (generator, people) in of_generator.iter().filter(|(_, people)| people.len() < FEWEST_PEOPLE) {
        let (found, plural) = (people.len(), if people.len() == 1 { "person" } else { "people" });
        notes.push(format!("{generator} is left out: its fakes show {found} {plural}, {FEWEST_PEOPLE} are needed"));
    }
    of_generator.retain(|_, people| people.len() >= FEWEST_PEOPLE);
    videos.retain(|video| of_generator.contains_key(&of(video).generator));
    let generators: Vec<String> = of_generator.into_keys().collect();
    if generators.len() < 2 {
        let found = match generators.as_slice() {
            [] => "no generator".to_owned(),
            [one] => format!("one generator ({one})"),
            _ => String::new(),
        };
        let problem = format!(
            "the fakes are of {found}: to tell a source there must be two or more, of {FEWEST_PEOPLE} people each"
        );
        let hint =
            "give predictions of fakes by several generators (column `generator`), with the people in `identity`";
        return Err(lacks(problem, hint));
    }
    let people: Vec<String> = videos.iter().map(person_of).collect::<BTreeSet<_>>().into_iter().collect();
    let person: Vec<u32> =
        videos.iter().map(|video| people.binary_search(&person_of(video)).unwrap_or(0) as u32).collect();
    let labels: Vec<usize> =
        videos.iter().map(|video| generators.binary_search(&of(video).generator).unwrap_or(0)).collect();
    let (folds, fold, folds_are_given) = folds(first, &videos, &person, &people, seed, &mut notes)?;

    let (mut columns, mut values) = (Vec::new(), vec![Vec::new(); videos.len()]);
    for (at, detector) in detectors.iter().enumerate() {
        for (feature, kind) in &detector.features {
            let name = format!("{}.{feature}", detector.name);
            columns.push(Column { name, detector: Some(at), feature: feature.clone(), kind: *kind });
        }
        for (row, video) in values.iter_mut().zip(&videos) {
            row.extend_from_slice(&detector.videos[video].values);
        }
    }
    if let Some((_, table)) = &further {
        let further =
            |name: &String| Column { name: name.clone(), detector: None, feature: name.clone(), kind: Kind::Further };
        columns.extend(table.names.iter().map(further));
        for (row, video) in values.iter_mut().zip(&videos) {
            row.extend_from_slice(&table.rows[video]);
        }
    }
    let place = |source| ReportError::Stats { place: "features".into(), source };
    let x = Matrix::new(videos.len(), columns.len(), values.concat()).map_err(place)?;
    let (columns, x) = useful(columns, x, &mut notes);
    Ok(Fakes {
        detectors: detectors.into_iter().map(|detector| (detector.name, detector.classes)).collect(),
        columns,
        x,
        videos,
        generators,
        labels,
        people,
        person,
        folds,
        fold,
        folds_are_given,
        people_are_known,
        notes,
    })
}

/// That all detectors say the same of each fake.
fn agree(detectors: &[Detector], videos: &[String]) -> Result<(), ReportError> {
    let Some((first, others)) = detectors.split_first() else { return Ok(()) };
    for other in others {
        for video in videos {
            let (a, b) = (&first.videos[video], &other.videos[video]);
            let facts = |v: &Video| {
                let text = |text: &Option<String>| text.clone().unwrap_or_default();
                [v.generator.clone(), text(&v.person), text(&v.fold)]
            };
            let names = ["generator", "identity", "fold"];
            if let Some((name, (a, b))) = names.iter().zip(facts(a).iter().zip(&facts(b))).find(|(_, (a, b))| a != b) {
                return Err(lacks(
                    format!("{video}: its {name} is \"{a}\" by {} and \"{b}\" by {}", first.name, other.name),
                    "give predictions of the same videos, by detectors trained on the same folds of people",
                ));
            }
        }
    }
    Ok(())
}

/// The folds' names, the fold of each fake, and whether they are the predictions' own.
fn folds(
    first: &Detector,
    videos: &[String],
    person: &[u32],
    people: &[String],
    seed: u64,
    notes: &mut Vec<String>,
) -> Result<(Vec<String>, Vec<usize>, bool), ReportError> {
    let of = |video: &String| &first.videos[video];
    let given: BTreeSet<String> = videos.iter().filter_map(|video| of(video).fold.clone()).collect();
    if given.len() >= 2 && videos.iter().all(|video| of(video).fold.is_some()) {
        let names: Vec<String> = given.into_iter().collect();
        let at = |video: &String| names.binary_search(of(video).fold.as_ref().unwrap_or(&String::new())).unwrap_or(0);
        let fold: Vec<usize> = videos.iter().map(at).collect();
        let mut of_person = vec![None; people.len()];
        for (&person, &fold) in person.iter().zip(&fold) {
            let known = of_person[person as usize].get_or_insert(fold);
            if *known != fold {
                let (a, b) = (&names[*known], &names[fold]);
                return Err(lacks(
                    format!("{} is in the folds {a} and {b}: a person must be in one", people[person as usize]),
                    "split by people, or leave the column `fold` out: folds of people are made then",
                ));
            }
        }
        let place: BTreeMap<&String, usize> =
            people.iter().zip(&of_person).filter_map(|(name, fold)| Some((name, (*fold)?))).collect();
        let crossing = videos.iter().zip(&fold).filter(|(video, fold)| {
            of(video).donor.as_ref().and_then(|donor| place.get(donor)).is_some_and(|other| other != *fold)
        });
        let crossing = crossing.count();
        if crossing > 0 {
            notes.push(format!(
                "{crossing} of {} fakes have a donor who is a target in another fold: of these the donor's face may have been \
                 seen",
                videos.len()
            ));
        }
        return Ok((names, fold, true));
    }
    if people.len() < 2 {
        let hint = "give predictions of fakes that show several people (column `identity`)";
        return Err(lacks("all fakes show one person: nobody is left to test on", hint));
    }
    // Whole people, the largest first (by a draw among equals) into the smallest fold.
    let count = FOLDS.min(people.len());
    let mut sizes = vec![0usize; people.len()];
    person.iter().for_each(|&person| sizes[person as usize] += 1);
    let key = |at: usize| people[at].bytes().fold(mixed(seed), |hash, byte| mixed(hash ^ u64::from(byte)));
    let mut order: Vec<usize> = (0..people.len()).collect();
    order.sort_by_key(|&at| (std::cmp::Reverse(sizes[at]), key(at)));
    let (mut filled, mut of_person) = (vec![0usize; count], vec![0usize; people.len()]);
    for at in order {
        let smallest = (0..count).min_by_key(|&fold| filled[fold]).unwrap_or(0);
        filled[smallest] += sizes[at];
        of_person[at] = smallest;
    }
    let fold = person.iter().map(|&person| of_person[person as usize]).collect();
    notes.push(format!("the predictions name no folds: {count} folds of people were made by seed {seed}"));
    Ok(((1..=count).map(|k| format!("fold{k}")).collect(), fold, false))
}

/// The columns that can tell something: known of half the fakes or more, and not the same of all.
fn useful(columns: Vec<Column>, x: Matrix, notes: &mut Vec<String>) -> (Vec<Column>, Matrix) {
    let standard = Standard::of(&x);
    let known = |j: usize| 2 * x.column(j).filter(|v| !v.is_nan()).count() >= x.rows();
    let (mut kept, mut constant, mut unknown) = (Vec::new(), Vec::new(), Vec::new());
    for (j, column) in columns.iter().enumerate() {
        let name = || column.name.clone();
        match (known(j), standard.is_constant(j)) {
            (false, _) => unknown.push(name()),
            (true, true) => constant.push(name()),
            (true, false) => kept.push(j),
        }
    }
    let mut say = |names: &[String], why: &str| {
        if !names.is_empty() {
            let shown = names.iter().take(6).cloned().collect::<Vec<_>>().join(", ");
            let more = if names.len() > 6 { ", ..." } else { "" };
            notes.push(format!("{} features are left out, {why}: {shown}{more}", names.len()));
        }
    };
    say(&constant, "being the same for all fakes");
    say(&unknown, "being undefined for more than half of the fakes");
    let rows: Vec<usize> = (0..x.rows()).collect();
    let x = x.select(&rows, &kept);
    let missing = (0..x.columns()).map(|j| x.column(j).filter(|v| v.is_nan()).count()).sum::<usize>();
    if missing > 0 {
        notes.push(format!(
            "{missing} of {} values are undefined (too few frames, or empty cells) and count as their feature's mean",
            x.rows() * x.columns()
        ));
    }
    let columns = kept.iter().map(|&j| columns[j].clone()).collect();
    (columns, x)
}

/// Further columns by video.
struct Further {
    names: Vec<String>,
    rows: BTreeMap<String, Vec<f64>>,
}

/// A table with the column `video` and numbers. Errors: no such columns, a video twice, a cell that is no number.
fn read_further(path: &Path) -> Result<(&Path, Further), ReportError> {
    let table = Table::open(path)?;
    let missing = |expected: &str| ReportError::MissingColumn {
        path: path.into(),
        expected: expected.into(),
        found: table.names.clone(),
    };
    let video = table.names.iter().position(|name| name == "video").ok_or_else(|| missing("video"))?;
    let named = ["video", "label", "item", "detector", "split", "fold"];
    let is_number = |name: &str| !named.contains(&name) && !FACTS.contains(&name);
    let mut wanted = vec![Wanted {
        column: video,
        name: "video".into(),
        kind: input::Kind::Name,
        expected: "the name of the video",
    }];
    for (column, name) in table.names.iter().enumerate().filter(|(_, name)| is_number(name)) {
        let expected = "a number (or nothing): leave columns of text out";
        wanted.push(Wanted { column, name: name.clone(), kind: input::Kind::Number, expected });
    }
    if wanted.len() < 2 {
        return Err(missing("a feature (a column of numbers beside `video`)"));
    }
    let names = wanted[1..].iter().map(|w| w.name.clone()).collect();
    let mut rows = BTreeMap::new();
    table.read(
        &wanted,
        |block| {
            let values = |row| (1..wanted.len()).map(|slot| block.number(slot, row).unwrap_or(f64::NAN)).collect();
            Ok((0..block.rows).map(|row| (block.text(Some(0), row).to_owned(), values(row))).collect::<Vec<_>>())
        },
        |part: Vec<(String, Vec<f64>)>, before| -> Result<bool, ReportError> {
            for (row, (video, values)) in (before + 1..).zip(part) {
                if let Some(at) = values.iter().position(|v| v.is_infinite()) {
                    let (column, found) = (wanted[at + 1].name.clone(), values[at].to_string());
                    let expected = "a finite number (or nothing)";
                    let fault = Fault::cell(0, &column, found, expected);
                    return Err(table.error(fault, row - 1).into());
                }
                if rows.insert(video.clone(), values).is_some() {
                    let problem = format!("the video {video} is there twice: expected one row for each");
                    return Err(table.error(Fault::row(0, problem), row - 1).into());
                }
            }
            Ok(true)
        },
    )?;
    Ok((path, Further { names, rows }))
}

/// The labels, shuffled among each person's fakes: shuffle `number` of a seed, the same whatever the threads.
pub(crate) fn shuffled(fakes: &Fakes, seed: u64, number: u64) -> Vec<usize> {
    let mut of_person: Vec<Vec<usize>> = vec![Vec::new(); fakes.people.len()];
    fakes.person.iter().enumerate().for_each(|(i, &person)| of_person[person as usize].push(i));
    let mut labels = fakes.labels.clone();
    for (person, of) in of_person.iter().enumerate() {
        for at in (1..of.len()).rev() {
            let random = mixed(mixed(mixed(seed ^ 0x6e75_6c6c) ^ number) ^ ((person as u64) << 24 | at as u64));
            let other = ((u128::from(random) * (at as u128 + 1)) >> 64) as usize;
            labels.swap(of[at], of[other]);
        }
    }
    labels
}

/// A stratified part of the fakes: at most `most`, as evenly over the generators as can be, drawn by a seed.
pub(crate) fn some(fakes: &Fakes, most: usize, seed: u64) -> Vec<usize> {
    if fakes.labels.len() <= most {
        return (0..fakes.labels.len()).collect();
    }
    let mut ranked: Vec<(usize, u64, usize)> = Vec::new();
    for class in 0..fakes.generators.len() {
        let mut of: Vec<usize> = (0..fakes.labels.len()).filter(|&i| fakes.labels[i] == class).collect();
        of.sort_by_key(|&i| mixed(mixed(seed) ^ i as u64));
        ranked.extend(of.into_iter().enumerate().map(|(rank, i)| (rank, mixed(i as u64), i)));
    }
    ranked.sort_unstable();
    let mut chosen: Vec<usize> = ranked.into_iter().take(most).map(|(_, _, i)| i).collect();
    chosen.sort_unstable();
    chosen
}
