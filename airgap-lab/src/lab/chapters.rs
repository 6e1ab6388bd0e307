//! What happens, chapter by chapter.

use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fs_err as fs;
use serde_json::Value;

use super::book::{Book, Hand, Place};
use super::nodes::Node;
use super::stick::Stick;
use super::vendor::{Made, Vendor};
use crate::actors::{Programs, text};
use crate::machine::Machine;

/// What `sealift verify` exits with when there is damage.
const REFUSED: i32 = 3;
/// How much of an archive goes bad on the bad stick, in bytes.
const DAMAGE_BYTES: usize = 64 << 10;

/// All that chapters need.
pub(super) struct Scene<'a> {
    pub(super) book: &'a mut Book,
    pub(super) programs: &'a Programs,
    /// The vendor's trust root.
    pub(super) root: &'a Path,
}

/// When the power goes.
#[derive(Clone, Copy)]
enum Cut {
    /// After so many lines on the console.
    Lines(usize),
    /// So long after the start.
    After(Duration),
}

impl Scene<'_> {
    /// Copies a release to a stick, and checks the copy.
    pub(super) fn carry(&mut self, made: &Made) -> io::Result<Stick> {
        self.book.chapter(Place::Courier, "Courier: a stick")?;
        let (programs, root) = (self.programs, self.root);
        self.book
            .step("copy", |_| {
                let stick = Stick::with(&[&made.archive, &made.parity])?;
                Ok(("the archive and its parity, on FAT32".to_owned(), stick))
            })
            .and_then(|stick| {
                self.book.step("verify", |hand| {
                    let verdict = verify(hand, programs, stick.mount(), root)?;
                    Ok((format!("every signature, {} blobs, read from the stick", verdict["blobs"]), stick))
                })
            })
    }

    /// Copies it to a stick that goes bad, and makes a good one of that.
    pub(super) fn carry_badly(&mut self, made: &Made, dir: &Path) -> io::Result<()> {
        self.book.chapter(Place::Courier, "Courier: a stick that goes bad")?;
        let (programs, root) = (self.programs, self.root);
        let stick = self.book.step("damage", |_| {
            let copies = tempfile::tempdir_in(dir)?;
            let copy = copies.path().join(made.archive.file_name().unwrap_or_default());
            fs::copy(&made.archive, &copy)?;
            damage(&copy)?;
            let stick = Stick::with(&[&copy, &made.parity])?;
            Ok((format!("{DAMAGE_BYTES} bytes in the middle of the archive are others now"), stick))
        })?;
        self.book.step("verify", |hand| {
            let mut verify = programs.command("sealift");
            verify.arg("verify").arg(stick.mount()).arg("--trust").arg(root);
            hand.refused(&mut verify, REFUSED)?;
            Ok(("refused, with each damaged place and what a repair can do".to_owned(), ()))
        })?;
        self.book.step("repair", |hand| {
            let whole = dir.join("repaired");
            let mut repair = programs.command("sealift");
            repair.arg("repair").arg(stick.mount()).arg("--into").arg(&whole).arg("--trust").arg(root);
            hand.run(&mut repair)?;
            let name = made.archive.file_name().unwrap_or_default();
            if fs::read(whole.join(name))? != fs::read(&made.archive)? {
                return Err(io::Error::other("the repaired archive is not what it was"));
            }
            Ok(("the archive as it was, byte for byte".to_owned(), ()))
        })
    }

    /// The first release comes to node 1 from the stick, and from there to the others.
    pub(super) fn begin(&mut self, nodes: &mut [Node<'_>], stick: &Stick, made: &Made) -> io::Result<()> {
        let root = self.root;
        let [one, others @ ..] = nodes else { return Err(io::Error::other("there are no nodes")) };
        self.book.chapter(one.place, "Node 1, behind the gap: the first release")?;
        self.book.step("trust pin", |hand| {
            one.pin(hand, root)?;
            Ok(("the vendor's root is pinned, once and for all".to_owned(), ()))
        })?;
        self.book.step("import", |hand| {
            one.import(hand, stick, &["--activate"])?;
            Ok(("verified, loaded, activated 1.0.0".to_owned(), ()))
        })?;
        self.serve(one, "1.0.0")?;
        for node in others {
            let title = format!("{}: the same from node 1", capital(&node.place.name()));
            self.book.chapter(node.place, &title)?;
            self.book.step("trust pin", |hand| {
                node.pin(hand, root)?;
                Ok(("its own pin: it believes no node".to_owned(), ()))
            })?;
            self.book.step("mirror", |hand| {
                node.stage_from(hand, one, &made.digest)?;
                Ok(("staged over the cable, by digest".to_owned(), ()))
            })?;
            self.book.step("activate", |hand| {
                hand.run(&mut node.ctl(&["activate", "1.0.0"]))?;
                expect_alike(&[&*one, &*node], &made.digest)?;
                Ok(("the same release, the same content".to_owned(), ()))
            })?;
            self.serve(node, "1.0.0")?;
        }
        Ok(())
    }

    fn serve(&mut self, node: &mut Node<'_>, version: &str) -> io::Result<()> {
        self.book.step("registry", |hand| Ok((node.serve(hand)?, ())))?;
        self.look(node, version)
    }

    /// Clients that are not ours take everything.
    fn look(&mut self, node: &Node<'_>, version: &str) -> io::Result<()> {
        self.book.step("skopeo", |hand| {
            let images = node.pull(hand)?;
            Ok((format!("{images} images by digest"), ()))
        })?;
        self.book.step("git clone", |hand| {
            node.clone(hand, version)?;
            Ok((format!("the GitOps folder, for {version}"), ()))
        })
    }

    /// An appliance that is online takes the same release from the vendor's place.
    pub(super) fn join_online(
        &mut self,
        node: &mut Node<'_>,
        vendor: &Vendor<'_>,
        made: &Made,
    ) -> io::Result<()> {
        let root = self.root;
        self.book.chapter(node.place, "Elsewhere: an appliance that is online")?;
        self.book.step("trust pin", |hand| {
            node.pin(hand, root)?;
            Ok(("the same root as behind the gap".to_owned(), ()))
        })?;
        self.mirror(node, vendor)?;
        expect_alike(&[node], &made.digest)
    }

    fn mirror(&mut self, node: &Node<'_>, vendor: &Vendor<'_>) -> io::Result<()> {
        let config = node.configure_online(&vendor.place(), &vendor.authority())?;
        self.book.step("mirror", |hand| {
            hand.run(node.ctl(&["mirror", "--once", "--config"]).arg(&config))?;
            Ok(("fetched what `stable` names, and activated it".to_owned(), ()))
        })
    }

    /// It follows; nodes behind the gap and it have the same.
    pub(super) fn follow_online(
        &mut self,
        online: &Node<'_>,
        vendor: &Vendor<'_>,
        node: &Node<'_>,
        made: &Made,
    ) -> io::Result<()> {
        self.book.chapter(online.place, "Elsewhere: the next release, online")?;
        self.mirror(online, vendor)?;
        self.book.step("compare", |_| {
            expect_alike(&[online, node], &made.digest)?;
            Ok(("what came by stick and by network is the same".to_owned(), ()))
        })
    }

    /// Node 1's disk in a machine of its own: its power goes while the next release comes, and it goes on.
    pub(super) fn cut_the_power(&mut self, node: &Node<'_>, made: &Made, dir: &Path) -> io::Result<()> {
        self.book.chapter(Place::Machine, "A machine with a copy of node 1's disk: the power goes")?;
        let folder = dir.join("machine");
        let (machine, disk) = self.book.step("disk", |hand| {
            let content = folder.join("content");
            fs::create_dir_all(&content)?;
            let mut copy = std::process::Command::new("cp");
            hand.run(copy.arg("--archive").arg(node.store()).arg(&content))?;
            let machine = Machine::new(&folder, &made.archive, &self.programs.path("sealiftctl"))?;
            let disk = machine.format(&content)?;
            Ok(("ext4 with its store, and the stick with vfat".to_owned(), (machine, disk)))
        })?;
        let version = "1.1.0";
        let (lines, took) = self.book.step("undisturbed", |_| {
            let copy = machine.copy(&disk)?;
            let begun = Instant::now();
            let mut running = machine.start("take", version, &copy)?;
            expect("the guest", "0", &running.await_guest("ended")?)?;
            let told = format!("import and activation say {} lines", running.said().len());
            Ok((told, (running.said().len(), begun.elapsed())))
        })?;
        let mut old = 0;
        for cut in [Cut::Lines(1), Cut::Lines(lines / 2), Cut::After(took / 2), Cut::Lines(lines)] {
            old += usize::from(self.cut_once(&machine, &disk, version, cut)?);
        }
        if old == 0 {
            return Err(io::Error::other("no power cut was in time"));
        }
        Ok(())
    }

    /// Says whether the power went before the new release was active.
    fn cut_once(&mut self, machine: &Machine, disk: &Path, version: &str, cut: Cut) -> io::Result<bool> {
        self.book.step("power cut", |_| {
            let copy = machine.copy(disk)?;
            let mut running = machine.start("take", version, &copy)?;
            match cut {
                Cut::Lines(lines) => running.await_lines(lines)?,
                // Not a wait for something to happen: the time itself is what is tried.
                Cut::After(time) => std::thread::sleep(time),
            }
            drop(running);
            machine.start("again", version, &copy)?.await_guest("ended")?;
            let before = active_then(machine, "before")?;
            for (what, code) in
                [("the store", "before.verified"), ("the import", "taken"), ("the store", "after.verified")]
            {
                expect(what, "0", &machine.result(code)?)?;
            }
            expect("the active release", version, &active_then(machine, "after")?)?;
            let told = match cut {
                Cut::Lines(lines) => format!("after {lines} lines"),
                Cut::After(time) => format!("after {:.1} s", time.as_secs_f64()),
            };
            Ok((format!("{told}: whole, {before} active; goes on to {version}"), before != version))
        })
    }

    /// The next release comes to all nodes, and they switch.
    pub(super) fn upgrade(&mut self, nodes: &[Node<'_>], stick: &Stick, made: &Made) -> io::Result<()> {
        let [one, others @ ..] = nodes else { return Err(io::Error::other("there are no nodes")) };
        self.book.chapter(one.place, "Nodes 1 to 3: the next release")?;
        self.book.step("import", |hand| {
            one.import(hand, stick, &[])?;
            Ok(("a delta: only what 1.0.0 lacks; 1.0.0 runs on".to_owned(), ()))
        })?;
        self.book.step("mirror", |hand| {
            for node in others {
                node.stage_from(hand, one, &made.digest)?;
            }
            Ok(("the other nodes take it from node 1".to_owned(), ()))
        })?;
        self.switch(nodes, &["activate", "1.1.0"], "1.1.0", made)
    }

    /// All nodes go back.
    pub(super) fn go_back(&mut self, nodes: &[Node<'_>], made: &Made) -> io::Result<()> {
        self.book.chapter(nodes[0].place, "Nodes 1 to 3: and back")?;
        self.switch(nodes, &["rollback"], "1.0.0", made)
    }

    fn switch(&mut self, nodes: &[Node<'_>], words: &[&str], version: &str, made: &Made) -> io::Result<()> {
        self.book.step(words[0], |hand| {
            for node in nodes {
                hand.run(&mut node.ctl(words))?;
            }
            expect_alike(&nodes.iter().collect::<Vec<_>>(), &made.digest)?;
            Ok((format!("{version} is active on every node"), ()))
        })?;
        nodes.iter().try_for_each(|node| self.look(node, version))
    }

    /// Every store is whole, and nothing has tried to leave: by counters that do see who tries.
    pub(super) fn count(&mut self, nodes: &[Node<'_>], online: &Node<'_>) -> io::Result<Vec<(String, u64)>> {
        self.book.chapter(nodes[0].place, "The end: every store, every counter")?;
        self.book.step("verify", |hand| {
            for node in nodes.iter().chain([online]) {
                hand.run(&mut node.ctl(&["verify"]))?;
            }
            Ok(("every blob of every store hashed: whole".to_owned(), ()))
        })?;
        let escaped = self.book.step("counters", |_| {
            let counted = nodes.iter().chain([online]);
            let counted = counted.map(|node| Ok((node.place.name(), node.escaped_packets()?)));
            let counted = counted.collect::<io::Result<Vec<_>>>()?;
            match counted.iter().find(|(_, packets)| *packets > 0) {
                None => Ok(("0 packets tried to leave".to_owned(), counted)),
                Some((name, packets)) => {
                    Err(io::Error::other(format!("{packets} packets tried to leave {name}")))
                }
            }
        })?;
        self.book.step("a probe", |hand| {
            nodes[0].try_to_leave(hand)?;
            match nodes[0].escaped_packets()? {
                0 => Err(io::Error::other("the counter is blind")),
                packets => Ok((format!("who does try is counted: {packets} packets"), ())),
            }
        })?;
        Ok(escaped)
    }
}

fn verify(hand: &mut Hand<'_>, programs: &Programs, place: &Path, root: &Path) -> io::Result<Value> {
    let mut verify = programs.command("sealift");
    hand.json(verify.args(["--json", "verify"]).arg(place).arg("--trust").arg(root))
}

/// Changes a piece in the middle of a file.
fn damage(file: &PathBuf) -> io::Result<()> {
    let middle = fs::metadata(file)?.len() / 2;
    let mut file = fs::File::options().write(true).open(file)?;
    file.seek(SeekFrom::Start(middle))?;
    file.write_all(&vec![0x5a; DAMAGE_BYTES])
}

/// These nodes have this release active, and the same content.
fn expect_alike(nodes: &[&Node<'_>], digest: &str) -> io::Result<()> {
    let mut content = None;
    for node in nodes {
        expect(&format!("the active release of {}", node.place.name()), digest, &node.active()?)?;
        let names = node.content()?;
        if *content.get_or_insert_with(|| names.clone()) != names {
            return Err(io::Error::other(format!("{} has other content", node.place.name())));
        }
    }
    Ok(())
}

fn expect(what: &str, wanted: &str, found: &str) -> io::Result<()> {
    if wanted == found {
        Ok(())
    } else {
        Err(io::Error::other(format!("{what} is `{found}`, not `{wanted}`")))
    }
}

/// The version that the machine called active then.
fn active_then(machine: &Machine, when: &str) -> io::Result<String> {
    let status: Value = serde_json::from_str(&machine.result(&format!("{when}.status"))?)?;
    Ok(text(&status["active"]["version"]).to_owned())
}

fn capital(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
