//! Renders subjects side by side into one PNG.
//!
//!     cargo run -p dubito-sim --example contact_sheet -- OUT.png [FIRST_SEED] [COUNT] [COLUMNS] [FRAME]

use std::error::Error;
use std::time::Instant;

use dubito_sim::{Performance, Subject, SubjectConfig, render};
use image::{GenericImage, RgbImage};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let out = arguments.next().ok_or("usage: contact_sheet OUT.png [FIRST_SEED] [COUNT] [COLUMNS] [FRAME]")?;
    let mut number = |default: u64| arguments.next().map_or(Ok(default), |a| a.parse());
    let (first, count, columns, frame) = (number(1)?, number(10)?, number(5)?.max(1), number(40)?);
    let rows = count.div_ceil(columns);
    let mut sheet = RgbImage::new(640 * columns as u32, 480 * rows as u32);
    for i in 0..count {
        // Every tone of the scale in turn.
        let seed = first + i;
        let start = Instant::now();
        let subject = Subject::from_config(SubjectConfig::from_seed_and_tone(seed, (i % 10) as u8 + 1))?;
        let made = start.elapsed();
        let performance = Performance::new(seed);
        let start = Instant::now();
        let rendered = render(&subject, &performance, frame);
        eprintln!(
            "seed {seed}: {:?}, made in {made:.0?}, rendered in {:.0?}",
            subject.config().hair.style,
            start.elapsed()
        );
        sheet.copy_from(&rendered.image, (i % columns) as u32 * 640, (i / columns) as u32 * 480)?;
    }
    sheet.save(out)?;
    Ok(())
}
