//! Learning curves of a run as a page, `curves.html`, that holds all it shows.

use std::fmt::Write;
use std::path::Path;

use dubito_data::stats::{STYLE, escape};
use dubito_data::write_atomically;
use dubito_nn::{EpochRecord, TrainConfig};
use dubito_report::lines::{LinePanel, line_svg};

use crate::StudyError;

/// Writes the curves of the epochs so far into a run's folder. Nothing where there are none.
///
/// # Errors
/// A page that can't be drawn or written.
pub fn write(dir: &Path, name: &str, config: &TrainConfig, history: &[EpochRecord]) -> Result<(), StudyError> {
    let Some(best) = history.iter().min_by(|a, b| a.valid_loss.total_cmp(&b.valid_loss)) else { return Ok(()) };
    let figure = line_svg("curves", &panels(history, best.epoch))?;
    let title = format!("How {} learned: {}", config.detector.title(), escape(name));
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n<style>\n{STYLE}{OWN_STYLE}</style>\n\
         </head>\n<body>\n<h1>{title}</h1>\n<p>{}</p>\n<figure>\n{figure}\n<figcaption>The dashed line is the epoch whose \
         weights are kept.</figcaption>\n</figure>\n",
        escape(&in_words(config, history, best))
    );
    html += "<h2>Epochs</h2>\n<table>\n<thead><tr><th class=\"num\">epoch</th><th class=\"num\">training loss</th>\
             <th class=\"num\">validation loss</th><th class=\"num\">validation accuracy</th>\
             <th class=\"num\">learning rate</th><th></th></tr></thead>\n<tbody>\n";
    for epoch in history {
        let kept = if epoch.epoch == best.epoch { "kept" } else { "" };
        // Writing to a String does not fail.
        let _ = writeln!(
            html,
            "<tr><td class=\"num\">{}</td><td class=\"num\">{:.4}</td><td class=\"num\">{:.4}</td>\
             <td class=\"num\">{:.3}</td><td class=\"num\">{:.2e}</td><td>{kept}</td></tr>",
            epoch.epoch, epoch.train_loss, epoch.valid_loss, epoch.valid_accuracy, epoch.learning_rate
        );
    }
    html += "</tbody>\n</table>\n";
    html += MEANING;
    write_atomically(&dir.join("curves.html"), html.as_bytes())?;
    Ok(())
}

const OWN_STYLE: &str = "\
figure svg { background: #fff; --ink: #1f2430; } figure { margin: 24px 0; } dt { font-weight: 600; } dd { margin: 0 0 8px; max-width: 70ch; }
";

const MEANING: &str = "\
<h2>What the columns mean</h2>
<dl>
<dt>training loss</dt><dd>Mean over the epoch's steps of what is made small (the recipe's [loss], as a rule the cross-entropy, in \
nats), with augmentation and dropout. Where it falls and the validation loss rises, the detector learns its people by heart.</dd>
<dt>validation loss</dt><dd>Mean negative log-likelihood on crops of people it does not learn from, in nats, without augmentation \
and dropout, at the temperature that makes it lowest: it asks how well the classes are told apart, not how sure the detector is \
of itself. Telling nothing of two classes is 0.693.</dd>
<dt>validation accuracy</dt><dd>Part of the same crops whose most probable class is their own; weighed so that half are real and \
the fakes are even, where the recipe says <code>class_balance</code>.</dd>
<dt>learning rate</dt><dd>That of the epoch's last step.</dd>
</dl>
<p class=\"grey\">The numbers are in history.json beside this page, the settings in recipe.toml; <code>tensorboard --logdir</code> \
shows the same curves. One validation set of a few people moves by chance: do not choose between recipes by the last digit.</p>
</body>
</html>
";

/// Which epoch is kept and why, and whether there will be more.
fn in_words(config: &TrainConfig, history: &[EpochRecord], best: &EpochRecord) -> String {
    let (epoch, waited) = (history.len(), history.len() - best.epoch);
    let kept = format!(
        "Kept are the weights of epoch {}, whose validation loss is the lowest: {:.4} nats, accuracy {:.3}.",
        best.epoch, best.valid_loss, best.valid_accuracy
    );
    let patience = config.patience;
    let state = if patience > 0 && waited >= patience {
        format!("Training stopped after epoch {epoch}, as {waited} epochs in a row brought no lower one.")
    } else if epoch >= config.epochs {
        format!("All {epoch} epochs are done.")
    } else {
        format!("Epoch {epoch} of at most {} is done.", config.epochs)
    };
    format!("{kept} {state}")
}

fn panels(history: &[EpochRecord], best: usize) -> Vec<LinePanel> {
    let last = history.len().max(2) as f64;
    let ends = |values: &[f64]| {
        let (low, high) = values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), &v| (l.min(v), h.max(v)));
        // A line that does not move stands in the middle.
        let room = if high > low { 0.05 * (high - low) } else { 0.05 * high.abs().max(1e-6) };
        (low - room, high + room)
    };
    let one = |title: &str, y: &'static str, value: &dyn Fn(&EpochRecord) -> f64, zero: bool| {
        let values: Vec<f64> = history.iter().map(value).collect();
        let (low, high) = ends(&values);
        let points = history.iter().zip(&values).map(|(epoch, &v)| (epoch.epoch as f64, v)).collect();
        LinePanel {
            title: title.into(),
            x: ("epoch", 1.0, last),
            counted: true,
            y: (y, if zero { 0.0 } else { low }, high),
            points: if history.len() > 1 { Ok(points) } else { Err("one epoch makes no line".into()) },
            marks: vec![best as f64],
        }
    };
    vec![
        one("Training loss", "nats", &|e| e.train_loss, false),
        one("Validation loss", "nats", &|e| e.valid_loss, false),
        one("Validation accuracy", "accuracy", &|e| e.valid_accuracy, false),
        one("Learning rate", "rate", &|e| f64::from(e.learning_rate), true),
    ]
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn epoch(epoch: usize, valid_loss: f64) -> EpochRecord {
        EpochRecord { epoch, train_loss: 1.0 / epoch as f64, valid_loss, valid_accuracy: 0.75, learning_rate: 1e-3 }
    }

    #[test]
    fn the_page_says_which_epoch_is_kept_and_why() {
        let folder = tempfile::tempdir().unwrap();
        let config = TrainConfig { epochs: 20, patience: 2, ..TrainConfig::default() };
        let mut history = Vec::new();
        let mut page = |epoch: EpochRecord| {
            history.push(epoch);
            write(folder.path(), "runs/<fold1>", &config, &history).unwrap();
            std::fs::read_to_string(folder.path().join("curves.html")).unwrap()
        };
        let first = page(epoch(1, 0.7));
        assert!(first.contains("one epoch makes no line") && first.contains("Epoch 1 of at most 20"), "{first}");
        assert!(first.contains("runs/&lt;fold1&gt;"));
        page(epoch(2, 0.61234));
        page(epoch(3, 0.65));
        let last = page(epoch(4, 0.64));
        for said in
            ["weights of epoch 2", "0.6123 nats", "stopped after epoch 4, as 2 epochs in a row", "<polyline", "kept"]
        {
            assert!(last.contains(said), "{said} in {last}");
        }
        assert_eq!(last.matches(">kept<").count(), 1);
        assert!(last.ends_with("</html>\n"));
        write(&folder.path().join("none"), "x", &config, &[]).unwrap();
        assert!(!folder.path().join("none").exists());
    }
}
