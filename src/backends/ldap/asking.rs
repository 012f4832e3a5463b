//! A query put to a directory, part by part, until it is decided.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use ldap3::{LdapError, Scope, SearchEntry, ldap_escape};

use super::{Variables, Within, shown};
use crate::config::ldap_query::{Query, Text};
use crate::pattern::Pattern;

/// Groups that are looked into for one question.
const MOST_GROUPS: usize = 1000;
/// Result codes that say that there is no such object, or no such attribute.
const MISSING: [u32; 3] = [16, 32, 34];

/// Somebody who is asked about, and a connection to ask with.
pub(super) struct Asker<'a> {
    pub connection: &'a mut ldap3::Ldap,
    pub variables: &'a Variables,
    pub user_dn: &'a str,
    /// Below what groups are looked up.
    pub groups: Option<&'a String>,
    pub timeout: Duration,
}

/// The answer of a query that nobody has to be asked for.
pub(super) fn constant(query: &Query) -> Option<bool> {
    match query {
        Query::Constant(answer) => Some(*answer),
        _ => None,
    }
}

impl Asker<'_> {
    /// Decides a query.
    pub(super) fn ask<'b>(&'b mut self, query: &'b Query) -> BoxFuture<'b, Result<bool, String>> {
        self.decide(query).boxed()
    }

    async fn decide(&mut self, query: &Query) -> Result<bool, String> {
        match query {
            Query::Constant(answer) => Ok(*answer),
            Query::Not(query) => Ok(!self.ask(query).await?),
            Query::And(queries) => {
                for query in queries {
                    if !self.ask(query).await? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Query::Or(queries) => {
                for query in queries {
                    if self.ask(query).await? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Query::For(cases) => {
                let is_meant = |name: &str, value: &str| self.variables.get(name) == Some(value);
                match cases.iter().find(|case| is_meant(&case.variable, &case.value)) {
                    Some(case) => self.ask(&case.query).await,
                    None => Err("no case of the query {for, …} is about this".to_owned()),
                }
            }
            Query::Exists(dn) => {
                let dn = self.variables.fill(dn, Within::Dn);
                Ok(!self
                    .search(&dn, Scope::Base, "(objectClass=*)", "1.1")
                    .await?
                    .is_empty())
            }
            Query::InGroup { dn, attribute } => {
                let dn = self.variables.fill(dn, Within::Dn);
                let filter = format!("({attribute}={})", ldap_escape(self.user_dn));
                Ok(!self.search(&dn, Scope::Base, &filter, "1.1").await?.is_empty())
            }
            Query::InGroupNested {
                dn,
                attribute,
                one_level,
            } => {
                let group = self.variables.fill(dn, Within::Dn);
                let scope = if *one_level { Scope::OneLevel } else { Scope::Subtree };
                self.is_within(&group, attribute, scope).await
            }
            Query::Equals(one, other) => {
                let (ones, others) = (
                    self.texts(one, Within::Text).await?,
                    self.texts(other, Within::Text).await?,
                );
                Ok(ones.iter().any(|one| others.contains(one)))
            }
            Query::Match(value, pattern) => {
                let (values, patterns) = (
                    self.texts(value, Within::Text).await?,
                    self.texts(pattern, Within::Regex).await?,
                );
                for pattern in patterns {
                    let pattern = Pattern::new(&pattern)
                        .map_err(|_| format!("{pattern:?} in a query is no regular expression"))?;
                    if values.iter().any(|value| pattern.matches(value)) {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
        }
    }

    /// Whether the user is in a group, or in one that is in it. Circles end: no group is looked into twice.
    async fn is_within(&mut self, group: &str, attribute: &str, scope: Scope) -> Result<bool, String> {
        let base = self.groups.ok_or("auth_ldap.group_lookup_base is not set")?;
        let mut seen = HashSet::new();
        let mut next = vec![self.user_dn.to_owned()];
        while let Some(member) = next.pop() {
            let filter = format!("({attribute}={})", ldap_escape(&*member));
            for found in self.search(base, scope, &filter, "1.1").await? {
                if same(&found.dn) == same(group) {
                    return Ok(true);
                }
                if seen.len() < MOST_GROUPS && seen.insert(same(&found.dn)) {
                    next.push(found.dn);
                }
            }
        }
        Ok(false)
    }

    async fn texts(&mut self, text: &Text, within: Within) -> Result<Vec<String>, String> {
        match text {
            Text::Pattern(pattern) => Ok(vec![self.variables.fill(pattern, within)]),
            Text::Attribute { dn, name } => {
                let dn = self.variables.fill(dn, Within::Dn);
                let found = self.search(&dn, Scope::Base, "(objectClass=*)", name).await?;
                let attributes = found.into_iter().flat_map(|entry| entry.attrs);
                let own = attributes.filter(|(found, _)| found.eq_ignore_ascii_case(name));
                Ok(own.flat_map(|(_, values)| values).collect())
            }
        }
    }

    /// The entries that fit; none where there is no such object.
    async fn search(
        &mut self,
        base: &str,
        scope: Scope,
        filter: &str,
        attribute: &str,
    ) -> Result<Vec<SearchEntry>, String> {
        let connection = self.connection.with_timeout(self.timeout);
        let found = connection.search(base, scope, filter, vec![attribute]).await;
        match found.and_then(ldap3::SearchResult::success) {
            Ok((entries, _)) => Ok(entries.into_iter().map(SearchEntry::construct).collect()),
            Err(LdapError::LdapResult { result }) if MISSING.contains(&result.rc) => Ok(Vec::new()),
            Err(error) => Err(format!("the search {filter} at {base:?} failed: {}", shown(&error))),
        }
    }
}

/// A distinguished name as it is compared.
fn same(dn: &str) -> String {
    let parts = dn.split(',').map(|part| part.trim().to_lowercase());
    parts.collect::<Vec<_>>().join(",")
}
