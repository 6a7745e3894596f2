//! The recipe as an XMP packet: WebP's place for words.

use serde_json::Value;

const OPEN: &str = r#"<rdf:li xml:lang="x-default">"#;
const CLOSE: &str = "</rdf:li>";

/// A packet whose description (`dc:description`) is the recipe.
pub(super) fn packet(recipe: &Value) -> String {
    let text = escape(&recipe.to_string());
    format!(
        r#"<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:CreatorTool="Kinora {version}"><dc:description><rdf:Alt>{OPEN}{text}{CLOSE}</rdf:Alt></dc:description></rdf:Description></rdf:RDF></x:xmpmeta>"#,
        version = env!("CARGO_PKG_VERSION"),
    )
}

/// The recipe in a packet that [`packet`] wrote.
pub(super) fn recipe(packet: &[u8]) -> Option<Value> {
    let packet = std::str::from_utf8(packet).ok()?;
    let (_, rest) = packet.split_once("<dc:description>")?;
    let (_, rest) = rest.split_once(OPEN)?;
    let (text, _) = rest.split_once(CLOSE)?;
    serde_json::from_str(&unescape(text))
        .ok()
        .filter(Value::is_object)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

fn unescape(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipe_comes_back() {
        let recipe_in = serde_json::json!({"prompt": "<a> & \"b\" &lt; </rdf:li> 考拉", "seed": 1});
        assert_eq!(recipe(packet(&recipe_in).as_bytes()), Some(recipe_in));
        assert_eq!(recipe(b"<x/>"), None);
    }
}
