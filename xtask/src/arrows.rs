//! Arrows between crates only go down, and a crate does not know what it must not know.

use crate::Problems;
use crate::manifests::Crate;

/// The house from the roof to the ground: a crate may depend on those after it.
const LAYERS: [&str; 12] = [
    "kinora",
    "kinora-server",
    "kinora-train",
    "kinora-data",
    "kinora-pipeline",
    "kinora-safety",
    "kinora-provenance",
    "kinora-models",
    "kinora-sampling",
    "kinora-kernels",
    "kinora-media",
    "kinora-style",
];

/// What a crate must not know although it stands below.
const MUST_NOT_KNOW: [(&str, &str); 7] = [
    // Data are pictures and captions; which network learns from them is not their affair.
    ("kinora-data", "kinora-pipeline"),
    ("kinora-data", "kinora-models"),
    ("kinora-data", "burn"),
    // A model knows weight files and no others.
    ("kinora-models", "kinora-media"),
    // Media are streams of frames, not tensors.
    ("kinora-media", "burn"),
    // HTTP stays in the server.
    ("kinora-train", "axum"),
    ("kinora-pipeline", "axum"),
];

/// Arrows that go up or sideways, each with its reason.
const EXCEPTIONS: [(&str, &str); 0] = [];

pub(crate) fn check(crates: &[Crate]) -> Problems {
    let layer = |name: &str| LAYERS.iter().position(|layer| *layer == name);
    let mut problems = Problems::new();
    for member in crates {
        let name = member.name.as_str();
        let own_layer = layer(name);
        if own_layer.is_none() && name != "xtask" {
            problems.push(format!(
                "{name} has no layer: give it a place in LAYERS of xtask/src/arrows.rs and in ARCHITECTURE.md"
            ));
        }
        for dependency in member.dependencies() {
            let arrow = (name, dependency.as_str());
            if EXCEPTIONS.contains(&arrow) {
                continue;
            }
            let goes_up =
                matches!((own_layer, layer(&dependency)), (Some(own), Some(other)) if other <= own);
            if goes_up {
                problems.push(format!(
                    "{name} depends on {dependency}, which stands above it: move what it needs down"
                ));
            }
            if MUST_NOT_KNOW.contains(&arrow) {
                problems.push(format!(
                    "{name} must not know {dependency}: pass what it needs in plain types"
                ));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifests::parsed;

    fn member(name: &str, dependencies: &[&str]) -> Crate {
        let dependencies: Vec<String> = dependencies
            .iter()
            .map(|dependency| format!("{dependency} = {{ workspace = true }}"))
            .collect();
        parsed(&format!(
            "[package]\nname = \"{name}\"\n[dependencies]\n{}",
            dependencies.join("\n")
        ))
    }

    #[test]
    fn arrows_down_are_fine() {
        let crates = [
            member("kinora", &["kinora-pipeline", "kinora-media", "anyhow"]),
            member("kinora-pipeline", &["kinora-models", "kinora-sampling"]),
            member("kinora-models", &["kinora-kernels", "burn"]),
            member("xtask", &["toml"]),
        ];
        assert!(check(&crates).is_empty());
    }

    #[test]
    fn an_arrow_up_or_to_itself_is_told() {
        let up = check(&[member("kinora-models", &["kinora-pipeline"])]);
        assert!(
            up[0].contains("kinora-pipeline, which stands above"),
            "{up:?}"
        );
        assert_eq!(check(&[member("kinora-media", &["kinora-media"])]).len(), 1);
    }

    #[test]
    fn an_arrow_in_tests_counts() {
        let media = "[package]\nname = \"kinora-media\"\n[dev-dependencies]\nkinora-models = \"1\"";
        assert_eq!(check(&[parsed(media)]).len(), 1);
    }

    #[test]
    fn what_must_not_be_known_is_told() {
        let media = check(&[member("kinora-media", &["burn"])]);
        assert!(media[0].contains("must not know burn"), "{media:?}");
        assert_eq!(check(&[member("kinora-data", &["kinora-models"])]).len(), 1);
    }

    #[test]
    fn a_crate_without_a_layer_is_told() {
        assert!(check(&[member("kinora-core", &[])])[0].contains("no layer"));
    }
}
