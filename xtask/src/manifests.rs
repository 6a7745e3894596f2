//! The manifests of the workspace, and what each must say.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use toml::{Table, Value};

use crate::Problems;

/// The only crate that may hold `unsafe`.
const UNSAFE_CRATE: &str = "kinora-kernels";

/// A crate by its manifest.
pub(crate) struct Crate {
    pub(crate) name: String,
    pub(crate) manifest: Table,
    path: PathBuf,
}

impl Crate {
    /// Names of everything that it depends on, in builds, tests and on any platform.
    pub(crate) fn dependencies(&self) -> Vec<String> {
        let platforms = self
            .manifest
            .get("target")
            .and_then(Value::as_table)
            .into_iter()
            .flat_map(|targets| targets.values().filter_map(Value::as_table));
        let mut names: Vec<String> = std::iter::once(&self.manifest)
            .chain(platforms)
            .flat_map(|table| {
                ["dependencies", "dev-dependencies", "build-dependencies"]
                    .into_iter()
                    .filter_map(|section| table.get(section)?.as_table())
            })
            .flat_map(|section| section.iter().map(|(name, spec)| package(name, spec)))
            .collect();
        names.sort();
        names.dedup();
        names
    }
}

/// The package behind a dependency that may have another name here.
fn package(name: &str, spec: &Value) -> String {
    spec.get("package")
        .and_then(Value::as_str)
        .unwrap_or(name)
        .to_owned()
}

/// The crates under `crates/`, and xtask.
pub(crate) fn read(root: &Path) -> Result<Vec<Crate>> {
    let folder = root.join("crates");
    let mut paths = vec![root.join("xtask/Cargo.toml")];
    for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        paths.push(entry?.path().join("Cargo.toml"));
    }
    paths.sort();
    paths
        .into_iter()
        .filter(|path| path.exists())
        .map(|path| {
            let manifest = read_table(&path)?;
            let name = manifest
                .get("package")
                .and_then(|package| package.get("name")?.as_str())
                .with_context(|| format!("{} has no package.name", path.display()))?
                .to_owned();
            Ok(Crate {
                name,
                manifest,
                path,
            })
        })
        .collect()
}

fn read_table(path: &Path) -> Result<Table> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    text.parse().with_context(|| path.display().to_string())
}

/// The compiler forbids `unsafe` where the workspace's lints are taken over, in every target of a
/// crate; this makes sure that they are.
pub(crate) fn check_unsafe(root: &Path, crates: &[Crate]) -> Result<Problems> {
    let workspace = read_table(&root.join("Cargo.toml"))?;
    let lint = workspace.get("workspace").and_then(|workspace| {
        workspace
            .get("lints")?
            .get("rust")?
            .get("unsafe_code")?
            .as_str()
    });
    let mut problems = Problems::new();
    if lint != Some("forbid") {
        problems.push("Cargo.toml: set workspace.lints.rust.unsafe_code to \"forbid\"".into());
    }
    for member in crates.iter().filter(|member| member.name != UNSAFE_CRATE) {
        let inherited = member
            .manifest
            .get("lints")
            .and_then(|lints| lints.get("workspace")?.as_bool());
        if inherited != Some(true) {
            problems.push(format!(
                "{}: add `[lints] workspace = true`; unsafe code belongs into {UNSAFE_CRATE}",
                member.path.display()
            ));
        }
    }
    Ok(problems)
}

/// A crate without a description is one whose purpose nobody can check against the map.
pub(crate) fn check_descriptions(crates: &[Crate]) -> Problems {
    crates
        .iter()
        .filter(|member| {
            member
                .manifest
                .get("package")
                .and_then(|package| package.get("description")?.as_str())
                .is_none_or(|text| text.trim().is_empty())
        })
        .map(|member| format!("{}: add a package.description", member.path.display()))
        .collect()
}

#[cfg(test)]
pub(crate) fn parsed(manifest: &str) -> Crate {
    let manifest: Table = manifest.parse().expect("test manifests are TOML");
    let name = manifest["package"]["name"]
        .as_str()
        .expect("tests give names");
    Crate {
        name: name.to_owned(),
        path: name.into(),
        manifest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_are_found_in_every_section() {
        let member = parsed(
            r#"
            package = { name = "a" }
            dependencies.b = "1"
            dependencies.other = { version = "1", package = "c" }
            dev-dependencies.d = { workspace = true }
            build-dependencies.e = "1"
            target.'cfg(unix)'.dependencies.f = "1"
            "#,
        );
        assert_eq!(member.dependencies(), ["b", "c", "d", "e", "f"]);
    }

    #[test]
    fn a_missing_description_and_missing_lints_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let forbid = "[workspace.lints.rust]\nunsafe_code = \"forbid\"";
        std::fs::write(folder.path().join("Cargo.toml"), forbid).unwrap();
        let bare = [parsed("package = { name = \"kinora-media\" }")];
        assert_eq!(check_descriptions(&bare).len(), 1);
        assert_eq!(check_unsafe(folder.path(), &bare).unwrap().len(), 1);
        let whole = [
            parsed("package = { name = \"a\", description = \"b\" }\nlints.workspace = true"),
            parsed("package = { name = \"kinora-kernels\", description = \"b\" }"),
        ];
        assert!(check_descriptions(&whole).is_empty());
        assert!(check_unsafe(folder.path(), &whole).unwrap().is_empty());
    }
}
