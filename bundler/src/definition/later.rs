//! What the design has and this version does not carry: refused by name, so that nothing is left out in silence.

use serde_json::Value;

/// Keys of the design's definition that come later: where they stand, and what to call them.
const LATER: [(&[&str], &str); 3] = [
    (&["charts"], "charts"),
    (&["flux"], "flux"),
    (&["images", "*", "dockerArchive"], "images[].dockerArchive"),
];

/// The first such key in a definition. Text that does not parse has none: the parser will say what is wrong with it.
pub(super) fn find(text: &str) -> Option<&'static str> {
    let value: Value = serde_saphyr::from_str(text).ok()?;
    LATER.iter().find(|(path, _)| reaches(&value, path)).map(|(_, name)| *name)
}

fn reaches(value: &Value, path: &[&str]) -> bool {
    match path {
        [] => true,
        ["*", rest @ ..] => {
            value.as_array().is_some_and(|items| items.iter().any(|item| reaches(item, rest)))
        }
        [key, rest @ ..] => value.get(key).is_some_and(|inner| reaches(inner, rest)),
    }
}
