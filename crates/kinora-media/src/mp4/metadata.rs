//! The recipe as the comment of the film: `moov/udta/meta/ilst/©cmt`, which FFmpeg, ExifTool and players show.

use serde_json::Value;
use shiguredo_mp4::BoxType;
use shiguredo_mp4::boxes::UnknownBox;

use super::boxes::{boxes, find, wrap};

const COMMENT: &[u8; 4] = b"\xa9cmt";
const TOOL: &[u8; 4] = b"\xa9too";

/// The box that names this program and carries the recipe.
pub(super) fn user_data(recipe: Option<&Value>) -> UnknownBox {
    let mut items = text_item(TOOL, concat!("Kinora ", env!("CARGO_PKG_VERSION")));
    if let Some(recipe) = recipe {
        items.extend(text_item(COMMENT, &recipe.to_string()));
    }
    // A handler without a name: version and flags, predefined, type, maker, reserved, empty name.
    let handler = [&[0; 8][..], b"mdirappl", &[0; 9]].concat();
    let meta = [
        &[0; 4][..],
        &wrap(b"hdlr", &handler),
        &wrap(b"ilst", &items),
    ]
    .concat();
    let payload = wrap(b"meta", &meta);
    let box_type = BoxType::Normal(*b"udta");
    UnknownBox {
        box_type,
        box_size: shiguredo_mp4::BoxSize::with_payload_size(box_type, payload.len() as u64),
        payload,
    }
}

/// The recipe in the payload of a `moov`, if its comment is one.
pub(super) fn recipe(moov: &[u8]) -> Option<Value> {
    let meta = find(find(moov, b"udta")?, b"meta")?;
    // QuickTime writes `meta` without version and flags.
    let list = find(meta.get(4..)?, b"ilst").or_else(|| find(meta, b"ilst"))?;
    boxes(list)
        .filter(|item| item.kind == *COMMENT)
        .filter_map(|item| find(item.payload, b"data")?.get(8..))
        .find_map(|text| serde_json::from_slice(text).ok())
        .filter(Value::is_object)
}

fn text_item(kind: &[u8; 4], text: &str) -> Vec<u8> {
    // Type 1 is UTF-8; then the locale.
    let data = [&[0, 0, 0, 1, 0, 0, 0, 0], text.as_bytes()].concat();
    wrap(kind, &wrap(b"data", &data))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipe_comes_back() {
        let recipe_in = serde_json::json!({"prompt": "a koala 考拉 \"waves\"", "seed": 7});
        let moov = wrap(b"udta", &user_data(Some(&recipe_in)).payload);
        assert_eq!(recipe(&moov), Some(recipe_in));
    }

    #[test]
    fn a_comment_of_another_program_is_no_recipe() {
        let ordinary = wrap(
            b"udta",
            &user_data(Some(&Value::String("holiday".into()))).payload,
        );
        assert_eq!(recipe(&ordinary), None);
        assert_eq!(recipe(&wrap(b"udta", &user_data(None).payload)), None);
        assert_eq!(recipe(b"garbage that is no box"), None);
    }
}
