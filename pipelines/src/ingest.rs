//! Sales on the stream become training data: daily Parquet files under the tenant's root.
//!
//! At least once, like the stream: a batch that is read twice is written twice under the same name, and exact repeats
//! are dropped when training reads.

use std::{collections::BTreeMap, time::Duration};

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use models::{
    BookId, ReaderId, Store, TenantName,
    digest::sha256,
    event::OrderPlaced,
    store::key,
    stream::{self, Consumer},
};

/// What one pass did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Ingested {
    /// Sales written, one per reader and book.
    pub sales: u64,
    /// Daily files written.
    pub files: u64,
    /// Records that were no orders, or another tenant's.
    pub refused: u64,
}

/// Records taken from the stream at a time.
const BATCH: usize = 50_000;

/// Writes everything new on `orders.placed` as `interactions/date=<day>/<digest>.parquet`, days in UTC.
///
/// The stream's place is committed only after the files are written.
pub async fn ingest(root: &Store, tenant: &TenantName, orders: &mut dyn Consumer) -> Result<Ingested, stream::Error> {
    let mut done = Ingested::default();
    loop {
        let batch = orders.poll(BATCH, Duration::ZERO).await?;
        if batch.is_empty() {
            return Ok(done);
        }
        let mut days: BTreeMap<Date, Vec<(ReaderId, BookId, Timestamp)>> = BTreeMap::new();
        for record in batch {
            match serde_json::from_slice::<OrderPlaced>(&record.payload) {
                Ok(order) if order.tenant_id == *tenant && record.key == tenant.as_str() => {
                    let day = order.at.to_zoned(TimeZone::UTC).date();
                    let sales = days.entry(day).or_default();
                    sales.extend(order.items.into_iter().map(|book| (order.user_id.clone(), book, order.at)));
                }
                Ok(_) => {
                    done.refused += 1;
                    tracing::warn!(position = record.position, "order of another tenant dropped");
                }
                Err(error) => {
                    done.refused += 1;
                    tracing::warn!(position = record.position, %error, "record on orders.placed is no order");
                }
            }
        }
        for (day, mut sales) in days {
            sales.sort_by(|a, b| (a.2, &a.0, &a.1).cmp(&(b.2, &b.0, &b.1)));
            done.sales += sales.len() as u64;
            done.files += 1;
            let bytes = train::snapshot::daily(&sales);
            let object = format!("{}/date={day}/{}.parquet", key::INTERACTIONS, &sha256(&bytes)[..32]);
            root.create(&object, bytes).await?;
        }
        orders.commit().await?;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use models::{
        event::Topic,
        stream::{
            Message, Producer,
            files::{FileConsumer, FileProducer},
        },
    };
    use train::read;

    use super::*;

    fn order(tenant: &str, reader: &str, book: &str, at: &str) -> Message {
        let order = OrderPlaced {
            tenant_id: tenant.parse().unwrap(),
            event_id: format!("{reader}-{book}"),
            user_id: reader.parse().unwrap(),
            items: vec![book.parse().unwrap()],
            at: at.parse().unwrap(),
            schema_version: 1,
        };
        Message::json(Topic::Orders, tenant, &order)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn sales_become_daily_files_that_training_reads() {
        let url = "memory://ingest/acme-books";
        let root = Store::open(url).unwrap();
        let producer: Arc<dyn Producer> = Arc::new(FileProducer::new(root.clone(), "shop").unwrap());
        let sales = vec![
            order("acme-books", "ann", "dune", "2026-03-01T23:59:59Z"),
            order("acme-books", "ann", "emma", "2026-03-02T00:00:00Z"),
            order("other-shop", "bob", "emma", "2026-03-02T00:00:00Z"),
            Message::json(Topic::Orders, "acme-books", &serde_json::json!({"not": "an order"})),
        ];
        producer.send(sales).await.unwrap();
        let tenant = "acme-books".parse().unwrap();
        let mut consumer = FileConsumer::open(root.clone(), "dataset", &[Topic::Orders]).await.unwrap();
        let done = ingest(&root, &tenant, &mut consumer).await.unwrap();
        assert_eq!(done, Ingested { sales: 2, files: 2, refused: 2 });
        assert_eq!(ingest(&root, &tenant, &mut consumer).await.unwrap(), Ingested::default(), "nothing is new");

        let files = crate::inputs::open(&format!("{url}/interactions")).await.unwrap();
        let now = "2026-03-03T00:00:00Z".parse().unwrap();
        let dataset = read::read_interactions(files, Vec::new(), &read::Options::at(now)).unwrap().dataset;
        assert_eq!((dataset.interactions().len(), dataset.readers().len()), (2, 1));
        assert_eq!(dataset.axis(), train::TimeAxis::Clock);
    }
}
