//! The heads of an answer: verified against what is asked and what is remembered, and then
//! remembered themselves.

use candor_core::Hash;
use candor_core::answer::{
    ConfigError, ConfigProof, HeadError, HeadProof, KnownHead, SecondHead, SecondHeadError,
    SecondTrust, VerifiedConfig,
};
use candor_core::epoch::{RecordOrderError, Successor};
use candor_core::note::{Checkpoint, FreshnessError, SignedNote, VerifiedCheckpoint};
use candor_proto::{Bytes, WireError, hashes_from_wire, head_from_wire, second_from_wire, v1};

use crate::client::{Client, Session};
use crate::error::{Error, Evidence};
use crate::memory::{Kind, LogMemory, fewest_lines, key};
use crate::store::Store;

/// What the server need not send, because it was verified before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Verified {
    /// Size of the head; 0 without one.
    pub(crate) size: u64,
    /// Size of the second head, 0 without one; `None` if none is asked for.
    pub(crate) second_size: Option<u64>,
}

/// The heads of an answer, as they came.
pub(crate) struct HeadAnswer {
    pub(crate) head: Option<HeadProof>,
    pub(crate) consistency: Vec<Hash>,
    pub(crate) second: Option<SecondHead>,
}

impl HeadAnswer {
    pub(crate) fn new(
        head: Option<v1::Head>,
        consistency: &[Bytes],
        second: Option<v1::SecondHead>,
    ) -> Result<Self, WireError> {
        Ok(Self {
            head: head.map(head_from_wire).transpose()?,
            consistency: hashes_from_wire(consistency)?,
            second: second.map(second_from_wire).transpose()?,
        })
    }

    /// The heads of an answer that must have a first one.
    pub(crate) fn whole(response: v1::GetHeadResponse) -> Result<Self, WireError> {
        match response.head {
            None => Err(WireError::Missing { field: "head" }),
            head => Self::new(head, &response.consistency, response.second),
        }
    }
}

/// A head of an answer, verified.
struct Head {
    verified: VerifiedCheckpoint,
    known: KnownHead,
    successor: Option<Successor>,
    note: SignedNote,
}

impl<S: Store> Client<S> {
    /// Asks the server for everything.
    pub(crate) fn nothing_verified(&self) -> Verified {
        Verified {
            size: 0,
            second_size: self.trust().second().map(|_| 0),
        }
    }
}

impl<S: Store> Session<S> {
    /// What the server need not send. A head that was remembered under another policy may not
    /// satisfy this one: then the newest is fetched and verified anew, as one that follows it.
    pub(crate) async fn verified(&mut self) -> Result<Verified, Error> {
        let nothing = self.client.nothing_verified();
        let Some(log) = &self.log else {
            return Ok(nothing);
        };
        let policy = self.client.trust().policy();
        if self.client.kept().head(policy, &log.note).is_err() {
            let response = self.client.rpc().head(nothing).await?;
            self.accept_whole_heads(&mut HeadAnswer::whole(response)?)
                .await?;
        }
        let Some(log) = &self.log else {
            return Ok(nothing);
        };
        let policy = self.client.trust().policy();
        let head = self.client.kept().head(policy, &log.note).ok();
        let has_ended = log.successor.is_some();
        let second_size = self.client.trust().second().map(|trust| {
            // One that no longer satisfies the policy is as good as none.
            let second = log.second.as_ref().zip(head).and_then(|(note, head)| {
                let now_s = self.time_of_second(trust, note, &head, has_ended);
                trust.verify(note, now_s).ok()
            });
            second.map_or(0, |it| it.checkpoint().size())
        });
        Ok(Verified {
            size: log.known.size,
            second_size,
        })
    }

    /// Verifies an answer's heads against what is remembered (checks 1 to 3, and those of the
    /// second head), and at the first contact with a log also fetches and verifies its
    /// configuration.
    pub(crate) async fn accept_heads(
        &mut self,
        answer: &HeadAnswer,
    ) -> Result<(VerifiedCheckpoint, KnownHead), Error> {
        let Head {
            verified,
            known,
            successor,
            note,
        } = match &answer.head {
            Some(head) => self.verify_head(head, &answer.consistency)?,
            None => self.verify_known_head()?,
        };
        let has_ended = successor.is_some();
        let second = answer.second.as_ref();
        let second = self.verify_second(second, &verified, &note, has_ended)?;
        let config = match &self.log {
            Some(log) => log.config.clone(),
            None => self.fetch_config(&verified).await?.1.config().clone(),
        };
        let note = match &answer.head {
            Some(_) => {
                let fewest = fewest_lines(self.client.trust().policy(), &note, &verified);
                self.client.kept().keep_head(&fewest, &verified);
                fewest
            }
            None => note,
        };
        self.settle(LogMemory {
            known,
            config,
            note,
            second,
            successor,
        })?;
        Ok((verified, known))
    }

    /// As [`Self::accept_heads`], for an answer with a first head but without a consistency proof,
    /// which is asked for.
    pub(crate) async fn accept_whole_heads(
        &mut self,
        answer: &mut HeadAnswer,
    ) -> Result<(VerifiedCheckpoint, KnownHead), Error> {
        let old_size = self.log.as_ref().map_or(0, |log| log.known.size);
        let new_size = answer.head.as_ref().map_or(0, claimed_size);
        answer.consistency = if 0 < old_size && old_size < new_size {
            self.client.rpc().consistency(old_size, new_size).await?
        } else {
            Vec::new()
        };
        self.accept_heads(answer).await
    }

    /// An answer may leave out the head that the device holds already, while that is current.
    fn verify_known_head(&self) -> Result<Head, Error> {
        let log = self.log.as_ref().ok_or(Error::HeadMissing)?;
        let trust = self.client.trust();
        // The policy may be another one than when the note was stored.
        let verified = self.client.kept().head(trust.policy(), &log.note);
        let verified = verified.map_err(|_| Error::HeadMissing)?;
        if verified.quorum_timestamp_s().is_some() {
            let (now_s, skew_s) = (self.client.now_s(), trust.skew_s());
            match verified.check_freshness(now_s, trust.max_age_s(), skew_s) {
                Err(FreshnessError::Stale { .. }) if log.successor.is_some() => {}
                checked => checked.map_err(HeadError::from)?,
            }
        }
        Ok(Head {
            verified,
            known: log.known,
            successor: log.successor.clone(),
            note: log.note.clone(),
        })
    }

    fn verify_head(&self, head: &HeadProof, consistency: &[Hash]) -> Result<Head, Error> {
        let known = self.log.as_ref().map(|log| &log.known);
        let trust = self.client.trust();
        let verified = head
            .verify(trust, known, consistency, self.client.now_s())
            .map_err(|error| self.accuse(head, error))?;
        let note = SignedNote::parse(&head.checkpoint).map_err(HeadError::from)?;
        let is_ended =
            |log: &LogMemory| log.successor.is_some() && log.known.size < verified.known().size;
        if self.log.as_ref().is_some_and(is_ended) {
            return Err(HeadError::from(RecordOrderError::Ended).into());
        }
        Ok(Head {
            verified: verified.checkpoint().clone(),
            known: verified.known(),
            successor: verified.successor().cloned(),
            note,
        })
    }

    /// The time at which a second head has to be fresh: now. If the first one, `head`, ended the
    /// log, nobody cosigns anew: then it is when that one was cosigned.
    fn time_of_second(
        &self,
        trust: &SecondTrust,
        second: &SignedNote,
        head: &VerifiedCheckpoint,
        has_ended: bool,
    ) -> u64 {
        let now_s = self.client.now_s();
        if !has_ended {
            return now_s;
        }
        let verified = trust.policy().verify_checkpoint(second).ok();
        let time_s = verified.and_then(|it| it.quorum_timestamp_s());
        now_s.min(time_s.max(head.quorum_timestamp_s()).unwrap_or(now_s))
    }

    /// Verifies the second head, if one is asked for, under the first one, `head`. An answer may
    /// leave it out too: what is remembered was found to be part of the log that was known then,
    /// and the first head extends that one.
    fn verify_second(
        &self,
        second: Option<&SecondHead>,
        head: &VerifiedCheckpoint,
        head_note: &SignedNote,
        has_ended: bool,
    ) -> Result<Option<SignedNote>, Error> {
        let trust = self.client.trust();
        let Some(asked) = trust.second() else {
            return Ok(None);
        };
        let now_s = |note: &SignedNote| self.time_of_second(asked, note, head, has_ended);
        let remembered = self.log.as_ref().and_then(|log| log.second.clone());
        let Some(second) = second else {
            let known = remembered.ok_or(SecondHeadError::Missing)?;
            asked.verify(&known, now_s(&known))?;
            return Ok(Some(known));
        };
        let known = remembered.filter(|known| asked.verify(known, now_s(known)).is_ok());
        let note = SignedNote::parse(&second.checkpoint).map_err(SecondHeadError::from)?;
        let verified = match second.verify(asked, head, now_s(&note)) {
            Ok(verified) => verified,
            Err(error) => {
                let accused = self.find_evidence(&second.checkpoint, Some(head_note));
                return match (accused, known, &error) {
                    (Some(accused), ..) => Err(accused),
                    // One that the witnesses do not vouch for, or no more, is none: then what is
                    // remembered counts, as if it had been left out.
                    (
                        None,
                        Some(known),
                        SecondHeadError::Policy(_) | SecondHeadError::Freshness(_),
                    ) => Ok(Some(known)),
                    _ => Err(error.into()),
                };
            }
        };
        if let Some(known) = known
            && claimed_size_of(&known) > verified.checkpoint().size()
        {
            return Ok(Some(known)); // The newest is remembered, whatever is sent.
        }
        Ok(Some(fewest_lines(asked.policy(), &note, &verified)))
    }

    /// Looks for evidence in a head that was refused: whatever else is wrong with it, if the log
    /// signed it and it contradicts what the log signed before, the log lied.
    pub(crate) fn accuse(&self, head: &HeadProof, error: HeadError) -> Error {
        self.find_evidence(&head.checkpoint, None)
            .unwrap_or_else(|| error.into())
    }

    /// What in a checkpoint that came contradicts what the log signed before, or in `head`.
    pub(crate) fn find_evidence(
        &self,
        checkpoint: &[u8],
        head: Option<&SignedNote>,
    ) -> Option<Error> {
        let refused = SignedNote::parse(checkpoint).ok()?;
        let log = self.log.as_ref();
        let remembered = log.map(|log| &log.note);
        let second = log.and_then(|log| log.second.as_ref());
        let earlier = remembered.into_iter().chain(second).chain(head);
        let verifier = self.client.log_verifier();
        let mut found = earlier.filter_map(|it| Evidence::new(&verifier, it, &refused).ok());
        let evidence = Box::new(found.next()?);
        let size = claimed_size_of(&refused);
        Some(Error::SplitView { size, evidence })
    }

    /// Fetches the configuration and its proof at a verified checkpoint.
    pub(crate) async fn fetch_config(
        &self,
        head: &VerifiedCheckpoint,
    ) -> Result<(ConfigProof, VerifiedConfig), Error> {
        let response = self.client.rpc().config(head.checkpoint().size()).await?;
        let proof = ConfigProof {
            config: response.config.into(),
            inclusion: hashes_from_wire(&response.inclusion)?,
        };
        let verified = proof.verify(head)?;
        Ok((proof, verified))
    }

    fn settle(&mut self, log: LogMemory) -> Result<(), Error> {
        let vrf = self.client.kept().keep_vrf(&log.config.vrf_public_key);
        vrf.map_err(ConfigError::from)?;
        if self.log.as_ref() != Some(&log) {
            let origin = self.client.origin();
            let change = (key(Kind::Log, origin, b""), Some(log.encode()));
            self.changes.push(change);
            self.log = Some(log);
        }
        Ok(())
    }
}

/// The size that an unverified head claims, to ask for a proof up to there.
fn claimed_size(head: &HeadProof) -> u64 {
    let note = SignedNote::parse(&head.checkpoint);
    note.map_or(0, |note| claimed_size_of(&note))
}

fn claimed_size_of(note: &SignedNote) -> u64 {
    Checkpoint::parse(note.text()).map_or(0, |checkpoint| checkpoint.size())
}
