//! Each layout on a small tree of its exact shape, and roots, tables and names that are not as they should be.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use dubito_data::DataError;
use dubito_data::layouts::{Index, IndexOptions, LAYOUTS, index, names};
use dubito_data::manifest::{Label, Row, Status};

/// A tree of files; a name that ends in `=TEXT` has that text in it.
fn tree(files: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in files {
        let (name, text) = file.split_once('=').unwrap_or((file, "x"));
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn read(root: &Path) -> Index {
    index(root, &IndexOptions::default()).unwrap_or_else(|e| panic!("{e}"))
}

fn read_as(root: &Path, layout: &str) -> Result<Index, DataError> {
    index(root, &IndexOptions { layout: Some(layout.into()), ..IndexOptions::default() })
}

fn row<'a>(index: &'a Index, path: &str) -> &'a Row {
    let there = || index.rows.iter().map(|r| r.path.as_str()).collect::<Vec<_>>();
    index.rows.iter().find(|r| r.path == path).unwrap_or_else(|| panic!("no row {path} in {:?}", there()))
}

fn found(index: &Index, what: &str) -> usize {
    index.findings.iter().find(|f| f.what == what).map_or(0, |f| f.count)
}

fn who(row: &Row) -> (&str, Option<&str>) {
    (&row.identity, row.donor.as_deref())
}

const FFPP: [&str; 14] = [
    "original_sequences/youtube/c23/videos/033.mp4",
    "original_sequences/youtube/c23/videos/097.mp4",
    "original_sequences/youtube/c0/videos/033.mp4",
    "original_sequences/actors/raw/videos/01__exit_phone_room.mp4",
    "manipulated_sequences/Deepfakes/c23/videos/033_097.mp4",
    "manipulated_sequences/Deepfakes/c40/videos/033_097.mp4",
    "manipulated_sequences/Deepfakes/masks/videos/033_097.mp4",
    "manipulated_sequences/Face2Face/c23/images/097_033/0000.png",
    "manipulated_sequences/Face2Face/c23/images/097_033/0001.png",
    "manipulated_sequences/Face2Face/c23/masks/097_033/0000.png",
    "manipulated_sequences/FaceShifter/c23/videos/033_097.mp4",
    "manipulated_sequences/DeepFakeDetection/c23/videos/01_02__meeting_serious__YVGY8LOK.mp4",
    "manipulated_sequences/FaceSwap/c23/videos/strange.mp4",
    "manipulated_sequences/Deepfakes/models/033_097/model.bin",
];

#[test]
fn faceforensics() {
    let root = tree(&FFPP);
    let index = read(root.path());
    assert_eq!(index.layout.name, "ffpp");
    assert_eq!(index.rows.len(), 10, "masks and models are no videos");
    let real = row(&index, "original_sequences/youtube/c23/videos/033.mp4");
    assert_eq!((real.label, real.generator.as_str(), who(real)), (Label::Real, "real", ("ffpp-033", None)));
    assert_eq!(real.compression, "c23");
    assert_eq!(row(&index, "original_sequences/youtube/c0/videos/033.mp4").compression, "raw");
    let actor = row(&index, "original_sequences/actors/raw/videos/01__exit_phone_room.mp4");
    assert_eq!((actor.label, who(actor), actor.compression.as_str()), (Label::Real, ("dfd-01", None), "raw"));
    let fake = row(&index, "manipulated_sequences/Deepfakes/c40/videos/033_097.mp4");
    assert_eq!((fake.label, fake.generator.as_str()), (Label::Fake, "deepfakes"));
    assert_eq!(who(fake), ("ffpp-033", Some("ffpp-097")), "the target comes first");
    assert_eq!(fake.mask.as_deref(), Some("manipulated_sequences/Deepfakes/masks/videos/033_097.mp4"));
    let images = row(&index, "manipulated_sequences/Face2Face/c23/images/097_033");
    assert_eq!((images.frames, images.bytes), (Some(2), Some(2)));
    assert_eq!(images.mask.as_deref(), Some("manipulated_sequences/Face2Face/c23/masks/097_033"));
    assert_eq!(row(&index, FFPP[10]).mask, None, "FaceShifter has no masks");
    assert_eq!(who(row(&index, FFPP[11])), ("dfd-01", Some("dfd-02")));
    let strange = row(&index, FFPP[12]);
    assert_eq!(strange.status, Status::Unclear);
    assert!(strange.reason.as_ref().unwrap().contains("TARGET_DONOR"));
    assert_eq!(found(&index, "unclear"), 1);
    assert_eq!(found(&index, "strange_folder"), 1);
}

#[test]
fn two_sequences_of_one_video_are_one_person() {
    let root = tree(&[
        "original_sequences/youtube/c23/videos/331.mp4",
        "original_sequences/youtube/c23/videos/332.mp4",
        "manipulated_sequences/Deepfakes/c23/videos/332_333.mp4",
        "conversion_dict.json={\"331\": \"R03Sko97IDE 0\", \"332\": \"R03Sko97IDE 1\", \"333\": \"R7mP4ugFNfo 0\"}",
    ]);
    let index = read(root.path());
    assert_eq!(who(row(&index, "original_sequences/youtube/c23/videos/332.mp4")), ("ffpp-331", None));
    let fake = row(&index, "manipulated_sequences/Deepfakes/c23/videos/332_333.mp4");
    assert_eq!(who(fake), ("ffpp-331", Some("ffpp-333")));
    fs::write(root.path().join("conversion_dict.json"), "[1]").unwrap();
    let error = index_error(root.path(), &IndexOptions::default());
    assert!(error.contains("conversion_dict.json"), "{error}");
}

fn index_error(root: &Path, options: &IndexOptions) -> String {
    match index(root, options) {
        Err(error) => error.to_string(),
        Ok(index) => panic!("{} rows of {}", index.rows.len(), index.layout.name),
    }
}

const META: &str = "\u{feff}source,target1,target2,method,category,type,race,gender,path,\r\n\
id00076,-,-,real,A,RealVideo-RealAudio,African,men,00109.mp4,FakeAVCeleb/RealVideo-RealAudio/African/men/id00076\r\n\
id00166,-,-,real,A,RealVideo-RealAudio,Asian (East),women,00109.mp4,FakeAVCeleb/RealVideo-RealAudio/Asian (East)/women/id00166\r\n\
id00076,-,-,rtvc,B,RealVideo-FakeAudio,African,men,00109_fake.mp4,FakeAVCeleb/RealVideo-FakeAudio/African/men/id00076\r\n\
id00076,id00476,-,faceswap,C,FakeVideo-RealAudio,African,men,00109_0_id00476.mp4,FakeAVCeleb/FakeVideo-RealAudio/African/men/id00076\r\n\
id00076,id00476,10,wav2lip,D,FakeVideo-FakeAudio,African,men,00109_10_id00476_wavtolip.mp4,FakeAVCeleb/FakeVideo-FakeAudio/African/men/id00076\r\n\
id00076,id00476,10,faceswap-wav2lip,D,FakeVideo-FakeAudio,African,men,00109_10_id00476_wavtolip.mp4,FakeAVCeleb/FakeVideo-FakeAudio/African/men/id00076\r\n\
id00076,id06437,id00043,fsgan-wav2lip,D,FakeVideo-FakeAudio,African,men,\"00109_\"\"q\"\".mp4\",FakeAVCeleb/FakeVideo-FakeAudio/African/men/id00076\r\n\
id00076,id00478,-,wav2lip,D,FakeVideo-FakeAudio,African,men,gone.mp4,FakeAVCeleb/FakeVideo-FakeAudio/African/men/id00076\r\n\
id00076,id00478,-,wav2lip,D,FakeVideo-FakeAudio,African,men,both.mp4,FakeAVCeleb/FakeVideo-FakeAudio/African/men/id00076\r\n\
id00076,id00478,-,fsgan,D,FakeVideo-FakeAudio,African,men,both.mp4,FakeAVCeleb/FakeVideo-FakeAudio/African/men/id00076\r\n";

fn fakeavceleb() -> tempfile::TempDir {
    let root = tree(&[
        "RealVideo-RealAudio/African/men/id00076/00109.mp4",
        "RealVideo-RealAudio/Asian (East)/women/id00166/00109.mp4",
        "RealVideo-FakeAudio/African/men/id00076/00109_fake.mp4",
        "FakeVideo-RealAudio/African/men/id00076/00109_0_id00476.mp4",
        "FakeVideo-FakeAudio/African/men/id00076/00109_10_id00476_wavtolip.mp4",
        "FakeVideo-FakeAudio/African/men/id00076/00109_\"q\".mp4",
        "FakeVideo-FakeAudio/African/men/id00076/both.mp4",
        "FakeVideo-FakeAudio/African/men/id00076/unlisted.mp4",
    ]);
    fs::write(root.path().join("meta_data.csv"), META).unwrap();
    root
}

#[test]
fn fakeavceleb_with_its_unnamed_column() {
    let root = fakeavceleb();
    let index = read(root.path());
    assert_eq!(index.layout.name, "fakeavceleb");
    // Ten lines of the table, two of them of a file listed above, and a file that none lists.
    assert_eq!(index.rows.len(), 9);
    let real = row(&index, "RealVideo-RealAudio/Asian (East)/women/id00166/00109.mp4");
    assert_eq!(real.identity, "voxceleb2-id00166", "names of files repeat across folders");
    assert_eq!((real.race.as_deref(), real.gender.as_deref()), (Some("Asian (East)"), Some("women")));
    let cloned = row(&index, "RealVideo-FakeAudio/African/men/id00076/00109_fake.mp4");
    assert_eq!((cloned.label, cloned.generator.as_str()), (Label::Real, "real"), "category B is visually real");
    assert_eq!(cloned.audio.as_deref(), Some("fake"));
    let swapped = row(&index, "FakeVideo-RealAudio/African/men/id00076/00109_0_id00476.mp4");
    assert_eq!((swapped.generator.as_str(), swapped.audio.as_deref()), ("faceswap", Some("real")));
    assert_eq!(who(swapped), ("voxceleb2-id00076", Some("voxceleb2-id00476")));
    let twice = row(&index, "FakeVideo-FakeAudio/African/men/id00076/00109_10_id00476_wavtolip.mp4");
    assert_eq!((twice.generator.as_str(), twice.status), ("faceswap-wav2lip", Status::Ok), "the more specific one");
    assert_eq!((who(twice).1, twice.donor2.as_deref()), (Some("voxceleb2-id00476"), None), "10 is no person");
    let three = row(&index, "FakeVideo-FakeAudio/African/men/id00076/00109_\"q\".mp4");
    assert_eq!(three.people().collect::<Vec<_>>(), ["voxceleb2-id00076", "voxceleb2-id06437", "voxceleb2-id00043"]);
    let gone = row(&index, "FakeVideo-FakeAudio/African/men/id00076/gone.mp4");
    assert_eq!((gone.status, gone.label, gone.generator.as_str()), (Status::Missing, Label::Fake, "wav2lip"));
    let both = row(&index, "FakeVideo-FakeAudio/African/men/id00076/both.mp4");
    assert_eq!(both.status, Status::Unclear, "two methods, neither more specific, are not guessed between");
    assert!(both.reason.as_ref().unwrap().contains("fsgan"));
    assert_eq!(row(&index, "FakeVideo-FakeAudio/African/men/id00076/unlisted.mp4").status, Status::Unclear);
    assert_eq!((found(&index, "listed_twice"), found(&index, "missing"), found(&index, "unclear")), (2, 1, 2));
}

#[test]
fn a_table_that_is_not_as_it_should_be_names_what_is_missing() {
    let root = fakeavceleb();
    let table = root.path().join("meta_data.csv");
    for (from, to, expected) in [
        (",method,", ",how,", "column \"method\" is missing"),
        (",real,A,", ",real,Q,", "row 1"),
        ("path,\r\n", "path\r\n", "meta_data.csv"),
    ] {
        fs::write(&table, META.replacen(from, to, 1)).unwrap();
        let error = index_error(root.path(), &IndexOptions::default());
        assert!(error.contains(expected), "{error}");
    }
    fs::write(&table, b"source,\xff\n").unwrap();
    let error = index_error(root.path(), &IndexOptions::default());
    assert!(error.contains("line 1") && error.contains("UTF-8") && error.contains("FF"), "{error}");
}

#[test]
fn celebdf() {
    let root = tree(&[
        "Celeb-real/id0_0000.mp4",
        "Celeb-real/id16_0000.mp4",
        "YouTube-real/00170.mp4",
        "Celeb-synthesis/id0_id16_0000.mp4",
        "Celeb-synthesis/oops.mp4",
        "List_of_testing_videos.txt=1 YouTube-real/00170.mp4\r\n0 Celeb-synthesis/id0_id16_0000.mp4\r\n0 Celeb-real/id16_0000.mp4\r\n0 Celeb-synthesis/id1_id2_0000.mp4\r\n",
    ]);
    let index = read(root.path());
    assert_eq!((index.layout.name, index.rows.len()), ("celebdf", 6));
    let fake = row(&index, "Celeb-synthesis/id0_id16_0000.mp4");
    assert_eq!((fake.label, fake.generator.as_str(), fake.split.as_str()), (Label::Fake, "celebdf", "test"));
    assert_eq!(who(fake), ("celebdf-id0", Some("celebdf-id16")));
    let real = row(&index, "Celeb-real/id0_0000.mp4");
    assert_eq!((real.label, real.split.as_str(), who(real)), (Label::Real, "train", ("celebdf-id0", None)));
    let youtube = row(&index, "YouTube-real/00170.mp4");
    assert_eq!((youtube.split.as_str(), who(youtube)), ("test", ("celebdf-youtube-00170", None)));
    let contradicted = row(&index, "Celeb-real/id16_0000.mp4");
    assert_eq!(contradicted.status, Status::Unclear, "the list calls a file of Celeb-real fake");
    assert_eq!(row(&index, "Celeb-synthesis/oops.mp4").status, Status::Unclear);
    let gone = row(&index, "Celeb-synthesis/id1_id2_0000.mp4");
    assert_eq!((gone.status, who(gone)), (Status::Missing, ("celebdf-id1", Some("celebdf-id2"))));
    fs::write(root.path().join("List_of_testing_videos.txt"), "2 Celeb-real/id0_0000.mp4\n").unwrap();
    let error = index_error(root.path(), &IndexOptions::default());
    assert!(error.contains("row 1") && error.contains("expected 1 (real) or 0 (fake)"), "{error}");
}

#[test]
fn dfdc_names_in_other_capitals_take_no_file_that_is_named_exactly() {
    let root = tree(&[
        "p/metadata.json={\"A.mp4\": {\"label\": \"FAKE\", \"split\": \"train\"}, \"a.mp4\": {\"label\": \"REAL\", \"split\": \"train\"}, \"B.mp4\": {\"label\": \"REAL\", \"split\": \"train\"}}",
        "p/a.mp4",
        "p/b.mp4",
    ]);
    let index = read_as(root.path(), "dfdc").unwrap();
    let real = row(&index, "p/a.mp4");
    assert_eq!((real.label, real.status), (Label::Real, Status::Ok));
    assert_eq!(row(&index, "p/A.mp4").status, Status::Missing);
    assert_eq!(row(&index, "p/b.mp4").status, Status::Ok);
}

#[test]
fn dfdc() {
    let root = tree(&[
        "dfdc_train_part_0/metadata.json={\"a.mp4\": {\"label\": \"FAKE\", \"split\": \"train\", \"original\": \"b.mp4\"}, \"b.mp4\": {\"label\": \"REAL\", \"split\": \"train\"}, \"c.mp4\": {\"label\": \"FAKE\", \"split\": \"train\", \"original\": \"gone.mp4\"}}",
        "dfdc_train_part_0/a.mp4",
        "dfdc_train_part_0/b.mp4",
        "dfdc_train_part_0/stray.mp4",
        "test/labels.csv=filename,label\nt.mp4,1\n",
        "test/videos/t.mp4",
    ]);
    let index = read(root.path());
    assert_eq!((index.layout.name, index.rows.len()), ("dfdc", 5));
    let fake = row(&index, "dfdc_train_part_0/a.mp4");
    assert_eq!((fake.label, fake.generator.as_str()), (Label::Fake, "dfdc"));
    assert_eq!(fake.identity, row(&index, "dfdc_train_part_0/b.mp4").identity, "a fake stays with its original");
    assert_eq!(fake.source.as_deref(), Some("b.mp4"));
    assert_eq!(row(&index, "dfdc_train_part_0/c.mp4").status, Status::Missing);
    assert_eq!(row(&index, "dfdc_train_part_0/stray.mp4").status, Status::Unclear);
    let test = row(&index, "test/videos/t.mp4");
    assert_eq!((test.label, test.split.as_str()), (Label::Fake, "test"));
    assert_eq!(found(&index, "no_original"), 1);
    fs::write(
        root.path().join("dfdc_train_part_0/metadata.json"),
        "{\"a.mp4\": {\"label\": \"MAYBE\", \"split\": \"\"}}",
    )
    .unwrap();
    let error = index_error(root.path(), &IndexOptions::default());
    assert!(error.contains("MAYBE") && error.contains("metadata.json"), "{error}");
}

#[test]
fn deeperforensics() {
    let root = tree(&[
        "manipulated_videos/end_to_end/000_M101.mp4",
        "manipulated_videos/end_to_end_level_1/000_M101.mp4",
        "manipulated_videos/end_to_end/001_W004.mp4",
        "source_videos/M101/light_up/neutral/M101_light_up_neutral_camera_front.mp4",
        "lists/splits/train.txt=000_M101.mp4\n",
        "lists/splits/test.txt=001_W004.mp4\n",
    ]);
    let index = read(root.path());
    assert_eq!((index.layout.name, index.rows.len()), ("deeperforensics", 4));
    let fake = row(&index, "manipulated_videos/end_to_end_level_1/000_M101.mp4");
    assert_eq!(who(fake), ("ffpp-000", Some("deeperforensics-M101")), "targets are FaceForensics++'s");
    assert_eq!((fake.split.as_str(), fake.compression.as_str()), ("train", "end_to_end_level_1"));
    assert_eq!((fake.generator.as_str(), fake.gender.as_deref()), ("df-vae", Some("male")));
    assert_eq!(row(&index, "manipulated_videos/end_to_end/001_W004.mp4").split, "test");
    let actor = index.rows.last().unwrap();
    assert_eq!((actor.dataset.as_str(), actor.label), ("deeperforensics-source", Label::Real));
    assert_eq!((actor.identity.as_str(), actor.race.as_deref()), ("deeperforensics-M101", Some("Asian")));
    assert_eq!(found(&index, "real_part_elsewhere"), 1);
}

#[test]
fn forgerynet() {
    let root = tree(&[
        "Training/video_list.txt=1 train_video_release/2/a/video.mp4 0 50 1 1 1 2\n0 train_video_release/r/b/video.mp4 0 0 0\n2 train_video_release/gone.mp4 0 5 0 5 5 1 1 2 15\n0 train_video_release/c.mp4 1 1 0\n",
        "Training/video/train_video_release/2/a/video.mp4",
        "Training/video/train_video_release/r/b/video.mp4",
        "Training/video/train_video_release/c.mp4",
        "Training/video/train_video_release/stray.mp4",
        "Validation/image_list.txt=val_release/1/x.jpg 1 1 1\n",
        "Validation/image/val_release/1/x.jpg",
    ]);
    let index = read(root.path());
    assert_eq!((index.layout.name, index.rows.len()), ("forgerynet", 6));
    let fake = row(&index, "Training/video/train_video_release/2/a/video.mp4");
    assert_eq!((fake.label, fake.generator.as_str(), fake.split.as_str()), (Label::Fake, "forgerynet-02", "train"));
    assert_eq!(row(&index, "Training/video/train_video_release/r/b/video.mp4").label, Label::Real);
    assert_eq!(row(&index, "Training/video/train_video_release/gone.mp4").status, Status::Missing);
    assert_eq!(row(&index, "Training/video/train_video_release/c.mp4").status, Status::Unclear, "fake of class real");
    assert_eq!(row(&index, "Training/video/train_video_release/stray.mp4").status, Status::Unclear);
    assert_eq!(row(&index, "Validation/image/val_release/1/x.jpg").split, "val");
    assert_eq!(found(&index, "no_identities"), 1);
    for line in ["3 a.mp4 0 1 1 0 0 0", "a.mp4 0 0 0", "99999999999999999999 a.mp4 0 0 0", "0 a.mp4 0 0 16"] {
        fs::write(root.path().join("Training/video_list.txt"), line).unwrap();
        let error = index_error(root.path(), &IndexOptions::default());
        assert!(error.contains("row 1") && error.contains("expected N NAME"), "{error}");
    }
}

#[test]
fn wilddeepfake() {
    let root = tree(&[
        "real_train/0/real/12/1.png",
        "real_train/0/real/12/2.png",
        "real_train/0/real/13/1.png",
        "real_train/0.tar.gz",
        "fake_test/7/fake/3/9.png",
        "fake test/8.tar.gz",
    ]);
    let index = read(root.path());
    assert_eq!((index.layout.name, index.rows.len()), ("wilddeepfake", 4));
    let real = row(&index, "real_train/0/real/12");
    assert_eq!((real.label, real.split.as_str(), real.frames), (Label::Real, "train", Some(2)));
    assert_eq!(real.identity, row(&index, "real_train/0/real/13").identity, "an archive is one identity");
    assert_eq!(row(&index, "fake_test/7/fake/3").label, Label::Fake);
    let packed = row(&index, "fake test/8.tar.gz");
    assert_eq!((packed.status, packed.label), (Status::Unreadable, Label::Fake));
    assert!(packed.reason.as_ref().unwrap().contains("unpack"));
}

#[test]
fn df40() {
    let root = tree(&[
        "simswap/ff/frames/000_003/001.png",
        "simswap/ff/frames/000_003/002.png",
        "simswap/cdf/frames/id0_id16_0000/001.png",
        "sadtalker/cdf/00170/001.png",
        "heygen/fake/x/1.png",
        "heygen/real/y/1.png",
    ]);
    let index = read(root.path());
    assert_eq!((index.layout.name, index.rows.len()), ("df40", 5));
    let fake = row(&index, "simswap/ff/frames/000_003");
    assert_eq!((fake.generator.as_str(), who(fake)), ("simswap", ("ffpp-000", Some("ffpp-003"))));
    assert_eq!(fake.frames, Some(2));
    assert_eq!(who(row(&index, "simswap/cdf/frames/id0_id16_0000")), ("celebdf-id0", Some("celebdf-id16")));
    assert_eq!(who(row(&index, "sadtalker/cdf/00170")), ("celebdf-youtube-00170", None));
    assert_eq!(row(&index, "heygen/real/y").label, Label::Real);
    assert_eq!((row(&index, "heygen/fake/x").generator.as_str(), found(&index, "own_identity")), ("heygen", 2));
}

#[test]
fn deepfakebench() {
    let json = r#"dataset_json/FF-DF.json={"FF-DF": {
        "FF-real": {"train": {"c23": {"033": {"label": "FF-real", "frames": ["./datasets/FaceForensics++/original_sequences/youtube/c23/frames/033/000.png"]}}}, "val": {}, "test": {}},
        "FF-DF": {"test": {"c23": {"033_097": {"label": "FF-DF", "frames": ["FaceForensics++\\manipulated_sequences\\Deepfakes\\c23\\frames\\033_097\\000.png", "FaceForensics++\\manipulated_sequences\\Deepfakes\\c23\\frames\\033_097\\010.png"]}}}}}}"#;
    let celeb = r#"dataset_json/Celeb-DF-v2.json={"Celeb-DF-v2": {"CelebDFv2_fake": {
        "train": {"id0_id1_0000": {"label": "CelebDFv2_fake", "frames": ["/a/b/Celeb-DF-v2/Celeb-synthesis/frames/id0_id1_0000/0.png"]},
                  "id0_id2_0000": {"label": "CelebDFv2_fake", "frames": ["/a/b/Celeb-DF-v2/Celeb-synthesis/frames/id0_id2_0000/0.png"]}},
        "test": {"id0_id1_0000": {"label": "CelebDFv2_fake", "frames": ["/a/b/Celeb-DF-v2/Celeb-synthesis/frames/id0_id1_0000/0.png"]}}}}}"#;
    let df40 = r#"dataset_json/simswap_ff.json={"simswap_ff": {
        "roop_Real": {"train": {"c23": {"033": {"label": "roop_Real", "frames": ["./datasets/FaceForensics++/original_sequences/youtube/c23/frames/033/000.png"]}}}},
        "roop_Fake": {"train": {"c23": {"001_002": {"label": "roop_Fake", "frames": ["/old/DF40/simswap/ff/001_002/003.png"]}}}}}}"#;
    let root = tree(&[
        json,
        celeb,
        df40,
        "dataset_json/notes.json={}",
        "FaceForensics++/original_sequences/youtube/c23/frames/033/000.png",
        "FaceForensics++/manipulated_sequences/Deepfakes/c23/frames/033_097/000.png",
        "Celeb-DF-v2/Celeb-synthesis/frames/id0_id1_0000/0.png",
        "DF40/simswap/ff/001_002/003.png",
    ]);
    let index = read(root.path());
    assert_eq!((index.layout.name, index.rows.len()), ("deepfakebench", 5));
    let real = row(&index, "FaceForensics++/original_sequences/youtube/c23/frames/033");
    assert_eq!((real.label, who(real), real.split.as_str()), (Label::Real, ("ffpp-033", None), "train"));
    let fake = row(&index, "FaceForensics++/manipulated_sequences/Deepfakes/c23/frames/033_097");
    assert_eq!((fake.generator.as_str(), fake.compression.as_str(), fake.split.as_str()), ("deepfakes", "c23", "test"));
    assert_eq!(who(fake), ("ffpp-033", Some("ffpp-097")));
    assert_eq!((fake.frames, fake.reason.as_deref()), (Some(2), Some("1 of 2 frames are missing")));
    let several = row(&index, "Celeb-DF-v2/Celeb-synthesis/frames/id0_id1_0000");
    assert_eq!((several.split.as_str(), several.generator.as_str()), ("", "celebdf"));
    assert_eq!(who(several), ("celebdf-id0", Some("celebdf-id1")));
    let gone = row(&index, "a/b/Celeb-DF-v2/Celeb-synthesis/frames/id0_id2_0000");
    assert_eq!((gone.status, gone.split.as_str()), (Status::Missing, "train"));
    let swapped = row(&index, "DF40/simswap/ff/001_002");
    assert_eq!((swapped.generator.as_str(), who(swapped)), ("simswap", ("ffpp-001", Some("ffpp-002"))));
    assert_eq!((found(&index, "several_splits"), found(&index, "other_json")), (1, 1));
    fs::write(root.path().join("dataset_json/FF-DF.json"), "{\"frames\": \"label\"").unwrap();
    let error = index_error(root.path(), &IndexOptions::default());
    assert!(error.contains("FF-DF.json") && error.contains("JSON"), "{error}");
}

#[test]
fn a_plain_folder_with_its_people() {
    let root = tree(&[
        "real/a.mp4",
        "real/deep/b/0.png",
        "fake/MyGAN/c.mp4",
        "fake/loose.mp4",
        "identities.csv=\u{feff}file,identity,donor,gender,skin_tone\r\nreal/a.mp4,anna,,f,3\r\nfake/MyGAN/c.mp4,anna,ben,,\r\nreal/gone.mp4,dan,,,\r\n",
    ]);
    let index = read(root.path());
    assert_eq!((index.layout.name, index.rows.len()), ("folder", 5));
    let real = row(&index, "real/a.mp4");
    assert_eq!((who(real), real.gender.as_deref(), real.skin_tone.as_deref()), (("anna", None), Some("f"), Some("3")));
    let fake = row(&index, "fake/MyGAN/c.mp4");
    assert_eq!((fake.generator.as_str(), who(fake)), ("mygan", ("anna", Some("ben"))));
    assert_eq!(row(&index, "fake/loose.mp4").status, Status::Unclear);
    assert_eq!(row(&index, "real/gone.mp4").status, Status::Missing);
    assert_eq!(row(&index, "real/deep/b").identity, "real/deep/b");
    assert_eq!((found(&index, "own_identity"), found(&index, "unknown_generator")), (2, 2));
}

#[test]
fn a_table_with_its_columns_mapped() {
    let root = tree(&[
        "v/a \"1\", b.mp4",
        "v/b.mp4",
        "t.csv=\u{feff}filename,is_fake,who,swapped,method\r\n\"v/a \"\"1\"\", b.mp4\",0,anna,,\r\nv/b.mp4,1,anna,ben,FaceSwap\r\nv/b.mp4,1,anna,ben,FaceSwap\r\nv/gone.mp4,fake,c,,\r\nv/odd.mp4,0,c,,FaceSwap\r\n",
    ]);
    let table = root.path().join("t.csv");
    let columns = |pairs: &[(&str, &str)]| IndexOptions {
        columns: pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect(),
        ..IndexOptions::default()
    };
    let mapped = [
        ("path", "filename"),
        ("label", "is_fake"),
        ("identity", "who"),
        ("donor", "swapped"),
        ("generator", "method"),
    ];
    let index = index(&table, &columns(&mapped)).unwrap();
    assert_eq!((index.layout.name, index.rows.len()), ("csv", 4));
    let real = row(&index, "v/a \"1\", b.mp4");
    assert_eq!((real.label, real.generator.as_str(), who(real)), (Label::Real, "real", ("anna", None)));
    let fake = row(&index, "v/b.mp4");
    assert_eq!((fake.label, fake.generator.as_str(), who(fake)), (Label::Fake, "faceswap", ("anna", Some("ben"))));
    assert_eq!(row(&index, "v/gone.mp4").status, Status::Missing);
    assert_eq!(row(&index, "v/odd.mp4").status, Status::Unclear, "a real video with a generator");
    assert_eq!(found(&index, "listed_twice"), 1);
    for (pairs, expected) in [
        (&[("path", "filename")][..], "neither label nor generator"),
        (&[("path", "nothing")], "column \"nothing\" is missing; there are filename,is_fake"),
        (&[("label", "is_fake")], "column \"path\" is missing"),
        (&[("path", "filename"), ("label", "who")], "row 1"),
        (&[("colour", "x")], "\"colour\" is none of"),
    ] {
        let error = index_error(&table, &columns(pairs));
        assert!(error.contains(expected) && error.contains("t.csv"), "{error}");
    }
}

#[cfg(unix)]
#[test]
fn a_file_of_a_table_is_one_row_whatever_path_leads_to_it() {
    let (composed, apart) = ("Jos\u{e9}.mp4", "Jose\u{301}.mp4");
    let root = tree(&["a.mp4", "in/b.mp4", "in/deep/c.mp4", composed, apart]);
    let elsewhere = tree(&["a.mp4", "d.mp4"]);
    std::os::unix::fs::symlink("in/deep", root.path().join("link")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path().join("d.mp4"), root.path().join("d.mp4")).unwrap();
    let absolute = |name: &str| root.path().join(name).to_string_lossy().into_owned();
    let outside = elsewhere.path().join("a.mp4").to_string_lossy().into_owned();
    let paths = [
        "a.mp4",
        "./a.mp4",
        &absolute("a.mp4"),
        // The folder above that which the link leads to.
        "link/../b.mp4",
        "link/c.mp4",
        composed,
        apart,
        &absolute(apart),
        "d.mp4",
        "./d.mp4",
        &outside,
    ];
    let table = root.path().join("t.csv");
    fs::write(&table, paths.iter().fold("path,label\n".to_owned(), |text, path| format!("{text}{path},fake\n")))
        .unwrap();
    let index = read_as(&table, "csv").unwrap();
    let mut expected = ["a.mp4", "in/b.mp4", "in/deep/c.mp4", composed, apart, "d.mp4", &outside];
    expected.sort_unstable();
    assert_eq!(index.rows.iter().map(|row| row.path.as_str()).collect::<Vec<_>>(), expected);
    assert!(index.rows.iter().all(|row| row.status == Status::Ok));
    assert_eq!((found(&index, "listed_twice"), found(&index, "out_of_root")), (4, 2));
}

#[test]
fn a_root_of_no_layout_or_of_two_says_what_was_looked_for() {
    let below = tree(&FFPP.map(|f| Box::leak(format!("download/{f}").into_boxed_str()) as &str));
    let error = index_error(below.path(), &IndexOptions::default());
    assert!(error.contains("\"download\" looks like ffpp"), "{error}");
    for name in names() {
        assert!(error.contains(name), "{name} was looked for too: {error}");
    }
    let two = tree(&["real/a.mp4", "fake/x/b.mp4", "Celeb-real/id0_0000.mp4"]);
    let error = index_error(two.path(), &IndexOptions::default());
    assert!(error.contains("celebdf") && error.contains("folder") && error.contains("--layout"), "{error}");
    assert_eq!(read_as(two.path(), "folder").unwrap().rows.len(), 2);
    let empty = tree(&[]);
    assert!(index_error(empty.path(), &IndexOptions::default()).contains("empty"));
    let wrong = read_as(two.path(), "ffpp").err().unwrap();
    assert!(wrong.to_string().contains("nothing to index"), "{wrong}");
    let unknown = read_as(two.path(), "imagenet").err().unwrap();
    assert!(unknown.hint().unwrap().contains("fakeavceleb"));
    let gone = index_error(&two.path().join("nowhere"), &IndexOptions::default());
    assert!(gone.contains("nowhere"), "{gone}");
    let file = index_error(&two.path().join("real/a.mp4"), &IndexOptions::default());
    assert!(file.contains("expected a folder"), "{file}");
}

#[test]
fn every_layout_says_what_it_is() {
    for layout in &LAYOUTS {
        assert!(!layout.title.is_empty() && !layout.looks_for.is_empty(), "{}", layout.name);
        for published in layout.published {
            assert!(published.count > 0 && !published.source.is_empty(), "{}", layout.name);
        }
    }
}

#[test]
fn half_a_download_and_what_has_no_place_are_counted() {
    let root = tree(&[
        "original_sequences/youtube/c23/videos/033.mp4",
        "manipulated_sequences/Deepfakes/c23/videos/033_097.mp4",
        "manipulated_sequences/Deepfakes/c23/videos/097_033.mp4.part",
        "manipulated_sequences/Deepfakes/masks/videos/033_097.mp4",
        "manipulated_sequences/FaceSwap.ZIP",
        "stray.mp4",
        "stray/frames/0001.png",
        "stray/frames/0002.png",
    ]);
    let index = read(root.path());
    assert_eq!(index.rows.len(), 2);
    let counts = ["unfinished_download", "still_packed", "not_in_layout"].map(|what| found(&index, what));
    assert_eq!(counts, [1, 1, 2]);
}

#[test]
fn two_labels_of_one_file_in_the_challenges_table_are_an_error() {
    let root = tree(&["dfdc_train_part_0/a.mp4", "test/videos/b.mp4"]);
    fs::write(root.path().join("dfdc_train_part_0/metadata.json"), r#"{"a.mp4": {"label": "REAL", "split": "train"}}"#)
        .unwrap();
    fs::write(root.path().join("test/labels.csv"), "filename,label\nb.mp4,1\nb.mp4,0\n").unwrap();
    let error = index_error(root.path(), &IndexOptions::default());
    assert!(error.contains("labels.csv, row 2") && error.contains("b.mp4"), "{error}");
}

#[test]
fn a_named_file_that_is_no_video_of_the_folder_is_unclear() {
    let root = tree(&["real/a.mp4", "fake/gan/b.mp4", "other/c.mp4"]);
    let table = "file,identity,race\nreal/a.mp4,p1,x\nother/c.mp4,p2,y\nfake/gan/gone.mp4,p3,z\nfake/d.mp4,p4,\n";
    fs::write(root.path().join("identities.csv"), table).unwrap();
    let index = read(root.path());
    assert_eq!(row(&index, "other/c.mp4").status, Status::Unclear);
    let gone = row(&index, "fake/gan/gone.mp4");
    assert_eq!((gone.status, gone.label, gone.race.as_deref()), (Status::Missing, Label::Fake, Some("z")));
    assert_eq!(row(&index, "fake/d.mp4").label, Label::Fake);
}
