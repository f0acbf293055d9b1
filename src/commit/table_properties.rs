//! What a writer may change in `hoodie.properties`, under the table lock.

use lakebed_hudi::properties::Properties;
use lakebed_hudi::table_config::{BucketIndex, TableConfig, key};

use super::{CommitError, Committer};
use crate::storage::TablePath;
use crate::storage::lock::LockGuard;
use crate::table::{TableError, properties};

impl Committer {
    /// Removes the table's metadata table, if it has one: from the properties first, so that no
    /// reader looks at it any more, then from the disk.
    ///
    /// Source: `HoodieTable.maybeDeleteMetadataTable`, which Hudi's own writers run with
    /// `hoodie.metadata.enable=false`.
    ///
    /// # Errors
    /// Those of the lock and the storage; call it again.
    pub async fn drop_metadata_table(mut self) -> Result<Self, CommitError> {
        let guard = self.locked().await?;
        let dropped = self.drop_metadata_table_locked(&guard).await;
        guard.release().await?;
        self.table.config = dropped?;
        Ok(self)
    }

    async fn drop_metadata_table_locked(&self, guard: &LockGuard) -> Result<TableConfig, CommitError> {
        let config = self
            .change_properties(guard, |config, properties| {
                let partitions = config.metadata_partitions();
                if partitions.is_empty() {
                    return false;
                }
                tracing::warn!(partitions = %partitions.join(","), "removing the metadata table");
                properties.set(key::METADATA_PARTITIONS, "");
                properties.remove(key::METADATA_PARTITIONS_INFLIGHT);
                true
            })
            .await?;
        self.table.storage.delete_dir(&TablePath::literal(".hoodie/metadata")).await?;
        Ok(config)
    }

    /// Records the simple bucket index that the table's files have, where its properties say
    /// nothing of one. The caller has verified it.
    ///
    /// # Errors
    /// Those of the lock and the storage; call it again.
    pub async fn record_bucket_index(mut self, index: &BucketIndex) -> Result<Self, CommitError> {
        let guard = self.locked().await?;
        let recorded = self
            .change_properties(&guard, |config, properties| {
                let is_new = config.bucket_index.is_none();
                if is_new {
                    let keys = config.record_key.as_ref().map_or(&[][..], |rule| rule.columns());
                    index.set_in(properties, keys);
                }
                is_new
            })
            .await;
        guard.release().await?;
        self.table.config = recorded?;
        Ok(self)
    }

    /// Reads the properties anew and has them changed; they are written where `change` says that
    /// it did. The caller holds the lock.
    async fn change_properties(
        &self,
        guard: &LockGuard,
        change: impl FnOnce(&TableConfig, &mut Properties) -> bool,
    ) -> Result<TableConfig, CommitError> {
        let storage = self.table.storage.as_ref();
        let config = properties::load(storage).await.map_err(TableError::from)?;
        let mut changed = config.properties.clone();
        if !change(&config, &mut changed) {
            return Ok(config);
        }
        guard.check().await?;
        properties::update(storage, &changed).await.map_err(TableError::from)?;
        Ok(properties::load(storage).await.map_err(TableError::from)?)
    }
}
