//! The demo: a vendor, a gap and an appliance on one machine, played with the real programs as a user would run them.
//!
//! Images are made of those programs, so they are real and could run. What comes out behind the gap is fetched by
//! clients that are not ours: `oci-client` and `git`.

use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;

use crate::actors::{Appliance, Programs, Vendor};
use crate::story::{self, Story};
use crate::vendor::Registry;

/// Plays the demo.
///
/// # Errors
/// Whatever goes wrong, with the output of the program that said so.
pub fn run() -> io::Result<()> {
    let programs = Programs::built()?;
    let dir = programs.target().join("demo");
    if dir.exists() {
        fs::remove_dir_all(&dir)?;
    }
    fs::create_dir_all(&dir)?;
    let mut story = Story::begin("One release over an air gap: this machine, no root, no network")?;
    let bundles = at_the_vendors(&mut story, &programs, &dir)?;
    let appliance = behind_the_gap(&mut story, &programs, &dir, &bundles)?;
    next_release(&mut story, &appliance, &bundles)?;
    drop(appliance);
    let here = std::env::current_dir()?;
    let short = |path: &Path| path.strip_prefix(&here).unwrap_or(path).display().to_string();
    story.end(&format!(
        "Everything lies in {dir}\n\
         \x20 vendor/     keys, RELEASE.yaml, RELEASE.lock.json, the two archives\n\
         \x20 appliance/  the store: ls it, sha256sum it\n\
         Try next (the keys' password is `demo`):\n\
         \x20 {bin}/sealift inspect {bundle} --trust {dir}/vendor/trust/root.json\n\
         \x20 zstd -dc {bundle} | tar t\n\
         \x20 {bin}/sealiftctl --store {dir}/appliance status\n\
         \x20 {bin}/sealift-registry --store {dir}/appliance --listen 127.0.0.1:5000",
        dir = short(&dir),
        bin = short(programs.dir()),
        bundle = short(&bundles[0]),
    ))
}

fn at_the_vendors(story: &mut Story, programs: &Programs, dir: &Path) -> io::Result<[PathBuf; 2]> {
    story.place("Vendor, online")?;
    let registry = Registry::start()?;
    let images = story.step("registry", || {
        let images = programs.publish(&registry, "1.0.0")?;
        let bytes: u64 = images.iter().map(|image| image.bytes).sum();
        Ok((format!("{} images of the programs just built, {}", images.len(), story::size(bytes)), images))
    })?;
    let vendor = Vendor::new(programs, &dir.join("vendor"))?;
    story.step("trust init", || {
        vendor.init_trust()?;
        Ok(("keys for root, release and pack, and the trust root".to_owned(), ()))
    })?;
    let first = vendor.release(story, &registry, &images, "1.0.0", 1, None)?;
    let newer = story.step("1.1.0", || {
        let images = programs.publish(&registry, "1.1.0")?;
        Ok(("the next release: one image and the Git folder change".to_owned(), images))
    })?;
    let second = vendor.release(story, &registry, &newer, "1.1.0", 2, Some(&first))?;
    Ok([first, second])
}

fn behind_the_gap<'a>(
    story: &mut Story,
    programs: &'a Programs,
    dir: &Path,
    bundles: &[PathBuf; 2],
) -> io::Result<Appliance<'a>> {
    story.place("The gap: the vendor's registry is gone, two files are here")?;
    let trust = dir.join("vendor/trust/root.json");
    for bundle in bundles {
        story.step("verify", || Ok((programs.verify(bundle, &trust)?, ())))?;
    }
    story.place("Appliance, offline")?;
    let mut appliance = Appliance::new(programs, &dir.join("appliance"));
    story.step("trust pin", || {
        appliance.ctl(&["trust", "pin", &trust.display().to_string()])?;
        Ok(("the vendor's root is pinned, once and for all".to_owned(), ()))
    })?;
    story.step("import", || {
        appliance.ctl(&["import", "--activate", &bundles[0].display().to_string()])?;
        Ok(("verified, loaded, activated 1.0.0".to_owned(), ()))
    })?;
    story.step("registry", || {
        let address = appliance.serve()?;
        Ok((format!("sealift-registry answers on {address}"), ()))
    })?;
    story.step("pull back", || Ok((appliance.pull_all()?, ())))?;
    story.step("git clone", || Ok((appliance.clone("1.0.0")?, ())))?;
    Ok(appliance)
}

fn next_release(story: &mut Story, appliance: &Appliance<'_>, bundles: &[PathBuf; 2]) -> io::Result<()> {
    story.place("The next release")?;
    story.step("import", || {
        appliance.ctl(&["import", &bundles[1].display().to_string()])?;
        Ok(("1.1.0 is staged; 1.0.0 runs on".to_owned(), ()))
    })?;
    story.step("activate", || {
        appliance.ctl(&["activate", "1.1.0"])?;
        Ok((format!("at once, for both: {}", appliance.clone("1.1.0")?), ()))
    })?;
    story.step("pull back", || Ok((appliance.pull_all()?, ())))?;
    story.step("roll back", || {
        appliance.ctl(&["rollback"])?;
        Ok((format!("and back: {}", appliance.clone("1.0.0")?), ()))
    })?;
    story.step("verify", || {
        appliance.ctl(&["verify"])?;
        Ok(("the store is whole: every blob hashed".to_owned(), ()))
    })
}
