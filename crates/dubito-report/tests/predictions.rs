//! Predictions go to a file and come back as they were; what is wrong is named, and nothing panics.
#![allow(clippy::unwrap_used)]

mod synthetic;

use std::path::{Path, PathBuf};

use dubito_report::{PredictionReader, PredictionWriter, ReportError, Row};
use dubito_stats::Task;
use synthetic::{Size, rows, write};

fn read(path: &Path) -> Result<Vec<Row>, ReportError> {
    let mut reader = PredictionReader::open(path)?;
    let (mut all, mut row) = (Vec::new(), Row::default());
    while reader.read(&mut row)? {
        all.push(row.clone());
    }
    Ok(all)
}

/// Write text to a file and say what reading it says.
fn error_of(name: &str, content: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    let message = read(&path).unwrap_err().to_string();
    assert!(message.contains(name), "{message} does not name the file");
    message
}

#[test]
fn both_formats_keep_every_bit() {
    let folder = tempfile::tempdir().unwrap();
    let rows = rows(&Size { people: 2, frames: 3, samples: 250 });
    assert!(rows.len() > 8192, "more than one batch");
    for name in ["p.csv", "p.parquet"] {
        let path = folder.path().join(name);
        write(&path, &rows).unwrap();
        let back = read(&path).unwrap();
        assert_eq!(back.len(), rows.len());
        for (a, b) in back.iter().zip(&rows) {
            assert_eq!(a.probs[1].to_bits(), b.probs[1].to_bits());
            assert_eq!(Row { probs: vec![], ..a.clone() }, Row { probs: vec![], ..b.clone() });
        }
    }
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 2, "no temporary file is left");
}

#[test]
fn provenance_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.parquet");
    write(&path, &rows(&Size { people: 1, frames: 1, samples: 1 })).unwrap();
    let reader = PredictionReader::open(&path).unwrap();
    assert_eq!(reader.provenance().unwrap()["seed"], 7);
}

#[test]
fn several_classes() {
    let folder = tempfile::tempdir().unwrap();
    let task = Task::multiclass(["real", "face-swap", "mouth"]);
    for name in ["m.csv", "m.parquet"] {
        let path = folder.path().join(name);
        let row = Row { item: "a".into(), label: 2, probs: vec![0.2, 0.3, 0.5], ..Row::default() };
        let mut writer = PredictionWriter::create(&path, &task, &serde_json::Value::Null).unwrap();
        writer.push(&row).unwrap();
        writer.finish().unwrap();
        assert_eq!(PredictionReader::open(&path).unwrap().task(), &task);
        assert_eq!(read(&path).unwrap(), [row]);
    }
}

#[test]
fn foreign_csv() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scores.csv");
    std::fs::write(&path, "\u{feff}label,prob_fake,prob_real,item,other\n1,0.75,0.25,a,x\nreal,0.1,0.9,b,\n").unwrap();
    let rows = read(&path).unwrap();
    assert_eq!(rows[0].probs, [0.25, 0.75]);
    assert_eq!((rows[0].label, rows[1].label), (1, 0));
    assert_eq!((rows[0].video.clone(), rows[0].sample), (None, 0));
}

#[test]
fn bad_cells_are_named() {
    let header = "item,label,p_fake\n";
    let with = |line: &str| error_of("p.csv", format!("{header}a,real,0.5\n{line}\n").as_bytes());
    for (line, expected) in [
        ("b,fake,1.2", "row 2, column p_fake: found 1.2, expected a probability"),
        ("b,fake,NaN", "row 2, column p_fake: found NaN"),
        ("b,fake,-0.1", "column p_fake: found -0.1"),
        ("b,fake,high", "column p_fake: found \"high\""),
        ("b,fake,", "column p_fake: found nothing"),
        ("b,swap,0.5", "column label: found \"swap\", expected one of real, fake"),
        ("b,2,0.5", "column label: found \"2\""),
        (",fake,0.5", "column item: found nothing"),
        ("b,fake", "row 2: 2 cells, expected 3"),
    ] {
        let message = with(line);
        assert!(message.contains(expected), "{line}: {message}");
    }
    let logits = error_of("l.csv", b"item,label,prob_a,prob_b\nx,a,0.9,0.9\n");
    assert!(logits.contains("sum of 1.8"), "{logits}");
    let sample = error_of("s.csv", b"item,label,p_fake,sample\nx,real,0.9,first\n");
    assert!(sample.contains("column sample: found \"first\""), "{sample}");
    let control = error_of("c.csv", b"item,label,p_fake,control\nx,fake,0.9,swap\n");
    assert!(control.contains("a null control is a real video"), "{control}");
}

#[test]
fn bad_files_are_named() {
    let missing = error_of("p.csv", b"item,label,score\na,real,0.5\n");
    assert!(missing.contains("no column p_fake") && missing.contains("item, label, score"), "{missing}");
    assert!(error_of("p.csv", b"name,label,p_fake\na,real,0.5\n").contains("no column item"));
    assert!(error_of("p.csv", b"item,label,p_fake,label\na,real,0.5,fake\n").contains("label is there twice"));
    assert!(error_of("p.csv", b"").contains("holds no predictions"));
    assert!(error_of("p.csv", b"item,label,p_fake\n").contains("holds no predictions"));
    assert!(error_of("p.csv", b"item,label,p_fake\n\xff\xfe,real,0.5\n").contains("UTF-8"));
    assert!(error_of("p.parquet", b"item,label,p_fake\na,real,0.5\n").contains("name it .csv"));
    assert!(error_of("p.csv", b"PAR1....PAR1").contains("name it .parquet"));
    assert!(error_of("p.txt", b"item\n").contains(".csv or .parquet"));
    let nowhere = read(&PathBuf::from("/nowhere/p.csv")).unwrap_err().to_string();
    assert!(nowhere.contains("/nowhere/p.csv: cannot be read"), "{nowhere}");
}

#[test]
fn a_writer_refuses_what_a_reader_would() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.parquet");
    let mut writer = PredictionWriter::create(&path, &Task::binary(), &serde_json::Value::Null).unwrap();
    let row = Row { item: "a".into(), label: 1, probs: vec![0.5, 0.5], ..Row::default() };
    for bad in [
        Row { probs: vec![f64::NAN, 0.5], ..row.clone() },
        Row { probs: vec![0.5, f64::NAN], ..row.clone() },
        Row { probs: vec![1.0], ..row.clone() },
        Row { label: 2, ..row.clone() },
        Row { item: String::new(), ..row.clone() },
    ] {
        assert!(matches!(writer.push(&bad), Err(ReportError::BadValue { .. })), "{bad:?}");
    }
    drop(writer);
    assert!(!path.exists(), "an unfinished file has no name");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    let nowhere = PredictionWriter::create(Path::new("/nowhere/p.csv"), &Task::binary(), &serde_json::Value::Null);
    assert!(matches!(nowhere, Err(ReportError::Write { .. })));
}

#[test]
fn corrupt_parquet_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.parquet");
    write(&path, &rows(&Size { people: 1, frames: 2, samples: 3 })).unwrap();
    let whole = std::fs::read(&path).unwrap();
    let hurt = folder.path().join("hurt.parquet");
    for keep in (4..whole.len()).step_by(whole.len() / 40) {
        std::fs::write(&hurt, &whole[..keep]).unwrap();
        assert!(read(&hurt).is_err(), "cut to {keep} bytes");
    }
    // A flipped byte may hit a value, which no checksum guards: then there are rows, but never a panic.
    std::panic::set_hook(Box::new(|_| {}));
    let mut errors = 0;
    for at in (0..whole.len()).step_by(37) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x55;
        std::fs::write(&hurt, &bytes).unwrap();
        errors += usize::from(read(&hurt).is_err());
    }
    let _ = std::panic::take_hook();
    assert!(errors > 10, "{errors} of the flipped bytes were noticed");
}
