//! Where each phase of an activation fails, and what is refused before the first one.

use sealift_archive::{Class, Explain as _};
use sealift_importer::online::may_activate;

use super::*;

/// A phase that fails, what stands in the log of it, and which calls follow.
const FAILURES: [(&str, &str, &[&str]); 6] = [
    ("flux suspend", "suspend", &["flux resume", "flux poke"]),
    ("run os", "hook `os`", &["undo os 1", "flux resume", "flux poke"]),
    ("run k3s", "hook `k3s`", &["undo k3s 1", "undo os 1", "flux resume", "flux poke"]),
    ("run note", "hook `note`", &["undo k3s 1", "undo os 1", "flux resume", "flux poke"]),
    ("flux poke", "resume", &["flux suspend", "undo k3s 1", "undo os 1", "flux resume", "flux poke"]),
    ("flux ready", "health", &["flux suspend", "undo k3s 1", "undo os 1", "flux resume", "flux poke"]),
];

#[test]
fn what_fails_before_the_point_of_no_return_is_undone() {
    let fresh = Appliance::new(false);
    let config = config(false);
    for (failing, phase, undone) in FAILURES {
        let appliance = fresh.copy();
        let outside = Outside::failing_once(failing);
        let error = appliance.activate(&outside, &config, 2).unwrap_err();
        let Error::Activation(Refusal::WentBack { phase: told, reason, active, .. }) = &error else {
            panic!("{failing}: {error}")
        };
        assert_eq!(told, phase);
        assert_eq!(active.as_ref().unwrap().sequence, number(1), "{failing}");
        assert!(error.hint().unwrap().contains("sealiftctl activate 1.2") && error.class() == Class::Failed);
        let calls = outside.calls();
        let failed_at = calls.iter().position(|call| call.starts_with(failing)).unwrap();
        assert_eq!(calls[..=failed_at], FORWARD[..=failed_at], "{failing}");
        assert_eq!(calls[failed_at + 1..], *undone, "{failing}");
        assert_eq!(appliance.states(), OLD, "{failing}");
        assert_eq!(appliance.failures(), [(phase.to_owned(), reason.clone(), true)], "{failing}");
        let problems = appliance.problems();
        assert!(problems.contains(reason.as_str()) && problems.contains(phase), "{failing}: {problems}");
        appliance.expect_nothing_left(failing);
        appliance.activate(&Outside::default(), &config, 2).unwrap();
        assert_eq!(appliance.states(), NEW, "{failing}, then again");
        assert!(!appliance.problems().contains("failed"), "{failing}: it is forgotten");
    }
}

#[test]
fn what_fails_behind_the_point_of_no_return_stops_until_somebody_decides() {
    let fresh = Appliance::new(false);
    let config = config(true);
    for (failing, phase, undone) in &FAILURES[2..] {
        let stopped = fresh.copy();
        let outside = Outside::failing(failing);
        let error = stopped.activate(&outside, &config, 2).unwrap_err();
        let Error::Activation(Refusal::Stopped { phase: told, reason, is_forward: true, .. }) = &error else {
            panic!("{failing}: {error}")
        };
        assert_eq!(told, phase);
        let hint = error.hint().unwrap();
        assert!(hint.contains("sealiftctl activate 1.2") && hint.contains("sealiftctl rollback"), "{hint}");
        assert!(outside.calls().last().unwrap().starts_with(failing), "nothing was undone");
        assert_eq!(stopped.failures(), [((*phase).to_owned(), reason.clone(), false)]);
        let status = Status::of(&stopped.store).unwrap();
        let problems = status.problems.join("\n");
        assert!(problems.contains(reason.as_str()) && problems.contains(phase), "{failing}: {problems}");
        assert_eq!(status.next, ["sealiftctl activate 1.2", "sealiftctl rollback"]);
        // At the next start, nothing is done without a person.
        let resumed = stopped.resume(&Outside::default(), &config).unwrap_err();
        assert!(matches!(resumed, Error::Activation(Refusal::Stopped { .. })), "{failing}: {resumed}");
        // Another release has to wait.
        let other = stopped.activate(&Outside::default(), &config, 3).unwrap_err();
        assert!(matches!(other, Error::Activation(Refusal::UnderWay { .. })), "{failing}: {other}");

        let again = stopped.copy();
        let outside = Outside::default();
        again.activate(&outside, &config, 2).unwrap();
        let failed_at = FORWARD.iter().position(|call| call.starts_with(failing)).unwrap();
        // Flux goes on and is told to look in one phase.
        let from = if *failing == "flux poke" { failed_at - 1 } else { failed_at };
        assert_eq!(outside.calls(), FORWARD[from..], "{failing}, and on");
        assert_eq!(again.states(), NEW, "{failing}, and on");
        again.expect_nothing_left(failing);

        let back = stopped.copy();
        let outside = Outside::default();
        back.roll_back(&outside, &config).unwrap();
        assert_eq!(outside.calls(), [undone, &["flux ready"][..]].concat(), "{failing}, and back");
        assert_eq!(back.states(), OLD, "{failing}, and back");
        back.expect_nothing_left(failing);
        let is_told = |event: &Event| matches!(event, Event::RolledBack { release, .. } if release.sequence == number(1));
        assert!(back.store.audit().unwrap().iter().any(|record| is_told(&record.event)), "{failing}");
    }
}

#[test]
fn what_fails_on_the_way_back_stops_and_leaves_both_ways_open() {
    let active = Appliance::new(false);
    let config = config(false);
    active.activate(&Outside::default(), &config, 2).unwrap();
    let failures = ["flux suspend", "undo k3s", "undo os", "flux resume", "flux poke", "flux ready"];
    for failing in failures {
        let stopped = active.copy();
        let error = stopped.roll_back(&Outside::failing(failing), &config).unwrap_err();
        let is_back = matches!(&error, Error::Activation(Refusal::Stopped { is_forward: false, .. }));
        assert!(is_back, "{failing}: {error}");
        assert_eq!(stopped.failures().len(), 1, "{failing}");

        let back = stopped.copy();
        back.roll_back(&Outside::default(), &config).unwrap();
        assert_eq!(back.states(), "1 active, 2 retained, 3 staged", "{failing}, and on");
        back.expect_nothing_left(failing);

        let forward = stopped.copy();
        let outside = Outside::default();
        forward.activate(&outside, &config, 2).unwrap();
        assert_eq!(outside.calls(), FORWARD[1..], "{failing}, and forward again");
        assert_eq!(forward.states(), NEW, "{failing}, and forward again");
        forward.expect_nothing_left(failing);
    }
}

#[test]
fn a_way_back_that_fails_by_itself_is_gone_on_with_or_turned_again() {
    let fresh = Appliance::new(false);
    let config = config(false);
    let stuck = fresh.copy();
    // The health gate fails, and then a step on the way back.
    let outside = Outside { also_failing: Some("undo k3s"), ..Outside::failing("flux ready") };
    let error = stuck.activate(&outside, &config, 2).unwrap_err();
    assert!(matches!(&error, Error::Activation(Refusal::Stopped { is_forward: false, .. })), "{error}");
    assert_eq!(stuck.failures().len(), 1);
    let problems = stuck.problems();
    assert!(problems.contains("undo k3s 1 does not work") && problems.contains("phase health"), "{problems}");

    let back = stuck.copy();
    let error = back.roll_back(&Outside::default(), &config).unwrap_err();
    assert!(
        matches!(&error, Error::Activation(Refusal::WentBack { .. })),
        "it ends as it would have: {error}"
    );
    assert_eq!(back.states(), OLD);
    back.expect_nothing_left("back");

    let forward = stuck.copy();
    forward.activate(&Outside::default(), &config, 2).unwrap();
    assert_eq!(forward.states(), NEW);
    forward.expect_nothing_left("forward");
}

#[test]
fn a_second_turn_forgets_nothing_that_was_begun() {
    let appliance = Appliance::new(false);
    let config = config(false);
    let outside = Outside { also_failing: Some("undo k3s"), ..Outside::failing("flux ready") };
    appliance.activate(&outside, &config, 2).unwrap_err();
    appliance.activate(&Outside::failing("flux suspend"), &config, 2).unwrap_err();
    let outside = Outside::default();
    appliance.roll_back(&outside, &config).unwrap();
    assert_eq!(outside.calls(), BACK);
    assert_eq!(appliance.states(), OLD);
    appliance.expect_nothing_left("back");
}

#[test]
fn an_import_leaves_what_has_stopped_to_a_person() {
    let fresh = Appliance::new(false);
    let config = config(true);
    fresh.activate(&Outside::failing("flux ready"), &config, 2).unwrap_err();
    let two = Offer::new(&ACME, 2, contents(2..3, 10));
    let three = Offer::new(&ACME, 3, contents(3..4, 10));
    let activations = |appliance: &Appliance, offer: &Offer| {
        let planned = plan(&appliance.store, offer, true)?;
        Ok::<_, Error>(planned.activations.iter().map(|one| one.to.sequence.get()).collect::<Vec<_>>())
    };
    let expect_refused = |appliance: &Appliance, offer: &Offer, what: &str| {
        let refused = activations(appliance, offer).unwrap_err();
        assert!(matches!(&refused, Error::Activation(Refusal::UnderWay { .. })), "{what}: {refused}");
        assert_eq!(
            plan(&appliance.store, offer, false).unwrap().activations.len(),
            0,
            "{what}: it is only staged"
        );
    };
    expect_refused(&fresh, &three, "forward");
    assert_eq!(activations(&fresh, &two).unwrap(), [2], "the same command goes on");
    let statement = three.release.digest();
    assert!(!may_activate(&fresh.store, &statement));

    let turned = fresh.copy();
    turned.roll_back(&Outside::failing("flux suspend"), &config).unwrap_err();
    expect_refused(&turned, &three, "back");
    let before = fs::read(turned.store.activation_journal()).unwrap();
    assert!(activations(&turned, &two).unwrap_or_default().is_empty(), "the rollback is not turned round");
    assert_eq!(fs::read(turned.store.activation_journal()).unwrap(), before);
    turned.roll_back(&Outside::default(), &config).unwrap();
    assert!(may_activate(&turned.store, &statement));
    assert_eq!(activations(&turned, &three).unwrap(), [2, 3]);

    // What was only interrupted is gone on with by the same command, also on the way to a later release.
    let interrupted = Appliance::new(false);
    interrupted.activate(&Outside::patient(4), &config, 2).unwrap_err();
    assert_eq!(activations(&interrupted, &three).unwrap(), [2, 3]);
}

#[test]
fn flux_that_is_away_or_refuses_is_known_before_anything_changes() {
    let fresh = Appliance::new(false);
    let text: Vec<&str> = CONFIG.lines().filter(|line| !line.contains("preflight")).collect();
    let config: Config = serde_saphyr::from_str(&text.join("\n")).unwrap();
    let appliance = fresh.copy();
    let outside = Outside { also_failing: Some("flux resume"), ..Outside::failing("flux check") };
    let error = appliance.activate(&outside, &config, 2).unwrap_err();
    assert!(matches!(&error, Error::Activation(Refusal::Preflight { .. })), "{error}");
    assert_eq!((outside.calls(), appliance.states().as_str()), (vec!["flux check".to_owned()], OLD));
    appliance.expect_nothing_left("it is away");

    // It goes away just then: nothing was suspended, so nothing has to be resumed.
    let away = || Outside {
        also_failing: Some("flux resume"),
        is_untouched: true,
        ..Outside::failing("flux suspend")
    };
    let appliance = fresh.copy();
    let error = appliance.activate(&away(), &config, 2).unwrap_err();
    assert!(matches!(&error, Error::Activation(Refusal::WentBack { .. })), "{error}");
    assert_eq!(appliance.states(), OLD);
    appliance.expect_nothing_left("it went away");

    // Unless what ran before a crash may have suspended something.
    let appliance = fresh.copy();
    let interrupted = appliance.activate(&Outside::patient(2), &config, 2).unwrap_err();
    assert_eq!(interrupted.class(), Class::Interrupted);
    let error = appliance.resume(&away(), &config).unwrap_err();
    assert!(matches!(&error, Error::Activation(Refusal::Stopped { .. })), "{error}");
}

#[test]
fn a_preflight_check_that_says_no_changes_nothing() {
    let appliance = Appliance::new(false);
    let text = CONFIG.replace("[/bin/true]", "[/bin/sh, -c, \"echo no room for $SEALIFT_VERSION; exit 1\"]");
    let config: Config = serde_saphyr::from_str(&text).unwrap();
    let before = appliance.store.stamp().unwrap();
    let outside = Outside::default();
    let error = appliance.activate(&outside, &config, 2).unwrap_err();
    assert!(matches!(&error, Error::Activation(Refusal::Preflight { .. })), "{error}");
    assert_eq!((error.code().to_string().as_str(), error.class()), ("SL0525", Class::Refused));
    assert!(error.to_string().ends_with("`disk`: no room for 1.2 (exit status: 1)"), "{error}");
    assert_eq!(outside.calls(), [""; 0]);
    assert_eq!(appliance.store.stamp().unwrap(), before);
    assert_eq!(appliance.failures()[0].0, "preflight");
    assert!(appliance.problems().contains("no room for 1.2"));
    appliance.expect_nothing_left("preflight");
}

#[test]
fn the_first_activation_is_undone_to_nothing() {
    let fresh = Appliance::new(true);
    let config = config(false);
    let appliance = fresh.copy();
    let outside = Outside::failing("flux ready");
    let error = appliance.activate(&outside, &config, 2).unwrap_err();
    assert!(matches!(&error, Error::Activation(Refusal::WentBack { active: None, .. })), "{error}");
    assert!(outside.calls().contains(&"undo os -".to_owned()));
    assert_eq!(appliance.states(), fresh.states());
    appliance.expect_nothing_left("nothing");

    let appliance = fresh.copy();
    let interrupted = appliance.activate(&Outside::patient(6), &config, 2).unwrap_err();
    assert_eq!(interrupted.class(), Class::Interrupted);
    let done = appliance.roll_back(&Outside::default(), &config).unwrap();
    assert_eq!(done.to, None);
    assert_eq!(appliance.states(), fresh.states());
    appliance.expect_nothing_left("given up");
}
