//! Where the power goes before or after each line of the journal, and who comes then.

use sealift_archive::{Class, Explain as _};

use super::*;

/// What the power cut left of the journal.
#[derive(Clone, Copy, Debug)]
enum Left {
    /// All of it.
    All,
    /// All but half of the last line.
    Half,
    /// All but the last line: what it says was not done yet, what comes before it was.
    AllButOne,
}

type Command = fn(&Appliance, &Outside, &Config) -> Result<(), Error>;
/// Its name, where it begins, what is done, what fails in it, what is done after the crash, and how it ends.
type Crash<'a> = (&'static str, &'a Appliance, Command, Option<&'static str>, Command, &'static str);

#[test]
fn a_crash_at_any_line_is_gone_on_with() {
    let fresh = Appliance::new(false);
    let forward = config(true);
    let active = fresh.copy();
    active.activate(&Outside::default(), &forward, 2).unwrap();
    let activate: Command = |appliance, outside, config| appliance.activate(outside, config, 2).map(drop);
    let roll_back: Command = |appliance, outside, config| appliance.roll_back(outside, config).map(drop);
    let resume: Command = |appliance, outside, config| appliance.resume(outside, config).map(drop);
    let back = "1 active, 2 retained, 3 staged";
    let cases: [Crash<'_>; 6] = [
        ("forward, again", &fresh, activate, None, activate, NEW),
        ("forward, resume", &fresh, activate, None, resume, NEW),
        ("forward, rollback", &fresh, activate, None, roll_back, OLD),
        ("forward, fails", &fresh, activate, Some("run os"), resume, OLD),
        ("back, again", &active, roll_back, None, roll_back, back),
        ("back, resume", &active, roll_back, None, resume, back),
    ];
    for (name, begin, command, failing, after, end) in cases {
        for patience in 1.. {
            let mut crashes = 0;
            for left in [Left::All, Left::Half, Left::AllButOne] {
                let what = format!("{name}, crash {patience}, {left:?}");
                let appliance = begin.copy();
                let outside = Outside { failing, ..Outside::patient(patience) };
                let cut = command(&appliance, &outside, &forward);
                let is_crash = matches!(&cut, Err(error) if error.class() == Class::Interrupted);
                crashes += usize::from(is_crash);
                if !is_crash || !cut_journal(&appliance.store, left) {
                    continue;
                }
                let on = after(&appliance, &Outside { failing, ..Outside::default() }, &forward);
                let has_ended = UnderWay::of(&appliance.store).unwrap().is_none();
                assert!(has_ended, "{what}: {on:?}");
                // Where the last phase was done already, giving it up comes too late.
                if name == "forward, rollback" && appliance.states() == "1 active, 2 retained, 3 staged" {
                    assert!(on.is_ok(), "{what}: {on:?}");
                } else {
                    assert_eq!(appliance.states(), end, "{what}: {on:?}");
                }
                assert!(appliance.failures().len() <= 1, "{what}: {:?}", appliance.failures());
                appliance.expect_nothing_left(&what);
            }
            if crashes == 0 {
                assert!(patience > 6, "{name}: there were only {patience} places");
                break;
            }
        }
    }
}

/// Cuts the journal as a power cut would; `false` if that leaves nothing of it, as if nothing had begun.
fn cut_journal(store: &Store, left: Left) -> bool {
    let path = store.activation_journal();
    let text = fs::read(&path).unwrap();
    let lines: Vec<&[u8]> = text.split_inclusive(|&byte| byte == b'\n').collect();
    let last = lines.last().unwrap().len();
    let keep = match left {
        Left::All => text.len(),
        Left::Half => text.len() - last / 2,
        Left::AllButOne => text.len() - last,
    };
    // The first line is written beside and renamed: all of it is there, or no journal.
    let is_first = lines.len() == 1 && keep < text.len();
    if !is_first {
        fs::write(&path, &text[..keep]).unwrap();
    }
    !is_first
}

#[test]
fn a_journal_of_another_time() {
    let fresh = Appliance::new(false);
    let config = config(false);
    fresh.activate(&Outside::patient(4), &config, 2).unwrap_err();
    let path = fresh.store.activation_journal();
    let journal = fs::read_to_string(&path).unwrap();
    // A later program adds to an entry what an earlier one can do without.
    let appliance = fresh.copy();
    let more = journal.replace("\"entry\":\"at\"", "\"entry\":\"at\",\"mood\":\"good\"");
    fs::write(appliance.store.activation_journal(), more).unwrap();
    appliance.resume(&Outside::default(), &config).unwrap();
    assert_eq!(appliance.states(), NEW);
    let unknown = [
        (journal.replace("\"phase\":\"serve\"", "\"phase\":\"pray\""), "unknown variant `pray`"),
        (journal.replace("\"entry\":\"at\"", "\"entry\":\"sometimes\""), "unknown variant `sometimes`"),
        (journal.lines().skip(1).collect::<Vec<_>>().join("\n"), "does not say what was begun"),
        (String::new(), "nothing in it"),
        ([journal.as_str(), journal.as_str()].concat(), "begins twice"),
        ([journal.as_str(), &" ".repeat(16 << 20)].concat(), "longer than"),
    ];
    for (text, wanted) in unknown {
        let appliance = fresh.copy();
        let before = appliance.states();
        fs::write(appliance.store.activation_journal(), text).unwrap();
        for result in [
            appliance.resume(&Outside::default(), &config).map(drop),
            appliance.activate(&Outside::default(), &config, 2).map(drop),
            appliance.roll_back(&Outside::default(), &config).map(drop),
        ] {
            let error = result.unwrap_err();
            assert!(
                error.to_string().contains(wanted) && error.code().to_string() == "SL0529",
                "{wanted}: {error}"
            );
        }
        assert_eq!(appliance.states(), before, "{wanted}");
        assert!(appliance.problems().contains(wanted), "{wanted}");
    }
}

#[test]
fn a_configuration_of_another_time() {
    let fresh = Appliance::new(false);
    let config = config(false);
    fresh.activate(&Outside::patient(6), &config, 2).unwrap_err();
    let without = |what: &str| {
        let text: Vec<&str> = CONFIG.lines().filter(|line| !line.contains(what)).collect();
        serde_saphyr::from_str::<Config>(&text.join("\n")).unwrap()
    };
    let error = fresh.copy().roll_back(&Outside::default(), &without("name: os")).unwrap_err();
    assert!(error.to_string().contains("the hook `os`") && error.code().to_string() == "SL0530", "{error}");
    let error = fresh.copy().resume(&Outside::default(), &without("kubeconfig")).unwrap_err();
    assert!(error.to_string().contains("`flux`") && error.code().to_string() == "SL0530", "{error}");
    fresh.resume(&Outside::default(), &config).unwrap();
    assert_eq!(fresh.states(), NEW);
}
