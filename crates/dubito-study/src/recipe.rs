//! Recipes: the settings of a training in a TOML file; those that come with the program by name.

use std::path::Path;

use dubito_data::handwritten::{self, Fault, nearest};
use dubito_nn::TrainConfig;
use toml::{Table, Value};

use crate::StudyError;

/// The recipes that come with the program, by name.
pub const RECIPES: [(&str, &str); 10] = [
    ("demo", include_str!("../recipes/demo.toml")),
    ("resnet18", include_str!("../recipes/resnet18.toml")),
    ("mobilenet_v2", include_str!("../recipes/mobilenet_v2.toml")),
    ("mobilenet_v3_small", include_str!("../recipes/mobilenet_v3_small.toml")),
    ("efficientnet_b0", include_str!("../recipes/efficientnet_b0.toml")),
    ("efficientnet_b4", include_str!("../recipes/efficientnet_b4.toml")),
    ("xception", include_str!("../recipes/xception.toml")),
    ("fakecatcher", include_str!("../recipes/fakecatcher.toml")),
    ("ppg_cells", include_str!("../recipes/ppg_cells.toml")),
    ("motion", include_str!("../recipes/motion.toml")),
];

/// Every key of a recipe in the order in which it is written: its section (none at the top), its name, and what it is.
/// They are the fields of [`TrainConfig`] but for those that the data, the task and the command line give.
const KEYS: [(&str, &str, &str); 48] = [
    ("", "detector", "the architecture"),
    ("", "width", "channels of the first stage, where there is a choice; without it as published"),
    ("", "init", "first convolution: dct (a bank of frequency filters, for resnet18) or kaiming"),
    ("", "weights", "file of weights to begin from, see `dubito weights import`"),
    ("", "freeze", "stages up to this one are frozen and computed once: stem, layer1 to layer4"),
    ("", "augment_copies", "variants of each crop that are computed where stages are frozen"),
    ("", "epochs", "most epochs"),
    ("", "patience", "epochs without a lower validation loss after which it stops; 0 never stops early"),
    ("", "batch", "crops in a step"),
    (
        "",
        "class_balance",
        "half of what is learned from real, the other half even over the fakes' classes and generators",
    ),
    ("", "dropout", "dropout rate, of training and of posterior samples"),
    ("", "norm_momentum", "share of each batch in batch norm's running statistics; without it the architecture's own"),
    ("", "boundary", "where dropout begins: head, stage:1 to stage:4, or all"),
    ("signal", "kind", "what a biological detector looks at: ppg or motion"),
    ("signal", "omega", "of ppg: frames in a window"),
    ("signal", "frames", "of motion: frames in a window"),
    ("signal", "step", "frames from the beginning of one window to that of the next"),
    ("signal", "alpha", "of motion: what is magnified grows by this many times"),
    ("signal", "band", "of motion: hertz, from and to"),
    ("optimiser", "name", "adamw, or sgd with Nesterov's momentum"),
    ("optimiser", "learning_rate", "the largest; the schedule lowers it"),
    ("optimiser", "weight_decay", "of convolutions and the last layer"),
    ("optimiser", "momentum", "of sgd"),
    ("schedule", "name", "cosine, constant, step, or cyclic: the run is the ensemble of what each cycle ends with"),
    ("schedule", "warm_up", "part of the steps in which the rate first rises"),
    ("schedule", "every", "of step: epochs after which it lowers the rate"),
    ("schedule", "factor", "of step: what it multiplies the rate by"),
    ("schedule", "cycles", "of cyclic: cycles, a divisor of the epochs"),
    ("loss", "cross_entropy", "weight of the cross-entropy of the classes"),
    ("loss", "label_smoothing", "part of each label that the cross-entropy spreads over all classes"),
    ("loss", "focal", "weight of the focal loss"),
    ("loss", "focal_gamma", "how much the focal loss favours what is not yet learned"),
    ("loss", "real_fake", "weight of the cross-entropy of real against all other classes together"),
    ("loss", "avuc", "weight of the accuracy versus uncertainty loss: certain where right, uncertain where wrong"),
    ("loss", "avuc_threshold", "entropy up to which a crop counts as certain, in parts of ln(classes)"),
    ("augment", "flip", "probability of a mirror image"),
    ("augment", "shift", "largest shift, in parts of the side"),
    ("augment", "brightness", "largest change, in parts of the range"),
    ("augment", "contrast", "largest relative change"),
    ("augment", "colour", "largest relative change of each channel"),
    ("augment", "blur", "probability of a slight blur"),
    ("augment", "noise", "largest standard deviation, in parts of the range"),
    ("augment", "downscale", "probability of fewer pixels"),
    ("augment", "downscale_to", "the least part of the side that is left"),
    ("augment", "compression", "probability of JPEG compression"),
    ("augment", "compression_quality", "least and largest JPEG quality"),
    ("normalisation", "mean", "of RGB in 0 to 1; without it what the architecture's published weights expect"),
    ("normalisation", "std", "of RGB in 0 to 1"),
];

/// A change to a recipe: a key as `loss.focal`, and its value, or none to leave it out.
pub type Change = (String, Option<Value>);

/// The settings of the recipe `name` (one of [`RECIPES`], or a file) with some changes; their `recipe` says so in words.
///
/// # Errors
/// [`StudyError::Input`] that names the recipe and the key, with the nearest one where there is no such key.
pub fn read(name: &str, changes: &[Change]) -> Result<TrainConfig, StudyError> {
    let text = match RECIPES.iter().find(|(known, _)| *known == name) {
        Some((_, text)) => (*text).to_owned(),
        None => read_file(name)?,
    };
    let bad = |message: String, hint: String| StudyError::Input { message: format!("recipe {name}: {message}"), hint };
    let show = "`dubito train --show` prints a whole recipe".to_owned();
    let faulty = |fault: Fault| bad(fault.message, fault.hint.unwrap_or_else(|| show.clone()));
    let mut table: Table = handwritten::from_toml(&text, &[]).map_err(faulty)?;
    if table.is_empty() {
        return Err(bad("it says nothing".into(), show.clone()));
    }
    check_keys(&table).map_err(|(path, message, hint)| {
        let place = handwritten::position(&text, &path).map(|(line, column)| format!("line {line}, column {column}: "));
        bad(format!("{}{message}", place.unwrap_or_default()), hint)
    })?;
    let mut said = Vec::new();
    for (key, value) in changes {
        let (section, name) = known_key(key)?;
        let part = match section {
            "" => &mut table,
            section => match table.entry(section).or_insert_with(|| Value::Table(Table::new())) {
                Value::Table(part) => part,
                _ => return Err(bad(format!("`{section}` is no table"), show.clone())),
            },
        };
        match value {
            Some(value) => part.insert(name.to_owned(), value.clone()),
            None => part.remove(name),
        };
        said.push(match value {
            Some(value) => format!("{key} = {value}"),
            None => format!("no {key}"),
        });
    }
    let mut config: TrainConfig = table.try_into().map_err(|error| {
        // What is wrong in the file itself is said with its line.
        let as_it_is = handwritten::from_toml::<TrainConfig>(&text, &[]);
        faulty(as_it_is.err().unwrap_or_else(|| handwritten::changed(&error, &[])))
    })?;
    config.recipe = match said.is_empty() {
        true => name.to_owned(),
        false => format!("{name} with {}", said.join(", ")),
    };
    config.check().map_err(|e| StudyError::Input { message: format!("recipe {}: {e}", config.recipe), hint: show })?;
    Ok(config)
}

/// Checks that the weights that a training begins with, if there are some, are those of its architecture.
///
/// # Errors
/// Names the file, and the tensor that is missing, too many, of another shape, or no number of a network.
pub fn check_weights(config: &TrainConfig) -> Result<(), StudyError> {
    match &config.weights {
        Some(_) => Ok(config.check_weights()?),
        None => Ok(()),
    }
}

/// The recipe that a detector is trained by where no other is named.
///
/// # Errors
/// A detector that there is no recipe of.
pub fn of_detector(detector: &str) -> Result<&'static str, StudyError> {
    // What differs in these is nothing to training.
    let variant = ["_torchvision", "_2plus1d"].iter().find_map(|suffix| detector.strip_suffix(suffix));
    let plain = variant.unwrap_or(detector);
    let known = RECIPES.iter().map(|(name, _)| *name).find(|name| *name == plain && *name != "demo");
    known.ok_or_else(|| {
        let names: Vec<&str> = RECIPES.iter().map(|(name, _)| *name).filter(|name| *name != "demo").collect();
        StudyError::Input {
            message: format!("no detector {detector:?}"),
            hint: format!("{}there are {}", nearest(plain, &names), names.join(", ")),
        }
    })
}

/// A change of one key.
pub fn set(key: &str, value: impl Into<Value>) -> Change {
    (key.to_owned(), Some(value.into()))
}

/// `KEY=VALUE` of the command line; what is no value of TOML is a string.
///
/// # Errors
/// No `=`, or nothing before it.
pub fn change(text: &str) -> Result<Change, String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), Some(value_of(value.trim())))),
        _ => Err("expected KEY=VALUE, e.g. loss.focal=0.5".into()),
    }
}

fn value_of(text: &str) -> Value {
    let table = toml::from_str::<Table>(&format!("value = {text}"));
    table.ok().and_then(|mut table| table.remove("value")).unwrap_or_else(|| Value::String(text.to_owned()))
}

/// The settings as a whole recipe, each with what it means.
pub fn to_toml(config: &TrainConfig) -> String {
    // By way of text, so that a number is as short as its precision.
    let text = serde_json::to_string(config).unwrap_or_default();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let mut out = match config.recipe.as_str() {
        "" => "# A recipe: how a detector is trained.\n".to_owned(),
        name => format!("# Recipe {}.\n", name.replace(['\n', '\r'], " ")),
    };
    let mut last = "";
    for (section, key, what) in KEYS {
        let part = if section.is_empty() { &value } else { &value[section] };
        let absent = if part.is_null() { "# " } else { "" };
        if section != last {
            out += &format!("\n{absent}[{section}]\n");
            last = section;
        }
        out += &match &part[key] {
            serde_json::Value::Null => format!("# {key} =  # {what}\n"),
            value => format!("{key} = {value}  # {what}\n"),
        };
    }
    out
}

fn read_file(name: &str) -> Result<String, StudyError> {
    let path = Path::new(name);
    if path.is_dir() {
        let inside = path.join("recipe.toml");
        let hint = match inside.is_file() {
            true => format!("did you mean {}?", inside.display()),
            false => "give a TOML file".into(),
        };
        return Err(StudyError::Input { message: format!("recipe {name}: is a folder"), hint });
    }
    if !path.exists() {
        let names: Vec<&str> = RECIPES.iter().map(|(name, _)| *name).collect();
        return Err(StudyError::Input {
            message: format!("no recipe {name:?}: no file is called so, nor one of those that come with the program"),
            hint: format!("{}those are {}", nearest(name, &names), names.join(", ")),
        });
    }
    let text = handwritten::read(path)?;
    if text.trim().is_empty() {
        return Err(StudyError::Input {
            message: format!("recipe {name}: is empty"),
            hint: "a recipe is a TOML file; `dubito train --show` prints one".into(),
        });
    }
    Ok(text)
}

/// Section and name of a key as `loss.focal`.
///
/// # Errors
/// There is no such key.
pub(crate) fn known_key(key: &str) -> Result<(&str, &str), StudyError> {
    let (section, name) = key.rsplit_once('.').unwrap_or(("", key));
    if is_key(section, name) {
        return Ok((section, name));
    }
    let (message, hint) = unknown(section, name);
    Err(StudyError::Input { message, hint })
}

fn is_key(section: &str, key: &str) -> bool {
    KEYS.iter().any(|(s, k, _)| *s == section && *k == key)
}

/// The keys as `loss.focal`.
pub(crate) fn keys() -> Vec<String> {
    KEYS.iter()
        .map(|(section, key, _)| if section.is_empty() { (*key).to_owned() } else { format!("{section}.{key}") })
        .collect()
}

/// Every key must be one of [`KEYS`]; else which is not, what is wrong, and what may have been meant.
fn check_keys(table: &Table) -> Result<(), (Vec<&str>, String, String)> {
    for (key, value) in table {
        match value {
            Value::Table(part) if KEYS.iter().any(|(section, ..)| section == key) => {
                for name in part.keys() {
                    if !is_key(key, name) {
                        let (message, hint) = unknown(key, name);
                        return Err((vec![key, name], message, hint));
                    }
                }
            }
            // What should be a section and is none, the settings themselves refuse.
            _ if is_key("", key) || KEYS.iter().any(|(section, ..)| section == key) => {}
            _ => {
                let (message, hint) = unknown("", key);
                return Err((vec![key], message, hint));
            }
        }
    }
    Ok(())
}

fn unknown(section: &str, key: &str) -> (String, String) {
    let place = |section: &str| match section {
        "" => "at the top, before the first [table]".to_owned(),
        section => format!("in [{section}]"),
    };
    let message = match section {
        "" => format!("unknown key `{key}`"),
        section => format!("unknown key `{key}` in [{section}]"),
    };
    let elsewhere: Vec<String> =
        KEYS.iter().filter(|(s, k, _)| *k == key && *s != section).map(|(s, ..)| place(s)).collect();
    if !elsewhere.is_empty() {
        return (message, format!("`{key}` belongs {}", elsewhere.join(", or ")));
    }
    let mut here: Vec<&str> = KEYS.iter().filter(|(s, ..)| *s == section).map(|(_, k, _)| *k).collect();
    if section.is_empty() {
        here.extend(["signal", "optimiser", "schedule", "loss", "augment", "normalisation"]);
    }
    if here.is_empty() {
        return (message, "the sections are signal, optimiser, schedule, loss, augment, normalisation".into());
    }
    (message, format!("{}the keys {} are {}", nearest(key, &here), place(section), here.join(", ")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use dubito_nn::{Architecture, LossConfig, Normalisation, OptimiserName, ScheduleConfig, Signal};

    use super::*;

    #[test]
    fn recipes_of_the_program_are_read_and_written_whole() {
        for (name, _) in RECIPES {
            let config = read(name, &[]).unwrap();
            assert_eq!(config.recipe, name);
            let text = to_toml(&config);
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("recipe.toml");
            std::fs::write(&path, &text).unwrap();
            let again = read(path.to_str().unwrap(), &[]).unwrap();
            assert_eq!(TrainConfig { recipe: name.into(), ..again }, config, "{text}");
            assert!(name == "demo" || config.detector.name() == name);
        }
        for detector in Architecture::ALL {
            let recipe = of_detector(detector.name()).unwrap();
            assert_eq!(read(recipe, &[set("detector", detector.name())]).unwrap().detector, detector);
        }
        let demo = read("demo", &[]).unwrap();
        assert_eq!((demo.width, demo.optimiser.learning_rate, demo.augment.colour), (Some(16), 1.5e-3, 0.1));
    }

    /// A setting that training has is a key, and the other way round.
    #[test]
    fn the_keys_are_the_fields() {
        let mut fields = BTreeSet::new();
        for signal in [Signal::PPG, Signal::MOTION] {
            let (signal, normalisation) = (Some(signal), Some(Normalisation::default()));
            // What is left out where it is as usual.
            let schedule = ScheduleConfig { cycles: 2, ..ScheduleConfig::default() };
            let loss = LossConfig { avuc: 1.0, avuc_threshold: 0.4, ..LossConfig::default() };
            let config = TrainConfig {
                signal,
                normalisation,
                schedule,
                loss,
                norm_momentum: Some(0.1),
                ..TrainConfig::default()
            };
            for (name, value) in serde_json::to_value(&config).unwrap().as_object().unwrap() {
                match value.as_object() {
                    _ if ["class_names", "trained_on", "recipe", "seed"].contains(&name.as_str()) => {}
                    Some(section) => fields.extend(section.keys().map(|key| (name.clone(), key.clone()))),
                    None => {
                        fields.insert((String::new(), name.clone()));
                    }
                }
            }
        }
        let keys = KEYS.iter().map(|(section, key, _)| ((*section).to_owned(), (*key).to_owned()));
        assert_eq!(keys.collect::<BTreeSet<_>>(), fields);
    }

    #[test]
    fn changes_override() {
        let changes =
            ["detector=mobilenet_v2", "optimiser.name = sgd", "loss.focal=0.5", "augment.compression_quality=[20, 40]"];
        let changes: Vec<Change> = changes.into_iter().map(|text| change(text).unwrap()).collect();
        let config = read("resnet18", &changes).unwrap();
        assert_eq!((config.detector, config.optimiser.name), (Architecture::MobilenetV2, OptimiserName::Sgd));
        assert_eq!((config.loss.focal, config.augment.compression_quality), (0.5, [20, 40]));
        assert!(config.recipe.starts_with("resnet18 with detector = \"mobilenet_v2\", "), "{}", config.recipe);
        assert_eq!(read("demo", &[("freeze".into(), None)]).unwrap().freeze, None);
        assert!(change("nothing").is_err() && change("=1").is_err());
        let refused = |text: &str| read("resnet18", &[change(text).unwrap()]).unwrap_err();
        assert!(refused("loss.fokal=1").hint().unwrap().contains("`focal`"));
        assert!(refused("epochs=0").to_string().contains("epochs"));
        assert!(refused("epochs=many").to_string().contains("many"));
    }

    #[test]
    fn nonsense_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("recipe.toml");
        let refused = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            let error = read(path.to_str().unwrap(), &[]).unwrap_err();
            assert_eq!(error.exit_code(), 3);
            assert!(error.to_string().contains("recipe.toml"), "{error}");
            format!("{error}\n{}", error.hint().unwrap())
        };
        for (text, expected) in [
            ("", "is empty"),
            ("# only this", "says nothing"),
            ("epochs = ", "line 1"),
            ("epochs = 0", "setting `epochs` is 0"),
            ("epochs = -3", "line 1"),
            ("detector = \"resnet19\"", "resnet18"),
            ("[optimiser]\nlearning_rate = \"fast\"", "\"fast\""),
            (
                "[optimiser]\nlearing_rate = 0.1",
                "unknown key `learing_rate` in [optimiser]\ndid you mean `learning_rate`?",
            ),
            ("learning_rate = 0.1", "`learning_rate` belongs in [optimiser]"),
            ("[optimizer]\nname = \"sgd\"", "did you mean `optimiser`?"),
            ("optimiser = \"sgd\"", "optimiser"),
            ("seed = 3", "unknown key `seed`"),
            ("[optimiser]\nlearning_rate = nan", "optimiser.learning_rate"),
            ("[loss]\ncross_entropy = 0", "loss.cross_entropy"),
            ("freeze = \"layer9\"", "freeze"),
            ("[schedule]\nname = \"linear\"", "cosine"),
        ] {
            let said = refused(text.as_bytes());
            assert!(said.contains(expected), "{text:?}: {said}");
        }
        assert!(refused(b"epochs = 3 # \xff").contains("UTF-8"));
        let error = read(folder.path().to_str().unwrap(), &[]).unwrap_err();
        assert!(error.to_string().contains("is a folder") && error.hint().unwrap().contains("recipe.toml"));
        let error = read("resnet-18", &[]).unwrap_err();
        assert!(error.hint().unwrap().contains("did you mean `resnet18`?"), "{error}");
    }
}
