//! Images to carry: layers of noise, because most of what is in real layers is compressed already.

use std::io;
use std::thread;

use crate::vendor::Registry;
use crate::vendor::image::{File, Image, Layer, noise};

const PLATFORM: &str = "linux/amd64";
const TAG: &str = "1.0.0";
/// Between the seeds of sets: they must not share layers.
const SEED_STEP: u64 = 1 << 32;

/// Images that share their base layer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Set {
    /// What their repositories are called.
    pub(super) name: &'static str,
    /// How many there are.
    pub(super) images: usize,
    /// Bytes of the layer that they share.
    pub(super) base_bytes: usize,
    /// How many layers each has beside that.
    pub(super) own_layers: usize,
    /// Bytes of each of these.
    pub(super) own_layer_bytes: usize,
}

/// The release whose creation and import are paired with peers.
pub(super) const LAYERED: Set =
    Set { name: "layered", images: 4, base_bytes: 48_000_000, own_layers: 1, own_layer_bytes: 60_000_000 };

/// Many images, for a line with latency: 54 MB in 121 layers.
pub(super) const MANY: Set =
    Set { name: "many", images: 40, base_bytes: 20_000_000, own_layers: 3, own_layer_bytes: 284_000 };

/// What the next release has beside [`MANY`], for who mirrors: 12 MB in 3 layers.
pub(super) const MORE: Set =
    Set { name: "more", images: 1, base_bytes: 4_000_000, own_layers: 2, own_layer_bytes: 4_000_000 };

/// 2 GB, for memory.
pub(super) const LARGE: Set =
    Set { name: "large", images: 4, base_bytes: 200_000_000, own_layers: 3, own_layer_bytes: 150_000_000 };

/// What servers are asked for.
pub(super) const SERVED: Set =
    Set { name: "served", images: 4, base_bytes: 50_000_000, own_layers: 1, own_layer_bytes: 50_000_000 };

/// What they have beside that: with the above, 20,000 blobs.
pub(super) const CROWD: Set =
    Set { name: "crowd", images: 1000, base_bytes: 10_000, own_layers: 18, own_layer_bytes: 10_000 };

/// Small layers, each release with ten times as many as the one before: for what a blob costs, whatever its size.
pub(super) const GROWING: [Set; 4] =
    [growing("ten", 1), growing("hundred", 10), growing("thousand", 100), growing("myriad", 1000)];

const fn growing(name: &'static str, images: usize) -> Set {
    Set { name, images, base_bytes: 10_000, own_layers: 10, own_layer_bytes: 10_000 }
}

impl Set {
    /// Different layers.
    pub(super) const fn layers(&self) -> usize {
        1 + self.images * self.own_layers
    }

    /// Different blobs: layers, and a configuration and a manifest an image.
    pub(super) const fn blobs(&self) -> usize {
        self.layers() + 2 * self.images
    }

    /// Bytes of all layers, each counted once.
    pub(super) const fn bytes(&self) -> usize {
        self.base_bytes + self.images * self.own_layers * self.own_layer_bytes
    }

    /// Makes the images and offers them in a registry: `bench/<name>-<number>:1.0.0` each.
    pub(super) fn publish(&self, registry: &Registry) -> io::Result<Vec<String>> {
        let seed = SEED_STEP * self.bytes() as u64;
        let base = layer(seed, self.base_bytes)?;
        let mut names = Vec::with_capacity(self.images);
        for image in 0..self.images {
            let first = seed + 1 + (image * self.own_layers) as u64;
            // One image at a time, so that a large set is not held in memory twice; its layers all at once.
            let own: io::Result<Vec<Layer>> = thread::scope(|scope| {
                let makers: Vec<_> = (first..)
                    .take(self.own_layers)
                    .map(|seed| scope.spawn(move || layer(seed, self.own_layer_bytes)))
                    .collect();
                makers
                    .into_iter()
                    .map(|maker| maker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                    .collect()
            });
            let layers = [vec![base.clone()], own?].concat();
            let repository = format!("bench/{}-{:02}", self.name, image + 1);
            registry.add_image(&repository, TAG, &Image::new(PLATFORM, &layers, &["/data"]))?;
            names.push(format!("{repository}:{TAG}"));
        }
        Ok(names)
    }
}

fn layer(seed: u64, bytes: usize) -> io::Result<Layer> {
    Layer::of(&[File::plain(format!("data/{seed:x}"), noise(seed, bytes))])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_as_large_as_they_say() {
        let cases = [
            (LAYERED, 5, 288_000_000),
            (MANY, 121, 54_080_000),
            (LARGE, 13, 2_000_000_000),
            (SERVED, 5, 250_000_000),
            (CROWD, 18_001, 180_010_000),
            (GROWING[3], 10_001, 100_010_000),
        ];
        for (set, layers, bytes) in cases {
            assert_eq!((set.layers(), set.bytes()), (layers, bytes), "{}", set.name);
        }
        assert!(SERVED.blobs() + CROWD.blobs() >= 20_000);
    }

    #[test]
    fn images_are_offered_under_numbered_names() {
        let registry = Registry::start().unwrap();
        let set = Set { name: "tiny", images: 2, base_bytes: 1000, own_layers: 2, own_layer_bytes: 500 };
        assert_eq!(set.publish(&registry).unwrap(), ["bench/tiny-01:1.0.0", "bench/tiny-02:1.0.0"]);
    }
}
