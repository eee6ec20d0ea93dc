//! One page of a list, in bounded time however many cases there are and whatever the filter asks.
//!
//! A page walks along an index in the list's order: by rank, one walk for each queue and state that
//! may be in the list; by deadline, one for each state. Where a filter asks for more than queue and
//! state, a walk meets rows that do not fit; after [`LOOKS`] rows the page ends, short or empty, with
//! a token that goes on from there (AIP-158 lets it).

use sqlx::{AnyPool, any::AnyRow};
use tidegate_proto::escalation::v1::{Case, CaseState};

use super::{
    columns::Row,
    page::{Order, OrderBy, Page, PageToken},
    sql::{Bind, Sql, get},
};
use crate::{caller::Caller, error::StoreError, filter::Filter};

/// How many rows of the indexes one page may look at.
const LOOKS: usize = 2_000;
/// How many walks one statement takes side by side: SQLite has a limit.
const WALKS: usize = 120;
/// Every state that a stored case may be in.
const STATES: [CaseState; 6] = [
    CaseState::Open,
    CaseState::Claimed,
    CaseState::OnHold,
    CaseState::SecondReview,
    CaseState::Resolved,
    CaseState::Withdrawn,
];

/// A case's place in an order: its key and number.
type Place = (i64, i64);

/// What a page is made of.
struct Plan<'a> {
    filter: &'a Filter,
    /// The order's column.
    column: &'static str,
    descending: bool,
    after: Option<Place>,
    /// Each walk's columns with the values that they must have.
    walks: Vec<Vec<(&'static str, Bind)>>,
    /// Queues that the walks do not keep to by themselves.
    queues: Option<Vec<String>>,
    /// States likewise.
    states: Option<Vec<i64>>,
    /// The one walk finds only a few rows, not in the list's order.
    few: bool,
}

pub(super) async fn page(
    pool: &AnyPool,
    caller: &Caller,
    filter: &Filter,
    order: Order,
    page: &Page,
) -> Result<(Vec<Case>, Option<PageToken>), StoreError> {
    let column = match order.by {
        OrderBy::Rank => "rank",
        OrderBy::CreateTime => "create_time",
        OrderBy::DueTime => "due_time",
        OrderBy::UpdateTime => "update_time",
    };
    let direction = if order.descending { " DESC" } else { "" };
    let scope = format!("{column}{direction}\n{}", filter.text());
    let token = page.token.as_ref();
    let after = token.map(|token| token.read(&scope)).transpose()?;
    let plan = Plan {
        column,
        descending: order.descending,
        after,
        ..Plan::new(pool, caller, filter, order.by).await?
    };
    let until = plan.until(pool).await?;
    let mut rows = plan.rows(pool, until, page.size + 1).await?;
    let more = rows.len() > page.size;
    rows.truncate(page.size);
    let next = match rows.last() {
        Some((place, _)) if more => Some(*place),
        _ => until,
    };
    let cases = rows
        .iter()
        .map(|(_, row)| Ok(Row::read(row)?.case))
        .collect::<Result<_, StoreError>>()?;
    let next = next.map(|(key, num)| PageToken::write(&scope, key, num));
    Ok((cases, next))
}

async fn all_queues(pool: &AnyPool) -> Result<Vec<String>, StoreError> {
    let rows = sqlx::query("SELECT name FROM queues")
        .fetch_all(pool)
        .await?;
    rows.iter().map(|row| Ok(get(row, 0)?)).collect()
}

impl<'a> Plan<'a> {
    /// Chooses the walks.
    async fn new(
        pool: &AnyPool,
        caller: &Caller,
        filter: &'a Filter,
        order: OrderBy,
    ) -> Result<Self, StoreError> {
        let mut queues = filter.queues();
        match &mut queues {
            Some(queues) => queues.retain(|queue| caller.sees(queue)),
            None => queues = caller.seen_queues().map(<[String]>::to_vec),
        }
        let mut states = filter.states();
        let each: Vec<i64> = match &states {
            Some(states) => states.clone(),
            None => STATES.map(|state| state as i64).to_vec(),
        };
        let few = filter.few();
        let walks = match (order, &few) {
            (_, Some(one)) => vec![vec![one.clone()]],
            (OrderBy::Rank, None) => {
                let names = match queues.take() {
                    Some(names) => names,
                    None => all_queues(pool).await?,
                };
                states = None;
                let walks = names.iter().flat_map(|queue| {
                    let walk =
                        |state: &i64| vec![("queue", queue.into()), ("state", (*state).into())];
                    each.iter().map(walk)
                });
                walks.collect()
            }
            (OrderBy::DueTime, None) => {
                states = None;
                let walk = |state: i64| vec![("state", state.into())];
                each.into_iter().map(walk).collect()
            }
            (OrderBy::CreateTime | OrderBy::UpdateTime, None) => vec![Vec::new()],
        };
        Ok(Self {
            filter,
            column: "",
            descending: false,
            after: None,
            walks,
            queues,
            states,
            few: few.is_some(),
        })
    }

    /// Where the page ends if it is not full before: none if its walks meet only what is in the
    /// list, or come to their ends.
    async fn until(&self, pool: &AnyPool) -> Result<Option<Place>, StoreError> {
        let exact = self.queues.is_none() && self.states.is_none() && !self.filter.has_rest();
        if exact || self.few {
            return Ok(None);
        }
        let each = (LOOKS / self.walks.len().max(1)).max(1) as i64;
        let mut until: Option<Place> = None;
        for walks in self.walks.chunks(WALKS) {
            let mut sql = Sql::default();
            for (at, walk) in walks.iter().enumerate() {
                sql.text(if at > 0 { " UNION ALL " } else { "" });
                sql.text("SELECT * FROM (SELECT ").text(self.column);
                sql.text(", num FROM cases WHERE ");
                self.walk(walk, &mut sql);
                self.order(&mut sql);
                sql.text(" LIMIT 1 OFFSET ").bind(each - 1);
                sql.text(&format!(") AS w{at}"));
            }
            for row in sql.query().fetch_all(pool).await? {
                let place = (get(&row, 0)?, get(&row, 1)?);
                let sooner = |until: Place| (place < until) != self.descending;
                if until.is_none_or(sooner) {
                    until = Some(place);
                }
            }
        }
        Ok(until)
    }

    /// The page's rows, and one more if there are more.
    async fn rows(
        &self,
        pool: &AnyPool,
        until: Option<Place>,
        limit: usize,
    ) -> Result<Vec<(Place, AnyRow)>, StoreError> {
        let mut rows = Vec::new();
        for walks in self.walks.chunks(WALKS) {
            let sql = self.rows_of(walks, until, limit);
            for row in sql.query().fetch_all(pool).await? {
                rows.push(((get(&row, 3)?, get(&row, 0)?), row));
            }
        }
        rows.sort_unstable_by_key(|(place, _)| *place);
        if self.descending {
            rows.reverse();
        }
        rows.truncate(limit);
        Ok(rows)
    }

    fn rows_of(
        &self,
        walks: &[Vec<(&'static str, Bind)>],
        until: Option<Place>,
        limit: usize,
    ) -> Sql {
        let mut sql = Sql::default();
        for (at, walk) in walks.iter().enumerate() {
            sql.text(if at > 0 { " UNION ALL " } else { "" });
            sql.text("SELECT * FROM (SELECT num, body, alarm_time, ");
            sql.text(self.column).text(" FROM cases WHERE ");
            self.walk(walk, &mut sql);
            if let Some((key, num)) = until {
                let sign = if self.descending { ">=" } else { "<=" };
                sql.text(&format!(" AND ({}, num) {sign} (", self.column))
                    .binds([key, num])
                    .text(")");
            }
            // Not as these columns stand in an index: the walk is along another one.
            if let Some(queues) = &self.queues {
                sql.text(" AND (queue || '')").within(queues.iter());
            }
            if let Some(states) = &self.states {
                sql.text(" AND (state + 0)").within(states.iter().copied());
            }
            sql.text(" AND ");
            self.filter.rest_sql(&mut sql);
            self.order(&mut sql);
            sql.text(" LIMIT ").bind(limit as i64);
            sql.text(&format!(") AS w{at}"));
        }
        if walks.len() > 1 {
            let direction = if self.descending { " DESC" } else { "" };
            sql.text(&format!(" ORDER BY 4{direction}, 1{direction} LIMIT "))
                .bind(limit as i64);
        }
        sql
    }

    /// Appends what a walk keeps to.
    fn walk(&self, walk: &[(&'static str, Bind)], sql: &mut Sql) {
        sql.text("1=1");
        for (column, value) in walk {
            sql.text(&format!(" AND {column}=")).bind(value.clone());
            if self.few {
                // These indexes leave out what is empty.
                sql.text(&format!(" AND {column}<>''"));
            }
        }
        if let Some((key, num)) = self.after {
            let sign = if self.descending { "<" } else { ">" };
            let (column, number) = self.keys();
            sql.text(&format!(" AND ({column}, {number}) {sign} ("))
                .binds([key, num])
                .text(")");
        }
    }

    fn order(&self, sql: &mut Sql) {
        let direction = if self.descending { " DESC" } else { "" };
        let (column, number) = self.keys();
        sql.text(&format!(
            " ORDER BY {column}{direction}, {number}{direction}"
        ));
    }

    /// The order's columns; by no index where a few rows are to be found by another.
    fn keys(&self) -> (String, &'static str) {
        if self.few {
            (format!("({} + 0)", self.column), "(num + 0)")
        } else {
            (self.column.to_owned(), "num")
        }
    }
}
