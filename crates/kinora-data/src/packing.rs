//! Makes a pack from the emoji packages.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use image::codecs::webp::WebPDecoder;
use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::index::{Entry, Index};
use crate::names::{self, Named};
use crate::pack::{MAGIC, VERSION, compress};
use crate::sprite_source::{self, SpriteFrames};

/// How to make a pack.
#[derive(Debug, Clone)]
pub struct PackOptions {
    /// Side of the square sprites in pixels, 16 to 256.
    pub sprite_size: usize,
    /// Most frames per subject, 1 to 128. Longer loops keep their length and lose frames.
    pub max_frames: usize,
    /// Most frames per second of a subject's own animation.
    pub fps: f32,
    /// Also take subjects that have a still but no animation.
    pub stills: bool,
    /// Store each subject as a lossless WebP strip; smaller, but slower to open.
    pub compress: bool,
    /// Only these ids, such as `1f428`; empty: all.
    pub only: Vec<String>,
}

impl Default for PackOptions {
    fn default() -> Self {
        Self {
            sprite_size: 96,
            max_frames: 24,
            fps: 12.0,
            stills: false,
            compress: false,
            only: Vec::new(),
        }
    }
}

/// What [`pack`] made.
#[derive(Debug, Clone, PartialEq)]
pub struct PackSummary {
    /// Subjects in the pack.
    pub subjects: usize,
    /// Frames of all subjects.
    pub frames: usize,
    /// Size of the file.
    pub bytes: u64,
}

/// Reads the emoji packages under `source_dir` and writes one pack to `out_file`.
///
/// `progress` is called with subjects done and subjects in all. The file appears under its name only when it is whole.
///
/// # Errors
/// Packages missing, a picture that does not decode, an option out of range, or a target that cannot be written.
pub fn pack(
    source_dir: &Path,
    out_file: &Path,
    options: &PackOptions,
    mut progress: impl FnMut(usize, usize),
) -> Result<PackSummary> {
    check_range("sprite_size", options.sprite_size, 16, 256)?;
    check_range("max_frames", options.max_frames, 1, 128)?;
    let subjects = find_subjects(source_dir, options)?;
    if subjects.is_empty() {
        return Err(Error::MissingSource {
            path: source_dir.into(),
            what: "any of the chosen emoji pictures",
        });
    }

    let frames_file = out_file.with_extension("frames.tmp");
    let pack_file = out_file.with_extension("pack.tmp");
    let written = write_frames(&subjects, &frames_file, options, &mut progress)
        .and_then(|index| assemble(&index, &frames_file, &pack_file).map(|bytes| (index, bytes)))
        .and_then(|done| {
            std::fs::rename(&pack_file, out_file)
                .map_err(write_error(out_file))
                .map(|()| done)
        });
    // The temporary files are of no use after success or failure; that one is already gone is fine.
    let _ = std::fs::remove_file(&frames_file);
    let _ = std::fs::remove_file(&pack_file);
    let (index, bytes) = written?;
    let frames = index.entries.iter().map(|entry| entry.frames).sum();
    Ok(PackSummary {
        subjects: index.entries.len(),
        frames,
        bytes,
    })
}

fn check_range(name: &'static str, got: usize, min: usize, max: usize) -> Result<()> {
    if (min..=max).contains(&got) {
        Ok(())
    } else {
        Err(Error::OutOfRange {
            name,
            got,
            min,
            max,
        })
    }
}

fn write_error(path: &Path) -> impl Fn(std::io::Error) -> Error + '_ {
    move |source| Error::Write {
        path: path.into(),
        source,
    }
}

/// Pairs names with picture files: the animation, or the still where that is asked for.
fn find_subjects(source_dir: &Path, options: &PackOptions) -> Result<Vec<(Named, PathBuf)>> {
    let missing = |what| Error::MissingSource {
        path: source_dir.into(),
        what,
    };
    let packages = list(source_dir)?;
    let starting_with = |prefix: &str| -> Vec<&PathBuf> {
        packages
            .iter()
            .filter(|path| {
                path.file_name()
                    .is_some_and(|name| name.to_string_lossy().starts_with(prefix))
            })
            .collect()
    };
    let names_dir = *starting_with("emojibase-data")
        .first()
        .ok_or_else(|| missing("emojibase-data"))?;
    let animated = pictures(&starting_with("lobehub-fluent-emoji-anim"))?;
    if animated.is_empty() {
        return Err(missing("lobehub-fluent-emoji-anim-*/assets/*.webp"));
    }
    let stills = if options.stills {
        pictures(&starting_with("lobehub-fluent-emoji-3d"))?
    } else {
        HashMap::new()
    };
    let mut subjects = Vec::new();
    for named in names::read(names_dir)? {
        if !options.only.is_empty() && !options.only.contains(&named.id) {
            continue;
        }
        let animation = animated.get(&named.id).filter(|path| is_animated(path));
        if let Some(path) = animation.or_else(|| stills.get(&named.id)) {
            subjects.push((named, path.clone()));
        }
    }
    Ok(subjects)
}

fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let read_error = |source| Error::Read {
        path: folder.into(),
        source,
    };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(read_error)? {
        paths.push(entry.map_err(read_error)?.path());
    }
    paths.sort();
    Ok(paths)
}

/// All `assets/*.webp` of the packages by normal id.
fn pictures(packages: &[&PathBuf]) -> Result<HashMap<String, PathBuf>> {
    let mut pictures = HashMap::new();
    for package in packages {
        for path in list(&package.join("assets"))? {
            if path
                .extension()
                .is_some_and(|extension| extension == "webp")
                && let Some(stem) = path.file_stem()
            {
                pictures.insert(names::normal_id(&stem.to_string_lossy()), path);
            }
        }
    }
    Ok(pictures)
}

fn is_animated(path: &Path) -> bool {
    let Ok(file) = File::open(path) else {
        return false;
    };
    WebPDecoder::new(BufReader::new(file)).is_ok_and(|decoder| decoder.has_animation())
}

/// Decodes the subjects in parallel, a batch at a time, and writes their frames; gives the index.
fn write_frames(
    subjects: &[(Named, PathBuf)],
    path: &Path,
    options: &PackOptions,
    progress: &mut impl FnMut(usize, usize),
) -> Result<Index> {
    let mut file = BufWriter::new(File::create(path).map_err(write_error(path))?);
    let mut entries = Vec::with_capacity(subjects.len());
    let mut offset = 0;
    for batch in subjects.chunks(8) {
        let stored: Vec<(SpriteFrames, Vec<u8>)> = batch
            .par_iter()
            .map(|(_, picture)| {
                let mut sprite = sprite_source::load(
                    picture,
                    options.sprite_size,
                    options.max_frames,
                    options.fps,
                )?;
                let pixels = std::mem::take(&mut sprite.pixels);
                let bytes = if options.compress {
                    compress(&pixels, options.sprite_size)?
                } else {
                    pixels
                };
                Ok((sprite, bytes))
            })
            .collect::<Result<_>>()?;
        for ((named, _), (sprite, bytes)) in batch.iter().zip(stored) {
            file.write_all(&bytes).map_err(write_error(path))?;
            let length = bytes.len() as u64;
            entries.push(entry(named.clone(), &sprite, offset, length));
            offset += length;
        }
        progress(entries.len(), subjects.len());
    }
    file.flush().map_err(write_error(path))?;
    Ok(Index {
        sprite_size: options.sprite_size,
        compressed: options.compress,
        entries,
    })
}

fn entry(named: Named, sprite: &SpriteFrames, offset: u64, length: u64) -> Entry {
    Entry {
        id: named.id,
        hexcode: named.hexcode,
        name_en: named.name_en,
        synonyms_en: named.synonyms_en,
        name_zh: named.name_zh,
        synonyms_zh: named.synonyms_zh,
        group: named.group,
        subgroup: named.subgroup,
        class: named.class,
        can_fly: named.can_fly,
        can_swim: named.can_swim,
        frames: sprite.frames,
        fps: sprite.fps,
        offset,
        length,
    }
}

/// Header, index and frames in one file; gives its size.
fn assemble(index: &Index, frames_file: &Path, pack_file: &Path) -> Result<u64> {
    let json = serde_json::to_vec(index).map_err(|source| Error::Names {
        path: pack_file.into(),
        source,
    })?;
    let mut out = BufWriter::new(File::create(pack_file).map_err(write_error(pack_file))?);
    let header = [
        MAGIC.as_slice(),
        &VERSION.to_le_bytes(),
        &(json.len() as u64).to_le_bytes(),
        &json,
    ]
    .concat();
    out.write_all(&header).map_err(write_error(pack_file))?;
    let mut frames = File::open(frames_file).map_err(|source| Error::Read {
        path: frames_file.into(),
        source,
    })?;
    let copied = std::io::copy(&mut frames, &mut out).map_err(write_error(pack_file))?;
    out.flush().map_err(write_error(pack_file))?;
    Ok(header.len() as u64 + copied)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pack::Pack;

    /// A source folder with the still of a koala and of a flag, which is no subject.
    fn source() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, bytes: &[u8]| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        };
        let emoji = |koala: &str, flag: &str| {
            let one = |label: &str, hexcode: &str, group: u8| {
                format!(
                    r#"{{"label":"{label}","hexcode":"{hexcode}","tags":["bear"],"group":{group},"subgroup":{group}}}"#
                )
            };
            format!(
                "[{},{}]",
                one(koala, "1F428", 0),
                one(flag, "1F3F3-FE0F", 1)
            )
        };
        write(
            "emojibase-data-17.0.0/en/data.json",
            emoji("koala", "flag").as_bytes(),
        );
        write(
            "emojibase-data-17.0.0/zh/data.json",
            emoji("考拉", "旗").as_bytes(),
        );
        let groups = r#"{"groups":{"0":"animals-nature","1":"flags"},"subgroups":{"0":"animal-mammal","1":"flag"}}"#;
        write("emojibase-data-17.0.0/meta/groups.json", groups.as_bytes());
        let still = compress(&[200, 100, 50, 255].repeat(40 * 40), 40).unwrap();
        write("lobehub-fluent-emoji-3d-1.1.0/assets/1f428.webp", &still);
        write(
            "lobehub-fluent-emoji-3d-1.1.0/assets/1f3f3-fe0f.webp",
            &still,
        );
        write(
            "lobehub-fluent-emoji-anim-1-1.0.0/assets/1f428.webp",
            &still,
        );
        folder
    }

    #[test]
    fn what_is_packed_is_read_back() {
        let source = source();
        let file = source.path().join("out.pack");
        for compress in [false, true] {
            let options = PackOptions {
                sprite_size: 24,
                stills: true,
                compress,
                ..PackOptions::default()
            };
            let mut steps = Vec::new();
            let summary = pack(source.path(), &file, &options, |done, total| {
                steps.push((done, total))
            })
            .unwrap();
            assert_eq!((summary.subjects, summary.frames), (1, 1));
            assert_eq!(summary.bytes, std::fs::metadata(&file).unwrap().len());
            assert_eq!(steps, [(1, 1)]);
            let read = Pack::open(&file).unwrap();
            let koala = read.find("考拉").unwrap();
            assert_eq!(read.entries()[koala].name_en, "koala");
            assert!(
                read.frame(koala, 0)
                    .chunks(4)
                    .all(|pixel| pixel == [200, 100, 50, 255])
            );
        }
        let left: Vec<PathBuf> = list(source.path()).unwrap();
        assert!(
            left.iter()
                .all(|path| path.extension().is_none_or(|extension| extension != "tmp")),
            "{left:?}"
        );
    }

    #[test]
    fn a_folder_without_packages_says_how_to_fetch_them() {
        let empty = tempfile::tempdir().unwrap();
        let message = pack(
            empty.path(),
            &empty.path().join("out.pack"),
            &PackOptions::default(),
            |_, _| (),
        )
        .unwrap_err()
        .to_string();
        assert!(message.contains("scripts/fetch-emoji.sh"), "{message}");
    }
}
