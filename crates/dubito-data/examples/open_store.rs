//! How long a store of very many clips takes to open: makes one of tiny synthetic clips, then opens it.
//!
//!     cargo run --release -p dubito-data --example open_store -- FOLDER [CLIPS]
//!
//! A store that is there already is not made again. Opening is: read the manifest, set up the reader of every clip, look
//! into the first one's header. Then a thousand frames at random places are read, as a loader does.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use dubito_data::clip::{Clip, ClipFrames, ClipMeta, POINTS};
use dubito_data::manifest::{self, Row};
use rayon::prelude::*;

const SIZE: u32 = 8;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let store = arguments.next().ok_or("usage: open_store FOLDER [CLIPS]")?;
    let store = Path::new(&store);
    let count = arguments.next().map_or(Ok(100_000), |n| n.parse::<usize>())?.max(1);
    let path = store.join(format!("manifest-{count}.parquet"));
    if !path.is_file() {
        let begun = Instant::now();
        make(store, &path, count)?;
        println!("{count} clips made in {:.1?}", begun.elapsed());
    }

    let begun = Instant::now();
    let rows = manifest::read(&path)?;
    let read = begun.elapsed();
    let clips: Vec<ClipFrames> = rows
        .iter()
        .filter_map(|row| Some(ClipFrames::open(&store.join(row.clip.as_ref()?), row.frames)))
        .collect::<Result<_, _>>()?;
    let size = clips[0].size()?;
    println!(
        "{} clips of {size} pixels open in {:.3?}, of which the manifest {read:.3?}",
        clips.len(),
        begun.elapsed()
    );

    let begun = Instant::now();
    let mut frame = vec![0; (size * size * 3) as usize];
    let mut at = 1_u64;
    for _ in 0..1000 {
        at = at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let clip = &clips[(at >> 33) as usize % clips.len()];
        clip.read((at >> 20) as usize % clip.len(), &mut frame)?;
    }
    println!("1000 frames of clips at random, each opened for it: {:.3?}", begun.elapsed());
    Ok(())
}

fn make(store: &Path, path: &Path, count: usize) -> Result<(), Box<dyn Error>> {
    let rows: Vec<Row> = (0..count)
        .map(|i| Row {
            path: format!("{i}.mp4"),
            video: format!("v{i}"),
            generator: "real".into(),
            identity: format!("p{}", i % 500),
            dataset: "synthetic".into(),
            compression: "raw".into(),
            clip: Some(format!("{:02x}/{i:08}.safetensors", i % 256)),
            frames: Some(1),
            ..Row::default()
        })
        .collect();
    rows.par_iter().try_for_each(|row| {
        let clip = Clip {
            meta: ClipMeta { video: row.video.clone(), size: SIZE, ..ClipMeta::default() },
            frame_index: vec![0],
            timestamps: vec![0.0],
            boxes: vec![[0.0; 4]],
            transforms: vec![[0.0; 6]],
            presence: vec![1.0],
            windows: vec![0],
            landmarks: vec![[0.0; 3]; POINTS],
            frames: vec![128; (SIZE * SIZE * 3) as usize],
        };
        clip.write(&store.join(row.clip.as_deref().unwrap_or_default()))
    })?;
    manifest::write(path, &rows, "{}")?;
    Ok(())
}
