//! What witnesses say was signed.

use candor_core::note::{LogCheckpoint, LogVerifier, SignedNote, VerifierKey};

use super::RestoreError;
use crate::backup::BackupError;
use crate::config::Config;
use crate::publisher::{Failure, HeldHead, WitnessNode};

/// What a witness said.
#[derive(Debug)]
pub struct WitnessAnswer {
    /// Where it was asked.
    pub url: String,
    /// The size of the newest head of this log that it cosigned, none if it knows of none; or why
    /// it did not say.
    pub size: Result<Option<u64>, String>,
}

/// What every witness of both policies said.
pub(super) struct Heard {
    nodes: Vec<WitnessNode>,
    answers: Vec<Result<Option<HeldHead>, Failure>>,
}

impl Heard {
    /// Asks all of them at once.
    pub(super) async fn of_all(
        config: &Config,
        verifier: &LogVerifier,
    ) -> Result<Self, RestoreError> {
        let unusable = |error| RestoreError::Backup(BackupError::Config(error));
        let first = config.read_policy().map_err(unusable)?;
        let second = config.read_second_policy().map_err(unusable)?;
        let nodes = WitnessNode::of_policies(&first, second.as_ref(), &config.intervals());
        let nodes = nodes.map_err(RestoreError::Policy)?;
        let asked = nodes.iter().map(|node| node.held(verifier));
        let answers = futures::future::join_all(asked).await;
        Ok(Self { nodes, answers })
    }

    /// The heads that they hold, with who does.
    pub(super) fn heads(&self) -> impl Iterator<Item = (&str, &LogCheckpoint)> {
        let asked = self.nodes.iter().zip(&self.answers);
        asked.filter_map(|(node, answer)| {
            let head = answer.as_ref().ok()?.as_ref()?;
            Some((node.url(), &head.signed))
        })
    }

    /// The newest signed head that they hold, or `published` if that is newer, if they are enough
    /// to say what was signed: those who cosigned what they hold are a quorum, and there is no
    /// other without them, so that nothing was published that none of them holds.
    pub(super) fn newest_of_quorum(
        &self,
        config: &Config,
        published: Option<&LogCheckpoint>,
    ) -> Result<SignedNote, RestoreError> {
        let policy = config.read_policy();
        let policy = policy.map_err(|error| RestoreError::Backup(error.into()))?;
        let holds = |key: &VerifierKey| {
            let mut held = self.answers.iter().flatten().flatten();
            held.any(|head| head.cosigned_by.contains(key))
        };
        let is_quorum = policy.is_satisfied_by(|witness| holds(witness.key()))
            && !policy.is_satisfied_by(|witness| !holds(witness.key()));
        let heads = self.heads().map(|(_, head)| head).chain(published);
        let newest = heads.max_by_key(|head| head.checkpoint().size());
        match newest.filter(|_| is_quorum) {
            Some(newest) => Ok(newest.to_note()),
            None => Err(RestoreError::NoQuorum {
                witnesses: self.told(),
            }),
        }
    }

    /// What they said, for people.
    pub(super) fn told(&self) -> Vec<WitnessAnswer> {
        let asked = self.nodes.iter().zip(&self.answers);
        let told = asked.map(|(node, answer)| WitnessAnswer {
            url: node.url().to_owned(),
            size: match answer {
                Ok(head) => Ok(head.as_ref().map(|head| head.signed.checkpoint().size())),
                Err(failure) => Err(failure.to_string()),
            },
        });
        told.collect()
    }
}
