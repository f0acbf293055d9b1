//! Turning a metadata table off that nobody keeps up to date any more.

use lakebed_hudi::table_config::{TableConfig, key};

use super::{CommitError, Committer};
use crate::storage::TablePath;
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
    pub async fn drop_metadata_table(self) -> Result<Self, CommitError> {
        let guard = self.locked().await?;
        let dropped = self.drop_metadata_table_locked().await;
        guard.release().await?;
        let mut committer = self;
        committer.table.config = dropped?;
        Ok(committer)
    }

    async fn drop_metadata_table_locked(&self) -> Result<TableConfig, CommitError> {
        let storage = self.table.storage.as_ref();
        let mut config = properties::load(storage).await.map_err(TableError::from)?;
        let partitions = config.metadata_partitions();
        if !partitions.is_empty() {
            config.properties.set(key::METADATA_PARTITIONS, "");
            config.properties.remove(key::METADATA_PARTITIONS_INFLIGHT);
            properties::update(storage, &config.properties).await?;
            tracing::warn!(partitions = %partitions.join(","), "removing the metadata table");
        }
        storage.delete_dir(&TablePath::literal(".hoodie/metadata")).await?;
        Ok(config)
    }
}
