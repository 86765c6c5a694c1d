//! Which generators there are, which of them are kin, and which tasks they form: a list that the user may replace.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;

use crate::error::DataError;
use crate::handwritten::{self, Fault, Place};

/// The list that is used where the user gives none.
const DEFAULT: &str = include_str!("classes.toml");
/// What stands for every other fake in a task.
const REST: &str = "*";
/// The generator of videos that nobody changed.
pub const REAL: &str = "real";

/// Generators, families and tasks, as [`ClassList::read`] or [`ClassList::default`] gave them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassList {
    families: BTreeMap<String, Family>,
    generators: Vec<Generator>,
    tasks: Vec<Task>,
    /// Lower-case name or alias to a place in `generators`.
    by_name: BTreeMap<String, usize>,
}

/// A mechanism by which fakes are made.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Family {
    name: String,
    blends: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Generator {
    name: String,
    #[serde(default)]
    families: Vec<String>,
    #[serde(default)]
    parents: Vec<String>,
    resembles: Option<Resembles>,
    #[serde(default)]
    aliases: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Resembles {
    Blends,
}

/// A classification task.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// Its name, e.g. `binary`.
    pub name: String,
    /// Its classes, in the order of their numbers.
    #[serde(default)]
    pub classes: Vec<Class>,
    /// Whether each generator that is in the data, and that no class names, is a class of its own after these
    /// ([`ClassList::written_out`]).
    #[serde(default)]
    pub each: bool,
}

/// One class of a task.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Class {
    /// Its name.
    pub name: String,
    /// The generators in it; `*` is every generator but `real` that no other class of the task names.
    pub generators: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    family: Vec<Family>,
    #[serde(default)]
    generator: Vec<Generator>,
    #[serde(default)]
    task: Vec<Task>,
}

/// What helps where nothing better is known.
const EXAMPLE: &str = "docs/DATA.md says what a class list holds; the one that comes with the program is an example";

/// The parts of a class list.
fn places() -> [Place; 4] {
    let place = |name, keys: &[&str]| Place { name, keys: keys.iter().map(|key| (*key).to_owned()).collect() };
    [
        place("in a [[family]]", &["blends"]),
        place("in a [[generator]]", &["families", "parents", "resembles", "aliases"]),
        place("in a [[task]]", &["classes", "each"]),
        place("in a class of a [[task]]", &["generators"]),
    ]
}

impl Default for ClassList {
    /// The list that comes with the program; a test reads it.
    fn default() -> Self {
        Self::parse(DEFAULT, Path::new("classes.toml")).unwrap_or_else(|_| Self {
            families: BTreeMap::new(),
            generators: Vec::new(),
            tasks: Vec::new(),
            by_name: BTreeMap::new(),
        })
    }
}

impl ClassList {
    /// Reads a list in the form of the one that comes with the program (TOML).
    ///
    /// # Errors
    /// A file that can't be read, is no TOML, has a key that is not known, names a family or a generator that it does
    /// not have, or uses one name twice; the error says which.
    pub fn read(path: &Path) -> Result<Self, DataError> {
        Self::parse(&handwritten::read(path)?, path)
    }

    fn parse(text: &str, path: &Path) -> Result<Self, DataError> {
        let error = |message: String| Fault { message, hint: None }.of(path, EXAMPLE);
        let file: File = handwritten::from_toml(text, &places()).map_err(|fault| fault.of(path, EXAMPLE))?;
        let mut families = BTreeMap::new();
        for family in file.family {
            if let Some(twice) = families.insert(family.name.clone(), family) {
                return Err(error(format!("the family {:?} is there twice", twice.name)));
            }
        }
        let mut by_name = BTreeMap::new();
        for (i, generator) in file.generator.iter().enumerate() {
            for name in std::iter::once(&generator.name).chain(&generator.aliases) {
                if by_name.insert(name.to_lowercase(), i).is_some_and(|other| other != i) {
                    return Err(error(format!("the name {name:?} stands for two generators")));
                }
            }
        }
        let list = Self { families, generators: file.generator, tasks: file.task, by_name };
        for generator in &list.generators {
            let name = &generator.name;
            if let Some(unknown) = generator.families.iter().find(|f| !list.families.contains_key(*f)) {
                return Err(error(format!("the family {unknown:?} of generator {name:?} is not in the list")));
            }
            if let Some(unknown) = generator.parents.iter().find(|p| !list.by_name.contains_key(&p.to_lowercase())) {
                return Err(error(format!("the parent {unknown:?} of generator {name:?} is not in the list")));
            }
            if generator.families.is_empty() && generator.parents.is_empty() && generator.resembles.is_none() {
                return Err(error(format!("generator {name:?} has neither families, parents nor what it resembles")));
            }
            let i = list.by_name[&name.to_lowercase()];
            if generator.parents.iter().any(|p| list.ancestors(p).contains(&i)) {
                return Err(error(format!("generator {name:?} is its own ancestor")));
            }
        }
        for task in &list.tasks {
            let rest = task.classes.iter().any(|c| c.generators.iter().any(|name| name == REST));
            if task.each && rest {
                let why = "has `each` and a class of \"*\": both take every other generator, keep one of them";
                return Err(error(format!("the task {:?} {why}", task.name)));
            }
            if !task.each && task.classes.is_empty() {
                return Err(error(format!("the task {:?} has neither classes nor `each = true`", task.name)));
            }
            let mut seen = BTreeSet::new();
            for name in task.classes.iter().flat_map(|c| &c.generators) {
                let known = name == REST || name == REAL || list.by_name.contains_key(&name.to_lowercase());
                if !known || !seen.insert(name.to_lowercase()) {
                    let what = if known { "is in two classes" } else { "is not in the list" };
                    return Err(error(format!("the generator {name:?} of task {:?} {what}", task.name)));
                }
            }
        }
        Ok(list)
    }

    fn find(&self, dataset: &str, name: &str) -> Option<&Generator> {
        let name = name.trim().to_lowercase();
        let own = self.by_name.get(&format!("{}/{name}", dataset.to_lowercase()));
        own.or_else(|| self.by_name.get(&name)).map(|&i| &self.generators[i])
    }

    /// The name of a generator as a manifest has it: that of the list where a data set's own name is an alias, the
    /// data set's own in lower case otherwise.
    pub fn canonical(&self, dataset: &str, name: &str) -> String {
        match self.find(dataset, name) {
            Some(generator) => generator.name.rsplit('/').next().unwrap_or(&generator.name).to_owned(),
            None => name.trim().to_lowercase(),
        }
    }

    /// Whether the list knows a generator of a data set. One it does not know is a family of its own.
    pub fn knows(&self, dataset: &str, generator: &str) -> bool {
        generator == REAL || self.find(dataset, generator).is_some()
    }

    /// How many single generators went into this one: 1, or more for a combination.
    pub fn specificity(&self, dataset: &str, generator: &str) -> usize {
        match self.find(dataset, generator) {
            Some(g) if !g.parents.is_empty() => g.parents.iter().map(|p| self.specificity(dataset, p)).sum(),
            _ => 1,
        }
    }

    /// The generator, its parents and theirs, as places in `generators`.
    fn ancestors(&self, name: &str) -> BTreeSet<usize> {
        let mut seen = BTreeSet::new();
        let mut open: Vec<usize> = self.by_name.get(&name.to_lowercase()).copied().into_iter().collect();
        while let Some(i) = open.pop() {
            if seen.insert(i) {
                open.extend(self.parents(i));
            }
        }
        seen
    }

    fn parents(&self, i: usize) -> impl Iterator<Item = usize> {
        self.generators[i].parents.iter().filter_map(|p| self.by_name.get(&p.to_lowercase()).copied())
    }

    /// The families of a generator: its own and, for a combination, its parents'. A generator that the list does not
    /// know is a family of its own, under its own name; `real` has none.
    pub fn families(&self, dataset: &str, generator: &str) -> BTreeSet<String> {
        if generator == REAL {
            return BTreeSet::new();
        }
        let Some(found) = self.find(dataset, generator) else { return BTreeSet::from([generator.to_owned()]) };
        let ancestors = self.ancestors(&found.name);
        let mut families: BTreeSet<String> =
            ancestors.iter().flat_map(|&i| self.generators[i].families.iter().cloned()).collect();
        if families.is_empty() {
            families.insert(found.name.clone());
        }
        families
    }

    /// Whether leaving out `family` must leave out this generator: it is of the family, a parent of it is, or it
    /// resembles every blend (as self-blended images do) and the family blends. A family that the list does not know
    /// counts as one that blends.
    pub fn gives_away(&self, dataset: &str, generator: &str, family: &str) -> bool {
        let resembles = self
            .find(dataset, generator)
            .is_some_and(|g| self.ancestors(&g.name).iter().any(|&i| self.generators[i].resembles.is_some()));
        let blends = self.families.get(family).is_none_or(|f| f.blends);
        self.families(dataset, generator).contains(family) || (resembles && blends && generator != REAL)
    }

    /// The list in which no generator resembles others: self-blended images are a family of their own, which stays in
    /// training whatever else is left out.
    pub fn without_resemblance(mut self) -> Self {
        self.generators.iter_mut().for_each(|generator| generator.resembles = None);
        self
    }

    /// The tasks.
    pub fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    /// The task of this name.
    pub fn task(&self, name: &str) -> Option<&Task> {
        self.tasks.iter().find(|task| task.name == name)
    }

    /// The task for data with these fakes (pairs of data set and generator): where it asks for `each`, every generator
    /// that no class names follows as a class of its own, in the order of their names. A generator's class has the
    /// name that the list gives it (so FakeAVCeleb's own `faceswap` is `fakeavceleb/faceswap`).
    pub fn written_out(&self, task: &Task, fakes: &BTreeSet<(String, String)>) -> Task {
        let mut written = Task { each: false, ..task.clone() };
        if task.each {
            let others =
                fakes.iter().filter(|(dataset, name)| name != REAL && self.class_of(task, dataset, name).is_none());
            let names: BTreeSet<String> = others
                .map(|(dataset, name)| {
                    self.find(dataset, name).map_or_else(|| name.clone(), |found| found.name.clone())
                })
                .collect();
            written.classes.extend(names.into_iter().map(|name| Class { generators: vec![name.clone()], name }));
        }
        written
    }

    /// The class of a video in a task, as its number; `None` where the task leaves the generator out.
    pub fn class_of(&self, task: &Task, dataset: &str, generator: &str) -> Option<usize> {
        let same = |name: &str| match name {
            REAL | REST => name == generator,
            // A plain name in a task is the plain generator, not a data set's own of that name.
            _ => match (self.find("", name), self.find(dataset, generator)) {
                (Some(a), Some(b)) => a.name == b.name,
                (None, None) => name == generator,
                _ => false,
            },
        };
        let named = task.classes.iter().position(|c| c.generators.iter().any(|name| same(name)));
        let rest = || task.classes.iter().position(|c| c.generators.iter().any(|name| name == REST));
        named.or_else(|| if generator == REAL { None } else { rest() })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn fails(text: &str, expected: &str) {
        let message = ClassList::parse(text, Path::new("mine.toml")).unwrap_err().to_string();
        assert!(message.contains(expected) && message.contains("mine.toml"), "{message}");
    }

    #[test]
    fn the_list_that_comes_with_the_program_is_whole() {
        let list = ClassList::parse(DEFAULT, Path::new("classes.toml")).unwrap();
        assert_eq!(list, ClassList::default());
        for generator in &list.generators {
            assert!(!list.families("", &generator.name).is_empty(), "{}", generator.name);
        }
        let names: Vec<_> = list.tasks().iter().map(|t| t.name.as_str()).collect();
        assert_eq!(names, ["binary", "multiclass", "source", "ffpp", "fakeavceleb"]);
    }

    #[test]
    fn a_combination_contains_its_parents_and_a_self_blend_resembles_every_blend() {
        let list = ClassList::default();
        let families: Vec<_> = list.families("forged", "fsgan-wav2lip").into_iter().collect();
        assert_eq!(families, ["fsgan", "lip-sync"]);
        assert_eq!(list.specificity("fakeavceleb", "faceswap-wav2lip"), 2);
        assert_eq!(list.specificity("fakeavceleb", "wav2lip"), 1);
        for (generator, family, given_away) in [
            ("fsgan-wav2lip", "lip-sync", true),
            ("fsgan-wav2lip", "fsgan", true),
            ("fsgan-wav2lip", "graphics-swap", false),
            ("self-blended", "graphics-swap", true),
            ("self-blended", "lip-sync", true),
            ("self-blended", "synthesis", false),
            ("real", "lip-sync", false),
            ("never-heard-of", "never-heard-of", true),
            ("never-heard-of", "lip-sync", false),
        ] {
            assert_eq!(list.gives_away("forged", generator, family), given_away, "{generator}, {family}");
        }
        let apart = list.without_resemblance();
        assert!(!apart.gives_away("forged", "self-blended", "autoencoder-swap"));
        assert!(apart.gives_away("forged", "fsgan-wav2lip", "lip-sync"));
    }

    #[test]
    fn one_name_is_two_generators_in_two_data_sets() {
        let list = ClassList::default();
        assert_eq!(list.canonical("ffpp", "FaceSwap"), "faceswap");
        assert_eq!(list.canonical("deepfakebench", "FF-F2F"), "face2face");
        assert_eq!(list.canonical("folder", " My Own "), "my own");
        assert!(list.families("ffpp", "faceswap").contains("graphics-swap"));
        assert!(list.families("fakeavceleb", "faceswap").contains("autoencoder-swap"));
        let task = |name: &str| list.task(name).unwrap().clone();
        assert_eq!(list.class_of(&task("ffpp"), "ffpp", "faceswap"), Some(3));
        assert_eq!(list.class_of(&task("ffpp"), "fakeavceleb", "faceswap"), None);
        assert_eq!(list.class_of(&task("fakeavceleb"), "fakeavceleb", "faceswap"), Some(1));
        assert_eq!(list.class_of(&task("binary"), "x", "never-heard-of"), Some(1));
        assert_eq!(list.class_of(&task("binary"), "x", "real"), Some(0));
        assert_eq!(list.class_of(&task("source"), "ffpp", "real"), None);
    }

    #[test]
    fn a_task_of_each_generator_takes_its_classes_from_the_data() {
        let list = ClassList::default();
        let pair = |dataset: &str, name: &str| (dataset.to_owned(), name.to_owned());
        let fakes = BTreeSet::from([
            pair("ffpp", "faceswap"),
            pair("forged", "faceswap"),
            pair("fakeavceleb", "faceswap"),
            pair("mine", "never-heard-of"),
            pair("ffpp", "real"),
        ]);
        let task = list.written_out(list.task("multiclass").unwrap(), &fakes);
        let names: Vec<_> = task.classes.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(names, ["real", "faceswap", "fakeavceleb/faceswap", "never-heard-of"]);
        assert_eq!(list.class_of(&task, "ffpp", "faceswap"), Some(1));
        assert_eq!(list.class_of(&task, "fakeavceleb", "faceswap"), Some(2));
        assert_eq!(list.class_of(&task, "mine", "never-heard-of"), Some(3));
        assert_eq!(list.class_of(&task, "mine", "wav2lip"), None);
        assert_eq!(list.class_of(&task, "mine", "real"), Some(0));
        let source = list.written_out(list.task("source").unwrap(), &fakes);
        assert_eq!((source.classes.len(), list.class_of(&source, "mine", "real")), (3, None));
        // A task whose classes are written out already stays as it is.
        assert_eq!(list.written_out(list.task("ffpp").unwrap(), &fakes), *list.task("ffpp").unwrap());
    }

    #[test]
    fn a_bad_list_is_an_error_that_says_where() {
        fails("[[generator]]\nname = \"a\"\nfamilies = [\"f\"]", "the family \"f\" of generator \"a\"");
        fails("[[generator]]\nname = \"a\"\nparents = [\"b\"]", "the parent \"b\" of generator \"a\"");
        fails("[[generator]]\nname = \"a\"\nparents = [\"a\"]", "its own ancestor");
        fails("[[generator]]\nname = \"a\"", "neither");
        fails("[[family]]\nname = \"f\"\nblends = true\n[[family]]\nname = \"f\"\nblends = true", "twice");
        fails("[[task]]\nname = \"t\"\nclasses = [{ name = \"c\", generators = [\"g\"] }]", "not in the list");
        fails("[[task]]\nname = \"t\"\nclasses = [{ name = \"c\", generators = [\"*\", \"*\"] }]", "two classes");
        fails("[[task]]\nname = \"t\"", "neither classes nor");
        fails("[[task]]\nname = \"t\"\neach = true\nclasses = [{ name = \"c\", generators = [\"*\"] }]", "keep one");
        fails("[[generator]]\nname = \"a\"\nfamilie = []", "familie");
        fails("no toml", "expected");
    }
}
