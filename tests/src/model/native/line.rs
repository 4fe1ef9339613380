//! What a pool was from one happening to the next, and which number the broadcaster gave to which of it.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use poolmesh_proto::wire::native::{
    Address, Change, Entry, Epoch, Items, LeaveReason, MAX_DATAGRAM, Member, PoolSpec, State as Said,
};

/// What a page has besides spec and members, in bytes: 2 to begin with, handle, count and from, the state, more and length, the tag.
const PAGE: usize = 2 + 12 + 64 + 2 + 8;

/// What all who have the same epoch agree about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) spec: PoolSpec,
    pub(super) host: Member,
    pub(super) members: BTreeMap<Member, (SocketAddr, Vec<u8>)>,
}

impl Content {
    /// Takes entries of a roster.
    pub(super) fn entries(entries: Items<'_, Entry<'_>>) -> BTreeMap<Member, (SocketAddr, Vec<u8>)> {
        entries.map(|entry| (entry.member, (entry.address.get(), entry.about.get().to_vec()))).collect()
    }

    /// From where on the pages are that there are from this member on, each as long as a datagram can be. Which members are in
    /// which is looked at when they come.
    pub(super) fn pages(&self, from: Option<Member>) -> Vec<Option<Member>> {
        let lowest = from.map_or(0, Member::get);
        let mut starts = vec![from];
        let mut room = self.room(from.is_none());
        let there = self.members.iter().filter(|(member, _)| member.get() >= lowest);
        let mut last = None;
        for (member, (address, about)) in there {
            let len = 4 + if address.is_ipv4() { 7 } else { 19 } + 1 + about.len();
            if len > room {
                starts.push(last.and_then(|last: Member| Member::new(last.get() + 1)));
                room = self.room(false);
            }
            room -= len;
            last = Some(*member);
        }
        starts
    }

    /// What a page has for members, in bytes.
    fn room(&self, is_first: bool) -> usize {
        let spec = self.spec.as_spec();
        let address = |address: Address| if address.get().is_ipv4() { 7 } else { 19 };
        let broadcasters = spec.broadcasters().map(address).sum::<usize>();
        let spec = 1 + 2 + 1 + spec.name().get().len() + 2 + spec.metadata().get().len() + 1 + broadcasters;
        MAX_DATAGRAM - PAGE - if is_first { spec } else { 0 }
    }
}

/// One thing that happened, and what the pool was behind it.
#[derive(Clone, Debug)]
struct Step {
    content: Content,
    /// Who left in it, and why.
    left: Vec<(Member, LeaveReason)>,
    /// Whether another host came in it.
    host: bool,
    kick: bool,
    /// How many had come then who knew the pool as it was brought back.
    came: u16,
}

/// A pool in one era.
#[derive(Clone, Debug)]
pub(super) struct Line {
    era: Option<u64>,
    pub(super) generation: u32,
    /// From which epoch it was brought back.
    pub(super) base: Option<Epoch>,
    steps: Vec<Step>,
    /// The numbers that were seen, with the step that each is behind.
    numbers: BTreeMap<u32, usize>,
    /// The terms and the numbers of the latest kick that were seen, by the number they came with.
    seen: BTreeMap<u32, (u32, u32)>,
    /// The numbers that were given to members: the highest among those who joined, and of all.
    joined: u32,
    pub(super) given: u32,
}

impl Line {
    /// A pool as it begins. `base`: from which epoch it was brought back, and how many have come who knew it.
    pub(super) fn new(
        content: Content,
        (generation, base): (u32, Option<(Epoch, u16)>),
        (term, purged): (u32, u32),
        given: u32,
    ) -> Self {
        let joined = content.members.keys().map(|member| member.get()).max().unwrap_or(0);
        let came = base.map_or(0, |(_, came)| came);
        let first = Step { content, left: Vec::new(), host: false, kick: false, came };
        Self {
            era: None,
            generation,
            base: base.map(|(base, _)| base),
            steps: vec![first],
            numbers: BTreeMap::from([(1, 0)]),
            seen: BTreeMap::from([(1, (term, purged))]),
            joined,
            given: given.max(joined),
        }
    }

    /// The latest epoch, if it is known.
    pub(super) fn epoch(&self) -> Option<Epoch> {
        let (number, index) = self.numbers.iter().next_back()?;
        if *index == self.index() { Epoch::new(self.era?, *number) } else { None }
    }

    /// Its era, if it is known.
    pub(super) fn era(&self) -> Option<u64> {
        self.era
    }

    /// The number of the epoch at the latest kick, or one that is in its place: behind all that were told, and not above it.
    pub(super) fn purged(&self) -> u32 {
        let told = self.numbers.iter().next_back();
        let untold = told.filter(|(_, index)| self.steps.iter().skip(*index + 1).any(|step| step.kick));
        let known = self.seen.values().next_back().map_or(0, |(_, purged)| *purged);
        untold.map_or(known, |(number, _)| number + 1)
    }

    /// What it is now.
    pub(super) fn now(&self) -> &Content {
        &self.steps.last().unwrap_or_else(|| unreachable!("a line has a beginning")).content
    }

    /// What it was behind a step.
    pub(super) fn content(&self, index: usize) -> Option<&Content> {
        self.steps.get(index).map(|step| &step.content)
    }

    /// How much has happened.
    pub(super) fn index(&self) -> usize {
        self.steps.len() - 1
    }

    /// Something happens. `left`: who is gone by it.
    pub(super) fn happens(
        &mut self,
        content: Content,
        left: Vec<(Member, LeaveReason)>,
        (host, kick): (bool, bool),
    ) {
        self.joined = content.members.keys().map(|member| member.get()).max().unwrap_or(0).max(self.joined);
        self.given = self.given.max(self.joined);
        let came = self.came();
        self.steps.push(Step { content, left, host, kick, came });
    }

    /// How many have come by now who knew the pool as it was brought back.
    pub(super) fn came(&self) -> u16 {
        self.steps.last().map_or(0, |step| step.came)
    }

    /// As many have, with what has happened last.
    pub(super) fn set_came(&mut self, came: u16) {
        if let Some(step) = self.steps.last_mut() {
            step.came = came;
        }
    }

    /// Whether this is the latest epoch for certain, or for certain not; none if it may be.
    pub(super) fn is_latest(&self, epoch: Option<Epoch>) -> Option<bool> {
        let Some(epoch) = epoch.filter(|epoch| Some(epoch.era()) == self.era) else { return Some(false) };
        match self.numbers.get(&epoch.number()) {
            Some(index) if *index == self.index() => Some(true),
            // What has happened since may have no number yet.
            Some(_) if self.numbers.keys().next_back() == Some(&epoch.number()) => None,
            Some(_) | None => Some(false),
        }
    }

    /// What is said of the pool is said of a step not before `from` that `fits`. Answers which.
    pub(super) fn observe(
        &mut self,
        said: &Said,
        from: usize,
        fits: impl Fn(&Content) -> bool,
    ) -> Result<usize, String> {
        self.is_own(said)?;
        let number = said.epoch.number();
        let (low, high) = self.between(number)?;
        let index = (low.max(from)..=high)
            .find(|index| {
                self.steps.get(*index).is_some_and(|step| {
                    step.content.host == said.host
                        && step.came == said.came
                        && usize::from(said.count.get()) == step.content.members.len()
                        && fits(&step.content)
                })
            })
            .ok_or_else(|| {
                let of: Vec<&Content> = self
                    .steps
                    .iter()
                    .skip(low.max(from))
                    .take(high + 1 - low)
                    .map(|step| &step.content)
                    .collect();
                format!("P5: {said:?} is said, where there is {of:?}")
            })?;
        self.note(said, index)?;
        Ok(index)
    }

    /// Changes are said that make one epoch out of the one before. Answers the step behind them.
    pub(super) fn changed(&mut self, said: &Said, changes: Items<'_, Change<'_>>) -> Result<usize, String> {
        self.is_own(said)?;
        let number = said.epoch.number();
        let Some(before) = self.numbers.get(&(number - 1)).copied() else {
            // The first epoch has no changes; of one that nobody was told what came before, nothing can be said.
            if number == 1 && changes.len() > 0 {
                return Err(format!("P5: {changes:?} make the first epoch"));
            }
            return self.observe(said, 0, |_| true);
        };
        let mut content = self.steps.get(before).map(|step| step.content.clone()).ok_or("no step")?;
        content.host = said.host;
        let mut left: Vec<(Member, LeaveReason)> = Vec::new();
        for change in changes {
            let known = |content: &Content, member| content.members.contains_key(&member);
            let held = match change {
                Change::Joined(entry) => {
                    let about = entry.about.get().to_vec();
                    content.members.insert(entry.member, (entry.address.get(), about)).is_none()
                }
                Change::Left { member, reason } => {
                    left.push((member, reason));
                    content.members.remove(&member).is_some()
                }
                Change::About { member, about } => {
                    let held = known(&content, member);
                    content.members.entry(member).and_modify(|(_, old)| *old = about.get().to_vec());
                    held
                }
                Change::Moved { member, address } => {
                    let held = known(&content, member);
                    content.members.entry(member).and_modify(|(old, _)| *old = address.get());
                    held
                }
                Change::Spec(spec) => {
                    content.spec = spec.into();
                    true
                }
            };
            if !held {
                return Err(format!("P5: {change:?} doesn't fit what was before"));
            }
        }
        let index = self.observe(said, before + 1, |step| *step == content)?;
        let gone: Vec<(Member, LeaveReason)> = self
            .steps
            .iter()
            .skip(before + 1)
            .take(index - before)
            .flat_map(|step| step.left.clone())
            .collect();
        if left.iter().any(|left| !gone.contains(left)) {
            return Err(format!("M2: {left:?} is told, where {gone:?} left"));
        }
        Ok(index)
    }

    fn is_own(&mut self, said: &Said) -> Result<(), String> {
        let era = *self.era.get_or_insert_with(|| said.epoch.era());
        if era != said.epoch.era() || (said.generation, said.base) != (self.generation, self.base) {
            return Err(format!("P5: {said:?}, in era {era} and generation {}", self.generation));
        }
        Ok(())
    }

    /// The steps that may have this number.
    fn between(&self, number: u32) -> Result<(usize, usize), String> {
        if let Some(index) = self.numbers.get(&number) {
            return Ok((*index, *index));
        }
        let before = self.numbers.range(..number).next_back();
        let after = self.numbers.range(number..).next();
        let low = before.map_or(0, |(_, index)| index + 1);
        let high = after.map_or_else(|| self.index(), |(_, index)| index - 1);
        // Each epoch has something new.
        let most = before.map_or(0, |(low, index)| *index as u64 + u64::from(number - low));
        if low > high || most > high as u64 {
            return Err(format!(
                "P5: epoch {number}, where {:?} were told and {} steps made",
                self.numbers,
                self.index()
            ));
        }
        Ok((low, high))
    }

    fn note(&mut self, said: &Said, index: usize) -> Result<(), String> {
        let number = said.epoch.number();
        self.numbers.insert(number, index);
        let next = said.next.get();
        if next <= self.joined && index == self.index() || next > self.given + 1 {
            return Err(format!(
                "P5: {next} is next, where {} joined and {} were given",
                self.joined, self.given
            ));
        }
        let (term, purged) = (said.term.get(), said.purged);
        if let Some(before) = self.seen.insert(number, (term, purged)) {
            return if before == (term, purged) {
                Ok(())
            } else {
                Err(format!(
                    "M5: term and kick are {:?} and then {before:?} at epoch {number}",
                    (term, purged)
                ))
            };
        }
        let Some((low, (old_term, old_purged))) = self.seen.range(..number).next_back() else {
            return Ok(());
        };
        let since = self.numbers.get(low).copied().unwrap_or(0);
        let steps = || self.steps.iter().enumerate().skip(since + 1).take(index - since);
        let hosts = steps().filter(|(_, step)| step.host).count() as u32;
        let least = old_term + u32::from(hosts > 0);
        // Of several who are gone at once each may have been host for no time.
        let gone = steps().map(|(_, step)| step.left.len() as u32).sum::<u32>();
        let most = old_term + if hosts > 0 { hosts.max(gone) } else { 0 };
        if !(least..=most).contains(&term) {
            return Err(format!("M5: term {term} follows {old_term}, with {hosts} new hosts"));
        }
        let kicked = steps().any(|(_, step)| step.kick);
        let right = if kicked { purged > *low && purged <= number } else { purged == *old_purged };
        if !right {
            return Err(format!("M3: the latest kick is said to be {purged} at {number}"));
        }
        Ok(())
    }

    /// Forgets what is behind: what was told last stays. Answers whether all has a number that was told.
    pub(super) fn trim(&mut self) -> bool {
        let Some((number, index)) = self.numbers.iter().next_back().map(|(number, index)| (*number, *index))
        else {
            return false;
        };
        let told = index == self.index();
        self.steps.drain(..index);
        self.numbers = BTreeMap::from([(number, 0)]);
        self.seen = self.seen.split_off(&number);
        told
    }
}
