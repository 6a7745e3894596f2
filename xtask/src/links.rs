//! Relative links in Markdown lead to files that exist.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::Problems;

/// Folders that hold nothing of ours.
const SKIPPED: [&str; 5] = ["target", "third_party", "data", "runs", "node_modules"];

pub(crate) fn check(root: &Path) -> Result<Problems> {
    let mut files = Vec::new();
    collect(root, &mut files)?;
    files.sort();
    let mut problems = Problems::new();
    for file in files {
        let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let folder = file.parent().unwrap_or(root);
        for (line, target) in targets(&text) {
            let path = target.split('#').next().unwrap_or_default();
            if !path.is_empty() && !folder.join(path.replace("%20", " ")).exists() {
                let name = file.strip_prefix(root).unwrap_or(&file).display();
                problems.push(format!("{name}:{line}: {target} does not exist"));
            }
        }
    }
    Ok(problems)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type()?.is_dir() {
            if !name.starts_with('.') && !SKIPPED.contains(&name.as_str()) {
                collect(&path, files)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "md") {
            files.push(path);
        }
    }
    Ok(())
}

/// Relative targets of `[text](target)`, `<img src="target">` and `[label]: target`, with their lines. Code is
/// not looked at.
fn targets(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut in_code = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        // Every second piece between backticks is code.
        let prose: String = line.split('`').step_by(2).collect();
        let mut on_line: Vec<&str> = Vec::new();
        for (opening, closing) in [("](", ')'), ("src=\"", '"'), ("href=\"", '"')] {
            let pieces = prose.split(opening).skip(1);
            on_line.extend(pieces.filter_map(|piece| piece.split(closing).next()));
        }
        if prose.starts_with('[') {
            on_line.extend(prose.split_once("]: ").map(|(_, target)| target));
        }
        found.extend(
            on_line
                .into_iter()
                .filter_map(|target| target.split_whitespace().next())
                .filter(|target| !is_elsewhere(target))
                .map(|target| (index + 1, target.to_owned())),
        );
    }
    found
}

/// Addresses, mail and places in the same file.
fn is_elsewhere(target: &str) -> bool {
    target.contains("://") || target.starts_with("mailto:") || target.starts_with('#')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_targets_are_found_and_others_left() {
        let text = "See [the map](ARCHITECTURE.md#map \"title\") and [`code`](src/a.rs).\n\
            ![](docs/a.png) <img src=\"docs/b.png\" width=3> [web](https://example.org/x) [here](#top)\n\
            [label]: docs/c.md\n\
            Write `[text](file.md)`.\n\
            ```\n[no](link.md)\n```\n";
        let expected = [
            (1, "ARCHITECTURE.md#map"),
            (1, "src/a.rs"),
            (2, "docs/a.png"),
            (2, "docs/b.png"),
            (3, "docs/c.md"),
        ];
        let expected = expected.map(|(line, target)| (line, target.to_owned()));
        assert_eq!(targets(text), expected);
    }

    #[test]
    fn a_broken_link_names_file_and_line() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("docs")).unwrap();
        std::fs::write(
            root.path().join("README.md"),
            "[a](docs/a.md)\n\n[b](docs/b.md)",
        )
        .unwrap();
        std::fs::write(root.path().join("docs/a.md"), "[up](../README.md#top)").unwrap();
        assert_eq!(
            check(root.path()).unwrap(),
            ["README.md:3: docs/b.md does not exist"]
        );
    }
}
