//! What a process is started with: environment variables and a command line.

use super::super::parts::Pair;
use super::super::reference::{Verdict, beside_image_word, is_image_key, plain_key, under_image_key};
use super::super::yaml::Node;
use super::Walk;

impl Walk {
    /// `{name: SIDECAR_IMAGE, value: …}`: an environment variable, or a parameter of another kind.
    pub(super) fn named_value(&mut self, node: &Node) -> bool {
        let (Some(name), Some(value)) = (node.text_of("name"), node.get("value")) else { return false };
        let Some(text) = value.text() else { return false };
        self.within("value", |walk| {
            let is_related = plain_key(name).starts_with("relatedimage");
            match beside_image_word(name, text) {
                _ if (is_image_key(name) || is_related) && !text.contains('\n') => {
                    walk.judge(under_image_key(text), value);
                }
                Verdict::Other => walk.free_text(text, value),
                verdict => walk.judge(verdict, value),
            }
        });
        true
    }

    /// `RELOADER_IMAGE_REPO` and `RELOADER_IMAGE_TAG` in one list.
    pub(super) fn composed_variables(&mut self, items: &[Node]) {
        let variables: Vec<(&str, &Node)> =
            items.iter().filter_map(|item| Some((item.text_of("name")?, item.get("value")?))).collect();
        let pairs: Vec<Pair<'_>> = variables.iter().map(|(name, value)| (*name, value.scalar())).collect();
        self.assembled(&pairs, false, |at| variables[at].1);
    }

    /// A command line: `--reloader-image=…`, `--image …`, and what is unmistakable anywhere.
    pub(super) fn arguments(&mut self, items: &[Node]) {
        let mut flags: Vec<(&str, &Node, &str)> = Vec::new();
        for (at, item) in items.iter().enumerate() {
            let Some(text) = item.text() else { continue };
            let Some(flag) = text.strip_prefix('-').filter(|_| !text.contains('\n')) else { continue };
            if let Some((name, value)) = flag.split_once('=') {
                flags.push((name, item, value));
            } else if let Some(next) =
                items.get(at + 1).and_then(Node::text).filter(|next| !next.starts_with('-'))
            {
                flags.push((flag, &items[at + 1], next));
            }
        }
        let pairs: Vec<Pair<'_>> =
            flags.iter().map(|(name, _, value)| (*name, Some((*value).to_owned()))).collect();
        self.assembled(&pairs, false, |at| flags[at].1);
        for (at, item) in items.iter().enumerate() {
            self.at_index(at, |walk| {
                match flags.iter().find(|(name, node, _)| std::ptr::eq(*node, item) && is_image_key(name)) {
                    Some((_, _, value)) => walk.judge(under_image_key(value), item),
                    None => walk.value(item, ""),
                }
            });
        }
    }
}
