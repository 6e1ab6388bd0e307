//! Where a run stops, who goes back, who is left aside, and that Flux is never left held.

use super::*;

fn others(node: usize) -> Vec<usize> {
    (0..NODES).filter(|other| *other != node).collect()
}

impl World {
    /// Nothing more happens, and this is agreed on.
    fn expect_stopped(&mut self, phase: Phase, active: [Option<u64>; 3]) {
        self.rounds(&[0, 1, 2], 20);
        let (agreed, before) = (self.agreed(), self.api.borrow().now.snapshot.lease.clone());
        assert!(agreed.is_stopped && agreed.phase == phase, "{agreed:?}");
        assert!(agreed.reason.as_deref().is_some_and(|reason| reason.contains("no")), "{agreed:?}");
        assert_eq!(self.active(), active);
        assert_eq!(before.and_then(|lease| lease.value.holder), None, "nobody has to coordinate");
    }

    fn hindrance(&self, node: usize) -> Option<String> {
        self.api.borrow().now.snapshot.reports[&name(node)].value.hindrance().map(str::to_owned)
    }
}

#[test]
fn behind_a_point_of_no_return_all_stops_until_a_person_decides() {
    // What the person asks for; without consent to go back, only forward.
    for (wanted, has_consent) in [(2, false), (1, true)] {
        let mut world = World::settled_with_points();
        world.ask(0, 2);
        world.until_switching(1);
        world.happen(Happens::Finish(1, End::CannotBehind));
        world.expect_stopped(Phase::Activating, [Some(2), Some(1), Some(1)]);
        assert!(world.is_flux_held, "nodes answer with different releases");
        world.happen(Happens::Wish(0, wanted, has_consent));
        world.rounds(&[0, 1, 2], 40);
        world.is_settled().expect("a person has decided");
        assert_eq!(world.active(), [Some(wanted); 3]);
    }
}

#[test]
fn a_last_look_that_fails_stops_all_behind_a_point_of_no_return() {
    for (has_point, active) in [(true, 2), (false, 1)] {
        let mut world = World::settled();
        world.nodes[1].store.has_point = has_point;
        world.ask(0, 2);
        let leader = world.until(&[0, 1, 2], |_, work| matches!(work, Work::Check { .. }));
        assert!(!world.is_flux_held, "it looks");
        world.happen(Happens::Finish(leader, End::Cannot));
        if has_point {
            world.expect_stopped(Phase::Settling, [Some(2); 3]);
        }
        world.rounds(&[0, 1, 2], 40);
        assert_eq!((world.active(), world.is_flux_held), (vec![Some(active); 3], false));
    }
}

#[test]
fn before_a_point_of_no_return_all_go_back_by_themselves() {
    let mut world = World::settled_with_points();
    world.ask(0, 2);
    world.until_switching(0);
    world.happen(Happens::Finish(0, End::Cannot));
    world.rounds(&[0, 1, 2], 40);
    world.is_settled().expect("nobody has to be asked");
    assert_eq!((world.active(), world.agreed().is_return), (vec![Some(1); 3], true));
}

#[test]
fn a_mute_node_that_has_passed_its_point_of_no_return_is_not_led_back_unasked() {
    let mut world = World::settled_with_points();
    world.ask(1, 2);
    world.until_switching(0);
    world.happen(Happens::Cut(0));
    world.happen(Happens::Finish(0, End::Done));
    world.happen(Happens::Wait(Times::default().switch.as_secs()));
    world.until(&[1, 2], |at, work| at == 1 && matches!(work, Work::Switch { .. }));
    world.happen(Happens::Finish(1, End::Cannot));
    world.rounds(&[1, 2], 40);
    assert_eq!((world.agreed().release, world.agreed().phase), (release(1), Phase::Active));
    world.happen(Happens::Join(0));
    world.rounds(&[0, 1, 2], 20);
    assert_eq!(world.active(), [Some(2), Some(1), Some(1)]);
    assert_eq!(world.hindrance(0).as_deref(), Some("nobody has asked for it"));
    world.happen(Happens::Wish(1, 1, true));
    world.rounds(&[0, 1, 2], 40);
    world.is_settled().expect("somebody has");
    assert_eq!(world.active(), [Some(1); 3]);
}

#[test]
fn a_node_that_is_behind_does_not_turn_all_back_unasked() {
    let mut world = World::settled_with_points();
    world.ask(0, 3);
    world.settle();
    world.happen(Happens::Replace(2));
    world.happen(Happens::Import(2, 1));
    let agreed = world.agreed();
    world.happen(Happens::Wish(2, 1, false));
    assert_eq!(world.agreed(), agreed, "it runs nothing, so that is no way back for itself");
    world.settle();
    assert_eq!(world.active(), [Some(3); 3]);
}

#[test]
fn a_first_run_that_comes_to_nothing_lets_flux_go() {
    for (how, phase) in [(End::Cannot, Phase::GivingUp), (End::CannotBehind, Phase::Activating)] {
        let mut world = World::empty();
        world.nodes[1].store.has_point = true;
        world.happen(Happens::Wish(0, 1, false));
        world.until_switching(1);
        assert!(world.is_flux_held);
        world.happen(Happens::Finish(1, how));
        world.expect_stopped(phase, [Some(1), None, None]);
        assert_eq!(world.is_flux_held, how == End::CannotBehind);
        world.happen(Happens::Wish(0, 1, false));
        world.rounds(&[0, 1, 2], 40);
        world.is_settled().expect("it works at last");
    }
}

#[test]
fn a_first_run_that_is_taken_back_while_flux_is_held_lets_it_go() {
    let mut world = World::empty();
    world.happen(Happens::Wish(0, 1, false));
    let leader = world.until(&[0, 1, 2], |_, work| matches!(work, Work::HoldFlux { .. }));
    let ended = world.agreed().taken_back().expect("nothing has changed for anybody");
    world.api.borrow_mut().agree(ended);
    world.rounds(&others(leader), 5);
    world.happen(Happens::Finish(leader, End::Done));
    assert!(world.is_flux_held);
    world.rounds(&[0, 1, 2], 20);
    assert!(world.agreed().is_stopped && !world.is_flux_held);
}

#[test]
fn whoever_holds_flux_too_late_lets_it_go() {
    // It goes on, or is ended in the middle and begins anew.
    for is_ended in [false, true] {
        let mut world = World::settled();
        world.ask(0, 2);
        let leader = world.until(&[0, 1, 2], |_, work| matches!(work, Work::HoldFlux { .. }));
        let others = others(leader);
        world.happen(Happens::Wait(Times::default().live.as_secs()));
        world.rounds(&others, 40);
        assert_eq!((world.agreed().phase, world.is_flux_held), (Phase::Active, false));
        if is_ended {
            world.happen(Happens::Crash(leader, true));
            world.happen(Happens::Start(leader));
        } else {
            world.happen(Happens::Finish(leader, End::Done));
        }
        assert!(world.is_flux_held);
        world.rounds(&[leader], 3);
        assert!(!world.is_flux_held, "nobody else would let it go");
    }
}

#[test]
fn whoever_lets_flux_go_too_late_holds_it_again() {
    let mut world = World::settled();
    world.ask(0, 2);
    let leader = world.until(&[0, 1, 2], |_, work| matches!(work, Work::FreeFlux { .. }));
    let others = others(leader);
    world.happen(Happens::Wait(Times::default().live.as_secs()));
    world.rounds(&others, 20);
    assert_eq!(world.agreed().phase, Phase::Active);
    world.ask(others[0], 3);
    world.until(&others, |_, work| matches!(work, Work::Switch { .. }));
    world.happen(Happens::Finish(leader, End::Done));
    assert!(!world.is_flux_held);
    world.rounds(&[leader], 1);
    assert!(world.is_flux_held, "nodes are switching");
    world.settle();
    assert_eq!(world.active(), [Some(3); 3]);
}

#[test]
fn nobody_answers_with_the_release_before_once_flux_is_let_go() {
    let mut world = World::settled();
    world.rounds(&[0, 1, 2], 1);
    world.happen(Happens::Crash(2, false));
    world.ask(0, 2);
    world.happen(Happens::Wait(Times::default().live.as_secs()));
    world.until(&[0, 1], |_, work| matches!(work, Work::FreeFlux { .. }));
    world.happen(Happens::Start(2));
    world.happen(Happens::Step(2, Luck::Good));
    let heard = world.nodes[2].store.heard.borrow().clone().expect("it was told");
    assert_eq!((heard.phase, heard.served().cloned().collect()), (Phase::Settling, vec![release(2)]));
    world.settle();
    assert_eq!(world.active(), [Some(2); 3]);
}

#[test]
fn a_node_that_is_ahead_is_left_aside() {
    let mut world = World::settled();
    world.nodes[0].store = Store::of(&[1, 2, 4], Some(4));
    world.ask(1, 2);
    world.rounds(&[0, 1, 2], 40);
    assert_eq!(world.active(), [Some(4), Some(2), Some(2)]);
    assert_eq!((world.agreed().run, world.agreed().phase), (2, Phase::Active));
    assert!(world.hindrance(0).expect("it says why").contains("1.4"));
    world.happen(Happens::Wish(0, 4, false));
    world.settle();
    assert_eq!((world.active(), world.hindrance(0)), (vec![Some(4); 3], None));
}

#[test]
fn while_a_run_only_stages_a_node_that_is_ahead_answers_nobody_and_stops_nothing() {
    // Somebody cannot have the release, or Flux cannot be held still.
    for is_flux in [false, true] {
        let mut world = World::settled();
        world.nodes[0].store = Store { has_point: true, ..Store::of(&[1, 3], Some(3)) };
        world.happen(Happens::Wish(0, 3, false));
        let at = world.until(&[0, 1, 2], |_, work| match work {
            Work::HoldFlux { .. } => is_flux,
            work => !is_flux && matches!(work, Work::Stage { .. }),
        });
        let served: Vec<_> = world.agreed().served().cloned().collect();
        assert_eq!((world.agreed().phase, served), (Phase::Staging, vec![release(1)]));
        world.happen(Happens::Finish(at, End::Cannot));
        world.rounds(&[0, 1, 2], 60);
        let agreed = world.agreed();
        assert_eq!((&agreed.release, agreed.phase), (&release(1), Phase::Active), "{agreed:?}");
        assert_eq!((world.active(), world.is_flux_held), (vec![Some(3), Some(1), Some(1)], false));
        world.ask(1, 3);
        world.settle();
        assert_eq!(world.active(), [Some(3); 3]);
    }
}

#[test]
fn a_trial_that_stops_before_it_begins_lets_flux_go() {
    let mut world = World::settled();
    world.nodes[1].store.has_point = true;
    world.ask(0, 2);
    let leader = world.until(&[0, 1, 2], |_, work| matches!(work, Work::Check { .. }));
    world.happen(Happens::Finish(leader, End::Cannot));
    world.expect_stopped(Phase::Settling, [Some(2); 3]);
    world.happen(Happens::Wish(0, 2, false));
    let leader = world.until(&[0, 1, 2], |_, work| matches!(work, Work::HoldFlux { .. }));
    world.happen(Happens::Finish(leader, End::Cannot));
    world.expect_stopped(Phase::Staging, [Some(2); 3]);
    assert!(!world.is_flux_held);
}

#[test]
fn on_the_way_back_nobody_waits_for_what_may_pass() {
    // A node never got the release before, or its store is locked for hours.
    for is_locked in [false, true] {
        let mut world = World::settled();
        for node in 0..NODES {
            world.happen(Happens::Import(node, 2));
        }
        world.happen(Happens::Wish(0, 2, false));
        world.until_switching(1);
        world.nodes[2].store = if is_locked { Store::of(&[1, 2], Some(2)) } else { Store::of(&[2], None) };
        world.happen(Happens::Finish(1, End::Cannot));
        for _ in 0..60 {
            for node in 0..NODES {
                world.happen(Happens::Step(node, Luck::Good));
                let is_hindered =
                    node == 2 && world.nodes[2].work.as_ref().is_some_and(|work| !work.is_coordination());
                world.happen(Happens::Finish(node, if is_hindered { End::Fails } else { End::Done }));
            }
        }
        assert_eq!((world.agreed().release, world.agreed().phase), (release(1), Phase::Active));
        assert_eq!((&world.active()[..2], world.is_flux_held), (&[Some(1); 2][..], false));
        world.settle();
        assert_eq!(world.active(), [Some(1); 3], "it catches up");
    }
}

#[test]
fn whoever_begins_anew_lets_flux_go_and_does_not_make_it_look() {
    let mut world = World::settled();
    for node in 0..NODES {
        world.happen(Happens::Crash(node, false));
        world.happen(Happens::Start(node));
    }
    for node in 0..NODES {
        world.happen(Happens::Step(node, Luck::Good));
        let work = &world.nodes[node].work;
        assert!(
            matches!(work, Some(Work::ResumeFlux { .. })),
            "all at once, and none in another's way: {work:?}"
        );
    }
    world.settle();
}

#[test]
fn flux_is_let_go_once_what_was_agreed_on_is_removed() {
    let mut world = World::settled();
    world.ask(0, 2);
    world.until_switching(1);
    assert!(world.is_flux_held);
    world.api.borrow_mut().now.snapshot.agreement = None;
    world.rounds(&[0, 1, 2], 40);
    assert!(!world.is_flux_held, "{:?}", world.active());
}

#[test]
fn what_keeps_flux_from_being_let_go_is_told_and_tried_again() {
    let mut world = World::settled();
    world.ask(0, 2);
    let leader = world.until(&[0, 1, 2], |_, work| matches!(work, Work::FreeFlux { .. }));
    world.happen(Happens::Finish(leader, End::Cannot));
    world.happen(Happens::Step(leader, Luck::Good));
    assert_eq!((world.hindrance(leader).as_deref(), world.is_flux_held), (Some("no"), true));
    world.settle();
    assert_eq!((world.active(), world.is_flux_held), (vec![Some(2); 3], false));
}

#[test]
fn two_machines_of_one_name_do_not_both_act() {
    let mut world = World::settled();
    let twin = Store { boot: 99, ..Store::of(&[1], Some(1)) };
    world.nodes.push(Node { store: twin, ..Node::new(1) });
    world.step(3, Luck::Good).expect("it may be there in the place of another");
    world.happen(Happens::Finish(3, End::Done));
    world.ask(0, 2);
    for _ in 0..5 {
        world.rounds(&[0, 2, 3], 1);
        let error = world.step(1, Luck::Good).expect_err("somebody else reports in its name");
        assert!(error.to_string().contains("node-1"), "{error}");
    }
    assert_eq!(world.nodes[1].store.heard.borrow().as_ref(), Some(&world.agreed()), "it hears all the same");
    assert!(world.nodes[1].work.is_none());
    // The other one is switched off.
    world.nodes.truncate(NODES);
    world.happen(Happens::Wait(Times::default().switch.as_secs()));
    world.settle();
    assert_eq!(world.active(), [Some(2); NODES]);
}
