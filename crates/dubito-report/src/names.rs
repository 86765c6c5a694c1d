//! Names of detectors, as they came, to names of files that every file system takes.

use std::collections::{BTreeMap, BTreeSet};

/// Longest name of a file that a name becomes, in bytes: with what stands before and behind it, below the 255 that file
/// systems take.
const LONGEST: usize = 80;

/// What Windows takes for a device, with whatever ending.
const DEVICES: [&str; 4] = ["con", "prn", "aux", "nul"];

/// A name for a file (or folder) for each of these names, in their order: readable, of ASCII letters, digits, `-`, `.`
/// and `_`, at most 80 bytes long, never hidden, a device of Windows or a way out of the folder, and no two alike but
/// for letter case. A name that can be one is kept; others have `_` for what can't stay, and, where they were cut or
/// meet another, a hash of the whole name behind it. So a name's file does not depend on the order of the names.
pub fn file_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let names: Vec<&str> = names.into_iter().collect();
    let readable: Vec<String> = names.iter().map(|name| readable(name)).collect();
    let folded = |name: &str| name.to_ascii_lowercase();
    let mut uses: BTreeMap<String, usize> = BTreeMap::new();
    readable.iter().for_each(|name| *uses.entry(folded(name)).or_default() += 1);
    let mut taken: BTreeSet<String> = BTreeSet::new();
    let mut made = Vec::with_capacity(names.len());
    for (name, readable) in names.iter().zip(&readable) {
        let is_whole = readable == name && readable.len() <= LONGEST;
        let alike = uses[&folded(readable)] > 1;
        let own = if alike || !is_usable(readable) || (!is_whole && readable.len() > LONGEST) {
            let hash = format!("{:016x}", hash(name));
            let cut = readable[..readable.len().min(LONGEST - hash.len() - 1)].trim_matches(['.', '-', '_']);
            // Behind a point it would be the ending, and `con` still a device.
            let cut = cut.replace('.', "_");
            if cut.is_empty() { hash } else { format!("{cut}-{hash}") }
        } else {
            readable.clone()
        };
        // The same name twice, or one that looks like another's hash.
        let mut times = 1;
        let mut candidate = own.clone();
        while !taken.insert(folded(&candidate)) {
            times += 1;
            candidate = format!("{own}-{times}");
        }
        made.push(candidate);
    }
    made
}

/// What of a name can stay; what can't is `_`.
fn readable(name: &str) -> String {
    let keep = |c: char| if c.is_ascii_alphanumeric() || "-._".contains(c) { c } else { '_' };
    name.chars().map(keep).collect()
}

/// Whether every file system takes it for a plain file of this name.
fn is_usable(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().to_ascii_lowercase();
    let is_port = |port: &str| stem.strip_prefix(port).is_some_and(|rest| rest.len() == 1 && rest != "0");
    let is_device = DEVICES.contains(&stem.as_str()) || is_port("com") || is_port("lpt");
    !name.is_empty() && !name.starts_with(['.', '-']) && !name.ends_with('.') && !is_device
}

/// 64-bit FNV-1a.
fn hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{LONGEST, file_names};

    #[test]
    fn plain_names_stay_and_signs_become_a_line() {
        assert_eq!(file_names(["xception", "effnet-b4.v2", "prob_npr"]), ["xception", "effnet-b4.v2", "prob_npr"]);
        assert_eq!(file_names(["good one", "näive"]), ["good_one", "n_ive"]);
    }

    #[test]
    fn every_name_has_a_file_of_its_own() {
        let long = "x".repeat(300);
        let longer = "x".repeat(301);
        let long_emoji = "🦊".repeat(100);
        let hostile = [
            "",
            ".",
            "..",
            "...",
            "/",
            "\\",
            "../../etc/passwd",
            "a/b",
            "a\\b",
            "a b",
            "a_b",
            "A_B",
            "CON",
            "con.txt",
            "con",
            "nul",
            "COM1",
            "lpt9.x",
            "com0",
            "trailing.",
            "trailing..",
            "trailing ",
            " ",
            "  ",
            "-rf",
            "--",
            ".hidden",
            "🦊",
            "🐺",
            "名前",
            "名称",
            "a\0b",
            "a\nb",
            "a:b",
            "a*b?",
            "\u{202e}gnp",
            &long,
            &longer,
            &long_emoji,
            "Xception",
            "xception",
            "XCEPTION",
            "é",
            "e\u{301}",
        ];
        let made = file_names(hostile);
        let folded: BTreeSet<String> = made.iter().map(|name| name.to_ascii_lowercase()).collect();
        assert_eq!(folded.len(), hostile.len(), "{made:#?}");
        for name in &made {
            assert!(!name.is_empty() && name.len() <= LONGEST + 4, "{name}");
            assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)), "{name}");
            assert!(!name.starts_with(['.', '-']) && !name.ends_with('.'), "{name}");
            let stem = name.split('.').next().unwrap_or_default().to_ascii_lowercase();
            assert!(!["con", "prn", "aux", "nul", "com1", "lpt9"].contains(&stem.as_str()), "{name}");
        }
        // Turned round, each has the same file.
        let mut turned = file_names(hostile.iter().rev().copied());
        turned.reverse();
        assert_eq!(turned, made);
    }

    #[test]
    fn the_same_name_twice_and_a_name_like_a_hash() {
        let made = file_names(["a b", "a_b"]);
        let third = made[0].clone();
        let all = file_names(["a b", "a_b", &third, "a b"]);
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 4, "{all:?}");
        let again = format!("{third}-2");
        let all = file_names(["a b", "a_b", &third, &again]);
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 4, "{all:?}");
    }
}
