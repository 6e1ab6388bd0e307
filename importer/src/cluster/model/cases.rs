//! Mishaps at random, and those that are worth a name.

use proptest::prelude::*;

use super::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_ends_well(
        is_empty in any::<bool>(),
        points in proptest::collection::vec(any::<bool>(), NODES),
        happenings in proptest::collection::vec(happening(), 0..160),
    ) {
        let mut world = if is_empty { World::empty() } else { World::new() };
        for (node, has_point) in world.nodes.iter_mut().zip(points) {
            node.store.has_point = has_point;
        }
        for what in happenings {
            world.happen(what);
        }
        // Somebody has what is agreed on, or nobody could ever get it.
        let agreed = world.api.borrow().now.snapshot.agreement.clone().map(|agreed| agreed.value);
        let (wanted, from) = agreed.map_or((1, None), |agreed| (agreed.release.sequence.get(), agreed.from));
        let here = &mut world.nodes[0].store.here;
        here.extend([1, wanted].into_iter().chain(from.map(|from| from.sequence.get())));
        world.happen(Happens::Wish(0, wanted, false));
        world.settle();
    }
}

#[test]
fn nodes_that_join_take_what_runs() {
    let world = World::settled();
    assert_eq!(world.active(), [Some(1); 3]);
    assert_eq!((world.agreed().run, world.agreed().phase), (1, Phase::Active));
}

#[test]
fn a_wish_reaches_all_nodes() {
    let mut world = World::settled();
    world.ask(1, 2);
    world.settle();
    assert_eq!(world.active(), [Some(2); 3]);
    assert_eq!(world.agreed().from, Some(release(1)));
}

#[test]
fn a_dead_node_is_not_waited_for_and_catches_up() {
    let mut world = World::settled();
    // All have said that they are done.
    world.rounds(&[0, 1, 2], 1);
    world.happen(Happens::Crash(2, false));
    world.ask(0, 2);
    world.rounds(&[0, 1], 5);
    assert_eq!(world.agreed().phase, Phase::Staging, "it was there a moment ago");
    world.happen(Happens::Wait(60));
    world.rounds(&[0, 1], 20);
    assert_eq!(world.active(), [Some(2), Some(2), Some(1)]);
    assert_eq!(world.agreed().phase, Phase::Active);
    world.happen(Happens::Start(2));
    world.happen(Happens::Step(2, Luck::Good));
    let heard = world.nodes[2].store.heard.borrow().clone().expect("it was told");
    assert!(heard.served().all(|served| *served != release(1)), "it does not answer with what it runs");
    world.settle();
    assert_eq!(world.active(), [Some(2); 3]);
}

#[test]
fn a_node_that_came_back_in_the_middle_does_not_lead() {
    let mut world = World::settled();
    world.rounds(&[0, 1, 2], 1);
    world.happen(Happens::Crash(2, false));
    world.ask(0, 2);
    world.happen(Happens::Wait(60));
    while world.active() != [Some(2), Some(2), Some(1)] {
        world.rounds(&[0, 1], 1);
    }
    // They say so, and fall mute before they have looked whether all is well.
    world.happen(Happens::Step(1, Luck::Good));
    world.happen(Happens::Crash(0, false));
    world.happen(Happens::Cut(1));
    assert_eq!(world.agreed().phase, Phase::Activating);
    world.happen(Happens::Start(2));
    world.happen(Happens::Step(2, Luck::Good));
    world.happen(Happens::Wait(Times::default().lease.as_secs()));
    world.rounds(&[2], 5);
    let holder = world.api.borrow().now.snapshot.lease.as_ref().and_then(|lease| lease.value.holder.clone());
    assert_ne!(holder.as_deref(), Some("node-2"), "it cannot see the run to its end");
    world.settle();
    assert_eq!(world.active(), [Some(2); 3]);
}

#[test]
fn what_a_node_cannot_do_turns_all_round() {
    let mut world = World::settled();
    world.ask(0, 2);
    world.until_switching(1);
    assert_eq!(world.active(), [Some(2), Some(1), Some(1)], "one after the other");
    world.happen(Happens::Finish(1, End::Cannot));
    world.settle();
    assert_eq!(world.active(), [Some(1); 3]);
    assert_eq!(world.agreed().reason.as_deref(), Some("node node-1: no"));
}

#[test]
fn a_report_that_cannot_be_read_is_written_anew_and_stops_nobody() {
    let mut world = World::settled();
    {
        let snapshot = &mut world.api.borrow_mut().now.snapshot;
        for node in [1, 2] {
            let Versioned { version, .. } = snapshot.reports.remove(&name(node)).expect("it was told");
            let value = "no JSON".to_owned();
            snapshot.unreadable.insert(name(node).object(), Versioned { version, value });
        }
    }
    world.ask(0, 2);
    world.happen(Happens::Crash(2, false));
    world.rounds(&[0, 1], 20);
    assert_eq!(world.active(), [Some(2), Some(2), Some(1)]);
    world.settle();
    assert_eq!(world.active(), [Some(2); 3]);
    assert!(world.api.borrow().now.snapshot.unreadable.is_empty());
}

#[test]
fn a_way_back_that_no_node_can_go_is_ended_by_a_wish() {
    let mut world = World::new();
    world.happen(Happens::Import(0, 2));
    world.settle();
    world.happen(Happens::Wish(0, 2, true));
    world.settle();
    world.happen(Happens::Wish(0, 1, true));
    for _ in 0..40 {
        for node in 0..NODES {
            world.happen(Happens::Step(node, Luck::Good));
            let is_switch = matches!(world.nodes[node].work, Some(Work::Switch { .. }));
            world.happen(Happens::Finish(node, if is_switch { End::Cannot } else { End::Done }));
        }
    }
    assert_eq!((world.active(), world.agreed().phase), (vec![Some(2); 3], Phase::Activating));
    world.happen(Happens::Wish(0, 2, true));
    world.settle();
    assert_eq!((world.active(), world.agreed().release), (vec![Some(2); 3], release(2)));
    assert!(world.nodes.iter().all(|node| node.store.begun.is_none()), "what was begun is ended");
}

#[test]
fn a_node_whose_disk_is_full_says_so_and_changes_nothing() {
    let mut world = World::settled();
    world.nodes[1].store.is_full = true;
    world.ask(0, 2);
    world.rounds(&[0, 1, 2], 40);
    let told = world.api.borrow().now.snapshot.reports[&name(1)].value.hindrance().map(str::to_owned);
    assert_eq!((told, world.agreed().phase), (Some(mishap().to_string()), Phase::Staging));
    world.nodes[1].store.is_full = false;
    world.settle();
    assert_eq!(world.active(), [Some(2); 3]);
}

#[test]
fn what_a_run_waited_for_is_forgotten_with_it() {
    let mut world = World::settled();
    world.ask(0, 2);
    while !matches!(world.nodes[1].work, Some(Work::Stage { .. })) {
        world.rounds(&[0], 1);
        world.happen(Happens::Step(1, Luck::Good));
    }
    world.happen(Happens::Finish(1, End::Fails));
    let told = |world: &World| {
        world.api.borrow().now.snapshot.reports[&name(1)].value.hindrance().map(str::to_owned)
    };
    world.happen(Happens::Step(1, Luck::Good));
    assert_eq!(told(&world).as_deref(), Some("later"));
    world.happen(Happens::Wish(0, 1, true));
    world.happen(Happens::Step(1, Luck::Good));
    assert_eq!(told(&world), None);
}

#[test]
fn on_the_way_back_one_node_switches_after_the_other() {
    let mut world = World::new();
    world.happen(Happens::Import(0, 2));
    world.settle();
    world.happen(Happens::Wish(0, 2, true));
    world.settle();
    world.happen(Happens::Wish(0, 1, true));
    for _ in 0..100 {
        (0..NODES).for_each(|node| world.happen(Happens::Step(node, Luck::Good)));
        let switches = |node: &&Node| matches!(node.work, Some(Work::Switch { .. }));
        assert!(world.nodes.iter().filter(switches).count() < 2, "etcd keeps its quorum");
        (0..NODES).for_each(|node| world.happen(Happens::Finish(node, End::Done)));
    }
    assert_eq!(world.active(), [Some(1); 3]);
}

#[test]
fn without_kubernetes_nothing_changes() {
    let mut world = World::settled();
    world.ask(0, 2);
    for node in 0..NODES {
        world.happen(Happens::Cut(node));
    }
    world.rounds(&[0, 1, 2], 50);
    assert_eq!(world.active(), [Some(1); 3]);
    assert_eq!(world.agreed().phase, Phase::Staging);
}

#[test]
fn a_node_whose_kubernetes_is_down_while_it_switches_is_waited_for() {
    let mut world = World::settled();
    world.ask(2, 2);
    world.until_switching(0);
    world.happen(Happens::Cut(0));
    world.happen(Happens::Wait(2 * Times::default().live.as_secs()));
    world.rounds(&[1, 2], 20);
    assert_eq!(world.active(), [Some(1); 3], "two members of etcd are not taken at once");
    world.happen(Happens::Finish(0, End::Done));
    world.happen(Happens::Join(0));
    world.settle();
    assert_eq!(world.active(), [Some(2); 3]);

    // But not for ever.
    world.ask(2, 3);
    world.until_switching(0);
    world.happen(Happens::Crash(0, false));
    world.happen(Happens::Wait(Times::default().switch.as_secs()));
    world.rounds(&[1, 2], 20);
    assert_eq!(world.active(), [Some(2), Some(3), Some(3)]);
    world.settle();
    assert_eq!(world.active(), [Some(3); 3]);
}
