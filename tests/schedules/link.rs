//! The way between a node and Redis, and how long what goes over it takes.

use crate::random::Random;
use std::time::Duration;

/// What a way is like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Link {
    Whole,
    /// Nothing passes, and nobody is told.
    Silent,
    /// The same, and who connects anew is refused.
    Refused,
    /// The node's process is dead.
    Gone,
}

/// What becomes of a connection that is cut, on Redis's side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Cut {
    /// What was on its way to Redis is lost, and Redis knows that the connection is closed.
    Lost,
    /// What was on its way arrives, then Redis knows.
    Arrives,
    /// The same, and Redis never hears that it is closed.
    HalfOpen,
}

impl Cut {
    pub(crate) fn any(random: &mut Random) -> Cut {
        [Cut::Lost, Cut::Arrives, Cut::HalfOpen][random.below(3) as usize]
    }
}

/// How long things take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    /// In how many of 100 cases something takes a while at all.
    pub(crate) often: u64,
    /// How long at most, in ms.
    pub(crate) most: u64,
    /// In how many of 1000 cases it takes much longer.
    pub(crate) rarely: u64,
    /// How long then at most, in ms.
    pub(crate) longest: u64,
}

impl Weather {
    pub(crate) fn any(random: &mut Random) -> Weather {
        let kinds = [
            Weather { often: 20, most: 2, rarely: 0, longest: 0 },
            Weather { often: 60, most: 5, rarely: 5, longest: 60 },
            Weather { often: 50, most: 30, rarely: 10, longest: 400 },
            Weather { often: 5, most: 150, rarely: 0, longest: 0 },
        ];
        kinds[random.below(kinds.len() as u64) as usize]
    }

    /// How long the next thing takes.
    pub(crate) fn delay(&self, random: &mut Random) -> Duration {
        let delay = match (random.below(1000) < self.rarely, random.below(100) < self.often) {
            (true, _) => random.within(1, self.longest + 1),
            (false, true) => random.within(1, self.most + 1),
            (false, false) => 0,
        };
        Duration::from_millis(delay)
    }
}
