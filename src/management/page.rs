//! Pages of lists, and the columns that are shown.

use serde_json::{Map, Value};

use super::answer::{Answer, Answered, Failure};
use super::call::Call;
use super::key::Key;
use super::query::Query;
use crate::pattern::{Pattern, TooManySteps};

/// Entries on a page unless the query says otherwise.
const PAGE_SIZE: usize = 100;
/// Most entries on a page.
const MAX_PAGE_SIZE: usize = 500;

/// Answers with one thing, with the columns asked for.
pub fn single(call: &Call, item: Value) -> Answered {
    Ok(Answer::Json(match Columns::of(&call.query) {
        Some(columns) => columns.chosen(&item),
        None => item,
    }))
}

/// A page that is asked for.
pub struct Page {
    /// Counted from 1.
    pub number: usize,
    pub size: usize,
    filter: Option<Filter>,
}

enum Filter {
    /// Names that contain the text in any case.
    Contains(String),
    Matches(Pattern),
}

impl Page {
    /// `None` when the query asks for no page: then there is the whole list. Where one is `needed` it is the
    /// first.
    ///
    /// # Errors
    /// When the query asks for what is no page.
    pub fn of(query: &Query, needed: bool) -> Result<Option<Self>, Failure> {
        let Some(number) = query.get("page").or(needed.then_some("1")) else {
            return Ok(None);
        };
        let invalid = || Failure::bad("Pagination parameters are invalid");
        let number: i64 = number.parse().map_err(|_| invalid())?;
        let size: Option<i64> = match query.get("page_size") {
            None | Some("") => None,
            Some(size) => Some(size.parse().map_err(|_| invalid())?),
        };
        let in_range = |value: i64, most: usize| usize::try_from(value).ok().filter(|v| (1..=most).contains(v));
        let filter = match query.get("name") {
            None | Some("") => None,
            Some(text) if query.is_true("use_regex") => {
                let pattern = Pattern::ignoring_case(text).map_err(|_| invalid())?;
                Some(Filter::Matches(pattern))
            }
            Some(text) => Some(Filter::Contains(text.to_lowercase())),
        };
        let given = in_range(number, usize::MAX).zip(in_range(size.unwrap_or(PAGE_SIZE as i64), MAX_PAGE_SIZE));
        let Some((number, size)) = given else {
            let size = size.map_or_else(|| "undefined".to_owned(), |size| size.to_string());
            return Err(Failure::BadPage {
                error: "invalid_pagination_parameters",
                reason: format!("Invalid pagination parameters: page number {number}, page size {size}"),
            });
        };
        Ok(Some(Self { number, size, filter }))
    }

    /// Whether the page's filter takes an item of that name.
    ///
    /// # Errors
    /// When its pattern takes too many steps.
    pub fn takes(&self, name: impl FnOnce() -> Key) -> Result<bool, Failure> {
        let Some(filter) = &self.filter else {
            return Ok(true);
        };
        match name() {
            Key::Text(name) => filter.takes(&name).map_err(|error| Failure::bad(error.to_string())),
            _ => Ok(false),
        }
    }

    /// What of the items is on the page.
    ///
    /// # Errors
    /// When the page is behind the last.
    pub fn cut<T>(&self, items: Vec<T>) -> Result<Vec<T>, Failure> {
        let start = (self.number - 1).saturating_mul(self.size);
        if start >= items.len() && self.number > 1 {
            return Err(Failure::BadPage {
                error: "page_out_of_range",
                reason: format!(
                    "Page out of range, page: {} page size: {}, len: {}",
                    self.number,
                    self.size,
                    items.len()
                ),
            });
        }
        Ok(items.into_iter().skip(start).take(self.size).collect())
    }
}

impl Filter {
    fn takes(&self, name: &str) -> Result<bool, TooManySteps> {
        match self {
            Self::Contains(text) => Ok(name.to_lowercase().contains(text.as_str())),
            Self::Matches(pattern) => pattern.find(name),
        }
    }
}

/// The fields asked for, by dotted paths.
pub struct Columns<'a>(Vec<Vec<&'a str>>);

impl<'a> Columns<'a> {
    /// `None` when all are wanted.
    pub fn of(query: &'a Query) -> Option<Self> {
        let columns = query.get("columns").filter(|columns| !columns.is_empty())?;
        Some(Self(columns.split(',').map(|path| path.split('.').collect()).collect()))
    }

    /// What of an item is wanted.
    pub fn chosen(&self, item: &Value) -> Value {
        let paths: Vec<&[&str]> = self.0.iter().map(Vec::as_slice).collect();
        chosen(item, &paths)
    }
}

/// What of a value lies on the paths, in the value's own order.
fn chosen(item: &Value, paths: &[&[&str]]) -> Value {
    let mut out = Map::new();
    for (field, value) in item.as_object().into_iter().flatten() {
        let below: Vec<&[&str]> = paths
            .iter()
            .filter(|path| path.first() == Some(&field.as_str()))
            .map(|path| &path[1..])
            .collect();
        if below.iter().any(|path| path.is_empty()) {
            out.insert(field.clone(), value.clone());
        } else if !below.is_empty() && value.is_object() {
            out.insert(field.clone(), chosen(value, &below));
        }
    }
    out.into()
}
