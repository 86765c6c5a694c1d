//! Tables as others write them: read as they were meant, or an error with row and line; never part of the rows.
#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::path::{Path, PathBuf};

use dubito_table::{Fault, Kind, Table, TableError, Wanted};
use flate2::write::GzEncoder;

fn put(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The columns `label` and `p_fake` as the scores are read, row by row.
fn scores(path: &Path) -> Result<Vec<(String, Option<f64>)>, TableError> {
    let table = Table::open(path)?;
    let column = |name: &str| table.column(name).ok_or_else(|| table.missing(name));
    let wanted = [
        Wanted { column: column("label")?, name: "label".into(), kind: Kind::Text, expected: "a label" },
        Wanted { column: column("p_fake")?, name: "p_fake".into(), kind: Kind::Number, expected: "a number" },
    ];
    let mut all = Vec::new();
    table.read(&wanted, Ok, |block, _| -> Result<bool, TableError> {
        all.extend((0..block.rows).map(|row| (block.text(Some(0), row).to_owned(), block.number(1, row))));
        Ok(true)
    })?;
    Ok(all)
}

fn read(name: &str, bytes: &[u8]) -> Result<Vec<(String, Option<f64>)>, TableError> {
    scores(&put(tempfile::tempdir().unwrap().path(), name, bytes))
}

/// What reading says is wrong; it names the file and has a hint.
fn error(name: &str, bytes: &[u8]) -> String {
    let error = read(name, bytes).unwrap_err();
    let message = error.to_string();
    assert!(message.contains(name) && error.hint().is_some(), "{message}");
    message
}

const ROWS: [(&str, f64); 2] = [("real", 0.25), ("fake", 0.5)];

fn assert_rows(what: &str, bytes: &[u8], expected: &[(&str, f64)]) {
    let found = read("t", bytes).unwrap_or_else(|error| panic!("{what}: {error}"));
    let expected: Vec<(String, Option<f64>)> = expected.iter().map(|&(l, p)| (l.to_owned(), Some(p))).collect();
    assert_eq!(found, expected, "{what}");
}

#[test]
fn dialects() {
    let utf16 = |text: &str, big: bool| -> Vec<u8> {
        let bytes = |unit: u16| if big { unit.to_be_bytes() } else { unit.to_le_bytes() };
        format!("\u{feff}{text}").encode_utf16().flat_map(bytes).collect()
    };
    for text in [
        "label,p_fake\nreal,0.25\nfake,0.5\n",
        "label,p_fake\nreal,0.25\nfake,0.5",
        "label,p_fake\r\nreal,0.25\r\nfake,0.5\r\n",
        "label,p_fake\rreal,0.25\rfake,0.5\r",
        "label,p_fake\nreal,0.25\r\nfake,0.5\r",
        "\n\nlabel,p_fake\n\nreal,0.25\n   \nfake,0.5\n\n",
        "# made by hand\nlabel,p_fake\nreal,0.25\n# the other one\nfake,0.5\n",
        "sep=;\nlabel;p_fake\nreal;0.25\nfake;0.5\n",
        "\"sep=,\"\r\nlabel,p_fake\r\nreal,0.25\r\nfake,0.5\r\n",
        "sep=;\nlabel;p_fake\nreal;0,25\nfake;0,5\n",
        "label\tp_fake\nreal\t0.25\nfake\t0.5\n",
        "label|p_fake\nreal|0.25\nfake|0.5\n",
        "label;p_fake\nreal;0,25\nfake;0,5\n",
        "\"label\";\"p_fake\"\n\"real\";0,25\n\"fake\";5E-1\n",
        "label\tp_fake\nreal\t0,25\nfake\t0,5\n",
        "\"label\" \"p_fake\"\n\"1\" \"real\" 0.25\n\"2\" \"fake\" 0.5\n",
        "label p_fake\nreal 0.25\nfake 0.5\n",
        "label,p_fake\nreal,0.25,\nfake,0.5,\n",
        "#label,p_fake\nreal,0.25\nfake,0.5\n",
        "# label p_fake\nreal 2.5e-01\nfake 5e-01\n",
        "note,label,p_fake\n\"two\nlines\",real,0.25\n\"a \"\"quote\"\", and a comma\",fake,0.5\n",
        "note,label,p_fake\n5\" screen,real,0.25\nx,fake,0.5\n",
        "note, label, p_fake\n \"a, b\" , \"real\", 0.25\nx, fake, 0.5\n",
        "a b;label;p_fake\n1,2;real;0.25\n3,4;fake;0.5\n",
        "[{\"label\": \"real\", \"p_fake\": 0.25},\n {\"label\": \"fake\",\n  \"p_fake\": 0.5, \"note\": [\"]\", {\"a\": 1}]}]\n",
        "{\"label\": \"real\", \"p_fake\": 0.25}\n\n{\"label\": \"fake\", \"p_fake\": \"0.5\"}",
    ] {
        assert_rows(text, text.as_bytes(), &ROWS);
        assert_rows(text, format!("\u{feff}{text}").as_bytes(), &ROWS);
        assert_rows(text, &utf16(text, false), &ROWS);
        assert_rows(text, &utf16(text, true), &ROWS);
        assert_rows(text, &gzip(text.as_bytes()), &ROWS);
        let wide: Vec<u8> = format!("\u{feff}{text}").chars().flat_map(|c| u32::from(c).to_le_bytes()).collect();
        assert_rows(text, &wide, &ROWS);
    }
    let labels = "label,p_fake\n1.000000000000000000e+00,2.5e-01\n REAL ,5e-01\n";
    assert_rows(labels, labels.as_bytes(), &[("1.000000000000000000e+00", 0.25), ("REAL", 0.5)]);
    let missing = read("t", b"label,p_fake\nreal,NA\nfake,None\nreal,#N/A\nfake,<NA>\nreal,\\N\n").unwrap();
    assert!(missing.len() == 5 && missing.iter().all(|(_, p)| p.is_none()), "{missing:?}");
}

#[test]
fn no_row_is_lost_in_silence() {
    let rows = |from: usize, to: usize| -> String { (from..to).map(|i| format!("v{i},real,0.5,ok\n")).collect() };
    let table = |middle: &str| format!("item,label,p_fake,note\n{}{middle}{}", rows(0, 4), rows(5, 20));
    for (middle, expected) in [
        ("v4,real,0.5,\"seen twice\n", "line 6, row 5: the quotation mark that opens the cell of column note is never"),
        ("v4,real,0.5,\"seen\nv,real,0.5,\"blurred\"\n", "line 6, row 5: \"blurred\"\" stands behind"),
        ("v4,real,0.5,\"seen\nv,real,0.5,ok\nw,real,0.5,dark\"\n", "line 6, row 5: a quotation mark opens a cell"),
        ("v4,real,0.5,\"seen\nw,real,0.5,dark\"\n", "line 6, row 5: a quotation mark opens a cell"),
        ("v4,\"real,0.5,ok\nx,\"real,0.5,ok\n", "line 6, row 5"),
        ("v4,real,0.5\n", "line 6, row 5: 3 cells, expected 4"),
        ("v4,real,0.5,ok,more\n", "line 6, row 5: 5 cells, expected 4"),
        ("v4\n", "line 6, row 5: 1 cell, expected 4"),
        ("\n\nv4,real,0.5\n", "line 8, row 5"),
        ("v4,real,98%,ok\n", "line 6, row 5, column p_fake: found \"98%\", expected a number (write percentages"),
        ("v4,real,\"1,234.5\",ok\n", "between the thousands"),
        ("v4,real,\"0,5\",ok\n", "(write the decimal comma as a point)"),
        ("v4,real,\"o\nk\",ok\n", "line 6, row 5, column p_fake"),
    ] {
        let message = error("r.csv", table(middle).as_bytes());
        assert!(message.contains(expected), "{middle}: {message}");
        let packed = error("r.csv.gz", &gzip(table(middle).as_bytes()));
        assert!(packed.contains(expected), "{middle}: {packed}");
        let of_old_macs = error("r.csv", table(middle).replace('\n', "\r").as_bytes());
        assert!(of_old_macs.contains(expected), "{middle}: {of_old_macs}");
    }
    // A record that never ends, behind some that do.
    let endless = format!("{}v20,real,0.5,\"{}", table("v4,real,0.5,ok\n"), "x".repeat(3 << 20));
    assert!(error("e.csv", endless.as_bytes()).contains("line 22, row 21: is longer than 1 MiB"));
    let endless = format!("{{\"label\": \"real\", \"p_fake\": 0.5}}\n{{\"label\": \"{}", "x".repeat(3 << 20));
    assert!(error("e.jsonl", endless.as_bytes()).contains("line 2, row 2: is longer than 1 MiB"));
    // A quoted cell of several lines that are no rows is one cell, and lines are counted as the file has them.
    let long = table("v4,real,0.5,\"a\nb, c\nd\"\n");
    assert_eq!(read("l.csv", long.as_bytes()).unwrap().len(), 20);
    let then_bad = format!("{long}v20,real\n");
    assert!(error("l.csv", then_bad.as_bytes()).contains("line 24, row 21"));
    // Bytes that are none of a text.
    for (bytes, expected) in [
        (&b"v4,real,0.5,caf\xe9\n"[..], "line 6, row 5: is not UTF-8 (bytes E9 0A; Windows-1252"),
        (b"v4,real,0.5,a\0b\n", "NUL byte"),
    ] {
        let mut whole = table("").into_bytes();
        let at = "item,label,p_fake,note\n".len() + rows(0, 4).len();
        whole.splice(at..at, bytes.iter().copied());
        let message = error("b.csv", &whole);
        assert!(message.contains(expected), "{message}");
        // Far behind the head that is looked at first.
        let mut far = format!("item,label,p_fake,note\n{}", rows(0, 100_000)).into_bytes();
        far.extend(bytes);
        let message = error("b.csv", &far);
        assert!(message.contains("line 100002, row 100001"), "{message}");
    }
    // Cut files.
    let whole = table("");
    let message = error("c.csv", &whole.as_bytes()[..whole.len() - 8]);
    assert!(message.contains("the file ends within this row"), "{message}");
    let noise: String =
        (0..3000).map(|i: u32| format!("v{i},real,0.{},x\n", i.wrapping_mul(2_654_435_761) % 9973)).collect();
    let packed = gzip(format!("item,label,p_fake,note\n{noise}").as_bytes());
    for keep in [packed.len() / 2, packed.len() - 9, packed.len() - 1] {
        let message = error("c.csv.gz", &packed[..keep]);
        assert!(message.contains("gzip: the stream ends too early"), "{message}");
    }
    assert!(error("t.csv.gz", &[&packed[..], b"something else entirely"].concat()).contains("gzip: "));
    let mut twice = packed.clone();
    twice.extend(gzip(b"last,real,0.5,x\n"));
    assert_eq!(read("m.csv.gz", &twice).unwrap().len(), 3001);
    let json = "{\"label\": \"real\", \"p_fake\": 0.25}\n\n{\"label\": \"fake\", \"p_f";
    assert!(error("c.jsonl", json.as_bytes()).contains("line 3, row 2"));
    assert!(error("c.json", b"[{\"label\": \"real\", \"p_fake\": 0.25},").contains("never closed"));
    assert!(error("c.json", b"[{\"label\": \"real\", \"p_fake\": 0.25}] x").contains("behind the end of the array"));
}

#[test]
fn what_is_not_read_is_named() {
    let text = "label,p_fake\nreal,0.25\nfake,0.5\n";
    let units = |big: bool| -> Vec<u8> {
        text.encode_utf16().flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect()
    };
    let wide = |big: bool| -> Vec<u8> {
        text.chars().flat_map(|c| if big { u32::from(c).to_be_bytes() } else { u32::from(c).to_le_bytes() }).collect()
    };
    for (bytes, expected) in [
        (units(false), "UTF-16 (little-endian)"),
        (units(true), "UTF-16 (big-endian)"),
        (wide(false), "UTF-32 (little-endian)"),
        (wide(true), "UTF-32 (big-endian)"),
        (b"label,p_fake\nreal,0\x00.25\n".to_vec(), "NUL byte in line 2"),
        (b"label,p;fake\nreal,0;25\n".to_vec(), "cut by \",\" or by \";\""),
        (b"label  p_fake\nreal   0.25\n".to_vec(), "several spaces"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1".to_vec(), "Excel"),
        (b"label,label,p_fake\na,b,0\n".to_vec(), "label is there twice"),
        (b"Pr\xfcfwert;label;p_fake\n0,5;real;0,25\n".to_vec(), "line 1, row 0: the header is not UTF-8 (bytes FC "),
        (b"label;p_fake;Pr\xfcfwert\nreal;0,25;0,5\n".to_vec(), "line 1, row 0: the header is not UTF-8 (bytes FC "),
        (b"{\"label\": \"real\", \"p_fake\": 0.5, \"label\": \"fake\"}\n".to_vec(), "is there twice"),
        (b"{\"label\": 123456789012345678901, \"p_fake\": 0.5}\n".to_vec(), "so many digits is rounded"),
        (b"# nothing but this\n".to_vec(), "comments alone"),
        (b"\n\n".to_vec(), "holds no rows"),
        (b"label,p_fake\n".to_vec(), "holds no rows"),
        (b"lab\"el,p_fake\nreal,0\n".to_vec(), "no column label"),
        (b"\"label,p_fake\nreal,0\n".to_vec(), "never closed"),
    ] {
        let message = error("n", &bytes);
        assert!(message.contains(expected), "{expected}: {message}");
    }
    let folder = tempfile::tempdir().unwrap();
    assert!(scores(folder.path()).unwrap_err().to_string().contains("is a folder"));
    assert!(scores(Path::new("/nowhere/x")).unwrap_err().hint().unwrap().contains("exists"));
    #[cfg(unix)]
    {
        let socket = folder.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert!(scores(&socket).unwrap_err().to_string().contains("is a socket"));
        assert!(scores(Path::new("/dev/zero")).unwrap_err().to_string().contains("is a device"));
    }
}

/// The bytes of an NPZ of two arrays that are not packed.
fn npz(arrays: [(&str, &str, u64, Vec<u8>); 2]) -> Vec<u8> {
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, kind, rows, data) in arrays {
        let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({rows},), }}\n");
        archive.start_file(format!("{name}.npy"), options).unwrap();
        archive.write_all(b"\x93NUMPY\x01\x00").unwrap();
        archive.write_all(&(header.len() as u16).to_le_bytes()).unwrap();
        archive.write_all(header.as_bytes()).unwrap();
        archive.write_all(&data).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

#[test]
fn arrays_are_whole_or_refused() {
    let numbers = |values: &[f64]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    let of = |p: &[f64]| npz([("label", "|S4", 2, b"realfake".to_vec()), ("p_fake", "<f8", 2, numbers(p))]);
    assert_rows("npz", &of(&[0.25, 0.5]), &ROWS);
    let mut flipped = of(&[0.25, 0.5]);
    let at = flipped.windows(8).position(|bytes| bytes == 0.25_f64.to_le_bytes()).unwrap();
    flipped[at + 6] ^= 1;
    assert!(error("f.npz", &flipped).contains("array p_fake is corrupt: its checksum is another one"));
    assert!(error("l.npz", &of(&[0.25, 0.5, 0.75])).contains("array p_fake is longer than its header says"));
    let of_nothing = npz([("label", "<U0", 10_u64.pow(15), Vec::new()), ("p_fake", "<U0", 10_u64.pow(15), Vec::new())]);
    assert!(error("n.npz", &of_nothing).contains("rows of 0 bytes are declared"));
    // A person without a name is nobody.
    let folder = tempfile::tempdir().unwrap();
    let people = npz([("identity", "<f8", 2, numbers(&[f64::NAN, 5.0])), ("p_fake", "<f8", 2, numbers(&[0.0, 1.0]))]);
    let table = Table::open(&put(folder.path(), "p.npz", &people)).unwrap();
    let (column, records) = (table.column("identity").unwrap(), table.records().unwrap());
    assert_eq!([records.get(0, column), records.get(1, column)], ["", "5"]);
}

/// A pipe is read once, however often the table is.
#[cfg(unix)]
#[test]
fn pipes() {
    let folder = tempfile::tempdir().unwrap();
    let text = "label,p_fake\nreal,0.25\nfake,0.5\n";
    for bytes in [text.as_bytes().to_vec(), gzip(text.as_bytes())] {
        let pipe = folder.path().join(format!("pipe{}", bytes.len()));
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let writer = {
            let pipe = pipe.clone();
            std::thread::spawn(move || std::fs::write(pipe, bytes).unwrap())
        };
        let first = scores(&pipe).unwrap();
        writer.join().unwrap();
        assert_eq!((first.len(), scores(&pipe).unwrap()), (2, first));
    }
}

#[test]
fn records_are_names() {
    let folder = tempfile::tempdir().unwrap();
    let path =
        put(folder.path(), "i.csv", "\u{feff}file,identity\r\na.mp4,5.0\r\nb.mp4,nan\r\nc.mp4,\"Ü, x\"\r\n".as_bytes());
    let records = Table::open(&path).unwrap().records().unwrap();
    let identities: Vec<&str> = (0..records.len()).map(|row| records.get(row, 1)).collect();
    assert_eq!(identities, ["5", "", "Ü, x"]);
    let none = Table::open(&put(folder.path(), "e.csv", b"file,identity\n")).unwrap().records().unwrap();
    assert!(none.is_empty());
    let fault = Table::open(&path).unwrap().error(Fault::row(1, "is odd"), 0).to_string();
    assert!(fault.ends_with("i.csv: line 3, row 2: is odd"), "{fault}");
}

/// What other programs wrote: `crates/dubito/tests/cases/tables/make.py`.
#[test]
fn files_of_other_programs() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dubito/tests/cases/tables");
    let mut expected: Option<Vec<Option<f64>>> = None;
    for name in [
        "pandas.csv",
        "scores_gzip.parquet",
        "scores_lz4.parquet",
        "scores_brotli.parquet",
        "scores_snappy.parquet",
        "scores_zstd.parquet",
        "pandas.parquet",
        "polars.parquet",
        "duckdb.parquet",
        "types.parquet",
        "utf-16-le.csv",
        "utf-16-be.csv",
        "utf-32-le.csv",
        "utf-32-be.csv",
    ] {
        let found = scores(&folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let found: Vec<Option<f64>> = found.into_iter().map(|(_, p)| p.map(|p| (p * 1e6).round() / 1e6)).collect();
        assert_eq!(found.len(), 20, "{name}");
        match &expected {
            None => expected = Some(found),
            Some(expected) => assert_eq!(&found, expected, "{name}"),
        }
    }
    for (name, expected) in [
        ("bomb.npz.gz", "more than 300 times as many"),
        ("declared.npz", "array label is cut off or corrupt: 1250000000 rows of 1 bytes"),
        ("book.xlsx", "Excel workbook"),
        ("cp1252.csv", "line 22, row 21: is not UTF-8 (bytes E9"),
        ("cut.csv.gz", "gzip: the stream ends too early"),
        ("behind.csv.gz", "gzip: "),
        ("to_the_end.csv", "line 6, row 5: the quotation mark that opens the cell of column note is never closed"),
        ("to_the_next.csv", "line 6, row 5: \"blurred\"\" stands behind"),
    ] {
        let message = scores(&folder.join(name)).unwrap_err().to_string();
        assert!(message.contains(expected), "{name}: {message}");
    }
    let people = |name: &str, column: &str| -> Vec<String> {
        let table = Table::open(&folder.join(name)).unwrap();
        let (column, records) = (table.column(column).unwrap(), table.records().unwrap());
        (0..records.len()).map(|row| records.get(row, column).to_owned()).collect()
    };
    assert_eq!(people("manifest_floats.parquet", "identity"), ["0", "1", "2", "3", "0", "1", "2", "3"]);
    assert_eq!(people("manifest_floats.parquet", "donor"), ["", "2", "", "0", "", "2", "", "0"]);
    assert_eq!(people("filtered.parquet", "donor"), people("filtered.csv", "donor"));
    assert_eq!(people("filtered.parquet", "frames"), people("filtered.csv", "frames"));
}
