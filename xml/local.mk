# xml, schemas: documents ready to define, and what a document for a thin pool may be
xmldir = $(pkgdatadir)/xml
dist_xml_DATA = \
	xml/clone.xml \
	xml/domain-block.xml \
	xml/domain-volume.xml \
	xml/local-lvm.xml \
	xml/pool-bundled.xml \
	xml/pool-on-device.xml \
	xml/snapshot.xml \
	xml/template.xml \
	xml/volume-with-permissions.xml \
	xml/volume.xml
schemasdir = $(pkgdatadir)/schemas
dist_schemas_DATA = schemas/pool.rng schemas/volume.rng schemas/list.schema.json \
	schemas/delta.schema.json schemas/usage.schema.json \
	schemas/backup-list.schema.json schemas/backup-manifest.schema.json \
	schemas/info.schema.json schemas/check.schema.json schemas/repair.schema.json \
	schemas/schedule.schema.json \
	schemas/storage-check.schema.json schemas/storage-apply.schema.json \
	schemas/storage-status.schema.json
