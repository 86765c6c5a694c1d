//! What a detector is taught: the class of each video in a task, and the generators that are kept from it.

use std::collections::{BTreeMap, BTreeSet};

use dubito_data::classes::{ClassList, REAL};
use dubito_data::manifest::{Label, Row, Status};
use dubito_data::split;
use dubito_nn::{RunConfig, TrainedOn};

use crate::StudyError;

/// A data set and a generator in it.
type Maker = (String, String);

/// A task, made concrete for the videos of one manifest.
#[derive(Clone, Debug, PartialEq)]
pub struct Lesson {
    /// Names of the classes, by number: two or more, each of which every round of cross-fitting has videos of to learn
    /// from.
    pub class_names: Vec<String>,
    /// What the classes are made of, and what is left out.
    pub trained_on: TrainedOn,
    /// What the user should know: classes and generators of the task or of the data that are not learned, and why.
    pub notes: Vec<String>,
    /// Class and source ([`dubito_nn::Crops::source`]) of each maker that is learned from.
    known: BTreeMap<Maker, (usize, u32)>,
}

/// What made a video: of a real one (a null control is one too) nobody did.
fn maker(row: &Row) -> Maker {
    let generator = if row.label == Label::Real { REAL } else { &row.generator };
    (row.dataset.clone(), generator.to_owned())
}

fn in_words((dataset, generator): &Maker) -> String {
    format!("{dataset}/{generator}")
}

fn plain<'a>(makers: impl IntoIterator<Item = &'a Maker>) -> String {
    let names: BTreeSet<&str> = makers.into_iter().map(|(_, generator)| generator.as_str()).collect();
    names.into_iter().collect::<Vec<_>>().join(", ")
}

impl Lesson {
    /// The task of that name in `list`, for the clips of a manifest that is split into folds.
    ///
    /// With a generator of `leave_out` goes everything that would give its family away
    /// ([`ClassList::gives_away`]): kin that work in no other way are left out too, those of which a part is like what
    /// is still learned are set aside. Real videos stay, null controls of what is left out among them. A class that some
    /// round has no video of to learn from is no class; the notes say so.
    ///
    /// # Errors
    /// Those of [`split::rounds`]; a task or a generator that is not there; fewer than two classes left.
    pub fn of(rows: &[Row], list: &ClassList, task: &str, leave_out: &[String]) -> Result<Self, StudyError> {
        let rounds = split::rounds(rows)?;
        let wanted = list.task(task).ok_or_else(|| {
            let names: Vec<&str> = list.tasks().iter().map(|t| t.name.as_str()).collect();
            StudyError::Input {
                message: format!("no task {task:?} in the class list; there are {}", names.join(", ")),
                hint: "give --task one of them, or --classes a list that has it".into(),
            }
        })?;
        let usable = |row: &Row| row.status == Status::Ok && !row.split.is_empty() && row.clip.is_some();
        let makers: BTreeSet<Maker> = rows.iter().filter(|row| usable(row)).map(maker).collect();
        let fakes: BTreeSet<Maker> = makers.iter().filter(|(_, generator)| generator != REAL).cloned().collect();

        let families = families_of(list, &fakes, leave_out)?;
        let given_away = |(dataset, generator): &Maker| families.iter().any(|f| list.gives_away(dataset, generator, f));
        let (gone, kept): (BTreeSet<Maker>, BTreeSet<Maker>) = fakes.into_iter().partition(given_away);
        let alone = |(dataset, generator): &Maker| list.families(dataset, generator).is_subset(&families);
        let (left_out, set_aside): (BTreeSet<Maker>, BTreeSet<Maker>) = gone.into_iter().partition(alone);

        let written = list.written_out(wanted, &kept);
        let class_of = |(dataset, generator): &Maker| list.class_of(&written, dataset, generator);
        let learned: BTreeMap<&Maker, usize> = makers
            .iter()
            .filter(|maker| maker.1 == REAL || kept.contains(*maker))
            .filter_map(|maker| Some((maker, class_of(maker)?)))
            .collect();
        let mut notes = Vec::new();
        // Old number of each class that stays.
        let mut stays = Vec::new();
        for (class, written) in written.classes.iter().enumerate() {
            let is_of = |&i: &usize| usable(&rows[i]) && learned.get(&maker(&rows[i])) == Some(&class);
            let lacks: Vec<&str> =
                rounds.iter().filter(|r| !r.train.iter().any(is_of)).map(|r| r.fold.as_str()).collect();
            match lacks.len() {
                0 => stays.push(class),
                n if n == rounds.len() => notes.push(format!(
                    "no class {:?}: these data have no video of it to learn from (by {})",
                    written.name,
                    written.generators.join(", ")
                )),
                _ => notes.push(format!(
                    "no class {:?}: without the people of {} there is no video of it to learn from",
                    written.name,
                    lacks.join(" or of ")
                )),
            }
        }
        let class_names: Vec<String> = stays.iter().map(|&class| written.classes[class].name.clone()).collect();
        if class_names.len() < 2 {
            let named =
                if class_names.is_empty() { "none".to_owned() } else { format!("only {}", class_names.join(", ")) };
            return Err(StudyError::Input {
                message: format!(
                    "of the task {task:?} these data have {named} of the two classes or more that are needed"
                ),
                hint: "leave out fewer generators, choose another --task, or add videos".into(),
            });
        }
        let mut known = BTreeMap::new();
        let mut generators = vec![Vec::new(); class_names.len()];
        let mut source = 0;
        for (&maker, class) in &learned {
            let Some(class) = stays.iter().position(|old| old == class) else { continue };
            let is_fake = maker.1 != REAL;
            source += u32::from(is_fake);
            known.insert(maker.clone(), (class, if is_fake { source } else { 0 }));
            generators[class].push(in_words(maker));
        }
        let unnamed: Vec<&Maker> = kept.iter().filter(|maker| !known.contains_key(*maker)).collect();
        if !unnamed.is_empty() {
            notes.push(format!("not learned, as no class of the task {task:?} holds them: {}", plain(unnamed)));
        }
        if !left_out.is_empty() {
            notes.push(format!("left out of training: {}", plain(&left_out)));
        }
        if !set_aside.is_empty() {
            notes.push(format!(
                "set aside, neither learned nor counted as unseen, as only a part of how they work is left out: {}",
                plain(&set_aside)
            ));
        }
        let rest = written.classes.iter().position(|class| class.generators.iter().any(|name| name == "*"));
        let trained_on = TrainedOn {
            task: task.to_owned(),
            generators,
            class_prior: Vec::new(),
            rest: rest.and_then(|rest| stays.iter().position(|&old| old == rest)),
            left_out: left_out.iter().map(in_words).collect(),
            set_aside: set_aside.iter().map(in_words).collect(),
        };
        Ok(Self { class_names, trained_on, notes, known })
    }

    /// Class and source of a video to learn from; `None` for one that is not learned from.
    pub fn class_of(&self, row: &Row) -> Option<(usize, u32)> {
        self.known.get(&maker(row)).copied()
    }
}

/// The families of the generators that are to be left out.
fn families_of(
    list: &ClassList,
    fakes: &BTreeSet<Maker>,
    leave_out: &[String],
) -> Result<BTreeSet<String>, StudyError> {
    let mut families = BTreeSet::new();
    for name in leave_out {
        let is_meant = |maker: &&Maker| maker.1 == list.canonical(&maker.0, name) || in_words(maker) == *name;
        let mut found = fakes.iter().filter(is_meant).peekable();
        if found.peek().is_none() {
            return Err(StudyError::Input {
                message: format!(
                    "{name:?} made no video of the manifest, so it can't be left out; there are {}",
                    plain(fakes)
                ),
                hint: "--leave-out takes generators of the manifest, by commas".into(),
            });
        }
        families.extend(found.flat_map(|(dataset, generator)| list.families(dataset, generator)));
    }
    Ok(families)
}

/// What a trained detector knows of a video's maker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// It learned from videos like this one.
    Seen,
    /// It learned from none, nor from what would have given this one's making away.
    Unseen,
    /// It learned from none, but from others that share a part of this one's making.
    SetAside,
}

/// The class of a video for a run, and what the run knows of its maker. No class: a fake that none of the run's classes
/// holds, or a real video where none is `real`.
pub fn class_for(run: &RunConfig, row: &Row) -> (Option<usize>, Known) {
    let TrainedOn { generators, rest, set_aside, .. } = &run.trained_on;
    let real = run.class_names.iter().position(|name| name == REAL);
    if generators.is_empty() {
        // Of a run that does not say what it learned from, names are all there is to go by.
        let named = run.class_names.iter().position(|name| *name == row.generator || name == "fake");
        return (if row.label == Label::Real { real } else { named }, Known::Seen);
    }
    let name = in_words(&maker(row));
    match generators.iter().position(|class| class.contains(&name)) {
        Some(class) => (Some(class), Known::Seen),
        None if row.label == Label::Real => (real, Known::Seen),
        None if set_aside.contains(&name) => (*rest, Known::SetAside),
        None => (*rest, Known::Unseen),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests {
    use super::*;

    /// Three folds of two people; of each person a real video, a null control of each generator, and its fakes.
    pub(crate) fn manifest(generators: &[&str]) -> Vec<Row> {
        let mut rows = Vec::new();
        for person in 0..6 {
            let fold = format!("fold{}", person / 2 + 1);
            let row = |label, generator: &str, control: Option<&str>| Row {
                label,
                generator: generator.into(),
                control: control.map(String::from),
                identity: format!("p{person}"),
                dataset: "forged".into(),
                split: fold.clone(),
                cell: Some(format!("{fold}.a")),
                video: format!("p{person}-{generator}-{}", control.unwrap_or("")),
                clip: Some(format!("p{person}-{generator}-{}.safetensors", control.unwrap_or(""))),
                ..Row::default()
            };
            rows.push(row(Label::Real, "real", None));
            for generator in generators {
                rows.push(row(Label::Real, "real", Some(generator)));
                rows.push(row(Label::Fake, generator, None));
            }
        }
        rows
    }

    fn lesson(rows: &[Row], task: &str, leave_out: &[&str]) -> Result<Lesson, StudyError> {
        let leave_out: Vec<String> = leave_out.iter().map(|name| (*name).to_owned()).collect();
        Lesson::of(rows, &ClassList::default(), task, &leave_out)
    }

    fn run(lesson: &Lesson) -> RunConfig {
        let text = serde_json::json!({
            "version": 2, "detector": "resnet18", "network": { "classes": lesson.class_names.len(), "width": 8 },
            "class_names": lesson.class_names, "trained_on": lesson.trained_on,
            "preprocessing": { "input_size": 32, "margin": 0.3, "normalisation": dubito_nn::Normalisation::default() },
            "dropout": 0.0, "boundary": "head", "seed": 0,
            "epoch": 1, "valid_loss": 0.5, "made_by": "test",
        });
        serde_json::from_value(text).unwrap()
    }

    #[test]
    fn classes_come_from_the_data() {
        let rows = manifest(&["faceswap", "wav2lip", "fsgan"]);
        let binary = lesson(&rows, "binary", &[]).unwrap();
        assert_eq!(binary.class_names, ["real", "fake"]);
        assert_eq!((binary.notes.len(), binary.trained_on.rest), (0, Some(1)));
        let of = |lesson: &Lesson, generator: &str| {
            lesson.class_of(rows.iter().find(|row| row.generator == generator).unwrap())
        };
        // One class of fakes, three sources to draw evenly from.
        assert_eq!(
            ["real", "faceswap", "fsgan", "wav2lip"].map(|g| of(&binary, g).unwrap()),
            [(0, 0), (1, 1), (1, 2), (1, 3)]
        );
        let all = lesson(&rows, "multiclass", &[]).unwrap();
        assert_eq!(all.class_names, ["real", "faceswap", "fsgan", "wav2lip"]);
        assert_eq!(of(&all, "wav2lip").unwrap().0, 3);
        // A null control is real in every task.
        let control = rows.iter().find(|row| row.control.is_some()).unwrap();
        assert_eq!(all.class_of(control).unwrap(), (0, 0));
        let source = lesson(&rows, "source", &[]).unwrap();
        assert_eq!((source.class_names.len(), of(&source, "real")), (3, None));
    }

    #[test]
    fn a_family_is_left_out_as_one() {
        let rows =
            manifest(&["deepfakes", "faceswap", "faceswap-gan", "fsgan", "wav2lip", "fsgan-wav2lip", "self-blended"]);
        let lesson = lesson(&rows, "multiclass", &["Deepfakes", "wav2lip"]).unwrap();
        assert_eq!(lesson.class_names, ["real", "faceswap", "fsgan"]);
        // faceswap-gan is an autoencoder as deepfakes is; the combination was half seen, and self-blends are like every blend.
        assert_eq!(lesson.trained_on.left_out, ["forged/deepfakes", "forged/faceswap-gan", "forged/wav2lip"]);
        assert_eq!(lesson.trained_on.set_aside, ["forged/fsgan-wav2lip", "forged/self-blended"]);
        let config = run(&lesson);
        for row in &rows {
            let gone = ["deepfakes", "faceswap-gan", "wav2lip"].contains(&row.generator.as_str());
            let aside = ["fsgan-wav2lip", "self-blended"].contains(&row.generator.as_str());
            assert_eq!(lesson.class_of(row).is_none(), gone || aside, "{}", row.video);
            let (class, known) = class_for(&config, row);
            assert_eq!(class, lesson.class_of(row).map(|found| found.0), "{}", row.video);
            let expected = [(gone, Known::Unseen), (aside, Known::SetAside)].into_iter().find(|(is, _)| *is);
            assert_eq!(known, expected.map_or(Known::Seen, |(_, known)| known), "{}", row.video);
        }
        // In a binary task what was left out is fake all the same.
        let binary = self::lesson(&rows, "binary", &["wav2lip"]).unwrap();
        let fake = rows.iter().find(|row| row.generator == "wav2lip").unwrap();
        assert_eq!(class_for(&run(&binary), fake), (Some(1), Known::Unseen));
        assert_eq!(binary.class_of(fake), None);
    }

    #[test]
    fn what_can_t_be_learned_is_said() {
        let mut rows = manifest(&["faceswap", "wav2lip"]);
        let notes = lesson(&rows, "ffpp", &[]).unwrap().notes;
        assert!(notes.iter().any(|n| n.contains("\"deepfakes\"")), "{notes:?}");
        assert!(notes.iter().any(|n| n.contains("no class of the task \"ffpp\" holds them: wav2lip")), "{notes:?}");
        let fails = |rows: &[Row], task: &str, leave_out: &[&str], word: &str| {
            let error = lesson(rows, task, leave_out).unwrap_err();
            assert!(error.to_string().contains(word) && error.hint().is_some(), "{error}");
        };
        fails(&rows, "no-such", &[], "there are binary, multiclass");
        fails(&rows, "multiclass", &["fsgan"], "there are faceswap, wav2lip");
        fails(&rows, "multiclass", &["faceswap", "wav2lip"], "only real");
        fails(&rows, "fakeavceleb", &["wav2lip"], "only real");
        // Where the only fakes by a generator are of one fold, its own detector could not learn the class.
        rows.retain(|row| row.generator != "wav2lip" || row.split == "fold2");
        let few = lesson(&rows, "multiclass", &[]).unwrap();
        assert_eq!(few.class_names, ["real", "faceswap"]);
        assert!(few.notes.iter().any(|n| n.contains("\"wav2lip\"") && n.contains("fold2")), "{:?}", few.notes);
    }
}
