//! The consumer group: members, generations, and who owns what.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use crate::offsets::TopicPartition;

pub(super) type MemberId = u64;

/// What the group tells a member.
#[derive(Clone, Debug)]
pub(super) enum Event {
    /// Let go of these, and say when it is done.
    Revoke(Vec<TopicPartition>),
    /// A new generation: these are added to what the member has.
    Joined {
        generation: u64,
        added: Vec<TopicPartition>,
    },
}

#[derive(Debug, Default)]
struct Member {
    owned: BTreeSet<TopicPartition>,
    /// What it was told to let go of and has not yet.
    outstanding: BTreeSet<TopicPartition>,
    events: VecDeque<Event>,
}

#[derive(Debug)]
pub(super) struct Group {
    /// Only what moves is revoked; otherwise each rebalance revokes everything.
    cooperative: bool,
    partitions: Vec<TopicPartition>,
    generation: u64,
    members: BTreeMap<MemberId, Member>,
    joined: MemberId,
    /// Who gets what once everything is let go of; `None` between rebalances.
    target: Option<BTreeMap<TopicPartition, MemberId>>,
}

impl Group {
    pub(super) fn new(cooperative: bool, partitions: Vec<TopicPartition>) -> Self {
        Self {
            cooperative,
            partitions,
            generation: 0,
            members: BTreeMap::new(),
            joined: 0,
            target: None,
        }
    }

    pub(super) fn join(&mut self, rng: &mut ChaCha8Rng) -> MemberId {
        self.joined += 1;
        self.members.insert(self.joined, Member::default());
        self.rebalance(rng);
        self.joined
    }

    /// Forgets a member that left, or that was not heard of for too long.
    pub(super) fn remove(&mut self, member: MemberId, rng: &mut ChaCha8Rng) {
        if self.members.remove(&member).is_some() {
            self.rebalance(rng);
        }
    }

    pub(super) fn contains(&self, member: MemberId) -> bool {
        self.members.contains_key(&member)
    }

    /// Whether offsets may be committed under this name: what KIP-447 checks.
    pub(super) fn is_current(&self, member: MemberId, generation: u64) -> bool {
        self.contains(member) && generation == self.generation
    }

    /// Shares partitions out anew, mostly to those that have them.
    pub(super) fn rebalance(&mut self, rng: &mut ChaCha8Rng) {
        let ids: Vec<MemberId> = self.members.keys().copied().collect();
        if ids.is_empty() {
            self.target = None;
            return;
        }
        let mut target = BTreeMap::new();
        for partition in &self.partitions {
            let owner = self
                .members
                .iter()
                .find(|(_, member)| member.owned.contains(partition))
                .map(|(id, _)| *id)
                .filter(|_| rng.random_bool(0.6));
            let owner = owner.unwrap_or_else(|| ids[rng.random_range(0..ids.len())]);
            target.insert(partition.clone(), owner);
        }
        for (id, member) in &mut self.members {
            let goes: Vec<_> = member
                .owned
                .difference(&member.outstanding)
                .filter(|partition| !self.cooperative || target.get(partition) != Some(id))
                .cloned()
                .collect();
            if !goes.is_empty() {
                member.outstanding.extend(goes.iter().cloned());
                member.events.push_back(Event::Revoke(goes));
            }
        }
        self.target = Some(target);
        self.complete();
    }

    pub(super) fn release(&mut self, member: MemberId, partitions: &[TopicPartition]) {
        if let Some(member) = self.members.get_mut(&member) {
            for partition in partitions {
                member.owned.remove(partition);
                member.outstanding.remove(partition);
            }
        }
        self.complete();
    }

    /// Begins the next generation once nothing is outstanding.
    fn complete(&mut self) {
        if self.members.values().any(|m| !m.outstanding.is_empty()) {
            return;
        }
        let Some(target) = self.target.take() else {
            return;
        };
        self.generation += 1;
        for (id, member) in &mut self.members {
            let added: Vec<_> = target
                .iter()
                .filter(|(partition, owner)| *owner == id && !member.owned.contains(*partition))
                .map(|(partition, _)| partition.clone())
                .collect();
            member.owned.extend(added.iter().cloned());
            member.events.push_back(Event::Joined {
                generation: self.generation,
                added,
            });
        }
    }

    /// What the member has to hear next.
    pub(super) fn event(&self, member: MemberId) -> Option<&Event> {
        self.members.get(&member)?.events.front()
    }

    /// The member has heard it.
    pub(super) fn heard(&mut self, member: MemberId) {
        if let Some(member) = self.members.get_mut(&member) {
            member.events.pop_front();
        }
    }
}
