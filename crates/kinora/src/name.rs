//! Names of outputs.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Longest name made of a prompt, in characters.
const MAX_CHARS: usize = 60;
/// And in bytes: file systems take 255, of which endings and numbers need some.
const MAX_BYTES: usize = 200;

/// A free name in `folder` made of the prompt: `a-koala-waves.mp4`, or `a-koala-waves-2.mp4` if that is taken. With
/// `preview`, the name of the preview is free too.
pub(crate) fn from_prompt(folder: &Path, prompt: &str, extension: &str, preview: bool) -> PathBuf {
    let words = slug(prompt);
    let numbered = |number: usize| match number {
        1 => folder.join(format!("{words}.{extension}")),
        number => folder.join(format!("{words}-{number}.{extension}")),
    };
    let is_free = |path: &PathBuf| !(path.exists() || preview && preview_of(path).exists());
    (1..)
        .map(numbered)
        .find(is_free)
        .expect("a folder has free names")
}

/// The preview that stands beside `output`: `clip-preview.png` for `clip.mp4`.
pub(crate) fn preview_of(output: &Path) -> PathBuf {
    let mut name = output
        .file_stem()
        .map_or_else(|| OsString::from("clip"), OsString::from);
    name.push("-preview.png");
    output.with_file_name(name)
}

/// The words of a prompt in lower case, joined by `-`, at most as long as file systems like.
fn slug(prompt: &str) -> String {
    let lower = prompt.to_lowercase();
    let words = lower
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty());
    let mut slug = String::new();
    for word in words {
        let fits = |slug: &str| slug.chars().count() <= MAX_CHARS && slug.len() <= MAX_BYTES;
        let longer = if slug.is_empty() {
            word.to_owned()
        } else {
            format!("{slug}-{word}")
        };
        if fits(&longer) {
            slug = longer;
            continue;
        }
        if slug.is_empty() {
            // A single long word, or a sentence in a script without spaces.
            for c in word.chars() {
                slug.push(c);
                if !fits(&slug) {
                    slug.pop();
                    break;
                }
            }
        }
        break;
    }
    if slug.is_empty() {
        "clip".to_owned()
    } else {
        slug
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_become_names() {
        assert_eq!(
            slug("a koala waves on a beach at sunset"),
            "a-koala-waves-on-a-beach-at-sunset"
        );
        assert_eq!(slug("  Two CARS, one road!  "), "two-cars-one-road");
        assert_eq!(slug("一只考拉在海滩上挥手"), "一只考拉在海滩上挥手");
        assert_eq!(slug("../../etc/passwd"), "etc-passwd");
        assert_eq!(slug("?!"), "clip");
    }

    #[test]
    fn long_names_end_at_a_word_where_there_is_one() {
        let name = slug(&"word ".repeat(100));
        assert_eq!(name.chars().count(), 59);
        assert!(name.ends_with("-word"));
        assert_eq!(slug(&"x".repeat(500)).len(), MAX_CHARS);
        let wide = slug(&"𠮷".repeat(500));
        assert!(
            wide.len() <= MAX_BYTES && wide.chars().count() == 50,
            "{}",
            wide.len()
        );
    }

    #[test]
    fn a_taken_name_gets_a_number() {
        let folder = tempfile::tempdir().unwrap();
        let name = |preview| from_prompt(folder.path(), "a fox", "mp4", preview);
        let file = |name: &str| folder.path().join(name);
        assert_eq!(name(true), file("a-fox.mp4"));
        std::fs::write(file("a-fox.mp4"), "").unwrap();
        assert_eq!(name(false), file("a-fox-2.mp4"));
        std::fs::write(file("a-fox-2-preview.png"), "").unwrap();
        assert_eq!(name(false), file("a-fox-2.mp4"));
        assert_eq!(name(true), file("a-fox-3.mp4"));
    }

    #[test]
    fn previews_stand_beside_the_clip() {
        assert_eq!(
            preview_of(Path::new("a/clip.mp4")),
            Path::new("a/clip-preview.png")
        );
        assert_eq!(
            preview_of(Path::new("frames/")),
            Path::new("frames-preview.png")
        );
    }
}
