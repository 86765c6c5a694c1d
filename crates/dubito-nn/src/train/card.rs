//! The run in words, for a person: `model_card.md`.

use super::Progress;
use crate::run::{RunConfig, TrainedOn};

/// The run in words, for a person.
pub(super) fn model_card(run: &RunConfig, state: &Progress) -> String {
    let config = &state.config;
    let accuracy = state.best().map_or(f64::NAN, |best| best.valid_accuracy);
    let frozen = match &config.freeze {
        Some(stage) => format!("stages up to `{stage}` frozen"),
        None => "every stage trained".to_owned(),
    };
    let width = match run.network.width {
        Some(width) => format!("| width | {width} channels in the first stage |\n"),
        None => String::new(),
    };
    let recipe = match config.recipe.as_str() {
        "" => String::new(),
        name => format!("| recipe | {name} |\n"),
    };
    let input = match run.preprocessing.signal {
        Some(signal) => format!("signal `{}`, windows of {} frames of face crops of", signal.kind(), signal.window()),
        None => "RGB face crops of".to_owned(),
    };
    let TrainedOn { task, generators, left_out, set_aside, .. } = &run.trained_on;
    let mut data = String::new();
    if !generators.is_empty() {
        data += &format!("| task | {task} |\n");
        let fakes: Vec<&str> =
            generators.iter().flatten().map(String::as_str).filter(|g| !g.ends_with("/real")).collect();
        data += &format!("| generators learned | {} |\n", fakes.join(", "));
    }
    for (what, names) in [("generators left out", left_out), ("set aside, as part of them was left out", set_aside)] {
        if !names.is_empty() {
            data += &format!("| {what} | {} |\n", names.join(", "));
        }
    }
    format!(
        "# Detector: {title}, {classes}\n\n\
         | | |\n|---|---|\n\
         | input | {input} {size} x {size} pixels |\n\
         {width}\
         | classes | {classes} |\n\
         {data}\
         {recipe}\
         | training | {n} crops, {epochs} epochs of {batch} crops a step, {frozen}, seed {seed} |\n\
         | optimiser | {optimiser}; {schedule} |\n\
         | loss | {loss}{balance} |\n\
         | validation | {m} crops of other people: loss {valid_loss:.4} nats, accuracy {accuracy:.3} (epoch {epoch}) |\n\
         | posterior | Monte Carlo dropout at rate {dropout} from `{boundary}` on |\n\
         | made by | {made_by} |\n\n\
         It knows the manipulations and the people it was trained on. Its scores on others are what a\n\
         reliability report is for; do not use it as evidence by itself.\n",
        classes = run.class_names.join(" / "),
        title = run.detector.title(),
        size = run.preprocessing.input_size,
        width = width,
        n = state.crops[0],
        m = state.crops[1],
        epochs = state.history.len(),
        batch = config.batch,
        optimiser = config.optimiser.in_words(),
        schedule = config.schedule.in_words(),
        loss = config.loss.in_words(),
        balance = if config.class_balance { ", half of what is learned from real" } else { "" },
        seed = run.seed,
        valid_loss = run.valid_loss,
        epoch = run.epoch,
        dropout = run.dropout,
        boundary = run.boundary,
        made_by = run.made_by,
    )
}
