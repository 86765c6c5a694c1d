//! Pictures made to burst: refused or read in little memory. Alone in its file: it measures the whole process.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

mod common;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::{embedded, error, picture, read};
use dubito_media::{MediaError, Tools};
use flate2::Compression;
use flate2::write::ZlibEncoder;

/// Peak memory of this process so far, in MiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// So many MiB of zeros, packed.
fn zeros(mebibytes: usize) -> Vec<u8> {
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::fast());
    let block = vec![0; 1 << 20];
    (0..mebibytes).for_each(|_| packed.write_all(&block).unwrap());
    packed.finish().unwrap()
}

fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let body = [kind, data].concat();
    [&(data.len() as u32).to_be_bytes()[..], &body, &crc32fast::hash(&body).to_be_bytes()].concat()
}

fn header(width: u32, height: u32, bits: u8, colour: u8, interlaced: u8) -> Vec<u8> {
    let sizes = [width.to_be_bytes(), height.to_be_bytes()].concat();
    chunk(b"IHDR", &[&sizes[..], &[bits, colour, 0, 0, interlaced]].concat())
}

#[test]
fn pictures_that_burst_cost_an_error_or_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| -> PathBuf {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let good = folder.path().join("good.png");
    picture(3, 64, 48).save(&good).unwrap();
    let png = std::fs::read(&good).unwrap();
    // The signature and IHDR; a chunk behind it.
    let with = |chunk: &[u8]| [&png[..33], chunk, &png[33..]].concat();
    let packed = zeros(1024);
    let harmless = [
        write("iccp.png", &with(&chunk(b"iCCP", &[b"x\0\0", &packed[..]].concat()))),
        write("ztxt.png", &with(&chunk(b"zTXt", &[b"x\0\0", &packed[..]].concat()))),
        write("itxt.png", &with(&chunk(b"iTXt", &[b"x\0\x01\0\0\0", &packed[..]].concat()))),
        write("exif.png", &with(&chunk(b"eXIf", &vec![7; 64 << 20]))),
        write("texts.png", &with(&chunk(b"tEXt", b"a\0b").repeat(200_000))),
        write("suggested.png", &with(&chunk(b"sPLT", &vec![7; 32 << 20]))),
    ];
    let jpeg = folder.path().join("good.jpg");
    picture(3, 64, 48).save(&jpeg).unwrap();
    let jpeg = std::fs::read(&jpeg).unwrap();
    let sized = |width: u16, height: u16| {
        let mut jpeg = jpeg.clone();
        let place = jpeg.windows(2).position(|marker| marker == [0xff, 0xc0]).unwrap();
        jpeg[place + 5..place + 7].copy_from_slice(&height.to_be_bytes());
        jpeg[place + 7..place + 9].copy_from_slice(&width.to_be_bytes());
        jpeg
    };
    let end = chunk(b"IEND", b"");
    let large = |bits, colour, size| {
        [&png[..8], &header(size, size, bits, colour, 1), &chunk(b"IDAT", &packed[..1 << 16]), &end].concat()
    };
    let too_large = [
        write("large.jpg", &sized(65500, 65500)),
        write("large.png", &large(8, 2, 60_000)),
        write("large.gif", b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\x02\x02L\x01\0;"),
        write("large.bmp", &{
            let mut bmp = vec![0; 54];
            bmp[..2].copy_from_slice(b"BM");
            bmp[10] = 54;
            bmp[14] = 40;
            bmp[18..22].copy_from_slice(&50_000_u32.to_le_bytes());
            bmp[22..26].copy_from_slice(&50_000_u32.to_le_bytes());
            (bmp[26], bmp[28]) = (1, 24);
            bmp
        }),
    ];
    let broken = [
        write("empty_scan.jpg", &sized(8000, 8000)),
        write("interlaced.png", &large(16, 6, 8000)),
        write("endless.png", &[&png[..33], &u32::MAX.to_be_bytes()[..], b"IDATxxxx"].concat()),
        write(
            "endless.webp",
            b"RIFF\xff\xff\xff\xffWEBPVP8X\xff\xff\xff\xff\x02\0\0\0\xff\xff\xff\xff\xff\xffANMF\xff\xff\xff\xff",
        ),
        write("endless.tif", b"II*\0\x08\0\0\0\0\0\x08\0\0\0"),
        write("endless.gif", b"GIF89a\x10\0\x10\0\xf7\0\0"),
    ];
    let before = peak();
    for tools in [embedded(), Tools::default()] {
        let in_worker = tools.embedded_worker.is_some();
        for path in &harmless {
            let begun = Instant::now();
            let (_, frames, failure) = read(path, &tools);
            assert!(failure.is_none() && frames[0].image == picture(3, 64, 48), "{}: {failure:?}", path.display());
            assert!(begun.elapsed() < Duration::from_secs(10), "{}: {:?}", path.display(), begun.elapsed());
        }
        let check = |path: &Path, expected: &dyn Fn(&MediaError) -> bool| {
            let begun = Instant::now();
            let failure = error(path, &tools);
            assert!(expected(&failure), "{}: {failure:?}", path.display());
            assert!(failure.hint().is_some(), "{failure}");
            assert!(begun.elapsed() < Duration::from_secs(20), "{}: {:?}", path.display(), begun.elapsed());
        };
        for path in &too_large {
            check(path, &|error| matches!(error, MediaError::Limit { .. }));
        }
        for path in &broken {
            check(path, &|error| !matches!(error, MediaError::Io { .. } | MediaError::Tool { .. }));
        }
        if in_worker {
            let grown = peak() - before;
            println!("grown by {grown} MiB");
            assert!(grown < 32, "grown by {grown} MiB");
        }
    }
    // Without a worker the pictures are decoded in this process: of 64 megapixels with 16 bits each, at most that.
    assert!(peak() - before < 1500, "grown by {} MiB", peak() - before);
}
