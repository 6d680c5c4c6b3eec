//! What a claim says of one filter, and what becomes of a filter by it. Knows neither routes nor the audit log.

/// What one claim says about paths, or about methods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part<T> {
    /// Nothing: all of them where it brings the host, else those that the route has.
    NotAsked,
    /// All of them, by the operator's hand.
    All,
    /// These.
    Only(Vec<T>),
}

impl<T: Clone + PartialEq> Part<T> {
    pub(super) fn asked(items: &[T]) -> Self {
        match items {
            [] => Self::NotAsked,
            items => Self::Only(items.to_vec()),
        }
    }

    pub(super) fn of_filter(filter: Option<&[T]>) -> Self {
        filter.map_or(Self::All, |items| Self::Only(items.to_vec()))
    }

    /// The filter of a route that it brings.
    pub(super) fn brings(&self) -> Option<Vec<T>> {
        match self {
            Self::NotAsked | Self::All => None,
            Self::Only(items) => Some(items.clone()),
        }
    }

    /// What it makes of a filter that is there.
    pub(super) fn extends(&self, filter: &mut Option<Vec<T>>) {
        match (self, filter) {
            (Self::All, filter) => *filter = None,
            (Self::Only(items), Some(present)) => {
                for item in items {
                    if !present.contains(item) {
                        present.push(item.clone());
                    }
                }
            }
            (Self::NotAsked | Self::Only(_), _) => {}
        }
    }

    /// Makes what it did not ask for what it found, now that it is the first.
    pub(super) fn settle(&mut self, found: Option<&[T]>) {
        if let (Self::NotAsked, Some(found)) = (&self, found) {
            *self = Self::Only(found.to_vec());
        }
    }

    /// Whether it wants the item; the first claim, which brings the route, wants everything where it asks for nothing.
    pub(super) fn has(&self, item: &T, includes: impl Fn(&T, &T) -> bool, is_first: bool) -> bool {
        match self {
            Self::Only(items) => items.iter().any(|has| includes(has, item)),
            Self::All => true,
            Self::NotAsked => is_first,
        }
    }

    /// What it names and a filter admits, all of it or a part.
    pub(super) fn admitted_by<'f>(
        &'f self,
        filter: Option<&'f [T]>,
        includes: impl Fn(&T, &T) -> bool,
    ) -> Vec<&'f T> {
        let (Self::Only(items), Some(filter)) = (self, filter) else {
            return match self {
                Self::Only(items) => items.iter().collect(),
                Self::NotAsked | Self::All => Vec::new(),
            };
        };
        let is_in = |item: &&T, all: &[T]| all.iter().any(|has| includes(has, item));
        let whole = items.iter().filter(|item| is_in(item, filter));
        let mut admitted: Vec<&T> = whole.collect();
        let parts = filter.iter().filter(|item| is_in(item, items));
        for part in parts {
            if !admitted.contains(&part) {
                admitted.push(part);
            }
        }
        admitted
    }

    /// What it adds to a filter, where there is a route already, as far as that is in force.
    pub(super) fn adds(&self, before: Option<Option<&[T]>>, in_force: Option<&[T]>) -> Vec<T> {
        let (Self::Only(items), Some(Some(before))) = (self, before) else {
            return Vec::new();
        };
        let is_new =
            |item: &&T| !before.contains(item) && in_force.is_some_and(|in_force| in_force.contains(item));
        items.iter().filter(is_new).cloned().collect()
    }

    /// Takes out what a filter has not.
    pub(super) fn narrow(&mut self, to: &[T]) {
        if let Self::Only(items) = self {
            items.retain(|item| to.contains(item));
        }
    }
}

/// Makes the claims yield the filter that there is, as far as something was taken out; what was added is given back, as the operator's.
pub(super) fn reconciled<'c, T: Clone + PartialEq + 'c>(
    claims: impl Iterator<Item = &'c mut Part<T>>,
    expected: Option<&[T]>,
    actual: Option<&[T]>,
) -> Part<T> {
    let Some(actual) = actual else {
        return match expected {
            None => Part::NotAsked,
            Some(_) => Part::All,
        };
    };
    for (at, claim) in claims.enumerate() {
        match claim {
            // Whoever had all of it has what is left.
            Part::All => *claim = Part::Only(actual.to_vec()),
            Part::NotAsked if at == 0 => *claim = Part::Only(actual.to_vec()),
            claim => claim.narrow(actual),
        }
    }
    let expected = expected.unwrap_or(actual);
    let added = actual.iter().filter(|item| !expected.contains(item));
    let added: Vec<T> = added.cloned().collect();
    Part::asked(&added)
}

/// What is in both; `None` is everything.
pub(super) fn narrowed<T: Clone + PartialEq>(
    present: Option<&Vec<T>>,
    without: Option<Vec<T>>,
) -> Option<Vec<T>> {
    match (present, without) {
        (None, without) => without,
        (Some(present), None) => Some(present.clone()),
        (Some(present), Some(without)) => {
            let both = present.iter().filter(|item| without.contains(item));
            Some(both.cloned().collect())
        }
    }
}
