//! Which steps are possible, what each does, and what must hold in every world that they lead to.

use stateright::{Model, Property};

use crate::rules::{Configuration, LIMIT};
use crate::state::{At, Database, Fault, Job, World};
use crate::steps::{Ended, Place, Steps};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Time passes.
    Tick,
    /// The primary dies, or is cut off. The standby with this number takes over; `None`: one that has all.
    FailOver(Option<usize>),
    /// The delivery dies. Its command does not.
    Kill(Place),
    Lock(Place),
    /// Begin, decide, write and commit.
    Transaction(Place, Ended),
    Retry(Place, Ended),
    Execute(Place),
    Finish(Place, Ended),
    Own(Place),
    EndDelivery(Place),
    Prune,
}

impl Model for Configuration {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let (requests, nodes) = (self.requests.len(), self.clocks.len());
        let database = Database {
            stored: 0,
            watermark: None,
            lost_until: None,
            quiet_until: None,
            rows: vec![None; requests],
            locks: vec![None; requests],
        };
        vec![World {
            now: 0,
            timeline: 0,
            standbys: vec![database.clone()],
            database,
            failovers: 0,
            kills: 0,
            doubts: 0,
            jobs: vec![vec![Job { at: At::Queued, attempt: 0, written: 0 }; nodes]; requests],
            runs: Vec::new(),
            began: vec![0; requests],
            sent: vec![Vec::new(); requests],
            fault: None,
        }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        if world.fault.is_some() {
            return;
        }
        if world.now < self.end {
            actions.push(Action::Tick);
        }
        if world.failovers < self.failovers {
            actions.push(Action::FailOver(None));
            actions.extend((0..world.standbys.len()).map(|number| Action::FailOver(Some(number))));
        }
        if self.prunes {
            actions.push(Action::Prune);
        }
        let ends = |world: &World| match (world.doubts < self.doubts, self.synchronous) {
            (false, _) => &Ended::ALL[..1],
            (true, false) => &Ended::ALL[..4],
            (true, true) => &Ended::ALL[..],
        };
        for (request, jobs) in world.jobs.iter().enumerate() {
            for (node, job) in jobs.iter().enumerate() {
                let place = Place { request, node };
                let with_ends =
                    |action: fn(Place, Ended) -> Action| ends(world).iter().map(move |end| action(place, *end));
                match job.at {
                    At::Queued if job.attempt < self.attempts => actions.push(Action::Lock(place)),
                    At::Queued | At::Consumed => continue,
                    At::Locked => actions.extend(with_ends(Action::Transaction)),
                    At::Waiting => actions.extend(with_ends(Action::Retry)),
                    At::Admitted(_) => actions.push(Action::Execute(place)),
                    At::Running | At::NotBegun => actions.extend(with_ends(Action::Finish)),
                    At::Stored(_) | At::Marked(_) => actions.push(Action::Own(place)),
                    At::Sent(_) => actions.push(Action::EndDelivery(place)),
                }
                if world.kills < self.kills && job.at != At::Queued {
                    actions.push(Action::Kill(place));
                }
            }
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        let mut steps = Steps { is: self, world: &mut next };
        match action {
            Action::Tick => {
                steps.world.now += 1;
                let now = steps.world.now;
                steps.world.runs.retain(|run| run.since + LIMIT >= now);
            }
            Action::FailOver(standby) => steps.fail_over(standby),
            Action::Kill(place) => {
                steps.world.kills += 1;
                steps.leave(place);
            }
            Action::Lock(place) => steps.lock(place),
            Action::Transaction(place, end) => steps.transaction(place, end, false),
            Action::Retry(place, end) => steps.transaction(place, end, true),
            Action::Execute(place) => steps.execute(place),
            Action::Finish(place, end) => steps.finish(place, end),
            Action::Own(place) => steps.send_own(place),
            Action::EndDelivery(place) => steps.end_delivery(place),
            Action::Prune => steps.prune(),
        }
        (next != *world).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        fn free_of(world: &World, fault: Fault) -> bool {
            world.fault != Some(fault)
        }
        vec![
            Property::always("a request runs at most once", |_, world: &World| free_of(world, Fault::RanTwice)),
            Property::always("exclusive runs do not overlap", |_, world: &World| free_of(world, Fault::Overlap)),
            Property::always("no reply is lost", |_, world: &World| free_of(world, Fault::NoReply)),
            Property::always("replies do not contradict", |_, world: &World| free_of(world, Fault::TwoAnswers)),
            Property::always("nothing begins after its answer", |_, world: &World| {
                free_of(world, Fault::BegunAfterAnswer)
            }),
            Property::sometimes("all is served", |_, world: &World| {
                world.began.iter().all(|began| *began == 1)
                    && world.jobs.iter().all(|jobs| jobs.iter().all(|job| job.at == At::Consumed))
            }),
        ]
    }
}
