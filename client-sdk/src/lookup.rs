//! Lookups: what an account's greatest version is, and what it holds.

use candor_core::account::{Label, UnverifiedValue, VerifiedState, VerifiedValue};
use candor_core::answer::{KnownHead, Query, VerifiedAccount, VerifiedVersion};
use candor_core::crypto::Commitment;
use candor_core::epoch::Successor;
use candor_proto::v1;

use crate::client::{Client, Session};
use crate::error::{ContentError, Error};
use crate::heads::HeadAnswer;
use crate::store::Store;

/// Most labels of one [`Client::lookup_batch`].
pub const LOOKUP_BATCH_MAX: usize = 64;

/// A version of an account that is in the map, with its value, which is one of its label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountVersion {
    version: u32,
    commitment: Commitment,
    value: VerifiedValue,
}

impl AccountVersion {
    /// Reads the value of a proved version.
    ///
    /// # Errors
    ///
    /// [`Error::Content`] if it is none of `label`, [`Error::VersionErased`] if it is gone.
    pub fn new(label: &Label, proved: &VerifiedVersion) -> Result<Self, Error> {
        let version = proved.version();
        let value = proved.value().ok_or(Error::VersionErased { version })?;
        let value = content(label, value).map_err(|source| Error::Content { version, source })?;
        Ok(Self {
            version,
            commitment: *proved.commitment(),
            value,
        })
    }

    /// The version's number.
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// The commitment under which it is in the map.
    pub const fn commitment(&self) -> &Commitment {
        &self.commitment
    }

    /// What it holds.
    pub const fn value(&self) -> &VerifiedValue {
        &self.value
    }
}

/// A version of an account's history that is in the map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastVersion {
    version: u32,
    commitment: Commitment,
    value: Option<VerifiedValue>,
}

impl PastVersion {
    fn new(label: &Label, proved: &VerifiedVersion) -> Result<Self, Error> {
        let (version, commitment) = (proved.version(), *proved.commitment());
        let value = proved.value().map(|value| content(label, value));
        let value = value
            .transpose()
            .map_err(|source| Error::Content { version, source })?;
        Ok(Self {
            version,
            commitment,
            value,
        })
    }

    /// The version's number.
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// The commitment under which it is in the map.
    pub const fn commitment(&self) -> &Commitment {
        &self.commitment
    }

    /// What it holds; `None` if the log says that it erased it. That it was there is proved.
    pub const fn value(&self) -> Option<&VerifiedValue> {
        self.value.as_ref()
    }
}

/// Reads and verifies logged bytes as a value of `label`.
pub(crate) fn content(label: &Label, bytes: &[u8]) -> Result<VerifiedValue, ContentError> {
    Ok(UnverifiedValue::decode(bytes)?.verify(label)?)
}

/// A label's greatest version at a verified head.
#[derive(Clone, Debug)]
pub struct Lookup {
    label: Label,
    head: KnownHead,
    newest: Option<AccountVersion>,
    remembered: Option<u32>,
}

impl Lookup {
    fn new(
        label: &Label,
        head: KnownHead,
        account: &VerifiedAccount,
        remembered: Option<u32>,
    ) -> Result<Self, Error> {
        let newest = account
            .newest()
            .map(|newest| AccountVersion::new(label, newest));
        Ok(Self {
            label: label.clone(),
            head,
            newest: newest.transpose()?,
            remembered,
        })
    }

    /// The label.
    pub const fn label(&self) -> &Label {
        &self.label
    }

    /// The head at which the answer holds.
    pub const fn head(&self) -> &KnownHead {
        &self.head
    }

    /// The greatest version; `None` if the label has no account.
    pub const fn newest(&self) -> Option<&AccountVersion> {
        self.newest.as_ref()
    }

    /// The greatest version that this device had verified before; `None` if it had none. When it is
    /// less than the newest, [`Client::history`] shows what happened since.
    pub const fn remembered(&self) -> Option<u32> {
        self.remembered
    }
}

/// Where a label leads: to its own account, or through a binding to another label's.
#[derive(Clone, Debug)]
pub struct Resolution {
    asked: Lookup,
    primary: Option<Lookup>,
}

impl Resolution {
    /// What the label itself holds.
    pub const fn asked(&self) -> &Lookup {
        &self.asked
    }

    /// What the label holds that it is bound to, if it is bound.
    pub const fn primary(&self) -> Option<&Lookup> {
        self.primary.as_ref()
    }

    /// The state of the account that the label leads to, if there is one.
    pub fn state(&self) -> Option<&VerifiedState> {
        let last = self.primary.as_ref().unwrap_or(&self.asked);
        match last.newest()?.value() {
            VerifiedValue::State(state) => Some(state),
            VerifiedValue::Binding(_) => None,
        }
    }
}

impl<S: Store> Client<S> {
    /// Looks up a label's greatest version. Bindings are not followed.
    ///
    /// # Errors
    ///
    /// [`Error`]; see [`Error::fault`].
    pub async fn lookup(&self, label: &Label) -> Result<Lookup, Error> {
        let mut session = self.session().await?;
        let (query, remembered) = query_since_remembered(&session, label).await?;
        let (head, account) = self.exchange(&mut session, label, query).await?;
        let lookup = Lookup::new(label, head, &account, remembered)?;
        session.commit_living().await?;
        Ok(lookup)
    }

    /// Looks up several labels, at most [`LOOKUP_BATCH_MAX`], at one head.
    ///
    /// # Errors
    ///
    /// [`Error::BatchSize`] (the caller is at fault), else as [`Self::lookup`]: one refused account
    /// refuses the whole answer.
    pub async fn lookup_batch(&self, labels: &[Label]) -> Result<Vec<Lookup>, Error> {
        if labels.is_empty() || labels.len() > LOOKUP_BATCH_MAX {
            return Err(Error::BatchSize {
                count: labels.len(),
                limit: LOOKUP_BATCH_MAX,
            });
        }
        let mut session = self.session().await?;
        let mut asked = Vec::with_capacity(labels.len());
        for label in labels {
            let (query, remembered) = query_since_remembered(&session, label).await?;
            asked.push((label, query, remembered));
        }
        let queries = asked
            .iter()
            .map(|(label, query, _)| wire_query(label, query));
        let verified = session.verified().await?;
        let queries = queries.collect();
        let response = self.rpc().lookup_batch(queries, verified).await?;
        if response.accounts.len() != labels.len() {
            return Err(Error::AccountCount {
                expected: labels.len(),
                actual: response.accounts.len(),
            });
        }
        let answer = HeadAnswer::new(response.head, &response.consistency, response.second)?;
        let (_, head) = session.accept_heads(&answer).await?;
        let mut lookups = Vec::with_capacity(labels.len());
        for ((label, query, remembered), proof) in asked.into_iter().zip(&response.accounts) {
            let account = session.accept_account(label, &query, proof).await?;
            lookups.push(Lookup::new(label, head, &account, remembered)?);
        }
        session.commit_living().await?;
        Ok(lookups)
    }

    /// Looks up one version of a label; `None` if it does not exist yet.
    ///
    /// # Errors
    ///
    /// As [`Self::lookup`]; and [`Error::VersionErased`].
    pub async fn lookup_version(
        &self,
        label: &Label,
        version: u32,
    ) -> Result<Option<AccountVersion>, Error> {
        let mut session = self.session().await?;
        let query = Query {
            from_version: Some(version),
            max_versions: 1,
        };
        let (_, account) = self.exchange(&mut session, label, query).await?;
        let mut opened = account.opened().iter();
        let found = opened
            .find(|opened| opened.version() == version)
            .map(|opened| AccountVersion::new(label, opened))
            .transpose()?;
        session.commit_living().await?;
        Ok(found)
    }

    /// Looks up a label and, if it is a binding, the label that it is bound to.
    ///
    /// # Errors
    ///
    /// [`Error::BindingChain`] if a binding leads to a binding, else as [`Self::lookup`].
    pub async fn resolve(&self, label: &Label) -> Result<Resolution, Error> {
        let asked = self.lookup(label).await?;
        let primary = match asked.newest().map(AccountVersion::value) {
            Some(VerifiedValue::Binding(binding)) => Some(self.lookup(binding.primary()).await?),
            _ => None,
        };
        let last = primary.as_ref().and_then(Lookup::newest);
        if let Some(VerifiedValue::Binding(_)) = last.map(AccountVersion::value) {
            return Err(Error::BindingChain);
        }
        Ok(Resolution { asked, primary })
    }

    /// Every version of a label from `from` on, ascending; empty if there is none.
    ///
    /// Whether each may follow the one before is for [`candor_core::account::check_successor`].
    ///
    /// # Errors
    ///
    /// As [`Self::lookup`].
    pub async fn history(&self, label: &Label, from: u32) -> Result<Vec<PastVersion>, Error> {
        let (versions, _) = self.versions(label, Some(from)).await?;
        versions
            .iter()
            .map(|version| PastVersion::new(label, version))
            .collect()
    }

    /// As [`Self::history`], without looking into the values; without `from` the newest version
    /// alone. With it comes the successor, if the log has ended.
    pub(crate) async fn versions(
        &self,
        label: &Label,
        from: Option<u32>,
    ) -> Result<(Vec<VerifiedVersion>, Option<Successor>), Error> {
        let Some(first) = from else {
            let (account, successor) = self.look_back(label, Query::GREATEST).await?;
            let newest = account.newest().cloned();
            return Ok((newest.into_iter().collect(), successor));
        };
        let mut versions: Vec<VerifiedVersion> = Vec::new();
        let mut successor = None;
        let mut next = Some(first);
        while let Some(from) = next {
            let account;
            (account, successor) = self.look_back(label, Query::since(from)).await?;
            next = None;
            // The greatest version is opened too, perhaps beyond a gap that the next page fills.
            for (expected, opened) in (from..=u32::MAX).zip(account.opened()) {
                if opened.version() == expected {
                    versions.push(opened.clone());
                    next = expected.checked_add(1);
                }
            }
            let last = versions.last().map(VerifiedVersion::version);
            next = next.filter(|_| last < account.greatest());
        }
        Ok((versions, successor))
    }

    /// Asks for one label, of an ended log too.
    async fn look_back(
        &self,
        label: &Label,
        query: Query,
    ) -> Result<(VerifiedAccount, Option<Successor>), Error> {
        let mut session = self.session().await?;
        let (_, account) = self.exchange(&mut session, label, query).await?;
        let successor = session.log.as_ref().and_then(|log| log.successor.clone());
        session.commit().await?;
        Ok((account, successor))
    }

    /// Asks for one label, and verifies the answer.
    pub(crate) async fn exchange(
        &self,
        session: &mut Session<S>,
        label: &Label,
        query: Query,
    ) -> Result<(KnownHead, VerifiedAccount), Error> {
        let verified = session.verified().await?;
        let query_on_wire = wire_query(label, &query);
        let response = self.rpc().lookup(query_on_wire, verified).await?;
        let answer = HeadAnswer::new(response.head, &response.consistency, response.second)?;
        let (_, head) = session.accept_heads(&answer).await?;
        let account = session
            .accept_account(label, &query, &response.account)
            .await?;
        Ok((head, account))
    }
}

/// Asks for the remembered version besides the greatest, so that its content can be compared.
async fn query_since_remembered<S: Store>(
    session: &Session<S>,
    label: &Label,
) -> Result<(Query, Option<u32>), Error> {
    let remembered = session.account_memory(label).await?;
    let remembered = remembered.map(|memory| memory.greatest);
    let query = Query {
        from_version: remembered,
        max_versions: u32::from(remembered.is_some()),
    };
    Ok((query, remembered))
}

pub(crate) fn wire_query(label: &Label, query: &Query) -> v1::Query {
    v1::Query {
        label: label.as_str().to_owned(),
        from_version: query.from_version,
        max_versions: query.max_versions,
    }
}
