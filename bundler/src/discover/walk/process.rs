//! What a process is started with: environment variables and a command line.

use super::super::parts::{Assembled, Defaults, Pair, assemble};
use super::super::reference::{is_image_key, is_pinned, plain_key, under_image_key};
use super::super::yaml::Node;
use super::Walk;

impl Walk {
    /// `{name: SIDECAR_IMAGE, value: …}`: an environment variable, or a parameter of another kind.
    pub(super) fn named_value(&mut self, node: &Node) -> bool {
        let (Some(name), Some(value)) = (node.text_of("name"), node.get("value")) else { return false };
        let Some(text) = value.text() else { return false };
        self.within("value", |walk| {
            if is_image_key(name) && !text.contains('\n') {
                walk.judge(under_image_key(text), value);
            } else if plain_key(name).contains("image") && is_pinned(text) && text.contains('/') {
                // RELATED_IMAGE_ETCD, and what else has the word in its name.
                walk.judge(under_image_key(text), value);
            } else {
                walk.free_text(text, value);
            }
        });
        true
    }

    /// `RELOADER_IMAGE_REPO` and `RELOADER_IMAGE_TAG` in one list.
    pub(super) fn composed_variables(&mut self, items: &[Node]) {
        let variables: Vec<(&str, &Node)> =
            items.iter().filter_map(|item| Some((item.text_of("name")?, item.get("value")?))).collect();
        let pairs: Vec<Pair<'_>> = variables.iter().map(|(name, value)| (*name, value.scalar())).collect();
        for Assembled { at, whole } in assemble(&pairs, false, &Defaults::default()) {
            let (name, node) = variables[at];
            self.within(name, |walk| match whole {
                Ok(whole) => walk.judge(under_image_key(&whole), node),
                Err(why) => walk.warn(node, why.to_owned()),
            });
        }
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
        for Assembled { at, whole } in assemble(&pairs, false, &Defaults::default()) {
            match whole {
                Ok(whole) => self.judge(under_image_key(&whole), flags[at].1),
                Err(why) => self.warn(flags[at].1, why.to_owned()),
            }
        }
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
