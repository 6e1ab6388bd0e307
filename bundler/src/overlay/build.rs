//! What kustomize makes of a folder, as far as overlays may go: objects of `resources`, and `patches` on them.
//!
//! Everything else is refused, since a check that misreads a construct would let a change pass that nobody listed.

use std::collections::BTreeMap;

use serde_json::Value;

use super::error::{Fault, Stop};
use super::folder::{Folder, Found, inside};
use super::patch;

/// The names of the file that makes a folder a kustomization.
const FILES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];
/// What a kustomization may say of itself.
const API: &str = "kustomize.config.k8s.io/v1beta1";
/// Longest chain of folders that take in one another.
const MAX_CHAIN: usize = 16;

/// Objects by what names them.
pub(super) type Objects = BTreeMap<Id, Value>;

/// What names an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id {
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) group: String,
    /// Empty for `default`, too: they are one to kustomize.
    pub(super) namespace: String,
}

impl Id {
    /// Of an object in this place.
    pub(super) fn of(place: &str, object: &Value) -> Result<Self, Stop> {
        let text =
            |pointer: &str| object.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty());
        let (Some(api), Some(kind), Some(name)) =
            (text("/apiVersion"), text("/kind"), text("/metadata/name"))
        else {
            return Err(Stop::not_understood(
                place,
                "has something without `apiVersion`, `kind` or `metadata.name`",
            ));
        };
        let namespace = match object.pointer("/metadata/namespace") {
            None => "",
            Some(namespace) => namespace
                .as_str()
                .ok_or_else(|| Stop::not_understood(place, "has a `metadata.namespace` that is no text"))?,
        };
        let namespace = if namespace == "default" { "" } else { namespace };
        let group = api.split_once('/').map_or("", |(group, _)| group);
        let [kind, name, group, namespace] = [kind, name, group, namespace].map(str::to_owned);
        Ok(Self { kind, name, group, namespace })
    }

    /// `HelmRelease/web`
    pub(super) fn shown(&self) -> String {
        format!("{}/{}", self.kind, self.name)
    }
}

/// The objects that a folder comes to.
pub(super) fn build(folder: &mut Folder, dir: &str) -> Result<Objects, Stop> {
    Builder { folder, open: Vec::new() }.build(dir)
}

struct Builder<'f> {
    folder: &'f mut Folder,
    /// Folders that are being built, from the outermost in.
    open: Vec<String>,
}

impl Builder<'_> {
    fn build(&mut self, dir: &str) -> Result<Objects, Stop> {
        if self.open.iter().any(|open| open == dir) {
            return Err(Stop::not_followed(dir, "takes in itself, in a circle"));
        }
        if self.open.len() >= MAX_CHAIN {
            return Err(Stop::not_followed(dir, format!("lies behind more than {MAX_CHAIN} other folders")));
        }
        self.open.push(dir.to_owned());
        let file = self.file(dir)?;
        let kustomization = self.kustomization(&file)?;
        let mut objects = Objects::new();
        for resource in list(&file, &kustomization, "resources")? {
            let Some(path) = resource.as_str() else {
                return Err(Stop::not_understood(file, "has `resources` that are no paths"));
            };
            self.take(&file, dir, path, &mut objects)?;
        }
        for patch in list(&file, &kustomization, "patches")? {
            patch::apply(self.folder, &file, dir, patch, &mut objects)?;
        }
        self.open.pop();
        Ok(objects)
    }

    fn file(&self, dir: &str) -> Result<String, Stop> {
        let mut there = Vec::new();
        for name in FILES {
            let path = if dir.is_empty() { name.to_owned() } else { format!("{dir}/{name}") };
            if self.folder.find(&path)? == Found::File {
                there.push(path);
            }
        }
        match there.len() {
            1 => Ok(there.remove(0)),
            0 => Err(Stop::not_followed(dir, "has no kustomization.yaml")),
            _ => Err(Stop::not_understood(dir, format!("has several kustomizations: {}", there.join(", ")))),
        }
    }

    fn kustomization(&mut self, file: &str) -> Result<Value, Stop> {
        let mut documents = self.folder.documents(file)?;
        let (Some(document), true) = (documents.pop(), documents.is_empty()) else {
            return Err(Stop::not_understood(file, "is not one document"));
        };
        let map = document.as_object().ok_or_else(|| Stop::not_understood(file, "is no map"))?;
        for (key, value) in map {
            let is_known = match key.as_str() {
                "resources" | "patches" => true,
                "apiVersion" => value == API,
                "kind" => value == "Kustomization",
                _ => false,
            };
            if !is_known {
                let why = format!("has `{key}`, which is not understood here, or not with this value");
                return Err(Stop::not_understood(file, why));
            }
        }
        Ok(document)
    }

    /// Takes in a file of objects, or another kustomization.
    fn take(&mut self, file: &str, dir: &str, resource: &str, objects: &mut Objects) -> Result<(), Stop> {
        let path = inside(file, dir, resource)?;
        let taken: Vec<(Id, Value)> = match self.folder.find(&path)? {
            Found::Nothing => {
                return Err(Stop::not_followed(file, format!("names `{resource}`, which is not there")));
            }
            Found::Folder => self.build(&path)?.into_iter().collect(),
            Found::File => {
                let read = self.folder.documents(&path)?;
                read.into_iter()
                    .map(|object| Ok((Id::of(&path, &object)?, object)))
                    .collect::<Result<_, Stop>>()?
            }
        };
        for (id, object) in taken {
            if id.kind.ends_with("List") && object.get("items").is_some() {
                return Err(Stop::not_understood(
                    path,
                    format!("has a `{}`: write its items alone", id.kind),
                ));
            }
            let shown = id.shown();
            if objects.insert(id, object).is_some() {
                return Err(Stop::not_understood(path, format!("has `{shown}` once more")));
            }
        }
        Ok(())
    }
}

/// A list of a map; none is empty.
fn list<'v>(file: &str, map: &'v Value, key: &str) -> Result<&'v [Value], Stop> {
    match map.get(key) {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(items)) => Ok(items),
        Some(_) => Err(Stop::new(Fault::NotUnderstood, file, format!("has `{key}` that is no list"))),
    }
}
