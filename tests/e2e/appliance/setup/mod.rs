//! The first boot: `sealiftctl setup` on a machine of folders, with its real programs, a release of a vendor, and stand-ins for what would
//! change this machine: systemd, k3s, the host's name.

mod machine;

use std::path::Path;

use sealift_tests::trust::OTHER;
use sealift_tests::{Tree, tell};
use serde_json::{Value, json};

use machine::{Machine, RELEASES, finish};

const SINGLE: &str = "{hostname: node-a, role: single, network: {mode: static, address: 192.0.2.10/24, dns: [192.0.2.2]}, \
                      endpoints: [appliance.example, 192.0.2.9], time: {servers: [192.0.2.3, ntp.example]}, \
                      publicKeys: [ssh-ed25519 AAAAC3 me]}";

fn first() -> [&'static Path; 1] {
    [RELEASES[0].as_path()]
}

#[test]
fn a_machine_becomes_an_appliance_and_stays_one() {
    let machine = Machine::new("1", &first(), SINGLE);
    let plan = finish(&machine.setup(&["--plan"])).expect(0).stdout();
    for wanted in [
        "node-a",
        "step 3 of 9: pin the vendor's trust root",
        "$ sealiftctl --store /var/lib/sealift import /usr/share/sealift/releases/",
    ] {
        assert!(plan.contains(wanted), "{wanted}: {plan}");
    }
    assert!(
        machine.calls().is_empty() && !machine.data("sealift/trust").exists(),
        "a plan has done something"
    );

    let ended = finish(&machine.setup(&[])).expect(0);
    let said = ended.stderr();
    for step in 1..9 {
        assert!(said.contains(&format!("step {step} of 9: ")), "{step}: {ended}");
    }
    assert!(said.contains("the release carries no Flux"), "{ended}");
    assert!(ended.stdout().contains("status page https://127.0.0.1:5443/"), "{ended}");
    expect_appliance(&machine);

    let before = machine.standing();
    let calls = machine.calls().len();
    let again = finish(&machine.setup(&[])).expect(0);
    assert!(again.stdout().contains("nothing was to be done"), "{again}");
    let after = machine.standing();
    assert_eq!(before.0.changes(&after.0), [""; 0]);
    assert_eq!((before.1, calls), (after.1, machine.calls().len()), "{:?}", machine.calls());
    let plan: Value = serde_json::from_str(&finish(&machine.setup(&["--plan", "--json"])).expect(0).stdout())
        .expect("JSON");
    let states: Vec<&str> =
        plan["steps"].as_array().expect("steps").iter().filter_map(|step| step["state"].as_str()).collect();
    assert_eq!(states, ["done", "done", "done", "done", "done", "done", "done", "done", "left-out"]);
}

fn expect_appliance(machine: &Machine) {
    let root = |name: &str| machine.read(&machine.root(name));
    let data = |name: &str| machine.read(&machine.data(name));
    assert_eq!(root("etc/hostname"), "node-a\n");
    let network = root("etc/systemd/network/05-sealift-setup.network");
    assert!(
        network.contains("Name=eth0")
            && network.contains("Address=192.0.2.10/24")
            && network.contains("DNS=192.0.2.2"),
        "{network}"
    );
    assert!(root("etc/systemd/timesyncd.conf.d/95-sealift-setup.conf").contains("NTP=192.0.2.3 ntp.example"));
    assert!(root("root/.ssh/authorized_keys").contains("ssh-ed25519 AAAAC3 me"));
    assert_eq!(
        data("etc-sealift/nftables.d/20-setup.nft").lines().nth(1),
        Some("add element inet sealift time4 { 192.0.2.3 }")
    );
    let registry = root("etc/default/sealift-registry");
    assert!(
        registry.contains("SEALIFT_REGISTRY_NAMES=node-a,appliance.example\nSEALIFT_REGISTRY_ADDRESSES=192.0.2.10,192.0.2.9\n"),
        "{registry}"
    );
    let config: Value = serde_saphyr::from_str(&data("etc-sealift/appliance.yaml")).expect("YAML");
    assert_eq!(
        config["k3s"],
        json!({"role": "single", "nodeIp": "192.0.2.10", "endpoints": ["appliance.example", "192.0.2.9"]})
    );
    assert_eq!(config["activation"]["hooks"][0]["command"][0], "/usr/bin/sealiftctl");
    assert!(config.get("cluster").is_none() && config.get("mirror").is_none(), "{config}");
    let k3s = data("etc-rancher/k3s/config.yaml");
    assert!(
        k3s.contains("node-ip: \"192.0.2.10\"")
            && k3s.contains("node-name: node-a")
            && k3s.contains("appliance.example"),
        "{k3s}"
    );
    assert!(machine.root("run/k3s.active").exists() && machine.path("usr-local/bin/k3s").exists());
    let active = fs_err::read_link(machine.data("sealift/current")).expect("an active release");
    assert_eq!(active, Path::new("releases/1"));
    let owner = |path: &Path| std::os::unix::fs::MetadataExt::uid(&fs_err::metadata(path).expect("a file"));
    assert_eq!(
        [owner(&machine.data("sealift/releases/1")), owner(&machine.data("sealift/audit.jsonl"))],
        [800, 800]
    );
}

#[test]
fn whatever_fails_or_is_cut_off_the_next_run_goes_on() {
    let clean = Machine::new("1", &first(), SINGLE);
    finish(&clean.setup(&[])).expect(0);
    let (wanted, calls) = (clean.standing(), clean.calls());
    assert!(calls.len() > 10, "{calls:?}");
    for mode in ["fail", "before", "after"] {
        for (index, call) in calls.iter().enumerate() {
            let machine = Machine::new("1", &first(), SINGLE);
            machine.fault(index + 1, mode);
            let ended = finish(&machine.setup(&[]));
            let what = format!("{mode} at call {}: {call}", index + 1);
            if mode != "fail" {
                assert_ne!(ended.code(), Some(0), "{what}: {ended}");
            }
            machine.boot_again();
            finish(&machine.setup(&[])).expect(0);
            expect_same(&machine, &wanted, &what);
        }
    }
    tell(&format!("setup: {} calls of programs, each failed, and cut off before and after", calls.len()));
}

/// The appliance is the one that it should be, and there is nothing left to do. The journal may know less: what was found done was not
/// written down again.
fn expect_same(machine: &Machine, wanted: &(Tree, Vec<String>), what: &str) {
    let standing = machine.standing();
    let is_known = |name: &String| {
        let file = name.rsplit('/').next().unwrap_or(name);
        name == "data/etc-sealift/setup/journal.json" || file.starts_with(".tmp")
    };
    let changes: Vec<String> =
        wanted.0.changes(&standing.0).into_iter().filter(|name| !is_known(name)).collect();
    assert!(changes.is_empty(), "{what}: {changes:?}");
    assert_eq!(wanted.1, standing.1, "{what}");
    let again = finish(&machine.setup(&[])).expect(0);
    assert!(again.stdout().contains("nothing was to be done"), "{what}: {again}");
}

#[test]
fn a_power_cut_at_any_write_of_setup_itself_does_no_harm() {
    let clean = Machine::new("1", &[], SINGLE);
    let traced = |machine: &Machine, cut: Option<usize>| {
        let setup = machine.setup(&[]);
        let words: Vec<String> = setup.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
        let place = words.iter().position(|word| word == "/usr/bin/sealiftctl").expect("the program");
        let mut command = std::process::Command::new(setup.get_program());
        command.args(&words[..place]).arg("/usr/bin/strace").args([
            "-o",
            "/run/trace",
            "-e",
            "trace=rename,renameat,renameat2",
        ]);
        if let Some(cut) = cut {
            command.args(["-e", &format!("inject=rename,renameat,renameat2:signal=KILL:when={cut}")]);
        }
        command.args(&words[place..]).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        finish(&command)
    };
    traced(&clean, None).expect(0);
    let renames = clean.read(&clean.root("run/trace")).lines().filter(|line| line.contains("rename")).count();
    assert!(renames > 10, "{renames}");
    let wanted = clean.standing();
    for cut in 1..=renames {
        let machine = Machine::new("1", &[], SINGLE);
        assert_ne!(traced(&machine, Some(cut)).code(), Some(0), "write {cut} of {renames}");
        finish(&machine.setup(&[])).expect(0);
        expect_same(&machine, &wanted, &format!("write {cut} of {renames}"));
    }
    tell(&format!("setup: cut off at each of its {renames} writes"));
}

#[test]
fn a_new_system_disk_on_an_old_data_disk_is_the_same_appliance() {
    let machine = Machine::new("1", &first(), SINGLE);
    finish(&machine.setup(&[])).expect(0);
    let before = machine.standing();
    // Its image has a later release, nothing is left of the seed, and OVF's form was not touched.
    let machine = machine.with_system("2", &[RELEASES[1].as_path()], &sealift_tests::trust::ACME);
    machine.seed("{role: setup, hostname: other}");
    finish(&machine.setup(&[])).expect(0);
    expect_appliance(&machine);
    let after = machine.standing();
    let changes = before.0.changes(&after.0);
    let expected =
        ["data/etc-sealift/setup/journal.json", "etc/machine-id", "var/lib/cloud/instance/cloud-config.txt"];
    assert_eq!(changes.iter().filter(|name| !expected.contains(&name.as_str())).collect::<Vec<_>>(), [""; 0]);
    assert!(after.1.iter().any(|name| name == "sealift/releases/2/release.json"), "{:?}", after.1);
    // Another vendor's is none.
    let machine = machine.with_system("3", &[], &OTHER);
    let refused = finish(&machine.setup(&[])).expect(3);
    refused.expect_said(&["SL0727", "another one than what is pinned here"]);
}

#[test]
fn what_has_changed_is_followed_or_refused() {
    let machine = Machine::new("1", &first(), SINGLE);
    finish(&machine.setup(&[])).expect(0);
    let ca = || fs_err::read(machine.data("registry/ca.crt")).expect("an authority");
    let before = ca();
    machine.seed(&SINGLE.replace("192.0.2.9", "192.0.2.8").replace("192.0.2.3, ntp.example", "192.0.2.4"));
    let ended = finish(&machine.setup(&[])).expect(0);
    ended.expect_said(&["the registry's authority was made before 192.0.2.8 was known, and is made anew"]);
    assert!(ca() != before);
    assert!(machine.read(&machine.data("etc-rancher/k3s/config.yaml")).contains("192.0.2.8"), "{ended}");
    assert!(machine.read(&machine.data("etc-sealift/nftables.d/20-setup.nft")).contains("192.0.2.4"));
    let before = machine.standing();
    for (from, to, key) in [
        ("node-a", "node-b", "hostname"),
        ("192.0.2.10/24", "192.0.2.11/24", "network"),
        ("role: single", "role: join, server: a, token: t", "role"),
    ] {
        machine.seed(&SINGLE.replace(from, to));
        finish(&machine.setup(&[]))
            .expect(3)
            .expect_said(&["SL0728", &format!("`{key}` cannot change any more")]);
    }
    let changes = before.0.changes(&machine.standing().0);
    assert_eq!(changes, ["var/lib/cloud/instance/cloud-config.txt"]);
    // One that was alone may become the first of three.
    machine.seed(&SINGLE.replace(
        "role: single",
        "role: first, nodes: [192.0.2.11, 'fd00::/64'], online: {source: 'https://releases.example'}",
    ));
    finish(&machine.setup(&[])).expect(0);
    let config = machine.read(&machine.data("etc-sealift/appliance.yaml"));
    assert!(
        config.contains("role: first") && config.contains("address: https://192.0.2.10:5443"),
        "{config}"
    );
    let rules = machine.read(&machine.data("etc-sealift/nftables.d/20-setup.nft"));
    assert!(rules.contains("nodes4 { 192.0.2.11 }") && rules.contains("nodes6 { fd00::/64 }"), "{rules}");
    assert!(machine.data("etc-sealift/nftables.d/90-online.nft").exists());
    assert!(machine.calls().iter().any(|call| call == "systemctl enable --now sealift-mirror.timer"));
}

#[test]
fn what_a_person_has_changed_stays_and_flux_is_applied_in_its_order() {
    let machine = Machine::new("1", &[RELEASES[1].as_path()], SINGLE);
    // Without a cluster that answers, nobody can wait for Flux.
    let own = "apiVersion: sealift/v1\nkind: Appliance\nk3s: {role: single, nodeIp: 192.0.2.10}\n\
               activation: {programs: {trustRoot: /etc/sealift/root.json}}\n";
    fs_err::write(machine.data("etc-sealift/appliance.yaml"), own).expect("a file");
    let ended = finish(&machine.setup(&[])).expect(0);
    ended.expect_said(&[
        "was changed by somebody, and stays",
        "$ k3s kubectl apply --server-side --force-conflicts -f - <flux/components.yaml",
    ]);
    assert_eq!(machine.read(&machine.data("etc-sealift/appliance.yaml")), own);
    let wanted = machine.read(&machine.data("etc-sealift/setup/wanted/etc-sealift-appliance.yaml"));
    assert!(wanted.contains("flux: {}") || wanted.contains("flux:"), "{wanted}");
    let said = ended.stderr();
    let place = |text: &str| said.find(text).unwrap_or_else(|| panic!("{text}: {ended}"));
    let sources = "$ sealift-registry config flux --store /var/lib/sealift --node node-a=192.0.2.10 | k3s kubectl apply";
    assert!(
        place("<flux/components.yaml") < place(sources)
            && place(sources) < place("<flux/sync-single-node.yaml")
    );
    let applied = fs_err::read_dir(machine.data("rancher/applied")).expect("what was applied");
    let texts: Vec<String> = applied.map(|entry| machine.read(&entry.expect("an entry").path())).collect();
    assert!(
        texts.iter().any(|text| text.contains("kind: Service") || text.contains("\"Service\"")),
        "{texts:?}"
    );
    let before = machine.standing();
    finish(&machine.setup(&[])).expect(0);
    assert_eq!(before.0.changes(&machine.standing().0), [""; 0]);
}

#[test]
fn a_token_is_handed_over_and_kept_nowhere() {
    let seed = "{hostname: node-b, role: join, server: 192.0.2.10, token: 'K10hunter2::server:hunter2', \
                network: {mode: static, address: 192.0.2.11/24}}";
    let machine = Machine::new("1", &first(), seed);
    // The first server is away, as far as the stand-in goes: k3s does not start, and setup says so.
    let failed = finish(&machine.setup(&[])).expect(1);
    failed.expect_said(&["SL0730", "step `k3s` failed", "sealiftctl setup"]);
    let token = machine.data("etc-rancher/k3s/token");
    assert_eq!(machine.read(&token), "K10hunter2::server:hunter2");
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&fs_err::metadata(&token).expect("a file").permissions())
            & 0o777,
        0o600
    );
    let plan = finish(&machine.setup(&["--plan", "--json"])).expect(0);
    assert!(!format!("{failed}{plan}").contains("hunter2"), "{failed}{plan}");
    let (system, _) = machine.standing();
    let kept = system.only(&["data/etc-sealift"]);
    assert!(!kept.holds("hunter2"), "{kept:?}");
    let config = machine.read(&machine.data("etc-sealift/appliance.yaml"));
    assert!(
        config.contains("server: https://192.0.2.10:6443") && config.contains("node: node-b"),
        "{config}"
    );
    assert!(
        machine.read(&machine.data("etc-sealift/nftables.d/20-setup.nft")).contains("nodes4 { 192.0.2.10 }")
    );
}

#[test]
fn somebody_at_the_console_is_asked() {
    let machine = Machine::new("1", &first(), "{role: setup}");
    finish(&machine.setup(&[])).expect(2).expect_said(&["SL0723", "no terminal to ask at"]);
    let script = [
        ("Name of this node", "Node A"),
        ("no name of a node", "node-a"),
        ("Address: dhcp or static", "static"),
        ("with the length of its network", "192.0.2.10/24"),
        ("Gateway", ""),
        ("Name servers", "192.0.2.2"),
        ("Domains", ""),
        ("Role [single]", "join"),
        ("Node to join", "192.0.2.9"),
        ("Token that", "K10hunter2"),
        ("whole appliance", ""),
        ("other nodes", ""),
        ("Time servers", ""),
        ("Where releases come from", ""),
        ("Public key of SSH", ""),
        ("Set this appliance up so?", "no"),
        ("Name of this node", ""),
        ("Address: dhcp or static", ""),
        ("with the length of its network", ""),
        ("Gateway", ""),
        ("Name servers", ""),
        ("Domains", ""),
        ("Role [join]", "single"),
        ("whole appliance", "appliance.example, 192.0.2.9"),
        ("Time servers", "192.0.2.3, ntp.example"),
        ("Where releases come from", ""),
        ("Public key of SSH", "ssh-ed25519 AAAAC3 me"),
        ("Set this appliance up so?", "yes"),
    ];
    let ended = finish(&machine.console(&script, &[])).expect(0);
    assert!(!ended.stdout().contains("hunter2"), "a token is shown while it is typed: {ended}");
    expect_appliance(&machine);
    // It is not asked again, and at a later boot nobody has to be there.
    finish(&machine.setup(&[])).expect(0);
    let answers = machine.read(&machine.data("etc-sealift/setup/answers.json"));
    assert!(answers.contains("\"single\"") && !answers.contains("hunter2"), "{answers}");
}

#[test]
fn an_image_without_a_release_waits_for_a_stick() {
    let machine = Machine::new("1", &[], SINGLE);
    let ended = finish(&machine.setup(&[])).expect(0);
    ended.expect_said(&["the image carries no release", "no release is here"]);
    let archive = machine.root("tmp/release.tar.zst");
    fs_err::copy(first()[0], &archive).expect("a file");
    let import = [
        "/usr/bin/setpriv",
        "--reuid=800",
        "--regid=800",
        "--clear-groups",
        "/usr/bin/sealiftctl",
        "import",
        "/tmp/release.tar.zst",
    ];
    finish(&machine.command(&import)).expect(0);
    fs_err::remove_file(archive).expect("it is there");
    finish(&machine.setup(&[])).expect(0);
    expect_appliance(&machine);
}
